# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drives the module lxc_container through its promises, and looks at the host beside it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.limits import LIMITS
from ansible_collections.kraal.virt.plugins.module_utils.host.info import gather
from ansible_collections.kraal.virt.plugins.module_utils.host.reader import Host
from tests.support.ansible_runner import Result
from tests.support.lxc import KNOWN, LxcLab, known, limits, tree
from tests.support.warm_module import WarmModule

MODULE = "kraal.virt.lxc_container"
_numbers = itertools.count(1)
#: Whether this machine's control groups can limit anything: on a lab host of sid they cannot, and all else is tried
#: without. What the tests look for is called as in version 1.
HAS_LIMITS = Path("/sys/fs/cgroup/memory/cgroup.procs").exists()
#: For tests of limits.
needs_limits = pytest.mark.skipif(not HAS_LIMITS, reason="no limit can be set here")


def fill(value: Any, words: Mapping[str, str]) -> Any:
    """The value with each <word> in it replaced."""
    if isinstance(value, str):
        for word, text in words.items():
            value = value.replace(f"<{word}>", text)
        return value
    if isinstance(value, Mapping):
        return {fill(key, words): fill(entry, words) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [fill(entry, words) for entry in value]
    return value


def needs_unprivileged() -> None:
    """Skip the test where host_info says that no unprivileged container can run, as on a host that is a container
    itself.
    """
    verdict = gather(Host(), ["lxc"])["backends"]["lxc"]["unprivileged"]
    if verdict["usable"] is False:
        pytest.skip(f"no unprivileged container runs here: {verdict['reason']}")


@dataclass
class Driver:
    """One guest, and the host as it is."""

    lab: LxcLab
    module: WarmModule
    directory: Path
    word: str = "guest"
    number: int = field(default_factory=lambda: next(_numbers))

    def of(self, word: str) -> Driver:
        """The same for another guest."""
        return replace(self, word=word)

    @property
    def name(self) -> str:
        # A control group is named after it, and this machine has others.
        return f"{self.lab.bridge}-{self.number}-{self.word}"

    @property
    def words(self) -> dict[str, str]:
        one, two = (str(self.lab.image(release)) for release in "12")
        return {
            "one": one,
            "two": two,
            "bridge": self.lab.bridge,
            "net": self.lab.network,
            "dir": str(self.directory),
            "name": self.name,
        }

    @property
    def config(self) -> Path:
        return self.lab.path / self.name / "config"

    def arguments(self, **args: Any) -> dict[str, Any]:
        """A task's arguments, without limits where none can be set."""
        return {key: value for key, value in self.whole(**args).items() if HAS_LIMITS or key not in LIMITS}

    def whole(self, **args: Any) -> dict[str, Any]:
        """A task's arguments: the guest's name and directory, the tiny image, no network, a stop of a second; and
        what the test says.
        """
        standard = {"name": self.name, "lxc_path": str(self.lab.path), "image": "<one>", "stop_timeout": 1}
        if args.get("template") or args.get("clone") or args.get("state") == "absent":
            del standard["image"]
        filled: dict[str, Any] = fill({**standard, **args}, self.words)
        return {key: value for key, value in filled.items() if value is not ...}

    def run(self, check: bool = False, **args: Any) -> Result:
        """One run, whatever becomes of it. An argument that is ... is left out."""
        return self.module(self.arguments(**args), check=check)

    def host(self) -> dict[str, Any]:
        """All that a module could have touched."""
        names = [place.name for place in self.lab.path.iterdir()]
        return {**tree(self.lab.path), **limits(self.lab, names), **self.lab.states(), "known": known(self.lab.root)}

    def unchanged(self, before: dict[str, Any]) -> None:
        """The host is what it was."""
        after = self.host()
        changed = {
            key: (before.get(key), after.get(key)) for key in {*before, *after} if before.get(key) != after.get(key)
        }
        assert not changed, str(changed)

    def check(self, **args: Any) -> Result:
        """A run under --check: the host is afterwards what it was, to the time of each file."""
        before = self.host()
        result = self.run(check=True, **args)
        self.unchanged(before)
        return result

    def do(self, **args: Any) -> Result:
        """Check, then do: both say the same; the plan under check is the plan performed."""
        return self._as_checked(self.check(**args), self.run(**args))

    def do_noting(self, **args: Any) -> tuple[Result, list[str], list[str]]:
        """The same, and all that it was about to do, each with what the containers' directory was like before it."""
        states = self.directory / "states"
        states.unlink(missing_ok=True)
        checked = self.check(**args)
        done, moments = self.moments(states=str(states), **args)
        return (
            self._as_checked(checked, done),
            moments,
            states.read_text(encoding="utf-8").splitlines() if moments else [],
        )

    def _as_checked(self, checked: Result, done: Result) -> Result:
        assert not checked.failed, checked.msg
        assert not done.failed, done.msg
        for key in ("plan", "diff", "changed"):
            assert checked[key] == done[key], key
        assert done.changed == bool(done["plan"])
        same = ("name", "id", "state", "image", "cpus", "memory", "labels", "autostart", "pending_restart")
        if done["guest"] is not None:
            assert {key: checked["guest"][key] for key in same} == {key: done["guest"][key] for key in same}
        return done

    def again(self, **args: Any) -> Result:
        """The same once more: nothing to do, nothing done."""
        before = self.host()
        result = self.run(**args)
        assert not result.failed, result.msg
        assert (result["plan"], result.changed) == ([], False)
        self.unchanged(before)
        return result

    def make(self, **args: Any) -> Result:
        """Do it without the check before: for setting a scene."""
        result = self.run(**args)
        assert not result.failed, result.msg
        return result

    def refused(self, *words: str, **args: Any) -> str:
        """Both under --check and for real: failed, nothing touched, and the message has these words."""
        for check in (True, False):
            before = self.host()
            result = self.module(self.whole(**args), check=check)
            assert result.failed, result.json
            assert result.json, result.stderr
            self.unchanged(before)
            missing = [word for word in words if word not in result.msg]
            assert not missing, f"{missing} not in: {result.msg}"
            assert "Traceback" not in result.stdout + result.stderr
        return result.msg

    def moments(self, at: int = 0, how: str = "", *, states: str = "", **args: Any) -> tuple[Result, list[str]]:
        """A run that is killed at that moment (none: 0), and all that it was about to do until then."""
        log, crash = self.directory / "moments", self.lab.root / "crash.json"
        log.unlink(missing_ok=True)
        before = crash.read_text(encoding="utf-8")
        roots = [str(self.lab.path), "/sys/fs/cgroup", str(KNOWN)]
        crash.write_text(
            json.dumps({"roots": roots, "log": str(log), "at": at, "how": how, "states": states}), encoding="utf-8"
        )
        try:
            result = self.run(**args)
        finally:
            crash.write_text(before, encoding="utf-8")
        return result, log.read_text(encoding="utf-8").splitlines() if log.exists() else []

    def state(self) -> str:
        return self.lab.states().get(self.name, "")


def actions(result: Result) -> list[str]:
    """The actions of a plan, with their keys."""
    return [f"{step['action']} {step['key']}".strip() for step in result["plan"]]
