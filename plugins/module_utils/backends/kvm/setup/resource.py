# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes a host ready for KVM guests, once libvirt and QEMU are installed: see host/setup.py for what a setup is."""

from __future__ import annotations

import re
import sys
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ....engine.action import Action
from ....engine.errors import BackendError
from ....engine.plan import Step
from ....host import daemon, info
from ....host.members import members
from ....host.packages import KVM_NEEDS, this_system
from ....host.reader import Host
from ....host.service import MANAGERS, manager_faults
from ....host.setup import HOST, PROOF, Leftovers, Part, Seen, Setup, hang_faults, obstacles, unknown_users
from ....host.subnets import networks
from .. import client
from ..network.resource import Networks
from ..storage.pool import Pools
from . import daemons as setup_daemons
from .daemons import DAEMONS, PIDFILE, Access, Daemons, Libvirt, units
from .definitions import POOL_PATH, network_wish, part, pool_wish
from .device import UDEV, device

#: What an installation takes, in bytes.
SPACE = {"/usr": 600 << 20}
POOL_SPACE = 1 << 30
#: The port of the DNS of guests' networks.
DNS = 53

#: What starts a libvirt anew that hangs.
RESTART = "systemctl restart libvirtd, or virtqemud; guests go on running"

KVM = "/dev/kvm"
_OURS = re.compile(PROOF + "[0-9a-f]{12}")

#: Where QEMU's words go, by the guest's name; libvirt keeps them for ever, and the proof's name is used once.
LOGS = Path("/var/log/libvirt/qemu")

#: Ansible's declaration of the options that this setup has beside those of all.
ARGUMENTS: Mapping[str, Any] = {
    **client.CONNECTION,
    # No distribution's libvirt has an init script in the packages that are installed.
    "service_manager": {"type": "str", "choices": [each for each in MANAGERS if each != "sysvinit"], "default": "auto"},
    "allow_emulation": {"type": "bool", "default": False},
    "python_package": {"type": "str", "default": "auto"},
    "daemons": {"type": "str", "choices": ["auto", "monolithic", "modular"], "default": "auto"},
    "network": {"type": "str", "default": "default"},
    "network_address": {"type": "str", "default": ""},
    "pool": {"type": "str", "default": "default"},
    "pool_path": {"type": "str", "default": ""},
}


class KvmSetup(Setup):
    """Libvirt, QEMU and this host's kernel."""

    backend: ClassVar[str] = "kvm"
    arguments: ClassVar[Mapping[str, Any]] = ARGUMENTS

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        self.host = Host(timeout=int(options["connect_timeout"]))
        self.libvirt = Libvirt(str(options["uri"] or client.DEFAULT_URI), int(options["connect_timeout"]))
        #: Loading the module is tried once.
        self.module: Module | None = None

    def gather(self) -> Mapping[str, Any]:
        """Everything, for all roles of a play."""
        given = self.options
        needs = [*KVM_NEEDS, f"qemu-system-{self.host.machine()}", *python_needs(given["python_package"])]
        plans = {
            "users": given["users"],
            "ports": [DNS] if given["network"] else [],
            "space": {**SPACE, given["pool_path"] or POOL_PATH: POOL_SPACE},
        }
        return info.gather(self.host, needs=[*needs, *("package:" + name for name in given["packages"])], plans=plans)

    def look(self, facts: Mapping[str, Any]) -> Seen:
        """With libvirt's own words where it answers."""
        given, verdict, missing = self.options, facts["backends"]["kvm"], facts["packages"]["missing"]
        systemd = bool(facts["init"]["systemd"])
        manager = given["service_manager"] if given["service_manager"] != "auto" else "systemd" if systemd else "direct"
        engine, comes, error = facts["engines"]["libvirt"], bool(missing), ""
        self.libvirt.drop()
        answers = engine["answers"] is True and client.LIBVIRT_IMPORT_ERROR is None
        if answers:
            try:
                self.libvirt.host()
            except BackendError as refused:
                answers, error = False, str(refused)
        parts: list[Part] = []
        if self.module is None and verdict["code"] == "module_not_loaded":
            self.module = Module(self.host, verdict["remedy"].split()[-1], verdict, bool(given["allow_emulation"]))
            parts.append(self.module)
        # Before the daemon first asks QEMU what it can do.
        node = device(KVM, UDEV, comes)
        if node is not None:
            parts.append(node)
        if given["users"]:
            parts.append(members(self.host, "libvirt", given["users"], "kvm_host_users", comes))
        running = engine["answers"] is True
        if manager == "systemd" and systemd:
            parts.append(units(self.host, self.libvirt, given["daemons"], this_system()[-1], running, comes))
        elif manager == "direct":
            if given["users"] and not self.host.exists("/run/dbus/system_bus_socket"):
                text = self.host.text(setup_daemons.CONFIG) or ""
                parts.append(Access(self.libvirt, text, daemon.pid_in(PIDFILE, ["libvirtd"])))
            parts.append(Daemons(self.libvirt, daemon.running(DAEMONS), running, comes, engine["error"]))
        parts += self._definitions(answers)
        found = [
            *verdict_faults(verdict, bool(given["allow_emulation"])),
            *manager_faults(manager, facts["init"], "libvirt", "kvm_host_service_manager", "auto or direct"),
            *daemons_faults(manager, given["daemons"]),
            # Without systemd, the part that starts it says so.
            *(hang_faults(engine, "libvirt", RESTART) if manager == "systemd" else []),
            *unknown_users(facts, self.backend),
            # Where libvirt answers, the network may be there, and be served.
            *obstacles(
                {"obstacles": [each for each in facts["obstacles"] if not (running and each["check"] == "port")]}
            ),
            *([] if comes else binding_faults(given["python_package"])),
            *([error] if error else []),
        ]
        guests = running_guests(self.libvirt.host()) if answers else []
        parts.append(Leftovers(left(guests), self._remove_left))
        proven = any(not _OURS.fullmatch(name) for name in guests)
        return Seen(facts, parts, found, missing, manager, proven, notes_of(verdict, bool(given["allow_emulation"])))

    def _definitions(self, answers: bool) -> list[Part]:
        given, found = self.options, list[Part]()
        if given["network"]:
            there = networks(self.host.text("/proc/net/route") or "")
            found.append(
                part(
                    Networks,
                    self.libvirt,
                    self.host,
                    given["network"],
                    answers,
                    lambda seen, known: network_wish(given["network"], given["network_address"], seen, there, known),
                )
            )
        if given["pool"]:
            found.append(
                part(
                    Pools,
                    self.libvirt,
                    self.host,
                    given["pool"],
                    answers,
                    lambda seen, _known: pool_wish(given["pool"], given["pool_path"], seen),
                )
            )
        return found

    def _remove_left(self, name: str) -> None:
        host = self.libvirt.host()
        guest = host.find(host.conn.lookupByName, name)
        if guest is not None:
            host.find(guest.destroy)
        (LOGS / f"{name}.log").unlink(missing_ok=True)

    def prove(self, seen: Seen) -> None:
        """With a guest that has a processor, some memory and nothing else, and that vanishes when it is stopped."""
        verdict = self.module.verdict if self.module is not None else seen.facts["backends"]["kvm"]
        prove(self.libvirt.host(), str(verdict["domain_type"]))


@dataclass
class Module:
    """The processor's module of the kernel.

    At the next boot udev loads it as it does for every processor that has the flag, unless somebody forbids it.
    """

    host: Host
    name: str
    #: See host.verdicts; the new one, once the module was tried.
    verdict: Mapping[str, Any]
    allow_emulation: bool

    def faults(self) -> Sequence[str]:
        """Whether that was all shows when it is loaded."""
        return []

    def plan(self) -> Sequence[Step]:
        """Load it."""
        return [Step(HOST, Action.SET, f"modules[{self.name}]", "not loaded", "loaded")]

    def apply(self, step: Step) -> None:
        """Raises BackendError where guests cannot be run then, and may not be emulated."""
        said = self.host.run(["modprobe", self.name])
        verdict = info.gather(self.host, [KvmSetup.backend])["backends"]["kvm"]
        if verdict["capable"] is not True and not self.allow_emulation:
            raise BackendError(
                "The kernel's module did not help: {}. {}".format(
                    said.error if said else "there is no modprobe", verdict["reason"]
                ),
                remedy="{}. Or set kvm_host_allow_emulation to true and give guests the type qemu".format(
                    verdict["remedy"]
                ),
            )
        self.verdict = verdict


def python_needs(package: str) -> list[str]:
    """What is needed for the binding: the distribution's own, one by its name, or none. Pure."""
    return ["python:libvirt"] if package == "auto" else ["package:" + package] if package else []


def verdict_faults(verdict: Mapping[str, Any], allow_emulation: bool) -> list[str]:
    """That this host does not virtualise.

    A module that is not loaded is loaded later; whether that was all shows then. Pure.
    """
    if verdict["capable"] is True or verdict["code"] == "module_not_loaded" or allow_emulation:
        return []
    return [
        "This host {}: {}. Remedy: {}. Or set kvm_host_allow_emulation to true and give guests the type qemu,"
        " which needs no such hardware and is many"
        " times slower.".format(
            "cannot run KVM guests" if verdict["capable"] is False else "may not be able to run KVM guests",
            verdict["reason"],
            verdict["remedy"],
        )
    ]


def notes_of(verdict: Mapping[str, Any], allow_emulation: bool) -> list[str]:
    """That guests will be emulated. Pure."""
    if verdict["capable"] is True or verdict["code"] == "module_not_loaded" or not allow_emulation:
        return []
    return ["Guests run emulated (type qemu): {}. Remedy: {}.".format(verdict["reason"], verdict["remedy"])]


def daemons_faults(manager: str, daemons: str) -> list[str]:
    """That daemons are asked for which only systemd starts. Pure."""
    if manager == "systemd" or daemons != "modular":
        return []
    fault = "Without systemd only the one daemon libvirtd can be started, but kvm_host_daemons is modular. Set it to auto or monolithic."
    return [fault]


def binding_faults(package: str) -> list[str]:
    """That the interpreter which runs this cannot import libvirt, though all packages are there."""
    if client.LIBVIRT_IMPORT_ERROR is None:
        return []
    return [
        "Ansible uses {} on this host, which cannot import libvirt ({}). {} serves the distribution's own Python: set"
        " ansible_python_interpreter: /usr/bin/python3 for this host, or install the package libvirt-python"
        " for that interpreter and set"
        " kvm_host_python_package to an empty string.".format(
            sys.executable, client.LIBVIRT_IMPORT_ERROR, package if package not in ("", "auto") else "python3-libvirt"
        )
    ]


def guest_xml(name: str, kind: str) -> str:
    """A guest that has a processor, some memory and nothing else. Pure."""
    root = ET.Element("domain", type=kind)
    ET.SubElement(root, "name").text = name
    ET.SubElement(root, "memory", unit="MiB").text = "64"
    ET.SubElement(root, "vcpu").text = "1"
    ET.SubElement(ET.SubElement(root, "os"), "type").text = "hvm"
    return ET.tostring(root, encoding="unicode")


def running_guests(host: client.Host) -> list[str]:
    """The names of the guests that run. Raises BackendError."""
    running = host.ask(host.conn.listAllDomains, host.api.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
    return [str(host.ask(domain.name)) for domain in running]


def left(guests: Sequence[str]) -> list[str]:
    """What proofs have left which were killed: guests of these, or the logs of what ran."""
    found = {*guests, *(path.stem for path in LOGS.glob(PROOF + "*.log"))}
    return sorted(name for name in found if _OURS.fullmatch(name))


def prove(host: client.Host, kind: str) -> None:
    """Start such a guest and stop it again; nothing is left of it. Raises BackendError."""
    name = PROOF + uuid.uuid4().hex[:12]
    step = f"start a guest of the type {kind}"
    try:
        guest = host.ask(host.conn.createXML, guest_xml(name, kind), host.api.VIR_DOMAIN_START_AUTODESTROY)
        step = "stop the guest again"
        ran = bool(host.ask(guest.isActive))
        host.ask(guest.destroy)
    except client.NotThere:
        ran = False
    except BackendError as error:
        raise BackendError(
            f"libvirt answers, but it cannot {step}: {error.message}",
            remedy=f"See {LOGS} and libvirt's own log",
        ) from error
    if not ran:
        raise BackendError(
            f"libvirt answers, but it cannot keep a guest of the type {kind} running: it ended by itself at once",
            remedy=f"See {LOGS} and libvirt's own log",
        )
    (LOGS / (name + ".log")).unlink(missing_ok=True)
