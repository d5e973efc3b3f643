# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Definitions that others have written: guests, networks and pools, as XML files of a directory, or those of libvirt's
own tests, from the source of the package that this machine's release has. None of them is kept in this repository.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen
from xml.etree import ElementTree as ET

from .paths import CACHE

#: What gives libvirt's source away: a package that is made of it.
PACKAGE = "libvirt0"
SECONDS = 60
#: Machines that every QEMU has, for definitions of older ones.
MACHINES = {"q35": "q35", "pc-q35": "q35", "pc": "pc", "rhel": "pc"}


@dataclass(frozen=True)
class Definition:
    """One definition. ``path`` is where it is from."""

    path: str
    root: ET.Element

    @property
    def digest(self) -> str:
        """Its order among others, which is the same everywhere and follows from nothing else."""
        return hashlib.sha256(ET.tostring(self.root)).hexdigest()

    def named(self, name: str) -> str:
        """Its XML, with that name."""
        element = self.root.find("name")
        (ET.SubElement(self.root, "name") if element is None else element).text = name
        return ET.tostring(self.root, encoding="unicode")


@dataclass
class Found:
    """What became of the definitions of a corpus."""

    accepted: int = 0
    #: By kind, those that went wrong, with what was said.
    wrong: dict[str, list[str]] = field(default_factory=dict)

    def note(self, kind: str, each: Definition, what: object) -> None:
        """That one went wrong."""
        self.wrong.setdefault(kind, []).append(f"{each.path}: {str(what)[:600]}")

    def share(self, kind: str) -> float:
        """The part of all that went wrong in this way."""
        return len(self.wrong.get(kind, ())) / self.accepted

    def told(self) -> str:
        """All of it, for the message of a failure."""
        figures = {"accepted": self.accepted, **{kind: len(each) for kind, each in self.wrong.items()}}
        return json.dumps([figures, self.wrong], indent=1, ensure_ascii=False)


class NoCorpus(Exception):
    """Why there is none."""


def fetched() -> Path:
    """The directory of libvirt's own tests. Raises NoCorpus."""
    argv = ["apt-get", "download", "--print-uris", PACKAGE]
    said = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=SECONDS)
    found = re.match(r"'([^']+/)[^/']+_(?:\d+%3a)?([^-_']+)-[^']*'", said.stdout)
    if said.returncode or found is None:
        raise NoCorpus(f"apt does not tell where {PACKAGE} is from: {said.stderr.strip() or said.stdout.strip()}")
    archive = CACHE / "corpus" / f"libvirt_{found[2]}.orig.tar.xz"
    if not archive.exists():
        archive.parent.mkdir(parents=True, exist_ok=True)
        partial = archive.with_suffix(".part")
        try:
            with urlopen(f"{found[1]}{archive.name}", timeout=SECONDS) as answer:
                partial.write_bytes(answer.read())
        except OSError as error:
            raise NoCorpus(f"{found[1]}{archive.name} cannot be fetched: {error}") from error
        partial.rename(archive)
    place = archive.parent / f"libvirt-{found[2]}"
    if not place.exists():
        _unpack(archive, place)
    return place


def _unpack(archive: Path, place: Path) -> None:
    """Its definitions, as a flat directory."""
    partial = place.with_suffix(".part")
    partial.mkdir(exist_ok=True)
    with tarfile.open(archive) as source:
        for member in source:
            parts = member.name.split("/")
            file = source.extractfile(member) if parts[1:2] == ["tests"] and parts[-1].endswith(".xml") else None
            if file is not None:
                (partial / "-".join(parts[2:])).write_bytes(file.read())
    partial.rename(place)


def definitions(directory: Path, tag: str) -> list[Definition]:
    """All that are different, in their own order."""
    found: dict[str, Definition] = {}
    for path in sorted(directory.rglob("*.xml")):
        try:
            root = ET.fromstring(path.read_text(encoding="utf-8"))
        except (ET.ParseError, UnicodeDecodeError):
            # What a parser is tested with.
            continue
        if root.tag == tag:
            for old in root.findall("uuid"):
                root.remove(old)
            each = Definition(str(path.relative_to(directory)), root)
            found.setdefault(each.digest, each)
    return [found[digest] for digest in sorted(found)]


def guests(directory: Path, script: Path) -> Iterator[Definition]:
    """Definitions of guests for QEMU's emulation, which is everywhere; what they would have run on the host is ``script``."""
    for each in definitions(directory, "domain"):
        if each.root.get("type") not in ("qemu", "kvm"):
            continue
        each.root.set("type", "qemu")
        devices = each.root.find("devices")
        for emulator in each.root.findall("devices/emulator") if devices is not None else ():
            devices.remove(emulator)  # type: ignore[union-attr]
        for element in each.root.iterfind("devices/interface/script"):
            element.set("path", str(script))
        yield each


def with_another_machine(each: Definition) -> Definition | None:
    """The same for a machine that every QEMU of today has; None where there is no such one."""
    place = each.root.find("os/type")
    name = "" if place is None else place.get("machine", "")
    kind = next((kind for start, kind in MACHINES.items() if name.startswith(start)), "")
    if place is None or name == kind or not kind:
        return None
    place.set("machine", kind)
    return each


def children(root: ET.Element, but: Mapping[str, object]) -> list[str]:
    """The elements of a definition and those of its devices, but some tags, as texts that can be compared."""
    found = [each for each in root if each.tag not in but and each.tag != "devices"]
    found += [each for each in root.iterfind("devices/*") if each.tag not in but]
    return sorted(ET.canonicalize(ET.tostring(each, encoding="unicode"), strip_text=True) for each in found)
