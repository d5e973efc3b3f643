# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drives one module through what all modules promise: check tells the truth and only reads, a second run does
nothing, a crash costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .ansible_runner import Result
from .module_process import ModuleProcess
from .proxy import Cut, RecordingProxy
from .warm_module import WarmModule

READING = {"GET", "HEAD"}


@dataclass
class ResourceDriver:
    """One module of the Docker backend and the recording proxy that it talks through."""

    module: WarmModule
    proxy: RecordingProxy
    #: Whether crashes that leave the daemon the same are tried each.
    every: bool = False

    def arguments(self, **args: Any) -> dict[str, Any]:
        return {"docker_host": self.proxy.base_url, **args}

    def run(self, check: bool = False, **args: Any) -> Result:
        """One run, whatever becomes of it."""
        return self.module(self.arguments(**args), check=check, diff=True)

    def start(self, **args: Any) -> ModuleProcess:
        """A run that has begun."""
        return ModuleProcess(self.module.name, self.arguments(**args)).start()

    def check(self, **args: Any) -> Result:
        """A run under --check: it reads, and nothing else."""
        self.proxy.clear()
        result = self.run(check=True, **args)
        assert {request.method for request in self.proxy.requests} <= READING, self.proxy.mutations
        return result

    def do(self, **args: Any) -> Result:
        """Check, then do: both say the same."""
        checked, done = self.check(**args), self.run(**args)
        assert not checked.failed, checked.msg
        assert not done.failed, done.msg
        for key in ("plan", "diff", "changed"):
            assert checked[key] == done[key], key
        assert done.changed == bool(done["plan"])
        return done

    def again(self, **args: Any) -> Result:
        """The same once more: nothing to do, nothing done."""
        self.proxy.clear()
        result = self.run(**args)
        assert not result.failed, result.msg
        assert not result.changed and result["plan"] == [], result["plan"]
        assert self.proxy.mutations == []
        return result

    def change(self, **args: Any) -> Result:
        """Something to do, and then nothing more."""
        done = self.do(**args)
        assert done.changed
        self.again(**args)
        return done

    def refused(self, *words: str, **args: Any) -> Result:
        """Refused with these words, under check and for real, before anything was touched."""
        checked = self.check(**args)
        self.proxy.clear()
        result = self.run(**args)
        assert result.failed and checked.failed, result.json
        assert checked.msg == result.msg
        assert self.proxy.mutations == []
        for word in words:
            assert word in result.msg, result.msg
        assert result.json.get("changed", False) is False
        return result

    def crashes(self, prepare: Callable[[], None], **args: Any) -> Iterator[Result]:
        """Crash before the answer to every step in turn, and after it; each time a plain second run ends it, which is
        yielded.

        Heard or not, an answer leaves the daemon the same: with `every` alone these are two crashes.
        """
        for how in (Cut.BEFORE, Cut.AFTER) if self.every else (Cut.BEFORE,):
            steps = 0
            while True:
                prepare()
                self.proxy.fail_after(steps, how)
                self.run(**args)
                crashed = self.proxy.heal()
                result = self.run(**args)
                assert not result.failed, f"after a crash {how.value}, step {steps}: {result.msg}"
                self.again(**args)
                yield result
                if not crashed:
                    break
                steps += 1
