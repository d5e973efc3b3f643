# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""XML as trees: nothing that a user writes becomes an element, and nothing hostile is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm import xml
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import InvalidOption, KraalError

BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>'
FILE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]><x>&a;</x>'


@pytest.mark.parametrize(
    "text", [BOMB, FILE, "<!DOCTYPE x><x/>", '<?xml version="1.0"?>\n<!DOCTYPE x SYSTEM "http://192.0.2.1/x.dtd"><x/>']
)
def test_declarations_are_refused(text: str) -> None:
    with pytest.raises(InvalidOption, match="declares") as caught:
        xml.parse_foreign(text, "xml")
    assert caught.value.option == "xml"


@pytest.mark.parametrize("text", ["", "text", "<x>", "<x/><y/>", "<x a=1/>", "<x>&nbsp;</x>", "\0"])
def test_what_is_no_xml_is_refused(text: str) -> None:
    with pytest.raises(InvalidOption, match="is no XML"):
        xml.parse_foreign(text, "xml")


def test_an_overlay_is_read() -> None:
    tree = xml.parse_foreign('<?xml version="1.0"?><domain><!-- a --><memory unit="MiB">5</memory></domain>', "xml")
    assert xml.size_of(tree.find("memory")) == 5 * 1024**2


FIT = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"), min_size=1)


@given(FIT, FIT)
def test_texts_and_attributes_come_back_as_they_were(text: str, value: str) -> None:
    tree = xml.make("a", {"b": value, "none": None}, xml.make("c", text=text), None)
    again = xml.parse(xml.serialize(tree))
    assert (again.get("b"), again.findtext("c"), [child.tag for child in again], again.keys()) == (
        value,
        text,
        ["c"],
        ["b"],
    )


@pytest.mark.parametrize("text", ["\0", "a\x1b", "\x0b", "\ufffe"])
def test_what_xml_cannot_carry_is_not_written(text: str) -> None:
    for tree in (xml.make("a", text=text), xml.make("a", {"b": text})):
        with pytest.raises(KraalError, match="cannot carry"):
            xml.serialize(tree)


@pytest.mark.parametrize(
    ("text", "unit", "size"),
    [
        ("<m>5</m>", "bytes", 5),
        ("<m>5</m>", "KiB", 5120),
        ("<m unit='k'>5</m>", "bytes", 5120),
        ("<m unit='KB'>5</m>", "bytes", 5000),
        ("<m unit='G'> 2 </m>", "bytes", 2 * 1024**3),
        ("<m/>", "bytes", None),
    ],
)
def test_size_of(text: str, unit: str, size: int | None) -> None:
    assert xml.size_of(xml.parse(text), unit) == size
    assert xml.size_of(None) is None


def test_helpers() -> None:
    tree = xml.parse("<a><b x='1'> t </b><b/><c><b/></c></a>")
    assert (
        xml.text_of(tree, "b"),
        xml.text_of(tree, "d", "-"),
        xml.text_of(tree, "c", "-"),
        xml.text_of(None, "b"),
    ) == ("t", "-", "-", None)
    assert (xml.attribute(tree, "b", "x"), xml.attribute(tree, "b", "y", "z"), xml.attribute(tree, ".", "y")) == (
        "1",
        "z",
        None,
    )
    xml.child(tree, "c/d/e").set("f", "g")
    assert xml.child(tree, "c/d/e").get("f") == "g"
    xml.drop(tree, "c/b")
    assert [each.tag for each in tree.iter()] == ["a", "b", "b", "c", "d", "e"]
    xml.replace(tree, "b", xml.make("n"), None, xml.make("m"))
    assert [each.tag for each in tree] == ["n", "m", "c"]
    xml.replace(tree, "z", xml.make("z"))
    assert [each.tag for each in tree] == ["n", "m", "c", "z"]
    assert [xml.flag(value) for value in ("yes", "ON", "no", "off", None)] == [True, True, False, False, False]


def test_what_means_the_same_is_equal() -> None:
    one = xml.parse("<a x='1' y='2'>\n  <b> t </b><!-- c --><uuid>u</uuid></a>")
    two = xml.parse("<a y='2' x='1'><b>t</b></a>")
    assert xml.canonical(one, ["uuid"]) == xml.canonical(two)
    assert xml.canonical(one) != xml.canonical(two)
    assert xml.canonical(xml.parse("<a><b/><c/></a>")) != xml.canonical(xml.parse("<a><c/><b/></a>"))
