# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drives the module docker_container through its promises, and looks at the daemon beside it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import docker

from tests.support.ansible_runner import Result
from tests.support.docker_exec import run_inside
from tests.support.images import BaseImages
from tests.support.leftovers import Scratch
from tests.support.module_process import ModuleProcess
from tests.support.proxy import RecordingProxy
from tests.support.warm_module import WarmModule

MODULE = "kraal.virt.docker_container"
READING = {"GET", "HEAD"}


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


@dataclass
class Driver:
    """One guest, reached through a recording proxy, and the daemon as it is."""

    proxy: RecordingProxy
    api: docker.APIClient
    scratch: Scratch
    images: BaseImages
    module: WarmModule
    word: str = "guest"

    def of(self, word: str) -> Driver:
        """The same for another guest."""
        return replace(self, word=word)

    @property
    def name(self) -> str:
        return self.scratch(self.word)

    def arguments(self, **args: Any) -> dict[str, Any]:
        """A task's arguments: the guest's name, the tiny image and the proxy, and what the test says."""
        given = {"name": self.name, "image": self.images.one, "docker_host": self.proxy.base_url, **args}
        return {key: value for key, value in given.items() if value is not ...}

    def run(self, check: bool = False, **args: Any) -> Result:
        """One run, whatever becomes of it. An argument that is ... is left out."""
        return self.module(self.arguments(**args), check=check)

    def start(self, **args: Any) -> ModuleProcess:
        """A run that has begun, in a Python of its own."""
        return ModuleProcess(MODULE, self.arguments(**args)).start()

    def check(self, **args: Any) -> Result:
        """A run under --check: it reads, and nothing else."""
        self.proxy.clear()
        result = self.run(check=True, **args)
        sent = {request.method for request in self.proxy.requests}
        assert sent <= READING, f"--check sent {[str(r) for r in self.proxy.mutations]}"
        return result

    def do(self, **args: Any) -> Result:
        """Check, then do: both say the same; the plan under check is the plan performed."""
        checked, done = self.check(**args), self.run(**args)
        assert not checked.failed, checked.msg
        assert not done.failed, done.msg
        assert checked["plan"] == done["plan"]
        assert checked.changed == done.changed
        assert done.changed == bool(done["plan"])
        assert checked["diff"] == done["diff"]
        return done

    def again(self, **args: Any) -> Result:
        """The same once more: nothing to do, nothing done."""
        self.proxy.clear()
        result = self.run(**args)
        assert not result.failed, result.msg
        assert (result["plan"], result.changed) == ([], False)
        assert not self.proxy.mutations
        return result

    def make(self, **args: Any) -> Result:
        """Do it without the check before: for setting a scene."""
        result = self.run(**args)
        assert not result.failed, result.msg
        return result

    def refused(self, *words: str, **args: Any) -> str:
        """Both under --check and for real: failed, nothing touched, and the message has these words."""
        for check in (True, False):
            self.proxy.clear()
            result = self.run(check=check, **args)
            assert result.failed, result.json
            assert result.json, result.stderr
            assert not self.proxy.mutations, [str(request) for request in self.proxy.mutations]
            missing = [word for word in words if word not in result.msg]
            assert not missing, f"{missing} not in: {result.msg}"
            assert "Traceback" not in result.stdout + result.stderr
        return result.msg

    def inspect(self, name: str | None = None) -> dict[str, Any]:
        return self.api.inspect_container(name or self.name)

    def state(self) -> str:
        return str(self.inspect()["State"]["Status"])

    def inside(self, *command: str) -> str:
        """What a command in the guest prints."""
        return run_inside(self.api, self.name, command).stdout.strip()

    def mine(self) -> list[str]:
        """The containers of this test, by the words they were named with."""
        return [name.removeprefix(self.scratch.prefix) for name in self.scratch.found().containers]


def wait_for_loop(driver: Driver) -> None:
    """Return when the guest has ended often enough that the engine waits for a while before it starts it again."""
    # By its id: others before it had the name.
    events = driver.api.events(filters={"container": driver.inspect()["Id"], "event": ["die"]}, since=0, decode=True)
    assert len(list(itertools.islice(events, 5))) == 5
    # The event comes before the engine has written the state down.
    deadline = time.monotonic() + 10
    while (state := driver.state()) != "restarting" and time.monotonic() < deadline:
        time.sleep(0.02)
    assert state == "restarting"


def actions(result: Result) -> list[str]:
    """The actions of a plan, with their keys."""
    return [f"{step['action']} {step['key']}".strip() for step in result["plan"]]
