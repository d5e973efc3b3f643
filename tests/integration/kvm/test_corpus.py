# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks and pools that others have defined: as those of guests (kvm_vm/test_corpus.py)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.network.options import NETWORKS_TABLE
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.storage.pool_options import POOLS_TABLE
from tests.support.corpus import Definition, Found, children, definitions
from tests.support.libvirt_daemon import LibvirtDaemon
from tests.support.libvirt_driver import LibvirtModule

pytestmark = pytest.mark.only_all(
    "hundreds of definitions take minutes; test_network.py and test_pool.py show each option"
)

NAME = "kt-odd"
ENOUGH, LEAST, TAKEN_BACK = 100, 60, 0.95


def _network_change(before: Mapping[str, Any]) -> dict[str, Any]:
    own = before["forward"] in ("nat", "route", "open", "isolated")
    return {"domain": "kt.example.org", "dns_txt": {"kt": "a"}} if own and before["dns"] is not False else {}


def _pool_change(before: Mapping[str, Any]) -> dict[str, Any]:
    # That of a group of LVM is not a task's to say.
    return {"path": "/kt-elsewhere"} if before["type"] not in ("logical", "zfs") and before["path"] else {}


#: By kind: the tag, what virsh puts before its commands, the table, what a task changes beside the autostart, and the
#: elements in which that is.
KINDS: dict[str, tuple[str, str, Any, Callable[[Mapping[str, Any]], dict[str, Any]], frozenset[str]]] = {
    "network": ("network", "net-", NETWORKS_TABLE, _network_change, frozenset(("domain", "dns"))),
    "pool": ("pool", "pool-", POOLS_TABLE, _pool_change, frozenset(("target",))),
}


def defined(host: LibvirtDaemon, prefix: str, each: Definition) -> bool:
    """Whether libvirt takes it."""
    host.virsh(f"{prefix}undefine", NAME, check=False)
    try:
        host.define(prefix, each.named(NAME))
    except RuntimeError:
        return False
    return True


def stored(host: LibvirtDaemon, prefix: str) -> ET.Element:
    return ET.fromstring(host.virsh(f"{prefix}dumpxml", NAME, "--inactive"))


def steps(kind: str, host: LibvirtDaemon, module: LibvirtModule, each: Definition, found: Found) -> None:
    """One definition: as it is, described, changed a little, and changed more."""
    _tag, prefix, table, change, spoken = KINDS[kind]

    def tried(about: str, function: Callable[..., Any], **args: Any) -> Any:
        try:
            return function(name=NAME, state="present", **args)
        except AssertionError as error:
            found.note(about, each, error)
            return None

    seen = tried("unchanged", module.again)
    if seen is None:
        return
    described = seen[kind]
    options = {option.name: described[option.name] for option in table.options if described[option.name] is not None}
    result = tried("reads", module.check, **json.loads(json.dumps(options)))
    if result is not None and (result.failed or result["plan"]):
        found.note("round trip", each, result.msg if result.failed else result["plan"])
    for about, more in (("small", {}), ("large", change(described))):
        there = stored(host, prefix)
        done = tried(about, module.change, autostart=about == "small", **more)
        but = dict.fromkeys(spoken if about == "large" else ())
        lost = Counter(children(there, but)) - Counter(children(stored(host, prefix), but))
        if lost:
            found.note("lost" if done else "changed by a failure", each, list(lost))


@pytest.mark.parametrize("kind", KINDS)
def test_definitions_of_others(
    kind: str,
    kvm_modules: Callable[[str], LibvirtModule],
    clean: LibvirtDaemon,
    corpus_directory: Path,
    pytestconfig: pytest.Config,
) -> None:
    tag, prefix, *_rest = KINDS[kind]
    found, module = Found(), kvm_modules(f"kvm_{kind}")
    for each in definitions(corpus_directory, tag):
        if defined(clean, prefix, each):
            found.accepted += 1
            steps(kind, clean, module, each, found)
            clean.clear()
        if found.accepted >= ENOUGH and not pytestconfig.getoption("--corpus"):
            break
    told = found.told()
    assert found.accepted >= LEAST, told
    assert found.share("round trip") <= 1 - TAKEN_BACK, told
    assert set(found.wrong) <= {"round trip"}, told
