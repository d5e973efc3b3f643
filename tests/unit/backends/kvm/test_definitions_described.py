# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told of a network or pool that others have made, given back to it, changes nothing, and is not objected to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.definition import Definition, Seen
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.network.resource import Networks
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.storage.pool import Pools
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.xml import parse
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import InvalidOption

DEFINITIONS: dict[str, tuple[Any, str]] = {
    "isolated network": (Networks, "<network><name>kt</name><bridge name='b'/></network>"),
    "open network with a device": (
        Networks,
        "<network><name>kt</name><forward dev='eth0' mode='open'/><bridge name='b'/><ip address='192.0.2.1' prefix='24'/></network>",
    ),
    "network on interfaces of the host": (
        Networks,
        "<network><name>kt</name><forward mode='bridge' dev='eth0'><interface dev='eth0'/></forward></network>",
    ),
    "network of Open vSwitch": (
        Networks,
        """<network><name>kt</name><forward mode='bridge'/><bridge name='b'/><virtualport type='openvswitch'/>
        <portgroup name='g'><virtualport><parameters profileid='p'/></virtualport></portgroup></network>""",
    ),
    "network without a service": (
        Networks,
        """<network><name>kt</name><bridge name='b'/><dns><srv service='s' protocol='tcp' domain='d' target='.' port='1'/></dns>
        <ip address='192.0.2.1' prefix='24'/></network>""",
    ),
    "network that is routed and has no subnet": (
        Networks,
        "<network><name>kt</name><forward mode='route'/><bridge name='b'/></network>",
    ),
    "pool of a directory": (Pools, "<pool type='dir'><name>kt</name><target><path>/srv/kt</path></target></pool>"),
    "pool of LVM": (
        Pools,
        """<pool type='logical'><name>kt</name><source><device path='/dev/b'/><name>kt</name><format type='lvm2'/></source>
        <target><path>/dev/kt</path></target></pool>""",
    ),
    "pool of an adapter by its card": (
        Pools,
        """<pool type='scsi'><name>kt</name><source><adapter type='scsi_host'><parentaddr unique_id='1'>
        <address domain='0x0000' bus='0x00' slot='0x1f' function='0x2'/></parentaddr></adapter></source>
        <target><path>/dev/disk/by-path</path></target></pool>""",
    ),
    "pool of ZFS": (
        Pools,
        "<pool type='zfs'><name>kt</name><source><name>tank</name></source><target><path>/dev/zvol/tank</path></target></pool>",
    ),
    "pool of Ceph": (
        Pools,
        "<pool type='rbd'><name>kt</name><source><host name='h'/><name>p</name></source></pool>",
    ),
}


def planned(resource: Any, text: str, **values: Any) -> list[Any]:
    """The steps for a definition that is there."""
    table = resource.table
    want = table.read(
        {
            **{key: spec.get("default") for key, spec in table.argument_spec().items()},
            "name": "kt",
            "state": "present",
            **values,
        }
    )
    steps: list[Any] = resource(None).plan(want, Seen({"kt": Definition("id", parse(text))}))
    return steps


def described(resource: Any, text: str) -> dict[str, Any]:
    told = resource(None).describe("kt", Seen({"kt": Definition("id", parse(text))}))
    assert told is not None
    found = {option.name: told[option.name] for option in resource.table.options}
    return {name: json.loads(json.dumps(value)) for name, value in found.items() if value is not None}


@pytest.mark.parametrize("about", DEFINITIONS)
def test_what_is_described_changes_nothing(about: str) -> None:
    resource, text = DEFINITIONS[about]
    assert planned(resource, text, **described(resource, text)) == []


@pytest.mark.parametrize(
    ("about", "values"),
    [
        ("open network with a device", {"forward_dev": "eth1"}),
        ("network on interfaces of the host", {"mtu": 1400}),
        ("pool of LVM", {"path": "/kt-elsewhere"}),
        ("pool of Ceph", {"devices": ["/dev/b"]}),
        ("pool of a directory", {"source_name": "kt"}),
    ],
)
def test_what_would_be_new_is_objected_to(about: str, values: dict[str, Any]) -> None:
    resource, text = DEFINITIONS[about]
    with pytest.raises(InvalidOption, match=f"^{next(iter(values))}: "):
        planned(resource, text, **values)
