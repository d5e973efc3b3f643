# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes a host ready for LXC's containers: see the module lxc_setup."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from ....host.info import gather
from ....host.lxc_network import Links, Unfit, Wish, default_file, forwarding, usernet_file
from ....host.reader import Host
from ....host.service import PATIENCE, manager_faults, manager_of, service
from ....host.setup import Leftovers, Part, Seen, Setup, obstacles, unknown_users
from ....host.subordinate_ids import subordinate_ids
from .files import GUESTS, USERS, Edit, EditedFile, text_of
from .network import AtBoot, LxcNet, Planned, Unmade, bridge_of, planned
from .proof import SECONDS, guests_run, left, prove, remove_left

#: Recommended packages are not installed, so what guests need in practice is named: rsync, which copies them,
#: newuidmap, and the static program that the proof is made of.
NEEDS = (
    "apparmor_parser",
    "busybox",
    "dnsmasq",
    "ip",
    "iptables",
    "lxc-start",
    "lxc-templates",
    "newuidmap",
    "rsync",
)
#: Bytes that the packages and a first container take.
_SPACE = {"/usr": 200 << 20, "/var/lib/lxc": 300 << 20}


class LxcSetup(Setup):
    """LXC on this host."""

    backend = "lxc"
    arguments: ClassVar[Mapping[str, Any]] = {
        "network": {"type": "str", "choices": ["lxc-net", "existing"], "default": "lxc-net"},
        "bridge": {"type": "str", "default": "lxcbr0"},
        "address": {"type": "str", "default": ""},
        "dhcp_range": {"type": "str", "default": ""},
        "net_options": {"type": "dict", "default": {}},
        "interrupt_guests": {"type": "bool", "default": False},
        "subordinate_count": {"type": "int", "default": 65536},
        "verify_address": {"type": "str", "default": ""},
    }

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        self.host = Host(timeout=30)
        self.wish = Wish(
            options["network"], options["bridge"], options["address"], options["dhcp_range"], options["net_options"]
        )

    def gather(self) -> Mapping[str, Any]:
        """Of a bridge that runs, the kernel and the ports need not be tried."""
        options, host = self.options, self.host
        plan = _planned(host, self.wish)
        users = ["user_namespaces"] if options["users"] else []
        runs = isinstance(plan, Planned) and bridge_of(host, plan.before["LXC_BRIDGE"], ()).served
        rules = ["lxc_rules"] if isinstance(plan, Planned) and plan.iptables and not runs else []
        return gather(
            host,
            ["lxc"],
            ["namespaces", *([] if runs else ["links"]), *users, *rules],
            [*NEEDS, *("package:" + package for package in options["packages"])],
            {
                "users": options["users"],
                "ports": [53] if options["network"] == "lxc-net" and not runs else [],
                "space": _SPACE,
            },
        )

    def look(self, facts: Mapping[str, Any]) -> Seen:
        """LXC's files, its bridge, and who may use it."""
        manager = manager_of(self.options["service_manager"], facts["init"])
        verdict, missing = facts["backends"]["lxc"], facts["packages"]["missing"]
        faults = manager_faults(manager, facts["init"], "lxc-net", "lxc_host_service_manager")
        if not verdict["capable"]:
            faults.insert(
                0, "This host cannot run LXC containers: {}. Remedy: {}.".format(verdict["reason"], verdict["remedy"])
            )
        faults += [*unknown_users(facts, "lxc"), *obstacles(facts)]
        parts = list(self._parts(facts, manager, bool(missing)))
        limits = [check["found"] for check in verdict["checks"] if check["check"] == "limits" and check["ok"] is None]
        remedy = "have the kernel enable them, for memory with cgroup_enable=memory on its command line, or mount them (version 1)"
        notes = [f"{found}. Remedy: {remedy}." for found in limits]
        # lxc-net makes rules for a bridge of its own; until then they only seem to lack.
        if self.wish.network == "existing" or not (missing or parts[0].plan()):
            notes += self._unreached()
        return Seen(facts, parts, faults, missing, manager, guests_run(), notes)

    def _parts(self, facts: Mapping[str, Any], manager: str, bare: bool) -> Iterator[Part]:
        """The network first: it may take itself back."""
        host, options, bridge = self.host, self.options, self.options["bridge"]
        plan = _planned(host, self.wish)
        if isinstance(plan, Unfit):
            yield Unmade(plan)
        else:
            found = facts["network"]["bridges"]
            links = Links(
                {each["name"]: each for each in found},
                host.exists("/sys/class/net/" + bridge),
                host.text("/proc/net/route") or "",
            )
            now = bridge_of(host, plan.before["LXC_BRIDGE"], found)
            patient = Host(timeout=PATIENCE)
            yield LxcNet(patient, self.wish, plan, links, now, manager, options["interrupt_guests"])
        # The unit and the init script come with the packages, enabled.
        if manager != "direct" and not bare:
            for each in (service(name, manager) for name in ("lxc-net", "lxc")):
                yield AtBoot(each, each.enabled())
        yield EditedFile(_edit(host, GUESTS, *default_file(text_of(host, GUESTS) or "", bridge)))
        if options["users"]:
            yield subordinate_ids(
                host,
                facts["subordinate_ids"],
                options["users"],
                options["subordinate_count"],
                option="lxc_host_users",
                count_option="lxc_host_subordinate_count",
            )
            yield EditedFile(_edit(host, USERS, *usernet_file(text_of(host, USERS) or "", options["users"], bridge)))
        yield Leftovers(left(), remove_left)

    def _unreached(self) -> list[str]:
        """What keeps guests from the world outside."""
        said = self.host.run(["iptables", "--wait", "-S", "FORWARD"])
        filtered = self.host.word("/proc/sys/net/bridge/bridge-nf-call-iptables") == "1"
        found = forwarding(said.out, self.options["bridge"], filtered) if said and said.rc == 0 else ""
        return [found] if found else []

    def prove(self, seen: Seen) -> None:
        """See proof.py."""
        prove(Host(timeout=SECONDS), self.options["bridge"], self.options["verify_address"])


def _planned(host: Host, wish: Wish) -> Planned | Unfit:
    try:
        return planned(host, wish)
    except Unfit as why:
        return why


def _edit(host: Host, path: str, after: str, changes: Mapping[str, tuple[object, object]]) -> Edit:
    return Edit(path, text_of(host, path), after, dict(changes))
