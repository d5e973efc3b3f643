# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests that others have defined, whatever they are: planned by reads alone, changed in what the task says and in
nothing else, and described in words that the module takes back.

`--corpus DIR` names the definitions; without it, it is those of libvirt's own tests.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.model import View
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.options import OPTIONS
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.xml import parse
from tests.support.corpus import Definition, Found, children, guests, with_another_machine
from tests.support.libvirt_daemon import LibvirtDaemon

from .driver import Driver

pytestmark = pytest.mark.only_all(
    "hundreds of guests take minutes; test_foreign.py and the tables show each kind of them on a guest of its own"
)

#: So many that libvirt takes are enough, unless a corpus is named.
ENOUGH = 120
#: Of all guests, those whose description the module takes back, at least.
TAKEN_BACK = 0.95
NAME = "kt-guest"
#: What a task changes: what is only written down, and then devices as well.
SMALL = {"labels": {"kt": "a"}}
LARGE = {
    "labels": {"kt": "b"},
    "description": "kt",
    "autostart": True,
    "disks": [{"target": "vdz", "size": "1MiB"}],
    "networks": [{"network": "kt-net1", "mac": "52:54:00:0a:0b:0c"}],
    "channels": [{"name": "org.kt.0"}],
}
#: What no plan can know: that the guest has no place for another device, say. Nothing was changed then.
REFUSED = "refused by libvirt"
#: The elements in which those are, beside the devices that are added.
SPOKEN = dict.fromkeys(("metadata", "description"))


def reported(root: ET.Element) -> dict[str, Any]:
    """A guest as the options of the module describe it."""
    view = View(root, NAME)
    found = {option.name: option.kind.shown(option.read(view)) for option in OPTIONS}
    return {name: json.loads(json.dumps(value)) for name, value in found.items() if value is not None and name != "xml"}


@pytest.fixture
def corpus(request: pytest.FixtureRequest, corpus_directory: Path, tmp_path: Path) -> Iterator[list[Definition]]:
    """The guests; the script of theirs leaves a trace where it is run."""
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n", encoding="ascii")
    script.chmod(0o755)
    yield list(guests(corpus_directory, script))
    assert not (tmp_path / "ran").exists()


def defined(host: LibvirtDaemon, each: Definition) -> ET.Element | None:
    """What libvirt makes of a definition; None where it takes none."""
    host.virsh("undefine", NAME, "--nvram", "--managed-save", "--snapshots-metadata", check=False)
    try:
        host.define("", each.named(NAME))
    except RuntimeError:
        return None
    return stored(host)


def stored(host: LibvirtDaemon) -> ET.Element:
    return parse(host.virsh("dumpxml", NAME, "--inactive", "--security-info"))


def daemon(host: LibvirtDaemon) -> tuple[str, str]:
    """The process that libvirtd is, and the links of its host."""
    return (host.directory / "run" / "libvirtd.pid").read_text(encoding="ascii"), host.inside("ip", "-oneline", "link")


def steps(driver: Driver, each: Definition, found: Found, before: ET.Element) -> None:
    """One guest: as it is, described, changed a little, and changed more."""

    def tried(kind: str, function: Callable[..., Any], **args: Any) -> Any:
        try:
            return function(state="present", type=..., memory=..., **args)
        except AssertionError as error:
            found.note(REFUSED if "is what libvirt refuses" in str(error) else kind, each, error)
            return None

    tried("unchanged", driver.again)
    try:
        options = reported(before)
        result = driver.module.check(**driver.arguments(**{"state": "present", "type": ..., "memory": ..., **options}))
        if result.failed or result["plan"]:
            found.note("round trip", each, result.msg if result.failed else result["plan"])
    except AssertionError as error:
        found.note("reads", each, error)
    for kind, options in (("small", SMALL), ("large", LARGE)):
        there = stored(driver.host)
        done = tried(kind, driver.change, **options)
        lost = Counter(children(there, SPOKEN)) - Counter(children(stored(driver.host), SPOKEN))
        if lost:
            found.note("lost" if done else "changed by a failure", each, list(lost))


def test_guests_of_others(driver: Driver, corpus: list[Definition], pytestconfig: pytest.Config) -> None:
    found, before = Found(), daemon(driver.host)
    for each in corpus:
        root = defined(driver.host, each)
        if root is None and with_another_machine(each) is not None:
            root = defined(driver.host, each)
        if root is None:
            continue
        found.accepted += 1
        steps(driver, each, found, root)
        driver.clear()
        if found.accepted >= ENOUGH and not pytestconfig.getoption("--corpus"):
            break
    told = found.told()
    assert found.accepted >= 100, told
    assert daemon(driver.host) == before, "a plan has made a device, or libvirtd has died"
    assert found.share("round trip") <= 1 - TAKEN_BACK, told
    assert set(found.wrong) <= {"round trip", REFUSED}, told
