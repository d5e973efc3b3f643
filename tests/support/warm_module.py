# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs one module many times, each run in a process of its own that is forked from one which has already imported
everything.

Most of a module's run is Python importing ansible-core and the libraries; a table of a thousand runs pays for that
once.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from .ansible_runner import Result
from .module_process import as_result, module_environment, module_input, python_name
from .paths import SYSTEM_PYTHON

#: Reads a line with a directory, forks, lets the child run the module with that directory's files as its input, output
#: and further environment, and answers with its exit code.
SERVER = """
import importlib, json, os, sys, traceback
module = importlib.import_module(sys.argv[1])
exec(sys.argv[2])
del sys.argv[1:]
print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        os.chdir(line.strip())
        os.setsid()
        with open("env") as more:
            os.environ.update(json.load(more))
        for number, (name, flags) in enumerate((("in", os.O_RDONLY), ("out", os.O_WRONLY), ("err", os.O_WRONLY))):
            os.dup2(os.open(name, flags | os.O_CREAT), number)
        sys.stdin, code = open(0), 1
        try:
            module.main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(bool(end.code))
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class WarmModule:
    """A module that is imported and waits for its runs, one at a time."""

    def __init__(
        self,
        name: str,
        interpreter: Sequence[str] = (SYSTEM_PYTHON,),
        env: Mapping[str, str] | None = None,
        scratch: Path | None = None,
        *,
        before: str = "",
    ) -> None:
        """`before` is what Python does once the module is imported."""
        self.name = name
        self._scratch = tempfile.TemporaryDirectory(prefix="kt-warm-", dir=scratch)
        self._process = subprocess.Popen(
            [*interpreter, "-c", SERVER, python_name(name), before],
            cwd=self._scratch.name,
            env=module_environment(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise RuntimeError(f"the Python that runs {self.name} ended with {self._process.wait()}")
        return line

    def __call__(
        self,
        args: Mapping[str, Any] | None = None,
        *,
        check: bool = False,
        diff: bool = False,
        verbosity: int = 0,
        env: Mapping[str, str] | None = None,
    ) -> Result:
        """One run.

        `env` is what the module reads of its environment itself; Python has started with that of all runs.
        """
        assert self._process.stdin is not None
        with tempfile.TemporaryDirectory(prefix="run-", dir=self._scratch.name) as directory:
            path = Path(directory)
            (path / "in").write_text(
                module_input(self.name, args, directory, check=check, diff=diff, verbosity=verbosity), encoding="utf-8"
            )
            (path / "env").write_text(json.dumps(dict(env or {})), encoding="utf-8")
            self._process.stdin.write(f"{directory}\n")
            self._process.stdin.flush()
            rc = int(self._answer())
            texts = [
                (path / name).read_text(encoding="utf-8") if (path / name).exists() else "" for name in ("out", "err")
            ]
        return as_result(rc, *texts)

    def close(self) -> None:
        """End the process that waits."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._scratch.cleanup()

    def __enter__(self) -> WarmModule:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
