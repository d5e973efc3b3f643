# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each host on paper gets the verdicts it deserves, and each finding behind them is the right one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.host.info import NAMES as BACKENDS
from ansible_collections.kraal.virt.plugins.module_utils.host.info import gather

from .recorded import NAMES, Recorded, load


@pytest.fixture
def look(tmp_path: Path) -> Any:
    def at(name: str, **other: Any) -> dict[str, Any]:
        return gather(Recorded({**load(name), **other}, tmp_path / name))

    return at


#: capable, usable, code, and the type that guests are best given.
KVM = {
    "amd": (True, True, "ok", "kvm"),
    "arm": (True, True, "ok", "kvm"),
    "arm_guest": (False, False, "firmware", "qemu"),
    "container": (False, False, "no_device", "qemu"),
    "firmware_amd": (False, False, "firmware", "qemu"),
    "firmware_intel": (False, False, "firmware", "qemu"),
    "firmware_unknown": (False, False, "no_cpu_flag", "qemu"),
    "intel": (True, True, "ok", "kvm"),
    "nested": (True, False, "no_answer", "kvm"),
    "nested_off": (False, False, "nested_off", "qemu"),
    "not_loaded": (None, None, "module_not_loaded", "qemu"),
    "pvm": (None, None, "unproven", "qemu"),
    "user": (None, None, "permission", "qemu"),
    "xen_dom0": (False, False, "xen_dom0", "qemu"),
    "xen_domu": (False, False, "xen_domu", "qemu"),
}

#: (code of docker, lxc, lxd, xen, virtualbox)
OTHERS = {
    "amd": ("not_installed", "not_installed", "ok", "not_booted", "not_installed"),
    "arm": ("not_installed", "not_installed", "not_installed", "not_booted", "architecture"),
    "arm_guest": ("not_installed", "not_installed", "not_installed", "not_booted", "architecture"),
    "container": ("not_installed", "not_installed", "not_installed", "container", "nested_off"),
    "firmware_amd": ("not_installed", "not_installed", "not_installed", "not_booted", "firmware"),
    "firmware_intel": ("not_installed", "not_installed", "not_installed", "not_booted", "firmware"),
    "firmware_unknown": ("permission", "not_installed", "not_installed", "not_booted", "no_cpu_flag"),
    "intel": ("ok", "ok", "not_installed", "not_booted", "ok"),
    "nested": ("not_installed", "not_installed", "not_installed", "not_booted", "not_installed"),
    "nested_off": ("not_installed", "not_installed", "not_installed", "not_booted", "nested_off"),
    "not_loaded": ("ok", "ok", "not_installed", "not_booted", "ok"),
    "pvm": ("ok", "ok", "not_installed", "not_booted", "nested_off"),
    "user": ("permission", "ok", "not_installed", "not_booted", "ok"),
    "xen_dom0": ("not_installed", "not_installed", "not_installed", "ok", "xen_dom0"),
    "xen_domu": ("not_installed", "not_installed", "not_installed", "domu", "xen_domu"),
}


def test_no_host_is_forgotten() -> None:
    assert sorted(KVM) == sorted(OTHERS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_kvm(look: Any, name: str) -> None:
    verdict = look(name)["backends"]["kvm"]
    assert (verdict["capable"], verdict["usable"], verdict["code"], verdict["domain_type"]) == KVM[name], verdict


@pytest.mark.parametrize("name", NAMES)
def test_the_other_backends(look: Any, name: str) -> None:
    verdicts = look(name)["backends"]
    assert tuple(verdicts[backend]["code"] for backend in ("docker", "lxc", "lxd", "xen", "virtualbox")) == OTHERS[name]


@pytest.mark.parametrize("name", NAMES)
def test_a_verdict_that_is_not_good_has_a_reason_and_a_remedy(look: Any, name: str) -> None:
    for backend, verdict in look(name)["backends"].items():
        assert verdict["reason"], backend
        assert bool(verdict["remedy"]) is (verdict["usable"] is not True), (backend, verdict)
        assert (verdict["code"] == "ok") is (verdict["usable"] is True), (backend, verdict)
        assert verdict["checks"] and all(check["found"] for check in verdict["checks"]), (backend, verdict)
        assert verdict["capable"] is not False or verdict["usable"] is False


@pytest.mark.parametrize(
    ("name", "reason", "remedy"),
    [
        (
            "firmware_intel",
            "VT-x is locked off in the firmware (IA32_FEATURE_CONTROL is 0x1: locked with VT-x off)",
            "BIOS setup",
        ),
        (
            "firmware_amd",
            "AMD-V (SVM) is locked off in the firmware (SVM disabled (by BIOS) in MSR_VM_CR)",
            "BIOS setup",
        ),
        ("firmware_unknown", "no vmx or svm", "the kernel log may not be read"),
        ("arm_guest", "kvm [1]: HYP mode not available", "EL2"),
        ("nested_off", "this is a virtual machine (vmware)", "nested virtualisation on there"),
        ("xen_dom0", "this is a Xen dom0", "boot the kernel without Xen"),
        ("xen_domu", "this is a Xen domU", "allow nesting"),
        ("not_loaded", "kvm_intel is not loaded", "modprobe kvm_intel"),
        ("user", "user id 1000 may not open /dev/kvm", "become: true"),
        ("container", "no /dev/kvm in this container (docker)", "--device /dev/kvm"),
        ("pvm", "an unchanged kernel may hang", "trial boot of a real kernel"),
        ("nested", "Connection refused", "kraal.virt.kvm_host"),
    ],
)
def test_words_of_kvm(look: Any, name: str, reason: str, remedy: str) -> None:
    verdict = look(name)["backends"]["kvm"]
    assert reason in verdict["reason"]
    assert remedy in verdict["remedy"]


def test_the_trap_says_what_each_test_found(look: Any) -> None:
    """A device that opens, answers and creates a virtual machine, under a processor that cannot: every test is told,
    and none decides alone.
    """
    verdict = look("pvm")["backends"]["kvm"]
    checks = {check["check"]: check["ok"] for check in verdict["checks"]}
    assert (checks["processor"], checks["device"], checks["api"], checks["virtual machine"], checks["firmware"]) == (
        False,
        True,
        True,
        True,
        None,
    )
    assert verdict["usable"] is None


@pytest.mark.parametrize(
    ("name", "hypervisor", "container"),
    [
        ("intel", "", ""),
        ("amd", "", ""),
        ("arm", "", ""),
        ("arm_guest", "kvm", ""),
        ("xen_dom0", "xen", ""),
        ("xen_domu", "xen", ""),
        ("nested", "qemu", ""),
        ("nested_off", "vmware", ""),
        ("pvm", "kvm", ""),
        ("container", "kvm", "docker"),
    ],
)
def test_what_it_runs_in(look: Any, name: str, hypervisor: str, container: str) -> None:
    inside = look(name)["inside"]
    assert (inside["hypervisor"], inside["container"]) == (hypervisor, container)
    assert bool(inside["hypervisor_evidence"]) is bool(hypervisor)


@pytest.mark.parametrize(
    ("name", "interface", "kind", "manager"),
    [
        ("intel", "br0", "bridge", "ifupdown"),
        ("amd", "enp65s0f0", "physical", "netplan"),
        ("arm", "enp1s0f0np0", "physical", "NetworkManager"),
        ("nested", "enp1s0", "physical", "systemd-networkd"),
        ("pvm", "eth0", "physical", "unknown"),
    ],
)
def test_the_uplink(look: Any, name: str, interface: str, kind: str, manager: str) -> None:
    uplink = look(name)["network"]["uplink"]
    assert (uplink["interface"], uplink["kind"], uplink["manager"]) == (interface, kind, manager)
    assert uplink["addresses"][0]["family"] == "ipv4" and uplink["gateways"]


def test_a_host_without_a_default_route_has_no_uplink(look: Any) -> None:
    assert look("firmware_intel")["network"] == {"bridges": [], "uplink": None, "default_routes": []}


def test_findings_of_the_intel_server(look: Any) -> None:
    found = look("intel")
    assert found["cpu"]["count"] == 32 and found["cpu"]["extension"] == "vmx" and found["cpu"]["nested_paging"] == "ept"
    assert found["kvm"]["nested"] is True
    assert found["kvm"]["firmware"] == {"disabled": False, "source": "kvm", "found": "a virtual machine was created"}
    assert found["kvm"]["modules"]["kvm_intel"] == {"state": "loaded", "config": "m"}
    assert found["kvm"]["modules"]["kvm_amd"] == {"state": "loadable", "config": "m"}
    assert found["iommu"] == {"active": True, "groups": 4, "units": ["dmar0", "dmar1"]}
    assert found["cgroups"]["version"] == "2" and "memory" in found["cgroups"]["controllers"]
    assert found["subordinate_ids"]["users"] == [{"owner": "admin", "first": 100000, "count": 65536}]
    assert found["disks"] == [{"path": "/", "total": 500000000000, "free": 300000000000}]
    assert found["memory"]["total"] == 131900000 * 1024
    (bridge,) = found["network"]["bridges"]
    assert (bridge["name"], bridge["ports"], bridge["addresses"][0]["address"], bridge["stp"]) == (
        "br0",
        ["eno1"],
        "192.0.2.10",
        False,
    )
    assert found["engines"]["virtualbox"]["version"] == "7.0.20r163906"
    assert found["backends"]["lxc"]["unprivileged"]["usable"] is True


def test_apparmor_may_stand_in_the_way_of_unprivileged_containers(look: Any) -> None:
    found = look("amd")
    assert found["backends"]["lxc"]["unprivileged"]["usable"] is None
    assert "AppArmor" in found["backends"]["lxc"]["unprivileged"]["reason"]
    assert found["backends"]["lxd"]["engine"] == "lxd" and found["engines"]["lxd"]["version"] == "5.21.2"


def test_in_a_container_with_a_read_only_sysfs_no_container_is_unprivileged(look: Any) -> None:
    host = load("intel")
    host["files"]["/proc/self/mounts"] = [
        line.replace(" sysfs rw", " sysfs ro") for line in host["files"]["/proc/self/mounts"]
    ]
    found = look("intel", files=host["files"])["backends"]
    for backend in ("lxc", "lxd"):
        verdict = found[backend]["unprivileged"]
        assert (
            verdict["usable"] is False
            and "sysfs is mounted read-only" in verdict["reason"]
            and "privileged containers" in verdict["remedy"]
        )


def test_dom0_knows_what_its_hypervisor_can(look: Any) -> None:
    found = look("xen_dom0")
    assert found["xen"] == {"role": "dom0", "version": "4.17.5", "guest_type": "PV"}
    assert found["backends"]["xen"]["hvm"] is True


def test_dom0_without_xenfs(look: Any, tmp_path: Path) -> None:
    host = load("xen_dom0")
    del host["files"]["/proc/xen/capabilities"]
    assert look("xen_dom0", files=host["files"])["xen"]["role"] == "dom0"
    guest = load("xen_domu")
    del guest["files"]["/proc/xen/capabilities"]
    assert look("xen_domu", files=guest["files"])["xen"]["role"] == "domU"


def test_a_register_that_is_not_locked_is_no_objection(look: Any) -> None:
    verdict = look("firmware_intel", msr={"0x3a": [0, ""]})["backends"]["kvm"]
    assert verdict["code"] == "no_cpu_flag"


def test_amd_by_its_register(look: Any) -> None:
    found = look("firmware_amd", msr={"0xc0010114": [0x18, ""]})
    assert found["kvm"]["firmware"] == {"disabled": True, "source": "msr", "found": "VM_CR is 0x18: SVM is disabled"}


def test_other_things_that_the_bios_disabled(look: Any) -> None:
    """SGX is often off, and that says nothing about VT-x."""
    log = {"dmesg": {"rc": 0, "out": ["[    0.2] x86/cpu: SGX disabled by BIOS."], "err": []}}
    found = look("firmware_unknown", user=0, commands={**load("firmware_unknown")["commands"], **log})
    assert found["kvm"]["firmware"]["disabled"] is None
    assert "does not mention it" in found["kvm"]["firmware"]["found"]


def test_a_device_that_cannot_create_a_virtual_machine(look: Any) -> None:
    found = look("intel", kvm={"api_version": 12, "creates_vm": False, "error": "Device or resource busy"})
    verdict = found["backends"]["kvm"]
    assert (verdict["capable"], verdict["code"]) == (False, "device_fails")
    assert "Device or resource busy" in verdict["reason"]


def test_a_file_in_the_place_of_the_device(look: Any) -> None:
    device = {"kind": "other", "major": 0, "minor": 0, "opens": False, "error": ""}
    verdict = look("intel", devices={"/dev/kvm": device}, kvm=None)["backends"]["kvm"]
    assert (verdict["capable"], verdict["code"]) == (False, "device_fails")
    assert "not a character device" in verdict["reason"]


def test_a_kernel_without_kvm(look: Any) -> None:
    host = load("not_loaded")
    release = host["files"]["/proc/sys/kernel/osrelease"][0]
    files = {
        **host["files"],
        f"/lib/modules/{release}/modules.dep": ["kernel/net/bridge/bridge.ko:"],
        f"/boot/config-{release}": ["# CONFIG_KVM is not set"],
    }
    verdict = look("not_loaded", files=files)["backends"]["kvm"]
    assert (verdict["capable"], verdict["code"]) == (False, "no_module")


def test_no_control_groups(look: Any) -> None:
    host = load("intel")
    found = look("intel", files={**host["files"], "/proc/self/mounts": ["proc /proc proc rw 0 0"]})
    for backend in ("docker", "lxc", "lxd"):
        assert (found["backends"][backend]["capable"], found["backends"][backend]["code"]) == (False, "no_cgroups")


@pytest.mark.parametrize(
    ("empty", "reason"),
    [
        (("/etc/subuid",), "/etc/subuid names nobody"),
        (("/etc/subuid", "/etc/subgid"), "/etc/subuid and /etc/subgid name nobody"),
    ],
)
def test_nobody_has_subordinate_ids(look: Any, empty: tuple[str, ...], reason: str) -> None:
    files = {**load("intel")["files"], **{path: [""] for path in empty}}
    verdict = look("intel", files=files)["backends"]["lxc"]["unprivileged"]
    assert (verdict["usable"], verdict["reason"]) == (False, reason)


#: What LXC 7 says of itself.
LXC_7 = {"lxc-start --version": {"rc": 0, "out": ["7.0.0"], "err": []}}
MOUNTS = {
    "1": ["cgroup /sys/fs/cgroup/devices cgroup rw,devices 0 0", "cgroup /sys/fs/cgroup/freezer cgroup rw,freezer 0 0"],
}
MOUNTS["hybrid"] = [*MOUNTS["1"], "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0"]


@pytest.mark.parametrize("version", ["1", "hybrid"])
@pytest.mark.parametrize("lxc", ["5.0.2", "7.0.0"])
def test_lxc_7_takes_control_groups_of_version_2_alone(look: Any, version: str, lxc: str) -> None:
    host = load("intel")
    commands = {**host["commands"], "lxc-start --version": {"rc": 0, "out": [lxc], "err": []}}
    verdict = look("intel", files={**host["files"], "/proc/self/mounts": MOUNTS[version]}, commands=commands)[
        "backends"
    ]["lxc"]
    if lxc == "5.0.2":
        assert verdict["code"] == "ok"
        return
    assert (verdict["capable"], verdict["usable"], verdict["code"]) == (False, False, "cgroup_version")
    assert (
        verdict["reason"] == f"LXC {lxc} needs control groups of version 2 alone, and this host has version {version}"
    )
    assert "systemd.unified_cgroup_hierarchy=1" in verdict["remedy"]


def test_lxc_7_on_version_2_is_good(look: Any) -> None:
    assert look("intel", commands={**load("intel")["commands"], **LXC_7})["backends"]["lxc"]["code"] == "ok"


@pytest.mark.parametrize("parser", ["", "/usr/sbin/apparmor_parser"])
def test_lxc_needs_the_parser_of_profiles_where_apparmor_is_on(look: Any, parser: str) -> None:
    """A kernel of Debian's has it on; the package is only recommended by that of LXC."""
    host = load("intel")
    files = {**host["files"], "/sys/module/apparmor/parameters/enabled": ["Y"]}
    verdict = look("intel", files=files, programs={**host["programs"], "apparmor_parser": parser})["backends"]["lxc"]
    assert (verdict["capable"], verdict["usable"]) == (True, bool(parser))
    assert verdict["code"] == ("ok" if parser else "no_apparmor_parser")
    assert ("apparmor" in verdict["remedy"]) is not bool(parser)


def test_virtualbox_without_its_driver(look: Any) -> None:
    devices = load("intel")["devices"]
    del devices["/dev/vboxdrv"]
    verdict = look("intel", devices=devices)["backends"]["virtualbox"]
    assert (verdict["capable"], verdict["usable"], verdict["code"]) == (True, False, "no_driver")


@pytest.mark.parametrize("backend", BACKENDS)
def test_only_what_was_asked_for(tmp_path: Path, backend: str) -> None:
    """Engines of other backends are not even asked."""
    host = Recorded({**load("intel")}, tmp_path)
    found = gather(host, [backend])
    assert list(found["backends"]) == [backend]
    assert set(found["engines"]) <= {"docker", "lxc", "lxd", "incus", "libvirt", "qemu", "xen", "virtualbox"}
    assert len(found["engines"]) == {"kvm": 2, "lxd": 2}.get(backend, 1)
