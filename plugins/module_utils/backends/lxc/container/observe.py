# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is there: containers, whether they run, and what a plan has to know beside them. Reads only."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ....engine.action import PowerState
from ....engine.compare import Difference
from ....engine.errors import BackendError, KraalError, Unreachable, os_errors
from ....engine.reading import Unread, apart, each_apart
from ....engine.result import Guest
from ....engine.spec import Spec
from ....engine.work import side_by_side
from .. import sockets
from ..client import Lxc, run
from ..files import read_file
from . import addresses, cgroups
from .config import Config
from .describe import known_of, pending_words
from .limits import LIMITS, WEIGHTS, Groups
from .model import Container, Seen
from .monitor import running as monitor_of
from .monitor import started_with
from .old_keys import carried_over, old_keys
from .options import storage_of
from .target import config_after, differences

#: Beside a configuration: what liblxc has no key for.
NOTE = "kraal.json"
#: Beside a container's directory: what has that name is being made or removed, and is not whole. Holds the base it
#: stands on.
MARK = ".kraal-partial-"
#: What liblxc writes down of snapshots: beside the snapshot its origin, beside the origin its snapshots.
RDEPENDS, SNAPSHOTS = "lxc_rdepends", "lxc_snapshots"
#: A root file system that is to take another one's place, the one that had it, and the key of the note that says so
#: until it is done.
NEW, OLD, REPLACING = "rootfs.kraal-new", "rootfs.kraal-old", "replacing"
#: Root file systems of images that containers share, below overlays of their own.
BASES = ".kraal-bases"

#: liblxc's words for what has processes, and for what has none.
STATES = {
    **dict.fromkeys(("RUNNING", "THAWED", "STARTING", "STOPPING"), PowerState.RUNNING),
    **dict.fromkeys(("FROZEN", "FREEZING"), PowerState.PAUSED),
}
STOPPED = "STOPPED"
COMMON = "/usr/share/lxc/config/common.conf"
USERNS = "/usr/share/lxc/config/userns.conf"
#: A container that started so many seconds after its configuration was written is asked what it started with.
MARGIN = 2

#: What a running container is asked beside the keys in its file: whatever may have been taken away since.
#: Not lxc.cap.keep, to which liblxc 5.0 answers with lxc.cap.drop.
ASKED = (
    "lxc.uts.name",
    "lxc.net",
    "lxc.mount.entry",
    "lxc.mount.auto",
    "lxc.mount.fstab",
    "lxc.cap.drop",
    "lxc.idmap",
    "lxc.environment",
    "lxc.hook.pre-start",
    "lxc.hook.pre-mount",
    "lxc.hook.mount",
    "lxc.hook.autodev",
    "lxc.hook.start-host",
    "lxc.hook.start",
    "lxc.hook.stop",
    "lxc.hook.post-stop",
    "lxc.init.cmd",
    "lxc.init.uid",
    "lxc.init.gid",
    "lxc.init.cwd",
    "lxc.signal.halt",
    "lxc.signal.reboot",
    "lxc.signal.stop",
    "lxc.tty.max",
    "lxc.pty.max",
    "lxc.arch",
    "lxc.autodev",
    "lxc.seccomp.profile",
    "lxc.apparmor.profile",
    "lxc.no_new_privs",
    "lxc.prlimit",
    "lxc.sysctl",
    "lxc.proc",
    "lxc.cgroup2",
    "lxc.console.buffer.size",
)
ASKED_OF_NETS = ("type", "link", "flags", "mtu", "ipv4.address", "ipv4.gateway", "ipv6.address", "ipv6.gateway")
#: What is of no concern to a container that runs.
_IDLE = re.compile(r"lxc\.(start\.(auto|order|delay)|group|include|log\..*|cgroup2?\..*|rootfs\.path)")
_LIMITED = frozenset(
    name
    for version in (1, 2)
    for weight in WEIGHTS[version]
    for limit in LIMITS.values()
    for name in limit.files(Groups(version, weight))
)


class Files:
    """The files that configurations include, each read once."""

    def __init__(self) -> None:
        self.newest = 0.0
        self._texts: dict[str, list[str]] = {}

    def __call__(self, path: str) -> list[str]:
        if path not in self._texts:
            place = Path(path)
            found = self._of(place)
            files = sorted(place.glob("*.conf")) if found == stat.S_IFDIR else [place]
            self._texts[path] = [self._read(file) for file in files if self._of(file) == stat.S_IFREG]
        return self._texts[path]

    @staticmethod
    def _of(path: Path) -> int:
        """What kind of file it is, 0 for none. OSError where that cannot be seen: from Python 3.14 on, is_file() of such
        a path is false.
        """
        try:
            return stat.S_IFMT(path.stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return 0

    def _read(self, file: Path) -> str:
        self.newest = max(self.newest, file.stat().st_mtime)
        return read_file(file)


def observe(lxc: Lxc, wants: Sequence[Spec] | None) -> Seen:
    """Look at the containers that are spoken of (None: all), in a fixed few calls; each that runs and was changed is
    asked itself.
    """
    seen, files = Seen(groups=cgroups.look()), Files()
    names = None if wants is None else {want.name for want in wants}
    found, not_containers, faults = _read_all(lxc.path, files, seen.groups)
    seen.not_containers = frozenset(not_containers)
    running, unlisted = _states(lxc, [*found, *faults], seen.groups)
    seen.stuck = {name: lxc.objection(found[name].config.text) if name in found else "" for name in unlisted}
    for name, container in found.items():
        word, pid = running.get(name, (STOPPED, 0))
        seen.containers[name] = replace(container, raw_state=word, state=state_of(word), pid=pid)
    everyone = {**seen.containers, **{name: Container(name, lxc.path, Config("")) for name in faults}}
    for container in seen.containers.values():
        with each_apart(seen.unread, known_of(container)):
            _see_dependants(lxc, seen, container, everyone)
    for name, error in faults.items():
        word = running.get(name, (STOPPED, 0))[0]
        seen.unread[name] = Unread(Guest(name, "lxc", f"{lxc.path}/{name}", state_of(word), word), error)
    mine = [container for name, container in seen.containers.items() if names is None or name in names]
    seen.containers.update({container.name: container for container in _looked_into(lxc, mine, files, seen.unread)})
    if any(want.state != "absent" for want in wants or ()):
        _prepare(lxc, wants or (), seen, files)
    for name, unread in seen.unread.items():
        seen.containers.pop(name, None)
        if seen.dependants.get(name) or name in seen.stuck:
            seen.unread[name] = replace(unread, stuck=True)
    return seen


def _see_dependants(lxc: Lxc, seen: Seen, container: Container, everyone: Mapping[str, Container]) -> None:
    """Whose root file systems stand on another one's."""
    base = base_of(container, everyone)
    if base:
        seen.dependants.setdefault(base, []).append(container.name)
    # Those in other directories.
    listed = read_pairs(Path(lxc.path, container.name, SNAPSHOTS))
    pairs = [
        (path, other)
        for path, other in listed
        if path != lxc.path and os.path.exists(os.path.join(path, other, RDEPENDS))
    ]
    seen.dependants.setdefault(container.name, []).extend("{}/{}".format(*pair) for pair in sorted(set(pairs)))


def _read_all(path: str, files: Files, groups: Groups) -> tuple[dict[str, Container], list[str], dict[str, KraalError]]:
    """Every container of a directory with its configuration, the names of directories that are none, and why some
    cannot be read.
    """
    found: dict[str, Container] = {}
    not_containers: list[str] = []
    faults: dict[str, KraalError] = {}
    listed: list[os.DirEntry[str]] = []
    with os_errors(f"{path} cannot be read", "Look as root (become)"), suppress(FileNotFoundError):
        listed = list(os.scandir(path))
    marked = {entry.name[len(MARK) :] for entry in listed if entry.name.startswith(MARK)}
    names = {entry.name for entry in listed if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")}
    for name in sorted(names | marked):
        with apart(faults, "lxc", name):
            container = _read(path, name, files, groups, unfinished=name in marked)
            if container is None:
                not_containers.append(name)
            else:
                found[name] = container
    return found, not_containers, faults


def _read(path: str, name: str, files: Files, groups: Groups, *, unfinished: bool) -> Container | None:
    """One container with its configuration, what it includes, and its note; None for a directory that is none.

    Raises BackendError.
    """
    place = Path(path, name)
    try:
        text = read_file(place / "config")
    except FileNotFoundError:
        if not unfinished:
            return None
        text = ""
    except OSError as error:
        raise _unread(error, str(place / "config")) from error
    config = Config(text, files)
    try:
        # All that it includes is read in this moment.
        config.values  # noqa: B018
    except OSError as error:
        raise _unread(error, f"{error.filename}, which its configuration includes,") from error
    note, why = read_note(place / NOTE)
    replacing = REPLACING in note or (place / OLD).exists() or (place / NEW).exists()
    return Container(
        name, path, config, note, groups=groups, unfinished=unfinished, replacing=replacing, unread_note=why
    )


def _unread(error: OSError, what: str) -> BackendError:
    """Its own fault, unless this user may read nobody's, and then knows not even what runs."""
    why = f"{what} cannot be read: {error.strerror}"
    if isinstance(error, PermissionError):
        return Unreachable(why, remedy="Look as root (become)")
    return BackendError(why, remedy="Look at that file")


def read_note(path: Path) -> tuple[dict[str, Any], str]:
    """What is kept beside a configuration, and why that cannot be read."""
    try:
        note = json.loads(read_file(path))
    except FileNotFoundError:
        return {}, ""
    except (OSError, ValueError, RecursionError) as error:
        return {}, f"{path} cannot be read: {error}"
    return (note, "") if isinstance(note, dict) else ({}, f"{path} holds no mapping")


def state_of(word: str) -> PowerState:
    """The power state that is one of liblxc's words."""
    return STATES.get(word, PowerState.STOPPED)


def _states(lxc: Lxc, found: Collection[str], groups: Groups) -> tuple[dict[str, tuple[str, int]], list[str]]:
    """liblxc's word for the state, and the first process, of all that runs, in one call, which asks nobody but a
    container's own monitor.

    And those among them of which liblxc says nothing, since it does not take their configuration: their monitors say
    it.
    """
    asked = sockets.answering(lxc.path, found)
    # The tool waits for a configuration that is a FIFO.
    readable = [name for name in asked if os.path.isfile(os.path.join(lxc.path, name, "config"))]
    said = lxc.listed(sockets.pattern(readable)) if readable else ""
    running, listed = {}, set()
    for line in said.splitlines()[1:]:
        words = line.rsplit(None, 2)
        if len(words) == 3:
            listed.add(words[0].strip())
        if len(words) == 3 and words[2].isdigit() and words[1] in STATES:
            running[words[0].strip()] = (words[1], int(words[2]))
    unlisted = []
    for name in sorted(set(asked) - listed):
        there = monitor_of(lxc.path, name)
        if there is not None and there[0] in STATES:
            unlisted.append(name)
            paused = cgroups.frozen(groups, cgroups.directories(there[1]))
            running[name] = ("FROZEN" if paused else there[0], there[1])
    return running, unlisted


def read_pairs(path: Path) -> list[tuple[str, str]]:
    """What liblxc writes down of containers that belong together: the directory and the name of each, line by line."""
    try:
        lines = read_file(path).splitlines()
    except OSError:
        return []
    return [
        (os.path.normpath(directory), name)
        for directory, name in zip(lines[::2], lines[1::2])
        if directory.startswith("/") and "/" not in name and name
    ]


def base_of(container: Container, others: Mapping[str, Container]) -> str:
    """The container on whose root file system this one's stands, as an overlay or a snapshot."""
    words = container.config.get("lxc.rootfs.path").split(":")
    lower = words[1] if words[0] in ("overlay", "overlayfs") and len(words) > 2 else ""
    for name, other in others.items():
        if name != container.name and lower.startswith(f"{other.path}/{name}/"):
            return name
    if storage_of(container.config) == "dir":
        return ""
    pairs = read_pairs(Path(container.path, container.name, RDEPENDS))
    return next((name for path, name in pairs if name in others and others[name].path == path), "")


def _looked_into(lxc: Lxc, containers: Iterable[Container], files: Files, unread: dict[str, Unread]) -> list[Container]:
    """With what only the kernel, and a container itself, can say of those that run."""
    listed = list(containers)
    running = [container for container in listed if container.runs]
    if not running:
        return listed
    host = _namespace(os.getpid())
    pids = [container.pid for container in running if _namespace(container.pid) != host]
    found = addresses.addresses_of(pids)

    def look_into(container: Container) -> Container:
        with each_apart(unread, known_of(container)):
            places = cgroups.directories(container.pid, container.config.get("lxc.cgroup.dir"))
            wanted = [name for limit in LIMITS.values() for name in limit.files(container.groups)]
            return replace(
                container,
                live=cgroups.read(container.groups, places, wanted),
                addresses=found.get(container.pid, ()),
                pending=_pending(lxc, container) if _changed(container, files) else (),
            )
        return container

    whole = {container.name: container for container in side_by_side(look_into, running, 4)}
    return [whole.get(container.name, container) for container in listed]


def _namespace(pid: int) -> str:
    try:
        return os.readlink("/proc/%d/ns/net" % pid)
    except OSError:
        return ""


#: How the name of a group begins that a container is started with beside its configuration: see start_mark().
STARTED = "kraal.started."


def start_mark(config: Config) -> str:
    """A name for all of a configuration that takes effect at the start. It is one group more of the container as it
    runs, which its monitor knows, whatever clocks and files show later.
    """
    lines = "\n".join(f"{each.key}={each.value}" for each in config.entries if not _IDLE.fullmatch(each.key))
    return STARTED + hashlib.sha256(lines.encode(errors="surrogateescape")).hexdigest()[:16]


def _changed(container: Container, files: Files) -> bool:
    """Whether the configuration may be another one than at the start; by the clock where somebody else started it."""
    groups = (started_with(container.path, container.name, ["lxc.group"]) or {}).get("lxc.group", ())
    marks = [each for each in groups if each.startswith(STARTED)]
    if marks:
        return marks[-1] != start_mark(container.config)
    try:
        written = os.stat(os.path.join(container.path, container.name, "config")).st_mtime
        ticks = int(
            Path("/proc/%d/stat" % container.pid)
            .read_text(encoding="utf-8", errors="replace")
            .rpartition(")")[2]
            .split()[19]
        )
    except (OSError, ValueError, IndexError):
        return False
    started = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")
    # Read once, whatever this one includes is among the files.
    return bool(container.config.entries) and max(written, files.newest) > started - MARGIN


def _pending(lxc: Lxc, container: Container) -> tuple[str, ...]:
    """The keys that the container was started without, or with another value; liblxc itself writes both sides."""
    nets = ["lxc.net.%d.%s" % (number, rest) for number in container.config.nets() for rest in ASKED_OF_NETS]
    written_keys = (key for key in sorted(container.config.values) if not _IDLE.fullmatch(key))
    # LXC 7 does not know it, and where it would mean something, that does not run.
    groups = ["lxc.cgroup"] if container.groups.version == 1 else []
    keys = list(dict.fromkeys([*ASKED, *groups, *nets, *written_keys]))
    words = [word for key in keys for word in ("-c", key)]
    done = run(
        ["lxc-info", "-P", "/nonexistent", "-n", "kraal.none", "--rcfile", "CONFIG", *words],
        config=container.config.text,
    )
    # Of keys that liblxc does not know, the monitor writes into its log that it was asked for them.
    running = None if done.returncode else started_with(lxc.path, container.name, keys)
    if running is None:
        return ()
    written = _answers(done.stdout, keys)
    found = []
    for key in keys:
        if key in ("lxc.cgroup", "lxc.cgroup2", "lxc.prlimit", "lxc.sysctl", "lxc.proc"):
            found += _lines_apart(running.get(key, ()), written.get(key, ()))
        elif running.get(key, ()) != written.get(key, ()):
            found.append(key)
    return tuple(dict.fromkeys(found))


def _answers(output: str, keys: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """What lxc-info says of each key, which it was asked in this order: KEY = VALUE, and further values on lines of
    their own.
    """
    found: dict[str, tuple[str, ...]] = {}
    place, key = 0, ""
    for line in output.splitlines():
        head = line.partition(" =")[0]
        if " =" in line and head in keys[place:]:
            place, key = keys.index(head) + 1, head
            line = line[len(head) + 2 :].strip()
        if key and line.strip():
            found[key] = (*found.get(key, ()), line.strip())
    return found


def _lines_apart(running: Iterable[str], written: Iterable[str]) -> list[str]:
    """The keys of the lines that only one side has, without the limits, which are live."""
    apart = set(running) ^ set(written)
    keys = {line.partition(" =")[0] for line in apart}
    return sorted(key for key in keys if key.partition(".")[2].partition(".")[2] not in _LIMITED)


def _prepare(lxc: Lxc, wants: Sequence[Spec], seen: Seen, files: Files) -> None:
    """What the plans need beside the containers: the first configuration, the sources of clones, and what liblxc
    says of the new configurations.
    """
    living = [want for want in wants if want.state != "absent"]
    making = [want for want in living if want.name not in seen.containers or seen.containers[want.name].unfinished]
    if making:
        seen.fresh = Config(fresh_text(lxc.setting("lxc.default_config")), files)
        seen.missing = frozenset(want.values["image"].path for want in making if _lacks_image(want))
    for path in {
        os.path.normpath(want.steering["clone"]["lxc_path"])
        for want in making
        if (want.steering.get("clone") or {}).get("lxc_path")
    }:
        found, _not_containers, _faults = _read_all(path, files, seen.groups)
        running, _unlisted = _states(Lxc({"lxc_path": path}), found, seen.groups)
        seen.others.update(
            {
                (path, name): replace(each, state=state_of(running.get(name, (STOPPED, 0))[0]))
                for name, each in found.items()
            }
        )
    for want in living:
        if want.name not in seen.unread:
            with apart(seen.faults, "lxc", want.name):
                _look_ahead(lxc, want, seen)


def _look_ahead(lxc: Lxc, want: Spec, seen: Seen) -> None:
    """What a guest would become, and what liblxc says of the configuration that it would get."""
    have = seen.containers.get(want.name)
    if have is None or have.unfinished:
        have = seen.blank[want.name] = Container(
            want.name, lxc.path, first_config(want, seen.fresh), groups=seen.groups
        )
    changes = seen.changes[want.name] = changes_of(lxc, want, have)
    after = config_after(changes, have)
    if after.text == have.config.text:
        return
    seen.objections[want.name] = lxc.objection(after.text)
    if have.runs and not seen.objections[want.name]:
        seen.pending[want.name] = pending_words(
            replace(have, config=after, pending=_pending(lxc, replace(have, config=after)))
        )


def changes_of(lxc: Lxc, want: Spec, have: Container) -> tuple[Difference, ...]:
    """How a container has to change. Keys of version 1 of control groups go along where liblxc refuses them, as it does
    since release 7: beside version 2 they were of no use.
    """
    changes = tuple(differences(want, have))
    if have.groups.version == 2 and old_keys(have) and lxc.objection(config_after(changes, have).text):
        return (*changes, *carried_over(want, have))
    return changes


def _lacks_image(want: Spec) -> bool:
    image = want.values.get("image")
    return image is not None and bool(image.checksum) and not os.path.isfile(image.path)


def fresh_text(path: str) -> str:
    """The host's default configuration for new containers."""
    try:
        return read_file(path or "/etc/lxc/default.conf")
    except OSError:
        return ""


def first_config(want: Spec, fresh: Config) -> Config:
    """The configuration of a container from an image, before the task's own options."""
    shared = [COMMON] + ([USERNS] if want.values.get("idmap") else [])
    lines = [f"lxc.include = {path}" for path in shared if os.path.exists(path)]
    return Config("\n".join([*lines, fresh.text.strip("\n"), f"lxc.uts.name = {want.name}", ""]), fresh.includes)
