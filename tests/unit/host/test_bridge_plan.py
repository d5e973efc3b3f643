# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is planned for a bridge, what is refused, and the program that makes a change and takes it back."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import BackendError, NotInstalled, Refused
from ansible_collections.kraal.virt.plugins.module_utils.host.bridge import change as changes
from ansible_collections.kraal.virt.plugins.module_utils.host.bridge import runner
from ansible_collections.kraal.virt.plugins.module_utils.host.bridge.manager import FileState
from ansible_collections.kraal.virt.plugins.module_utils.host.bridge.observe import LinkState, Record, Seen
from ansible_collections.kraal.virt.plugins.module_utils.host.bridge.plan import Plan, check_uplink, plan
from ansible_collections.kraal.virt.plugins.module_utils.host.bridge.shape import TABLE
from ansible_collections.kraal.virt.plugins.module_utils.host.reader import Host, Said

MAC = "52:54:00:12:34:56"
LAN = "/etc/systemd/network/10-lan.network"
INTERFACES = "/etc/network/interfaces"
ADDRESS = {"family": "inet", "local": "192.0.2.10", "prefixlen": 24, "scope": "global"}


class Paper(Host):
    """A host of files below a directory, whose programs say nothing, and say it well."""

    def __init__(
        self,
        root: Path,
        programs: Sequence[str] = ("ip", "networkctl", "systemd-run", "ifup"),
        said: dict[str, Said] | None = None,
    ) -> None:
        super().__init__(root)
        self.programs, self.said = programs, said or {}

    def put(self, path: str, text: str = "") -> None:
        target = self._at(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")

    def user(self) -> int:
        return 0

    def which(self, program: str) -> str:
        return f"/usr/bin/{program}" if program in self.programs else ""

    def run(self, argv: Sequence[str]) -> Said | None:
        found = self.said.get(" ".join(argv))
        return found if found else Said(0) if self.which(argv[0]) else None


def networkd(root: Path) -> Paper:
    host = Paper(root)
    host.put("/sys/class/net/eth0/ifindex", "2\n")
    host.put("/run/systemd/netif/links/2", f"ADMIN_STATE=configured\nNETWORK_FILE={LAN}\n")
    host.put(LAN, "[Match]\nName=eth0\n[Network]\nAddress=192.0.2.10/24\n")
    return host


def ifupdown(root: Path) -> Paper:
    host = Paper(root)
    host.put("/etc/network/if-pre-up.d/bridge")
    host.put(INTERFACES, "auto eth0\niface eth0 inet static\n\taddress 192.0.2.10/24\n")
    return host


def seen(host: Host, links: Sequence[LinkState] = (), records: Sequence[Record] = ()) -> Seen:
    uplink = LinkState("eth0", mac=MAC, mtu=1500, addresses=[ADDRESS])
    return Seen(
        host,
        {each.name: each for each in (uplink, *links)},
        [{"interface": "eth0", "gateway": "192.0.2.1", "family": "ipv4", "metric": 0}],
        {each.name: each for each in records},
    )


def want(**options: Any) -> Any:
    return TABLE.read({"state": "present", "manager": "auto", "name": "br0", **options})


def made(host: Paper, options: dict[str, Any]) -> tuple[Plan, Seen]:
    """The plan of a new bridge, and the host as it is once that is done."""
    first = plan(want(**options), seen(host))
    for path, (dummy, after) in first.files.items():
        host.put(path, after.content.decode() if after else "")
        host._at(path).chmod(after.mode if after else 0o644)
    assert first.record is not None
    record = Record.of(json.loads(json.dumps(first.record.as_dict())))
    links = [
        LinkState("br0", "bridge", MAC, 1500, addresses=[ADDRESS]),
        LinkState("eth0", mac=MAC, mtu=1500, master="br0"),
    ]
    return first, seen(host, links, [record])


@pytest.mark.parametrize("kind", [networkd, ifupdown])
def test_create_again_change_again_remove(kind: Any, tmp_path: Path) -> None:
    host = kind(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    first, after = made(host, {"uplink": "auto"})
    assert [(step.action, step.after["uplink"], step.after["addresses_from"]) for step in first.steps] == [
        ("create", "eth0", "uplink")
    ]
    assert first.record is not None and first.record.uplink is not None and first.record.uplink.mac == MAC
    assert plan(want(uplink="auto"), after).steps == plan(want(), after).steps == []
    change = plan(want(mtu=1400), after)
    assert [(step.key, step.before, step.after) for step in change.steps] == [("mtu", None, 1400)] and change.files
    # What an earlier task set stays set.
    assert change.record is not None and change.record.values == {"uplink": "eth0", "mtu": 1400}
    removal = plan(want(state="absent"), after)
    assert [step.action for step in removal.steps] == ["remove"]
    for path, (dummy, state) in removal.files.items():
        if state is None:
            host._at(path).unlink()
        else:
            host._at(path).write_bytes(state.content)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_what_drifted_is_mended(tmp_path: Path) -> None:
    host = networkd(tmp_path)
    first, after = made(host, {"uplink": "auto"})
    after.links["br0"] = LinkState("br0", "bridge", "02:00:00:00:00:01", 1500, stp=True)
    after.links["eth0"] = LinkState("eth0", mac=MAC)
    steps = {step.key: (step.before, step.after) for step in plan(want(), after).steps}
    assert steps == {
        "ports": ([], ["eth0"]),
        "stp": (True, False),
        "mac": ("02:00:00:00:00:01", MAC),
        "addresses": ([], "by uplink"),
    }
    del after.links["br0"]
    assert [step.key for step in plan(want(), after).steps] == ["link"]
    host._at("/etc/systemd/network/00-kraal-br0.netdev").unlink()
    assert {step.key for step in plan(want(), after).steps} == {
        "link",
        "files[/etc/systemd/network/00-kraal-br0.netdev]",
    }


def test_somebody_elses_edits_stay(tmp_path: Path) -> None:
    host = ifupdown(tmp_path)
    dummy, after = made(host, {"uplink": "auto"})
    host.put(INTERFACES, (host.text(INTERFACES) or "") + "\nauto eth5\niface eth5 inet dhcp\n")
    kept = plan(want(), after)
    assert all(b"eth5" in state.content for dummy, state in kept.files.values() if state)
    (state,) = (state for dummy, state in plan(want(state="absent"), after).files.values())
    assert (
        state is not None
        and state.content.decode()
        == "auto eth0\niface eth0 inet static\n\taddress 192.0.2.10/24\n\nauto eth5\niface eth5 inet dhcp\n"
    )


def test_what_cannot_change(tmp_path: Path) -> None:
    host = networkd(tmp_path)
    dummy, after = made(host, {"uplink": "auto"})
    for options, words in (
        ({"uplink": "eth1"}, "does not move"),
        ({"vlan": 5}, "does not move"),
        ({"manager": "ifupdown"}, "was made with systemd-networkd"),
    ):
        with pytest.raises(Refused, match=words):
            plan(want(**options), after)
    after.links["tap0"] = LinkState("tap0", master="br0")
    with pytest.raises(Refused, match="in use: its ports are tap0"):
        plan(want(state="absent"), after)
    with pytest.raises(Refused, match="uplink of br0"):
        plan(want(name="br1", uplink="eth0"), Seen(host, {"eth0": LinkState("eth0")}, [], after.records))


def test_uplinks_that_cannot_be_moved(tmp_path: Path) -> None:
    host = Paper(tmp_path)
    for path in ("wlan0/wireless", "tun0/tun_flags", "br9/bridge"):
        host.put(f"/sys/class/net/{path}")
    links = [LinkState(name) for name in ("lo", "wlan0", "tun0", "br9")]
    links += [
        LinkState("bond0", "bond"),
        LinkState("eth1", master="bond0"),
        LinkState("br8", "bridge"),
        LinkState("eth2", master="br8"),
    ]
    cases = {
        "lo": "loopback",
        "wlan0": "wireless",
        "tun0": "tunnel",
        "br9": "bridge itself",
        "eth9": "there is no link",
    }
    for name, words in {**cases, "eth1": "port of the bond bond0", "eth2": "port of the bridge br8"}.items():
        with pytest.raises(Refused, match=words) as caught:
            check_uplink(name, seen(host, links))
        assert caught.value.remedy
    check_uplink("bond0", seen(host, links))


def test_refused_for_the_manager_and_the_kernel(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="nobody known manages eth0"):
        plan(want(uplink="eth0"), seen(Paper(tmp_path / "a")))
    host = networkd(tmp_path / "b")
    with pytest.raises(Refused, match="not managed by NetworkManager but by systemd-networkd"):
        plan(want(uplink="eth0", manager="networkmanager"), seen(host))
    with pytest.raises(Refused, match="knows no VLANs"):
        plan(want(uplink="eth0", vlan=5), seen(host))
    host.put("/proc/net/vlan/config")
    assert plan(want(uplink="eth0", vlan=5), seen(host)).steps
    host.programs = (*host.programs, "unshare")
    host.said["unshare --net -- ip link add kraal0 type bridge"] = Said(2, "", "Error: Unknown device type.")
    with pytest.raises(Refused, match="makes no bridge"):
        plan(want(uplink="eth0"), seen(host))
    host = ifupdown(tmp_path / "c")
    host._at("/etc/network/if-pre-up.d/bridge").unlink()
    with pytest.raises(NotInstalled, match="bridge-utils"):
        plan(want(uplink="eth0"), seen(host))
    host = networkd(tmp_path / "d")
    host.put("/run/systemd/netif/links/2", "ADMIN_STATE=configured\nNETWORK_FILE=/etc/systemd/network/00-a.network\n")
    host.put("/etc/systemd/network/00-a.network", "[Match]\nName=eth0\n")
    with pytest.raises(Refused, match="comes before any file"):
        plan(want(uplink="eth0"), seen(host))


def test_not_root_and_no_systemd(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="systemd does not run this host"):
        changes.check(Paper(tmp_path))
    host = Paper(tmp_path)
    host.put("/run/systemd/system/x")
    changes.check(host)


def test_another_change(tmp_path: Path) -> None:
    states = "systemctl is-active kraal-bridge-rollback-1f.timer kraal-bridge-rollback-1f.service"
    running, gone = (
        Paper(tmp_path, said={states: Said(3, "active\ninactive\n")}),
        Paper(tmp_path, said={states: Said(3, "inactive\ninactive\n")}),
    )
    change = {"id": "1f", "bridge": "br0", "armed": 0.0, "timeout": 90, "python": "/usr/bin/python3"}
    assert changes.pending(None, running) == changes.pending({**change, "status": "rolled_back"}, running) == ""
    with pytest.raises(Refused, match="waits to be confirmed"):
        changes.pending({**change, "status": "applied"}, running)
    with pytest.raises(Refused, match="stale") as caught:
        changes.pending({**change, "status": "applied"}, gone)
    assert "/usr/bin/python3 /var/lib/kraal.virt/bridge/runner.py rollback" in caught.value.remedy
    assert "was never made" in changes.pending({**change, "status": "armed"}, gone)


# The runner


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of its own for the runner, with programs that say nothing; `fails` fails."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, code in (("systemctl", 0), ("ip", 0), ("works", 0), ("fails", 1)):
        words = "$*" if name == "ip" else ""
        (programs / name).write_text(
            f"#!/bin/sh\necho {name} {words} >> {tmp_path}/calls\nexit {code}\n", encoding="utf-8"
        )
        (programs / name).chmod(0o755)
    monkeypatch.setattr(runner, "ENVIRONMENT", {"PATH": f"{programs}:/usr/bin:/bin"})
    monkeypatch.setattr(runner, "DIRECTORY", tmp_path / "state")
    monkeypatch.setattr(runner, "UNITS", tmp_path / "units")
    monkeypatch.setattr(runner, "WANTED", tmp_path / "units" / "wanted")
    monkeypatch.setattr(runner, "SETTLE", 0.1)
    monkeypatch.delenv("KRAAL_UNIT", raising=False)
    return tmp_path


def armed(stage: Path, **more: Any) -> dict[str, Any]:
    """A change of a file that is there, one that is not, and one that goes."""
    (stage / "edited").write_bytes(b"before\n\xff")
    (stage / "edited").chmod(0o640)
    (stage / "goes").write_bytes(b"x")
    owner = {"uid": os.getuid(), "gid": os.getgid()}

    def state(content: bytes, mode: int) -> dict[str, Any]:
        return {**FileState(content, mode).as_dict(), **owner}

    files = [
        {"path": str(stage / "edited"), "before": state(b"before\n\xff", 0o640), "after": state(b"after", 0o600)},
        {"path": str(stage / "new.d" / "new.conf"), "before": None, "after": state(b"new", 0o644)},
        {"path": str(stage / "goes"), "before": state(b"x", 0o644), "after": None},
    ]
    nothing: dict[str, Any] = {"before": [], "after": [{"argv": ["works"], "must": True}]}
    change = {
        "id": "1",
        "status": "armed",
        "boot_id": runner.boot_id(),
        "files": files,
        "apply": nothing,
        "rollback": nothing,
        "log": [],
        "boot": [],
    }
    with runner.locked():
        runner.save({**change, "addresses": [], "routes": [], "masters": {}, **more})
    return change


def assert_restored(stage: Path) -> None:
    assert (stage / "edited").read_bytes() == b"before\n\xff" and stat.S_IMODE(
        (stage / "edited").stat().st_mode
    ) == 0o640
    assert (stage / "goes").read_bytes() == b"x" and not (stage / "new.d").exists()
    change = runner.load()
    assert change is not None and change["status"] == "rolled_back" and "rolled back" in change["log"][-1]


def test_the_runner_makes_a_change_and_takes_it_back(stage: Path) -> None:
    armed(stage)
    runner.apply()
    assert (
        (stage / "edited").read_bytes(),
        (stage / "new.d" / "new.conf").read_bytes(),
        (stage / "goes").exists(),
    ) == (b"after", b"new", False)
    change = runner.load()
    assert change is not None and change["status"] == "applied"
    runner.rollback("of the test")
    assert_restored(stage)
    (stage / "edited").write_bytes(b"later")
    runner.rollback("of the test")
    runner.apply()
    assert (stage / "edited").read_bytes() == b"later"


def test_a_command_that_fails_takes_the_change_back(stage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    armed(stage, apply={"before": [], "after": [{"argv": ["fails"], "must": True}]})
    monkeypatch.setenv("KRAAL_UNIT", runner.APPLY_UNIT)
    runner.apply()
    assert_restored(stage)


def test_one_that_may_fail_does_not(stage: Path) -> None:
    armed(stage, apply={"before": [], "after": [{"argv": ["fails"]}, {"argv": ["kt-no-such-program"]}]})
    runner.apply()
    change = runner.load()
    assert change is not None and change["status"] == "applied" and len(change["log"]) == 3


def test_after_a_boot_only_the_files_come_back(stage: Path) -> None:
    armed(stage)
    runner.apply()
    change = runner.load()
    assert change is not None
    runner.save({**change, "boot_id": "another", "rollback": {"before": [{"argv": ["fails"]}], "after": []}})
    runner.rollback("nobody confirmed")
    assert_restored(stage)
    assert "fails" not in (stage / "calls").read_text(encoding="utf-8")
    change = runner.load()
    assert change is not None and any("started anew" in line for line in change["log"])


def test_what_was_never_begun_is_only_disarmed(stage: Path) -> None:
    armed(stage)
    (stage / "edited").write_bytes(b"edited by somebody since")
    runner.rollback("of the test")
    assert (stage / "edited").read_bytes() == b"edited by somebody since"


def no_room(monkeypatch: pytest.MonkeyPatch, *but: Path) -> None:
    """From now on no directory takes another file, except where it is one of those."""
    really = tempfile.mkstemp

    def full(*, prefix: str, suffix: str, dir: Path) -> tuple[int, str]:
        if dir in but:
            return really(prefix=prefix, suffix=suffix, dir=dir)
        raise OSError(errno.ENOSPC, "No space left on device", str(dir))

    monkeypatch.setattr(runner.tempfile, "mkstemp", full)


def test_a_full_disk_stops_no_rollback(stage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there is written over; nothing of it is a file that has yet to be made, so all is back at once."""
    armed(stage)
    runner.apply()
    (stage / "goes").write_bytes(b"")
    no_room(monkeypatch)
    assert runner.rollback("of the test") is True
    assert_restored(stage)
    assert (stage / "calls").read_text(encoding="utf-8").count("works") == 2


def test_the_network_is_put_back_though_a_file_cannot_be(stage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was removed, and for which there is no room; it comes back when there is, and only then is the change
    settled.
    """
    armed(
        stage,
        addresses=[{"link": "eth0", "local": "192.0.2.10", "prefixlen": 24, "broadcast": ""}],
        masters={"eth0": ""},
    )
    runner.apply()
    # A directory in its place stands for a file system that takes no file.
    (stage / "goes").mkdir()
    asked: list[int] = []
    really = time.sleep

    def room(seconds: float) -> None:
        if seconds < 1:
            # The standard library's, while it waits for a program.
            return really(seconds)
        said = (stage / "calls").read_text(encoding="utf-8").splitlines()
        asked.append(said.count("works"))
        assert (stage / "edited").read_bytes() == b"before\n\xff" and not (stage / "new.d").exists()
        assert "ip address add 192.0.2.10/24 dev eth0" in said
        change = runner.load()
        assert (
            change is not None
            and change["status"] == "applied"
            and any("goes is not restored" in line for line in change["log"])
        )
        if len(asked) == 2:
            (stage / "goes").rmdir()
        return None

    monkeypatch.setattr(runner.time, "sleep", room)
    assert runner.rollback("of the test", 1) is True
    # Its commands ran at the first try and when the file was back, and not in between.
    assert asked == [2, 2] and (stage / "calls").read_text(encoding="utf-8").splitlines().count("works") == 3
    assert_restored(stage)


def test_what_cannot_be_written_is_not_made(stage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk ends a change before it is made, or takes back what was made of it, at once."""
    armed(stage)
    with monkeypatch.context() as patch:
        no_room(patch)
        runner.apply()
    assert_restored(stage)
    assert not (stage / "calls").exists() or "works" not in (stage / "calls").read_text(encoding="utf-8")
    (stage / "new.d").mkdir()
    armed(stage)
    with monkeypatch.context() as patch:
        no_room(patch, stage / "state", stage)
        runner.apply()
    assert_restored(stage)
    change = runner.load()
    assert change is not None and any("No space left" in line for line in change["log"])


@pytest.mark.parametrize("when", range(6))
def test_a_rollback_that_is_killed_begins_anew(stage: Path, when: int) -> None:
    """Its process ends before or after any of its commands, in the middle of a file too: the next one ends the work,
    and nothing of the first is left.
    """
    armed(stage, rollback={"before": [{"argv": ["works"]}, {"argv": ["works"]}], "after": [{"argv": ["works"]}]})
    runner.apply()
    (stage / "calls").unlink(missing_ok=True)
    script = f"#!/bin/sh\necho >> {stage}/count\n[ $(wc -l < {stage}/count) -ne {when + 1} ] || kill -9 $PPID\n"
    for name in ("works", "systemctl"):
        (stage / "bin" / name).write_text(script, encoding="utf-8")
    program = (
        "import runpy, sys; from pathlib import Path; names = runpy.run_path(sys.argv[1]); take = "
        "names['rollback'].__globals__; take.update(DIRECTORY=Path(sys.argv[2], 'state'), UNITS=Path(sys.argv[2], "
        "'units'), WANTED=Path(sys.argv[2], 'units', 'wanted'), ENVIRONMENT={'PATH': sys.argv[2] + "
        "'/bin:/usr/bin:/bin'}, SETTLE=0.1); take['rollback']('of the test')"
    )
    argv = [sys.executable, "-c", program, str(runner.__file__), str(stage)]
    assert subprocess.run(argv, capture_output=True, timeout=60, check=False).returncode == -9
    change = runner.load()
    if change is not None and change["status"] in runner.OPEN:
        (stage / ".edited-half.kraal-tmp").write_bytes(b"bef")
    done = subprocess.run(argv, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert_restored(stage)
    assert list(stage.rglob("*.kraal-tmp")) == []


def test_the_unit_of_a_rollback_starts_again(tmp_path: Path, stage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What arms a change asks systemd for that; where something of it cannot be written, nothing is armed, and the
    reason is told.
    """
    asked: list[Sequence[str]] = []
    monkeypatch.setattr(Paper, "run", lambda _host, argv: asked.append(argv) or Said(0))
    monkeypatch.setattr(changes, "RUNNER", stage / "state" / "runner.py")
    seen = Seen(networkd(tmp_path), {"eth0": LinkState("eth0", addresses=[ADDRESS])}, [], {})
    changes.arm(Plan(), seen, "br0", "1f", 90)
    (rollback,) = [argv for argv in asked if argv[-1] == "rollback"]
    (apply,) = [argv for argv in asked if argv[-1] == "apply"]
    assert "--property=Restart=on-failure" in rollback and not [word for word in apply if "Restart" in word]
    no_room(monkeypatch, stage / "state")
    with pytest.raises(BackendError, match="cannot be armed.*No space left"):
        changes.arm(Plan(), seen, "br0", "2f", 90)
    change = runner.load()
    assert change is not None and (change["id"], change["status"]) == ("2f", "rolled_back")


def test_confirmed_stays(stage: Path) -> None:
    armed(stage, bridge="br0", record={"name": "br0"})
    runner.apply()
    change = runner.load()
    assert change is not None
    changes.confirm(change)
    runner.rollback("too late")
    assert (stage / "edited").read_bytes() == b"after" and runner.load() is None
    assert json.loads((stage / "state" / "br0.json").read_text(encoding="utf-8")) == {"name": "br0"}
