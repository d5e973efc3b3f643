# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What this host can do, gathered once: findings, and a verdict for each backend. No Ansible import; nothing is
changed.

facts = gather(Host()); facts["backends"]["kvm"]["reason"]
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from . import kernel, processor
from .engines import engines
from .installed import packages
from .network import network
from .obstacles import obstacles
from .reader import Host
from .trials import tried
from .verdicts import containers, machines

VERDICTS: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "docker": containers.docker,
    "lxc": containers.lxc,
    "lxd": containers.lxd,
    "kvm": machines.kvm,
    "xen": machines.xen,
    "virtualbox": machines.virtualbox,
}
#: All backends that there are verdicts for.
NAMES = tuple(VERDICTS)


def gather(
    host: Host,
    backends: Collection[str] = NAMES,
    trials: Collection[str] = (),
    needs: Sequence[str] = (),
    plans: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The findings, and under ``backends`` the verdicts of those asked for. Engines of other backends are not asked.
    ``trials``: names of TRIALS.

    ``needs``: see packages(). AppArmor's own counts only where that is on. ``plans``: see obstacles(), and ``users``
    that somebody is going to need.
    """
    plans = plans or {}
    wanted = tuple(name for name in NAMES if name in backends)
    machine = host.machine()
    cpu = processor.processors(host, machine)
    modules = kernel.Modules(host)
    found: dict[str, Any] = {
        "architecture": machine,
        "user": host.user(),
        "kernel": modules.release,
        "init": kernel.init(host),
        "apparmor": kernel.apparmor(host),
        "cpu": cpu,
        "inside": processor.surroundings(host, cpu),
        "memory": kernel.memory(host),
        "disks": kernel.disks(host),
        "modules": {
            name: modules.as_dict(name) for name in ("bridge", "overlay", "tun", "veth", "vfio_pci", "vhost_net")
        },
        "iommu": kernel.iommu(host),
        "cgroups": kernel.cgroups(host),
        "namespaces": kernel.namespaces(host),
        "subordinate_ids": kernel.subordinate_ids(host),
        "xen": kernel.xen(host),
        "virtualbox": {"device": _node(host, "/dev/vboxdrv"), "module": modules.as_dict("vboxdrv")},
        "network": network(host),
        "trials": tried(host, modules, trials),
        "engines": engines(host, wanted),
        "unknown_users": [user for user in plans.get("users") or () if not host.knows(user)],
    }
    found["packages"] = packages(host, [need for need in needs if need != "apparmor_parser" or found["apparmor"]])
    found["obstacles"] = obstacles(host, found["packages"]["missing"], plans)
    found["kvm"] = _kvm(host, modules, found)
    found["backends"] = {name: VERDICTS[name](found) for name in wanted}
    return found


def _node(host: Host, path: str) -> dict[str, Any]:
    device = host.device(path)
    if device is None:
        return {"present": False, "kind": "", "major": 0, "minor": 0, "opens": False, "error": "no such file"}
    return {
        "present": True,
        "kind": device.kind,
        "major": device.major,
        "minor": device.minor,
        "opens": device.opens,
        "error": device.error,
    }


def _kvm(host: Host, modules: kernel.Modules, found: dict[str, Any]) -> dict[str, Any]:
    device = _node(host, "/dev/kvm")
    # The kernel made the device, whatever became of its node.
    device["offered"] = host.exists("/sys/class/misc/kvm")
    device["api_version"], device["creates_vm"] = None, None
    if device["opens"] and device["kind"] == "character":
        trial = host.kvm()
        device["api_version"], device["creates_vm"] = trial.api_version, trial.creates_vm
        device["error"] = trial.error
    names = ["kvm", "kvm_intel", "kvm_amd"] if found["architecture"] in processor.X86 else ["kvm"]
    if device["creates_vm"] and found["cpu"]["extension"] and machines.cpu_module(found):
        # What no locked register would have let happen; the register need not be read for it.
        firmware = {"disabled": False, "source": "kvm", "found": "a virtual machine was created"}
    else:
        firmware = processor.firmware(host, found["architecture"], found["cpu"])
    return {
        "device": device,
        "modules": {name: modules.as_dict(name) for name in names},
        "firmware": firmware,
        "nested": kernel.nested(host),
        "at_load": host.word("/sys/module/kvm/parameters/enable_virt_at_load") in ("Y", "1"),
    }
