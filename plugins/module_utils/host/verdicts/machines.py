# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether this host can carry virtual machines: of KVM, of Xen, of VirtualBox. Pure."""

from __future__ import annotations

from typing import Any

from ..processor import X86
from .verdict import Found, Verdict


def kvm(found: Found) -> dict[str, Any]:
    """Also ``domain_type``: kvm where that is proven, else qemu, which is slow and works everywhere."""
    verdict = Verdict()
    cpu, seen = found["cpu"], found["kvm"]
    device = seen["device"]
    x86 = found["architecture"] in X86
    module = cpu_module(found)
    flag: bool | None = None if cpu["extension"] is None else bool(cpu["extension"])
    what = "vmx or svm" if x86 else "sie"
    _kvm_checks(verdict, found, flag, what, module)
    if device["creates_vm"] and device["api_version"] == 12:
        if flag is False:
            verdict.because(
                None,
                "unproven",
                f"/dev/kvm opens and creates a virtual machine, but the processor shows no {what}, so an unchanged "
                "kernel may hang in it",
                "run guests with the type qemu (kvm_host_allow_emulation: true), or prove by a trial boot of a real "
                "kernel that the type kvm works here",
            )
    else:
        _no_kvm(verdict, found, flag, what, module)
    verdict.engine("libvirt", found["engines"]["libvirt"], "the role kraal.virt.kvm_host")
    verdict.engine("qemu", found["engines"]["qemu"], "the role kraal.virt.kvm_host")
    result = verdict.as_dict("/dev/kvm opens and creates virtual machines, and libvirt answers")
    result["domain_type"] = "kvm" if verdict.capable else "qemu"
    return result


def _kvm_checks(verdict: Verdict, found: Found, flag: bool | None, what: str, module: str) -> None:
    """What each look at the processor, at /dev/kvm and at the modules has found."""
    cpu, seen = found["cpu"], found["kvm"]
    device = seen["device"]
    text = (
        "this architecture shows no flag for it"
        if flag is None
        else "the flag {}".format(cpu["extension"])
        if flag
        else f"no {what}"
    )
    verdict.check("processor", flag, text)
    verdict.check("device", device["opens"] if device["present"] else False, _device_text(device))
    verdict.check(
        "api",
        None if device["api_version"] is None else device["api_version"] == 12,
        "version %s" % (device["api_version"] or "not asked"),
    )
    verdict.check(
        "virtual machine",
        device["creates_vm"],
        {True: "one was created", False: "none could be created: {}".format(device["error"]), None: "not tried"}[
            device["creates_vm"]
        ],
    )
    if module:
        state = seen["modules"][module]["state"]
        verdict.check("module", {"loaded": True, "builtin": True, "absent": False}.get(state), f"{module} is {state}")
    firmware = seen["firmware"]
    verdict.check("firmware", None if firmware["disabled"] is None else not firmware["disabled"], firmware["found"])
    verdict.check(
        "nested",
        seen["nested"],
        {True: "guests may run guests", False: "guests may not run guests", None: "not known"}[seen["nested"]],
    )


#: By what the processor can do, or by who made it.
_CPU_MODULES = {"vmx": "kvm_intel", "svm": "kvm_amd", "GenuineIntel": "kvm_intel", "AuthenticAMD": "kvm_amd"}


def cpu_module(found: Found) -> str:
    """The module that drives this processor's virtualisation; nothing where it is a part of kvm, or not known."""
    if found["architecture"] not in X86:
        return ""
    return _CPU_MODULES.get(found["cpu"]["extension"]) or _CPU_MODULES.get(found["cpu"]["vendor"], "")


def _device_text(device: Found) -> str:
    if not device["present"]:
        return "no /dev/kvm" + (", though the kernel offers it (/sys/class/misc/kvm)" if device["offered"] else "")
    if device["kind"] != "character":
        return "what is at /dev/kvm is not a character device"
    node = "/dev/kvm is a %s device %d:%d" % (device["kind"], device["major"], device["minor"])
    return node + (" and opens" if device["opens"] else " and does not open: {}".format(device["error"]))


def _no_kvm(verdict: Verdict, found: Found, flag: bool | None, what: str, module: str) -> None:
    """Why there is no /dev/kvm that works: what is certain first."""
    device, firmware, inside = found["kvm"]["device"], found["kvm"]["firmware"], found["inside"]
    if found["xen"]["role"]:
        role = found["xen"]["role"]
        verdict.because(
            False,
            "xen_" + role.lower(),
            f"this is a Xen {role}, so the hypervisor has the processor's virtualisation",
            "run Xen guests here, or boot the kernel without Xen"
            if role == "dom0"
            else "use the host of this guest, or a guest type and host that allow nesting",
        )
    elif device["present"] and not device["opens"] and "ermission" in device["error"]:
        verdict.because(
            None,
            "permission",
            "user id %d may not open /dev/kvm" % found["user"],
            "look as root (become: true); a user who starts QEMU without libvirt has to be in the group kvm",
        )
    elif firmware["disabled"]:
        name = "AMD-V (SVM)" if module == "kvm_amd" else "VT-x" if module == "kvm_intel" else "virtualisation"
        where = (
            "enable it in the BIOS setup of this machine, switch it off and on again"
            if what == "vmx or svm"
            else "boot the kernel at EL2, which the firmware has to allow"
        )
        verdict.because(
            False, "firmware", "{} is locked off in the firmware ({})".format(name, firmware["found"]), where
        )
    elif device["offered"] and not device["present"]:
        _no_device(verdict, inside["container"], flag, what)
    elif flag is False:
        _no_flag(verdict, found, what)
    else:
        _no_driver(verdict, found, module)


def _no_device(verdict: Verdict, container: str, flag: bool | None, what: str) -> None:
    """The kernel offers what no file leads to."""
    remedy = (
        "give it to the container (--device /dev/kvm)"
        if container
        else "make it: mknod /dev/kvm c 10 232, or let udev do it"
    )
    doubt = f"; the processor shows no {what}, so it would be unproven" if flag is False else ""
    place = f" in this container ({container})" if container else ""
    verdict.because(False, "no_device", f"the kernel offers KVM, but there is no /dev/kvm{place}{doubt}", remedy)


def _no_flag(verdict: Verdict, found: Found, what: str) -> None:
    """The processor shows no virtualisation: because it is a virtual one, or by itself."""
    inside, firmware = found["inside"], found["kvm"]["firmware"]
    if inside["hypervisor"]:
        verdict.because(
            False,
            "nested_off",
            "this is a virtual machine ({}) whose processor shows no {}: nested virtualisation is off in the "
            "hypervisor above".format(inside["hypervisor"], what),
            "switch nested virtualisation on there, and let this machine see the processor (KVM: the module's "
            "parameter nested=1 and -cpu host)",
        )
    else:
        verdict.because(
            False,
            "no_cpu_flag",
            f"the processor shows no {what}: it cannot virtualise, or the firmware has it switched off (kernels then "
            "hide the flag)",
            "look for VT-x, SVM or virtualisation in the BIOS setup of this machine; firmware: {}".format(
                firmware["found"]
            ),
        )


def _no_driver(verdict: Verdict, found: Found, module: str) -> None:
    """Nothing is wrong with the processor."""
    device, modules = found["kvm"]["device"], found["kvm"]["modules"]
    name = module or "kvm"
    state = modules[name]["state"]
    if device["present"]:
        verdict.because(
            False,
            "device_fails",
            "/dev/kvm is no KVM device that works (%s)" % (device["error"] or _device_text(device)),
            "look into the kernel log for kvm",
        )
    elif state == "loadable":
        verdict.because(
            None,
            "module_not_loaded",
            f"the module {name} is not loaded; whether the processor's virtualisation is on shows when it is",
            f"modprobe {name}",
        )
    elif state == "absent":
        verdict.because(
            False,
            "no_module",
            f"this kernel has no {name}",
            f"use a kernel with CONFIG_{name.upper()}, such as the distribution's ordinary one",
        )
    elif state in ("loaded", "builtin"):
        verdict.because(
            False,
            "driver_refused",
            "{} is {} and yet there is no /dev/kvm, so it found nothing to drive (firmware: {})".format(
                name, state, found["kvm"]["firmware"]["found"]
            ),
            "look into the kernel log for kvm; on x86 see whether the BIOS setup has virtualisation switched off",
        )
    else:
        container = found["inside"]["container"]
        verdict.because(
            False if container else None,
            "no_device",
            "there is no /dev/kvm%s, and neither the kernel's configuration nor its modules are to be seen"
            % (" in this container" if container else ""),
            "give it to the container (--device /dev/kvm)" if container else f"modprobe {name}",
        )


def xen(found: Found) -> dict[str, Any]:
    verdict = Verdict()
    role, inside, engine = found["xen"]["role"], found["inside"], found["engines"]["xen"]
    right = found["architecture"] in ("x86_64", "aarch64")
    verdict.check("architecture", right, found["architecture"])
    verdict.check("role", role == "dom0", role or "this kernel does not run under Xen")
    if role == "domU":
        verdict.because(
            False, "domu", "this is a guest of Xen, which cannot have guests of its own", "use its host, the dom0"
        )
    elif inside["container"]:
        verdict.because(
            False,
            "container",
            "a container ({}) cannot boot a hypervisor".format(inside["container"]),
            "use the machine that the container runs on",
        )
    elif not right:
        verdict.because(
            False,
            "architecture",
            "Xen does not run on {}".format(found["architecture"]),
            "use an x86_64 or aarch64 machine",
        )
    hvm = "hvm" in engine.get("capabilities", ()) if engine["answers"] else None
    verdict.check(
        "HVM guests",
        hvm,
        {
            True: "the hypervisor can run them",
            False: "only PV guests: the hypervisor found no VT-x or SVM",
            None: "not known",
        }[hvm],
    )
    if role != "dom0" and verdict.code == "ok":
        verdict.usable, verdict.code = False, "not_booted"
        verdict.reason = "this kernel does not run under Xen"
        verdict.remedy = "install the hypervisor (Debian: xen-system-amd64) and boot into it"
    verdict.engine("xen", engine, "")
    return {**verdict.as_dict("this is a dom0 whose hypervisor answers"), "hvm": hvm}


def virtualbox(found: Found) -> dict[str, Any]:
    verdict = Verdict()
    driver = found["virtualbox"]
    right = found["architecture"] == "x86_64"
    verdict.check("architecture", right, found["architecture"])
    if not right:
        verdict.because(
            False,
            "architecture",
            "VirtualBox does not run on Linux on {}".format(found["architecture"]),
            "use an x86_64 machine",
        )
    elif found["xen"]["role"]:
        verdict.because(
            False,
            "xen_" + found["xen"]["role"].lower(),
            "this is a Xen {}, so the hypervisor has the processor's virtualisation".format(found["xen"]["role"]),
            "boot the kernel without Xen",
        )
    _vtx(verdict, found)
    present = driver["device"]["present"]
    verdict.check(
        "driver",
        present,
        "/dev/vboxdrv is there" if present else "no /dev/vboxdrv; the module is {}".format(driver["module"]["state"]),
    )
    if found["kvm"]["at_load"]:
        verdict.check(
            "KVM beside it",
            None,
            "KVM takes the processor's virtualisation when it is loaded (kvm.enable_virt_at_load), which VirtualBox "
            "may not like",
        )
    engine = found["engines"]["virtualbox"]
    if verdict.code == "ok" and engine["installed"] and not present:
        verdict.usable, verdict.code = False, "no_driver"
        verdict.reason = "there is no /dev/vboxdrv, so the kernel's driver is not loaded"
        verdict.remedy = (
            "modprobe vboxdrv"
            if driver["module"]["state"] == "loadable"
            else "install virtualbox-dkms and the headers of the kernel that runs; then modprobe vboxdrv"
        )
    verdict.engine("virtualbox", engine, "")
    return verdict.as_dict("the driver is loaded and VBoxManage answers")


def _vtx(verdict: Verdict, found: Found) -> None:
    """VT-x or SVM, without which VirtualBox runs no machine."""
    cpu, inside = found["cpu"], found["inside"]
    firmware = found["kvm"]["firmware"]
    verdict.check(
        "processor",
        bool(cpu["extension"]),
        "the flag {}".format(cpu["extension"]) if cpu["extension"] else "no vmx or svm",
    )
    if firmware["disabled"]:
        verdict.because(
            False,
            "firmware",
            "virtualisation is locked off in the firmware ({})".format(firmware["found"]),
            "enable it in the BIOS setup of this machine",
        )
    elif not cpu["extension"]:
        where = (
            "switch nested virtualisation on in the hypervisor above"
            if inside["hypervisor"]
            else "look for VT-x or SVM in the BIOS setup of this machine"
        )
        verdict.because(
            False,
            "nested_off" if inside["hypervisor"] else "no_cpu_flag",
            "the processor shows neither vmx nor svm, without which VirtualBox runs nothing",
            where,
        )
