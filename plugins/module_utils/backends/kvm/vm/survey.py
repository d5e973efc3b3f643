# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a plan for these very specifications has to know beside the domains; asked only where it matters. Reads only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from ....engine.errors import InvalidOption
from ....engine.reading import apart
from ....engine.spec import Spec
from ..client import Host
from ..constants import constant
from ..storage.block_jobs import job_on
from ..storage.use import real, unused, uses_of
from ..storage.volume_import import Image
from . import devices as dev
from .addresses import networks_by_mac
from .chain_observe import earlier_images, look_below, overlay_on
from .compare import cold, written
from .model import Comparison, Domain, Emulator, Seen
from .numa import CELLS, check_cells
from .observe import (
    look_at_emulator,
    look_at_named,
    look_at_pools,
    look_at_users,
    look_at_volume,
    observe,
    placed,
    refused_machine,
)
from .options import BY_NAME
from .settings import OverlayValues, same_machine
from .source import check_format, check_source
from .storage import volumes_to_remove
from .target import Placed, compare, creation, images_asked, placed_disks, wanted
from .xml import Element, get


def survey(host: Host, wants: Sequence[Spec] | None) -> Seen:
    """The domains that are spoken of, and what their plans need."""
    seen = observe(host, wants)
    for want in wants or ():
        if want.name not in seen.unread:
            with apart(seen.faults, "kvm", want.name):
                _look_around(host, seen, want)
    return seen


def _look_around(host: Host, seen: Seen, want: Spec) -> None:
    """What the plan for one guest needs, and how the guest differs from what is wanted.

    What is wrong with it is in the faults, or raised.

    What a task wants is looked at as far as its disks, so that their images can be looked at, and then the whole of it.
    What differs tells which block jobs matter.
    """
    have = seen.whole(want.name)
    begun = seen.domains.get(want.name)
    if begun is not None and begun.making:
        # What a run that died was making is taken away first.
        seen.volumes.update((path, None) for path in unused(host, want.name, begun.making))
    if want.state == "absent":
        if have is not None and want.steering.get("remove_storage"):
            have = _with_places(host, seen, have)
            _about_removal(host, seen, have)
            _about_jobs(host, seen, have)
        return
    if _needs_pools(want, have) and not seen.pools:
        look_at_pools(host, seen)
    image = None
    if have is None:
        look_at_emulator(host, seen, want.values.get("type", "auto"))
        image = check_source(host, want.steering)
    placed = None
    about_disks = "disks" in want.values or bool(want.steering.get("source")) or bool(_overlay_disks(want))
    if about_disks:
        have = _with_places(host, seen, have) if have else None
        have = _about_given(host, seen, want, have)
        placed = placed_disks(want, seen, have)
        _about_images(host, seen, placed, have)
    full = wanted(want, seen, have, placed)
    missing = _missing_network(host, seen, want, have)
    if missing is not None:
        raise missing
    wrong = _wrong(host, want, have, seen.emulators.get(want.values.get("type", "auto")))
    if wrong is not None:
        raise wrong
    seen.compared[want.name] = done = compare(want, full, seen, have)
    if have is None or have.stored.root.find(CELLS) is not None or {"numa_cells", "xml"} & full.values.keys():
        after = written(full, have.stored, cold(done.changes)) if have else creation(full, seen, "")
        check_cells(full, after, have.stored.root if have else None)
    if have is not None and about_disks:
        _about_jobs(
            host, seen, have, [each.option.disk(full.values[each.option.name], each.entry) for each in done.changes]
        )
    if image is not None:
        _about_source(host, done, image)


def _needs_pools(want: Spec, have: Domain | None) -> bool:
    if "cloud_init" in want.values or (have is None and want.steering.get("source")):
        return True
    there = BY_NAME["disks"].read(have.stored) if have else {}
    for target, record in want.values.get("disks", {}).items():
        if (
            "volume" in record
            or target not in there
            or record.get("path", there[target]["path"]) != there[target]["path"]
        ):
            return True
    return False


def _with_places(host: Host, seen: Seen, have: Domain) -> Domain:
    """The domain with the paths of the volumes that its disks name, as other programs write them."""
    sources = [
        source
        for view in (have.stored, have.live)
        if view
        for disk in dev.devices(view.root, "disk")
        for source in disk.iter("source")
    ]
    named = {(source.get("pool", ""), source.get("volume", "")) for source in sources if source.get("volume")}
    if not named:
        return have
    if not seen.pools:
        look_at_pools(host, seen)
    for pool, volume in sorted(named):
        look_at_named(host, seen, pool, volume)
    seen.domains[have.name] = placed(have, seen.places())
    return seen.domains[have.name]


def _missing_network(host: Host, seen: Seen, want: Spec, have: Domain | None) -> InvalidOption | None:
    """A network that the guest is to be connected to as it runs, and that does not.

    Of one that is connected to it already, libvirt says so itself.
    """
    live = have.live if have else None
    if want.state == "stopped" or (want.state == "present" and live is None):
        return None
    connected = set(networks_by_mac(live.root).values()) if live else set()
    asked = {
        record["source"]: key
        for key, record in want.values.get("networks", {}).items()
        if record.get("type") == "network"
    }
    for name in sorted(set(asked) - connected):
        if seen.networks is None:
            seen.networks = {
                each.name() for each in host.ask(host.conn.listAllNetworks, constant("CONNECT_LIST_NETWORKS_ACTIVE"))
            }
        if name not in seen.networks:
            return InvalidOption(
                f"networks[{asked[name]}]",
                name,
                "is not an active network of this host",
                remedy="Make or start it (kvm_network), or name one of: {}".format(", ".join(sorted(seen.networks))),
            )
    return None


def _about_given(host: Host, seen: Seen, want: Spec, have: Domain | None) -> Domain | None:
    """The volumes that the task names; the domain with what its images are backed by, where the task names others."""
    for record in want.values.get("disks", {}).values():
        if "volume" in record and record["pool"] in seen.pools and not seen.pools[record["pool"]].is_directory:
            look_at_named(host, seen, record["pool"], record["volume"])
    named = [source for disk in _overlay_disks(want) for source in disk.iter("source") if source.get("volume")]
    if named and not seen.pools:
        look_at_pools(host, seen)
    for source in named:
        look_at_named(host, seen, source.get("pool", ""), source.get("volume", ""))
    if have is not None:
        seen.domains[have.name] = have = with_chains(host, seen, want, have)
    return have


def _about_images(host: Host, seen: Seen, placed: Placed | None, have: Domain | None) -> None:
    """The images that the domain's disks do not have yet."""
    there = BY_NAME["disks"].read(have.stored) if have else {}
    for target, record in placed.disks.items() if placed else ():
        now = there.get(target, {})
        path = record.get("path", now.get("path"))
        if path and (path != now.get("path") or ("size" in record and "size" not in now)):
            if not seen.pools:
                look_at_pools(host, seen)
            look_at_volume(host, seen, path)
        if (
            path
            and path != now.get("path")
            and record.get("device", "disk") == "disk"
            and not record.get("read_only", now.get("read_only"))
        ):
            volume = seen.volumes.get(path)
            seen.overlays[path] = overlay_on(host, volume.pool if volume is not None else "", path)


def _overlay_disks(want: Spec) -> list[Element]:
    """The disks in the option xml."""
    overlay = want.values.get("xml")
    return dev.devices(overlay.root, "disk") if isinstance(overlay, OverlayValues) else []


def with_chains(host: Host, seen: Seen, want: Spec, have: Domain) -> Domain:
    """The domain with what the images of those disks are backed by to which the task gives another image or format."""
    asked, chains = images_asked(want, seen, have), {}
    reals = {path: real(host, path) for path in asked.values() if path}
    for view in filter(None, (have.live, have.stored)):
        for target, path in asked.items():
            disk = dev.disk_of(view.root, target)
            now = "" if disk is None else view.places.get(dev.source_of(disk), dev.source_of(disk))
            if disk is None or now in chains:
                continue
            chain = look_below(host, disk, view.places)
            if path and chain.find(reals[path]) is None:
                chain = replace(chain, earlier=earlier_images(host, have.name, target, view.places))
            chains[now] = chain
    return replace(have, chains=chains, reals=reals)


def _about_jobs(host: Host, seen: Seen, have: Domain, changing: Sequence[str] | None = None) -> None:
    """The block jobs on the disks that change, by their targets; on all of them where the guest goes."""
    if have.live is None:
        return
    domain, jobs = None, {}
    targets = (
        [get(disk, "target@dev") or "" for disk in dev.devices(have.live.root, "disk")]
        if changing is None
        else sorted({*changing} - {""})
    )
    for target in targets:
        disk = dev.disk_of(have.live.root, target)
        if disk is None or disk.get("device", "disk") != "disk":
            continue
        domain = domain or host.ask(host.conn.lookupByName, have.name)
        job = job_on(host, domain, disk)
        if job is not None:
            jobs[target] = job
    seen.domains[have.name] = replace(have, jobs=jobs)


def _about_removal(host: Host, seen: Seen, have: Domain) -> None:
    if not seen.pools:
        look_at_pools(host, seen)
    uses = uses_of(host, volumes=True)
    for view in filter(None, (have.stored, have.live)):
        for disk in dev.devices(view.root, "disk"):
            path = view.places.get(dev.source_of(disk), dev.source_of(disk))
            if path:
                look_at_volume(host, seen, path)
                look_at_users(host, seen, uses, path)
    doubt = uses.doubt(but=have.name)
    if doubt is not None and volumes_to_remove(have.name, seen, have):
        seen.faults[have.name] = doubt


def _about_source(host: Host, done: Comparison, image: Image) -> None:
    """Whether the disk that a new guest's image goes to can take it. Raises InvalidOption."""
    for each in done.making:
        if each.source:
            check_format(host, done.want.steering["source"], image, each.format)


def _wrong(host: Host, want: Spec, have: Domain | None, emulator: Emulator | None) -> InvalidOption | None:
    """What can be known to be refused: a machine or processor that libvirt has not.

    What else it objects to, it says to who defines the guest (define).
    """
    root = have.stored.root if have else None
    kind = root.get("type", "qemu") if root is not None else emulator.kind if emulator else "qemu"
    arch = get(root, "os/type@arch") if root is not None else emulator.arch if emulator else None
    machine, model = want.values.get("machine"), want.values.get("cpu", {}).get("model")
    if machine and not (have and same_machine(machine, BY_NAME["machine"].read(have.stored))):
        why = refused_machine(host, kind, arch, machine)
        if why:
            return InvalidOption(
                "machine",
                machine,
                f"is what libvirt refuses: {why}",
                remedy="Name one that virsh domcapabilities knows, or leave it out",
            )
    if model and arch and not (have and model == BY_NAME["cpu"].read(have.stored).get("model")):
        # None at all: any will do.
        models = host.ask(host.conn.getCPUModelNames, arch, 0)
        if models and model not in models:
            return InvalidOption(
                "cpu.model",
                model,
                "is not a model that libvirt knows",
                remedy=f"Name one that virsh cpu-models {arch} shows",
            )
    return _wrong_topology(want, have)


def _wrong_topology(want: Spec, have: Domain | None) -> InvalidOption | None:
    """A topology has as many threads as the guest may have processors."""
    if "xml" in want.values or not {"cpu", "cpus", "cpus_max"} & set(want.values):
        return None
    before = BY_NAME["cpu"].read(have.stored) if have else {}
    most = BY_NAME["cpus_max"].read(have.stored) if have else 1
    after = {**before, **want.values.get("cpu", {})}
    wished = want.values.get("cpus_max") or max(most, want.values.get("cpus", 1))
    more = have.stored.root.find("cpu/topology") if have else None
    # What no option speaks of.
    others = prod(int(more.get(key, "1")) for key in ("dies", "clusters")) if more is not None else 1
    parts = ("sockets", "cores", "threads")
    threads, old = (others * prod(side.get(part, 1) for part in parts) for side in (after, before))
    if threads == wished or not any(part in after for part in parts) or (have and (threads, wished) == (old, most)):
        return None
    return InvalidOption(
        "cpu", " x ".join(str(after.get(part, 1)) for part in parts), "is not the number of the processors that there can be, %d" % wished,
        remedy="Write sockets, cores and threads whose product is cpus_max (or cpus), or leave them out",
    )  # fmt: skip
