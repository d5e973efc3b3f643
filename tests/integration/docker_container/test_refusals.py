# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input ends in a message that names option, value and remedy, before anything is touched."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.images import import_image
from tests.support.module_process import module_environment, module_input, module_process, python_name
from tests.support.paths import SYSTEM_PYTHON

from .driver import MODULE, Driver

#: Arguments, and words that the message must have: the option, the value, the remedy.
WRONG: tuple[tuple[str, Mapping[str, Any], tuple[str, ...]], ...] = (
    ("option", {"memmory": "64MiB"}, ("memmory", "memory")),
    ("option-type", {"env": ["A=1"]}, ("env", "dict")),
    ("choice", {"state": "started"}, ("state", "started", "running")),
    ("unit", {"memory": "64MX"}, ("memory", "64MX", "like 512MiB")),
    ("fraction", {"memory": "0.3"}, ("memory", "0.3", "Write a number and a unit")),
    ("small", {"memory": "1MiB"}, ("memory", "1MiB", "Write 6MiB or more")),
    ("shm-small", {"shm_size": 64}, ("shm_size", "64", "64MiB")),
    ("large", {"shm_size": "9EiB"}, ("shm_size", "9EiB", "8EiB")),
    ("negative", {"memory": "-64MiB"}, ("memory", "-64MiB", "like 512MiB")),
    ("cpus", {"cpus": -1}, ("cpus", "-1", "Write a number like 2 or 0.5")),
    ("cpus-small", {"cpus": 0.001}, ("cpus", "0.001", "Write 0.01 or more")),
    ("cpuset", {"cpuset_cpus": "3-1"}, ("cpuset_cpus", "3-1", "Write a list like 0-2,4")),
    (
        "duration",
        {"healthcheck": {"test": "true", "interval": "5 parsecs"}},
        ("healthcheck.interval", "5 parsecs", "Write seconds"),
    ),
    (
        "duration-short",
        {"healthcheck": {"test": "true", "timeout": "0.9ms"}},
        ("healthcheck.timeout", "0.9ms", "Write 1ms or more"),
    ),
    ("health-retries", {"healthcheck": {"test": "true", "retries": -1}}, ("healthcheck.retries", "-1", "from 0")),
    ("retries", {"pids_limit": -5}, ("pids_limit", "-5", "Write a number from")),
    ("image-name", {"image": "Not An Image"}, ("image", "Not An Image", "Write an image like")),
    ("image-dash", {"image": "-x"}, ("image", "-x", "Write an image like")),
    (
        "image-never",
        {"image": "kt-no-such-image:1", "pull": "never"},
        ("image", "kt-no-such-image:1", "does not exist", "Import or build it"),
    ),
    ("image-id", {"image": "sha256:" + "0" * 64}, ("image", "sha256:000", "does not exist", "docker_image")),
    ("image-none", {"image": ...}, (": image is needed", "Name an image")),
    (
        "image-registry",
        {"image": "127.0.0.1:1/kt-no-such:1"},
        ("image", "127.0.0.1:1/kt-no-such:1", "does not exist", "cannot be pulled"),
    ),
    ("port", {"ports": ["80:99999"]}, ("ports", "80:99999", "Write 8080:80")),
    ("port-number", {"ports": [133342]}, ("ports", "133342", 'write "2222:22"')),
    ("port-unquoted", {"ports": [1342]}, ("ports", "1342", 'write "22:22"', "write 1342/tcp")),
    ("port-range", {"ports": ["8000-8002:80-81"]}, ("ports", "8000-8002:80-81", "different lengths")),
    ("port-address", {"ports": ["300.1.1.1:80:80"]}, ("ports", "300.1.1.1:80:80", "host address")),
    ("port-protocol", {"ports": ["80:80/icmp"]}, ("ports", "80:80/icmp", "Write 8080:80")),
    ("mount", {"mounts": ["relative/path:/data"]}, ("mounts", "relative/path:/data", "Write name:/target")),
    ("mount-target", {"mounts": ["vol:data"]}, ("mounts", "vol:data", "absolute target")),
    (
        "mount-field",
        {"mounts": [{"source": "/x", "target": "/y", "readonly": True}]},
        ("mounts", "readonly", "read_only"),
    ),
    ("mount-flag", {"mounts": ["vol:/data:zz"]}, ("mounts", "vol:/data:zz", "Write name:/target")),
    ("tmpfs", {"tmpfs": ["run"]}, ("tmpfs", "run", "absolute target")),
    ("tmpfs-size", {"tmpfs": ["/run:size=64x"]}, ("tmpfs", "64x", "like 512MiB")),
    (
        "network",
        {"networks": ["kt-no-such-network"]},
        ("networks[kt-no-such-network]", "does not exist", "docker_network"),
    ),
    (
        "network-address",
        {"networks": [{"name": "bridge", "ipv4_address": "::1"}]},
        ("networks[bridge].ipv4_address", "::1", "Write a network's name"),
    ),
    (
        "network-twice",
        {"networks": ["bridge", {"name": "bridge", "aliases": ["x"]}]},
        ("networks", "bridge", "given twice", "Keep one"),
    ),
    (
        "network-inner",
        {"networks": [{"name": "bridge", "ipv4_address": "172.17.0.9"}]},
        ("networks[bridge].ipv4_address", "172.17.0.9", "Make a network"),
    ),
    ("network-links", {"networks": [{"name": "bridge", "links": "db"}]}, ("networks[bridge].links", "Write a list")),
    (
        "network-priority",
        {"networks": [{"name": "bridge", "gw_priority": "first"}]},
        ("networks[bridge].gw_priority", "first", "Write a number"),
    ),
    (
        "network-mac",
        {"networks": [{"name": "bridge", "mac_address": "02:42"}]},
        ("networks[bridge].mac_address", "02:42", "Write it like"),
    ),
    ("network-mode-nosuch", {"network_mode": "container:kt-nosuch"}, ("network_mode", "kt-nosuch", "Name another")),
    ("pid-mode-nosuch", {"pid_mode": "container:kt-nosuch"}, ("pid_mode", "kt-nosuch", "Name another")),
    ("ipc-mode-nosuch", {"ipc_mode": "container:kt-nosuch"}, ("ipc_mode", "kt-nosuch", "Name another")),
    (
        "network-mode-mac",
        {"network_mode": "host", "mac_address": "02:42:0a:0b:0c:0d"},
        ("network_mode", "host excludes mac_address", "Leave the one"),
    ),
    ("uts-mode", {"uts_mode": "container:x"}, ("uts_mode", "container:x", "Write host")),
    ("uts-mode-hostname", {"uts_mode": "host", "hostname": "x"}, ("uts_mode: host excludes hostname", "Leave the one")),
    ("userns-mode", {"userns_mode": "private"}, ("userns_mode", "private", "Write host")),
    ("cgroup-parent", {"cgroup_parent": "a b"}, ("cgroup_parent", "a b", "Write a path")),
    ("runtime", {"runtime": "kt-nosuch"}, ("runtime", "kt-nosuch", "It has: ", "runc")),
    ("swappiness", {"memory_swappiness": 101}, ("memory_swappiness", "101", "from 0 to 100")),
    ("oom-kill", {"oom_kill_disable": "perhaps"}, ("oom_kill_disable", "perhaps")),
    ("exposed-port", {"exposed_ports": ["http"]}, ("exposed_ports", "http", "Write 80")),
    ("publish-all", {"publish_all_ports": "some"}, ("publish_all_ports", "some")),
    (
        "device-request",
        {"device_requests": [{"count": 1, "device_ids": ["0"]}]},
        ("device_requests", "how many", "Write count or device_ids"),
    ),
    ("io-limits", {"io_limits": [{"device": "sda"}]}, ("io_limits", "sda", "a path like /dev/sda")),
    (
        "start-interval",
        {"healthcheck": {"test": "true", "start_interval": "1us"}},
        ("healthcheck.start_interval", "1us", "Write 1ms"),
    ),
    ("cpus-many", {"cpus": 4096}, ("cpus", "4096", "or less, or 0 for all")),
    ("cpuset-many", {"cpuset_cpus": "0,4096"}, ("cpuset_cpus", "4096", "Choose of")),
    ("cpuset-mems-many", {"cpuset_mems": "64"}, ("cpuset_mems", "64", "Choose of")),
    ("healthy", {"wait_for": "healthy"}, ("wait_for", "healthy", "Give it a healthcheck")),
    ("network-mode", {"networks": ["bridge"], "network_mode": "host"}, ("network_mode", "host", "Set either")),
    ("env-key", {"env": {"A=B": "1"}}, ("env", "A=B", "is not a usable key", "Write it without")),
    ("env-value", {"env": {"A": {"b": 1}}}, ("env[A]", "is not a text", "Quote it")),
    ("env-nul", {"env": {"A": "x\0y"}}, ("env[A]", "NUL", "Remove it")),
    ("blkio-weight", {"blkio_weight": 5}, ("blkio_weight", "5", "from 10 to 1000")),
    ("cpu-shares", {"cpu_shares": 1}, ("cpu_shares", "1", "from 2 to 262144")),
    ("cpuset-mems", {"cpuset_mems": "x y"}, ("cpuset_mems", "x y", "Write a list like 0-2,4")),
    ("cap-add", {"cap_add": ["NET_RAW\n"]}, ("cap_add", "control character", "on one line")),
    ("cap-drop", {"cap_drop": ["NET_RAW\n"]}, ("cap_drop", "control character", "on one line")),
    (
        "cgroup-rules",
        {"device_cgroup_rules": ["c 1:3 r\n"]},
        ("device_cgroup_rules", "control character", "on one line"),
    ),
    ("dns", {"dns": ["192.0.2.1\n"]}, ("dns", "control character", "on one line")),
    ("dns-options", {"dns_options": ["ndots:2\n"]}, ("dns_options", "control character", "on one line")),
    ("dns-search", {"dns_search": ["example.org\n"]}, ("dns_search", "control character", "on one line")),
    ("domainname", {"domainname": "example.org\n"}, ("domainname", "control character", "on one line")),
    ("entrypoint", {"entrypoint": 1}, ("entrypoint", "is not a command", "Write a list of words")),
    ("group-add", {"group_add": ["audio\n"]}, ("group_add", "control character", "on one line")),
    ("ipc-mode", {"ipc_mode": "host\n"}, ("ipc_mode", "control character", "on one line")),
    ("pid-mode", {"pid_mode": "host\n"}, ("pid_mode", "control character", "on one line")),
    ("log-driver", {"log_driver": "json file"}, ("log_driver", "json file", "is not understood")),
    ("log-options", {"log_options": {"": "x"}}, ("log_options", "is not a usable key", "Write it without")),
    ("oom-score", {"oom_score_adj": 1001}, ("oom_score_adj", "1001", "from -1000 to 1000")),
    ("stop-timeout", {"stop_timeout": -1}, ("stop_timeout", "-1", "from 0 to 86400")),
    ("sysctls", {"sysctls": {"": "1"}}, ("sysctls", "is not a usable key", "Write it without")),
    ("command", {"command": "echo 'open"}, ("command", "echo 'open", "Write a list of words")),
    ("workdir", {"workdir": "data"}, ("workdir", "data", "Write an absolute path")),
    ("hostname", {"hostname": "a b"}, ("hostname", "a b", "Write letters")),
    ("user-list", {"user": ["app"]}, ("user", "['app']", "is a list", "Write one text")),
    ("group-list", {"group_add": [{"id": 5}]}, ("group_add", "{'id': 5}", "a mapping", "Write one text")),
    ("user", {"user": "app\nroot"}, ("user", "control character", "Write it on one line")),
    ("mac", {"mac_address": "02:42"}, ("mac_address", "02:42", "Write it like")),
    ("mac-unquoted", {"mac_address": 41135085296}, ("mac_address", "41135085296", 'in quotes, "52:54:00:12:34:56"')),
    ("restart", {"restart_policy": "sometimes"}, ("restart_policy", "sometimes", "Write no, always")),
    ("signal", {"stop_signal": "SIG TERM"}, ("stop_signal", "SIG TERM", "Write SIGTERM")),
    ("device", {"devices": ["fuse"]}, ("devices", "fuse", "Write /dev/fuse")),
    ("ulimit", {"ulimits": ["nofile-5"]}, ("ulimits", "nofile-5", "Write nofile=1024")),
    ("host", {"extra_hosts": ["db"]}, ("extra_hosts", "db", "Write db:192.0.2.5")),
    (
        "seccomp",
        {"security_opt": ["seccomp=/no/such/profile"]},
        ("security_opt", "/no/such/profile", "cannot be read", "Name a text file"),
    ),
    (
        "seccomp-text",
        {"security_opt": ["seccomp=profile"]},
        ("security_opt", "seccomp=profile", "not a valid seccomp profile"),
    ),
    ("env-file", {"env_file": ["/no/such/file"]}, ("env_file", "/no/such/file", "cannot be read", "Name a text file")),
    ("health", {"healthcheck": {}}, ("healthcheck", "says nothing", "Give a test")),
    ("timeout", {"timeout": 0, "wait_for": "running"}, ("timeout", "0", "Write 1 or more")),
    ("purge", {"purge": ["memory"]}, ("purge", "memory", "env")),
    ("swap", {"memory": "64MiB", "memory_swap": "32MiB"}, ("memory_swap", "32MiB", "memory")),
    ("swap-alone", {"memory_swap": "32MiB"}, ("memory_swap", "32MiB", "Set memory too")),
    (
        "reservation",
        {"memory": "64MiB", "memory_reservation": "65MiB"},
        ("memory_reservation", "65MiB", "64MiB", "Reserve less"),
    ),
    ("name-slash", {"name": "kt/x"}, ("name", "kt/x", "slash", "Use letters")),
    ("name-dots", {"name": "kt..x"}, ("name", "kt..x", "two dots", "Use letters")),
    ("name-newline", {"name": "kt-x\n"}, ("name", "kt-x\\n", "control character", "Use letters")),
    ("name-nul", {"name": "kt-x\0"}, ("name", "kt-x\\x00", "NUL", "Remove it")),
    ("name-dash", {"name": "-kt"}, ("name", "-kt", "starts with a dash", "Use letters")),
    ("name-empty", {"name": ""}, ("name", "is empty", "Use letters")),
    ("name-space", {"name": "kt x"}, ("name", "kt x", "is not a valid name", "Use two or more letters")),
    ("name-letters", {"name": "kt-ä"}, ("name", "kt-ä", "is not a valid name", "Use two or more letters")),
    ("name-short", {"name": "k"}, ("name", "is not a valid name", "Use two or more letters")),
    ("name-reserved", {"name": "kt-x.kraal-new"}, ("name", "kt-x.kraal-new", "is kept for", "Choose another name")),
)


@pytest.mark.parametrize(
    ("args", "words"), [(args, words) for _id, args, words in WRONG], ids=[name for name, _args, _words in WRONG]
)
def test_a_wrong_value(driver: Driver, args: Mapping[str, Any], words: tuple[str, ...]) -> None:
    driver.refused(*words, **args)
    assert driver.mine() == []


def test_the_same_for_a_guest_that_is_there(driver: Driver) -> None:
    driver.make(memory="64MiB")
    before = driver.inspect()
    for _id, args, words in WRONG:
        if "name" not in args and args.get("image") is not ... and not _id.startswith("swap"):
            driver.refused(*words, **args)
    after = driver.inspect()
    assert (after["Id"], after["State"]) == (before["Id"], before["State"])


def test_a_bind_of_a_path_that_is_not_there(driver: Driver, tmp_path: Path) -> None:
    result = driver.run(mounts=[f"{tmp_path}/no-such-directory:/mnt"])
    assert result.failed and "no-such-directory" in result.msg and "Make that path" in result.msg
    assert driver.mine() == []


def test_an_env_file_with_a_line_that_is_none(driver: Driver, tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("# comment\n\nKT_A=1\nhunter2\n", encoding="utf-8")
    message = driver.refused("env_file", str(path), "has a line without =", "Write KEY=value", env_file=[str(path)])
    assert "hunter2" not in message
    path.write_bytes(b"\xff\xfe")
    driver.refused("env_file", str(path), "cannot be read", env_file=[str(path)])


def test_an_env_file_is_read_and_env_wins(driver: Driver, tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("# comment\n\nKT_A=file\n  KT_B=a = 'b'\nKT_C=\n", encoding="utf-8")
    driver.do(env_file=[str(path)], env={"KT_A": "task"})
    driver.again(env_file=[str(path)], env={"KT_A": "task"})
    assert [line for line in driver.inspect()["Config"]["Env"] if line.startswith("KT_")] == [
        "KT_A=task",
        "KT_B=a = 'b'",
        "KT_C=",
    ]


# Ports
# -----------------------------------------------------------------------------------------------------------------


def test_a_port_that_another_guest_has(driver: Driver) -> None:
    other = driver.of("other")
    other.make(ports=["127.0.0.1:23991:80"])
    driver.refused(
        "ports", "23991/tcp", f"the guest {other.name}", "Choose another host port", ports=["127.0.0.1:23991:80"]
    )
    driver.refused("ports", "23991/tcp", f"the guest {other.name}", "Choose another host port", ports=["23991:80"])
    driver.do(ports=["127.0.0.2:23991:80", "127.0.0.1:23991:80/udp"])
    driver.refused("23991/tcp", ports=["127.0.0.1:23991:80"])
    # A port that is free again can be had.
    other.make(state="stopped", ports=["127.0.0.1:23991:80"])
    driver.do(ports=["127.0.0.1:23991:80"])
    other.refused("23991/tcp", driver.name, ports=["127.0.0.1:23991:80"])


@pytest.mark.parametrize(
    ("address", "kind"), [("127.0.0.1", "tcp"), ("0.0.0.0", "tcp"), ("127.0.0.1", "udp"), ("::", "tcp")]
)
def test_a_port_that_a_program_has(driver: Driver, address: str, kind: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as program:
        program.bind((address, 0))
        if kind == "tcp":
            program.listen()
        port = program.getsockname()[1]
        driver.refused(
            "ports", f"{port}/{kind}", "a program on this host", "Choose another host port", ports=[f"{port}:80/{kind}"]
        )


def test_ports_of_guests_that_do_not_run_are_not_needed(driver: Driver) -> None:
    with socket.create_server(("127.0.0.1", 0)) as program:
        port = program.getsockname()[1]
        driver.do(ports=[f"127.0.0.1:{port}:80"], state="stopped")
        driver.refused(f"{port}/tcp", ports=[f"127.0.0.1:{port}:80"])
    driver.do(ports=[f"127.0.0.1:{port}:80"])


# Disruption
# ------------------------------------------------------------------------------------------------------------


def test_a_change_that_disturbs_more_than_is_allowed(driver: Driver) -> None:
    driver.make(env={"KT_A": "1"}, memory="64MiB")
    wish = {"env": {"KT_A": "2"}, "hostname": "other", "memory": "128MiB"}
    message = driver.refused("env[KT_A]", "hostname", "recreate", "disruption=recreate", disruption="live", **wish)
    assert "memory" in message or driver.inspect()["HostConfig"]["Memory"] == 64 * 1024**2
    driver.refused("env[KT_A]", disruption="restart", **wish)
    driver.refused("env[KT_A]", disruption="none", **wish)
    driver.refused("memory", "disruption=live", disruption="none", memory="128MiB", env={"KT_A": "1"})
    driver.do(disruption="live", memory="128MiB")
    driver.do(disruption="recreate", **wish)


def test_a_state_that_was_asked_for_needs_no_permission(driver: Driver) -> None:
    driver.do(disruption="none")
    driver.do(disruption="none", state="paused")
    driver.do(disruption="none", state="stopped")
    driver.do(disruption="none", state="absent")


# The engine
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (
            "unix:///no/such/docker.sock",
            ("no Docker engine answers", "unix:///no/such/docker.sock", "kraal.virt.docker_host"),
        ),
        ("tcp://127.0.0.1:1", ("no Docker engine answers", "tcp://127.0.0.1:1", "docker_host")),
        ("gopher://x", ("docker_host", "gopher://x")),
    ],
)
def test_no_engine(driver: Driver, url: str, words: tuple[str, ...]) -> None:
    driver.refused(*words, docker_host=url)


def test_a_socket_that_nobody_serves(driver: Driver, short_tmp: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(short_tmp / "dead.sock"))
    driver.refused("no Docker engine answers", "Install and start it", docker_host=f"unix://{short_tmp}/dead.sock")


def test_certificates_that_are_not_there(driver: Driver) -> None:
    driver.refused(
        "tls_ca", "/no/such/ca.pem", "Name a file", docker_host="tcp://127.0.0.1:1", tls_ca="/no/such/ca.pem"
    )


def test_no_permission(driver: Driver) -> None:
    """Without the capability to pass over permissions, even root is refused by a socket that lets nobody in."""
    Path(driver.proxy.path).chmod(0)
    result = subprocess.run(
        ["setpriv", "--bounding-set=-dac_override", SYSTEM_PYTHON, "-m", python_name(MODULE)],
        input=module_input(MODULE, driver.arguments(), "/tmp"),
        env=module_environment(),
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = json.loads(result.stdout)
    assert said["failed"] and f"no permission on {driver.proxy.base_url}" in said["msg"], result.stdout + result.stderr
    assert (
        "become" in said["msg"] and "group docker" in said["msg"] and "Traceback" not in result.stdout + result.stderr
    )


def test_a_missing_sdk(driver: Driver, tmp_path: Path) -> None:
    """An interpreter that has everything but the library."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['docker'] = None\n", encoding="utf-8")
    probe = subprocess.run(
        [SYSTEM_PYTHON, "-c", "import sys; print(sys.executable)"], capture_output=True, text=True, check=True
    )
    path = f"{tmp_path}:{module_environment()['PYTHONPATH']}"
    result = module_process(MODULE, driver.arguments(), env={"PYTHONPATH": path})
    assert result.failed and "docker" in result.msg and probe.stdout.strip() in result.msg
    assert "python3-docker" in result.msg and "ansible_python_interpreter" in result.msg


def test_a_missing_paramiko(driver: Driver, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['paramiko'] = None\n", encoding="utf-8")
    path = f"{tmp_path}:{module_environment()['PYTHONPATH']}"
    result = module_process(MODULE, {**driver.arguments(), "docker_host": "ssh://192.0.2.1"}, env={"PYTHONPATH": path})
    assert result.failed and "lacks paramiko" in result.msg and "Install the package python3-paramiko" in result.msg


def test_an_engine_that_says_no_later(driver: Driver) -> None:
    """What only the engine can know comes with its own words."""
    name = driver.scratch("empty") + ":1"
    import_image(driver.api, name, "x", ["CMD []"])
    result = driver.run(image=name, command=["/no/such/program"])
    assert result.failed and "/no/such/program" in result.msg and result.msg.startswith(f"docker {driver.name}:")
