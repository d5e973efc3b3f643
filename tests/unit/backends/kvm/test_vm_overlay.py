# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A part of a domain's XML as a user writes it: which element it means, and what is shown of it."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.overlay import (
    IDENTITY,
    LISTS,
    RUNS,
    lay_over,
    overlay_seen,
    overlay_values,
    read_overlay,
)
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.settings import Overlay
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.xml import put
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.xml import canonical, parse
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import InvalidOption
from ansible_collections.kraal.virt.plugins.module_utils.engine.secrets import HIDDEN
from tests.support.paths import ROOT

ENTRIES = (
    "<sysinfo type='smbios'><system><entry name='serial'>{0}</entry><entry name='family'>{1}</entry></system></sysinfo>"
)
HOSTDEV = "<hostdev mode='subsystem' type='mdev'><source><address uuid='{}'/></source></hostdev>"
PCI = "<hostdev mode='subsystem' type='pci'><source><address domain='0' bus='{}' slot='0x00' function='0'/></source></hostdev>"
ARGS = "<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><qemu:arg value='{}'/><qemu:arg value='{}'/></qemu:commandline>"
QEMU, QEMU_END = (
    len("<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>"),
    len("</qemu:commandline>"),
)
HOSTDEVS = f"<devices>{HOSTDEV.format('a')}{HOSTDEV.format('b')}</devices>"
#: An overlay, what is there, and what comes of it.
LAID: tuple[tuple[str, str, str], ...] = (
    ("<os><boot dev='hd'/><boot dev='network'/></os>", "<os/>", "<os><boot dev='hd'/><boot dev='network'/></os>"),
    (
        "<os><boot dev='hd'/><boot dev='network'/></os>",
        "<os><boot dev='cdrom'/><type>hvm</type></os>",
        "<os><boot dev='hd'/><boot dev='network'/><type>hvm</type></os>",
    ),
    (ENTRIES.format("1", "a"), ENTRIES.format("2", "a"), ENTRIES.format("1", "a")),
    (ENTRIES.format("1", "a"), "<sysinfo type='smbios'><system><entry name='family'>b</entry></system></sysinfo>",
     "<sysinfo type='smbios'><system><entry name='family'>a</entry><entry name='serial'>1</entry></system></sysinfo>"),
    ("<numatune><memnode cellid='1' mode='strict'/></numatune>", "<numatune><memnode cellid='0' mode='preferred'/></numatune>",
     "<numatune><memnode cellid='0' mode='preferred'/><memnode cellid='1' mode='strict'/></numatune>"),
    (HOSTDEVS, "<devices/>", HOSTDEVS),
    ("<os><boot dev='hd'/></os>", "<os><boot dev='cdrom'/><boot dev='hd'/></os>", "<os><boot dev='hd'/></os>"),
    (ARGS.format("-fw_cfg", "b"), ARGS.format("-fw_cfg", "a"), ARGS.format("-fw_cfg", "a")[:-QEMU_END] + ARGS.format("-fw_cfg", "b")[QEMU:]),
    (ARGS.format("a", "b"), ARGS.format("b", "a"), ARGS.format("b", "a")[:-QEMU_END] + ARGS.format("a", "b")[QEMU:]),
    ("<devices><controller type='usb' index='1'/></devices>", "<devices><controller type='usb' index='0'/><sound/></devices>",
     "<devices><controller type='usb' index='0'/><controller type='usb' index='1'/><sound/></devices>"),
    ("<devices><controller type='usb' model='x'/></devices>", "<devices><controller type='pci' index='0'/><controller type='usb' index='0'/></devices>",
     "<devices><controller type='pci' index='0'/><controller type='usb' index='0' model='x'/></devices>"),
    (f"<devices>{PCI.format('0x04')}</devices>", f"<devices>{PCI.format('0x03')}</devices>", f"<devices>{PCI.format('0x03')}{PCI.format('0x04')}</devices>"),
    ("<devices><controller type='drive'><address type='drive' unit='1'/></controller></devices>",
     "<devices><controller type='drive'><address type='drive' unit='0'/></controller></devices>",
     "<devices><controller type='drive'><address type='drive' unit='1'/></controller></devices>"),
    ("<devices><serial type='tcp'><target port='1'/></serial></devices>", "<devices><serial type='pty'><target port='0'/></serial></devices>",
     "<devices><serial type='pty'><target port='0'/></serial><serial type='tcp'><target port='1'/></serial></devices>"),
    ("<devices><input type='keyboard' bus='usb'/></devices>", "<devices><input type='keyboard' bus='ps2'/></devices>",
     "<devices><input type='keyboard' bus='ps2'/><input type='keyboard' bus='usb'/></devices>"),
    ("<devices><sound model='ich9'/></devices>", "<devices><sound model='ac97'/><sound model='es1370'/></devices>",
     "<devices><sound model='ich9'/><sound model='es1370'/></devices>"),
)  # fmt: skip


@pytest.mark.parametrize(("overlay", "before", "after"), LAID)
def test_each_element_means_one_of_its_own(overlay: str, before: str, after: str) -> None:
    """The first of a name the first one that is there, the second the second."""
    wanted, have = (parse(f"<domain>{text}</domain>") for text in (overlay, before))
    values = overlay_values(wanted)
    assert overlay_seen(wanted, have) != values
    lay_over(wanted, have)
    assert canonical(have) == canonical(parse(f"<domain>{after}</domain>"))
    assert overlay_seen(wanted, have) == values
    again = canonical(have)
    lay_over(wanted, have)
    assert canonical(have) == again


#: The same, as a user writes it and as libvirt keeps it.
SPELLINGS = (
    ("<vcpu cpuset='0,1,3'>4</vcpu>", "<vcpu placement='static' cpuset='0-1,3'>4</vcpu>"),
    ("<vcpu cpuset='0-3,^2'>4</vcpu>", "<vcpu placement='static' cpuset='0-1,3'>4</vcpu>"),
    ("<cputune><emulatorpin cpuset='1,0'/></cputune>", "<cputune><emulatorpin cpuset='0-1'/></cputune>"),
    ("<cputune><vcpusched vcpus='0,1' scheduler='fifo'/></cputune>", "<cputune><vcpusched vcpus='0-1' scheduler='fifo'/></cputune>"),
    ("<cpu><numa><cell id='0' cpus='0,1' memory='2' unit='GiB'/></numa></cpu>",
     "<cpu><numa><cell id='0' cpus='0-1' memory='2097152' unit='KiB'/></numa></cpu>"),
    ("<cpu><numa><cell id='0' memory='2097152'/></numa></cpu>", "<cpu><numa><cell id='0' memory='2097152' unit='KiB'/></numa></cpu>"),
    ("<memoryBacking><hugepages><page size='1' unit='G' nodeset='0,1'/></hugepages></memoryBacking>",
     "<memoryBacking><hugepages><page size='1048576' unit='KiB' nodeset='0-1'/></hugepages></memoryBacking>"),
    ("<memory unit='MB'>100</memory>", "<memory unit='KiB'>97657</memory>"),
    ("<memory>65536</memory>", "<memory unit='KiB'>65536</memory>"),
    ("<memtune><hard_limit unit='G'>1</hard_limit></memtune>", "<memtune><hard_limit unit='KiB'>1048576</hard_limit></memtune>"),
    ("<devices><memory><target><size unit='MiB'>512</size></target></memory></devices>",
     "<devices><memory><target><size unit='KiB'>524288</size></target></memory></devices>"),
    ("<devices><memory><target><size>524288</size></target></memory></devices>",
     "<devices><memory><target><size unit='KiB'>524288</size></target></memory></devices>"),
    (f"<devices>{PCI.format('4')}</devices>", f"<devices>{PCI.format('0x04')}</devices>"),
    ("<devices><interface><mac address='52:54:00:AA:00:01'/></interface></devices>",
     "<devices><interface><mac address='52:54:00:aa:00:01'/></interface></devices>"),
)  # fmt: skip


@pytest.mark.parametrize(("written", "kept"), SPELLINGS)
def test_a_value_has_one_meaning_in_all_spellings(written: str, kept: str) -> None:
    wanted, have = (parse(f"<domain>{text}</domain>") for text in (written, kept))
    assert overlay_seen(wanted, have) == overlay_values(wanted)


def test_another_value_is_another_one() -> None:
    for written, kept in SPELLINGS:
        wanted, have = (
            parse(f"<domain>{text}</domain>")
            for text in (written, kept.translate(str.maketrans("0123456789", "9876543210")))
        )
        assert overlay_seen(wanted, have) != overlay_values(wanted), written


RNG = "{http://relaxng.org/ns/structure/1.0}"
SCHEMAS = Path("/usr/share/libvirt/schemas")
#: What nothing tells from its brothers, which are found by their number; the parents of some are told from others.
BY_NUMBER = {
    *("crypto", "iommu", "rng", "smartcard", "sound", "tpm", "video", "vsock", "watchdog"),
    *("baseBoard", "label", "listen", "secret", "source", "redirfilter"),
}


def repeated() -> set[str]:
    """The names of the elements that libvirt's schema lets repeat in a domain."""
    grammar = [
        each for name in ("domaincommon", "cputypes") for each in ET.parse(SCHEMAS / f"{name}.rng").getroot().iter()
    ]
    defined: dict[str, list[ET.Element]] = {}
    for each in grammar:
        if each.tag == RNG + "define":
            defined.setdefault(each.get("name", ""), []).append(each)

    def inside(pattern: ET.Element) -> set[str]:
        found: set[str] = set()
        for each in pattern:
            if each.tag == RNG + "element":
                found |= {each.get("name", "")}
            elif each.tag == RNG + "ref":
                found |= {name for define in defined.get(each.get("name", ""), ()) for name in inside(define)}
            else:
                found |= inside(each)
        return found

    return {name for each in grammar if each.tag in (RNG + "zeroOrMore", RNG + "oneOrMore") for name in inside(each)}


def test_all_that_the_schema_lets_repeat_has_a_rule() -> None:
    known = {place.rpartition("/")[2] for place in (*IDENTITY, *LISTS, *RUNS)}
    # The last is what a host says of its processor.
    assert repeated() - {"", "pages"} <= known | BY_NUMBER


def test_the_guide_has_the_rule_of_each_element() -> None:
    guide = (ROOT / "docs" / "docsite" / "rst" / "guide_kvm_vm.rst").read_text(encoding="utf-8")
    assert [place for place in (*IDENTITY, *LISTS, *RUNS) if f"``{place}``" not in guide] == []


@pytest.mark.parametrize("kind", sorted(IDENTITY))
def test_an_element_is_changed_or_added_by_what_tells_it_apart(kind: str) -> None:
    """Of three brothers the one that is named changes; one that is not there is added; and that is all."""
    above, _slash, tag = kind.rpartition("/")

    def one(number: int, more: str = "") -> ET.Element:
        element = ET.Element(tag, {"kt": more} if more else {})
        for place in IDENTITY[kind]:
            put(element, place, str(number))
        return element

    def tree(*elements: ET.Element) -> ET.Element:
        root = ET.Element("domain")
        ET.SubElement(root, above or "kt").extend(elements)
        return root

    for number, after in ((2, [one(1), one(2, "x"), one(3)]), (4, [one(1), one(2), one(3), one(4, "x")])):
        have, wanted = tree(one(1), one(2), one(3)), tree(one(number, "x"))
        lay_over(wanted, have)
        assert canonical(have) == canonical(tree(*after))
        assert overlay_seen(wanted, have) == overlay_values(wanted)


def test_an_argument_with_a_secret_is_hidden() -> None:
    for argument, hidden in (("secret,id=a,data=kt-hush", True), ("isa-debugcon", False)):
        shown = Overlay().show(Overlay().parse("<domain>" + ARGS.format("-object", argument) + "</domain>", "xml"))
        assert (shown == dict.fromkeys(shown, HIDDEN)) is hidden and len(shown) == 1


VNC = "<domain><devices><graphics type='vnc' passwd='{}' keymap='de'/></devices></domain>"
PASSWD, KEYMAP = "devices/graphics[vnc]@passwd", "devices/graphics[vnc]@keymap"


def test_secrets_of_an_overlay_are_hidden() -> None:
    kind = Overlay()
    want = kind.parse(VNC.format("kt-new"), "xml")
    have = overlay_seen(want.root, parse(VNC.format("kt-old")))
    assert (want[PASSWD], have[PASSWD]) == ("kt-new", "kt-old")
    assert {part.key: part[1:] for part in kind.parts(want, have, False)} == {PASSWD: (HIDDEN, HIDDEN + " (new)")}
    assert kind.show(want) == {"devices/graphics[vnc]@type": "vnc", PASSWD: HIDDEN, KEYMAP: "de"}


@pytest.mark.parametrize(
    ("place", "hidden"),
    [
        ("<os><secret>v</secret></os>", True),
        ("<qemu><env name='API_KEY' value='v'/></qemu>", True),
        ("<cpu><key value='v'/></cpu>", True),
        ("<os><loader>v</loader></os>", False),
        ("<secrets><boot dev='v'/></secrets>", False),
    ],
)
def test_what_is_hidden(place: str, hidden: bool) -> None:
    shown = Overlay().show(Overlay().parse(f"<domain>{place}</domain>", "xml"))
    assert ("v" in shown.values()) is not hidden, shown


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("</domain>", "</domain"),
        ("domain", "guest"),
        ("</devices>", "</devices><name>x</name>"),
        ("<domain>", "<!DOCTYPE d><domain>"),
    ],
)
def test_an_error_tells_no_secret(old: str, new: str) -> None:
    with pytest.raises(InvalidOption, match="xml") as error:
        read_overlay(VNC.format("kt-hush").replace(old, new))
    assert "kt-hush" not in str(error.value)
