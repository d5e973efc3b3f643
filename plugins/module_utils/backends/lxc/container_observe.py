# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is there: containers, whether they run, and what a plan has to know beside them. Reads only."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...engine.errors import BackendError
from ...engine.result import Address, Guest
from ...engine.spec import Spec
from ...engine.units import format_cpus, format_size
from . import addresses, cgroups, sockets
from .client import Directories, Lxc, all_paths, run
from .config import Config
from .container_kinds import net_names
from .container_limits import LIMITS, Groups
from .container_options import Container, option_keys, storage_of
from .container_target import config_after, differences
from .files import changeable, read_file
from .monitor import started_with

#: Beside a configuration: what liblxc has no key for.
NOTE = "kraal.json"
#: Beside a container's directory: what has that name is being made or removed, and is not whole. Holds the base it stands on.
MARK = ".kraal-partial-"
#: What liblxc writes down of snapshots: beside the snapshot its origin, beside the origin its snapshots.
RDEPENDS, SNAPSHOTS = "lxc_rdepends", "lxc_snapshots"
#: A root file system that is to take another one's place, the one that had it, and the key of the note that says so until it is done.
NEW, OLD, REPLACING = "rootfs.kraal-new", "rootfs.kraal-old", "replacing"
#: Root file systems of images that containers share, below overlays of their own.
BASES = ".kraal-bases"

STATES = {"RUNNING": "running", "FROZEN": "paused", "FREEZING": "paused", "THAWED": "running", "STARTING": "running", "STOPPING": "running"}
COMMON = "/usr/share/lxc/config/common.conf"
USERNS = "/usr/share/lxc/config/userns.conf"
#: A container that started so many seconds after its configuration was written is asked what it started with.
MARGIN = 2

#: What a running container is asked beside the keys in its file: whatever may have been taken away since.
#: Not lxc.cap.keep, to which liblxc 5.0 answers with lxc.cap.drop.
ASKED = (
    "lxc.uts.name", "lxc.net", "lxc.mount.entry", "lxc.mount.auto", "lxc.mount.fstab", "lxc.cap.drop", "lxc.idmap",
    "lxc.environment", "lxc.hook.pre-start", "lxc.hook.pre-mount", "lxc.hook.mount", "lxc.hook.autodev", "lxc.hook.start-host", "lxc.hook.start",
    "lxc.hook.stop", "lxc.hook.post-stop", "lxc.init.cmd", "lxc.init.uid", "lxc.init.gid", "lxc.init.cwd", "lxc.signal.halt", "lxc.signal.reboot",
    "lxc.signal.stop", "lxc.tty.max", "lxc.pty.max", "lxc.arch", "lxc.autodev", "lxc.seccomp.profile", "lxc.apparmor.profile", "lxc.no_new_privs",
    "lxc.prlimit", "lxc.sysctl", "lxc.proc", "lxc.cgroup", "lxc.cgroup2", "lxc.console.buffer.size",
)
ASKED_OF_NETS = ("type", "link", "flags", "mtu", "ipv4.address", "ipv4.gateway", "ipv6.address", "ipv6.gateway")
#: What is of no concern to a container that runs.
_IDLE = re.compile(r"lxc\.(start\.(auto|order|delay)|group|include|log\..*|cgroup2?\..*|rootfs\.path)")
_LIMITED = frozenset(
    name for version in (1, 2) for weight in cgroups.WEIGHTS[version] for limit in LIMITS.values() for name in limit.files(Groups(version, weight))
)


@dataclass
class Seen:
    """One look at a directory of containers."""

    groups: Groups = field(default_factory=Groups)
    containers: dict[str, Container] = field(default_factory=dict)
    #: Containers of other directories that are to be cloned, by directory and name.
    others: dict[tuple[str, str], Container] = field(default_factory=dict)
    #: The containers whose root file systems stand on another one's, by that one's name.
    dependants: dict[str, list[str]] = field(default_factory=dict)
    #: Directories in which there is no container, and none that was begun.
    strange: frozenset[str] = frozenset()
    #: Why liblxc refuses the configuration that a guest would get, by its name.
    objections: dict[str, str] = field(default_factory=dict)
    #: What will wait for a restart once a running guest's new configuration is written, by its name.
    pending: dict[str, tuple[str, ...]] = field(default_factory=dict)
    #: The configuration that a new container begins with.
    fresh: Config = field(default_factory=lambda: Config(""))
    #: Images that were looked for and are not there.
    missing: frozenset[str] = frozenset()


class Files:
    """The files that configurations include, each read once."""

    def __init__(self) -> None:
        self.newest = 0.0
        self._texts: dict[str, list[str]] = {}

    def __call__(self, path: str) -> list[str]:
        if path not in self._texts:
            place = Path(path)
            files = sorted(place.glob("*.conf")) if place.is_dir() else [place]
            self._texts[path] = [self._read(file) for file in files if file.is_file()]
        return self._texts[path]

    def _read(self, file: Path) -> str:
        self.newest = max(self.newest, file.stat().st_mtime)
        return read_file(file)


def observe(lxc: Lxc, wants: Sequence[Spec] | None) -> Seen:
    """Look at the containers that are spoken of (None: all), in a fixed few calls; each that runs and was changed is asked itself."""
    try:
        return _observe(lxc, wants)
    except OSError as error:
        remedy = "Look as root (become), and at the files that they include"
        raise BackendError("the containers in %s cannot be read: %s" % (lxc.path, error), remedy=remedy) from error


def _observe(lxc: Lxc, wants: Sequence[Spec] | None) -> Seen:
    seen, files = Seen(groups=cgroups.look()), Files()
    names = None if wants is None else {want.name for want in wants}
    found, strange = _read_all(lxc.path, files, seen.groups)
    seen.strange = frozenset(strange)
    running = _states(lxc, found)
    for name, container in found.items():
        state, pid = running.get(name, ("stopped", 0))
        seen.containers[name] = replace(container, state=state, pid=pid)
    for name, container in seen.containers.items():
        base = base_of(container, seen.containers)
        if base:
            seen.dependants.setdefault(base, []).append(name)
        # Those in other directories.
        pairs = [(path, other) for path, other in read_pairs(Path(lxc.path, name, SNAPSHOTS)) if path != lxc.path and Path(path, other, RDEPENDS).exists()]
        seen.dependants.setdefault(name, []).extend("%s/%s" % pair for pair in sorted(set(pairs)))
    mine = [container for name, container in seen.containers.items() if names is None or name in names]
    seen.containers.update({container.name: container for container in _looked_into(lxc, mine, files)})
    if any(want.state != "absent" for want in wants or ()):
        _prepare(lxc, wants or (), seen, files)
    return seen


def _read_all(path: str, files: Files, groups: Groups) -> tuple[dict[str, Container], list[str]]:
    """Every container of a directory with its configuration, and the names of directories that are none."""
    found, strange = {}, []
    try:
        listed = list(os.scandir(path))
    except FileNotFoundError:
        return {}, []
    except OSError as error:
        raise BackendError("%s cannot be read: %s" % (path, error.strerror), remedy="Look as root (become)") from error
    marked = {entry.name[len(MARK) :] for entry in listed if entry.name.startswith(MARK)}
    names = {entry.name for entry in listed if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")}
    for name in sorted(names | marked):
        place = Path(path, name)
        try:
            text = read_file(place / "config")
        except FileNotFoundError:
            if name not in marked:
                strange.append(name)
                continue
            text = ""
        except OSError as error:
            raise BackendError("%s cannot be read: %s" % (place, error.strerror), remedy="Look as root (become)") from error
        note = read_note(place / NOTE)
        replacing = REPLACING in note or (place / OLD).exists() or (place / NEW).exists()
        found[name] = Container(name, path, Config(text, files), note, groups=groups, unfinished=name in marked, replacing=replacing)
    return found, strange


def read_note(path: Path) -> dict[str, Any]:
    """What is kept beside a configuration."""
    try:
        note = json.loads(read_file(path))
    except (FileNotFoundError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def _states(lxc: Lxc, found: Mapping[str, Container]) -> dict[str, tuple[str, int]]:
    """The state and the first process of all that runs; one call, which asks nobody but a container's own monitor."""
    asked = sockets.answering(lxc.path, found)
    if not asked:
        return {}
    done = run(["lxc-ls", "-P", lxc.path, "-f", "-F", "NAME,STATE,PID", sockets.pattern(asked)])
    if done.returncode:
        raise BackendError("lxc-ls failed: %s" % done.stderr.strip(), remedy="Look at the containers in %s" % lxc.path)
    running = {}
    for line in done.stdout.splitlines()[1:]:
        words = line.rsplit(None, 2)
        if len(words) == 3 and words[2].isdigit() and words[1] in STATES:
            running[words[0].strip()] = (STATES[words[1]], int(words[2]))
    return running


def read_pairs(path: Path) -> list[tuple[str, str]]:
    """What liblxc writes down of containers that belong together: the directory and the name of each, line by line."""
    try:
        lines = read_file(path).splitlines()
    except OSError:
        return []
    return [(os.path.normpath(directory), name) for directory, name in zip(lines[::2], lines[1::2]) if directory.startswith("/") and "/" not in name and name]


def base_of(container: Container, others: Mapping[str, Container]) -> str:
    """The container on whose root file system this one's stands, as an overlay or a snapshot."""
    words = container.config.get("lxc.rootfs.path").split(":")
    lower = words[1] if words[0] in ("overlay", "overlayfs") and len(words) > 2 else ""
    for name, other in others.items():
        if name != container.name and lower.startswith("%s/%s/" % (other.path, name)):
            return name
    if storage_of(container.config) == "dir":
        return ""
    pairs = read_pairs(Path(container.path, container.name, RDEPENDS))
    return next((name for path, name in pairs if name in others and others[name].path == path), "")


def _looked_into(lxc: Lxc, containers: Iterable[Container], files: Files) -> list[Container]:
    """With what only the kernel, and a container itself, can say of those that run."""
    listed = list(containers)
    running = [container for container in listed if container.runs]
    if not running:
        return listed
    host = _namespace(os.getpid())
    pids = [container.pid for container in running if _namespace(container.pid) != host]
    found = addresses.addresses_of(pids)
    changed = [container for container in running if _changed(container, files)]
    with ThreadPoolExecutor(max_workers=4) as pool:
        pending = dict(zip((container.name for container in changed), pool.map(lambda container: _pending(lxc, container), changed)))
    whole = []
    for container in listed:
        if container.runs:
            places = cgroups.directories(container.pid, container.config.get("lxc.cgroup.dir"))
            wanted = [name for limit in LIMITS.values() for name in limit.files(container.groups)]
            container = replace(
                container,
                live=cgroups.read(container.groups, places, wanted),
                addresses=found.get(container.pid, ()),
                pending=pending.get(container.name, ()),
            )
        whole.append(container)
    return whole


def _namespace(pid: int) -> str:
    try:
        return os.readlink("/proc/%d/ns/net" % pid)
    except OSError:
        return ""


def _changed(container: Container, files: Files) -> bool:
    """Whether the configuration may be newer than the start."""
    try:
        written = os.stat(os.path.join(container.path, container.name, "config")).st_mtime
        ticks = int(Path("/proc/%d/stat" % container.pid).read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return False
    started = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")
    # Read once, whatever this one includes is among the files.
    return bool(container.config.entries) and max(written, files.newest) > started - MARGIN


def _pending(lxc: Lxc, container: Container) -> tuple[str, ...]:
    """The keys that the container was started without, or with another value; liblxc itself writes both sides."""
    nets = ["lxc.net.%d.%s" % (number, rest) for number in container.config.nets() for rest in ASKED_OF_NETS]
    keys = list(dict.fromkeys([*ASKED, *nets, *(key for key in sorted(container.config.values) if not _IDLE.fullmatch(key))]))
    running = started_with(lxc.path, container.name, keys)
    words = [word for key in keys for word in ("-c", key)]
    done = run(["lxc-info", "-P", "/nonexistent", "-n", "kraal.none", "--rcfile", "CONFIG", *words], config=container.config.text)
    if done.returncode or running is None:
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
    """What lxc-info says of each key, which it was asked in this order: KEY = VALUE, and further values on lines of their own."""
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
    """What the plans need beside the containers: the first configuration, the sources of clones, and what liblxc says of the new configurations."""
    living = [want for want in wants if want.state != "absent"]
    making = [want for want in living if want.name not in seen.containers or seen.containers[want.name].unfinished]
    if making:
        seen.fresh = Config(fresh_text(lxc.setting("lxc.default_config")), files)
        seen.missing = frozenset(want.values["image"].path for want in making if _lacks_image(want))
    for path in {os.path.normpath(want.steering["clone"]["lxc_path"]) for want in making if (want.steering.get("clone") or {}).get("lxc_path")}:
        found, _strange = _read_all(path, files, seen.groups)
        running = _states(Lxc({"lxc_path": path}), found)
        seen.others.update({(path, name): replace(each, state=running.get(name, ("stopped", 0))[0]) for name, each in found.items()})
    for want in living:
        have = seen.containers.get(want.name)
        if have is None or have.unfinished:
            have = Container(want.name, lxc.path, first_config(want, seen.fresh), groups=seen.groups)
        after = config_after(differences(want, have), have)
        if after.text == have.config.text:
            continue
        seen.objections[want.name] = lxc.objection(after.text)
        if have.runs and not seen.objections[want.name]:
            seen.pending[want.name] = pending_words(replace(have, config=after, pending=_pending(lxc, replace(have, config=after))))


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
    lines = ["lxc.include = %s" % path for path in shared if os.path.exists(path)]
    return Config("\n".join([*lines, fresh.text.strip("\n"), "lxc.uts.name = %s" % want.name, ""]), fresh.includes)


def guest_of(container: Container) -> Guest:
    """The one result form."""
    memory, cpus = container.limit("memory"), container.limit("cpus")
    return Guest(
        name=container.name,
        backend="lxc",
        id="%s/%s" % (container.path, container.name),
        state=container.state,
        image=image_of(container),
        cpus=format_cpus(cpus) if cpus else None,
        memory=format_size(memory) if memory else "",
        addresses=tuple(
            Address(each.address, each.family, _network(container, each.interface), each.mac) for each in _own_first(container)
        ),
        labels=dict(container.note.get("labels") or {}),
        autostart=container.config.get("lxc.start.auto") == "1",
        pending_restart=pending_words(container),
    )


def pending_words(container: Container) -> tuple[str, ...]:
    """What waits for a restart, in the words of a task."""
    words = {option_keys(key, container.config) for key in container.pending}
    # A device more or less shows in their number too.
    return tuple(sorted(words - {"networks"} if any(word.startswith("networks[") for word in words) else words))


def _own_first(container: Container) -> list[addresses.Found]:
    """The addresses of the devices that the configuration gives the guest, in its order, before those of what the guest has made: bridges, tunnels.

    A bridge in the guest that has one of them as its port has its MAC, too.
    """
    config = container.config
    names = net_names(config)
    places = {name: place for place, name in enumerate(names)}
    macs = {config.get("lxc.net.%d.hwaddr" % number).lower(): places[name] for name, number in names.items()}
    macs.update({each.mac: places[each.interface] for each in container.addresses if each.interface in places})
    return sorted(container.addresses, key=lambda each: (places.get(each.interface, macs.get(each.mac or "-", len(places))), each.family))


def _network(container: Container, interface: str) -> str:
    """What a device is connected to on the host; its own name where that is not written down."""
    number = net_names(container.config).get(interface)
    return (container.config.get("lxc.net.%d.link" % number) if number is not None else "") or interface


def image_of(container: Container) -> str:
    """What it was made from, as far as it was written down."""
    note = container.note
    kept = note.get("image") or {}
    return str(kept.get("path") or note.get("made_from") or "")


def all_guests(parameters: Mapping[str, Any]) -> list[Guest]:
    """The guests of one directory, or of all that are known. Raises NotInstalled and BackendError."""
    lxc = Lxc(parameters)
    places = Directories([lxc.path]) if parameters.get("lxc_path") else all_paths(lxc.standard)
    found = []
    for path in (*places.named, *places.found):
        seen = observe(Lxc({"lxc_path": path}), None)
        guests = [guest_of(container) for container in seen.containers.values() if not container.unfinished]
        found += [guest for guest in guests if path in places.named or not _of_others(guest.id)]
    return sorted(found, key=lambda guest: (guest.name, guest.id))


def _of_others(place: str) -> str:
    """What others can change of a container in a directory that nobody has named."""
    return next(filter(None, (changeable(os.path.join(place, name)) for name in ("config", NOTE) if os.path.lexists(os.path.join(place, name)))), "")
