# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The seed reader's translation of a seed; that it does so in a guest is seen in
tests/integration/test_base_image_disk.py.
"""

from __future__ import annotations

import ast
import json
import os
import pwd
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ansible_collections.kraal.virt.plugins.module_utils.images import seed_reader


def files(config: Any) -> tuple[dict[str, str], list[str]]:
    warnings: list[str] = []
    return seed_reader.networkd_files(config, warnings.append), warnings


def test_an_interface_by_its_mac_with_addresses() -> None:
    found, warnings = files({
        "version": 2,
        "ethernets": {
            "lan0": {
                "match": {"macaddress": "52:54:00:00:00:01"},
                "dhcp4": False,
                "addresses": ["192.0.2.5/24", "2001:db8::5/64"],
                "gateway4": "192.0.2.1",
                "gateway6": "2001:db8::1",
                "nameservers": {"addresses": ["192.0.2.53"], "search": ["kt.test", "test"]},
                "routes": [{"to": "198.51.100.0/24", "via": "192.0.2.2", "metric": 50, "on-link": True}, {"to": "default", "via": "192.0.2.3"}],
                "mtu": 1400,
                "optional": True,
                "accept-ra": False,
            }
        },
    })  # fmt: skip
    assert warnings == []
    assert found == {
        "10-kraal-seed-lan0.network": "[Match]\nMACAddress=52:54:00:00:00:01\n\n"
        "[Link]\nMTUBytes=1400\nRequiredForOnline=no\n\n"
        "[Network]\nDHCP=no\nAddress=192.0.2.5/24\nAddress=2001:db8::5/64\nGateway=192.0.2.1\nGateway=2001:db8::1\n"
        "DNS=192.0.2.53\nDomains=kt.test test\nIPv6AcceptRA=no\n\n"
        "[Route]\nDestination=198.51.100.0/24\nGateway=192.0.2.2\nMetric=50\nGatewayOnLink=yes\n\n"
        "[Route]\nGateway=192.0.2.3\n"
    }


@pytest.mark.parametrize(
    ("entry", "lines"),
    [
        ({"dhcp4": True}, ["Name=en0", "DHCP=ipv4", "ClientIdentifier=mac"]),
        ({"dhcp4": True, "dhcp6": True}, ["Name=en0", "DHCP=yes", "ClientIdentifier=mac"]),
        ({"dhcp6": True}, ["Name=en0", "DHCP=ipv6"]),
        ({"match": {"name": "en*"}, "dhcp4": True}, ["Name=en*", "DHCP=ipv4", "ClientIdentifier=mac"]),
    ],
)
def test_dhcp_by_name(entry, lines) -> None:
    """And the form in which the whole is below the key network."""
    found, warnings = files({"network": {"version": 2, "ethernets": {"en0": entry}}})
    assert warnings == []
    assert [line for line in "".join(found.values()).splitlines() if "=" in line] == lines


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"version": 2, "bonds": {}}, "bonds"),
        ({"version": 2, "ethernets": {"en0": {"set-name": "lan0"}}}, "ethernets.en0: set-name"),
        ({"version": 2, "ethernets": {"en0": {"match": {"driver": "virtio"}}}}, "match: driver"),
        ({"version": 2, "ethernets": {"en0": {"routes": [{"to": "default", "table": 5}]}}}, "routes: table"),
        ({"version": 2, "ethernets": {"en0": {"nameservers": {"options": []}}}}, "nameservers: options"),
        ({"version": 2, "ethernets": {"en0": {"mtu": "many"}}}, "ethernets.en0"),
        ({"version": 2, "ethernets": {"en0": {"addresses": ["192.0.2.1/24\n[Match]"]}}}, "ethernets.en0.addresses"),
        ({"version": 2, "ethernets": {"en0": "dhcp"}}, "ethernets.en0 is not a mapping"),
    ],
)
def test_what_is_not_understood_is_named(config, words) -> None:
    dummy, warnings = files(config)
    assert any(words in warning for warning in warnings), warnings


@pytest.mark.parametrize("config", [{"version": 1, "config": []}, {}, [], "text", {"network": None}])
def test_another_version_is_nothing(config) -> None:
    with pytest.raises(seed_reader.Invalid):
        files(config)


KEYS = (
    some.sampled_from(
        (
            "match",
            "name",
            "macaddress",
            "dhcp4",
            "addresses",
            "gateway4",
            "routes",
            "to",
            "via",
            "nameservers",
            "search",
            "mtu",
        )
    )
    | some.text()
)
values = some.recursive(
    some.none() | some.text() | some.integers(), lambda of: some.lists(of) | some.dictionaries(KEYS, of)
)


@given(some.dictionaries(KEYS, values))
def test_no_seed_breaks_out_of_its_files(entry) -> None:
    found, dummy = files({"version": 2, "ethernets": {"../../x": entry}})
    for name, text in found.items():
        assert "/" not in name
        assert {line.partition("=")[0] for line in text.splitlines()} <= {
            *(
                "",
                "[Match]",
                "[Link]",
                "[Network]",
                "[Route]",
                "[DHCPv4]",
                "MACAddress",
                "Name",
                "DHCP",
                "Address",
                "Gateway",
                "DNS",
                "Domains",
            ),
            *(
                "IPv6AcceptRA",
                "MTUBytes",
                "RequiredForOnline",
                "Destination",
                "Metric",
                "GatewayOnLink",
                "ClientIdentifier",
            ),
        }


def test_texts_of_a_seed() -> None:
    warnings: list[str] = []
    texts = {
        "meta-data": json.dumps({"instance-id": "kt"}),
        "user-data": "#!/bin/sh\necho kt-secret\n",
        "network-config": "{kt-secret: [",
    }
    assert seed_reader.understood(texts, warnings.append) == {"meta-data": {"instance-id": "kt"}}
    assert (
        len(warnings) == 2
        and "user-data" in warnings[0]
        and "network-config" in warnings[1]
        and "kt-secret" not in "".join(warnings)
    )


def test_what_it_cannot_do_is_said_without_the_value(monkeypatch, tmp_path) -> None:
    """And the parts beside it are done."""
    monkeypatch.setattr(seed_reader, "NETWORK", tmp_path)
    (tmp_path / "10-kraal-seed-old.network").write_text("of the instance before")
    warnings: list[str] = []
    reader = seed_reader.Reader("kt-no-such-user", warnings.append)
    reader.apply(
        {"instance-id": "kt", "vendor": "kt-secret"},
        {
            "hostname": "kt secret",
            "chpasswd": {"list": "kt-secret"},
            "ssh_authorized_keys": ["kt-secret"],
            "users": ["default", {"name": "No Name", "passwd": "kt-secret"}],
            "write_files": [
                {"path": "relative", "content": "kt-secret"},
                {"path": str(tmp_path / "made/file"), "content": "a3Q=", "encoding": "b64", "permissions": "0640"},
            ],
        },
        {"version": 2, "ethernets": {"en0": {"dhcp4": True}}},
    )  # fmt: skip
    text = "\n".join(warnings)
    assert "secret" not in text
    for words in ("vendor", "chpasswd", "hostname", "users[1]", "passwd", "write_files[0]", "ssh_authorized_keys"):
        assert words in text, words
    assert reader.failed, "there is no such user"
    made = tmp_path / "made/file"
    assert made.read_bytes() == b"kt" and made.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in tmp_path.glob("*.network")] == ["10-kraal-seed-en0.network"]


def test_what_is_no_list_stops_nothing(monkeypatch, tmp_path) -> None:
    """Nor does one bad key: the others let their owner in."""
    account = pwd.struct_passwd(("kt", "x", os.getuid(), os.getgid(), "", str(tmp_path), "/bin/sh"))
    monkeypatch.setattr(seed_reader.pwd, "getpwnam", lambda name: account)
    warnings: list[str] = []
    reader = seed_reader.Reader("kt", warnings.append)
    keys = ["two\nlines", {}, "key two", "key one"]
    reader.apply(
        {"public-keys": {"one": "key one"}},
        {"users": {"name": "x"}, "write_files": {}, "ssh_authorized_keys": keys},
        None,
    )
    assert (tmp_path / ".ssh/authorized_keys").read_text() == "key one\nkey two\n"
    assert (tmp_path / ".ssh/authorized_keys").stat().st_mode & 0o777 == 0o600
    assert not reader.failed and len([each for each in warnings if "a key is not a text" in each]) == 2
    assert any("users is not a list" in each for each in warnings) and any(
        "write_files is not a list" in each for each in warnings
    )


def test_it_stands_alone() -> None:
    """It is put into the image as one file, so it imports nothing of the collection."""
    tree = ast.parse(Path(seed_reader.__file__).read_text(encoding="utf-8"))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]
