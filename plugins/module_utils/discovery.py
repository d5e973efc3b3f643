# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every guest of every backend on this host, in the one result form; no Ansible import.

Runs as a program too: sent to a host's Python on its standard input (see payload()), it prints one JSON document.
"""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import sys
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from .backends.registry import NAMES, backend
from .engine.errors import KraalError, NotInstalled, Unreachable
from .engine.reading import Found, reading
from .engine.result import Guest
from .engine.secrets import hide
from .engine.work import end_children, in_background

#: What stands before the document: a host's login files may print something of their own.
MARK = "kraal.virt discovery: "
#: Seconds that a host has for its answer, and the part of them that its backends have for theirs: what some of them
#: have said is told in time, whatever becomes of the others.
TIMEOUT, SHARE = 60, 0.8
#: A relative import: its dots, the module, the names. Reading them so takes a hundredth of the time that Python's
#: parser does.
_IMPORT = re.compile(r"^[ ]*from (\.+)([\w.]*) import (\([^)]*\)|.+)$", re.MULTILINE)
_NAME = re.compile(r"(?<!as )\b(?!as\b)\w+")
_PACKAGE = "ansible_collections.kraal.virt.plugins.module_utils"

# Imports the sources that were sent with it straight from memory: nothing is written on the host.
_BOOTSTRAP = """
import base64, importlib.abc, importlib.util, json, sys, zlib
sources = json.loads(zlib.decompress(base64.b64decode({sources!r})))
class Sent(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    def find_spec(self, name, path=None, target=None):
        if name in sources:
            return importlib.util.spec_from_loader(name, self, is_package=False)
        if any(each.startswith(name + ".") for each in sources):
            return importlib.util.spec_from_loader(name, self, is_package=True)
    def is_package(self, name):
        return name not in sources
    def get_source(self, name):
        return sources.get(name, "")
sys.meta_path.insert(0, Sent())
from {package}.discovery import main
main({request!r})
"""


@dataclass
class Discovery:
    """All that was found, sorted by backend and name."""

    guests: list[Guest] = field(default_factory=list)
    #: Why a backend that is here did not answer.
    errors: list[KraalError] = field(default_factory=list)
    #: Why a guest is described by what little is known of it.
    faults: list[KraalError] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """``guests`` and ``warnings``: plain data."""
        return {
            "guests": [guest.as_dict() for guest in self.guests],
            "warnings": [str(each) for each in (*self.errors, *self.faults)],
        }


#: A place beside the host's own: its backend, and the connection options that lead there.
Other = Sequence[Any]


@dataclass(frozen=True)
class Question:
    """One place of a backend, to be asked for its guests."""

    backend: str
    #: What its discovery is told (see Backend.discovery), and the connection options that lead there: none for the
    #: host's own place.
    told: Mapping[str, Any]
    connection: Mapping[str, Any] = field(default_factory=dict)

    def ask(self) -> Found:
        """Its guests. Raises KraalError."""
        with reading(self.backend, ""):
            return backend(self.backend).guests({**self.told, **self.connection})

    def late(self, seconds: float) -> KraalError:
        """The error for an answer that did not come."""
        asked = backend(self.backend)
        address = self.connection.get(asked.address)
        return Unreachable(
            "%s %s did not answer within %g seconds"
            % (asked.daemon, hide(f"at {address}") if address else "of this host", seconds),
            remedy="See whether it hangs, in its log and by asking it yourself, and restart it; or allow a longer timeout",
            backend=self.backend,
        )


def answers(questions: Sequence[Question], seconds: float) -> list[Found | KraalError]:
    """The answers to all, which are asked side by side; one that does not come in time is an error too."""
    begun = [in_background(each.ask) for each in questions]
    wait(begun, seconds)
    return [_answer(question, answer, seconds) for question, answer in zip(questions, begun)]


def _answer(question: Question, answer: Future[Found], seconds: float) -> Found | KraalError:
    try:
        return answer.result() if answer.done() else question.late(seconds)
    except KraalError as error:
        return error


def discover(
    backends: Collection[str] = NAMES,
    parameters: Mapping[str, Any] | None = None,
    places: Collection[Other] = (),
    seconds: float = TIMEOUT,
) -> Discovery:
    """Every guest of these backends. A guest that cannot be read takes no other one with it, and a backend that does
    not answer none of another's.

    ``parameters``: what the backends' discovery can be told (see Backend.discovery). ``places``: where to look too.
    ``seconds``: how long all of them may take.
    """
    whole = Discovery()
    questions = [
        Question(
            name, {key: value for key, value in (parameters or {}).items() if key in backend(name).discovery}, where
        )
        for name in backends
        for where in ({}, *(options for kind, options in places if kind == name))
    ]
    guests: dict[tuple[str, str, str], Guest] = {}
    for question, answer in zip(questions, answers(questions, seconds)):
        if isinstance(answer, Found):
            guests.update({(guest.name, guest.place, guest.id): guest for guest in answer.guests})
            whole.faults += answer.faults
        elif question.connection or not isinstance(answer, NotInstalled):
            # That the host does not have a backend is a fault only where somebody has named a place of it.
            whole.errors.append(answer)
    order = {name: number for number, name in enumerate(backends)}
    whole.guests = sorted(guests.values(), key=lambda each: (order[each.backend], each.name, each.place, each.id))
    return whole


def payload(
    backends: Collection[str],
    parameters: Mapping[str, Any] | None = None,
    places: Collection[Other] = (),
    timeout: float = TIMEOUT,
) -> str:
    """A Python program for a host's own interpreter (3.9 or later) that prints what discover() finds there, and ends
    after so many seconds in any case.
    """
    sources = _imported(["discovery.py", *(f"backends/{name}/discover.py" for name in backends)])
    named = {".".join((_PACKAGE, *Path(path).with_suffix("").parts)): source for path, source in sources.items()}
    packed = base64.b64encode(zlib.compress(json.dumps(named).encode())).decode()
    request = json.dumps([list(backends), parameters, list(places), timeout])
    return _BOOTSTRAP.format(sources=packed, package=_PACKAGE, request=request)


def _imported(paths: Iterable[str]) -> dict[str, str]:
    """The text of these modules and of all that they import of the collection, by path below this directory."""
    root = Path(__file__).parent
    sources: dict[str, str] = {}
    waiting = list(paths)
    while waiting:
        path = waiting.pop()
        if path in sources:
            continue
        sources[path] = (root / path).read_text(encoding="utf-8")
        for dots, module, names in _IMPORT.findall(sources[path]):
            *room, dummy = path.split("/")
            place = [*room[: len(room) + 1 - len(dots)], *filter(None, module.split("."))]
            # What is imported from a package is a module of it; of anything else, a name in it.
            wanted = (
                ["/".join([*place, name]) for name in _NAME.findall(names)]
                if (root / "/".join(place)).is_dir()
                else ["/".join(place)]
            )
            waiting += [f"{each}.py" for each in wanted]
    return sources


def _give_up(_signal: int, _frame: FrameType | None) -> None:
    """Nobody waits for this process any more: whoever started it could not end it, nor what it has started, on another
    host or as another user.
    """
    end_children()
    os._exit(1)


def main(request: str) -> None:
    """Print what is found, on one line."""
    backends, parameters, places, timeout = json.loads(request)
    signal.signal(signal.SIGALRM, _give_up)
    signal.setitimer(signal.ITIMER_REAL, timeout)
    found = discover(backends, parameters, places, timeout * SHARE)
    sys.stdout.write(MARK + json.dumps(found.as_dict()) + "\n")
    sys.stdout.flush()
    signal.setitimer(signal.ITIMER_REAL, 0)
    end_children()
