# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks as a resource.

What libvirt can change in an active one is changed there and in its definition; the rest is written, and waits for a
restart.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from ....engine.action import Action, Disruption
from ....engine.compare import Difference, before_after, differences, key_of
from ....engine.errors import Refused
from ....engine.plan import Step
from ....engine.spec import Spec
from ..definition import Definition, Definitions, Seen, View, observed, read_users, teller, written
from ..xml import Element, serialize
from .checks import check_options
from .options import NETWORK_OPTIONS, NETWORKS_TABLE, PIECES, defined, merged_value

LIVE, RESTART = Disruption.LIVE, Disruption.RESTART


class Networks(Definitions):
    """All networks of one libvirt."""

    table = NETWORKS_TABLE

    def observe(self, wants: Sequence[Spec] | None) -> Seen:
        """All networks and all guests, since subnets and names are shared; a handful of calls for each."""
        seen = observed(self.host, self.host.conn.listAllNetworks, self.host.api.VIR_NETWORK_XML_INACTIVE)
        read_users(
            self.host,
            seen,
            lambda guest: [source.get("network", "") for source in guest.findall("devices/interface/source")],
        )
        if any({"vlans", "portgroups"} & {*want.values} for want in wants or ()):
            seen.version = self.host.ask(self.host.conn.getLibVersion)
        return seen

    def _check(self, want: Spec, have: Definition | None, seen: Seen) -> None:
        if want.state == "absent":
            users = sorted(seen.users.get(want.name, ()))
            if have is not None and users and not want.steering.get("force"):
                raise Refused(
                    "it is in use by: {}".format(", ".join(users)),
                    remedy="Take it from these guests or remove them first, or set force=true: they would lose their "
                    "connection, and not start without it",
                )
            if have is not None and not want.steering.get("force"):
                seen.doubt("it is not removed", "Look at these guests with virsh, or set force=true")
            return
        check_options(want, seen, have)
        # An entry that fits into none of the subnets is refused by this.
        self._merged(want, have)
        if want.state == "inactive" and have is not None and have.active:
            self._spare_guests(want, seen, "It cannot be stopped")

    def _spare_guests(self, want: Spec, seen: Seen, what: str) -> None:
        users = sorted(seen.running.get(want.name, ()))
        if users and not want.steering.get("force"):
            raise Refused(
                "{}, because these guests would lose their connection until they are restarted: {}".format(
                    what.lower(), ", ".join(users)
                ),
                remedy="Stop them first, or set force=true and restart them afterwards",
            )
        if not want.steering.get("force"):
            seen.doubt(what.lower(), "Look at these guests with virsh, or set force=true")

    def _changes(self, want: Spec, have: Definition, seen: Seen, ends: bool) -> list[Step]:
        stored = {each.option.name: each for each in differences(self.table, want, have.view())}
        effect = (
            {each.option.name: each for each in differences(self.table, want, have.view(live=True))}
            if have.active and not ends
            else {}
        )
        if "subnets" in stored:
            stored.update(self._with_subnets(want, have))
        whole = (
            not have.active
            or ends
            or any(each.topology and (each.name in effect or each.name in stored) for each in NETWORK_OPTIONS)
        )
        pieces = {} if whole else {name: _pieces(want, name, stored.get(name), effect.get(name)) for name in PIECES}
        for name in [name for name, calls in pieces.items() if not self._taken(want, name, calls, have)]:
            del pieces[name]
        steps = written(want, have, [each for name, each in stored.items() if name not in pieces])
        steps += [step for calls in pieces.values() for step in calls]
        waiting = [each for name, each in effect.items() if teller(each) is None and name not in pieces]
        if waiting:
            before, after = before_after(waiting)
            if want.allow >= RESTART:
                self._spare_guests(
                    want,
                    seen,
                    "{} need a restart of the network, which is not done".format(", ".join(sorted({*before, *after}))),
                )
            steps.append(Step(want.name, Action.RESTART, "", before, after, RESTART, deferred=True))
        return steps

    def _with_subnets(self, want: Spec, have: Definition) -> dict[str, Difference]:
        """How DHCP differs where subnets change: what is in none of them any more goes, named by the task or not."""
        then, found = View(self._merged(want, have), have.autostart), {}
        for option in (self.table[name] for name in ("dhcp_ranges", "dhcp_hosts")):
            value, before = option.read(then), option.read(have.view())
            parts = option.kind.parts(value, before, True)
            if parts:
                found[option.name] = Difference(option, tuple(parts), value)
        return found

    def _taken(self, want: Spec, name: str, steps: Sequence[Step], have: Definition) -> bool:
        """Whether libvirt takes these steps of one option while the network is active, on both its sides."""
        piece = PIECES[name]
        keys = [part.key for step in steps for each in step.changes for part in each.parts]
        return all(
            piece.distinguishable(
                piece.entries(self.table[name].read(view)), keys, piece.entries(merged_value(want, name, view))
            )
            for view in (have.view(), have.view(live=True))
        )

    def _find(self, name: str) -> Any | None:
        return self.host.find(self.host.conn.networkLookupByName, name)

    def _define(self, tree: Element) -> Any:
        return self.host.ask(
            self.host.conn.networkDefineXMLFlags, serialize(tree), self.host.api.VIR_NETWORK_DEFINE_VALIDATE
        )

    def _create(self, want: Spec) -> None:
        network = self._define(self._merged(want, None))
        if want.values.get("autostart"):
            self.host.ask(network.setAutostart, 1)

    def _set(self, there: Any, want: Spec, step: Step, have: Definition) -> None:
        if step.disruption == LIVE:
            for each in step.changes:
                self._update(there, want, each, have)
        else:
            self._define(self._merged(want, have, {each.option.name for each in step.changes}))

    def _update(self, network: Any, want: Spec, change: Difference, have: Definition) -> None:
        api, name = self.host.api, change.option.name
        piece, given = PIECES[name], [part.key for part in change.parts if part.key]
        sides = []
        for live in (False, True):
            view = have.view(live)
            merged = piece.entries(merged_value(want, name, view))
            for key in given or sorted({*merged, *piece.entries(change.option.read(view))}):
                sides.append((live, piece.updates(view.definition, key, merged.get(key), key in merged)))
        stored = [call for live, calls in sides if not live for call in calls]
        effect = [call for live, calls in sides if live for call in calls]
        same = [(*call[:3], serialize(call.element)) for call in stored] == [
            (*call[:3], serialize(call.element)) for call in effect
        ]
        both = api.VIR_NETWORK_UPDATE_AFFECT_LIVE | api.VIR_NETWORK_UPDATE_AFFECT_CONFIG
        runs = (
            [(both, stored)]
            if same
            else [(api.VIR_NETWORK_UPDATE_AFFECT_CONFIG, stored), (api.VIR_NETWORK_UPDATE_AFFECT_LIVE, effect)]
        )
        for flags, calls in runs:
            for call in calls:
                command = getattr(api, f"VIR_NETWORK_UPDATE_COMMAND_{call.command}")
                section = getattr(api, f"VIR_NETWORK_SECTION_{call.section}")
                self.host.ask(network.update, command, section, call.parent, serialize(call.element), flags)

    def _merged(self, want: Spec, have: Definition | None, only: Collection[str] | None = None) -> Element:
        """The definition as the task wants it; with ``only``, in these options alone.

        What is changed while the network is active is not written before.
        """
        values = {
            option.name: want.values[option.name] if have is None else merged_value(want, option.name, have.view())
            for option in NETWORK_OPTIONS
            if option.name in want.values and (only is None or option.name in only)
        }
        if have is None and "forward" not in values:
            values["forward"] = "nat"
        if have is not None and "subnets" in values:
            _drop_lost(want, values, have)
        return defined(want.name, values, None if have is None else have.config)

    def _in_effect(self, want: Spec, steps: Sequence[Step], live: Element, config: Element) -> Element:
        pieces = {each.option.name for step in steps if step.disruption == LIVE for each in step.changes}
        return defined(want.name, {name: self.table[name].read(View(config, False)) for name in pieces}, live)


def _drop_lost(want: Spec, values: dict[str, Any], have: Definition) -> None:
    """What belonged to a subnet that goes, and that the task does not name, goes with it."""
    nets = [ipaddress.ip_network(subnet) for subnet in values["subnets"]]

    def lost(address: str) -> bool:
        return not any(ipaddress.ip_address(address) in net for net in nets)

    if "dhcp_ranges" in values:
        named = want.values["dhcp_ranges"]
        values["dhcp_ranges"] = frozenset(
            each for each in values["dhcp_ranges"] if each in named or not lost(each.partition("-")[0])
        )
    if "dhcp_hosts" in values:
        named = want.values["dhcp_hosts"]
        hosts = (values["dhcp_hosts"] or {}).items()
        values["dhcp_hosts"] = {
            key: fields
            for key, fields in hosts
            if key in named or "address" not in fields or not lost(fields["address"])
        }


def _pieces(want: Spec, name: str, stored: Difference | None, effect: Difference | None) -> list[Step]:
    """The steps that change entries of an active network, on whichever side they differ.

    What leaves goes first: its address may be wanted again.
    """
    changes = {
        part.key: replace(each, parts=(part,)) for each in (stored, effect) if each is not None for part in each.parts
    }
    steps = [
        Step(want.name, Action.SET, key_of(name, part.key), part.before, part.after, LIVE, changes=(each,))
        for each in changes.values()
        for part in each.parts
    ]
    return sorted(steps, key=lambda step: (step.after is not None, step.before is None, step.key))
