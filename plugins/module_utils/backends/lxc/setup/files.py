# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of LXC's configuration as parts of its setup: edited, not written anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ....engine.action import Disruption
from ....engine.plan import Step, set_step
from ....host.lxc_network import Changes
from ....host.reader import Files
from ....host.replace import replace_file
from ....host.setup import HOST

#: What lxc-net is configured by, what new containers begin with, and who may connect containers to bridges.
NETWORK, GUESTS, USERS = "/etc/default/lxc-net", "/etc/lxc/default.conf", "/etc/lxc/lxc-usernet"


def text_of(files: Files, path: str) -> str | None:
    """A file as it is, byte for byte; None where there is none."""
    content = files.octets(path)
    return None if content is None else content.decode("utf-8", "surrogateescape")


@dataclass(frozen=True)
class Edit:
    """A file as it is to be. ``before`` is None where it is not there yet."""

    path: str
    before: str | None
    after: str
    changes: Changes

    def step(self, disruption: Disruption = Disruption.NONE) -> Step:
        """One write, one step: its key, or several with their values."""
        named = {f"{Path(self.path).name}[{key}]": values for key, values in self.changes.items()}
        old, new = ({key: values[at] for key, values in named.items()} for at in (0, 1))
        return set_step(HOST, old, new, disruption)

    def write(self) -> None:
        """Put it there, with the old one beside it. Raises BackendError or OSError."""
        Path(self.path).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        replace_file(Path(self.path), self.after, 0o644, keep_old=True)

    def take_back(self) -> None:
        """Have it as it was. Raises BackendError or OSError."""
        if self.before is None:
            Path(self.path).unlink(missing_ok=True)
        else:
            replace_file(Path(self.path), self.before)


@dataclass(frozen=True)
class EditedFile:
    """A file that guests are made by. Nothing that runs notices."""

    edit: Edit

    def faults(self) -> Sequence[str]:
        """There is nothing in the way of it."""
        return []

    def plan(self) -> Sequence[Step]:
        """The one write."""
        return [self.edit.step()] if self.edit.changes else []

    def apply(self, step: Step) -> None:
        """See Edit.write."""
        self.edit.write()
