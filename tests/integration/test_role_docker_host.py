# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role docker_host on this machine and on fresh hosts: Debian 12 with systemd, and 13 with no init system. For 13 with systemd see test_prepare.

The tests on the hosts build on each other in their order, as a host's days do.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.lab.hosts import Lab, LabHost
from tests.support.ansible_runner import Run, run_tasks
from tests.support.paths import ROOT

FILES = ROOT / "roles" / "docker_host" / "files"
CONFIG = "/etc/docker/daemon.json"

#: What somebody had put there before the role came.
FOUND = {"max-concurrent-uploads": 2, "log-opts": {"max-file": "2"}}
OPTIONS = {"log-driver": "json-file", "log-opts": {"max-size": "5m"}, "labels": ["kt=1"]}
MERGED = {"max-concurrent-uploads": 2, "log-opts": {"max-file": "2", "max-size": "5m"}, "log-driver": "json-file", "labels": ["kt=1"]}


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"docker_host_{name}", FILES / f"{name}.py")
    if spec is None or spec.loader is None:
        raise RuntimeError(f"{FILES / name}.py cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pidfiles, verify, wait = script("stale_pidfiles"), script("verify_engine"), script("wait_engine")


# What the scripts decide


def test_pidfiles_of_the_living_and_the_dead(tmp_path: Path) -> None:
    name = Path("/proc/self/comm").read_text(encoding="utf-8").strip()
    pidfile = tmp_path / "pid"
    assert not pidfiles.stale(pidfile, [name])
    pidfile.write_text("self", encoding="ascii")
    assert pidfiles.stale(pidfile, [name])
    pidfile.write_text(f"{Path('/proc/self').resolve().name}\n", encoding="ascii")
    assert not pidfiles.stale(pidfile, [name])
    assert pidfiles.stale(pidfile, ["dockerd"])
    assert wait.alive(pidfile)
    with subprocess.Popen(["true"]) as child:
        pidfile.write_text(str(child.pid), encoding="ascii")
        # It has ended, and its exit code is left for later: a zombie.
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert pidfiles.stale(pidfile, ["true"])
        assert not wait.alive(pidfile)
    assert pidfiles.stale(pidfile, ["true"])


def test_only_static_programs_are_put_into_the_image() -> None:
    assert verify.is_static(Path("/usr/bin/tini-static").read_bytes())
    assert not verify.is_static(Path("/bin/sh").read_bytes())
    assert not verify.is_static(b"#!/bin/sh\n")


def test_waiting_ends_at_the_deadline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wait.main(["--socket", str(tmp_path / "none.sock"), "--timeout", "0.3"])
    result = json.loads(capsys.readouterr().out)
    assert result["ok"] is False
    assert "does not answer within 0.3 s" in result["said"]


# This machine


def test_nothing_to_do_on_this_machine(docker_daemon: str, leftovers: None) -> None:
    """`make test` has prepared it; the engine that answers stays as it is, however it was started."""
    before = engine()
    play = run_tasks([{"ansible.builtin.import_role": {"name": "kraal.virt.docker_host"}}], keep_going=False)
    assert play.rc == 0, play.output
    assert play.changed == 0, play.output
    assert engine() == before


def engine() -> tuple[str, str]:
    """The process of this machine's engine, and when it was started."""
    number = Path("/var/run/docker.pid").read_text(encoding="ascii").strip()
    return number, Path("/proc", number, "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]


# Hosts


class Hosts:
    """The hosts of these tests, and the role run on `all` side by side; `new` stays without an engine, for what is refused before."""

    def __init__(self, lab: Lab, old: LabHost, new: LabHost, bare: LabHost) -> None:
        self.lab, self.old, self.new, self.bare = lab, old, new, bare
        self.all = [old, bare]

    def role(
        self, *, check: bool = False, diff: bool = False, hosts: list[LabHost] | None = None, host_vars: dict[str, Any] | None = None, **variables: Any
    ) -> Run:
        inventory = {"all": {"hosts": {host.name: {**host.inventory, **(host_vars or {})} for host in hosts or self.all}}}
        task = {"ansible.builtin.import_role": {"name": "kraal.virt.docker_host"}}
        given = {f"docker_host_{key}": value for key, value in variables.items()}
        return run_tasks(
            [task], inventory=inventory, hosts="all", variables=given, check=check, diff=diff, keep_going=False, env={"ANSIBLE_INJECT_FACT_VARS": "false"}
        )

    def run(self, host: LabHost, *argv: str) -> str:
        return self.lab.run(host, argv).stdout.strip()

    def has(self, host: LabHost, path: str) -> bool:
        return self.lab.run(host, ["test", "-e", path], check=False).rc == 0

    def config(self, host: LabHost) -> Any:
        return json.loads(self.run(host, "cat", CONFIG))

    def engine(self, host: LabHost) -> str:
        """The process of the one engine."""
        living = [line.split()[0] for line in self.run(host, "ps", "-C", "dockerd", "-o", "pid=,stat=").splitlines() if not line.split()[1].startswith("Z")]
        assert len(living) == 1, living
        return living[0]

    def info(self, host: LabHost) -> Any:
        return json.loads(self.run(host, "docker", "info", "--format", "{{json .}}"))

    def started(self, host: LabHost) -> str:
        return self.run(host, "docker", "inspect", "--format", "{{.State.Running}} {{.State.StartedAt}}", "kt-guest")


@pytest.fixture(scope="module")
def hosts(lab: Lab, lab_hosts: list[LabHost], bare_host: LabHost) -> Hosts:
    old, new = lab_hosts
    every = Hosts(lab, old, new, bare_host)
    for host in (old, new, bare_host):
        every.run(host, "useradd", "--shell", "/bin/sh", "kt-user")
        every.lab.copy(host, {CONFIG: json.dumps(FOUND).encode()})
    return every


def succeeded(play: Run) -> Run:
    assert play.rc == 0, play.output
    return play


def failed(play: Run, hosts: list[LabHost], *words: str) -> None:
    """Every host failed, and the last message of each has the words."""
    for host in hosts:
        results = [result for result in play.results if result.host == host.name and result.failed]
        assert results, play.output
        for word in words:
            assert word in results[-1].msg, results[-1].msg


def test_check_mode_on_fresh_hosts(hosts: Hosts) -> None:
    """It tells what it would do, installs nothing, and does not fail because there is no engine yet."""
    play = succeeded(hosts.role(check=True, diff=True, daemon_options=OPTIONS, users=["kt-user"]))
    for host in hosts.all:
        (packages,) = play.of("Say which packages are missing", host.name)
        assert "docker.io" in packages.msg and "python3-docker" in packages.msg
        assert ("docker-cli" in packages.msg) is (host.suite == "trixie")
        assert play.of("Write the configuration", host.name)[0].changed
        (start,) = [result for result in play.of("Say that the engine would be started", host.name) if not result.skipped]
        assert ("direct" if host is hosts.bare else "systemd") in start.msg
        assert hosts.config(host) == FOUND
        assert not hosts.has(host, "/usr/sbin/dockerd")
        assert "docker" not in hosts.run(host, "cat", "/etc/group")


def test_check_mode_with_dockers_own_repository(hosts: Hosts) -> None:
    """What would be written, with a key that is at hand: the repository itself is another's."""
    key, url = "file:///etc/hostname", "https://mirror.example.com/linux/"
    play = succeeded(hosts.role(hosts=[hosts.new], check=True, diff=True, source="docker", repository_key_url=key, repository_url=url))
    (described,) = play.of("Describe the repository")
    written = described["diff"][0]["after"]
    assert "\nTypes: deb\nURIs: https://mirror.example.com/linux/debian\n" in written
    assert "\nSuites: trixie\nComponents: stable\nSigned-By: /etc/apt/keyrings/docker.asc\n" in written
    assert "docker-ce-cli" in play.of("Say which packages are missing")[0].msg
    assert not hosts.has(hosts.new, "/etc/apt/sources.list.d/docker.sources")


def test_a_user_that_does_not_exist(hosts: Hosts) -> None:
    failed(hosts.role(hosts=[hosts.new], users=["kt-user", "kt-nobody"]), [hosts.new], "docker_host_users names kt-nobody, whom this host does not know")
    assert not hosts.has(hosts.new, "/usr/sbin/dockerd")


def test_without_root(hosts: Hosts) -> None:
    login = {"ansible_become": True, "ansible_become_method": "ansible.builtin.su", "ansible_become_user": "kt-user"}
    failed(hosts.role(hosts=[hosts.new], host_vars=login), [hosts.new], "runs as user id", "become: true")


def test_the_first_run(hosts: Hosts) -> None:
    play = succeeded(hosts.role(daemon_options=OPTIONS, users=["kt-user"]))
    for host in hosts.all:
        assert play.stats[host.name]["changed"] > 0
        assert hosts.config(host) == MERGED
        assert "docker" in hosts.run(host, "id", "--name", "--groups", "kt-user").split()
        assert hosts.info(host)["LoggingDriver"] == "json-file"
        assert not hosts.run(host, "docker", "ps", "--all", "--quiet")
        assert not hosts.run(host, "docker", "images", "--quiet")
        (ran,) = play.of("Run a container", host.name)
        assert json.loads(ran["stdout"])["said"].startswith("tini version")
    assert hosts.run(hosts.bare, "ps", "-p", hosts.engine(hosts.bare), "-o", "ppid=") == "1"


def test_what_is_read_is_not_shown(tmp_path: Path) -> None:
    """The whole of the configuration, in which the password of a proxy may stand, in base64."""
    config = tmp_path / "daemon.json"
    config.write_text(json.dumps({"proxies": {"http-proxy": "http://kt:kt-hush@192.0.2.1:3128"}}), encoding="utf-8")
    role = {"name": "kraal.virt.docker_host", "tasks_from": "configure.yml"}
    run = run_tasks([{"ansible.builtin.include_role": role}], variables={"__docker_host_config": str(config)}, diff=True, verbosity=3, keep_going=False)
    assert run.rc == 0 and "Read the engine's configuration" in run.output, run.output
    shown = run.output + "".join(base64.b64decode(word + "==").decode(errors="replace") for word in re.findall(r"[A-Za-z0-9+/]{40,}", run.output))
    assert "kt-hush" not in shown


@pytest.mark.parametrize("check", [True, False], ids=["check", "run"])
def test_the_second_run(hosts: Hosts, check: bool) -> None:
    """All hosts are asked again, in both ways, by test_prepare; here are those that have what it has not: options, and no init system."""
    before = [hosts.engine(host) for host in hosts.all]
    play = succeeded(hosts.role(hosts=[hosts.bare] if check else hosts.all, check=check, daemon_options=OPTIONS, users=["kt-user"]))
    assert play.changed == 0, play.output
    assert [hosts.engine(host) for host in hosts.all] == before


def test_what_can_change_live_does(hosts: Hosts) -> None:
    before = [hosts.engine(host) for host in hosts.all]
    options = {"labels": ["kt=2"], "max-concurrent-downloads": 5}
    for host in hosts.all:
        hosts.run(host, "chmod", "0600", CONFIG)
    play = succeeded(hosts.role(check=True, daemon_options=options))
    assert all(play.of("Say what the engine would do", host.name)[0].msg == "Would reload the engine" for host in hosts.all)
    succeeded(hosts.role(daemon_options=options))
    for host in hosts.all:
        assert hosts.info(host)["Labels"] == ["kt=2"]
        assert hosts.config(host) == {**MERGED, **options}
        # As it was kept, and its backup too.
        modes = dict(line.split()[::-1] for line in hosts.run(host, "sh", "-c", f"stat -c '%a %n' {CONFIG}*").splitlines())
        assert modes[CONFIG] == "600" and "600" in [mode for path, mode in modes.items() if path != CONFIG]
    assert [hosts.engine(host) for host in hosts.all] == before


def test_a_restart_does_not_stop_guests_unasked(hosts: Hosts) -> None:
    for host in hosts.all:
        start_guest(hosts, host)
    before = [(hosts.config(host), hosts.engine(host), hosts.started(host)) for host in hosts.all]
    play = hosts.role(daemon_options={"log-driver": "local"})
    failed(play, hosts.all, "log-driver", "1 running containers", "docker_host_interrupt_guests: true")
    assert [(hosts.config(host), hosts.engine(host), hosts.started(host)) for host in hosts.all] == before


def start_guest(hosts: Hosts, host: LabHost) -> None:
    """A container of the host's own `sleep`."""
    pack = "tar --create --dereference --directory / usr/bin/sleep lib64/ld-linux-x86-64.so.2 lib/x86_64-linux-gnu/libc.so.6 | docker import - kt-sleep:1"
    hosts.run(host, "sh", "-c", pack)
    hosts.run(host, "docker", "run", "--detach", "--name", "kt-guest", "kt-sleep:1", "/usr/bin/sleep", "infinity")


def test_a_restart_with_guests_kept_alive(hosts: Hosts) -> None:
    """live-restore itself needs no restart; from then on a restart leaves guests alone, and is allowed."""
    before = [(hosts.engine(host), hosts.started(host)) for host in hosts.all]
    succeeded(hosts.role(daemon_options={"live-restore": True}))
    assert [(hosts.engine(host), hosts.started(host)) for host in hosts.all] == before
    succeeded(hosts.role(daemon_options={"max-concurrent-uploads": None, "log-driver": "local", "log-opts": {"max-size": "6m"}}))
    for host, (engine, started) in zip(hosts.all, before, strict=True):
        assert hosts.engine(host) != engine
        assert hosts.started(host) == started
        assert hosts.info(host)["LoggingDriver"] == "local"
        assert hosts.config(host)["log-opts"] == {"max-file": "2", "max-size": "6m"}
        assert "max-concurrent-uploads" not in hosts.config(host)


def test_an_option_that_the_engine_does_not_know(hosts: Hosts) -> None:
    """Debian 13's engine is asked beforehand; Debian 12's only tells when it starts, and then the old configuration comes back."""
    before = [hosts.config(host) for host in hosts.all]
    play = hosts.role(daemon_options={"kt-no-such-option": True})
    failed(play, hosts.all, "kt-no-such-option", "as it was before", "don't match any configuration option")
    assert [hosts.config(host) for host in hosts.all] == before
    assert all(hosts.info(host)["ServerVersion"] for host in hosts.all)


def test_a_value_that_only_the_start_refuses(hosts: Hosts) -> None:
    before, guest = hosts.config(hosts.bare), hosts.started(hosts.bare)
    play = hosts.role(hosts=[hosts.bare], daemon_options={"storage-driver": "kt-no-such-driver"})
    failed(play, [hosts.bare], "storage-driver", "as it was before", "it ended by itself", "kt-no-such-driver")
    assert hosts.config(hosts.bare) == before
    assert hosts.started(hosts.bare) == guest


def test_a_configuration_that_is_no_json(hosts: Hosts) -> None:
    before = hosts.run(hosts.old, "cat", CONFIG)
    hosts.lab.copy(hosts.old, {CONFIG: b'{"labels": ['})
    failed(hosts.role(hosts=[hosts.old], daemon_options=OPTIONS), [hosts.old], CONFIG, "is not valid JSON")
    assert hosts.run(hosts.old, "cat", CONFIG) == '{"labels": ['
    hosts.lab.copy(hosts.old, {CONFIG: before.encode()})


def test_the_other_engine_is_installed(hosts: Hosts) -> None:
    failed(hosts.role(hosts=[hosts.old], source="docker"), [hosts.old], "docker.io", "docker_host_source")
    assert not hosts.has(hosts.old, "/etc/apt/keyrings/docker.asc")


def test_an_interpreter_without_the_sdk(hosts: Hosts) -> None:
    hosts.run(hosts.old, "mkdir", "--parents", "/opt/kt-venv/bin")
    hosts.run(hosts.old, "ln", "--symbolic", "/usr/bin/python3", "/opt/kt-venv/bin/python3")
    hosts.lab.copy(hosts.old, {"/opt/kt-venv/pyvenv.cfg": b"home = /usr/bin\ninclude-system-site-packages = false\n"})
    play = hosts.role(hosts=[hosts.old], host_vars={"ansible_python_interpreter": "/opt/kt-venv/bin/python3"})
    failed(play, [hosts.old], "/opt/kt-venv/bin/python3", "cannot import docker", "ansible_python_interpreter: /usr/bin/python3")


def test_an_engine_that_died_comes_back(hosts: Hosts) -> None:
    """Even when the numbers that it left behind are other processes' by now."""
    hosts.run(hosts.bare, "pkill", "--signal", "KILL", "dockerd|containerd")
    for pidfile in ("/run/docker.pid", "/run/docker/containerd/containerd.pid"):
        hosts.run(hosts.bare, "sh", "-c", f"echo 1 > {pidfile}")
    play = succeeded(hosts.role(hosts=[hosts.bare], check=True))
    assert play.changed == 1, play.output
    succeeded(hosts.role(hosts=[hosts.bare]))
    assert hosts.engine(hosts.bare)
    assert succeeded(hosts.role(hosts=[hosts.bare])).changed == 0


def test_an_engine_from_elsewhere_is_used_as_it_is(hosts: Hosts) -> None:
    """Whosever it is, while it answers. One that sleeps is not woken by a look, and is named when it is in the way."""
    host = hosts.old
    rename = ["sed", "--in-place", "s/^Package: docker.io$/Package: docker-ce/", "/var/lib/dpkg/status"]
    hosts.run(host, *rename)
    try:
        before = hosts.engine(host)
        play = succeeded(hosts.role(hosts=[host]))
        assert play.changed == 0, play.output
        assert hosts.engine(host) == before
        hosts.run(host, "systemctl", "stop", "docker.service")
        assert hosts.run(host, "systemctl", "is-active", "docker.socket") == "active"
        play = hosts.role(hosts=[host], check=True)
        failed(play, [host], "docker-ce is installed and does not answer", "docker.service is stopped", "start that engine, which is then used as it is")
        assert hosts.lab.run(host, ["systemctl", "is-active", "docker.service"], check=False).stdout.strip() == "inactive"
    finally:
        hosts.run(host, *rename[:2], "s/^Package: docker-ce$/Package: docker.io/", rename[3])
    assert succeeded(hosts.role(hosts=[host], check=True)).changed == 1
    assert hosts.lab.run(host, ["systemctl", "is-active", "docker.service"], check=False).stdout.strip() == "inactive"
    assert succeeded(hosts.role(hosts=[host])).changed == 1
    assert hosts.engine(host)


def test_the_service_manager_that_is_not_there(hosts: Hosts) -> None:
    failed(hosts.role(hosts=[hosts.bare], service_manager="systemd"), [hosts.bare], "systemd does not run on this host", "direct")


def test_the_documented_options_are_the_options() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-doc"), "--type", "role", "--json", "kraal.virt.docker_host"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    documented = json.loads(done.stdout)["kraal.virt.docker_host"]["entry_points"]["main"]["options"]
    readme = (ROOT / "roles" / "docker_host" / "README.md").read_text(encoding="utf-8")
    assert [name for name in documented if f"`{name}`" not in readme] == []
