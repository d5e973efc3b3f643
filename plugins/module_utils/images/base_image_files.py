# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files of base images as guests of this host take them: brought here, closed to others, and under names that
stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..engine.action import Action
from ..engine.errors import BackendError, os_errors
from ..engine.plan import Step
from ..engine.resource import Resource
from ..engine.spec import Spec, Table
from .base_image import MODE, closing, described_builds, files_of_build, is_whole, links, open_files

FILES = Table(
    backend="mmdebstrap",
    kind="base_image_files",
    options=(),
    states=("present",),
    state="present",
    allow=None,
    steering={
        # As base_image returns it.
        "path": {"type": "path", "required": True},
        "checksum": {"type": "str", "required": True},
        "kernel": {"type": "str", "default": ""},
        "initrd": {"type": "str", "default": ""},
    },
)


@dataclass
class Seen:
    """The builds that are whole, by the file of their image; those of their files that others may read; the links,
    and where they lead.
    """

    builds: dict[str, dict[str, Any]] = field(default_factory=dict)
    open: dict[str, dict[str, int]] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)

    def has(self, path: str, checksum: str) -> bool:
        """Whether this very build is here: its description comes last, and tells the checksum."""
        return bool(self.builds.get(Path(path).name, {}).get("checksum") == checksum)


class BaseImageFiles(Resource[Seen]):
    """The base images in one directory of this host."""

    table = FILES

    def __init__(self, directory: str) -> None:
        self.directory = Path(directory)

    def observe(self, wants: Sequence[Spec] | None) -> Seen:
        """Read the descriptions, and where the links lead."""
        seen = Seen(links=links(self.directory))
        for build in described_builds(self.directory):
            if is_whole(self.directory, build):
                seen.builds[build["file"]] = build
                seen.open[build["file"]] = open_files(self.directory, build)
        return seen

    def plan(self, want: Spec, seen: Seen) -> list[Step]:
        """Pure."""
        path, checksum = want.steering["path"], want.steering["checksum"]
        steps = []
        if seen.has(path, checksum):
            opened = sorted(seen.open[Path(path).name].items())
            steps += [closing(want.name, self.directory / name, mode) for name, mode in opened]
        else:
            before = seen.builds.get(Path(path).name, {}).get("checksum")
            steps.append(Step(want.name, Action.COPY, f"files[{Path(path).name}]", before, checksum))
        # A file's own name tells what it was built of, so guests would have to be told anew whenever that changes.
        for file in filter(None, (path, want.steering["kernel"], want.steering["initrd"])):
            link, target = want.name + Path(file).suffix, Path(file).name
            if seen.links.get(link) != target:
                steps.append(
                    Step(
                        want.name,
                        Action.SET,
                        f"links[{link}]",
                        seen.links.get(link),
                        target,
                        subject=self.directory / link,
                    )
                )
        return steps

    def apply(self, want: Spec, step: Step, seen: Seen) -> None:
        """Perform one step."""
        with os_errors(f"{step.subject} cannot be changed", "Run the task with become"):
            super().apply(want, step, seen)

    def do_copy(self, want: Spec, _step: Step, _seen: Seen) -> None:
        """Whoever has the file has to bring it."""
        path = self.directory / Path(want.steering["path"]).name
        remedy = "Copy it here from the host that built it, and its description after it"
        raise BackendError(f"{path} is not on this host", remedy=remedy)

    def do_set(self, _want: Spec, step: Step, seen: Seen) -> None:
        """Close a file to others; or make a link, in the place of what has the name, in one move."""
        path: Path = step.subject
        if any(path.name in modes for modes in seen.open.values()):
            path.chmod(MODE)
            return
        # A run that was killed leaves no more than this, and the next one needs the name.
        fresh = path.with_name(f".{path.name}.kraal-new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(str(step.after))
        fresh.replace(path)

    def describe(self, name: str, seen: Seen) -> Mapping[str, Any] | None:
        """The newest build of that name."""
        mine = [build for build in seen.builds.values() if build["name"] == name]
        return (
            {"name": name, "files": [str(self.directory / file) for file in files_of_build(mine[-1])]} if mine else None
        )

    def foresee(self, want: Spec, steps: Sequence[Step], seen: Seen) -> Mapping[str, Any] | None:
        """The files that guests will find. Pure."""
        return {"name": want.name, "files": bundle(want.steering)}


def bundle(built: Mapping[str, Any]) -> list[str]:
    """The paths of a build as base_image returns it, its description last, since with that it counts. Pure."""
    files = [built["path"], built.get("kernel"), built.get("initrd"), str(Path(built["path"]).with_suffix(".json"))]
    return [file for file in files if file]
