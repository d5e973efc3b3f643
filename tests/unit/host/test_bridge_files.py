# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that each network manager gets for a bridge."""

from __future__ import annotations

import configparser
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import InvalidOption, Refused
from ansible_collections.kraal.virt.plugins.module_utils.host.bridge import ifupdown, netplan, networkd, networkmanager
from ansible_collections.kraal.virt.plugins.module_utils.host.bridge.ini import parse
from ansible_collections.kraal.virt.plugins.module_utils.host.bridge.manager import FileState, Overlay
from ansible_collections.kraal.virt.plugins.module_utils.host.bridge.shape import TABLE, Shape, Uplink, shape_of
from ansible_collections.kraal.virt.plugins.module_utils.host.reader import Files

MAC = "52:54:00:12:34:56"
STATIC: dict[str, Any] = {
    "addresses": ("192.0.2.20/24", "192.0.2.21/24", "2001:db8::20/64"),
    "gateway": ("192.0.2.1", "2001:db8::1"),
    "dns": ("192.0.2.53",),
}
LAN = "[Match]\nName=eth0\n\n[Link]\nMTUBytes=9000\n\n[Network]\nDHCP=ipv4\nVLAN=eth0.7\n\n"
LAN += "[Address]\nAddress=192.0.2.10/24\n\n[Address]\nAddress=192.0.2.11/24\n"


def tree(root: Path, **files: str) -> Files:
    for path, text in files.items():
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return Files(root)


def shape(link: Uplink | None = None, **values: Any) -> Shape:
    return shape_of("br0", values, link)


def texts(files: dict[str, FileState | None]) -> dict[str, str]:
    return {path.rpartition("/")[2]: state.content.decode() for path, state in files.items() if state}


# What a bridge is


@pytest.mark.parametrize(
    ("link", "values", "source"),
    [
        (Uplink("eth0"), {}, "uplink"),
        (Uplink("eth0"), {"addresses": ("192.0.2.1/24",)}, "static"),
        (Uplink("eth0"), {"vlan": 5}, "none"),
        (None, {}, "none"),
        (None, {"addresses": ("192.0.2.1/24",)}, "static"),
    ],
)
def test_where_addresses_come_from_unless_it_is_said(link: Uplink | None, values: dict[str, Any], source: str) -> None:
    assert shape(link, **values).addresses_from == source


def test_ports_and_macs() -> None:
    link = Uplink("eth0", MAC)
    assert (shape(link).port, shape(link).hardware, shape(link).takes_over) == ("eth0", MAC, True)
    assert (shape(link, vlan=5).port, shape(link, vlan=5).takes_over) == ("eth0.5", False)
    assert shape(link, vlan=5, addresses_from="uplink").takes_over is True
    assert (shape().port, shape().hardware, shape(link, mac="02:00:00:00:00:01").hardware) == (
        "",
        "",
        "02:00:00:00:00:01",
    )
    with pytest.raises(AttributeError):
        shape().nonsense  # noqa: B018


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"addresses_from": "static"}, "needs addresses"),
        ({"addresses_from": "dhcp", "link": None}, "needs an uplink"),
        ({"vlan": 5, "link": None}, "needs an uplink"),
        ({"addresses": ("192.0.2.1/24",), "addresses_from": "none"}, "only given with"),
        ({"gateway": ("192.0.2.1",)}, "only given with"),
        ({"addresses": ("192.0.2.1/24",), "gateway": ("198.51.100.1",)}, "in none of the bridge's networks"),
        ({"addresses": ("192.0.2.9/24",), "gateway": ("192.0.2.1", "192.0.2.2")}, "the second one"),
        ({"addresses": ("2001:db8::1/64",), "ipv6": "disabled"}, "contradicts"),
        ({"ipv6": "disabled"}, "own affair"),
        ({"stp": True, "forward_delay": 1}, "too short"),
        ({"mac": "03:00:00:00:00:01"}, "group"),
    ],
)
def test_what_does_not_go_together(values: dict[str, Any], words: str) -> None:
    link = values.pop("link", Uplink("eth0"))
    with pytest.raises(InvalidOption, match=words) as caught:
        shape(link, **values)
    assert caught.value.remedy


def test_a_link_local_gateway_is_in_every_network() -> None:
    assert shape(Uplink("eth0"), addresses=("2001:db8::2/64",), gateway=("fe80::1",)).gateway == ("fe80::1",)


@pytest.mark.parametrize("name", ["", "-br0", "br 0", "br0\n", "a/b", "..", "0123456789abcdef", "lo", "br;0"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(InvalidOption):
        TABLE.read({"name": name, "state": "present"})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"uplink": "eth0\n[Network]"}, "control character"),
        ({"addresses": ["192.0.2.1"]}, "not a valid address with a prefix"),
        ({"mtu": 70000}, "out of bounds"),
    ],
)
def test_values_that_are_none(values: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidOption, match=words) as caught:
        TABLE.read({"name": "br0", "state": "present", **values})
    assert caught.value.remedy


# systemd-networkd


def network(files: Files, **values: Any) -> dict[str, str]:
    link = Uplink("eth0", MAC, profile="/etc/systemd/network/10-lan.network", iaid=values.pop("iaid", ""))
    return texts(networkd.Networkd().render(shape(link, **values), files))


def test_networkd_takes_over_what_the_uplink_says(tmp_path: Path) -> None:
    files = tree(
        tmp_path,
        **{
            "/etc/systemd/network/10-lan.network": LAN,
            "/etc/systemd/network/10-lan.network.d/dns.conf": "[Network]\nDNS=192.0.2.53\n",
            "/usr/lib/systemd/network/10-lan.network.d/dns.conf": "[Network]\nDNS=192.0.2.99\n",
        },
    )
    made = network(files, iaid="305419896")
    assert sorted(made) == ["00-kraal-br0-uplink.network", "00-kraal-br0.netdev", "00-kraal-br0.network"]
    assert parse(made["00-kraal-br0.network"]) == [
        ("Match", [("Name", "br0")]),
        ("Network", [("DHCP", "ipv4")]),
        ("Address", [("Address", "192.0.2.10/24")]),
        ("Address", [("Address", "192.0.2.11/24")]),
        ("Network", [("DNS", "192.0.2.53")]),
        ("DHCPv4", [("IAID", "305419896")]),
        ("DHCPv6", [("IAID", "305419896")]),
    ]
    assert parse(made["00-kraal-br0.netdev"]) == [
        ("NetDev", [("Name", "br0"), ("Kind", "bridge"), ("MACAddress", MAC)]),
        ("Bridge", [("STP", "no"), ("ForwardDelaySec", "0")]),
    ]
    port = dict(parse(made["00-kraal-br0-uplink.network"]))
    assert (
        ("Bridge", "br0") in port["Network"]
        and ("VLAN", "eth0.7") in port["Network"]
        and port["Match"] == [("Name", "eth0")]
    )
    # The first file that matches a link wins.
    assert min("10-lan.network", *made) in made


def test_networkd_static_and_vlan(tmp_path: Path) -> None:
    files = tree(tmp_path, **{"/etc/systemd/network/10-lan.network": LAN})
    made = network(files, vlan=5, mtu=1400, stp=True, **STATIC)
    assert dict(parse(made["00-kraal-br0-vlan.netdev"]))["VLAN"] == [("Id", "5")]
    assert ("Bridge", "br0") in dict(parse(made["00-kraal-br0-vlan.network"]))["Network"]
    assert made["kraal-br0.conf"].endswith("[Network]\nVLAN=eth0.5\n")
    assert parse(made["00-kraal-br0.network"])[1:] == [
        ("Network", [("DHCP", "no"), ("LinkLocalAddressing", "ipv6"), ("IPv6AcceptRA", "yes"), ("DNS", "192.0.2.53")]),
        ("Address", [("Address", "192.0.2.20/24")]),
        ("Address", [("Address", "192.0.2.21/24")]),
        ("Address", [("Address", "2001:db8::20/64")]),
        ("Route", [("Gateway", "192.0.2.1")]),
        ("Route", [("Gateway", "2001:db8::1")]),
    ]
    assert ("ForwardDelaySec", "15") in dict(parse(made["00-kraal-br0.netdev"]))["Bridge"]
    moved = network(files, vlan=5, addresses_from="uplink")
    assert ("VLAN", "eth0.5") in dict(parse(moved["00-kraal-br0-uplink.network"]))[
        "Network"
    ] and "kraal-br0.conf" not in moved


def test_the_iaid_of_a_lease() -> None:
    assert networkd.iaid_of("ADDRESS=192.0.2.5\nCLIENTID=ff1234567800020000ab11\n") == "305419896"
    assert networkd.iaid_of("CLIENTID=01525400123456\n") == networkd.iaid_of("") == ""


# NetworkManager


def test_networkmanager(tmp_path: Path) -> None:
    profile = "[connection]\nid=lan\ntype=ethernet\n[ethernet]\nmtu=1400\n[ipv4]\nmethod=manual\naddress1=192.0.2.10/24,192.0.2.1\n[ipv6]\nmethod=auto\n"
    files = tree(tmp_path, **{"/etc/NetworkManager/system-connections/lan.nmconnection": profile})
    link = Uplink("eth0", MAC, profile="/etc/NetworkManager/system-connections/lan.nmconnection", identity="u")
    made = networkmanager.NetworkManager().render(shape(link), files)
    assert all(state and state.mode == 0o600 for state in made.values())
    bridge, port = (
        read_keyfile(texts(made)[name]) for name in ("kraal-br0.nmconnection", "kraal-br0-port.nmconnection")
    )
    assert (
        bridge["ipv4"]["address1"] == "192.0.2.10/24,192.0.2.1"
        and bridge["ipv6"]["method"] == "auto"
        and bridge["ethernet"]["mtu"] == "1400"
    )
    assert (bridge["bridge"]["mac-address"], bridge["bridge"]["stp"], bridge["bridge"]["forward-delay"]) == (
        MAC,
        "false",
        "0",
    )
    assert (port["connection"]["master"], port["connection"]["type"], port["connection"]["autoconnect-priority"]) == (
        "br0",
        "ethernet",
        "999",
    )
    assert bridge["connection"]["uuid"] != port["connection"]["uuid"] == networkmanager.identity("br0", "port")
    made = networkmanager.NetworkManager().render(shape(link, vlan=5, **STATIC), files)
    bridge, port = (
        read_keyfile(texts(made)[name]) for name in ("kraal-br0.nmconnection", "kraal-br0-port.nmconnection")
    )
    assert (port["vlan"]["id"], port["vlan"]["parent"], port["connection"]["interface-name"]) == ("5", "eth0", "eth0.5")
    assert bridge["ipv4"] == {
        "method": "manual",
        "address1": "192.0.2.20/24",
        "address2": "192.0.2.21/24",
        "gateway": "192.0.2.1",
        "dns": "192.0.2.53;",
    }
    assert bridge["ipv6"] == {"method": "auto", "address1": "2001:db8::20/64", "gateway": "2001:db8::1"}
    nothing = read_keyfile(texts(networkmanager.NetworkManager().render(shape(), files))["kraal-br0.nmconnection"])
    assert nothing["ipv4"] == nothing["ipv6"] == {"method": "disabled"}


def read_keyfile(text: str) -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(interpolation=None, comment_prefixes=("#",))
    parser.read_string(text)
    return {
        name: {key: value.lower() if key == "mac-address" else value for key, value in parser[name].items()}
        for name in parser.sections()
    }


def test_the_active_connection() -> None:
    said = "uuid-1:eth1:/a\nuuid-2:eth0:/etc/NetworkManager/system-connections/Wired\\: 1.nmconnection\n"
    assert networkmanager.active(said, "eth0") == (
        "uuid-2",
        "/etc/NetworkManager/system-connections/Wired: 1.nmconnection",
    )
    assert networkmanager.active(said, "eth2") == ("", "")


# netplan

PLAN = """# mine
network:
  version: 2
  ethernets:
    eth0:
      mtu: 9000
      dhcp4: true
      addresses: [192.0.2.10/24]
      routes: [{to: default, via: 192.0.2.1}]
    other: {match: {macaddress: "52:54:00:00:00:99"}, set-name: eth9, dhcp4: true}
"""


def test_netplan(tmp_path: Path) -> None:
    files = tree(tmp_path, **{"/etc/netplan/10-lan.yaml": PLAN})
    made = netplan.Netplan().render(shape(Uplink("eth0", MAC, identity="eth0", iaid="7")), files)
    assert made["/etc/netplan/90-kraal-br0.yaml"].mode == 0o600  # type: ignore[union-attr]
    told = {name: yaml.safe_load(text) for name, text in texts(made).items() if name.endswith(".yaml")}
    ethernets = told["10-lan.yaml"]["network"]["ethernets"]
    assert ethernets["eth0"] == {"mtu": 9000, "dhcp4": False, "dhcp6": False, "accept-ra": False, "link-local": []}
    assert ethernets["other"] == yaml.safe_load(PLAN)["network"]["ethernets"]["other"]
    assert told["90-kraal-br0.yaml"]["network"]["bridges"]["br0"] == {
        "interfaces": ["eth0"],
        "macaddress": MAC,
        "parameters": {"stp": False, "forward-delay": 0},
        "addresses": ["192.0.2.10/24"],
        "dhcp4": True,
        "routes": [{"to": "default", "via": "192.0.2.1"}],
    }
    assert "IAID=7" in texts(made)["kraal.conf"]
    made = netplan.Netplan().render(shape(Uplink("eth0", MAC), vlan=5, **STATIC), files)
    assert sorted(made) == ["/etc/netplan/90-kraal-br0.yaml"]
    network = yaml.safe_load(texts(made)["90-kraal-br0.yaml"])["network"]
    assert (
        network["vlans"]["eth0.5"]["id"],
        network["vlans"]["eth0.5"]["link"],
        network["bridges"]["br0"]["interfaces"],
    ) == (5, "eth0", ["eth0.5"])
    assert network["bridges"]["br0"]["addresses"] == list(STATIC["addresses"])
    assert network["bridges"]["br0"]["routes"] == [
        {"to": "0.0.0.0/0", "via": "192.0.2.1"},
        {"to": "::/0", "via": "2001:db8::1"},
    ]


def test_netplan_finds_a_link_by_what_its_entry_matches(tmp_path: Path) -> None:
    files = tree(tmp_path, **{"/etc/netplan/10-lan.yaml": PLAN})
    found = netplan.definition(files, "eth9", "52:54:00:00:00:99")
    assert found is not None and found[:3] == ("/etc/netplan/10-lan.yaml", "ethernets", "other")
    assert netplan.definition(files, "eth5", "") is None
    assert (
        netplan.renderer(files, {}) == "networkd"
        and netplan.renderer(files, {"renderer": "NetworkManager"}) == "NetworkManager"
    )


# ifupdown

INTERFACES = """# mine
source /etc/network/interfaces.d/*
auto lo eth0
iface lo inet loopback

# the way out
iface eth0 inet static
\taddress 192.0.2.10/24
\tgateway 192.0.2.1
\thwaddress ether 52:54:00:12:34:56
\t# kept
\tup ip route add 198.51.100.0/24 \\
\t   via 192.0.2.2

iface eth0 inet6 auto
allow-hotplug eth1
iface eth1 inet dhcp
"""


def test_ifupdown_moves_stanzas_and_gives_them_back(tmp_path: Path) -> None:
    files = tree(tmp_path, **{"/etc/network/interfaces": INTERFACES})
    manager = ifupdown.Ifupdown()
    made = manager.render(shape(Uplink("eth0", MAC), mtu=1400), files)
    (text,) = texts(made).values()
    live = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    assert live == [
        "source /etc/network/interfaces.d/*",
        "auto lo",
        "iface lo inet loopback",
        "allow-hotplug eth1",
        "iface eth1 inet dhcp",
        "auto br0",
        "iface br0 inet static",
        "pre-up ip link set dev eth0 mtu 1400",
        "bridge_ports eth0",
        f"bridge_hw {MAC}",
        "bridge_stp off",
        "bridge_fd 0",
        "bridge_maxwait 0",
        "up ip link set dev br0 mtu 1400",
        "address 192.0.2.10/24",
        "gateway 192.0.2.1",
        "up ip route add 198.51.100.0/24  via 192.0.2.2",
        "iface br0 inet6 auto",
    ]
    back = manager.without(FileState(text.replace("iface eth1 inet dhcp", "iface eth1 inet manual").encode()), "br0")
    assert back is not None and back.content.decode() == INTERFACES.replace(
        "iface eth1 inet dhcp", "iface eth1 inet manual"
    )


def test_two_bridges_of_ifupdown_share_a_file_and_keep_out_of_each_others_way(tmp_path: Path) -> None:
    """Whichever is looked at again, the file is as it should be; and whichever goes, the other stays."""
    manager = ifupdown.Ifupdown()

    def rendered(number: int, text: str, bridge: Any) -> str:
        (made,) = texts(
            manager.render(bridge, tree(tmp_path / str(number), **{"/etc/network/interfaces": text}))
        ).values()
        return made

    def without(text: str, name: str) -> str:
        state = manager.without(FileState(text.encode()), name)
        assert state is not None
        return state.content.decode()

    outer, inner = shape(Uplink("eth0", MAC)), shape_of("br-inner", {"addresses": ("198.51.100.1/24",)}, None)
    one = rendered(1, INTERFACES, outer)
    both = rendered(2, one, inner)
    assert [line for line in both.splitlines() if line.startswith("auto ")] == ["auto lo", "auto br-inner", "auto br0"]
    assert rendered(3, without(both, "br0"), outer) == both
    assert rendered(4, without(both, "br-inner"), inner) == both
    assert without(both, "br-inner") == one
    assert without(without(both, "br0"), "br-inner") == INTERFACES


def test_ifupdown_reads_what_is_sourced(tmp_path: Path) -> None:
    main = "source interfaces.d/*.cfg\nsource-directory /etc/network/more\n"
    files = tree(
        tmp_path,
        **{
            "/etc/network/interfaces": main,
            "/etc/network/interfaces.d/lan.cfg": "auto eth0\niface eth0 inet dhcp",
            "/etc/network/interfaces.d/lan.bak": "iface eth0 inet static\n",
            "/etc/network/more/b": "",
            "/etc/network/more/b.old": "",
        },
    )
    assert ifupdown.files_of(files) == [
        "/etc/network/interfaces",
        "/etc/network/interfaces.d/lan.cfg",
        "/etc/network/more/b",
    ]
    made = ifupdown.Ifupdown().render(shape(Uplink("eth0", MAC)), files)
    assert sorted(made) == ["/etc/network/interfaces.d/lan.cfg"]
    assert "iface br0 inet dhcp\n    bridge_ports eth0\n" in texts(made)["lan.cfg"]


def test_ifupdown_static_and_vlan(tmp_path: Path) -> None:
    files = tree(tmp_path, **{"/etc/network/interfaces": INTERFACES})
    made = ifupdown.Ifupdown().render(shape(Uplink("eth0", MAC), vlan=5, **STATIC), files)
    (text,) = texts(made).values()
    assert text.startswith(INTERFACES) and "bridge_ports eth0.5\n" in text and "type vlan id 5\n" in text
    assert [line for line in text.splitlines() if line.startswith("iface br0")] == ["iface br0 inet static"] * 2 + [
        "iface br0 inet6 static"
    ]
    assert text.count("gateway 192.0.2.1\n") == 2 and text.count("gateway 2001:db8::1\n") == 1


@pytest.mark.parametrize(
    ("stanza", "words"),
    [
        ("iface eth0 inet ppp\n", "method inet ppp"),
        ("iface eth0 inet static\n  bond-slaves eth1\n", "not a plain link"),
        ("iface eth0 inet static\n  wpa-ssid home\n", "not a plain link"),
        ("iface eth0 inet dhcp\n  up ethtool -K eth0 tso off\n", "names eth0"),
        ("mapping eth0\n  script x\n", "mapping"),
    ],
)
def test_ifupdown_refuses_what_means_something_else_on_a_bridge(stanza: str, words: str) -> None:
    with pytest.raises(Refused, match=words) as caught:
        ifupdown.hide(stanza, "eth0", "br0")
    assert caught.value.remedy


def test_files_as_they_were(tmp_path: Path) -> None:
    files = tree(tmp_path, **{"/etc/a": "now", "/etc/b": "bridge"})
    overlay = Overlay(files, {"/etc/a": FileState(b"before"), "/etc/b": None, "/etc/c": FileState(b"gone since")})
    assert (overlay.text("/etc/a"), overlay.text("/etc/b"), overlay.text("/etc/c")) == ("before", None, "gone since")
    assert overlay.names("/etc") == ["a", "c"]
