# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From what was found to what it means: a verdict for each backend. Pure.

``capable``: whether this host can carry the backend's guests, were the engine installed; ``usable``: whether they can run now. Each is True, False, or None
where nothing tells. ``code`` is the reason in one word, for programs; ``reason`` and ``remedy`` are for people; ``checks`` is what each test found.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .processor import X86

Found = Mapping[str, Any]


@dataclass
class Verdict:
    """A verdict in the making; the first objection to the host is its reason."""

    checks: list[dict[str, Any]] = field(default_factory=list)
    capable: bool | None = True
    usable: bool | None = True
    code: str = "ok"
    reason: str = ""
    remedy: str = ""

    def check(self, name: str, ok: bool | None, found: str) -> bool | None:
        self.checks.append({"check": name, "ok": ok, "found": found})
        return ok

    def because(self, capable: bool | None, code: str, reason: str, remedy: str) -> None:
        """The host cannot, or it is not known whether it can. The first reason stays, unless a later one is certain and it was not."""
        if self.code == "ok" or (self.capable is None and capable is False):
            self.capable, self.usable = capable, capable
            self.code, self.reason, self.remedy = code, reason, remedy

    def engine(self, name: str, found: Found, role: str) -> None:
        """The engine's part, once the host itself is good enough."""
        self.check("engine " + name, found["answers"] if found["installed"] else False, _engine_text(name, found))
        if self.code != "ok":
            return
        if not found["installed"]:
            self._not_now(False, "not_installed", "%s is not installed" % name, "install it; %s does" % role if role else "install it")
        elif found["answers"] is None:
            self._not_now(None, "permission", "%s may not be asked: %s" % (name, found["error"]), "ask as root (become: true)")
        elif not found["answers"]:
            self._not_now(
                False, "no_answer", "%s is installed but does not answer: %s" % (name, found["error"]), "start it; %s does" % role if role else "start it"
            )

    def _not_now(self, usable: bool | None, code: str, reason: str, remedy: str) -> None:
        self.usable, self.code, self.reason, self.remedy = usable, code, reason, remedy

    def as_dict(self, good: str) -> dict[str, Any]:
        return {
            "capable": self.capable,
            "usable": self.usable,
            "code": self.code,
            "reason": self.reason or good,
            "remedy": self.remedy,
            "checks": self.checks,
        }


def _engine_text(name: str, found: Found) -> str:
    if not found["installed"]:
        return "not installed"
    version = "%s %s" % (name, found["version"]) if found["version"] else name
    if found["answers"]:
        return "%s answers" % version
    return "%s %s" % (version, "may not be asked: %s" % found["error"] if found["answers"] is None else "does not answer: %s" % found["error"])


def kvm(found: Found) -> dict[str, Any]:
    """Also ``domain_type``: kvm where that is proven, else qemu, which is slow and works everywhere."""
    verdict = Verdict()
    cpu, seen = found["cpu"], found["kvm"]
    device = seen["device"]
    x86 = found["architecture"] in X86
    module = cpu_module(found)
    flag: bool | None = None if cpu["extension"] is None else bool(cpu["extension"])
    what = "vmx or svm" if x86 else "sie"
    text = "this architecture shows no flag for it" if flag is None else "the flag %s" % cpu["extension"] if flag else "no %s" % what
    verdict.check("processor", flag, text)
    verdict.check("device", device["opens"] if device["present"] else False, _device_text(device))
    verdict.check("api", None if device["api_version"] is None else device["api_version"] == 12, "version %s" % (device["api_version"] or "not asked"))
    verdict.check(
        "virtual machine",
        device["creates_vm"],
        {True: "one was created", False: "none could be created: %s" % device["error"], None: "not tried"}[device["creates_vm"]],
    )
    if module:
        state = seen["modules"][module]["state"]
        verdict.check("module", {"loaded": True, "builtin": True, "absent": False}.get(state), "%s is %s" % (module, state))
    firmware = seen["firmware"]
    verdict.check("firmware", None if firmware["disabled"] is None else not firmware["disabled"], firmware["found"])
    verdict.check("nested", seen["nested"], {True: "guests may run guests", False: "guests may not run guests", None: "not known"}[seen["nested"]])
    if device["creates_vm"] and device["api_version"] == 12:
        if flag is False:
            verdict.because(
                None,
                "unproven",
                "/dev/kvm opens and creates a virtual machine, but the processor shows no %s, so an unchanged kernel may hang in it" % what,
                "run guests with the type qemu (kvm_host_allow_emulation: true), or prove by a trial boot of a real kernel that the type kvm works here",
            )
    else:
        _no_kvm(verdict, found, flag, what, module)
    verdict.engine("libvirt", found["engines"]["libvirt"], "the role kraal.virt.kvm_host")
    verdict.engine("qemu", found["engines"]["qemu"], "the role kraal.virt.kvm_host")
    result = verdict.as_dict("/dev/kvm opens and creates virtual machines, and libvirt answers")
    result["domain_type"] = "kvm" if verdict.capable else "qemu"
    return result


def cpu_module(found: Found) -> str:
    """The module that drives this processor's virtualisation; nothing where it is a part of kvm, or not known."""
    if found["architecture"] not in X86:
        return ""
    extension = found["cpu"]["extension"]
    return {"vmx": "kvm_intel", "svm": "kvm_amd"}.get(extension) or {"GenuineIntel": "kvm_intel", "AuthenticAMD": "kvm_amd"}.get(found["cpu"]["vendor"], "")


def _device_text(device: Found) -> str:
    if not device["present"]:
        return "no /dev/kvm" + (", though the kernel offers it (/sys/class/misc/kvm)" if device["offered"] else "")
    if device["kind"] != "character":
        return "what is at /dev/kvm is no character device"
    node = "/dev/kvm is a %s device %d:%d" % (device["kind"], device["major"], device["minor"])
    return node + (" and opens" if device["opens"] else " and does not open: %s" % device["error"])


def _no_kvm(verdict: Verdict, found: Found, flag: bool | None, what: str, module: str) -> None:
    """Why there is no /dev/kvm that works: what is certain first."""
    device, firmware, inside = found["kvm"]["device"], found["kvm"]["firmware"], found["inside"]
    if found["xen"]["role"]:
        role = found["xen"]["role"]
        verdict.because(
            False,
            "xen_" + role.lower(),
            "this is a Xen %s, so the hypervisor has the processor's virtualisation" % role,
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
        verdict.because(False, "firmware", "%s is locked off in the firmware (%s)" % (name, firmware["found"]), where)
    elif device["offered"] and not device["present"]:
        container = inside["container"]
        remedy = "give it to the container (--device /dev/kvm)" if container else "make it: mknod /dev/kvm c 10 232, or let udev do it"
        doubt = "; the processor shows no %s, so it would be unproven" % what if flag is False else ""
        place = " in this container (%s)" % container if container else ""
        verdict.because(False, "no_device", "the kernel offers KVM, but there is no /dev/kvm%s%s" % (place, doubt), remedy)
    elif flag is False and inside["hypervisor"]:
        verdict.because(
            False,
            "nested_off",
            "this is a virtual machine (%s) whose processor shows no %s: nested virtualisation is off in the hypervisor above" % (inside["hypervisor"], what),
            "switch nested virtualisation on there, and let this machine see the processor (KVM: the module's parameter nested=1 and -cpu host)",
        )
    elif flag is False:
        verdict.because(
            False,
            "no_cpu_flag",
            "the processor shows no %s: it cannot virtualise, or the firmware has it switched off (kernels then hide the flag)" % what,
            "look for VT-x, SVM or virtualisation in the BIOS setup of this machine; firmware: %s" % firmware["found"],
        )
    else:
        _no_driver(verdict, found, module)


def _no_driver(verdict: Verdict, found: Found, module: str) -> None:
    """Nothing is wrong with the processor."""
    device, modules = found["kvm"]["device"], found["kvm"]["modules"]
    name = module or "kvm"
    state = modules[name]["state"]
    if device["present"]:
        verdict.because(
            False, "device_fails", "/dev/kvm is no KVM device that works (%s)" % (device["error"] or _device_text(device)), "look into the kernel log for kvm"
        )
    elif state == "loadable":
        verdict.because(
            None, "module_not_loaded", "the module %s is not loaded; whether the processor's virtualisation is on shows when it is" % name, "modprobe %s" % name
        )
    elif state == "absent":
        verdict.because(
            False, "no_module", "this kernel has no %s" % name, "use a kernel with CONFIG_%s, such as the distribution's ordinary one" % name.upper()
        )
    elif state in ("loaded", "builtin"):
        verdict.because(
            False,
            "driver_refused",
            "%s is %s and yet there is no /dev/kvm, so it found nothing to drive (firmware: %s)" % (name, state, found["kvm"]["firmware"]["found"]),
            "look into the kernel log for kvm; on x86 see whether the BIOS setup has virtualisation switched off",
        )
    else:
        container = found["inside"]["container"]
        verdict.because(
            False if container else None,
            "no_device",
            "there is no /dev/kvm%s, and neither the kernel's configuration nor its modules are to be seen" % (" in this container" if container else ""),
            "give it to the container (--device /dev/kvm)" if container else "modprobe %s" % name,
        )


#: Where engines look for version 2 of control groups.
CGROUPS = "/sys/fs/cgroup"
_MOUNT = (
    "mount them: mount -t cgroup2 cgroup2 /sys/fs/cgroup (version 2), or install the package cgroupfs-mount (version 1);"
    " in a container, start it with --cgroupns=host and -v /sys/fs/cgroup:/sys/fs/cgroup:rw"
)


def _control_groups(verdict: Verdict, found: Found, engine: str, needed: Collection[str]) -> None:
    """``needed``: the controllers of version 1 without which no guest starts; of version 2 they are no controllers."""
    cgroups = found["cgroups"]
    # Beside version 1, version 2 has no controllers worth the name, wherever it is mounted.
    unified = cgroups["version"] == "2" and cgroups["place"] == CGROUPS
    lacking = [] if unified else sorted(set(needed) - set(cgroups["controllers"] if cgroups["version"] != "2" else ()))
    verdict.check("cgroups", not lacking, "version %s: %s" % (cgroups["version"] or "none", ", ".join(cgroups["controllers"]) or "no controllers"))
    if lacking:
        verdict.because(False, "no_cgroups", "no control groups are mounted that %s can use (it lacks %s)" % (engine, ", ".join(lacking)), _MOUNT)
    read_only = [place for place in cgroups["read_only"] if unified or set(place.rpartition("/")[2].split(",")) & set(needed)]
    verdict.check("cgroups writable", not read_only, "read-only: %s" % ", ".join(read_only) if read_only else "yes")
    if read_only:
        verdict.because(
            False, "no_cgroups", "%s is mounted read-only" % read_only[0], "mount them writable: mount -o remount,rw %s; or %s" % (read_only[0], _MOUNT)
        )
    lost = sorted({"cpu", "memory", "pids"} - set(cgroups["controllers"]))
    # A guest starts without them; only its limits cannot be set.
    verdict.check("limits", None if lost else True, "the controllers %s are missing, so such limits cannot be set" % ", ".join(lost) if lost else "can be set")


def _containers(verdict: Verdict, found: Found, engine: str, needed: Collection[str] = ("devices",)) -> None:
    """What every engine of containers needs of the kernel."""
    _control_groups(verdict, found, engine, needed)
    kinds = found["namespaces"]["kinds"]
    lacking = [kind for kind in ("mnt", "pid", "net", "ipc", "uts") if kind not in kinds]
    verdict.check("namespaces", not lacking, "without %s" % ", ".join(lacking) if lacking else ", ".join(kinds))
    if lacking:
        verdict.because(False, "no_namespaces", "the kernel has no namespaces of %s" % ", ".join(lacking), "use the distribution's ordinary kernel")
    for module in ("bridge", "veth"):
        state = found["modules"][module]["state"]
        verdict.check("module " + module, {"absent": False, "unknown": None}.get(state, True), state)
        if state == "absent":
            verdict.because(
                False, "no_module", "this kernel has no %s, which the network of guests needs" % module, "use a kernel with CONFIG_%s" % module.upper()
            )
    for trial in found["trials"]:
        verdict.check(trial["check"], trial["ok"], trial["found"])
        if trial["ok"] is False:
            verdict.because(False, "trial_failed", "%s does not work: %s" % (trial["check"], trial["found"]), trial["remedy"])


def docker(found: Found) -> dict[str, Any]:
    verdict = Verdict()
    _containers(verdict, found, "Docker")
    state = found["modules"]["overlay"]["state"]
    verdict.check("module overlay", {"absent": None, "unknown": None}.get(state, True), state)
    verdict.engine("docker", found["engines"]["docker"], "the role kraal.virt.docker_host")
    return verdict.as_dict("the engine answers")


def unprivileged(found: Found) -> dict[str, Any]:
    """Whether containers may run with ids of their own, so that their root is nobody on the host."""
    allowed = found["namespaces"]["unprivileged_users"]
    ids = found["subordinate_ids"]
    lacking = [path for kind, path in (("users", "/etc/subuid"), ("groups", "/etc/subgid")) if not ids[kind]]
    if "user" not in found["namespaces"]["kinds"] or allowed is False:
        return {
            "usable": False,
            "reason": "ordinary users may make no namespaces of users",
            "remedy": "set the sysctl user.max_user_namespaces (and Debian's kernel.unprivileged_userns_clone) to more than 0",
        }
    if found["namespaces"]["sysfs"] is False:
        return {
            "usable": False,
            "reason": "sysfs is mounted read-only here, as it is in a container, and the kernel lets no namespace of users mount it anew",
            "remedy": "use privileged containers, or have this host's own container started with a writable /sys",
        }
    if lacking:
        return {
            "usable": False,
            "reason": "%s names nobody" % " and ".join(lacking),
            "remedy": "give the user that owns the containers a range: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER",
        }
    if allowed is None:
        return {
            "usable": None,
            "reason": "AppArmor restricts namespaces of ordinary users (kernel.apparmor_restrict_unprivileged_userns)",
            "remedy": "give the engine an AppArmor profile that allows userns, as the distribution's packages do",
        }
    return {"usable": True, "reason": "namespaces of users are allowed and ids are there for %s" % ", ".join(_owners(ids)), "remedy": ""}


def _owners(ids: Mapping[str, Sequence[Found]]) -> list[str]:
    return list(dict.fromkeys(str(entry["owner"]) for entry in ids["users"]))


def lxc(found: Found) -> dict[str, Any]:
    verdict = Verdict()
    _containers(verdict, found, "LXC", ("devices", "freezer"))
    verdict.engine("lxc", found["engines"]["lxc"], "the role kraal.virt.lxc_host")
    return {**verdict.as_dict("the tools run"), "unprivileged": unprivileged(found)}


def lxd(found: Found) -> dict[str, Any]:
    """LXD or Incus, whichever there is."""
    verdict = Verdict()
    _containers(verdict, found, "LXD")
    name = max(("lxd", "incus"), key=lambda each: (found["engines"][each]["answers"] is True, found["engines"][each]["installed"]))
    verdict.engine(name, found["engines"][name], "")
    return {**verdict.as_dict("%s answers" % name), "engine": name if found["engines"][name]["installed"] else "", "unprivileged": unprivileged(found)}


def xen(found: Found) -> dict[str, Any]:
    verdict = Verdict()
    role, inside, engine = found["xen"]["role"], found["inside"], found["engines"]["xen"]
    right = found["architecture"] in ("x86_64", "aarch64")
    verdict.check("architecture", right, found["architecture"])
    verdict.check("role", role == "dom0", role or "this kernel does not run under Xen")
    if role == "domU":
        verdict.because(False, "domu", "this is a guest of Xen, which cannot have guests of its own", "use its host, the dom0")
    elif inside["container"]:
        verdict.because(False, "container", "a container (%s) cannot boot a hypervisor" % inside["container"], "use the machine that the container runs on")
    elif not right:
        verdict.because(False, "architecture", "Xen does not run on %s" % found["architecture"], "use an x86_64 or aarch64 machine")
    hvm = "hvm" in engine.get("capabilities", ()) if engine["answers"] else None
    verdict.check(
        "HVM guests", hvm, {True: "the hypervisor can run them", False: "only PV guests: the hypervisor found no VT-x or SVM", None: "not known"}[hvm]
    )
    if role != "dom0" and verdict.code == "ok":
        verdict.usable, verdict.code = False, "not_booted"
        verdict.reason = "this kernel does not run under Xen"
        verdict.remedy = "install the hypervisor (Debian: xen-system-amd64) and boot into it"
    verdict.engine("xen", engine, "")
    return {**verdict.as_dict("this is a dom0 whose hypervisor answers"), "hvm": hvm}


def virtualbox(found: Found) -> dict[str, Any]:
    verdict = Verdict()
    cpu, driver, inside = found["cpu"], found["virtualbox"], found["inside"]
    right = found["architecture"] == "x86_64"
    verdict.check("architecture", right, found["architecture"])
    if not right:
        verdict.because(False, "architecture", "VirtualBox does not run on Linux on %s" % found["architecture"], "use an x86_64 machine")
    elif found["xen"]["role"]:
        verdict.because(
            False,
            "xen_" + found["xen"]["role"].lower(),
            "this is a Xen %s, so the hypervisor has the processor's virtualisation" % found["xen"]["role"],
            "boot the kernel without Xen",
        )
    firmware = found["kvm"]["firmware"]
    verdict.check("processor", bool(cpu["extension"]), "the flag %s" % cpu["extension"] if cpu["extension"] else "no vmx or svm")
    if firmware["disabled"]:
        verdict.because(
            False, "firmware", "virtualisation is locked off in the firmware (%s)" % firmware["found"], "enable it in the BIOS setup of this machine"
        )
    elif not cpu["extension"]:
        where = "switch nested virtualisation on in the hypervisor above" if inside["hypervisor"] else "look for VT-x or SVM in the BIOS setup of this machine"
        verdict.because(
            False,
            "nested_off" if inside["hypervisor"] else "no_cpu_flag",
            "the processor shows neither vmx nor svm, without which VirtualBox runs nothing",
            where,
        )
    present = driver["device"]["present"]
    verdict.check("driver", present, "/dev/vboxdrv is there" if present else "no /dev/vboxdrv; the module is %s" % driver["module"]["state"])
    if found["kvm"]["at_load"]:
        verdict.check(
            "KVM beside it", None, "KVM takes the processor's virtualisation when it is loaded (kvm.enable_virt_at_load), which VirtualBox may not like"
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


VERDICTS = {"docker": docker, "lxc": lxc, "lxd": lxd, "kvm": kvm, "xen": xen, "virtualbox": virtualbox}
