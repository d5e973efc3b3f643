# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role docker_host on this machine, and its module docker_setup on two hosts with an engine: Debian 12 with
systemd, and 13 with no init system.

For what the role installs, its check mode on a bare host and its second run see test_prepare; for refusals and plans
see the unit tests. The tests on the hosts build on each other in their order, as a host's days do.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import docker
import pytest
import yaml

from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.setup import proof
from tests.integration.test_examples import check_return, examples
from tests.lab.hosts import Lab, LabHost
from tests.lab.images import ENGINES, HostImage
from tests.support.ansible_runner import Result, Run, run_tasks
from tests.support.daemons import SecondDaemon
from tests.support.host_module import BINDS, run_on
from tests.support.paths import ROOT, SYSTEM_PYTHON

ROLE = ROOT / "roles" / "docker_host"
CONFIG = "/etc/docker/daemon.json"

#: What somebody had put there before.
FOUND = {"max-concurrent-uploads": 2, "log-opts": {"max-file": "2"}}
OPTIONS = {"log-driver": "json-file", "log-opts": {"max-size": "5m"}, "labels": ["kt=1", "token=kt-hush"]}
MERGED = {
    "max-concurrent-uploads": 2,
    "log-opts": {"max-file": "2", "max-size": "5m"},
    "log-driver": "json-file",
    "labels": OPTIONS["labels"],
}

T = TypeVar("T")


# The role


def role(*tasks_from: str, check: bool = False, **variables: Any) -> Run:
    """On this machine. A name with an underscore before it is a variable of the role's own."""
    given = {
        f"__docker_host{key}" if key[0] == "_" else f"docker_host_{key}": value for key, value in variables.items()
    }
    name = {"name": "kraal.virt.docker_host"}
    tasks: list[dict[str, Any]] = [
        {"ansible.builtin.include_role": {**name, "tasks_from": each}, "vars": given} for each in tasks_from
    ]
    return run_tasks(
        tasks or [{"ansible.builtin.import_role": name, "vars": given}],
        check=check,
        diff=True,
        verbosity=3,
        keep_going=False,
        env={"ANSIBLE_INJECT_FACT_VARS": "false"},
    )


@pytest.fixture
def container(docker_api: docker.APIClient, scratch: Any, base_image: str) -> str:
    """One that runs: a proof that containers run, and what a restart of the engine would interrupt."""
    name: str = scratch("runs")
    docker_api.create_container(base_image, ["sleep", "600"], name=name)
    docker_api.start(name)
    return name


def test_a_host_that_is_ready_is_looked_at_once(docker_daemon: str, container: str) -> None:
    """`make test` has prepared this machine; the engine that answers stays as it is, however it was started."""
    before = engine()
    play = role()
    assert play.rc == 0, play.output
    assert play.changed == 0, play.output
    assert engine() == before
    assert [result.skipped for result in play.of("Set up the engine, or see what that takes")] == [False, True]
    assert sum(not result.skipped for result in play.results) == 6, [result.task for result in play.results]


def engine() -> tuple[str, str]:
    """The process of this machine's engine, and when it was started."""
    number = Path("/var/run/docker.pid").read_text(encoding="ascii").strip()
    return number, Path("/proc", number, "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]


def test_check_mode_says_what_would_change_and_hides_secrets(docker_daemon: str, leftovers: None) -> None:
    options = {"proxies": {"http-proxy": "http://kt:kt-hush@192.0.2.1:3128"}, "labels": ["kt=1"]}
    play = role(check=True, daemon_options=options, interrupt_guests=True, users=["root"])
    assert play.rc == 0, play.output
    (_look, done) = play.of("Set up the engine, or see what that takes")
    assert done.changed and play.changed == 1
    assert [(step["action"], step["key"]) for step in done["plan"]][:2] == [("set", ""), ("restart", "service")]
    assert done["diff"]["after"]["daemon.json[labels]"] == ["kt=1"]
    assert "kt-hush" not in play.output and "(hidden)" in play.output


def test_what_is_in_the_way_is_told_before_anything_is_touched(docker_daemon: str, container: str) -> None:
    play = role(daemon_options={"log-driver": "local"}, users=["kt-nobody"])
    (failure,) = [result for result in play.results if result.failed]
    assert failure.task.endswith("Tell all that is in the way")
    assert "log-driver" in failure.msg and "docker_host_interrupt_guests: true" in failure.msg
    assert "docker_host_users names kt-nobody, whom this host does not know" in failure.msg


def test_dockers_own_repository(docker_daemon: str) -> None:
    """What would be written, with a key that is at hand: the repository itself is another's."""
    key, url = "file:///etc/hostname", "https://mirror.example.com/linux/"
    play = role(
        "set_vars", "repository", check=True, repository_key_url=key, repository_url=url, repository_suite="trixie"
    )
    assert play.rc == 0, play.output
    written = play.of("Describe the repository")[0]["diff"][0]["after"]
    assert "\nTypes: deb\nURIs: https://mirror.example.com/linux/debian\n" in written
    assert "\nSuites: trixie\nComponents: stable\nSigned-By: /etc/apt/keyrings/docker.asc\n" in written
    assert not Path("/etc/apt/sources.list.d/docker.sources").exists()


def test_only_the_known_key_of_dockers_repository_is_taken(tmp_path: Path) -> None:
    key, there = tmp_path / "key", tmp_path / "keyrings" / "docker.asc"
    key.write_text("a key", encoding="utf-8")
    given = {"repository_key_url": f"file://{key}", "_key": str(there)}
    checksum = f"sha256:{hashlib.sha256(key.read_bytes()).hexdigest()}"
    play = role("set_vars", "key", **given)
    (failure,) = [result for result in play.results if "no key" in result.task]
    assert "did not match" in failure.msg and "9DC8 5822 9FC7 DD38" in failure.msg, failure.msg
    assert "docker_host_repository_key_checksum" in failure.msg and not there.exists()
    assert role("set_vars", "key", **given, repository_key_checksum=checksum).rc == 0
    assert there.read_text(encoding="utf-8") == "a key"


def test_a_key_that_anybody_could_exchange_is_refused(docker_daemon: str) -> None:
    given = {"source": "docker", "repository_url": "http://mirror.example.com/linux", "repository_key_checksum": ""}
    play = role(check=True, **given)
    (failure,) = [result for result in play.results if result.failed]
    assert "http://mirror.example.com/linux/debian/gpg" in failure.msg, failure.msg
    assert "docker_host_repository_key_checksum is empty" in failure.msg and "https://" in failure.msg


def test_what_a_killed_proof_has_left_is_found_and_removed(
    second_daemon: SecondDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, asked = str(second_daemon.socket), proof._call
    assert proof.left(path) == []
    with monkeypatch.context() as killed:
        killed.setattr(proof, "_call", lambda *call, **named: [] if "DELETE" in call else asked(*call, **named))
        proof.prove(path)
    container, image = left = proof.left(path)
    assert re.fullmatch("containers/kraal-verify-[0-9a-f]{12}", container)
    assert image == container.replace("containers", "images") + ":1"
    with second_daemon.client() as client:
        client.tag(image.partition("/")[2], "kraal-verify-mine")
        for name in left:
            proof.remove_left(path, name)
        assert proof.left(path) == [] and client.containers(all=True) == []
        client.remove_image("kraal-verify-mine")


def test_every_option_reaches_the_module() -> None:
    """But for those of the repository, which the role itself describes."""
    options = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"][
        "main"
    ]["options"]
    (task,) = yaml.safe_load((ROLE / "tasks" / "setup.yml").read_text(encoding="utf-8"))
    given = {
        key: value for key, value in task["kraal.virt.docker_setup"].items() if key not in ("assume_packages", "faults")
    }
    assert {f"docker_host_{key}" for key in given} == {name for name in options if "_repository_" not in name}
    assert [key for key, value in given.items() if value != f"{{{{ docker_host_{key} }}}}"] == []


def test_the_documented_options_are_the_options() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-doc"), "--type", "role", "--json", "kraal.virt.docker_host"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    documented = json.loads(done.stdout)["kraal.virt.docker_host"]["entry_points"]["main"]["options"]
    readme = (ROLE / "README.md").read_text(encoding="utf-8")
    assert [name for name in documented if f"`{name}`" not in readme] == []


# The module on hosts


class Hosts:
    """Two hosts with an engine, and the module run on them, side by side where it is the same."""

    def __init__(self, lab: Lab, systemd: LabHost, direct: LabHost) -> None:
        self.lab, self.systemd, self.direct = lab, systemd, direct
        self.all = [systemd, direct]

    def each(self, function: Callable[[LabHost], T]) -> list[T]:
        with ThreadPoolExecutor() as pool:
            return list(pool.map(function, self.all))

    def setup(
        self, host: LabHost, *, check: bool = False, interpreter: str = SYSTEM_PYTHON, user: int = 0, **args: Any
    ) -> Result:
        result = run_on(
            self.lab, host, "kraal.virt.docker_setup", args, check=check, interpreter=interpreter, user=user
        )
        assert result.json, result.stdout + result.stderr
        return result

    def run(self, host: LabHost, *argv: str) -> str:
        return self.lab.run(host, argv).stdout.strip()

    def config(self, host: LabHost) -> Any:
        return json.loads(self.run(host, "cat", CONFIG))

    def engine(self, host: LabHost) -> str:
        """The process of the one engine."""
        living = [
            line.split()[0]
            for line in self.run(host, "ps", "-C", "dockerd", "-o", "pid=,stat=").splitlines()
            if not line.split()[1].startswith("Z")
        ]
        assert len(living) == 1, living
        return living[0]

    def info(self, host: LabHost) -> Any:
        return json.loads(self.run(host, "docker", "info", "--format", "{{json .}}"))

    def started(self, host: LabHost) -> str:
        return self.run(host, "docker", "inspect", "--format", "{{.State.Running}} {{.State.StartedAt}}", "kt-guest")

    def state(self, host: LabHost) -> tuple[Any, str, str]:
        return self.config(host), self.engine(host), self.started(host)


@pytest.fixture(scope="module")
def hosts(lab: Lab) -> Hosts:
    systemd = HostImage("bookworm", ENGINES)
    direct = HostImage("trixie", ("docker-cli", "docker.io", "python3-docker", "xz-utils"), boots=False)
    every = Hosts(lab, *lab.up(systemd, direct, binds=BINDS))
    for host in every.all:
        every.run(host, "useradd", "--shell", "/bin/sh", "kt-user")
        every.run(host, "mkdir", "--parents", "/etc/docker")
        lab.copy(host, {CONFIG: json.dumps(FOUND).encode()})
    return every


def succeeded(result: Result) -> Result:
    assert not result.failed, result.stdout
    return result


def failed(result: Result, *words: str) -> None:
    assert result.failed, result.stdout
    for word in words:
        assert word in result.msg, result.msg


def steps(result: Result) -> list[tuple[str, str]]:
    return [(step["action"], step["key"]) for step in result["plan"]]


def test_all_that_is_in_the_way_is_told_at_once(hosts: Hosts) -> None:
    wrong = {
        "source": "docker",
        "users": ["kt-user", "kt-nobody"],
        "service_manager": "systemd",
        "packages": ["kt-no-such-package"],
    }
    result = succeeded(hosts.setup(hosts.direct, check=True, faults="return", **wrong))
    assert not result.changed and result["plan"] == []
    for words in (
        "docker_host_source is docker, but docker.io is installed",
        "docker_host_users names kt-nobody, whom this host does not know",
        (
            "systemd does not run on this host, so it cannot start the engine. Set docker_host_service_manager to "
            "auto, sysvinit or direct."
        ),
        "kt-no-such-package are not installed. The role kraal.virt.docker_host installs what is missing.",
    ):
        assert [fault for fault in result["faults"] if words in fault], (words, result["faults"])
    failed(hosts.setup(hosts.direct, **wrong), *result["faults"])
    failed(hosts.setup(hosts.direct, user=65534), "runs as user id 65534", "become: true")


def test_the_first_run(hosts: Hosts) -> None:
    """With systemd the engine runs already, with what was found; without, nobody has started it."""
    given = {"daemon_options": OPTIONS, "users": ["kt-user"]}

    def setup(host: LabHost) -> None:
        takes = "start" if host is hosts.direct else "restart"
        wanted = [("set", ""), (takes, "service"), ("set", "groups[docker]")]
        assert steps(succeeded(hosts.setup(host, check=True, **given))) == wanted
        assert hosts.config(host) == FOUND
        result = succeeded(hosts.setup(host, **given))
        assert steps(result) == wanted and result["proven"]
        assert "kt-hush" not in result.stdout
        assert result["ansible_facts"]["kraal"]["backends"]["docker"]["usable"] is True
        assert hosts.config(host) == MERGED
        assert "docker" in hosts.run(host, "id", "--name", "--groups", "kt-user").split()
        assert hosts.info(host)["LoggingDriver"] == "json-file"
        assert not hosts.run(host, "docker", "ps", "--all", "--quiet")
        assert not hosts.run(host, "docker", "images", "--quiet")
        before = hosts.engine(host)
        again = succeeded(hosts.setup(host, **given))
        assert not again.changed and again["proven"], again.stdout
        assert hosts.engine(host) == before

    hosts.each(setup)


def test_what_can_change_live_does(hosts: Hosts) -> None:
    options = {"labels": ["kt=2"], "max-concurrent-downloads": 5}

    def setup(host: LabHost) -> None:
        before = hosts.engine(host)
        hosts.run(host, "chmod", "0600", CONFIG)
        result = succeeded(hosts.setup(host, daemon_options=options))
        assert steps(result) == [("set", ""), ("reload", "service")]
        # What goes may be a secret too.
        assert "kt-hush" not in result.stdout
        assert hosts.info(host)["Labels"] == ["kt=2"]
        assert hosts.config(host) == {**MERGED, **options}
        # As it was kept, and its backup too.
        modes = dict(
            line.split()[::-1] for line in hosts.run(host, "sh", "-c", f"stat -c '%a %n' {CONFIG}*").splitlines()
        )
        assert modes[CONFIG] == "600" and "600" in [mode for path, mode in modes.items() if path != CONFIG]
        assert hosts.engine(host) == before

    hosts.each(setup)


def test_a_restart_does_not_stop_guests_unasked(hosts: Hosts) -> None:
    """live-restore needs no restart; from then on a restart leaves guests alone, and is allowed."""

    def setup(host: LabHost) -> None:
        start_guest(hosts, host)
        before = hosts.state(host)
        failed(
            hosts.setup(host, daemon_options={"log-driver": "local"}),
            "log-driver",
            "1 running containers",
            "docker_host_interrupt_guests: true",
        )
        assert hosts.state(host) == before
        succeeded(hosts.setup(host, daemon_options={"live-restore": True}))
        assert hosts.state(host)[1:] == before[1:]
        options = {"max-concurrent-uploads": None, "log-driver": "local", "log-opts": {"max-size": "6m"}}
        succeeded(hosts.setup(host, daemon_options=options))
        assert hosts.engine(host) != before[1]
        assert hosts.started(host) == before[2]
        assert hosts.info(host)["LoggingDriver"] == "local"
        assert hosts.config(host)["log-opts"] == {"max-file": "2", "max-size": "6m"}
        assert "max-concurrent-uploads" not in hosts.config(host)

    hosts.each(setup)


def start_guest(hosts: Hosts, host: LabHost) -> None:
    """A container of the host's own `sleep`."""
    pack = "tar --create --dereference --directory / usr/bin/sleep lib64/ld-linux-x86-64.so.2 lib/x86_64-linux-gnu/libc.so.6 | docker import - kt-sleep:1"
    hosts.run(host, "sh", "-c", pack)
    hosts.run(host, "docker", "run", "--detach", "--name", "kt-guest", "kt-sleep:1", "/usr/bin/sleep", "infinity")


def test_a_configuration_that_the_engine_does_not_take(hosts: Hosts) -> None:
    """Debian 13's engine is asked beforehand; Debian 12's only tells when it starts, as both do of some values.

    Then the old configuration comes back.
    """

    def setup(host: LabHost) -> None:
        before = hosts.state(host)
        result = hosts.setup(host, daemon_options={"kt-no-such-option": True})
        failed(result, "kt-no-such-option", "as it was before", "don't match any configuration option")
        assert result.changed is (host is hosts.systemd)
        result = hosts.setup(host, daemon_options={"storage-driver": "kt-no-such-driver"})
        failed(
            result,
            "storage-driver",
            "which is again as it was before",
            "the engine was started, but",
            "driver not supported",
        )
        config, engine, started = hosts.state(host)
        assert (config, started) == (before[0], before[2]) and engine != before[1]

    hosts.each(setup)


def test_an_interpreter_without_the_library(hosts: Hosts) -> None:
    host, python = hosts.systemd, "/opt/kt-venv/bin/python3"
    hosts.run(host, "mkdir", "--parents", "/opt/kt-venv/bin")
    hosts.run(host, "ln", "--symbolic", "/usr/bin/python3", python)
    hosts.lab.copy(host, {"/opt/kt-venv/pyvenv.cfg": b"home = /usr/bin\ninclude-system-site-packages = false\n"})
    failed(
        hosts.setup(host, interpreter=python),
        python,
        "cannot import docker",
        "ansible_python_interpreter: /usr/bin/python3",
    )
    assert succeeded(hosts.setup(host, interpreter=python, python_package="", verify=False)).changed is False


def test_an_engine_that_died_comes_back(hosts: Hosts) -> None:
    """Even when the numbers that it left behind are other processes' by now."""
    hosts.run(hosts.direct, "pkill", "--signal", "KILL", "dockerd|containerd")
    for pidfile in ("/run/docker.pid", "/run/docker/containerd/containerd.pid"):
        hosts.run(hosts.direct, "sh", "-c", f"echo 1 > {pidfile}")
    assert steps(succeeded(hosts.setup(hosts.direct, check=True))) == [("start", "service")]
    succeeded(hosts.setup(hosts.direct))
    assert hosts.engine(hosts.direct)
    assert not succeeded(hosts.setup(hosts.direct)).changed


def test_an_engine_from_elsewhere_is_used_as_it_is(hosts: Hosts) -> None:
    """Whosever it is, while it answers. One that sleeps is not woken by a look, and is named when it is in the way."""
    host = hosts.systemd
    rename = ["sed", "--in-place", "s/^Package: docker.io$/Package: docker-ce/", "/var/lib/dpkg/status"]
    hosts.run(host, *rename)
    try:
        before = hosts.engine(host)
        assert not succeeded(hosts.setup(host)).changed
        assert hosts.engine(host) == before
        hosts.run(host, "systemctl", "stop", "docker.service")
        assert hosts.run(host, "systemctl", "is-active", "docker.socket") == "active"
        result = hosts.setup(host, check=True, assume_packages=True)
        failed(
            result,
            "docker-ce is installed and does not answer",
            "docker.service is stopped",
            "start that engine, which is then used as it is",
        )
        for module, args in (
            ("docker_container", {"name": "kt-guest", "image": "kt"}),
            ("docker_volume", {"name": "kt-guest"}),
            ("fleet", {"guests": [{"name": "kt-guest", "backend": "docker", "image": "kt"}]}),
            ("fleet_resources", {"networks": [{"name": "kt-net"}]}),
            ("guests_info", {"backends": ["docker"]}),
        ):
            failed(
                run_on(hosts.lab, host, f"kraal.virt.{module}", args, check=True),
                "docker.service is stopped, and a mere look would start it",
                "systemctl start docker.service",
            )
        assert (
            hosts.lab.run(host, ["systemctl", "is-active", "docker.service"], check=False).stdout.strip() == "inactive"
        )
        started = run_on(hosts.lab, host, "kraal.virt.docker_volume", {"name": "kt-guest", "state": "absent"})
        assert not succeeded(started).changed and hosts.engine(host)
        hosts.run(host, "systemctl", "stop", "docker.service")
    finally:
        hosts.run(host, *rename[:2], "s/^Package: docker-ce$/Package: docker.io/", rename[3])
    hosts.run(host, "systemctl", "disable", "docker.service")
    wanted = [("set", "autostart"), ("start", "service")]
    assert steps(succeeded(hosts.setup(host, check=True))) == wanted
    assert hosts.lab.run(host, ["systemctl", "is-active", "docker.service"], check=False).stdout.strip() == "inactive"
    assert steps(succeeded(hosts.setup(host))) == wanted
    assert hosts.engine(host) and hosts.run(host, "systemctl", "is-enabled", "docker.service") == "enabled"


def test_the_examples_run(hosts: Hosts) -> None:
    for task in examples("docker_setup"):
        result = succeeded(
            hosts.setup(hosts.systemd, check=task.get("check_mode", False), **task["kraal.virt.docker_setup"])
        )
        check_return("docker_setup", task["name"], result.json)
