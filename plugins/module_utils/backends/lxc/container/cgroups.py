# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The control groups of containers that run, and what this host has of them; version 1 and 2."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ....engine import trace
from ....engine.errors import BackendError, InvalidOption
from ....engine.units import parse_cpuset
from .limits import WEIGHTS, Groups

ROOT = Path("/sys/fs/cgroup")
#: A component of the path of a container's own group: what it makes below it is its own business.
_OWN = re.compile(r"lxc\.payload(\..*)?|lxc(\.monitor)?")


def look(root: Path = ROOT) -> Groups:
    """What control groups there are."""
    try:
        controllers = (root / "cgroup.controllers").read_text(encoding="ascii").split()
    except OSError:
        return _version_1(root)
    return Groups(2, _weight(root, 2), frozenset(controllers), _processors(root / "cpuset.cpus.effective"))


def _version_1(root: Path) -> Groups:
    found = frozenset(
        name for name in ("cpu", "cpuset", "memory", "pids", "blkio") if (root / name / "cgroup.procs").exists()
    )
    return Groups(1, _weight(root / "blkio", 1), found, _processors(root / "cpuset" / "cpuset.cpus"))


def _weight(root: Path, version: int) -> str:
    """The root itself has no weight: the groups right below it show what the kernel calls it."""
    for name in WEIGHTS[version]:
        if (root / name).exists() or next(root.glob("*/" + name), None):
            return name
    return ""


def _processors(path: Path) -> tuple[int, ...]:
    try:
        return parse_cpuset(path.read_text(encoding="ascii").strip())
    except (OSError, InvalidOption):
        return ()


def directories(pid: int, own: str = "") -> dict[str, Path]:
    """The group of a container by its first process: for each controller its directory; version 2 has one, under the
    empty name.
    """
    try:
        lines = Path("/proc/%d/cgroup" % pid).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return {}
    found = {}
    for line in lines:
        _number, _colon, place = line.partition(":")
        controllers, colon, path = place.partition(":")
        if not colon:
            continue
        parts = path.strip("/").split("/")
        # An init system moves itself into a group below the container's own.
        ends = [
            place
            for place, part in enumerate(parts, start=1)
            if _OWN.fullmatch(part) or (own and "/".join(parts[:place]) == own.strip("/"))
        ]
        parts = parts[: ends[-1]] if ends else [part for part in parts if part != "init.scope"]
        for controller in controllers.split(","):
            found[controller] = ROOT.joinpath(controller.partition("=")[2] or controller, *parts)
    return found


def frozen(groups: Groups, places: Mapping[str, Path]) -> bool:
    """Whether a container is paused."""
    place = places.get("freezer" if groups.version == 1 else "")
    if place is None:
        return False
    try:
        text = (place / ("freezer.state" if groups.version == 1 else "cgroup.freeze")).read_text(encoding="ascii")
    except OSError:
        return False
    return text.strip() in ("FROZEN", "1")


def _file(groups: Groups, places: Mapping[str, Path], name: str) -> Path | None:
    directory = places.get(name.partition(".")[0] if groups.version == 1 else "")
    return directory / name if directory else None


def read(groups: Groups, places: Mapping[str, Path], files: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The texts in these files; those that are not there are left out."""
    found: dict[str, tuple[str, ...]] = {}
    for name in files:
        path = _file(groups, places, name)
        try:
            if path is not None:
                found[name] = (path.read_text(encoding="ascii").strip(),)
        except OSError:
            # A container that ended in this moment, or a limit that this kernel does not know.
            continue
    return found


def _write_line(path: Path, line: str) -> None:
    with trace.call(lambda: f"write {path} {line}"), path.open("w", encoding="ascii") as file:
        file.write(line + "\n")


def write(groups: Groups, places: Mapping[str, Path], values: Mapping[str, Sequence[str]]) -> None:
    """Write each line on its own. Limits that bound each other are written in the order that the kernel allows."""
    left = [(name, line) for name, lines in values.items() for line in lines]
    for last in (False, True):
        refused = []
        for name, line in left:
            path = _file(groups, places, name)
            try:
                if path is None:
                    raise FileNotFoundError(errno.ENOENT, "this host has no such control group")
                _write_line(path, line)
            except OSError as error:
                if last or error.errno not in (errno.EINVAL, errno.EBUSY):
                    raise BackendError(
                        f"the kernel refuses {name}={line}: {error.strerror}",
                        remedy="Write another value, or restart the container with it",
                    ) from error
                # Memory with swap cannot be less than memory: after the other one it may be.
                refused.append((name, line))
        left = refused
