# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A key with which guests are reached: made where there is none, its public half written where that is lost, and one
that is there used as it is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..engine import trace
from ..engine.action import Action, Disruption
from ..engine.errors import BackendError, InvalidOption, Refused, os_errors
from ..engine.plan import Step
from ..engine.resource import Resource
from ..engine.spec import Spec, Table
from .packages import install

#: Stands in the public half of a key that was made here, and tells it from others' keys.
COMMENT = "kraal.virt"


def _check_name(name: str) -> None:
    if not os.path.isabs(name) or not name.isprintable() or name.endswith("/"):
        raise InvalidOption("path", name, "is not a valid path of a key", remedy="Write the absolute path of a file")


class KeyTable(Table):
    """A table whose things are called by their paths."""

    def argument_spec(self) -> dict[str, Any]:
        """With ``path`` in the place of ``name``."""
        spec = super().argument_spec()
        del spec["name"]
        return {"path": {"type": "path", "required": True}, **spec}

    def read(self, parameters: Mapping[str, Any]) -> Spec:
        """Raises InvalidOption."""
        return super().read({**parameters, "name": parameters["path"]})


KEYS = KeyTable(
    backend="ssh",
    kind="key",
    options=(),
    states=("present", "absent"),
    state="present",
    allow=None,
    check_name=_check_name,
    plain_name=False,
)


@dataclass
class Seen:
    """What is there of one key. A size is None where there is no file."""

    directory: bool = False
    size: int | None = None
    #: The public half as it is written, and as the key itself tells it; both empty where there is none.
    public: str = ""
    told: str = ""
    #: Why the key did not tell it.
    why: str = ""
    known_hosts: bool = False


def _keygen(*words: str) -> subprocess.CompletedProcess[str]:
    argv = ["ssh-keygen", *words]
    with trace.command(argv) as call:
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
        )
        call.status = str(done.returncode)
    return done


def look(path: Path) -> Seen:
    """Read what is there of a key. Raises BackendError."""
    seen = Seen(directory=path.parent.is_dir())
    with os_errors(f"{path} cannot be read", "Choose another path"):
        if path.exists():
            seen.size = path.stat().st_size
        if _beside(path, ".pub").exists():
            seen.public = _beside(path, ".pub").read_text(encoding="utf-8", errors="replace").strip()
        seen.known_hosts = _beside(path, ".known_hosts").exists()
    if seen.size and shutil.which("ssh-keygen"):
        # A passphrase that is asked for is a passphrase that is wrong: no question, and no hang.
        done = _keygen("-y", "-P", "", "-f", str(path))
        seen.told, seen.why = (done.stdout.strip(), "") if done.returncode == 0 else ("", done.stderr.strip())
    return seen


def _beside(path: Path, ending: str) -> Path:
    return Path(str(path) + ending)


class Keys(Resource[Mapping[str, Seen]]):
    """Keys on this host, by their paths."""

    table: Table = KEYS

    def observe(self, wants: Sequence[Spec] | None) -> dict[str, Seen]:
        """What is there of each."""
        return {want.name: look(Path(want.name)) for want in wants or ()}

    def plan(self, want: Spec, seen: Mapping[str, Seen]) -> list[Step]:
        """Pure."""
        have, name = seen[want.name], want.name
        if want.state == "absent":
            # One of somebody's own stays.
            made_here = have.public.endswith(" " + COMMENT)
            return (
                [Step(name, Action.REMOVE, "", {"public_key": have.public}, None, Disruption.DESTROY)]
                if made_here
                else []
            )
        if not have.size:
            # One without content is what a run left that was killed.
            return [Step(name, Action.CREATE, "", None, {"type": "ed25519", "comment": COMMENT})]
        if have.told:
            return [] if have.public else [Step(name, Action.SET, "public_key", None, have.told)]
        # A key with a passphrase is read by its owner's agent; then its public half has to be there.
        if have.why and not (have.public and "passphrase" in have.why):
            raise Refused(
                f"it is not a key: {have.why}",
                remedy="Move it away, and the next run makes one, or choose another path",
            )
        return []

    def apply(self, want: Spec, step: Step, seen: Mapping[str, Seen]) -> None:
        """Perform one step."""
        with os_errors("it cannot be written", "Choose another path, or make the key yourself"):
            super().apply(want, step, seen)

    def do_remove(self, want: Spec, _step: Step, _seen: Mapping[str, Seen]) -> None:
        """Remove it, with all that stands beside it."""
        # OpenSSH keeps the list of before, where a host has other keys than at first (UpdateHostKeys).
        for ending in ("", ".pub", ".known_hosts", ".known_hosts.old"):
            _beside(Path(want.name), ending).unlink(missing_ok=True)

    def do_set(self, want: Spec, step: Step, _seen: Mapping[str, Seen]) -> None:
        """Write its public half."""
        public = _beside(Path(want.name), ".pub")
        public.write_text(f"{step.after}\n", encoding="utf-8")
        public.chmod(0o644)

    def do_create(self, want: Spec, _step: Step, _seen: Mapping[str, Seen]) -> None:
        """Make it."""
        path = Path(want.name)
        if shutil.which("ssh-keygen") is None:
            raise BackendError(
                "it cannot be made: ssh-keygen is not installed",
                remedy="{}, or make the key yourself".format(install("ssh-keygen")),
            )
        # A directory that is there is somebody's: it keeps its permissions.
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        done = _keygen("-q", "-t", "ed25519", "-N", "", "-C", COMMENT, "-f", str(path))
        if done.returncode != 0:
            raise BackendError(
                f"it cannot be made: {(done.stderr or done.stdout).strip()}",
                remedy="Choose another path, or make the key yourself",
            )

    def describe(self, name: str, seen: Mapping[str, Seen]) -> Mapping[str, Any] | None:
        """The key's path and public half."""
        have = seen[name]
        return {"path": name, "public_key": have.public or have.told} if have.size else None

    def foresee(self, want: Spec, steps: Sequence[Step], seen: Mapping[str, Seen]) -> Mapping[str, Any] | None:
        """What only its making can say is empty. Pure."""
        if want.state == "absent" and steps:
            return None
        return self.describe(want.name, seen) or ({"path": want.name, "public_key": ""} if steps else None)
