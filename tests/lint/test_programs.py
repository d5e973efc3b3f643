# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a thing needs, it installs: every program that the collection starts comes from a package that a role
installs, or is there on every system.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from functools import cache

import pytest
import yaml

from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.setup import resource as docker_setup
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.setup import resource as lxc_setup
from ansible_collections.kraal.virt.plugins.module_utils.host.packages import (
    ELSEWHERE,
    FAMILIES,
    KVM_NEEDS,
    TABLE,
    known,
    package_of,
)
from ansible_collections.kraal.virt.plugins.module_utils.images.disk_contents import packages_of
from ansible_collections.kraal.virt.plugins.module_utils.images.rootfs import TOOLS
from tests.lint import programs
from tests.lint.programs import Unknown
from tests.support.paths import ROOT

#: Run in a guest that base_image has made, from the packages that it has put there.
IN_IMAGES = {
    "plugins/module_utils/images/grow_root.py",
    "plugins/module_utils/images/seed_reader.py",
}

#: In the base system of Debian, by the package, which has to be essential or required there.
BASE = {
    "dmesg": "util-linux",
    "dpkg-query": "dpkg",
    "getent": "libc-bin",
    "gpasswd": "passwd",
    "lscpu": "util-linux",
    "mount": "mount",
    "rm": "coreutils",
    "setpriv": "util-linux",
    "sha256sum": "coreutils",
    "stat": "coreutils",
    "tail": "coreutils",
    "tar": "tar",
    "umount": "mount",
    "unshare": "util-linux",
    "useradd": "passwd",
    "usermod": "passwd",
}

#: Started only where they are there, with the reason for which no role has to install them.
ASKED_FOR = {
    "apt-config": "apt's own, of hosts that have apt",
    "apt-get": "apt's own, of hosts that have apt",
    "dhclient": "of hosts on which it rules the network",
    "journalctl": "of hosts that systemd runs",
    "modprobe": "of kernels with modules; without it the kernel's configuration tells",
    "networkctl": "of hosts on which it rules the network",
    "rpm": "of systems that are made of its packages",
    "sudo": "of those who log in without root's rights; a user with sudo rules in the guest",
    "systemctl": "of hosts that systemd runs",
    "service": "of hosts that init scripts run",
    "systemd-run": "of hosts that systemd runs",
    "update-rc.d": "of hosts that init scripts run",
    "VBoxManage": "host_info asks whether it is there",
    "vboxmanage": "host_info asks whether it is there",
    "xl": "host_info asks whether it is there",
    "/usr/libexec/qemu-kvm": "host_info asks whether it is there",
}

#: Programs by one of the table that has the same package.
WITH = {
    "/bin/busybox": "busybox",
    "/usr/libexec/lxc/lxc-net": "lxc-start",
    "genisoimage": "xorrisofs",
    "ifdown": "brctl",
    "ifquery": "brctl",
    "ifup": "brctl",
    "mkisofs": "xorrisofs",
    "netplan": "python:yaml",
    "qemu-kvm": "qemu-system-x86_64",
    "udhcpc": "busybox",
    "virtlogd": "libvirtd",
    "virtqemud": "libvirtd",
}

#: What the reader cannot tell, and the programs that it stands for; none where it is told elsewhere, as which program
#: it is, or in a list of commands.
EXPLAINED: dict[str, tuple[str, ...]] = {
    "plugins/module_utils/backends/docker/reader.py:connect": ("ssh",),
    "plugins/module_utils/backends/docker/setup/resource.py:prove": (),
    "plugins/module_utils/backends/docker/setup/engine.py:refusal": ("dockerd",),
    "plugins/module_utils/backends/kvm/vm/seed_image.py:build": (),
    "plugins/module_utils/backends/lxc/client.py:run": (),
    "plugins/module_utils/images/rootfs.py:": (),
    "plugins/module_utils/host/bridge/change.py:_start_timers": (),
    "plugins/module_utils/host/bridge/runner.py:all": (),
    "plugins/module_utils/host/bridge/runner.py:missing": ("ip",),
    "plugins/module_utils/host/bridge/runner.py:quietly": ("ip", "systemctl"),
    "plugins/module_utils/host/daemon.py:start": (),
    "plugins/module_utils/host/daemon_keeper.py:launch": ("dockerd",),
    "plugins/module_utils/host/daemon_keeper.py:start": ("libvirtd", "virtlogd"),
    "plugins/module_utils/host/engines.py:_first": (),
    "plugins/module_utils/host/engines.py:look": (),
    "plugins/module_utils/host/installed.py:packages": ("dpkg-query", "rpm"),
    "playbooks/configure.yml:Ask the guest what it says it is": ("sha256sum", "stat"),
    "plugins/plugin_utils/hosts.py:_answer_of": ("ssh", "sudo"),
}


def needs() -> set[str]:
    """What the roles install, by their variables and their modules, and what scripts/bootstrap does on the
    controller.
    """
    found = {
        "ssh",
        "ssh-keygen",
        *docker_setup.DAEMON,
        *docker_setup.NEEDS,
        *lxc_setup.NEEDS,
        *KVM_NEEDS,
        "qemu-system-x86_64",
        "python:libvirt",
    }
    for path in (ROOT / "roles").glob("*/vars/main.yml"):
        for name, value in yaml.safe_load(path.read_text(encoding="utf-8")).items():
            if name.endswith("_needs") or name == "__fleet_builds_with":
                for part in value.values() if isinstance(value, dict) else [value]:
                    found.update(each.replace("{{ ansible_facts['architecture'] }}", "x86_64") for each in part)
    return {name for name in found if "{{" not in name}


@cache
def started() -> dict[str | Unknown, set[str]]:
    found = dict(programs.in_python(ignored=IN_IMAGES))
    for program, files in programs.in_tasks().items():
        found[program] = found.get(program, set()) | files
    return found


def where_from(program: str, installed: set[str]) -> str:
    """Why a program is there, or nothing."""
    thing = (
        "lxc-start"
        if program.startswith("lxc-")
        else "qemu-system-x86_64"
        if program.startswith("qemu-system-")
        else WITH.get(program, program)
    )
    if thing in installed:
        return f"the package of {thing}"
    return BASE.get(program) or ASKED_FOR.get(program) or ""


def test_every_program_that_is_started_is_installed_by_somebody() -> None:
    installed = needs()
    all_of_them = {program for program in started() if isinstance(program, str)} | {
        program for explained in EXPLAINED.values() for program in explained
    }
    assert {
        program: sorted(started().get(program, ())) for program in all_of_them if not where_from(program, installed)
    } == {}


def test_nothing_is_started_that_cannot_be_told() -> None:
    assert sorted(program.where for program in started() if isinstance(program, Unknown)) == sorted(EXPLAINED)


def test_no_exception_is_left_over() -> None:
    """Of a list that only grows nobody knows what still holds."""
    all_of_them = {program for program in started() if isinstance(program, str)} | {
        program for explained in EXPLAINED.values() for program in explained
    }
    in_images = set(programs.in_python(patterns=sorted(IN_IMAGES)))
    assert sorted({*BASE, *ASKED_FOR, *WITH} - all_of_them - in_images) == []


@pytest.mark.parametrize("taken", ["sfdisk", "mke2fs", "qemu-img", "xorrisofs", "mmdebstrap", "ip", "virsh"])
def test_it_would_be_noticed(taken: str) -> None:
    assert where_from(taken, needs())
    assert not where_from(taken, needs() - {taken})


def test_the_base_system_is_debians() -> None:
    """Packages that no Debian is without, and files of theirs."""
    for program, package in BASE.items():
        shown = subprocess.run(
            ["dpkg-query", "--show", "--showformat", "${Essential} ${Priority}", package],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        assert "yes" in shown or "required" in shown, (program, package, shown)
        listed = subprocess.run(
            ["dpkg-query", "--listfiles", package], check=True, capture_output=True, text=True
        ).stdout.split()
        assert any(path.rpartition("/")[2] == program for path in listed), (program, package)


def test_what_runs_in_the_images_is_put_there() -> None:
    request = {"seed_reader": "kraal", "kernel": "linux-image-cloud-amd64"}
    there = {"growpart": "cloud-guest-utils", "resize2fs": "e2fsprogs", "udevadm": "udev"}
    for program in programs.in_python(patterns=sorted(IN_IMAGES)):
        if isinstance(program, str):
            assert program in BASE or program in ASKED_FOR or there[program] in packages_of(request), program


def test_every_need_has_a_line_in_the_table() -> None:
    assert [
        need for need in needs() | {program for tools in TOOLS.values() for program in tools} if not known(need)
    ] == []


def test_what_builds_a_format_is_said_once_in_the_same_words() -> None:
    said = yaml.safe_load((ROOT / "roles/fleet/vars/main.yml").read_text(encoding="utf-8"))["__fleet_builds_with"]
    assert {form: sorted(tools) for form, tools in said.items()} == {
        form: sorted(tools) for form, tools in TOOLS.items()
    }


def table(rows: Mapping[str, tuple[str, str, str]] = TABLE) -> str:
    """The guide's table of packages."""
    lines = [
        ".. list-table::",
        "   :header-rows: 1",
        "",
        "   * - program or library",
        "     - Debian and Ubuntu",
        "     - Fedora and RHEL",
        "     - SUSE",
    ]
    for thing, row in rows.items():
        lines.append(
            f"   * - ``{thing.removeprefix('python:')}``{' for Python' if thing.startswith('python:') else ''}"
        )
        for family, package in zip(FAMILIES, row, strict=True):
            others = [
                f"{name}: ``{where[thing]}``"
                for name, where in ELSEWHERE.items()
                if thing in where and family == "Debian"
            ]
            lines.append("     - " + (", ".join([f"``{package}``", *others]) if package else "none"))
    return "\n".join(lines) + "\n"


def test_the_guide_has_the_table() -> None:
    """Put what table() gives into the guide when this fails. A line that is taken away is missed."""
    guide = (ROOT / "docs/docsite/rst/guide_hosts.rst").read_text(encoding="utf-8")
    assert f"{table()}\n" in guide
    assert [
        thing for thing in TABLE if table({each: row for each, row in TABLE.items() if each != thing}) + "\n" in guide
    ] == []


@pytest.mark.parametrize(
    ("thing", "systems", "package"),
    [
        ("sfdisk", ["Debian 13", "Debian", "Debian"], "fdisk"),
        ("docker", ["Debian 13", "Debian", "Debian"], "docker-cli"),
        ("docker", ["Debian 12", "Debian", "Debian"], "docker.io"),
        ("docker", ["Ubuntu 24", "Ubuntu", "Debian"], "docker.io"),
        ("python:libvirt", ["OpenSUSE 16", "OpenSUSE", "Suse"], "python3-libvirt-python"),
        ("qemu-system-riscv64", ["Debian 12", "Debian", "Debian"], "qemu-system-misc"),
        ("package:tree", ["Debian 12", "Debian", "Debian"], "tree"),
        ("sfdisk", ["Plan9 4", "Plan9", ""], ""),
    ],
)
def test_one_line_of_the_table(thing: str, systems: list[str], package: str) -> None:
    assert package_of(thing, systems) == package
