# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Virtual machines and what is around them as data: what was observed, what a task wants, and what differs. Pure."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ....engine.action import Action
from ....engine.compare import key_of
from ....engine.errors import KraalError
from ....engine.kinds import Part
from ....engine.reading import Unread
from ....engine.result import Address
from ....engine.spec import Option, Spec
from ..xml import NAMESPACE
from .xml import Element, get

#: Our element in a domain's metadata.
GUEST = f"{{{NAMESPACE}}}guest"
#: In it: a volume that is being made for the guest, until it is made.
MAKING = f"{{{NAMESPACE}}}making"
#: In it: a seed that another one has taken the place of, until it is removed.
STALE = f"{{{NAMESPACE}}}stale"
#: In the place of an image that is still to be made, while libvirt tries out a definition.
NO_IMAGE = "/dev/null/kraal.virt"


@dataclass(frozen=True)
class View:
    """One description of a domain, stored or live, with what is looked up beside it."""

    root: Element
    name: str = ""
    autostart: bool = False
    #: Bytes of the disks' contents, by target.
    sizes: Mapping[str, int] = field(default_factory=dict)
    #: The paths of volumes, by POOL/VOLUME.
    places: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Layer:
    """One image of a backing chain. ``real``: its path without links; ``format`` is empty where nobody says it."""

    path: str
    real: str
    format: str = ""


@dataclass(frozen=True)
class Chain:
    """What an image is backed by, from the top down. The image itself is not in it."""

    layers: tuple[Layer, ...] = ()
    #: The image whose backing image could not be read; empty where the chain is known to its end.
    unseen: str = ""
    #: Earlier images of the disk by libvirt's records of snapshots, which may be backing images no more: the snapshots,
    #: by paths without links.
    earlier: Mapping[str, str] = field(default_factory=dict)

    def find(self, path: str) -> Layer | None:
        """The layer at a path without links."""
        return next((layer for layer in self.layers if path in (layer.real, layer.path)), None)


@dataclass(frozen=True)
class Job:
    """A block job on a disk of a running guest. ``target``: the image that it writes to, where libvirt shows it."""

    kind: str
    target: str = ""


@dataclass(frozen=True)
class Domain:
    """One domain. ``live`` is None while it does not run."""

    name: str
    state: str
    stored: View
    live: View | None
    #: Libvirt's own word for its state.
    raw_state: str = ""
    #: The addresses of one that runs.
    addresses: tuple[Address, ...] = ()
    #: What images of its disks are backed by, by their paths; only of disks that the task gives another image or
    #: format.
    chains: Mapping[str, Chain] = field(default_factory=dict)
    #: The paths of the images that the task names, without links.
    reals: Mapping[str, str] = field(default_factory=dict)
    #: The block jobs on disks that the task changes, by target.
    jobs: Mapping[str, Job] = field(default_factory=dict)
    #: The disks without an image that a run has left which died as it tried out a definition, by target. They are in
    #: none of the descriptions.
    tried: tuple[str, ...] = ()

    @property
    def uuid(self) -> str:
        """Libvirt's own name for it."""
        return get(self.stored.root, "uuid") or ""

    @property
    def making(self) -> list[str] | None:
        """The volumes that a run which died was making for it; None for a domain that is whole."""
        note = self.stored.root.find("metadata/" + GUEST)
        if note is None or note.get("unfinished") != "yes":
            return None
        return [each.get("path", "") for each in note.findall(MAKING)]

    @property
    def stale(self) -> list[str]:
        """The seeds that a run which died did not get to remove."""
        return [each.get("path", "") for each in self.stored.root.findall(f"metadata/{GUEST}/{STALE}")]


@dataclass(frozen=True)
class Pool:
    """A storage pool that is active."""

    name: str
    kind: str
    target: str

    @property
    def holds_files(self) -> bool:
        """Whether its volumes are files, which may be qcow2."""
        return self.kind in ("dir", "fs", "netfs", "vstorage")

    @property
    def is_network(self) -> bool:
        """Whether its volumes are nowhere on the host."""
        return self.kind in ("rbd", "gluster", "sheepdog", "iscsi-direct")

    @property
    def is_directory(self) -> bool:
        """Whether a volume's path is its name in the pool's directory, before it is made too.

        Others have found their volumes, and say where.
        """
        return self.holds_files or self.kind in ("logical", "zfs")


@dataclass(frozen=True)
class Volume:
    """A volume of a pool."""

    pool: str
    name: str
    path: str
    capacity: int
    format: str = ""
    backing: str = ""
    #: Whether the run that was making it died.
    incomplete: bool = False


@dataclass(frozen=True)
class Emulator:
    """What the emulator of this host makes of new domains."""

    kind: str
    arch: str
    machine: str


# What differs.


@dataclass(frozen=True)
class Edit:
    """One entry of an option that differs on one side of a domain, the stored or the live one.

    ``before`` and ``after``: the entry's canonical values, None where there is none; ``part``: the same as a user would
    write it.
    """

    part: Part
    before: Any
    after: Any

    @property
    def fields(self) -> dict[str, Any]:
        """Of an entry that is there and stays: the fields that differ."""
        before, after = self.before or {}, self.after or {}
        return {name: value for name, value in after.items() if name not in before or before[name] != value}


@dataclass(frozen=True)
class LiveChange:
    """What one entry becomes in a guest that runs, for who brings it about."""

    key: str
    #: The canonical value that the task wants of the whole option.
    value: Any
    #: The entry as it is in effect, and as it is stored; None where there is none.
    before: Any
    stored: Any
    #: The description of the guest as it runs, and with this change in it.
    now: Element
    then: Element


Write = Callable[[Element, Any, Any], None]
Waits = Callable[[Any, Any, View], Iterable[str]]
#: Both take libvirt, its domain, and the change.
Live = Callable[[Any, Any, LiveChange], None]
Grow = Callable[[Any, Any, "Change", "Domain"], None]


def _nothing(_root: Element, _before: Any, _after: Any) -> None:
    """For what is not in the XML."""


def differing(live: Any, stored: Any, _view: View) -> Iterable[str]:
    """The keys of what is stored and not in effect: an option's entries as far as both sides speak of them, or the
    whole.
    """
    if isinstance(live, Mapping) and isinstance(stored, Mapping):
        return [key for key in sorted({*live, *stored}) if _entry_differs(key, live, stored)]
    return [""] if live is not None and stored is not None and live != stored else []


def _entry_differs(key: str, live: Mapping[str, Any], stored: Mapping[str, Any]) -> bool:
    if key not in live or key not in stored:
        return True
    before, after = live[key], stored[key]
    if isinstance(before, Mapping):
        return any(before[name] != after[name] for name in before if name in after)
    return bool(before != after)


def never(_live: Any, _stored: Any, _view: View) -> Iterable[str]:
    """For what the live XML does not have, or says in another way."""
    return []


@dataclass(frozen=True)
class VmOption(Option):
    """All that there is to say of one option of a virtual machine; what is not said on its line holds for most of them.

    ``write`` takes a tree, the option's value that is there, and the one that shall be.
    """

    write: Write = _nothing
    #: The keys of what is stored and not in effect: takes the live value, the stored one and the live view.
    waits: Waits = differing
    #: How a running guest is brought to a change of one entry. None: not at all, it waits for a restart.
    live: Live | None = None
    #: Whether the guest can follow this one, given how it runs.
    hot: Callable[[Edit, View], bool] = lambda edit, view: True
    #: What kind of a slot one needs to be plugged in (slots); empty for none.
    slot: Callable[[Edit, View], str] = lambda edit, view: ""
    #: What is there, in the words of the task: takes the specification, what was read, and the view.
    recognise: Callable[[Spec, Any, View], Any] = lambda want, have, view: have
    #: Whether a guest that was told follows in its own time: what is stored was told, and waits for no restart while
    #: the guest can have it.
    follows: bool = False
    #: Whether it is in a definition that libvirt is to try out before the first of several changes.
    tried: bool = True
    #: Whether it is written as a whole, whichever of its entries differ.
    whole: bool = False
    #: Whether an entry that is there has to grow, which no definition says; raises Refused where it cannot.
    grows: Callable[[str, Edit], bool] = lambda key, edit: False
    grow: Grow | None = None
    #: The target of the disk that an entry is about: takes the option's wanted value and the entry's key; empty where
    #: it is about none.
    disk: Callable[[Any, str], str] = lambda value, key: ""
    #: What libvirt is told when it is stored, beside the definition: takes libvirt, its domain, the wanted value, the
    #: tree, and whether the guest runs.
    tell: Callable[[Any, Any, Any, Element, bool], None] | None = None
    #: Where it stands in the XML, for one that stands at places of its own, and below <devices>.
    places: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()

    def seen(self, want: Spec, view: View) -> Any:
        """Its canonical value in a description, in the words of the task."""
        return self.recognise(want, self.read(view), view)

    def waiting(self, stored: View, live: View) -> list[str]:
        """What of it is stored and not in effect, as a plan names it."""
        return [key_of(self.name, key) for key in self.waits(self.read(live), self.read(stored), live)]


@dataclass(frozen=True)
class Change:
    """One entry that has to change: what of it is not stored so, what is not in effect, and how it is brought about."""

    option: VmOption
    entry: str
    #: The difference as a user would write it.
    part: Part
    cold: Edit | None
    warm: Edit | None = None
    #: Whether it is done as the guest runs.
    hot: bool = False
    #: attach, detach, resize or set.
    action: Action = Action.SET

    @property
    def key(self) -> str:
        """As the plan names it."""
        return key_of(self.option.name, self.entry)


@dataclass(frozen=True)
class Leftover:
    """What a run that died has left of its work on a guest.

    A seed that is in no drive any more, a definition that it tried out, or else the whole guest.
    """

    seed: str = ""
    trial: bool = False


@dataclass(frozen=True)
class VolumesToRemove:
    """The volumes that go with a guest, by their paths."""

    paths: tuple[str, ...] = ()


@dataclass(frozen=True)
class NewVolume:
    """A volume that is not there yet.

    ``size`` 0: as large as what it is made from. Empty texts: nothing of the kind.
    """

    #: The option or entry that it is made for, as a plan names it.
    key: str
    path: str
    pool: str
    name: str
    format: str
    size: int = 0
    backing: str = ""
    backing_format: str = ""
    #: Whether the guest's source is put into it.
    source: bool = False
    #: Whether it is there and grows.
    there: bool = False
    #: Whether other guests may have it at the same time.
    shareable: bool = False
    #: What it holds, where that is a seed of cloud-init's: the texts of its files.
    seed: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Comparison:
    """What a task wants of one domain, in full, and what of that is not so."""

    #: The specification, with what it leaves to us filled in.
    want: Spec
    #: The volumes that are to be made first.
    making: tuple[NewVolume, ...] = ()
    #: What differs in a domain that is there.
    changes: tuple[Change, ...] = ()


@dataclass
class Seen:
    """One look at one libvirt."""

    domains: dict[str, Domain] = field(default_factory=dict)
    pools: dict[str, Pool] = field(default_factory=dict)
    #: Why some pools cannot be read, by name.
    odd_pools: dict[str, KraalError] = field(default_factory=dict)
    #: By path. None: asked for, and not there.
    volumes: dict[str, Volume | None] = field(default_factory=dict)
    #: Of paths in no pool, those at which there is something; None where libvirt is on another host, whose files nobody
    #: here sees.
    files: set[str] | None = None
    #: By path, the domains that use it, those of other names included; only where storage is to be removed.
    users: dict[str, set[str]] = field(default_factory=dict)
    #: What other volumes are backed by.
    backing: set[str] = field(default_factory=set)
    #: By the path of an image that a task gives to a disk: an image that is backed by it.
    overlays: dict[str, str] = field(default_factory=dict)
    #: The networks that run; None where nobody asked.
    networks: set[str] | None = None
    #: By the domain type that was asked for.
    emulators: dict[str, Emulator] = field(default_factory=dict)
    #: Domains of which libvirt says what cannot be understood.
    unread: dict[str, Unread] = field(default_factory=dict)
    #: What is wrong with what guests would become, by name: what libvirt has to say against it, or what is not there.
    faults: dict[str, KraalError] = field(default_factory=dict)
    #: What the tasks want of their guests, and what of that is not so, by name. It is found once: plans are made of it,
    #: and carried out by it.
    compared: dict[str, Comparison] = field(default_factory=dict)

    def whole(self, name: str) -> Domain | None:
        """The domain of that name; none where a run died before it was finished."""
        have = self.domains.get(name)
        return None if have is None or have.making is not None else have

    def pool_of(self, path: str) -> Pool | None:
        """The pool in whose directory that path is."""
        return next(
            (pool for pool in self.pools.values() if pool.is_directory and os.path.dirname(path) == pool.target), None
        )

    def format_of(self, path: str) -> str:
        """What a disk with that image is told of its format; empty where the pool cannot know, as on a device."""
        volume = self.volumes.get(path)
        if volume is None or not (volume.pool in self.pools and self.pools[volume.pool].holds_files):
            return ""
        return {"iso": "raw"}.get(volume.format, volume.format)

    def places(self) -> dict[str, str]:
        """The paths of the volumes that were asked for, by POOL/VOLUME."""
        return {f"{each.pool}/{each.name}": path for path, each in self.volumes.items() if each}
