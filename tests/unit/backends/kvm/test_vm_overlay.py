# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A part of a domain's XML as a user writes it: which element it means, and what is shown of it."""

from __future__ import annotations

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.settings import Overlay
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.xml import (
    lay_over,
    overlay_seen,
    overlay_values,
    read_overlay,
)
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.xml import canonical, parse
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import InvalidOption
from ansible_collections.kraal.virt.plugins.module_utils.engine.secrets import HIDDEN

ENTRIES = (
    "<sysinfo type='smbios'><system><entry name='serial'>{0}</entry><entry name='family'>{1}</entry></system></sysinfo>"
)
HOSTDEV = "<hostdev mode='subsystem' type='mdev'><source><address uuid='{}'/></source></hostdev>"
HOSTDEVS = f"<devices>{HOSTDEV.format('a')}{HOSTDEV.format('b')}</devices>"
#: An overlay, what is there, and what comes of it.
LAID: tuple[tuple[str, str, str], ...] = (
    ("<os><boot dev='hd'/><boot dev='network'/></os>", "<os/>", "<os><boot dev='hd'/><boot dev='network'/></os>"),
    (
        "<os><boot dev='hd'/><boot dev='network'/></os>",
        "<os><boot dev='cdrom'/><type>hvm</type></os>",
        "<os><boot dev='hd'/><type>hvm</type><boot dev='network'/></os>",
    ),
    (ENTRIES.format("1", "a"), ENTRIES.format("2", "a"), ENTRIES.format("1", "a")),
    (ENTRIES.format("1", "a"), "<sysinfo><system><entry name='family'>b</entry></system></sysinfo>",
     "<sysinfo type='smbios'><system><entry name='family'>a</entry><entry name='serial'>1</entry></system></sysinfo>"),
    ("<numatune><memnode cellid='1' mode='strict'/></numatune>", "<numatune><memnode cellid='0' mode='preferred'/></numatune>",
     "<numatune><memnode cellid='0' mode='preferred'/><memnode cellid='1' mode='strict'/></numatune>"),
    (HOSTDEVS, "<devices/>", HOSTDEVS),
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
    assert len(values) == sum(
        len(each.attrib) + bool((each.text or "").strip() and not len(each)) for each in wanted.iter()
    )


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
