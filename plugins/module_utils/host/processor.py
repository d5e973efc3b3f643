# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The processors, what they can carry, and what this system itself runs in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .reader import Files, Host

X86 = ("x86_64", "i386", "i486", "i586", "i686")

#: The first register says whether the firmware locked VT-x, the second whether it disabled SVM.
FEATURE_CONTROL, VM_CR = 0x3A, 0xC0010114

#: From the Main ID Register, as /proc/cpuinfo shows it on ARM.
_IMPLEMENTERS = {
    "0x41": "ARM",
    "0x42": "Broadcom",
    "0x43": "Cavium",
    "0x46": "Fujitsu",
    "0x48": "HiSilicon",
    "0x4e": "NVIDIA",
    "0x50": "APM",
    "0x51": "Qualcomm",
    "0x53": "Samsung",
    "0x61": "Apple",
    "0x6d": "Microsoft",
    "0xc0": "Ampere",
}

#: How a virtual machine's firmware tables begin, and what made them.
_FIRMWARE_NAMES = (
    ("KVM", "kvm"),
    ("OpenStack", "kvm"),
    ("KubeVirt", "kvm"),
    ("Amazon EC2", "kvm"),
    ("Google Compute Engine", "kvm"),
    ("QEMU", "qemu"),
    ("VMware", "vmware"),
    ("VMW", "vmware"),
    ("innotek GmbH", "virtualbox"),
    ("VirtualBox", "virtualbox"),
    ("Oracle Corporation VirtualBox", "virtualbox"),
    ("Xen", "xen"),
    ("Bochs", "bochs"),
    ("Parallels", "parallels"),
    ("BHYVE", "bhyve"),
    ("Apple Virtualization", "apple"),
)

#: What the kernel says when the firmware has disabled VT-x or SVM; the wording changed over the years.
#: Other features are "disabled by BIOS" as well, so each pattern says of what.
_DISABLED = re.compile(
    r"vmx.*(disabled by bios|not enabled \(by bios\))|kvm(_intel|_amd)?: disabled by bios|svm disabled \(by bios\)",
    re.IGNORECASE,
)
_NO_HYP = re.compile(r"HYP mode not available", re.IGNORECASE)


def parse_cpuinfo(text: str) -> dict[str, str]:
    """The first processor's fields, with keys in lower case, and those that stand for all of them."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            fields.setdefault(key.strip().lower(), value.strip())
    return fields


def parse_range(text: str) -> int:
    """How many numbers a list like 0-3,5 has."""
    count = 0
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if first.isdigit():
            count += int(last) - int(first) + 1 if dash and last.isdigit() else 1
    return count


def processors(files: Files, machine: str) -> dict[str, Any]:
    """What /proc/cpuinfo tells. ``extension`` is vmx, svm, sie, or nothing; None where the architecture shows none."""
    text = files.text("/proc/cpuinfo") or ""
    fields = parse_cpuinfo(text)
    flags = set((fields.get("flags") or fields.get("features") or "").split())
    shown = (
        {**{name: name in flags for name in ("vmx", "svm")}, "hypervisor": "hypervisor" in flags}
        if machine in X86
        else {}
    )
    extension: str | None = None
    if machine in X86:
        extension = "vmx" if "vmx" in flags else "svm" if "svm" in flags else ""
    elif machine == "s390x":
        extension = "sie" if "sie" in flags else ""
    paging = (
        "ept" if "ept" in flags or "ept" in fields.get("vmx flags", "").split() else "npt" if "npt" in flags else ""
    )
    implementer = fields.get("cpu implementer", "")
    online = parse_range(files.word("/sys/devices/system/cpu/online"))
    return {
        "vendor": fields.get("vendor_id") or _IMPLEMENTERS.get(implementer, implementer),
        "model": fields.get("model name")
        or fields.get("cpu")
        or fields.get("hardware")
        or files.word("/proc/device-tree/model"),
        "count": online or len(re.findall(r"^processor\s*:", text, re.MULTILINE)),
        "flags": shown,
        "extension": extension,
        "nested_paging": paging,
    }


def surroundings(host: Host, cpu: Mapping[str, Any]) -> dict[str, str]:
    """The hypervisor and the container that this system runs in, each with what told; nothing where there is none."""
    hypervisor, by = _hypervisor(host, cpu)
    container, told = _container(host)
    return {"hypervisor": hypervisor, "hypervisor_evidence": by, "container": container, "container_evidence": told}


def _hypervisor(host: Host, cpu: Mapping[str, Any]) -> tuple[str, str]:
    if host.word("/sys/hypervisor/type") == "xen" or host.exists("/proc/xen/capabilities"):
        return "xen", "/sys/hypervisor/type"
    tree = host.word("/proc/device-tree/hypervisor/compatible").split("\0")[0]
    if tree:
        return {"linux,kvm": "kvm", "xen,xen": "xen"}.get(tree, tree), "/proc/device-tree/hypervisor/compatible"
    # Firmware names products of machines of iron too (a vendor also sells them), so on x86 the flag has to agree.
    if cpu["flags"].get("hypervisor", True):
        for name in ("product_name", "sys_vendor", "board_vendor", "bios_vendor"):
            value = host.word("/sys/class/dmi/id/" + name)
            for begin, hypervisor in _FIRMWARE_NAMES:
                if value.startswith(begin):
                    return hypervisor, f"/sys/class/dmi/id/{name}: {value}"
        if host.word("/sys/class/dmi/id/product_name") == "Virtual Machine" and "Microsoft" in host.word(
            "/sys/class/dmi/id/sys_vendor"
        ):
            return "hyperv", "/sys/class/dmi/id/product_name: Virtual Machine"
    if not cpu["flags"].get("hypervisor"):
        return "", ""
    said = host.run(["lscpu"])
    vendor = re.search(r"^Hypervisor vendor:\s*(\S.*)$", said.out if said else "", re.MULTILINE)
    if vendor:
        return {"microsoft": "hyperv"}.get(
            vendor[1].strip().lower(), vendor[1].strip().lower()
        ), f"lscpu: Hypervisor vendor {vendor[1].strip()}"
    return "unknown", "the flag hypervisor of the processor"


def _container(host: Host) -> tuple[str, str]:
    told = host.word("/run/systemd/container")
    if told:
        return told, "/run/systemd/container"
    for variable in (host.text("/proc/1/environ") or "").split("\0"):
        if variable.startswith("container=") and variable != "container=":
            return variable.partition("=")[2], "the environment of process 1"
    if host.exists("/run/.containerenv"):
        return "podman", "/run/.containerenv"
    # The kernel's first namespace of processes has a fixed number (PROC_PID_INIT_INO). A machine made from an image may
    # have the marker file too.
    if host.target("/proc/self/ns/pid") in ("", "pid:[4026531836]"):
        return "", ""
    if host.exists("/.dockerenv"):
        return "docker", "/.dockerenv"
    return "unknown", "/proc/self/ns/pid is not the kernel's first"


def firmware(host: Host, machine: str, cpu: Mapping[str, Any]) -> dict[str, Any]:
    """Whether the firmware keeps virtualisation off: ``disabled`` is None where nothing tells.

    For x86, and ARM as far as the kernel complains.
    """
    if machine not in X86:
        log = kernel_log(host)
        if log is not None and _NO_HYP.search(log):
            return {"disabled": True, "source": "kernel log", "found": _line(_NO_HYP, log)}
        return {
            "disabled": None,
            "source": "",
            "found": "nothing tells" if log is not None else "the kernel log may not be read",
        }
    if cpu["flags"].get("hypervisor") and not cpu["extension"]:
        return {
            "disabled": None,
            "source": "",
            "found": "a virtual machine's firmware has no say; the hypervisor above has",
        }
    known, why = _registers(host, cpu)
    if known is not None:
        return known
    reasons = [why]
    log = kernel_log(host)
    if log is not None and _DISABLED.search(log):
        return {"disabled": True, "source": "kernel log", "found": _line(_DISABLED, log)}
    # The log's first lines may be gone by now, so its silence says nothing.
    reasons.append("the kernel log may not be read" if log is None else "the kernel log does not mention it")
    return {"disabled": None, "source": "", "found": "; ".join(reasons)}


def _registers(host: Host, cpu: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """What the firmware has written into the processor's registers; None, and why, where they cannot be read."""
    if cpu["extension"] == "svm" or cpu["vendor"] in ("AuthenticAMD", "HygonGenuine"):
        value, why = host.msr(VM_CR)
        if value is not None:
            off = bool(value & 1 << 4)
            found = "VM_CR is 0x{:x}: SVM is {}".format(value, "disabled" if off else "not disabled")
            return {"disabled": off, "source": "msr", "found": found}, ""
    else:
        value, why = host.msr(FEATURE_CONTROL)
        if value is not None:
            locked, on = bool(value & 1), bool(value & 1 << 2)
            state = (
                "locked with VT-x %s" % ("on" if on else "off")
                if locked
                else "not locked, so the kernel may enable VT-x"
            )
            found = f"IA32_FEATURE_CONTROL is 0x{value:x}: {state}"
            return {"disabled": locked and not on, "source": "msr", "found": found}, ""
    return None, why


def _line(pattern: re.Pattern[str], log: str) -> str:
    line = next(line for line in log.splitlines() if pattern.search(line))
    return re.sub(r"^(<\d+>)?\[[^\]]*\]\s*", "", line.strip())


def kernel_log(host: Host) -> str | None:
    """The messages of this boot, or None where this user may not read them."""
    for argv in (["dmesg"], ["journalctl", "--dmesg", "--boot", "--quiet", "--no-pager", "--output=cat"]):
        said = host.run(argv)
        if said is not None and said.rc == 0 and said.out.strip():
            return said.out
    return host.text("/var/log/dmesg")
