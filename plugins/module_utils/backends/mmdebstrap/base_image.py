# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Base images as a resource: root file systems that mmdebstrap builds, known by what they were asked for."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...engine.compare import differences
from ...engine.errors import BackendError, InvalidOption, KraalError
from ...engine.kinds import Sequence as Ordered
from ...engine.kinds import Text, Words
from ...engine.plan import Disruption, Step
from ...engine.spec import Option, Spec, Table
from ...engine.units import format_size
from .rootfs import checksum_of, clear, obstacle, own_suite, run_mmdebstrap

WORD = r"[a-z0-9][a-z0-9.+-]*"
_MIRROR = "Write an address like http://mirror.example/debian; credentials belong into the host's apt configuration"
_REMEDY = "Use lower-case letters, digits, dots, plus signs and dashes"


class Commands(Ordered):
    """A list of commands, each a list of words or a text that is split as a shell splits it."""

    def __init__(self) -> None:
        super().__init__(Words())

    def show(self, value: tuple[Any, ...]) -> list[Any]:
        return [list(words) for words in value]


class PathText(Text):
    """An absolute path; not a secret, though Ansible's naming rule takes a keyring for one."""

    def __init__(self) -> None:
        super().__init__(pattern=r"/.+", remedy="Write an absolute path")
        self.argument = {"type": "path", "no_log": False}


class PublicKeys(Ordered):
    """Lines of an authorized_keys file: public, though Ansible's naming rule takes them for secrets."""

    def __init__(self) -> None:
        super().__init__(Text())
        self.argument = {**self.argument, "no_log": False}


def _option(name: str, kind: Any) -> Option:
    return Option(name, kind, lambda build: kind.parse(build["request"][name], name) if build["request"].get(name) is not None else None, Disruption.NONE)


OPTIONS: tuple[Option, ...] = (
    _option("suite", Text(pattern=WORD, remedy=_REMEDY)),
    _option("packages", Ordered(Text(pattern=r"[a-z0-9][a-z0-9.+:-]*", remedy=_REMEDY))),
    _option("variant", Text(choices=("minbase", "buildd", "apt", "required", "important", "standard", "essential"))),
    _option("components", Ordered(Text(pattern=WORD, remedy=_REMEDY))),
    _option("architecture", Text(pattern=r"[a-z0-9]+", remedy=_REMEDY)),
    _option("mirror", Text(pattern=r"(https?|ftp|file|copy)://[^\s@]+", remedy=_MIRROR)),
    _option("keyring", PathText()),
    _option("user", Text(pattern=r"[a-z_][a-z0-9_-]{0,31}", remedy="Use lower-case letters, digits, dashes and underscores")),
    _option("ssh_authorized_keys", PublicKeys()),
    _option("commands", Commands()),
    _option("serial", Text()),
)


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.]*(-[a-zA-Z0-9_.]+)*", name):
        raise InvalidOption("name", name, "is no name for a base image", remedy="Use letters, digits, dots, and single dashes and underscores between them")


def _complete(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """A suite that is not named is this host's own; the order of packages means nothing."""
    completed = dict(parameters)
    for key in ("packages", "components"):
        if completed.get(key) is not None:
            completed[key] = sorted(set(completed[key]))
    if completed["state"] == "present" and not completed.get("suite"):
        completed["suite"] = own_suite()
    completed["variant"] = completed.get("variant") or "minbase"
    return completed


BASE_IMAGES = Table(
    backend="mmdebstrap",
    kind="base_image",
    options=OPTIONS,
    states=("present", "absent"),
    state="present",
    allow=None,
    steering={
        "directory": {"type": "path", "default": "/var/cache/kraal.virt"},
        "purge": {"type": "list", "elements": "str", "choices": ["builds"], "default": []},
    },
    complete=_complete,
    check_name=_check_name,
)


def request_of(want: Spec) -> dict[str, Any]:
    """What is asked for, as plain data in one order: it names the result. Pure."""
    return dict(sorted(BASE_IMAGES.shown(want).items()))


def digest_of(request: Mapping[str, Any]) -> str:
    """The name of a request. Pure."""
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:12]


@dataclass
class Seen:
    """The builds of every name, the newest last; what a build that died has left; what is missing here for a build."""

    builds: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    leftovers: dict[str, list[str]] = field(default_factory=dict)
    obstacle: KraalError | None = None


class BaseImages:
    """The base images in one directory of this host."""

    table = BASE_IMAGES

    def __init__(self, directory: str) -> None:
        self.directory = Path(directory)
        self._requests: dict[str, dict[str, Any]] = {}

    def observe(self, wants: Sequence[Spec] | None) -> Seen:
        """Read the descriptions beside the archives."""
        seen = Seen(obstacle=obstacle())
        self._requests = {want.name: request_of(want) for want in wants or () if want.state == "present"}
        for build in self._described_builds():
            seen.builds.setdefault(build["name"], []).append(build)
        for path in sorted(self.directory.glob(".building-*")):
            seen.leftovers.setdefault(path.name[len(".building-") :].rpartition("-")[0], []).append(str(path))
        return seen

    def _described_builds(self) -> Iterator[dict[str, Any]]:
        """What stands in the descriptions of those archives that are whole; the rest is as good as not there."""
        for path in sorted(self.directory.glob("*.json"), key=lambda each: each.stat().st_mtime_ns):
            try:
                build = json.loads(path.read_text(encoding="utf-8"))
                size = (self.directory / build["file"]).stat().st_size
            except (ValueError, KeyError, TypeError, FileNotFoundError):
                continue
            if isinstance(build, dict) and {"name", "request", "checksum"} <= set(build) and size == build.get("size"):
                yield build

    def names(self, seen: Seen) -> list[str]:
        """All that were built here."""
        return sorted(seen.builds)

    def plan(self, want: Spec, seen: Seen) -> list[Step]:
        """Pure."""
        steps = [Step(want.name, "clean", "leftover", path) for path in seen.leftovers.get(want.name, [])]
        builds = seen.builds.get(want.name, [])
        if want.state == "absent":
            return steps + [Step(want.name, "remove", "builds[%s]" % build["file"], build["checksum"], None, Disruption.DESTROY) for build in builds]
        request = request_of(want)
        old = [build for build in builds if build["request"] != request] if "builds" in want.purge else []
        purged = [Step(want.name, "remove", "builds[%s]" % build["file"], build["checksum"], None, Disruption.DESTROY) for build in old]
        if any(build["request"] == request for build in builds):
            return steps + purged
        if seen.obstacle is not None:
            raise seen.obstacle
        if not builds:
            return [*steps, Step(want.name, "build", "", None, request), *purged]
        changes = differences(self.table, want, builds[-1])
        gone = {key: value for key, value in builds[-1]["request"].items() if key not in request}
        before = {**gone, **{key: value for each in changes for key, value in each.shown("before").items()}}
        after = {key: value for each in changes for key, value in each.shown("after").items()}
        return [*steps, Step(want.name, "build", "", before, after), *purged]

    def apply(self, want: Spec, step: Step, seen: Seen) -> None:
        """Perform one step."""
        if step.action == "clean":
            clear(Path(str(step.before)))
        elif step.action == "remove":
            archive = self.directory / step.key[len("builds[") : -1]
            # The description last: what is described can be removed by the next run.
            archive.unlink()
            archive.with_suffix(".json").unlink()
        else:
            self._build(want)

    def _build(self, want: Spec) -> None:
        request = request_of(want)
        final = self.directory / ("%s-%s.tar" % (want.name, digest_of(request)))
        self.directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".building-%s-" % want.name, dir=self.directory))
        try:
            archive = work / final.name
            run_mmdebstrap(request, archive, work)
            description = {
                "name": want.name,
                "file": final.name,
                "request": request,
                "checksum": checksum_of(archive),
                "size": archive.stat().st_size,
            }
            (work / "description").write_text(json.dumps(description, indent=1, sort_keys=True) + "\n", encoding="utf-8")
            archive.chmod(0o644)
            archive.rename(final)
            # With its description the archive counts; one without is written over by the next build.
            (work / "description").rename(final.with_suffix(".json"))
        except OSError as error:
            remedy = "Free space in %s, or choose another directory" % self.directory
            raise BackendError("%s cannot be written: %s" % (final, error.strerror), remedy=remedy) from error
        finally:
            clear(work)

    def wait(self, want: Spec) -> None:
        """A base image is there as soon as it is built."""

    def describe(self, name: str, seen: Seen) -> Mapping[str, Any] | None:
        """The build that is asked for, or else the newest."""
        builds = seen.builds.get(name, [])
        mine = [build for build in builds if build["request"] == self._requests.get(name)] or builds
        return self._described(mine[-1]) if mine else None

    def _described(self, build: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "name": build["name"],
            "path": str(self.directory / build["file"]),
            "checksum": build["checksum"],
            "size": format_size(build["size"]) if build["size"] else "",
            "request": build["request"],
        }

    def foresee(self, want: Spec, steps: Sequence[Step], seen: Seen) -> Mapping[str, Any] | None:
        """The build that was asked for; its checksum and size are empty until it is made."""
        if want.state == "absent":
            return None
        request = request_of(want)
        for build in seen.builds.get(want.name, []):
            if build["request"] == request:
                return self._described(build)
        return self._described({"name": want.name, "file": "%s-%s.tar" % (want.name, digest_of(request)), "checksum": "", "size": 0, "request": request})
