# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the options of community.libvirt are here: all that are not the same in both. Pure."""

from __future__ import annotations

from ...engine.peers import Other, Peer

VERSION = "2.0.0"

_LOOKS = "what only looks is in what every task returns"
_XML = "Write the element, below <domain>"

VM = (
    Peer(
        "community.libvirt.virt",
        VERSION,
        (
            Other("guest", "name"),
            Other(
                "command",
                "state",
                f"Write running for create and start, paused for pause, absent for undefine; {_LOOKS}",
            ),
            Other(
                "flags",
                "remove_storage",
                "What libvirt itself keeps for a guest goes with it; its disks go where this is true",
            ),
            Other("force", "disruption", "It says how far a change may go"),
            Other("mutate_flags", "", "What a task does not name stays, its UUID and MAC addresses among it"),
            Other("xml", "xml", "Write what has no option; it is laid over what is there, and needs not be whole"),
        ),
        (
            Other("destroyed", "state=stopped force_stop=true stop_timeout=0"),
            Other("shutdown", "state=stopped"),
        ),
    ),
    Peer(
        "community.libvirt.virt_install",
        VERSION,
        (
            Other("virt_type", "type"),
            Other("vcpus", "cpus"),
            Other("vcpus_opts", "cpus_max cpu xml", "Its topology stands in cpu, what else it says in xml"),
            Other("memory", "memory", "Write a unit, like 2048MiB"),
            Other("memory_opts", "memory memory_max"),
            Other(
                "cpu",
                "cpu cpu_features numa_cells xml",
                "The mode, the model and the topology stand in cpu, what else it says in xml",
            ),
            Other("cputune", "cpu_pinning xml", "Its pins stand in cpu_pinning, what else it says in xml"),
            Other("memorybacking", "memory_backing"),
            Other("metadata", "title description osinfo uuid xml", "What else it says stands in xml"),
            Other("osinfo", "osinfo", "Write libosinfo's id, like http://debian.org/debian/12"),
            Other("clock", "clock timers", "Its timers stand in timers"),
            Other("features", "features", "The fields are flat, like kvm_hidden and hyperv_relaxed"),
            Other("events", "on_poweroff on_reboot on_crash"),
            Other("sysinfo", "smbios", "The fields are flat, like system_serial"),
            Other("iothreads_opts", "iothreads xml"),
            Other("disks", "disks", "A size has a unit, vol is pool and volume, and backing_store is backing"),
            Other("networks", "networks", "Each has one of network, bridge, macvtap or type: user"),
            Other("filesystems", "filesystems", "The field accessmode is access_mode, and readonly is read_only"),
            Other("cdrom", "source", "Write it as iso"),
            Other(
                "location location_opts extra_args initrd_inject unattended",
                "kernel initrd cmdline",
                "Boot an installer so, or make the guest from an image, with source",
            ),
            Other("import", "source", "Write the image, or disks whose volumes are there"),
            Other(
                "install",
                "kernel initrd cmdline source",
                "A new guest is made from an image, from a CD, or starts a kernel",
            ),
            Other("pxe boot boot_opts", "disks networks", "Their field boot_order says what is started from"),
            Other("cloud_init", "cloud_init", "The fields are user_data, meta_data and network_config"),
            Other("channel channel_devices", "channels"),
            Other("console_devices serial serial_devices", "console"),
            Other("console", "console", "It is true or false"),
            Other("graphics", "graphics", "It is a list"),
            Other("graphics_devices", "graphics"),
            Other("hostdev", "host_devices"),
            Other("host_devices", "host_devices", "Write pci:0000:03:00.0, or usb:046d:c52b"),
            Other("memballoon_devices", "memballoon"),
            Other("rng", "rng", "The field source is the host's device"),
            Other("rng_devices", "rng"),
            Other("sound", "sound", "It is a list"),
            Other("sound_devices", "sound"),
            Other("audio", "audio", "It is a list"),
            Other("audio_devices", "audio"),
            Other("input input_devices", "inputs"),
            Other("redirdev redirected_devices", "redirected_usb", "Write how many there are"),
            Other("panic_devices", "panic"),
            Other("vsock_devices", "vsock"),
            Other("iommu_devices", "iommu"),
            Other("tpm_devices", "tpm"),
            Other("video_devices", "video"),
            Other("watchdog_devices", "watchdog"),
            Other("hvm paravirt container", "type", "The guests are those of KVM and QEMU"),
            Other("recreate", "disruption", "Write state=absent, and then another state, to make it anew"),
            Other("transient destroy_on_exit", "", "A guest is always defined, and stays until state=absent"),
            Other("noreboot", "state", "Write state=stopped, or state=running and wait_for"),
            Other(
                "arch blkiotune controller controller_devices idmap keywrap launch_security memtune parallel "
                "parallel_devices qemu_commandline resource security shmem shmem_devices smartcard smartcard_devices",
                "xml",
                _XML,
            ),
        ),
    ),
)

_STATES = "Write active for create and start, inactive for stop and destroy, absent for undefine, present for define"
NETWORK = (
    Peer(
        "community.libvirt.virt_net",
        VERSION,
        (
            Other("network", "name"),
            Other("command", "state", f"{_STATES}; the entries that modify changes are options; {_LOOKS}"),
            Other("xml", "forward subnets", "Write its options; what they do not name stays as it is"),
        ),
    ),
)
POOL = (
    Peer(
        "community.libvirt.virt_pool",
        VERSION,
        (
            Other("command", "state", f"{_STATES}; build makes what a new pool stands on; {_LOOKS}"),
            Other("mode", "build", "It never overwrites what is there"),
            Other("pool", "name"),
            Other("xml", "type path", "Write its options; what they do not name stays as it is"),
        ),
        (
            Other("undefined", "state=absent"),
            Other("deleted", "state=absent", "What a pool holds stays; remove its volumes with kvm_volume first"),
        ),
    ),
)
VOLUME = (
    Peer(
        "community.libvirt.virt_volume",
        VERSION,
        (
            Other("clone_source", "clone"),
            Other("cloudinit_config", "", "See cloud_init of kvm_vm"),
            Other("command", "state", f"Write present for create, absent for delete, and wipe with it; {_LOOKS}"),
            Other("volume", "name"),
            Other("xml", "capacity allocation format backing"),
        ),
    ),
)
