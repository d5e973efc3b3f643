# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Base images as a resource: root file systems that mmdebstrap builds, known by what they were asked for."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ..engine.action import Action, Disruption
from ..engine.compare import before_after, differences
from ..engine.errors import BackendError, InvalidOption, KraalError, os_errors
from ..engine.kinds import Sequence as Ordered
from ..engine.kinds import Size, Text, Words
from ..engine.plan import Step
from ..engine.resource import Resource
from ..engine.spec import Option, Spec, Table, name_check
from ..engine.units import format_size
from ..host.replace import sync
from .disk import LARGEST, MIB, SMALLEST, Identity, copy_kernel, make
from .disk_contents import EARLY, command_line, commands_of, files_of, old_command_line, packages_of
from .rootfs import (
    BUILDING,
    checksum_of,
    clear,
    is_left,
    machine_architecture,
    name_of,
    newest_time,
    obstacle,
    own_suite,
    run_mmdebstrap,
    run_tool,
    workplace,
)

WORD = r"[a-z0-9][a-z0-9.+-]*"
_MIRROR = "Write an address like http://mirror.example/debian; credentials belong into the host's apt configuration"
#: Of an image and its description: in there is what passwords are made into.
MODE = 0o600
#: The formats that are bootable disks, and what of the options is theirs alone.
DISKS = ("qcow2", "raw")
_OF_DISKS = {"disk_size": "2GiB", "seed_reader": "kraal", "kernel": ""}
#: Those whose boot loader is known, with the package of their kernel.
KERNELS = {"amd64": "linux-image-cloud-amd64"}
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


class DiskSize(Size):
    """Whole MiB, within what a root file system and its ext4 can be."""

    def __init__(self) -> None:
        super().__init__(least=SMALLEST)

    def parse(self, value: Any, option: str) -> int:
        size = super().parse(value, option)
        if size % MIB or not SMALLEST <= size <= LARGEST:
            remedy = f"Write a whole number of MiB from {format_size(SMALLEST)} to {format_size(LARGEST)}; a guest's own disk may be greater"
            raise InvalidOption(option, value, "is not a valid size for this disk", remedy=remedy)
        return size


def _option(name: str, kind: Any) -> Option:
    return Option(
        name,
        kind,
        lambda build: kind.parse(build["request"][name], name) if build["request"].get(name) is not None else None,
        Disruption.NONE,
    )


OPTIONS: tuple[Option, ...] = (
    _option("suite", Text(pattern=WORD, remedy=_REMEDY)),
    _option("packages", Ordered(Text(pattern=r"[a-z0-9][a-z0-9.+:-]*", remedy=_REMEDY))),
    _option("variant", Text(choices=("minbase", "buildd", "apt", "required", "important", "standard", "essential"))),
    _option("components", Ordered(Text(pattern=WORD, remedy=_REMEDY))),
    _option("architecture", Text(pattern=r"[a-z0-9]+", remedy=_REMEDY)),
    _option("mirror", Text(pattern=r"(https?|ftp|file|copy)://[^\s@]+", remedy=_MIRROR)),
    _option("keyring", PathText()),
    _option(
        "user", Text(pattern=r"[a-z_][a-z0-9_-]{0,31}", remedy="Use lower-case letters, digits, dashes and underscores")
    ),
    _option("ssh_authorized_keys", PublicKeys()),
    _option("commands", Commands()),
    _option("serial", Text()),
    _option("format", Text(choices=("tar", *DISKS))),
    _option("disk_size", DiskSize()),
    _option("seed_reader", Text(choices=("kraal", "cloud-init", "none"))),
    _option("kernel", Text(pattern=r"[a-z0-9][a-z0-9.+:-]*", remedy=_REMEDY)),
)


_check_name = name_check(
    r"[a-zA-Z0-9][a-zA-Z0-9_.]*(-[a-zA-Z0-9_.]+)*",
    "a base image",
    "Use letters, digits, dots, and single dashes and underscores between them",
)


def _complete(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """A suite that is not named is this host's own; the order of packages means nothing.

    Raises InvalidOption for what the format has no use for.
    """
    completed = dict(parameters)
    for key in ("packages", "components"):
        if completed.get(key) is not None:
            completed[key] = sorted(set(completed[key]))
    if completed["state"] == "present" and not completed.get("suite"):
        completed["suite"] = own_suite()
    completed["variant"] = completed.get("variant") or "minbase"
    if completed.get("format") in DISKS:
        architecture = completed.get("architecture") or machine_architecture()
        if completed["state"] == "present" and architecture not in KERNELS:
            remedy = "Build a disk for {}, or a root file system with format=tar".format(", ".join(KERNELS))
            raise InvalidOption("architecture", architecture, "has no boot loader that is known here", remedy=remedy)
        for key, value in _OF_DISKS.items():
            completed[key] = completed.get(key) or value or KERNELS.get(architecture)
        return completed
    # Not asked for is an archive, and a request of before there were disks keeps its digest.
    completed["format"] = None
    for key in _OF_DISKS:
        if completed.get(key) is not None:
            raise InvalidOption(
                key,
                completed[key],
                "means nothing for an archive",
                remedy="Set format to {}, or leave it out".format(" or ".join(DISKS)),
            )
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


def form_of(request: Mapping[str, Any]) -> str:
    """The format, and ending, of what is asked for. Pure."""
    return str(request.get("format") or "tar")


def file_of(name: str, request: Mapping[str, Any]) -> str:
    """The name of the file that a request is built into. Pure."""
    return f"{name}-{digest_of(request)}.{form_of(request)}"


def noted(request: Mapping[str, Any]) -> dict[str, Any]:
    """A request as its description keeps it: a command may set a password, so of each there is its program, and what
    tells it from others. Pure.
    """
    kept = dict(request)
    if kept.get("commands"):
        kept["commands"] = [_noted_command(words) for words in request["commands"]]
    return kept


def _noted_command(words: Sequence[str]) -> list[str]:
    if len(words) < 2 or re.fullmatch(r"\(sha256:[0-9a-f]{12}\)", words[1]):
        return list(words)
    return [words[0], "(sha256:{})".format(digest_of({"command": list(words)}))]


def is_of(build: Mapping[str, Any], request: Mapping[str, Any]) -> bool:
    """Whether a build is what is asked for: the name of its file says so. Pure."""
    return bool(build["file"] == file_of(build["name"], request))


def sizes_of(build: Mapping[str, Any]) -> dict[str, int]:
    """The files of a build, its image first, and how many bytes each has. Pure."""
    return {build["file"]: build["size"], **{each["file"]: each["size"] for each in build.get("beside", {}).values()}}


def files_of_build(build: Mapping[str, Any]) -> list[str]:
    """The names of all files of a build, its description last. Pure."""
    return [*sizes_of(build), str(Path(build["file"]).with_suffix(".json"))]


def described_builds(directory: Path) -> Iterator[dict[str, Any]]:
    """What stands in the descriptions, the oldest first; one that cannot be read is as good as not there.

    Raises BackendError.
    """
    for path in sorted(directory.glob("*.json"), key=lambda each: each.stat().st_mtime_ns):
        try:
            build = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, FileNotFoundError):
            continue
        except PermissionError as error:
            raise BackendError(f"{path} cannot be read: {error.strerror}", remedy="Run the task with become") from error
        if (
            isinstance(build, dict)
            and {"name", "file", "request", "checksum", "size"} <= set(build)
            and path.stem == Path(str(build["file"])).stem
        ):
            yield build


def is_whole(directory: Path, build: Mapping[str, Any]) -> bool:
    """Whether all files of a build have the size that its description tells."""
    with suppress(FileNotFoundError):
        return all((directory / name).stat().st_size == size for name, size in sizes_of(build).items())
    return False


def links(directory: Path) -> dict[str, str]:
    """The links in the directory, and where they lead."""
    return {path.name: os.readlink(path) for path in directory.glob("*") if path.is_symlink()}


def open_files(directory: Path, build: Mapping[str, Any]) -> dict[str, int]:
    """The files of a build that others may read, with their permissions: in the image stands what root's password is
    made into.
    """
    modes = {name: (directory / name).stat().st_mode & 0o777 for name in files_of_build(build)}
    return {name: mode for name, mode in modes.items() if mode & 0o077}


def _text(build: Mapping[str, Any]) -> str:
    return json.dumps(build, indent=1, sort_keys=True) + "\n"


@dataclass
class Seen:
    """The builds of every name, the newest last; what a build or a removal that died has left; what is missing here
    for a build, by format.
    """

    builds: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    #: Those that are described, but of which a file is missing or short.
    broken: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    leftovers: dict[str, list[str]] = field(default_factory=dict)
    #: The names that lead to builds, and where to.
    links: dict[str, str] = field(default_factory=dict)
    #: The files of builds that others than their owner may read, with their permissions.
    open: dict[str, dict[str, int]] = field(default_factory=dict)
    obstacles: dict[str, KraalError | None] = field(default_factory=dict)


def _removal(name: str, key: str, before: str, subject: Any) -> Step:
    return Step(name, Action.REMOVE, key, before, None, Disruption.DESTROY, subject=subject)


def closing(name: str, path: Path, mode: int) -> Step:
    """The step after which nobody but root can read a file."""
    return Step(name, Action.SET, f"mode[{path.name}]", f"{mode:04o}", f"{MODE:04o}", subject=path)


class BaseImages(Resource[Seen]):
    """The base images in one directory of this host."""

    table = BASE_IMAGES

    def __init__(self, directory: str, assume_tools: bool = False) -> None:
        """``assume_tools``: plan as if what builds base images were here."""
        self.directory = Path(directory)
        self.assume_tools = assume_tools
        self._requests: dict[str, dict[str, Any]] = {}

    def observe(self, wants: Sequence[Spec] | None) -> Seen:
        """Read the descriptions beside the archives."""
        self._requests = {want.name: request_of(want) for want in wants or () if want.state == "present"}
        seen = Seen(
            obstacles={form: obstacle(form, self.assume_tools) for form in map(form_of, self._requests.values())}
        )
        for build in described_builds(self.directory):
            whole = is_whole(self.directory, build)
            (seen.builds if whole else seen.broken).setdefault(build["name"], []).append(build)
            if whole:
                seen.open.setdefault(build["name"], {}).update(open_files(self.directory, build))
        seen.links = links(self.directory)
        mine = [want.name for want in wants or ()]
        for path in sorted(self.directory.glob(BUILDING + "*")):
            name = name_of(path)
            # Of a name that nobody asks for again, it would stay for ever.
            cleaner = mine[0] if mine and name not in mine and is_left(path) else name
            seen.leftovers.setdefault(cleaner, []).append(str(path))
        return seen

    def plan(self, want: Spec, seen: Seen) -> list[Step]:
        """Pure."""
        steps = [Step(want.name, Action.CLEAN, "leftover", path) for path in seen.leftovers.get(want.name, [])]
        builds = seen.builds.get(want.name, [])
        # What is wanted itself is written over.
        mine = file_of(want.name, request_of(want)) if want.state == "present" else ""
        broken = [build for build in seen.broken.get(want.name, []) if build["file"] != mine]
        steps += [Step(want.name, Action.CLEAN, "leftover", self._path(build), subject=build) for build in broken]
        if want.state == "absent":
            named = [link for link in sorted(seen.links) if Path(link).stem == want.name]
            gone = [_removal(want.name, f"links[{link}]", seen.links[link], self.directory / link) for link in named]
            return [
                *steps,
                *(
                    _removal(want.name, "builds[{}]".format(build["file"]), build["checksum"], build)
                    for build in builds
                ),
                *gone,
            ]
        request = request_of(want)
        old = [build for build in builds if not is_of(build, request)] if "builds" in want.purge else []
        purged = [_removal(want.name, "builds[{}]".format(build["file"]), build["checksum"], build) for build in old]
        going = {name for build in old for name in files_of_build(build)}
        opened = sorted(seen.open.get(want.name, {}).items())
        steps += [closing(want.name, self.directory / name, mode) for name, mode in opened if name not in going]
        if any(is_of(build, request) for build in builds):
            return steps + purged
        missing = seen.obstacles.get(form_of(request))
        if missing is not None:
            raise missing
        if not builds:
            return [*steps, Step(want.name, Action.BUILD, "", None, request), *purged]
        before, after = before_after(differences(self.table, want, builds[-1]))
        dropped = {key: value for key, value in builds[-1]["request"].items() if key not in request}
        if noted(request).get("commands") == noted(builds[-1]["request"]).get("commands"):
            for side in (before, after, dropped):
                side.pop("commands", None)
        return [*steps, Step(want.name, Action.BUILD, "", {**dropped, **before}, after), *purged]

    def do_clean(self, want: Spec, step: Step, seen: Seen) -> None:
        """Clear up what a build or a removal has left that died."""
        if step.subject is None:
            clear(Path(str(step.before)))
        else:
            self.do_remove(want, step, seen)

    def do_remove(self, _want: Spec, step: Step, _seen: Seen) -> None:
        """Remove a link; or a build, its description last: what is described can be removed by the next run."""
        if isinstance(step.subject, Path):
            step.subject.unlink(missing_ok=True)
            return
        for name in sizes_of(step.subject):
            (self.directory / name).unlink(missing_ok=True)
        Path(self._path(step.subject)).with_suffix(".json").unlink()

    def do_set(self, want: Spec, step: Step, seen: Seen) -> None:
        """Let nobody else read a file that an earlier version made; nor the commands that it wrote down."""
        path: Path = step.subject
        with os_errors(f"{path} cannot be kept from others", "Run the task with become"):
            for build in seen.builds.get(want.name, []):
                if path.name == files_of_build(build)[-1] and build["request"] != noted(build["request"]):
                    self._describe_anew(want, build, path)
            path.chmod(MODE)

    def _describe_anew(self, want: Spec, build: Mapping[str, Any], path: Path) -> None:
        with workplace(self.directory, want.name) as work:
            fresh = work / path.name
            fresh.write_text(_text({**build, "request": noted(build["request"])}), encoding="utf-8")
            fresh.chmod(MODE)
            # The newest build is known by its time.
            os.utime(fresh, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
            sync(fresh)
            fresh.rename(path)

    def _path(self, build: Mapping[str, Any]) -> str:
        return str(self.directory / build["file"])

    def do_build(self, want: Spec, _step: Step, _seen: Seen) -> None:
        """Build it beside the others of its name."""
        request = request_of(want)
        final = self.directory / file_of(want.name, request)
        # QEMU's user has to get through to what it is given, and has no business with anything else.
        self.directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        try:
            with workplace(self.directory, want.name) as work:
                image = work / final.name
                beside = self._make(want, request, image, work)
                self._put(self._description(want, image, beside), [*beside.values(), image], work)
        except OSError as error:
            remedy = f"Free space in {self.directory}, or choose another directory"
            raise BackendError(f"{final} cannot be written: {error.strerror}", remedy=remedy) from error

    def _description(self, want: Spec, image: Path, beside: Mapping[str, Path]) -> dict[str, Any]:
        """What is written down of a build."""
        request = request_of(want)
        build = {
            "name": want.name,
            "file": image.name,
            "request": noted(request),
            "checksum": checksum_of(image),
            "size": image.stat().st_size,
        }
        if beside:
            build["beside"] = {key: {"file": path.name, "size": path.stat().st_size} for key, path in beside.items()}
            build["command_line"] = command_line(Identity(digest_of(request)).root)
        return build

    def _put(self, build: Mapping[str, Any], made: Sequence[Path], work: Path) -> None:
        """Give the files of a build their names, the image last."""
        description = work / "description"
        description.write_text(_text(build), encoding="utf-8")
        for path in (*made, description):
            path.chmod(MODE)
            # After a loss of power too, a file that has its name and size has its content.
            sync(path)
        for path in made:
            (self.directory / path.name).unlink(missing_ok=True)
        # The description first, the image last: what is described and not whole is known as such, and written over
        # or removed by the next run.
        description.rename((self.directory / build["file"]).with_suffix(".json"))
        for path in made:
            path.rename(self.directory / path.name)
        sync(self.directory)

    def _make(self, want: Spec, request: Mapping[str, Any], image: Path, work: Path) -> dict[str, Path]:
        """Write the image; what stands beside it, by what it is called in the result."""
        # Once: a build goes on over midnight.
        epoch = newest_time()
        if form_of(request) == "tar":
            run_mmdebstrap(request, image, work, epoch)
            return {}
        identity = Identity(digest_of(request))
        root, raw = work / "root", work / "disk.raw"
        contents = {"early": EARLY, "files": files_of(request, identity.root), "prepare": commands_of(request)}
        run_mmdebstrap(request, root, work, epoch, packages_of(request), contents)
        make(root, raw, want.values["disk_size"], identity, epoch, partial(run_tool, work))
        if form_of(request) == "raw":
            raw.rename(image)
        else:
            run_tool(work, ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(image)])
        return copy_kernel(root, image)

    def describe(self, name: str, seen: Seen) -> Mapping[str, Any] | None:
        """The build that is asked for, or else the newest."""
        builds = seen.builds.get(name, [])
        mine = [build for build in builds if name in self._requests and is_of(build, self._requests[name])] or builds
        return self._described(mine[-1]) if mine else None

    def _described(self, build: Mapping[str, Any]) -> dict[str, Any]:
        disk = form_of(build["request"]) in DISKS
        stem = self.directory / Path(build["file"]).stem
        return {
            "name": build["name"],
            "path": str(self.directory / build["file"]),
            "checksum": build["checksum"],
            "size": format_size(build["size"]) if build["size"] else "",
            "kernel": str(stem) + ".vmlinuz" if disk else "",
            "initrd": str(stem) + ".initrd" if disk else "",
            # A guest of a build from before that was written down keeps its line.
            "command_line": (build.get("command_line") or old_command_line(Identity(stem.name.rpartition("-")[2]).root))
            if disk
            else "",
            "request": noted(build["request"]),
        }

    def foresee(self, want: Spec, steps: Sequence[Step], seen: Seen) -> Mapping[str, Any] | None:
        """The build that was asked for; its checksum and size are empty until it is made."""
        if want.state == "absent":
            return None
        request = request_of(want)
        for build in seen.builds.get(want.name, []):
            if is_of(build, request):
                return self._described(build)
        return self._described(
            {
                "name": want.name,
                "file": file_of(want.name, request),
                "checksum": "",
                "size": 0,
                "request": request,
                "command_line": command_line(Identity(digest_of(request)).root),
            }
        )
