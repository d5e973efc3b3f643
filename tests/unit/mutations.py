# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What real backends answered, with something in it missing, of another type, or unheard of. The same at every run."""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree as ET

#: Words that no backend says, and that no task may write.
WORDS = (
    "hologram",
    "",
    " ",
    "-1",
    "0x",
    "99999999999999999999",
    "1e309",
    "a b\tc",
    "\x1b[31m",
    "\udcff",
    "fe80::1%eth0",
    "../..",
    "ä" * 300,
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    2**70,
    1.5,
    float("inf"),
    [],
    {},
    [None],
    [[]],
    {"x": {"y": 1}},
    {"": None},
    *WORDS,
)


def _places(data: Any) -> Iterator[tuple[Any, Any]]:
    """Every mapping or list with each of its keys."""
    keys = list(data) if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()
    for key in keys:
        yield data, key
        yield from _places(data[key])


def of_json(data: Any, count: int, seed: int = 1) -> Iterator[Any]:
    """So many mutants of what JSON carries."""
    chance = random.Random(seed)
    for _number in range(count):
        mutant = copy.deepcopy(data)
        for _time in range(chance.choice((1, 1, 1, 2, 5))):
            places = list(_places(mutant))
            if not places:
                break
            holder, key = chance.choice(places)
            if chance.random() < 0.3:
                del holder[key]
            else:
                holder[key] = copy.deepcopy(chance.choice(VALUES))
        yield mutant


def each_of_json(data: Any) -> Iterator[Any]:
    """Every mutant of what JSON carries in which one value alone is another, or missing."""
    for place in range(len(list(_places(data)))):
        for value in (..., *VALUES):
            mutant = copy.deepcopy(data)
            holder, key = list(_places(mutant))[place]
            if value is ...:
                del holder[key]
            else:
                holder[key] = copy.deepcopy(value)
            yield mutant


def of_xml(root: ET.Element, count: int, seed: int = 1) -> Iterator[str]:
    """So many mutants of an XML document; one of ten is no XML any more."""
    chance = random.Random(seed)
    for _number in range(count):
        mutant = copy.deepcopy(root)
        for _time in range(chance.choice((1, 1, 2, 5))):
            parents = [each for each in mutant.iter() if len(each)]
            parent = chance.choice(parents or [mutant])
            element = chance.choice(list(parent) or [mutant])
            what = chance.random()
            if what < 0.2 and element is not mutant:
                parent.remove(element)
            elif what < 0.3 and element is not mutant:
                parent.append(copy.deepcopy(element))
            elif what < 0.5 and element.attrib:
                del element.attrib[chance.choice(sorted(element.attrib))]
            elif what < 0.8 and element.attrib:
                element.attrib[chance.choice(sorted(element.attrib))] = _fit(chance.choice(WORDS))
            else:
                element.text = _fit(chance.choice(WORDS))
        text = ET.tostring(mutant, encoding="unicode")
        yield text[: chance.randrange(len(text))] if chance.random() < 0.1 else text


def _fit(word: str) -> str:
    """What XML can carry."""
    return word if word.isprintable() or word == "a b\tc" else "hologram"


def of_lines(text: str, count: int, seed: int = 1) -> Iterator[str]:
    """So many mutants of a text of lines like KEY = value."""
    chance = random.Random(seed)
    for _number in range(count):
        lines = text.split("\n")
        for _time in range(chance.choice((1, 1, 2, 5))):
            place, word = chance.randrange(len(lines)), chance.choice(WORDS)
            key, equals, value = lines[place].partition("=")
            lines[place] = chance.choice(
                (
                    word,
                    f"{key}={word}",
                    f"{word}={value}",
                    f"{key}{word}{equals}{value}",
                    "",
                    f"{lines[place]}\n{lines[place]}",
                )
            )
        yield "\n".join(lines)


def of_words(text: str, count: int, seed: int = 1) -> Iterator[str]:
    """So many mutants of a text of lines with words in them, as programs and the kernel print it; one of ten is cut
    off.
    """
    chance = random.Random(seed)
    for _number in range(count):
        lines = [re.split(r"(\s+)", line) for line in text.split("\n")]
        for _time in range(chance.choice((1, 1, 2, 5))):
            words = chance.choice(lines)
            place, word = chance.randrange(len(words)), chance.choice(WORDS)
            words[place] = chance.choice((word, word, "", words[place] + word, words[place] * 2, words[place] + "\n"))
        mutant = "\n".join("".join(words) for words in lines)
        yield mutant[: chance.randrange(len(mutant))] if mutant and chance.random() < 0.1 else mutant


def of_octets(data: bytes, count: int, seed: int = 1) -> Iterator[bytes]:
    """So many mutants of octets: some are others, or the end is missing."""
    chance = random.Random(seed)
    for _number in range(count):
        mutant = bytearray(data)
        for _time in range(chance.choice((1, 1, 2, 5))):
            mutant[chance.randrange(len(mutant))] = chance.randrange(256)
        yield bytes(mutant[: chance.randrange(len(mutant))]) if chance.random() < 0.2 else bytes(mutant)
