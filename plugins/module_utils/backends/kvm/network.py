# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks as a resource. What libvirt can change in an active one is changed there and in its definition; the rest is written, and waits for a restart."""

from __future__ import annotations

import copy
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...engine.compare import Difference, differences
from ...engine.errors import BackendError, InvalidOption, Refused
from ...engine.plan import Disruption, Step, keys_of
from ...engine.spec import Spec
from .client import Host, NotThere
from .network_options import ISOLATED, NETWORK_OPTIONS, NETWORKS_TABLE, TOPOLOGY, View, read_forward, read_subnets
from .network_xml import PIECES, defined, entries, updates
from .xml import Element, attribute, parse, serialize

NONE, LIVE, RESTART, DESTROY = Disruption.NONE, Disruption.LIVE, Disruption.RESTART, Disruption.DESTROY


@dataclass(frozen=True)
class Network:
    """One network as it was seen. ``live`` is what is in effect, None while it is inactive."""

    id: str
    config: Element
    live: Element | None = None
    persistent: bool = True
    autostart: bool = False

    def view(self, live: bool = False) -> View:
        """One side, for reading options."""
        return View(self.live if live and self.live is not None else self.config, self.autostart)

    @property
    def active(self) -> bool:
        """Whether guests can use it."""
        return self.live is not None


@dataclass
class Seen:
    """The networks by name, and the guests that have an interface in them: all, and those that run."""

    networks: dict[str, Network] = field(default_factory=dict)
    users: dict[str, set[str]] = field(default_factory=dict)
    running: dict[str, set[str]] = field(default_factory=dict)


class Networks:
    """All networks of one libvirt."""

    table = NETWORKS_TABLE

    def __init__(self, host: Host) -> None:
        self.host = host

    def observe(self, wants: Sequence[Spec] | None) -> Seen:
        """All networks and all guests, since subnets and names are shared; a handful of calls for each."""
        seen, conn, ask = Seen(), self.host.conn, self.host.ask
        for network in ask(conn.listAllNetworks, 0):
            try:
                active, persistent = bool(ask(network.isActive)), bool(ask(network.isPersistent))
                live = parse(ask(network.XMLDesc, 0)) if active else None
                config = parse(ask(network.XMLDesc, self.host.api.VIR_NETWORK_XML_INACTIVE)) if persistent else copy.deepcopy(live)
                if config is not None:
                    autostart = persistent and bool(ask(network.autostart))
                    seen.networks[network.name()] = Network(network.UUIDString(), config, live, persistent, autostart)
            except NotThere:
                continue
        for domain in ask(conn.listAllDomains, 0):
            try:
                tree, runs = parse(ask(domain.XMLDesc, 0)), bool(ask(domain.isActive))
            except NotThere:
                continue
            for name in {source.get("network", "") for source in tree.findall("devices/interface/source")} - {""}:
                seen.users.setdefault(name, set()).add(domain.name())
                if runs:
                    seen.running.setdefault(name, set()).add(domain.name())
        return seen

    def names(self, seen: Seen) -> list[str]:
        """All of them."""
        return sorted(seen.networks)

    def plan(self, want: Spec, seen: Seen) -> list[Step]:
        """Pure."""
        have = seen.networks.get(want.name)
        if want.state == "absent":
            return self._removal(want, have, seen)
        _check(want, seen, have)
        # An entry that fits into none of the subnets is refused by this.
        self._merged(want, have)
        if have is None:
            state = "active" if want.state == "active" else "inactive"
            fresh = Step(want.name, "create", "", None, self.table.shown(want))
            return [fresh, Step(want.name, "start", "state", "inactive", state)] if state == "active" else [fresh]
        stop = self._stop(want, seen) if want.state == "inactive" and have.active else []
        # Written before it is stopped: one that is not written down would be gone.
        steps = [*self._changes(want, have, seen, ends=bool(stop)), *stop]
        if want.state == "active" and not have.active:
            steps.append(Step(want.name, "start", "state", "inactive", "active"))
        return steps

    def _removal(self, want: Spec, have: Network | None, seen: Seen) -> list[Step]:
        if have is None:
            return []
        users = sorted(seen.users.get(want.name, ()))
        if users and not want.steering.get("force"):
            raise Refused(
                "it is in use by: %s" % ", ".join(users),
                remedy="Take it from these guests or remove them first, or set force=true: they would lose their connection, and not start without it",
            )
        stop = [Step(want.name, "stop", "state", "active", "inactive", RESTART)] if have.active else []
        return [*stop, Step(want.name, "remove", "", {"forward": read_forward(have.config)}, None, DESTROY)]

    def _stop(self, want: Spec, seen: Seen) -> list[Step]:
        self._spare_guests(want, seen, "It cannot be stopped")
        return [Step(want.name, "stop", "state", "active", "inactive", RESTART)]

    def _spare_guests(self, want: Spec, seen: Seen, what: str) -> None:
        users = sorted(seen.running.get(want.name, ()))
        if users and not want.steering.get("force"):
            raise Refused(
                "%s, because these guests would lose their connection until they are restarted: %s" % (what.lower(), ", ".join(users)),
                remedy="Stop them first, or set force=true and restart them afterwards",
            )

    def _changes(self, want: Spec, have: Network, seen: Seen, ends: bool) -> list[Step]:
        """What changes in a network that is there; ``ends``: it is stopped anyway, so nothing of it has to change live."""
        steps = [] if have.persistent else [Step(want.name, "set", "persistent", False, True)]
        stored = {each.option.name: each for each in differences(self.table, want, have.view())}
        effect = {each.option.name: each for each in differences(self.table, want, have.view(live=True))} if have.active and not ends else {}
        whole = not have.active or ends or any(name in effect or name in stored for name in TOPOLOGY)
        written = [each for name, each in stored.items() if whole or name not in PIECES]
        steps += _written(want, [each for each in written if each.option.name != "autostart"])
        if "autostart" in stored:
            steps.append(Step(want.name, "set", "autostart", have.autostart, want.values["autostart"]))
        if not whole:
            for name in PIECES:
                steps += _pieces(want, name, stored.get(name), effect.get(name))
        waiting = [each for name, each in effect.items() if name != "autostart" and (whole or name not in PIECES)]
        if waiting:
            before = {key: value for each in waiting for key, value in each.shown("before").items()}
            after = {key: value for each in waiting for key, value in each.shown("after").items()}
            if want.allow >= RESTART:
                self._spare_guests(want, seen, "%s need a restart of the network, which is not done" % ", ".join(sorted({*before, *after})))
            steps.append(Step(want.name, "restart", "", before, after, RESTART))
        return steps

    def apply(self, want: Spec, step: Step, seen: Seen) -> None:
        """Perform one step."""
        ask, have = self.host.ask, seen.networks.get(want.name)
        if step.action == "create":
            network = self._define(self._merged(want, None))
            if want.values.get("autostart"):
                ask(network.setAutostart, 1)
            return
        if step.action == "remove":
            # One that was not written down went when it was stopped.
            left = self.host.find(self.host.conn.networkLookupByName, want.name)
            if left is not None:
                ask(left.undefine)
            return
        network = ask(self.host.conn.networkLookupByName, want.name)
        if step.action == "start":
            self._start(network, undo=have is None)
        elif step.action == "stop":
            ask(network.destroy)
        elif step.action == "restart" and have is not None:
            self._restart(network, have)
        elif step.key == "autostart":
            ask(network.setAutostart, int(want.values["autostart"]))
        elif have is not None and step.key.partition("[")[0] in PIECES and step.disruption == LIVE:
            self._update(network, want, step, have)
        elif have is not None:
            self._define(have.config if step.key == "persistent" else self._merged(want, have, keys_of(step)))

    def _define(self, tree: Element) -> Any:
        return self.host.ask(self.host.conn.networkDefineXMLFlags, serialize(tree), self.host.api.VIR_NETWORK_DEFINE_VALIDATE)

    def _start(self, network: Any, undo: bool) -> None:
        try:
            self.host.ask(network.create)
        except BackendError as error:
            if undo:
                self.host.ask(network.undefine)
                error.message += "; nothing was left of it"
            raise

    def _restart(self, network: Any, have: Network) -> None:
        self.host.ask(network.destroy)
        try:
            self.host.ask(network.create)
        except BackendError as error:
            if have.live is not None:
                self.host.ask(self._define(have.live).create)
                error.message += "; the old definition was put back"
            raise

    def _update(self, network: Any, want: Spec, step: Step, have: Network) -> None:
        api = self.host.api
        name, _bracket, rest = step.key.partition("[")
        sides = []
        for live in (False, True):
            view = have.view(live)
            merged = entries(name, _merged_value(want, name, view))
            for key in [rest[:-1]] if rest else sorted({*merged, *entries(name, self.table[name].read(view))}):
                sides.append((live, updates(view.definition, name, key, merged.get(key), key in merged)))
        stored = [call for live, calls in sides if not live for call in calls]
        effect = [call for live, calls in sides if live for call in calls]
        same = [(*call[:3], serialize(call.element)) for call in stored] == [(*call[:3], serialize(call.element)) for call in effect]
        both = api.VIR_NETWORK_UPDATE_AFFECT_LIVE | api.VIR_NETWORK_UPDATE_AFFECT_CONFIG
        runs = [(both, stored)] if same else [(api.VIR_NETWORK_UPDATE_AFFECT_CONFIG, stored), (api.VIR_NETWORK_UPDATE_AFFECT_LIVE, effect)]
        for flags, calls in runs:
            for call in calls:
                command = getattr(api, "VIR_NETWORK_UPDATE_COMMAND_%s" % call.command)
                section = getattr(api, "VIR_NETWORK_SECTION_%s" % call.section)
                self.host.ask(network.update, command, section, call.parent, serialize(call.element), flags)

    def _merged(self, want: Spec, have: Network | None, keys: Sequence[str] | None = None) -> Element:
        """The definition as the task wants it; with keys, in these only: what is changed while the network is active is not written before."""
        only = None if keys is None else {key.partition("[")[0] for key in keys}
        values = {
            option.name: want.values[option.name] if have is None else _merged_value(want, option.name, have.view())
            for option in NETWORK_OPTIONS
            if option.name in want.values and option.name != "autostart" and (only is None or option.name in only)
        }
        if have is None and "forward" not in values:
            values["forward"] = "nat"
        if have is not None and "subnets" in values:
            _drop_lost(want, values, have)
        return defined(want.name, values, None if have is None else have.config)

    def wait(self, want: Spec) -> None:
        """A network is active as soon as libvirt has started it."""

    def describe(self, name: str, seen: Seen) -> Mapping[str, Any] | None:
        """The network as it was seen."""
        have = seen.networks.get(name)
        if have is None:
            return None
        view, live = have.view(), have.view(live=True)
        shown = {option.name: option.kind.shown(option.read(view)) for option in NETWORK_OPTIONS}
        pending = [option.name for option in NETWORK_OPTIONS if option.read(view) != option.read(live)]
        return {
            "name": name,
            "backend": "kvm",
            "id": have.id,
            "state": "active" if have.active else "inactive",
            **shown,
            "guests": sorted(seen.users.get(name, ())),
            "pending_restart": pending,
        }

    def foresee(self, want: Spec, steps: Sequence[Step], seen: Seen) -> Mapping[str, Any] | None:
        """The network as it will be; its id and the name of its bridge are libvirt's to give."""
        if want.state == "absent":
            return None
        have = seen.networks.get(want.name)
        if have is not None and not steps:
            return self.describe(want.name, seen)
        config = self._merged(want, have)
        actions = {step.action for step in steps}
        active = "start" in actions or (have is not None and have.active and "stop" not in actions)
        live = None
        if active:
            fresh = have is None or not have.active or "restart" in actions
            live = config if fresh or have is None or have.live is None else _in_effect(want, steps, have, config)
        autostart = want.values.get("autostart", have.autostart if have else False)
        ahead = Network(have.id if have else "", config, live, True, autostart)
        return self.describe(want.name, replace(seen, networks={want.name: ahead}))


def _in_effect(want: Spec, steps: Sequence[Step], have: Network, config: Element) -> Element:
    """What is in effect after the steps that change an active network."""
    pieces = {step.key.partition("[")[0] for step in steps if step.disruption == LIVE}
    values = {name: NETWORKS_TABLE[name].read(View(config, False)) for name in pieces & set(PIECES)}
    return defined(want.name, values, have.live)


def _merged_value(want: Spec, name: str, view: View) -> Any:
    option = NETWORKS_TABLE[name]
    if name not in want.values:
        return option.read(view)
    return option.kind.merge(want.values[name], option.read(view), name in want.purge)


def _drop_lost(want: Spec, values: dict[str, Any], have: Network) -> None:
    """What belonged to a subnet that goes, and that the task does not name, goes with it."""
    nets = [ipaddress.ip_network(subnet) for subnet in values["subnets"]]

    def lost(address: str) -> bool:
        return not any(ipaddress.ip_address(address) in net for net in nets)

    if "dhcp_ranges" in values:
        named = want.values["dhcp_ranges"]
        values["dhcp_ranges"] = frozenset(each for each in values["dhcp_ranges"] if each in named or not lost(each.partition("-")[0]))
    if "dhcp_hosts" in values:
        named = want.values["dhcp_hosts"]
        hosts = (values["dhcp_hosts"] or {}).items()
        values["dhcp_hosts"] = {key: fields for key, fields in hosts if key in named or "address" not in fields or not lost(fields["address"])}


def _written(want: Spec, changes: Sequence[Difference]) -> list[Step]:
    """The step that writes a definition, which is one call whatever it changes."""
    parts = [(each, part) for each in changes for part in each.parts]
    if len(parts) == 1:
        (change, part) = parts[0]
        return [Step(want.name, "set", _key(change, part.key), part.before, part.after)]
    before = {key: value for each in changes for key, value in each.shown("before").items()}
    after = {key: value for each in changes for key, value in each.shown("after").items()}
    return [Step(want.name, "set", "", before, after)] if parts else []


def _key(change: Difference, entry: str) -> str:
    return "%s[%s]" % (change.option.name, entry) if entry else change.option.name


def _pieces(want: Spec, name: str, stored: Difference | None, effect: Difference | None) -> list[Step]:
    """The steps that change entries of an active network, on whichever side they differ. What leaves goes first: its address may be wanted again."""
    parts = {part.key: (each, part) for each in (stored, effect) if each is not None for part in each.parts}
    steps = [Step(want.name, "set", _key(each, part.key), part.before, part.after, LIVE) for each, part in parts.values()]
    return sorted(steps, key=lambda step: (step.after is not None, step.before is None, step.key))


def _check(want: Spec, seen: Seen, have: Network | None) -> None:
    """Raises InvalidOption for what libvirt would refuse, or take and then not start, before anything is touched."""
    values = {option.name: _merged_value(want, option.name, have.view()) if have else want.values.get(option.name) for option in NETWORK_OPTIONS}
    forward = values["forward"] or "nat"
    if forward == "bridge":
        if not values["bridge"]:
            raise InvalidOption("bridge", None, "is needed with forward=bridge", remedy="Name a bridge of the host")
        for name in ("subnets", *PIECES, "domain", "forward_dev"):
            if want.values.get(name):
                raise InvalidOption(name, want.name, "is not libvirt's to give on a bridge of the host", remedy="Leave it out with forward=bridge")
    if forward in (ISOLATED, "open") and want.values.get("forward_dev"):
        raise InvalidOption("forward_dev", want.values["forward_dev"], "means nothing with forward=%s" % forward, remedy="Leave it out")
    if forward in ("nat", "route", "open") and not values["subnets"] and (have is None or "forward" in want.values or "subnets" in want.values):
        raise InvalidOption("subnets", want.values.get("subnets"), "is needed with forward=%s" % forward, remedy="Give the network a subnet")
    if want.values.get("domain_local_only") and not values["domain"]:
        raise InvalidOption("domain_local_only", True, "needs a domain", remedy="Set domain")
    _check_addresses(want)
    _check_rivals(want, seen, values, have)


def _check_addresses(want: Spec) -> None:
    taken: dict[str, str] = {}
    for key, fields in (want.values.get("dhcp_hosts") or {}).items():
        address = fields.get("address")
        if address and taken.setdefault(address, key) != key:
            raise InvalidOption("dhcp_hosts", address, "is given to two hosts, %s and %s" % (taken[address], key), remedy="Give each an address of its own")


def _check_rivals(want: Spec, seen: Seen, values: Mapping[str, Any], have: Network | None) -> None:
    """No two networks have one bridge, and no two active ones a subnet in common."""
    active = want.state == "active" or (want.state == "present" and have is not None and have.active)
    for name, other in seen.networks.items():
        if name == want.name:
            continue
        tree = other.live if other.live is not None else other.config
        bridge = want.values.get("bridge")
        if bridge and values["forward"] != "bridge" and read_forward(tree) != "bridge" and bridge == attribute(tree, "bridge", "name"):
            raise InvalidOption("bridge", bridge, "is the bridge of the network %s" % name, remedy="Choose another name")
        if not active or not other.active:
            continue
        for taken in read_subnets(tree):
            for subnet in _overlapping(taken, want.values.get("subnets") or ()):
                raise InvalidOption("subnets", subnet, "overlaps with %s of the network %s" % (taken, name), remedy="Choose a subnet that is free")


def _overlapping(taken: str, subnets: Iterable[str]) -> list[str]:
    net: Any = ipaddress.ip_network(taken)
    return [subnet for subnet in subnets if ipaddress.ip_network(subnet).version == net.version and ipaddress.ip_network(subnet).overlaps(net)]
