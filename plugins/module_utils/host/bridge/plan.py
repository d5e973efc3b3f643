# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From what is wanted of a bridge and what was seen to the steps, the files and the commands.

Reads, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ...engine.action import Action, Disruption
from ...engine.errors import Refused
from ...engine.plan import Step
from ...engine.spec import Spec
from ..network import kind_of, manager_of
from ..reader import Host
from .ifupdown import Ifupdown
from .manager import FileState, Manager, Overlay, Way
from .masked import masked
from .netplan import Netplan
from .networkd import Networkd
from .networkmanager import NetworkManager
from .observe import Record, Seen, state_of
from .shape import MANAGERS, TABLE, Shape, Uplink, shape_of

LIVE = Disruption.LIVE
_MANAGERS: dict[str, Manager] = {each.name: each for each in (NetworkManager(), Networkd(), Netplan(), Ifupdown())}
#: What cannot be made a port, and what to do instead.
_KINDS = {
    "wlan": (
        "is a wireless link: an access point takes frames of one MAC address only",
        "Route the guests' network instead, or use a wired link",
    ),
    "tun": ("is a tunnel without Ethernet frames of its own", "Name the link that the tunnel runs over"),
    "bridge": ("is a bridge itself", "Connect the guests to it, or name the link that is its port"),
}


@dataclass
class Plan:
    """All that a change is made of. No steps: nothing is to be done."""

    steps: list[Step] = field(default_factory=list)
    #: By path: as it is, and as it is to be.
    files: dict[str, tuple[FileState | None, FileState | None]] = field(default_factory=dict)
    way: Way = field(default_factory=Way)
    back: Way = field(default_factory=Way)
    boot: list[dict[str, Any]] = field(default_factory=list)
    #: What is kept of the bridge once the change is confirmed; None where it goes.
    record: Record | None = None
    manager: str = ""
    evidence: str = ""
    shape: Shape | None = None
    #: The links whose addresses and routes a rollback brings back.
    links: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def plan(want: Spec, seen: Seen) -> Plan:
    """Raises Refused, InvalidOption or NotInstalled before anything is touched."""
    if want.name in seen.faults:
        raise seen.faults[want.name]
    record = seen.records.get(want.name)
    if want.state == "absent":
        return _remove(want.name, record, seen)
    values = dict(want.values)
    if record is None:
        _check_new(want.name, seen)
        values["uplink"] = _resolve(want.values.get("uplink"), seen)
        manager, evidence = _manager_for(want, values["uplink"], seen)
        link = _uplink(values["uplink"], manager, seen) if values["uplink"] else None
        manager.check(seen.host)
        shape = shape_of(want.name, values, link)
        _check_kernel(seen.host, shape)
    else:
        manager, evidence = _MANAGERS[record.manager], "it was made with it"
        values = _merged(want, record)
        link = record.uplink
        shape = shape_of(want.name, values, link)
    old = record.shape if record else None
    originals = _originals(record, manager, seen)
    rendered = manager.render(shape, Overlay(seen.host, originals))
    targets = {**originals, **rendered}
    files = {path: (state_of(seen.host, path), state) for path, state in sorted(targets.items())}
    files = {path: pair for path, pair in files.items() if pair[0] != pair[1]}
    made = Plan(files=files, manager=manager.name, evidence=evidence, shape=shape, boot=manager.boot())
    made.steps = list(_create(shape)) if old is None else [*_differences(old, shape), *_drift(shape, files, seen, old)]
    made.record = Record(
        want.name,
        manager.name,
        values,
        link,
        {path: (originals.get(path, state_of(seen.host, path)), targets[path]) for path in rendered},
    )
    # A bridge that lost its port, or is gone from the kernel, is brought up as a new one.
    there = old if not shape.port or shape.port in seen.ports(want.name) else None
    made.way = manager.way(there if want.name in seen.links else None, shape, sorted(rendered))
    made.back = manager.way(shape, old, sorted(rendered))
    made.links = [each for each in dict.fromkeys((shape.uplink_name, shape.port, shape.name)) if each]
    made.warnings = _warnings(shape, seen)
    if files:
        manager.validate(seen.host, {path: pair[1] for path, pair in files.items()})
    return made


def _remove(name: str, record: Record | None, seen: Seen) -> Plan:
    if record is None:
        link = seen.links.get(name)
        if link is not None:
            raise Refused(
                f"{name} is there, but was not made by host_bridge, so nobody here knows what its uplink had before",
                remedy=f"Remove it where it is configured ({manager_of(seen.host, name)[1]})",
            )
        return Plan()
    manager, shape = _MANAGERS[record.manager], record.shape
    guests = [port for port in seen.ports(name) if port != shape.port]
    if guests:
        raise Refused(
            "{} is in use: its ports are {}".format(name, ", ".join(guests)),
            remedy="Stop the guests that are connected to it first",
        )
    originals = _originals(record, manager, seen)
    files = {path: (state_of(seen.host, path), state) for path, state in sorted(originals.items())}
    return Plan(
        steps=[Step(name, Action.REMOVE, "", shown(shape), None, Disruption.DESTROY)],
        files={path: pair for path, pair in files.items() if pair[0] != pair[1]},
        way=manager.way(shape, None, sorted(originals)),
        back=manager.way(None, shape, sorted(originals)),
        boot=manager.boot(),
        manager=manager.name,
        evidence="it was made with it",
        links=[each for each in dict.fromkeys((shape.uplink_name, shape.port, shape.name)) if each],
    )


def _originals(record: Record | None, manager: Manager, seen: Seen) -> dict[str, FileState | None]:
    """The files of a bridge as they would be without it. Raises Refused where somebody's edits would be lost."""
    found: dict[str, FileState | None] = {}
    if record is None:
        return found
    for path, (before, after) in record.files.items():
        now = state_of(seen.host, path)
        found[path] = before
        if (
            before is not None
            and now is not None
            and now.content not in (before.content, after.content if after else None)
        ):
            found[path] = manager.without(now, record.name)
            if found[path] is None:
                raise Refused(
                    f"{path} was edited since the bridge was written into it",
                    remedy="Take the edit back, or put it into a file of its own; what the bridge wrote is in {}".format(
                        "/var/lib/kraal.virt/bridge"
                    ),
                )
    return found


def _check_new(name: str, seen: Seen) -> None:
    link = seen.links.get(name)
    if link is not None:
        what = "is a bridge that host_bridge did not make" if link.kind == "bridge" else "is a link already"
        remedy = "Use it as it is, or give the new bridge another name, or remove that one where it is configured"
        raise Refused(f"{name} {what}", remedy=remedy)


def _resolve(given: str | None, seen: Seen) -> str | None:
    """The uplink's name."""
    if given != "auto":
        return given
    if not seen.routes:
        raise Refused(
            "there is no default route, and so no uplink to be found",
            remedy="Name the uplink; there are: {}".format(", ".join(sorted(seen.links))),
        )
    return str(seen.routes[0]["interface"])


def _manager_for(want: Spec, uplink: str | None, seen: Seen) -> tuple[Manager, str]:
    if uplink:
        check_uplink(uplink, seen)
    asked = MANAGERS.get(want.steering["manager"])
    link = uplink or (str(seen.routes[0]["interface"]) if seen.routes else "")
    found, evidence = (
        manager_of(seen.host, link) if link else ("unknown", "there is no uplink whose manager it could be")
    )
    if asked and uplink and asked != found:
        raise Refused(
            f"{uplink} is not managed by {asked} but by {found} ({evidence})",
            remedy=f"Leave manager=auto, or hand the link over to {asked} first",
        )
    name = asked or found
    if name not in _MANAGERS:
        raise Refused(
            "nobody known manages {}: {}".format(link or "the network", evidence),
            remedy="Have NetworkManager, systemd-networkd, netplan or ifupdown configure it, or name the manager "
            "where the bridge has no uplink",
        )
    return _MANAGERS[name], evidence if name == found else "the task names it"


def check_uplink(name: str, seen: Seen) -> None:
    """Raises Refused for a link that cannot be made a port."""
    link = seen.links.get(name)
    if link is None:
        raise Refused(
            f"there is no link {name}",
            remedy="Name one of: {}".format(", ".join(sorted(each for each in seen.links if each != "lo"))),
        )
    if name == "lo":
        raise Refused("lo is the loopback, which goes nowhere", remedy="Name the link that leads out")
    if link.master:
        above = seen.links.get(link.master)
        kind = above.kind if above and above.kind else "device"
        remedy = (
            f"Name {link.master} as the uplink" if kind == "bond" else "Use that one, or take the link out of it first"
        )
        raise Refused(f"{name} is a port of the {kind} {link.master}", remedy=remedy)
    kind = kind_of(seen.host, name)
    if kind in _KINDS:
        why, remedy = _KINDS[kind]
        raise Refused(f"{name} {why}", remedy=remedy)
    taken = [
        record.name
        for record in seen.records.values()
        if record.uplink and record.uplink.interface == name and not record.shape.vlan
    ]
    if taken:
        raise Refused(
            "{} is the uplink of {}".format(name, ", ".join(taken)), remedy="Name another uplink, or a VLAN of it"
        )


def _uplink(name: str, manager: Manager, seen: Seen) -> Uplink:
    link = seen.links[name]
    return replace(manager.uplink(seen.host, name, link.mac), mtu=link.mtu, addressed=bool(link.cidrs))


def _check_kernel(host: Host, shape: Shape) -> None:
    """What the kernel cannot do is known before the network is touched."""
    trial = host.run(["unshare", "--net", "--", "ip", "link", "add", "kraal0", "type", "bridge"])
    if trial is not None and trial.rc:
        raise Refused(
            f"the kernel makes no bridge: {trial.error}", remedy="`modprobe bridge`, or use a kernel with CONFIG_BRIDGE"
        )
    if shape.vlan and not host.exists("/proc/net/vlan"):
        module = host.run(["modprobe", "--dry-run", "8021q"])
        if module is None or module.rc:
            raise Refused(
                "the kernel knows no VLANs: %s"
                % (module.error if module else "there is no modprobe to load 8021q with"),
                remedy="Use a kernel with CONFIG_VLAN_8021Q, or leave vlan out and tag at the switch",
            )


def _merged(want: Spec, record: Record) -> dict[str, Any]:
    """What was set earlier, and what this task sets. Raises Refused for what cannot change."""
    values = {**record.values, **want.values}
    if want.values.get("uplink") == "auto":
        values["uplink"] = record.values.get("uplink")
    for key in ("uplink", "vlan"):
        if values.get(key) != record.values.get(key):
            raise Refused(
                "{} of {} is {}, and {} is wanted; a bridge does not move".format(
                    key, want.name, record.values.get(key) or "none", values.get(key)
                ),
                remedy="Remove the bridge (state=absent) and make it anew",
            )
    asked = MANAGERS.get(want.steering["manager"])
    if asked and asked != record.manager:
        raise Refused(
            f"{want.name} was made with {record.manager}", remedy="Leave manager=auto, or remove the bridge first"
        )
    return values


def shown(shape: Shape) -> dict[str, Any]:
    """The options of a bridge that say something, as a user writes them."""
    values = {option.name: option.kind.shown(shape.values[option.name]) for option in TABLE.options}
    if shape.addresses_from == "uplink":
        # Its own configuration says that.
        del values["ipv6"]
    return {key: value for key, value in values.items() if value not in (None, [])}


def _create(shape: Shape) -> Iterator[Step]:
    yield Step(shape.name, Action.CREATE, "", None, shown(shape), LIVE)


def _differences(old: Shape, new: Shape) -> Iterator[Step]:
    for option in TABLE.options:
        before, after = old.values[option.name], new.values[option.name]
        if before != after:
            yield Step(new.name, Action.SET, option.name, option.kind.shown(before), option.kind.shown(after), LIVE)


def _drift(shape: Shape, files: Mapping[str, Any], seen: Seen, old: Shape) -> Iterator[Step]:
    """Where the host is not what it was made: a file edited, the bridge gone from the kernel."""
    if old.values == shape.values:
        for path, (before, after) in files.items():
            found, wanted = (
                "absent" if state is None else "as wanted" if state is after else "different"
                for state in (before, after)
            )
            yield Step(shape.name, Action.SET, f"files[{path}]", found, wanted, LIVE)
    for key, before, after in runtime(shape, seen):
        if old.values.get(key) == shape.values.get(key):
            yield Step(shape.name, Action.SET, key, before, after, LIVE)


def runtime(shape: Shape, seen: Seen) -> Iterator[tuple[str, Any, Any]]:
    """Where the kernel has something else than the bridge's shape: key, is, should be."""
    link = seen.links.get(shape.name)
    if link is None or link.kind != "bridge":
        yield "link", link.kind if link else None, "bridge"
        return
    if shape.port and shape.port not in seen.ports(shape.name):
        yield "ports", seen.ports(shape.name), [shape.port]
    if link.stp != bool(shape.stp):
        yield "stp", link.stp, bool(shape.stp)
    if shape.mtu and link.mtu != shape.mtu:
        yield "mtu", link.mtu, shape.mtu
    if shape.hardware and link.mac != shape.hardware.lower():
        yield "mac", link.mac, shape.hardware
    lost = [each for each in shape.addresses if each not in link.cidrs]
    if lost:
        yield "addresses", link.cidrs, list(shape.addresses)
    elif shape.addresses_from in ("dhcp", "uplink") and not link.cidrs and _had_addresses(shape):
        yield "addresses", [], f"by {shape.addresses_from}"


def _had_addresses(shape: Shape) -> bool:
    """Whether an address is to be expected at all; an uplink may have had none."""
    return shape.addresses_from == "dhcp" or bool(shape.link and shape.link.addressed)


def _warnings(shape: Shape, seen: Seen) -> list[str]:
    others = [each for each in seen.ports(shape.name) if each != shape.port and kind_of(seen.host, each) == "physical"]
    if shape.port and others and not shape.stp:
        links = ", ".join([shape.port, *others])
        return [
            f"{shape.name} has several links to the outside ({links}) and no STP: a loop would take the network down"
        ]
    return []


def diff_of_files(made: Plan) -> list[dict[str, str]]:
    """What Ansible shows under --diff: each file."""
    return [
        {"before_header": path, "after_header": path, "before": _text(before), "after": _text(after)}
        for path, (before, after) in made.files.items()
    ]


def _text(state: FileState | None) -> str:
    return masked(state.content.decode("utf-8", "replace")) if state else ""
