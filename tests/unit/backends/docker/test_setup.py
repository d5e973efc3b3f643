# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What docker_setup plans and refuses, from what was observed; real engines are in
tests/integration/test_role_docker_host.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.setup import proof as setup_proof
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.setup import resource as setup
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.setup.config import configured, read
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.setup.engine import Engine, refusal
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import InvalidOption
from ansible_collections.kraal.virt.plugins.module_utils.host.reader import Host, Said
from tests.unit.host.test_setup import Programs

FILE = "/etc/docker/daemon.json"
FOUND = '{"max-concurrent-uploads": 2, "log-opts": {"max-file": "2"}, "labels": ["a", "b"]}'
IDLE: Mapping[str, Any] = {"ContainersRunning": 0, "LiveRestoreEnabled": False, "SystemTime": "2026-01-01T00:00:00Z"}


def engine(
    options: Mapping[str, Any], info: Mapping[str, Any] | None = IDLE, text: str | None = FOUND, **more: Any
) -> Engine:
    given = {"autostart": True, "interrupt": False, "timeout": 60, **more}
    return Engine(
        Host(), configured(FILE, text, options), "systemd", "/usr/sbin/dockerd", "/run/docker.sock", info, **given
    )


def words(part: Engine) -> list[tuple[str, str]]:
    return [(step.action, step.key) for step in part.plan()]


# The configuration


def test_options_are_merged_into_the_file() -> None:
    config = configured(
        FILE, FOUND, {"log-opts": {"max-size": "5m"}, "labels": ["c"], "debug": True, "max-concurrent-uploads": None}
    )
    assert config.after == {"log-opts": {"max-file": "2", "max-size": "5m"}, "labels": ["c"], "debug": True}
    assert (config.differs, config.removed) == (["debug", "labels", "log-opts"], ["max-concurrent-uploads"])
    assert config.restarts == ["max-concurrent-uploads", "log-opts"]
    assert config.content.startswith('{\n    "log-opts": {\n')


@pytest.mark.parametrize("options", [{}, {"labels": ["a", "b"]}, {"log-opts": {"max-file": "2"}}, {"data-root": None}])
def test_what_is_so_already_is_no_change(options: dict[str, Any]) -> None:
    assert configured(FILE, FOUND, options).changed == []


def test_a_number_is_not_the_same_as_true() -> None:
    assert configured(FILE, '{"debug": 1}', {"debug": True}).changed == ["debug"]


def test_a_null_that_nobody_named_stays() -> None:
    assert configured(FILE, '{"dns": null}', {"debug": True}).after == {"dns": None, "debug": True}


@pytest.mark.parametrize("text", ['{"labels": [', "[]", "nonsense"])
def test_a_file_that_is_no_json_is_in_the_way(text: str) -> None:
    assert engine({"debug": True}, text=text).faults() == [
        f"{FILE} is not valid JSON, so nothing can be merged into it. Repair the file, or move it away."
    ]


@pytest.mark.parametrize("text", [None, "", "\n"])
def test_no_file_and_an_empty_one(text: str | None) -> None:
    assert configured(FILE, text, {"debug": True}).after == {"debug": True}


@pytest.mark.parametrize(
    ("options", "mode"),
    [
        ({"debug": True}, 0o644),
        ({"proxies": {"no-proxy": "example.com"}}, 0o600),
        ({"registry-mirrors": ["https://me:kt-hush@mirror.example.com"]}, 0o600),
        ({"log-opts": {"splunk-token": "kt-hush"}}, 0o600),
    ],
)
def test_a_new_file_with_secrets_is_for_root_alone(options: dict[str, Any], mode: int) -> None:
    assert configured(FILE, None, options).mode == mode


def test_reading_the_file(tmp_path: Path) -> None:
    assert read(str(tmp_path / "daemon.json"), {"debug": True}).text is None
    (tmp_path / "daemon.json").write_text(FOUND, encoding="utf-8")
    assert read(str(tmp_path / "daemon.json"), {}).before["labels"] == ["a", "b"]


# The engine


def test_nothing_to_do() -> None:
    assert engine({}).plan() == [] and engine({}).faults() == []


def test_what_can_change_live_is_only_read_again() -> None:
    (change, reload) = engine({"labels": ["c"]}).plan()
    assert (change.key, change.before, change.after) == ("daemon.json[labels]", ["a", "b"], ["c"])
    assert (reload.action, reload.disruption.label) == ("reload", "none")


def test_all_else_takes_a_restart_and_the_file_is_one_step() -> None:
    (change, restart) = engine({"labels": ["c"], "log-driver": "local"}).plan()
    assert change.key == "" and change.after == {"daemon.json[labels]": ["c"], "daemon.json[log-driver]": "local"}
    assert (restart.action, restart.disruption.label) == ("restart", "none")


def test_an_engine_that_does_not_answer_is_started_with_what_is_new() -> None:
    assert words(engine({"log-driver": "local"}, None, autostart=False)) == [
        ("set", "autostart"),
        ("set", "daemon.json[log-driver]"),
        ("start", "service"),
    ]


GUESTS = {**IDLE, "ContainersRunning": 3}


def test_a_restart_that_would_stop_guests_is_refused() -> None:
    (fault,) = engine({"log-driver": "local", "labels": None}, GUESTS).faults()
    assert fault == (
        "labels, log-driver in /etc/docker/daemon.json would take a restart of the engine, which stops its 3 running "
        "containers. Set docker_host_interrupt_guests: true to allow it, or let the engine keep them alive first "
        "(live-restore: true in docker_host_daemon_options, which needs no restart)."
    )
    allowed = engine({"log-driver": "local"}, GUESTS, interrupt=True)
    assert not allowed.faults() and allowed.plan()[-1].disruption.label == "restart"


@pytest.mark.parametrize("info", [IDLE, {**GUESTS, "LiveRestoreEnabled": True}, None])
def test_a_restart_that_stops_no_guest_is_allowed(info: Mapping[str, Any] | None) -> None:
    part = engine({"log-driver": "local"}, info)
    assert not part.faults() and part.plan()[-1].disruption.label == "none"


def test_a_change_that_is_read_again_stops_nobody() -> None:
    assert engine({"live-restore": True}, GUESTS).faults() == []


def test_the_unit_has_to_leave_room_for_the_option_hosts() -> None:
    command = "{ path=/usr/sbin/dockerd ; argv[]=/usr/sbin/dockerd -H fd:// ; }"
    (fault,) = engine({"hosts": ["fd://"]}, command=command).faults()
    assert (
        fault.startswith("The unit docker.service starts the engine with -H")
        and "systemctl edit docker.service" in fault
    )
    assert not engine({"hosts": ["fd://"]}, command="{ argv[]=/usr/sbin/dockerd ; }").faults()


def test_what_the_engine_refuses_beforehand(tmp_path: Path) -> None:
    config = configured(FILE, FOUND, {"kt-option": True})

    class Asked(Programs):
        def run(self, argv: Any) -> Said | None:
            if argv[1] == "--help":
                return Said(0, "      --validate   Validate daemon configuration and exit")
            assert Path(argv[2].partition("=")[2]).read_text(encoding="utf-8") == config.content
            return Said(
                1, "", f"unable to configure the Docker daemon with file {argv[2].partition('=')[2]}: kt-option\n"
            )

    said = refusal(Asked(tmp_path), "dockerd", config)
    assert said == f"unable to configure the Docker daemon with file {FILE}: kt-option"
    (fault,) = engine({"kt-option": True}, refusal=said).faults()
    assert fault.startswith(
        f"The engine does not take kt-option in {FILE}, which is as it was before: unable to configure"
    )


def test_an_engine_that_cannot_check_is_not_asked(tmp_path: Path) -> None:
    config = configured(FILE, FOUND, {"kt-option": True})
    old = Programs(tmp_path, {"dockerd --help": Said(0, "Usage:  dockerd [OPTIONS]")})
    assert refusal(old, "dockerd", config) == "" and old.asked == ["dockerd --help"]
    assert refusal(Programs(tmp_path, {"dockerd --help": None}), "dockerd", config) == ""
    unchanged = Programs(tmp_path)
    assert refusal(unchanged, "dockerd", configured(FILE, FOUND, {})) == "" and unchanged.asked == []


# The host


def facts(
    *, answers: bool = True, installed: tuple[str, ...] = ("docker.io",), overlay: str = "loaded", capable: bool = True
) -> dict[str, Any]:
    return {
        "user": 0,
        "packages": {"installed": list(installed), "missing": [], "of": {"dockerd": "docker.io"}},
        "engines": {"docker": {"answers": answers}},
        "modules": {"overlay": {"state": overlay}},
        "backends": {
            "docker": {"capable": capable, "reason": "making a veth does not work", "remedy": "modprobe veth"}
        },
    }


def test_an_engine_of_no_package_that_answers_is_anothers() -> None:
    assert setup.is_foreign(facts(installed=()), "distribution")
    assert not setup.is_foreign(facts(), "distribution")
    assert not setup.is_foreign(facts(installed=(), answers=False), "distribution")
    assert not setup.is_foreign(facts(installed=()), "docker")


def test_a_host_that_can_carry_no_engine() -> None:
    (fault,) = setup.faults_of(facts(answers=False, capable=False), {"daemon_options": {}})
    assert fault == "This host cannot run a Docker engine: making a veth does not work. Remedy: modprobe veth."
    assert setup.faults_of(facts(capable=False), {"daemon_options": {}}) == [], (
        "an engine that answers proves more than any trial"
    )


def test_a_data_root_that_is_no_path() -> None:
    with pytest.raises(InvalidOption, match=r"daemon_options\[data-root\]: \['/srv'\] is not a path"):
        setup.DockerSetup({"daemon_options": {"data-root": ["/srv"]}, "socket": "/run/docker.sock"})


def test_a_kernel_without_overlay() -> None:
    (fault,) = setup.faults_of(facts(overlay="absent"), {"daemon_options": {}})
    assert "CONFIG_OVERLAY_FS" in fault and "another storage-driver in docker_host_daemon_options" in fault
    assert setup.faults_of(facts(overlay="absent"), {"daemon_options": {"storage-driver": "vfs"}}) == []


def test_the_other_engine_is_installed() -> None:
    (fault,) = setup.rival_faults(["docker.io"], "docker", "")
    assert fault == (
        "docker_host_source is docker, but docker.io is installed. Set docker_host_source to distribution, "
        "or remove that package first (its containers stop; what is in /var/lib/docker stays)."
    )
    (fault,) = setup.rival_faults(["docker-ce"], "distribution", "no socket")
    assert (
        "docker-ce is installed and does not answer: no socket. Set docker_host_source to docker, or start that "
        "engine, which is then used as it is" in fault
    )


@pytest.mark.parametrize(("api", "old"), [("1.40", True), ("1.9", True), ("", True), ("1.41", False), ("1.47", False)])
def test_an_engine_from_elsewhere_that_is_too_old(api: str, old: bool) -> None:
    assert bool(setup.old_faults("/run/docker.sock", api)) is old


def test_only_static_programs_are_put_into_the_image() -> None:
    assert setup_proof.is_static(Path("/usr/bin/tini-static").read_bytes())
    assert not setup_proof.is_static(Path("/bin/sh").read_bytes())
    assert not setup_proof.is_static(b"#!/bin/sh\n")


def test_an_engine_that_is_not_there_is_no_proof(tmp_path: Path) -> None:
    with pytest.raises(setup_proof.Unproven, match="it cannot import an image: .*No such file"):
        setup_proof.prove(str(tmp_path / "none.sock"))
