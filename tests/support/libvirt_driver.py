# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drives a module of the libvirt backend through what all modules promise, and looks at the daemon beside it.

The module talks to a real libvirtd; a module of libvirt's name on its import path writes down what it changes, and
kills it midway (`libvirt_counter`).
"""

from __future__ import annotations

import difflib
import hashlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from subprocess import SubprocessError
from types import TracebackType
from typing import Any

from .ansible_runner import Result
from .libvirt_calls import Calls
from .libvirt_daemon import LibvirtDaemon
from .module_process import ModuleProcess, module_environment
from .paths import SYSTEM_PYTHON
from .tables import Explored
from .warm_module import WarmModule


class LibvirtModule:
    """One module, imported and waiting for its runs against one libvirtd: where the daemon is, or on this machine
    with a `uri` that leads there.
    """

    def __init__(
        self, name: str, daemon: LibvirtDaemon, uri: str | None = None, *, every: bool = False, before: str = ""
    ) -> None:
        """`every`: crashes that leave libvirt the same are tried each.

        `before` is what Python does once the module is imported.
        """
        self.daemon = daemon
        self.every = every
        self.uri = uri or daemon.uri
        self._notes = Calls(daemon.scratch)
        self._crash, self._ask, self._answer = (self._notes.path / name for name in ("crash", "ask", "answer"))
        for pipe in (self._ask, self._answer):
            os.mkfifo(pipe, 0o600)
        imports = (daemon.import_path if uri is None else None) or [module_environment()["PYTHONPATH"]]
        python = daemon.python if uri is None else [SYSTEM_PYTHON]
        self._module = WarmModule(
            name, python, env=self._notes.environment(*imports), scratch=daemon.scratch, before=before
        )

    def __enter__(self) -> LibvirtModule:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._module.close()
        self._notes.close()

    @property
    def calls(self) -> list[str]:
        """What the last run has called that changes something."""
        return self._notes.changing

    def run(self, check: bool = False, crash: tuple[int, str] | None = None, **args: Any) -> Result:
        """One run, whatever becomes of it.

        `crash`: so many changing calls succeed, the next one ends the run `before` it is made or `after`; or the daemon
        crashes and is started again after it (`restart`).
        """
        self._notes.forget()
        self._crash.unlink(missing_ok=True)
        if crash is not None:
            self._crash.write_text("%d %s" % crash, encoding="ascii")
        with self._restarting() if crash is not None and crash[1] == "restart" else nullcontext():
            try:
                return self._module({"uri": self.uri, **args}, check=check, diff=True)
            finally:
                self._crash.unlink(missing_ok=True)

    @contextmanager
    def _restarting(self) -> Iterator[None]:
        """While inside, the daemon is restarted when the module asks for it."""
        failed: list[Exception] = []
        asked = threading.Event()

        def serve() -> None:
            # Whoever opens the pipe last releases the other: the module, or a run that ended without asking.
            if self._ask.read_text(encoding="ascii") == "restart":
                asked.set()
                try:
                    self.daemon.restart(signal.SIGKILL)
                except (RuntimeError, OSError, SubprocessError) as error:
                    failed.append(error)
                self._answer.write_text("done", encoding="ascii")

        server = threading.Thread(target=serve)
        server.start()
        try:
            yield
        finally:
            if not asked.is_set():
                self._ask.write_text("", encoding="ascii")
            server.join()
        if failed:
            raise failed[0]

    def check(self, **args: Any) -> Result:
        """A run under --check: nothing is asked that is not a read, and what libvirt keeps is the same before and
        after it, byte by byte.
        """
        before = stored(self.daemon)
        result = self.run(check=True, **args)
        self._notes.assert_only_reads(connected=not result.failed)
        self.assert_stored(before)
        return result

    def check_readonly(self, **args: Any) -> Result:
        """A run under --check over a connection that libvirt itself lets do nothing but read."""
        with self._notes.readonly():
            return self.run(check=True, **args)

    def do(self, **args: Any) -> Result:
        """Check, then do: both say the same."""
        checked, done = self.check(**args), self.run(**args)
        assert not checked.failed, checked.msg or checked.stderr
        assert not done.failed, done.msg or done.stderr
        for key in ("plan", "diff", "changed"):
            assert checked[key] == done[key], key
        assert done.changed == bool(done["plan"])
        return done

    def again(self, **args: Any) -> Result:
        """The same once more: nothing to do, nothing done."""
        before = stored(self.daemon)
        result = self.run(**args)
        assert not result.failed, result.msg or result.stderr
        assert (result.changed, result["plan"]) == (False, [])
        self._notes.assert_only_reads(waits=True)
        self.assert_stored(before)
        return result

    def change(self, **args: Any) -> Result:
        """Something to do, and then nothing more."""
        done = self.do(**args)
        assert done.changed
        self.again(**args)
        return done

    def refused(self, *words: str, **args: Any) -> Result:
        """Refused with these words, under check and for real, before anything was touched."""
        before = stored(self.daemon)
        for check in (True, False):
            result = self.run(check=check, **args)
            assert result.failed, result.json
            assert result.json, result.stderr
            self._notes.assert_only_reads(connected=False)
            missing = [word for word in words if word not in result.msg]
            assert not missing, f"{missing} not in: {result.msg}"
            assert "Traceback" not in result.stdout + result.stderr
        self.assert_stored(before)
        return result

    def assert_stored(self, before: Mapping[str, str]) -> None:
        """Libvirt keeps the same as before; where it does not, in which lines."""
        after = stored(self.daemon)
        differences = [
            "\n".join(
                difflib.unified_diff(
                    before.get(path, "").splitlines(), after.get(path, "").splitlines(), path, path, lineterm=""
                )
            )
            for path in sorted({*before, *after})
            if before.get(path) != after.get(path)
        ]
        assert not differences, "\n".join(differences)

    def crashes(self, prepare: Callable[[], None], **args: Any) -> Iterator[Result]:
        """Crash after each changing call in turn, and before each; each time a plain second run ends it, which is
        yielded.

        Before a call libvirt is as it is after the one before it: with `every` alone these are two crashes.
        """
        explored = Explored(self.every)
        calls: list[str] = []
        steps = 0
        explored.new("a run that calls nothing", ())
        while steps == len(calls):
            prepare()
            calls, result = self._crashed(steps, "after", **args)
            explored.new(f"after call {steps + 1}", tuple(calls))
            yield result
            steps += 1
        assert calls, "nothing was called that changes anything"
        for number in range(len(calls) + 1):
            if explored.new(f"before call {number + 1}", tuple(calls[:number])):
                prepare()
                yield self._crashed(number, "before", **args)[1]

    def _crashed(self, steps: int, when: str, **args: Any) -> tuple[list[str], Result]:
        """A run that dies, and one that ends its work: what the first has called, and what the second says.

        With no more calls the first is whole.
        """
        crashed, calls = self.run(crash=(steps, when), **args), self.calls
        assert crashed.json or len(calls) == steps + 1, crashed.stderr
        assert not crashed.json or not crashed.failed, crashed.msg
        result = self.run(**args)
        assert not result.failed, f"after a crash {when} call {steps + 1}: {result.msg or result.stderr}"
        self.again(**args)
        return calls, result

    def restarts(self, prepare: Callable[[], None], **args: Any) -> Iterator[Result]:
        """The daemon crashes after each changing call in turn, and comes back; the run may fail, but says why, and a
        plain second one ends the work.
        """
        steps = 0
        while True:
            prepare()
            broken = self.run(crash=(steps, "restart"), **args)
            assert broken.json and "Traceback" not in broken.stdout + broken.stderr, broken.stdout + broken.stderr
            if len(self.calls) <= steps:
                assert not broken.failed, broken.msg
                break
            result = self.run(**args)
            assert not result.failed, f"after a restart after call {steps + 1}: {result.msg or result.stderr}"
            self.daemon.settle()
            self.again(**args)
            yield result
            steps += 1
        assert steps, "nothing was called that changes anything"

    def at_once(self, number: int = 3, **args: Any) -> list[Result]:
        """So many runs side by side: one of them does it, the others find it done."""
        name, given = self._module.name, {"uri": self.uri, **args}
        runs = [ModuleProcess(name, given).start() for _number in range(number)]
        results = [run.result() for run in runs]
        assert [result.failed for result in results] == [False] * number, [
            result.msg or result.stderr for result in results
        ]
        assert sorted(result.changed for result in results) == [False] * (number - 1) + [True]
        self.again(**args)
        return results


def stored(daemon: LibvirtDaemon) -> dict[str, str]:
    """All that libvirt keeps, its own files and those of pools in `pools`; a file's content, or for a large one its
    size and times.
    """
    found = {}
    for place in ("etc", "lib", "run/libvirt", "pools"):
        for path in sorted((daemon.directory / place).rglob("*")):
            if path.is_symlink():
                found[str(path)] = os.readlink(path)
            elif place == "pools" and path.is_file():
                state = path.stat()
                content = hashlib.sha256(path.read_bytes()).hexdigest() if state.st_size < 2**21 else ""
                found[str(path)] = f"{state.st_size} {state.st_mtime_ns} {content}"
            elif path.suffix in (".xml", ".conf", ".hostsfile", ".addnhosts") and path.is_file():
                found[str(path)] = path.read_text(encoding="utf-8")
            elif path.is_dir() and place == "pools":
                found[str(path)] = "directory"
    return found
