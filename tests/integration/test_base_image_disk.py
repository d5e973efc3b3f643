# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk of base_image, built for real and booted under emulation: by its own boot loader, and with the kernel beside
it and a seed.

It is kept under .cache/disk by what makes it: built once as long as that is the same, and shared by all tests here.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm import seed as vm_seed
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm import seed_image as vm_seed_image
from tests.integration.test_examples import DISK, check_return, examples
from tests.lab import keys
from tests.support.ansible_runner import run_adhoc
from tests.support.disk_guest import MAC, DiskGuest
from tests.support.module_process import module_process
from tests.support.paths import CACHE, ROOT, SYSTEM_PYTHON

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="disks are built for amd64 alone")

MAKERS = ROOT / "plugins" / "module_utils" / "images"


@pytest.fixture(scope="module")
def place() -> Path:
    """Where the disk of just these sources is, with the key that opens it."""
    texts = b"".join(path.read_bytes() for path in sorted(MAKERS.glob("*.py")))
    assert texts, "a disk of before would be taken for one of these sources"
    return CACHE / "disk" / hashlib.sha256(texts).hexdigest()[:12]


def built(place: Path, name: str, **options: Any) -> dict[str, Any]:
    """What base_image has returned for a disk that is opened by the key there."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with (place.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        place.mkdir(exist_ok=True)
        os.utime(place)
        for other in place.parent.iterdir():
            # Another checkout may be at work with a younger one.
            if other.is_dir() and other.stat().st_mtime < time.time() - 86400:
                shutil.rmtree(other)
        public = keys.controller_key(place / "id_ed25519").decode().strip()
        given = {"name": name, "directory": str(place), "format": "qcow2", "ssh_authorized_keys": [public], **options}
        result = module_process("kraal.virt.base_image", given, timeout=1500)
    assert not result.failed, result.msg
    check_return("base_image", name, result.json)
    image: dict[str, Any] = result["base_image"]
    return image


@pytest.fixture(scope="module")
def image(place: Path) -> dict[str, Any]:
    """That of the module's own example."""
    (task,) = [task for task in examples("base_image") if task["name"] == DISK]
    return built(
        place, **{key: value for key, value in task["kraal.virt.base_image"].items() if key != "ssh_authorized_keys"}
    )


def reach(guest: DiskGuest, place: Path, directory: Path) -> Path:
    """An inventory with the guest in it, whose host key is told by its agent, once it has started everything."""
    assert guest.run("/bin/systemctl", "is-system-running", "--wait") == "running", guest.run(
        "/bin/systemctl", "--failed", "--no-pager"
    )
    (directory / "known_hosts").write_text(
        f"[127.0.0.1]:{guest.port} {guest.read('/etc/ssh/ssh_host_ed25519_key.pub')}"
    )
    variables = {
        "ansible_host": "127.0.0.1",
        "ansible_port": guest.port,
        "ansible_user": "root",
        "ansible_timeout": 120,
        "ansible_python_interpreter": SYSTEM_PYTHON,
        "ansible_ssh_private_key_file": str(place / "id_ed25519"),
        "ansible_ssh_extra_args": f"-o UserKnownHostsFile={directory / 'known_hosts'} -o StrictHostKeyChecking=yes",
    }
    inventory = directory / "inventory.json"
    inventory.write_text(json.dumps({"all": {"hosts": {"kt": variables}}}))
    return inventory


def told(inventory: Path, command: str) -> str:
    """What a command in the guest prints, as a module runs it over ssh."""
    done = run_adhoc("kt", "ansible.builtin.shell", command, inventory=inventory)
    assert done.rc == 0, done.output
    return str(done.results[0]["stdout"])


def test_it_is_whole(image) -> None:
    """A whole disk on its own, and a kernel."""
    told = json.loads(
        subprocess.run(
            ["qemu-img", "info", "--output=json", image["path"]], capture_output=True, text=True, check=True
        ).stdout
    )
    assert (told["format"], told["virtual-size"]) == ("qcow2", 4 << 30) and "backing-filename" not in told
    kernel, initrd = (Path(image[key]) for key in ("kernel", "initrd"))
    # The magic of a Linux kernel's header for x86: Documentation/arch/x86/boot.rst.
    assert kernel.read_bytes()[0x202:0x206] == b"HdrS" and initrd.stat().st_size > 1 << 20


def test_it_boots_by_its_bios(image, place, tmp_path) -> None:
    """On a greater disk, without a seed: address by DHCP, keys of its own, and the agent."""
    with DiskGuest(image, tmp_path) as guest:
        assert guest.agent("guest-get-osinfo")["id"] == "debian"
        inventory = reach(guest, place, tmp_path)
        words = told(
            inventory, "cat /proc/cmdline; findmnt -no SIZE --bytes /; cat /etc/machine-id; id -un"
        ).splitlines()
    line, size, machine, user = words
    assert line.startswith("BOOT_IMAGE=/vmlinuz ") and image["command_line"] in line, "GRUB has started it"
    assert int(size) > 4.7 * 2**30, "grown to the disk"
    assert (len(machine), user) == (32, "root")


def test_it_boots_by_its_kernel_and_reads_a_seed(image, place, tmp_path) -> None:
    """A seed as kvm_vm makes it: a name, an account with a key, a file, and the one address that ssh is forwarded
    to.
    """
    other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKtktktktktktktktktktktktktktktktktktktktktktktk kt@seed"
    user = {
        "users": ["default", {"name": "ann", "ssh_authorized_keys": [other], "groups": "audio"}],
        "ssh_authorized_keys": [other],
        "write_files": [{"path": "/etc/kt/file", "content": "a text\n", "permissions": "0640", "owner": "root:ann"}],
        "chpasswd": {"expire": False},
    }
    interface = {
        "match": {"macaddress": MAC.upper()},
        "addresses": ["10.0.2.77/24"],
        "gateway4": "10.0.2.2",
        "nameservers": {"search": ["kt.test"]},
    }
    network = {"version": 2, "ethernets": {"any": interface}}
    seed = tmp_path / "seed.iso"
    seed.write_bytes(
        vm_seed_image.build(
            vm_seed.CLOUD_INIT.parse({"user_data": user, "network_config": network}, "cloud_init"), "kt-seeded"
        )
    )
    with DiskGuest(image, tmp_path, by_kernel=True, seed=seed, address="10.0.2.77") as guest:
        inventory = reach(guest, place, tmp_path)
        ask = (
            "cat /proc/cmdline; hostname; id -Gn ann; stat -c '%a %G' /etc/kt/file; grep -c kt@seed "
            "/root/.ssh/authorized_keys ~ann/.ssh/authorized_keys; ip -o -4 addr show scope global | awk '{print "
            "$4}'; cat /var/lib/kraal/instance-id; echo; findmnt -no SIZE --bytes /"
        )
        line, name, groups, mode, *counts, address, instance, size = told(inventory, ask).splitlines()
        assert line == image["command_line"]
        assert (name, groups, mode, address, instance) == (
            "kt-seeded",
            "ann audio",
            "640 ann",
            "10.0.2.77/24",
            "kt-seeded",
        )
        assert [count.rpartition(":")[2] for count in counts] == ["1", "1"]
        assert int(size) > 4.7 * 2**30
        assert "kraal-seed: warning: user-data: chpasswd is not understood and left out" in guest.console


def test_cloud_init_reads_a_seed_on_debian_13(place, tmp_path) -> None:
    """Another release than the host's, with the distribution's own reader: its units succeed, and what kvm_vm writes
    is what it reads.
    """
    user = {
        "users": ["default", {"name": "ann"}],
        "write_files": [{"path": "/etc/kt/file", "content": "a text\n", "permissions": "0640"}],
        # An RSA key takes a processor that is emulated longer than the rest of the boot.
        "ssh_genkeytypes": ["ed25519"],
    }
    interface = {
        "match": {"macaddress": MAC},
        "set-name": "lan0",
        "addresses": ["10.0.2.77/24"],
        "gateway4": "10.0.2.2",
    }
    given = {"user_data": user, "network_config": {"version": 2, "ethernets": {"lan0": interface}}}
    seed = tmp_path / "seed.iso"
    seed.write_bytes(vm_seed_image.build(vm_seed.CLOUD_INIT.parse(given, "cloud_init"), "kt-seeded"))
    image = built(place, "kt-cloud", suite="trixie", seed_reader="cloud-init")
    with DiskGuest(image, tmp_path, by_kernel=True, seed=seed, address="10.0.2.77") as guest:
        inventory = reach(guest, place, tmp_path)
        ask = (
            "cloud-init status; . /etc/os-release; echo $VERSION_CODENAME; hostname; id -un ann; stat -c %a /etc/kt/file; "
            "ls /etc/ssh/*_key; ip -o -4 addr show lan0"
        )
        status, release, name, user_name, mode, key, address = told(inventory, ask).splitlines()
    assert (status, release, name, user_name, mode) == ("status: done", "trixie", "kt-seeded", "ann", "640")
    assert key == "/etc/ssh/ssh_host_ed25519_key"
    assert " 10.0.2.77/24 " in address
