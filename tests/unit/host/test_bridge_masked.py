# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The diff of host_bridge shows whole files of network managers: all forms in which a secret stands in them are
hidden, and nothing else.
"""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.kraal.virt.plugins.module_utils.host.bridge.masked import masked

IFUPDOWN = [
    "    wpa-psk @@",
    "\twireless-key s:@@",
    "    wep-key0 @@ open",
    "    wpa-psk \\\n        @@",
    "    # wpa-psk @@",
    "    up ip macsec add macsec0 tx sa 0 pn 1 on key 00 @@",
    "    up wpa_cli -i $IFACE set_network 0 psk '\"@@\"'",
    "    pre-up wg-join --password=@@ wg0",
    "    post-up curl http://kt:@@@192.0.2.1/up",
]
NETPLAN = [
    "      password: @@",
    '      password: "@@, }" # of the guests\' network',
    '      "password": @@',
    "      password: !!str @@",
    "      password: &anchor @@",
    "      password: |\n        @@\n\n        @@",
    "      password: >-\n        @@",
    "      password:\n        @@",
    '      password: "kt\n        @@"',
    "      ? password\n      : @@",
    "      - password: '@@'",
    "      access-points: {kt-net: {password: @@}}",
    "      access-points: {kt-net: {password: '@@, it''s }', mode: ap}}",
    '      access-points: {"kt-net": {"password":"@@", "mode": "ap"}}',
    "      access-points: {kt-net: {password: '@@\n        @@', mode: ap}}",
    "      auth: {key-management: psk,\n  password: @@}",
    "      key: @@",
    "      keys: {private: @@, public: kt}",
    "      keys:\n        shared: @@",
    "      keys:\n      - @@",
    "      #  password: |\n      #    @@",
]
INI = [
    "PrivateKey=@@",
    "PresharedKey = @@",
    "Key=@@",
    "PrivateKey=\\\n@@",
    "psk=@@",
    "wep-key0=@@",
    "pin=@@",
    "mka-cak=@@",
    "pre-shared-key=@@",
    "private-key-password=@@",
    "leap-password=@@",
    "#psk=@@",
    "[vpn-secrets]\nXauth=@@\n[ipv4]",
    "pac-url=http://kt:@@@192.0.2.1/",
    "WPA_PSK='@@'",
    "KEY1=s:@@",
]


@pytest.mark.parametrize("form", [*IFUPDOWN, *NETPLAN, *INI])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_no_form_of_a_secret_is_shown(form: str, end: str) -> None:
    head, tail = "mtu=1500\n      - addresses: [192.0.2.1/24]\n", "\n      mtu: 1500\n"
    shown = masked((head + form.replace("@@", "kt-hush") + tail).replace("\n", end))
    assert "hush" not in shown
    assert shown.startswith(head.replace("\n", end)) and shown.endswith(tail.replace("\n", end))
    assert shown.count("\n") == (head + form + tail).count("\n")


def test_what_is_no_secret_is_shown() -> None:
    text = """\
network:
  version: 2
  ethernets:
    eth0:
      addresses: [192.0.2.1/24, "2001:db8::1/64"]
      routes: [{to: default, via: 192.0.2.254}]
      auth: {key-management: psk, identity: kt@example.com}
    wg0: {peers: [{keys: {public: kt}, endpoint: "192.0.2.2:51820"}]}
auto lo br0
iface br0 inet static
    address 192.0.2.1/24
    bridge_ports eth0
    wpa-key-mgmt WPA-PSK
    up ip route add 198.51.100.0/24 via 192.0.2.254
[Match]
Name=eth0 eth1
[WireGuardPeer]
PublicKey=kt=
[wifi-security]
key-mgmt=wpa-psk
psk-flags=1
url=http://192.0.2.1:8080/a@b
"""
    expected = text.replace("keys: {public: kt}", "keys: (hidden)")
    assert masked(text) == expected


LEAF = st.one_of(
    st.sampled_from(
        [
            "kt-hush",
            "kt-hush, b} c: kt-hush",
            "'kt-hush\"kt-hush",
            "kt-hush\nkt-hush\n",
            "\n\nkt-hush",
            "kt-hush # kt-hush",
            "{kt-hush",
        ]
    ),
    st.builds(
        lambda sign, count: sign + "kt-hush " * count,
        st.sampled_from(["", " ", "\t", "- ", "*", "&", "!", "|", "\\", "é", "? "]),
        st.integers(1, 30),
    ),
)
TREE: Any = st.recursive(
    st.dictionaries(
        st.sampled_from(["password", "client-key-password", "key", "private", "shared", "pin"]), LEAF, max_size=2
    ),
    lambda inner: st.dictionaries(
        st.sampled_from(["wlan0", "auth", "a b", "mtu"]),
        st.one_of(inner, st.lists(inner, max_size=2), st.integers()),
        max_size=3,
    ),
    max_leaves=6,
)


@settings(max_examples=300)
@given(
    tree=TREE,
    flow=st.sampled_from([True, False, None]),
    style=st.sampled_from([None, '"', "'", "|", ">"]),
    width=st.sampled_from([20, 40, 80, 1000]),
    indent=st.sampled_from([2, 4]),
    plain=st.booleans(),
)
def test_no_way_to_write_yaml_shows_a_secret(
    tree: Any, flow: bool | None, style: str | None, width: int, indent: int, plain: bool
) -> None:
    text = yaml.dump(
        {"network": tree}, default_flow_style=flow, default_style=style, width=width, indent=indent, allow_unicode=plain
    )
    assert "hush" not in masked(text)
