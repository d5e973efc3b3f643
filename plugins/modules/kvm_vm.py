#!/usr/bin/python
# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kvm_vm
short_description: Manage a virtual machine of libvirt (KVM, QEMU)
version_added: 0.1.0
author:
  - the kraal.virt contributors (@kraal-virt)
description:
  - Defines a virtual machine, changes it, brings it into a power state, or removes it.
  - Only what the task sets is managed. It is merged into the XML that libvirt keeps, so the UUID, the MAC and PCI
    addresses, the version of the machine, and devices and settings that this module knows nothing of stay as they are.
  - Memory below its maximum, processors up to their maximum, disks, CDs, network interfaces, O(cpu_pinning), and what
    becomes of the guest when it ends (O(on_reboot) and the like) change while the guest runs. Every other
    change to a guest that runs is written into its configuration, and C(pending_restart) of RV(guest) names it until
    the guest is restarted, by itself or by O(disruption=restart).
  - What waits for a restart is found out by comparing what runs with what is stored. So changes by other programs are
    seen too, and so is one that was made in an earlier run.
  - Options that contradict each other, or that name a pool, a volume, a network, a machine or a model of processor that
    is not there, are refused under check mode too. What else libvirt and its emulator have against a guest, they say
    only to who writes it down. So a task writes down what the guest becomes, or tries it out, before it makes, grows or
    attaches anything; what is refused then leaves everything as it was.
  - What only shows when a guest starts (a bridge that is missing, memory that the host does not have) makes the task
    fail then, and a new guest goes again.
  - A run that was cut off is cleared up by the next one. A guest that was not made to its end is removed, with the
    volumes that were begun for it.
  - A guest that runs and that libvirt has not stored (a transient one) is stored by a task that changes what is written
    down of it, a label say. It is there after it was stopped, then.
  - After every change the guest is read again. The task fails if libvirt shows something else than was asked for.
options:
  state:
    choices: [running, stopped, paused, present, absent]
  type:
    description:
      - V(kvm) runs the guest on the processor itself, V(qemu) emulates the processor. V(auto) takes V(kvm) where
        libvirt can use it and, on x86, the processor shows C(vmx) or C(svm), without which C(/dev/kvm) may be one in
        which guests hang.
      - A new guest is V(auto) unless the task says otherwise. V(auto) never changes the type of a guest that is there.
    type: str
    choices: [auto, kvm, qemu]
  uuid:
    description: The UUID of a new guest. Libvirt's choice unless given. It cannot change.
    type: str
  description:
    description: A text that tells what the guest is for, of one line or several.
    type: str
  title:
    description: A short text of one line that tells what the guest is. An empty text takes it away.
    type: str
  osinfo:
    description: Which system is in the guest, in the words of libosinfo, like V(http://debian.org/debian/12). Programs
      such as virt-manager show it. It is kept in the metadata of the guest and changes nothing else. An empty text
      takes it away.
    type: str
  machine:
    description:
      - The machine that QEMU makes, like V(q35), V(pc) or V(pc-q35-7.2). A guest that has a version of the machine that
        an alias stands for is not changed.
      - A new guest on x86 is V(q35), with empty slots for what is attached later.
      - Another kind of machine gives all devices new places.
    type: str
  cpus:
    description:
      - The number of processors. 1 for a new guest.
      - More of them, up to O(cpus_max), are there at once in a guest that runs. Fewer, or more than that, need a
        restart. O(cpus_max) is raised with it.
    type: int
  cpus_max:
    description:
      - How many processors the guest can be given while it runs. As many as O(cpus) for a new guest.
      - Whether a guest shows them at once is up to its kernel. One of Linux 6.12 that is emulated keeps no room for
        more, and shows them after its next start.
    type: int
  cpu:
    description:
      - The kind of processor, and how the processors are put together. Needs a restart.
      - A new guest of O(type=kvm) is given C(host-model) unless this is set.
    type: dict
    suboptions:
      mode:
        description: V(host-model), V(host-passthrough), V(maximum), or V(custom) with a O(cpu.model).
        type: str
      model:
        description: A model that libvirt knows, like V(EPYC).
        type: str
      sockets:
        description: The number of sockets. Multiplied with O(cpu.cores) and O(cpu.threads) it must be O(cpus_max).
        type: int
      cores:
        description: The number of cores in a socket.
        type: int
      threads:
        description: The number of threads in a core.
        type: int
  cpu_features:
    description:
      - Features of the processor by their names, like V(vmx), each V(require), V(disable), V(force), V(optional) or
        V(forbid). V(true) stands for V(require), V(false) for V(disable).
      - They are added to, or taken from, what the O(cpu) has. They stay when its C(mode) or C(model) changes.
      - Needs a restart. Merged with what is there, unless O(purge) names it.
    type: dict
  memory:
    description:
      - The memory, like V(2GiB), in whole MiB. Any other size is rounded up, as libvirt does. 1 GiB for a new guest, or
        O(memory_max) if that is less.
      - In a guest that runs it changes through its memory balloon, up to O(memory_max), and the task fails if the guest
        does not follow. More than that needs a restart. O(memory_max) is raised with it.
    type: str
  memory_max:
    description: How much memory the guest can be given while it runs, in whole MiB. As much as O(memory) for a new
      guest. Needs a restart.
    type: str
  numa_cells:
    description:
      - The NUMA cells of the guest by their numbers, from 0 on, each a mapping of C(cpus) (the guest's processors in
        it, like V(0-1)), C(memory), C(memory_access) (V(shared) or V(private)) and C(discard).
      - The cells hold all memory and all processors of the guest. So O(memory_max) is the sum of theirs, and any
        other one is refused.
      - Needs a restart. Merged with what is there, unless O(purge) names it.
    type: dict
  numatune:
    description: From which NUMA nodes of the host the guest's memory comes. Needs a restart.
    type: dict
    suboptions:
      mode:
        description: V(strict), V(preferred), V(interleave) or V(restrictive).
        type: str
      nodeset:
        description: The nodes of the host, like V(0-1).
        type: str
      placement:
        description: V(static), by C(nodeset), or V(auto), by the advice of numad.
        type: str
  memory_backing:
    description: What the guest's memory is made of on the host. Needs a restart.
    type: dict
    suboptions:
      hugepages:
        description: Whether it is large pages, V(true) or V(false), or the size of these, like V(2MiB). The host has
          to have set aside enough of them.
        type: str
      locked:
        description: Whether it stays in the host's memory. Libvirt wants a limit of memory beside it.
        type: bool
      nosharepages:
        description: Whether the host does not merge its pages with equal ones of others.
        type: bool
      source:
        description: V(anonymous), V(file) or V(memfd).
        type: str
      access:
        description: V(shared) with processes of the host, as V(virtiofs) and V(vhostuser) need it, or V(private).
        type: str
      allocation:
        description: Whether it is had at the start, V(immediate), or as it is used, V(ondemand).
        type: str
      discard:
        description: Whether its content is thrown away as the guest ends.
        type: bool
  cpu_pinning:
    description:
      - On which processors of the host the threads of the guest run, a mapping of threads to sets like V(0-3,7). A
        thread is the number of a processor of the guest, from 0 on, V(emulator), or V(iothread1) and so on.
      - A thread of a guest that runs is moved at once. To let one go needs a restart.
      - Merged with what is there, unless O(purge) names it.
    type: dict
  cpuset:
    description: The processors of the host that the guest's run on where O(cpu_pinning) says nothing, like V(0-3,7).
      Needs a restart.
    type: str
  firmware:
    description: How the guest starts. Needs a restart. A system that was installed with the one does not start with the
      other.
    type: str
    choices: [bios, uefi]
  secure_boot:
    description:
      - Whether the firmware starts only what is signed. With O(firmware=uefi) only. Needs a restart.
      - Unless it is set, libvirt chooses the firmware, and hosts differ in that.
    type: bool
  kernel:
    description: A kernel on the host that is started directly, without a boot loader. An empty text takes it away.
      Needs a restart.
    type: str
  initrd:
    description: The initramfs for O(kernel).
    type: str
  cmdline:
    description: The command line for O(kernel).
    type: str
  disks:
    description:
      - The disks, CDs and floppies, each a mapping, or a path.
      - C(target) is the disk's name in the guest, like V(vda) or V(sda), by which it is found again. An entry without
        one gets the next free name of its C(bus), by its place in the list. Name the targets where the list may change
        in its middle.
      - A new disk is a volume of C(size) in a C(pool) (O(pool) unless given) named C(volume) (NAME-TARGET.qcow2 unless
        given), or a C(path). A volume that is there is used with what is in it, and grows to C(size). One that is not
        there is made, on top of C(backing) (a path, with its C(backing_format)) where that is given. Pools of the
        network (rbd, gluster) have no paths on the host. A disk on one is written as a place on the network.
      - A C(path) may be a place on the network, like V(rbd://ceph1:6789,ceph2/pool/image), V(iscsi://host/iqn.../0),
        V(nbd://host/export), V(nbd+unix:///export?socket=/run/nbd.sock), V(gluster://host/volume/image) or
        V(https://host/cd.iso). C(username) and C(secret) (the UUID of a secret of libvirt's, or what that is used for)
        are for who asks. Nothing is made there, and its C(size) is its own.
      - Guests that share a new volume each name it with C(shareable) and the same C(size) and C(format); whichever
        comes first makes it. A new volume that another guest makes meanwhile is otherwise that guest's, and the task
        fails.
      - C(size) grows a disk, of a guest that runs too. A smaller one is refused. Where a volume is a device and libvirt
        cannot make it larger, as in a pool of type V(logical), make it so by its own means (lvextend), and the guest is
        told.
      - C(device) is V(disk), V(cdrom) or V(floppy). Another C(path) in the drive changes the medium, in a guest that
        runs too, an empty one takes it out.
      - C(bus) is V(virtio), V(scsi), V(sata), V(usb), V(ide) or V(fdc). Disks on V(virtio), V(scsi) and V(usb) are
        attached to a guest that runs.
      - C(format) is V(qcow2) or V(raw), C(cache) V(none), V(writeback), V(writethrough), V(directsync) or V(unsafe),
        C(discard) V(unmap) or V(ignore), C(io) V(threads), V(native) or V(io_uring). C(serial), C(read_only),
        C(shareable) and C(boot_order) (1 is first, 0 takes it away) are what they are called.
        Libvirt has no C(boot_order) beside an order of kinds of devices (C(<boot dev=>)). That goes, and the plan names
        it.
      - C(total_bytes_sec), C(read_bytes_sec) and C(write_bytes_sec), C(total_iops_sec), C(read_iops_sec) and
        C(write_iops_sec) limit what is read and written, also of a guest that runs. 0 is no limit. C(iothread) is the
        number of one of O(iothreads), 0 is none.
      - The C(format) is that of the image. It cannot change while the image stays, and another one than the pool knows
        of an image is refused, since the guest would write over what it does not see.
      - An image in the backing chain of the one that the disk has is no other image. A snapshot or a linked clone has
        the disk on an overlay, and a task that names the image below leaves it there, with the C(format) that it says
        of that one. Where the chain cannot be read, the task is refused. So are changes to a disk while a block job of
        libvirt works on it (copy, commit, pull, backup), and tasks that name the image that an earlier task gave to a
        disk and another program has moved it away from since.
      - An image that backs another one in its directory is not given to a disk, unless that is C(read_only).
      - Merged with what is there, unless O(purge) names it. A disk that is detached keeps its content.
    type: list
    elements: raw
  networks:
    description:
      - The network interfaces, each a mapping, or the name of a libvirt network.
      - C(network) is a network of libvirt, C(bridge) a bridge of the host, C(macvtap) an interface of the host (with
        C(mode) V(bridge), V(vepa), V(private) or V(passthrough)), and C(type=user) needs nothing on the host.
      - Others are written with C(type) and C(source). V(vhostuser) has the path of a socket (with C(mode) V(server), in
        which QEMU makes it and waits at the start of the guest for who connects, or V(client)), V(vdpa) the path of a
        device, V(hostdev) the PCI address of a device of the host, like V(0000:03:10.1), V(ethernet) the name of a tap
        device, V(server), V(client), V(mcast) and V(udp) an address with a port, V(internal) a name.
      - An interface is found again by its C(mac) where the entry has one. A C(mac) that no interface has is that of a
        new one. To give an interface another C(mac), O(purge) the networks; the guest then has a new interface.
      - C(portgroup) is one of the network's. It stays when the interface is connected to another network. So does a
        name of the host's device that was given to it.
      - C(vlan) is the number of a VLAN, or a list of them, on what can have them (Open vSwitch, V(hostdev)), 0 takes
        it away. C(virtualport) is V(openvswitch), V(midonet), V(802.1Qbg) or V(802.1Qbh), with C(interfaceid) and
        C(profileid), V(none) takes it away.
      - C(inbound_average), C(inbound_peak) (KiB a second) and C(inbound_burst) (KiB) limit what the guest is sent, and
        C(outbound_average), C(outbound_peak) and C(outbound_burst) what it sends. 0 is no limit.
      - An entry without a C(mac) means the next interface that is connected to the same. A new one gets a C(mac) that
        stays the same.
      - A C(mac) alone, or with the C(type), means the interface that has it, of whatever kind, and leaves it connected
        as it is. One of a kind that has no name here is not made.
      - C(model) is V(virtio) unless given, C(filter) a network filter of libvirt, C(link) V(up) or V(down), C(mtu) and
        C(boot_order) are numbers.
      - Interfaces come and go while the guest runs, and the connection, the C(filter) and the C(link) change. The rest
        needs a restart.
      - Merged with what is there, unless O(purge) names it.
    type: list
    elements: raw
  graphics:
    description:
      - The displays, V(vnc) or V(spice), or mappings with C(type), C(port) (V(-1) for one of libvirt's choice),
        C(listen) and C(password). Needs a restart.
      - A display of another type of libvirt's, like C(type=sdl), is not made, and can be named where it is there.
      - Merged with what is there, unless O(purge) names it.
    type: list
    elements: raw
  video:
    description: The video card. Needs a restart.
    type: dict
    suboptions:
      model:
        description: V(virtio), V(vga), V(qxl), V(bochs), V(cirrus), V(ramfb), or V(none).
        type: str
      heads:
        description: How many screens it drives.
        type: int
      vram:
        description: Its memory in KiB.
        type: int
  console:
    description: Whether the guest has a serial console. A new guest has one. Needs a restart.
    type: bool
  channels:
    description:
      - Channels between host and guest, by their names in the guest, or mappings with C(name), C(type) (V(unix),
        V(spicevmc), V(pty)) and C(path). V(org.qemu.guest_agent.0) is the channel of the QEMU guest agent.
      - Without C(type) a new one is V(unix), or V(spicevmc) where its name says so, and one that is there stays as it
        is.
      - Needs a restart. Merged with what is there, unless O(purge) names it.
    type: list
    elements: raw
  host_devices:
    description:
      - Devices of the host that the guest is given, like V(pci:0000:03:00.0), V(usb:046d:c52b) (vendor and product) or
        V(mdev:UUID).
      - One that the guest has by its place on the host, like V(usb:1.4) (bus and device) or V(scsi:scsi_host0:0:0:7),
        is not given to another, and can be named where it is there.
      - Needs a restart. Merged with what is there, unless O(purge) names it.
    type: list
    elements: str
  filesystems:
    description:
      - Directories of the host that the guest mounts, mappings with C(source) (the directory), C(target) (the tag to
        mount in the guest), C(driver) (V(virtiofs) or V(9p)), C(access_mode) and C(read_only). With V(virtiofs) the
        guest's memory is shared with the host.
      - Needs a restart. Merged with what is there, unless O(purge) names it.
    type: list
    elements: raw
  tpm:
    description: The TPM. Needs a restart.
    type: dict
    suboptions:
      model:
        description: V(tpm-crb), V(tpm-tis), V(tpm-spapr), or V(none).
        type: str
      type:
        description: V(emulator) (which needs C(swtpm) on the host) or V(passthrough).
        type: str
      version:
        description: V(2.0) or V(1.2).
        type: str
      path:
        description: The host's device for V(passthrough).
        type: str
  watchdog:
    description: The watchdog. Needs a restart.
    type: dict
    suboptions:
      model:
        description:
          - V(i6300esb), V(itco), V(ib700), V(diag288), or V(none).
          - Since 9.1 libvirt gives every guest of the machine V(q35) the V(itco) of its chipset. It stays beside
            another one, with the same action, and with V(none).
        type: str
      action:
        description: What it does, V(reset), V(shutdown), V(poweroff), V(pause), V(none), V(dump) or V(inject-nmi).
        type: str
  rng:
    description: The random number generator. Needs a restart.
    type: dict
    suboptions:
      model:
        description: V(virtio), or V(none).
        type: str
      source:
        description: The host's source, V(/dev/urandom) unless given.
        type: str
      rate_bytes:
        description: How many bytes it gives in each O(rng.rate_period).
        type: int
      rate_period:
        description: Milliseconds.
        type: int
  memballoon:
    description: The memory balloon, through which O(memory) changes in a guest that runs. Needs a restart.
    type: dict
    suboptions:
      model:
        description: V(virtio), or V(none).
        type: str
      autodeflate:
        description: Whether the guest takes memory back when it runs short of it.
        type: bool
      stats_period:
        description: How often the guest reports on its memory, in seconds. 0 for never.
        type: int
  sound:
    description:
      - The sound cards, by their models V(ich9), V(ich7), V(ich6), V(ac97), V(es1370), V(sb16), V(pcspk), V(usb) or
        V(virtio), or mappings with C(model) and C(audio) (the C(id) of one of O(audio)).
      - Needs a restart. Merged with what is there, unless O(purge) names it.
    type: list
    elements: raw
  audio:
    description:
      - Where on the host the sound goes, V(spice), V(none), V(alsa), V(pulseaudio), V(pipewire), V(jack), V(oss),
        V(sdl), V(dbus) or V(file), or mappings with C(type) and C(id) (1 unless given). Another C(type) takes away
        what was said of the old one.
      - Needs a restart. Merged with what is there, unless O(purge) names it.
    type: list
    elements: raw
  inputs:
    description:
      - Tablets, keyboards and mice, by these words in the singular, or mappings with C(type) and C(bus) (V(usb)
        unless given, or V(virtio)). C(type) V(passthrough) and V(evdev) give the guest an input device of the host,
        whose C(path) they have.
      - The keyboard and mouse on PS/2 that a machine on x86 has anyway are none of them.
      - Needs a restart. Merged with what is there, unless O(purge) names it.
    type: list
    elements: raw
  redirected_usb:
    description: How many USB devices of who looks at the guest (over SPICE) can be redirected to it at once. Needs a
      restart.
    type: int
  panic:
    description: The device through which a guest tells that it crashed, for O(on_crash). Needs a restart.
    type: dict
    suboptions:
      model:
        description: V(isa), V(hyperv), V(pseries), V(s390), or V(none).
        type: str
  vsock:
    description: Sockets between host and guest. Needs a restart.
    type: dict
    suboptions:
      model:
        description: V(virtio), or V(none).
        type: str
      cid:
        description: The guest's number, 3 or more.
        type: int
      auto_cid:
        description: Whether libvirt chooses the number at each start.
        type: bool
  iommu:
    description: The IOMMU that the guest sees. Needs a restart.
    type: dict
    suboptions:
      model:
        description: V(intel), V(smmuv3), V(virtio), or V(none).
        type: str
      intremap:
        description: Whether it remaps interrupts, which needs O(features.ioapic=qemu).
        type: bool
      caching_mode:
        description: Whether devices of the host that the guest is given can be behind it.
        type: bool
      eim:
        description: Whether more than 255 processors can be interrupted.
        type: bool
      iotlb:
        description: Whether devices keep translations.
        type: bool
      aw_bits:
        description: The width of addresses, 39 or 48.
        type: int
  smbios:
    description: What the firmware tells the system in the guest of its machine. An empty text takes an entry away.
      Needs a restart.
    type: dict
    suboptions:
      mode:
        description: V(sysinfo) shows what is said here, V(host) what the host's firmware says, V(emulate) QEMU's own.
          V(sysinfo) unless given where another field is.
        type: str
      bios_vendor:
        description: The vendor of the BIOS.
        type: str
      bios_version:
        description: The version of the BIOS.
        type: str
      bios_date:
        description: The date of the BIOS, like V(01/31/2026).
        type: str
      bios_release:
        description: The release of the BIOS.
        type: str
      system_manufacturer:
        description: The manufacturer of the system.
        type: str
      system_product:
        description: The product of the system.
        type: str
      system_version:
        description: The version of the system.
        type: str
      system_serial:
        description: The serial of the system.
        type: str
      system_uuid:
        description: The UUID of the system, which must be that of the guest.
        type: str
      system_sku:
        description: The SKU of the system.
        type: str
      system_family:
        description: The family of the system.
        type: str
      baseboard_manufacturer:
        description: The manufacturer of the board.
        type: str
      baseboard_product:
        description: The product of the board.
        type: str
      baseboard_version:
        description: The version of the board.
        type: str
      baseboard_serial:
        description: The serial of the board.
        type: str
      baseboard_asset:
        description: The asset of the board.
        type: str
      baseboard_location:
        description: The location of the board.
        type: str
      chassis_manufacturer:
        description: The manufacturer of the chassis.
        type: str
      chassis_version:
        description: The version of the chassis.
        type: str
      chassis_serial:
        description: The serial of the chassis.
        type: str
      chassis_asset:
        description: The asset of the chassis.
        type: str
      chassis_sku:
        description: The SKU of the chassis.
        type: str
  iothreads:
    description: How many threads of QEMU's own there are for disks. Needs a restart.
    type: int
  on_poweroff:
    description: What becomes of a guest that shuts itself down. V(destroy) unless libvirt was told otherwise.
    type: str
    choices: [destroy, restart]
  on_reboot:
    description: What becomes of a guest that reboots itself. V(restart) unless libvirt was told otherwise. QEMU cannot
      have V(destroy) here beside O(on_poweroff=restart).
    type: str
    choices: [destroy, restart]
  on_crash:
    description: What becomes of a guest that crashes and tells so, by O(panic) say. V(destroy) unless libvirt was told
      otherwise. With V(preserve) what is left of it stays to be looked at, until it is stopped. With
      V(coredump-destroy) and V(coredump-restart) its memory is written to a file of the host first.
    type: str
    choices: [destroy, restart, preserve, coredump-destroy, coredump-restart]
  pm:
    description: Whether the guest is shown that it can sleep. Needs a restart.
    type: dict
    suboptions:
      suspend_to_mem:
        description: Sleep in memory (S3).
        type: bool
      suspend_to_disk:
        description: Sleep on disk (S4).
        type: bool
  clock:
    description: What the clock of the guest's hardware shows. Needs a restart.
    type: dict
    suboptions:
      offset:
        description:
          - V(utc), V(localtime) (the host's, which Windows wants), V(timezone), or V(variable), a clock that keeps what
            the guest sets it to.
          - With another one goes what was said of the old one.
        type: str
      timezone:
        description: The zone, like V(Europe/Berlin), with O(clock.offset=timezone).
        type: str
      basis:
        description: What O(clock.adjustment) is counted from, V(utc) or V(localtime), with O(clock.offset=variable).
        type: str
      adjustment:
        description: Seconds from O(clock.basis), with O(clock.offset=variable). V(reset) with V(utc) and V(localtime).
        type: str
  timers:
    description:
      - The timers of the guest by their names, V(rtc), V(pit), V(hpet), V(tsc), V(kvmclock), V(hypervclock),
        V(armvtimer) or V(platform), each a mapping of C(present), C(tickpolicy) (V(delay), V(catchup), V(merge) or
        V(discard)), C(track) (V(boot), V(guest), V(wall) or V(realtime)), C(frequency) (in Hz) and C(mode) (V(auto),
        V(native), V(emulate), V(paravirt) or V(smpsafe)). V(true) and V(false) alone stand for C(present).
      - Needs a restart. Merged with what is there, unless O(purge) names it.
    type: dict
  features:
    description: What the machine and the hypervisor show the guest, feature by feature. What is not named stays as it
      is. Needs a restart.
    type: dict
    suboptions:
      acpi:
        description: ACPI, without which a guest sees no power button and nothing is plugged in as it runs. A new
          guest has it.
        type: bool
      apic:
        description: The interrupt controllers of its processors. A new guest on x86 has them.
        type: bool
      pae:
        description: Physical address extension.
        type: bool
      hap:
        description: Whether the processor's own paging of guests may be used.
        type: bool
      pmu:
        description: The counters of the processor's performance.
        type: bool
      pvspinlock:
        description: Spinlocks with the hypervisor's help.
        type: bool
      smm:
        description: System management mode, which O(secure_boot) needs and switches on.
        type: bool
      vmcoreinfo:
        description: Whether the guest tells where its kernel is, for dumps of its memory.
        type: bool
      vmport:
        description: VMware's port.
        type: bool
      kvm_hidden:
        description: Whether the guest is not shown that it runs on KVM, which drivers of graphics cards may mind.
        type: bool
      kvm_hint_dedicated:
        description: Whether the guest is told that it has its processors for itself.
        type: bool
      kvm_poll_control:
        description: Whether the guest says whether its idle processors are polled.
        type: bool
      kvm_pv_ipi:
        description: Interrupts between processors with the hypervisor's help.
        type: bool
      ioapic:
        description: Who has the IOAPIC, V(kvm) or V(qemu). O(iommu.intremap) needs V(qemu).
        type: str
      gic:
        description: The version of the interrupt controller on ARM, V(2), V(3) or V(host).
        type: str
      msrs_unknown:
        description: What becomes of a register that the hypervisor does not know, V(ignore) or V(fault).
        type: str
      hyperv_mode:
        description: V(custom), which shows the enlightenments named here, or V(passthrough), which shows all that the
          host has.
        type: str
      hyperv_relaxed:
        description: Relaxed limits of time.
        type: bool
      hyperv_vapic:
        description: The virtual APIC.
        type: bool
      hyperv_vpindex:
        description: The numbers of virtual processors. Others build on it.
        type: bool
      hyperv_runtime:
        description: The time that was spent on the guest's code.
        type: bool
      hyperv_synic:
        description: The synthetic interrupt controller.
        type: bool
      hyperv_stimer:
        description: The synthetic timers.
        type: bool
      hyperv_reset:
        description: The hypervisor's reset.
        type: bool
      hyperv_frequencies:
        description: The registers with the frequencies.
        type: bool
      hyperv_reenlightenment:
        description: Whether the guest is told that it was moved to another host.
        type: bool
      hyperv_tlbflush:
        description: Flushing the TLB with the hypervisor's help.
        type: bool
      hyperv_ipi:
        description: Interrupts between processors with the hypervisor's help.
        type: bool
      hyperv_evmcs:
        description: The enlightened VMCS, for guests in the guest.
        type: bool
      hyperv_avic:
        description: AVIC and APICv beside O(features.hyperv_synic).
        type: bool
      hyperv_emsr_bitmap:
        description: The enlightened bitmap of registers, for guests in the guest.
        type: bool
      hyperv_xmm_input:
        description: Calls of the hypervisor through XMM registers.
        type: bool
      hyperv_stimer_direct:
        description: Synthetic timers that interrupt directly.
        type: bool
      hyperv_spinlocks:
        description: How often a spinlock is tried before the hypervisor is told, 4095 or more. 0 switches it off.
        type: int
      hyperv_vendor_id:
        description: The vendor's name that the hypervisor shows, of at most 12 characters. An empty text switches it
          off.
        type: str
  autostart:
    description: Whether the guest starts when its host does.
    type: bool
  labels:
    description:
      - Labels, kept in the metadata of the guest. They change at any time.
      - Merged with what is there, unless O(purge) names it.
    type: dict
  cloud_init:
    description:
      - What cloud-init in the guest reads at its first start. It is put on an image of a CD, as a volume in O(pool),
        and into a drive of the guest. Needs C(genisoimage) or C(xorriso) on the host where the task runs.
      - The image is made again only when its content changes. Plans and differences show a digest of it, since there
        may be passwords in it.
    type: dict
    suboptions:
      user_data:
        description: A text, or a mapping for C(#cloud-config).
        type: raw
      meta_data:
        description: A text, or a mapping. Without an C(instance-id) in it, the guest's name is that.
        type: raw
      network_config:
        description: A text, or a mapping.
        type: raw
  xml:
    description:
      - What there is no option for, as a part of libvirt's domain XML, beginning with C(<domain>).
      - Its attributes and texts are set. Everything that it does not name stays. Elements that there are several of are
        found again by what tells them apart (a disk by its target, an interface by its MAC, a controller by its type
        and index), and added where they are not there. Where nothing does, the first one here means the first one of
        the name there, the second one the second. Arguments of QEMU and the order of booting are sequences, which are
        compared as a whole. The guide has a table of this,
        R(Virtual machines,ansible_collections.kraal.virt.docsite.guide_kvm_vm).
      - It does not matter how a value is written, V(0,1) or V(0-1), V(1) with the unit V(GiB) or V(1048576).
      - Plans and differences hide the values of what is called a password, a secret or a key.
      - Needs a restart. Of what a guest that runs waits for, changes below devices that have an option of their own are
        not told by C(pending_restart) of RV(guest).
    type: str
  source:
    description: What the first one of O(disks) of a new guest is made from. It means nothing for a guest that is there.
    type: dict
    suboptions:
      image:
        description:
          - The path of an image on the host where the task runs (V(qcow2) or V(raw)), or its address on the web. What
            comes from the web is kept as a volume in O(pool) and fetched once.
        type: str
      checksum:
        description: The SHA-256 of O(source.image), like V(sha256:...). Needed for an image from the web.
        type: str
      format:
        description: The format of the image or volume, where its content does not tell.
        type: str
      volume:
        description: A volume, in O(source.pool).
        type: str
      pool:
        description: The pool of O(source.volume), V(default) unless given.
        type: str
      clone:
        description: V(full) copies it. V(linked) makes a disk (V(qcow2)) that is backed by it, which must then stay as
          it is.
        type: str
        choices: [full, linked]
        default: full
      iso:
        description:
          - The path of a CD on the libvirt host that the guest is installed from. It starts from it as long as its
            first disk is empty.
          - O(purge) with V(disks) leaves its drive alone, as long as the task names it here.
        type: path
  pool:
    description: The pool for volumes that are made and whose pool is not named.
    type: str
    default: default
  stop_timeout:
    description:
      - How many seconds the guest may take to shut down, before O(force_stop) or failure. It is asked through its agent
        where that is connected, else by the power button. 0 does not ask.
    type: int
    default: 60
  force_stop:
    description: Whether a guest that does not shut down is stopped like one whose power cord is pulled.
    type: bool
    default: false
  remove_storage:
    description:
      - Whether the guest's disks go with it, with O(state=absent).
      - Only volumes of pools that are files, that no other guest uses and on which no other volume stands. Never a CD,
        a disk that is shared or read-only, a block device, or a file outside of the pools. What goes is in the
        RV(plan).
      - Of a disk on an overlay (a snapshot, a linked clone) the overlay goes, and what it is backed by stays. It is
        refused while a block job works on a disk.
      - It is refused while it cannot be seen on what the disk of another guest stands that is off, because its image is
        in no active pool and cannot be read.
      - Without it all disks stay. What libvirt itself keeps for the guest (variables of the firmware, the state of a
        TPM, a saved memory image, the records of snapshots) always goes.
    type: bool
    default: false
  purge:
    choices: [audio, channels, cpu_features, cpu_pinning, disks, filesystems, graphics, host_devices, inputs, labels,
      networks, numa_cells, sound, timers]
  disruption:
    default: live
  wait_for:
    description:
      - What to wait for at the end of the task, when the guest shall run. It is not waited for under check mode.
      - V(running) waits until it runs, V(address) until it has an address, V(agent) until its guest agent answers.
    choices: [none, running, address, agent]
extends_documentation_fragment:
  - kraal.virt.guest
  - kraal.virt.kvm
  - kraal.virt.kvm.addresses
  - kraal.virt.attributes
  - kraal.virt.attributes.actiongroup_kvm
attributes:
  check_mode:
    support: full
    details: Libvirt is only read from. That it would refuse a definition can show in the real run alone, which changes
      nothing then.
  diff_mode:
    support: full
  idempotent:
    support: full
seealso:
  - module: kraal.virt.fleet
  - module: kraal.virt.kvm_network
  - module: kraal.virt.kvm_pool
"""

EXAMPLES = r"""
- name: Run a virtual machine with a disk of its own
  kraal.virt.kvm_vm:
    name: web
    cpus: 2
    cpus_max: 4
    memory: 2GiB
    memory_max: 4GiB
    disks:
      - size: 20GiB
    networks: [default]
    channels: [org.qemu.guest_agent.0]

- name: Make one from an image, prepared by cloud-init, and wait for its address
  kraal.virt.kvm_vm:
    name: db
    memory: 4GiB
    source:
      image: /var/lib/libvirt/images/debian-12-genericcloud-amd64.qcow2
      clone: linked
    disks:
      - size: 40GiB
    networks: [default]
    cloud_init:
      user_data:
        hostname: db
        ssh_authorized_keys: ["ssh-ed25519 AAAA... admin"]
    wait_for: address
    timeout: 300

- name: Give it another disk, as it runs
  kraal.virt.kvm_vm:
    name: db
    disks:
      - target: vdb
        size: 100GiB
        discard: unmap

- name: Give it more memory than it can have as it runs, and let it restart for that
  kraal.virt.kvm_vm:
    name: db
    memory: 8GiB
    disruption: restart

- name: Remove it with its disks
  kraal.virt.kvm_vm:
    name: db
    state: absent
    remove_storage: true
"""

RETURN = r"""
plan:
  description:
    - The steps. The C(action) is C(create), C(set), C(remove), C(clean), C(start), C(stop), C(pause), C(resume),
      C(restart), C(attach), C(detach) or C(resize).
  returned: always
  type: list
  elements: dict
  sample:
    - {guest: web, action: set, key: memory, before: 2GiB, after: 3GiB, disruption: live}
diff:
  description: What C(--diff) shows of the changed keys.
  returned: always
  type: dict
  sample: {before: {memory: 2GiB}, after: {memory: 3GiB}, before_header: kvm web, after_header: kvm web}
guest:
  description:
    - The guest as it is now, or under C(--check) will be. Null where it is absent.
    - R(The guide,ansible_collections.kraal.virt.docsite.guide_plans_guest) tells what each key has.
    - C(place) is the libvirt, like C(qemu+ssh://root@192.0.2.10/system), empty for the host's own, C(qemu:///system).
      C(id) is its UUID. C(raw_state) is libvirt's word, such as C(shutoff), C(crashed) or C(pmsuspended).
    - C(image) is what this module made it from. What C(pending_restart) has no option for is C(xml) with the element's
      name.
  returned: always
  type: dict
  sample: {name: web, backend: kvm, place: "", id: 6ba7b810-9dad-41d1-80b4-00c04fd430c8, state: running,
    raw_state: running, image: /var/lib/libvirt/images/debian-12-genericcloud-amd64.qcow2, cpus: 2, memory: 2GiB,
    addresses: [{address: 192.168.122.47, family: ipv4, network: default, mac: "52:54:00:0a:bc:0d"}],
    labels: {role: web}, autostart: false, pending_restart: []}
trace: {returned: at C(-vvv), type: list, elements: dict,
  description: "R(What was sent to the engines,ansible_collections.kraal.virt.docsite.guide_fleet_trace)."}
"""

from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.client import CONNECTION, connect
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.peers import VM
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.resource import Vms
from ansible_collections.kraal.virt.plugins.module_utils.engine.task import run_resource


def main() -> None:
    run_resource(Vms.table, lambda parameters: Vms(connect(parameters)), CONNECTION, "guest", peers=VM)


if __name__ == "__main__":
    main()
