# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kvm_network where a network uses what the host has: bridges, interfaces, functions of devices, groups of ports."""

from __future__ import annotations

from typing import Any

from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.network.options import NETWORK_OPTIONS
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.xml import canonical
from tests.support.libvirt_daemon import LibvirtDaemon
from tests.support.libvirt_driver import LibvirtModule

from .network_rows import BASE, MAC1, NAME, OPEN, every, get, shown

SPREAD = True

UUID = "3b1bd1c2-0c1e-4a5f-9b8f-4cb6a3a6f0d8"
PORT = f"""<networkport><uuid>{UUID}</uuid><owner><name>kt-guest</name><uuid>{UUID}</uuid></owner><mac address='{MAC1}'/></networkport>"""


def test_interfaces_of_the_host(network: LibvirtModule, clean: LibvirtDaemon) -> None:
    """Each mode that guests are put on interfaces with: create, again, change live, again, purge, another mode."""
    net, before = {"name": NAME}, {"forward": "vepa"}
    for mode in ("bridge", "private", "vepa", "passthrough"):
        made = network.change(**net, forward=mode, interfaces=["kt9"])["network"]
        assert (made["forward"], made["interfaces"], made["bridge"]) == (mode, ["kt9"], None)
        added = network.change(**net, interfaces=["kt8"])
        assert [(step["key"], step["disruption"]) for step in added["plan"]] == [("interfaces", "live")]
        for inactive in (False, True):
            assert every("forward/interface", "dev")(shown(clean, inactive=inactive)) == ["kt8", "kt9"]
        network.change(**net, interfaces=["kt8"], purge=["interfaces"], autostart=True)
        assert get("forward", "dev")(shown(clean)) == "kt8"
        network.refused("dhcp_ranges", **net, dhcp_ranges=["198.18.1.10-198.18.1.20"])
        network.refused(
            "physical_function" if mode == "passthrough" else "means nothing",
            **net,
            physical_function="kt7",
            interfaces=["kt8"],
        )
        network.change(**net, **before, disruption="restart")
        assert get("forward", "mode")(shown(clean)) == before["forward"]
        assert every("forward/interface", "dev")(shown(clean)) == ["kt8"]
        before = {"forward": mode}
        network.change(**net, state="absent")


def test_interfaces_instead_of_a_bridge(network: LibvirtModule, clean: LibvirtDaemon) -> None:
    net = {"name": NAME, "state": "inactive"}
    network.change(**{**OPEN, **net}, mtu=1400, domain="a.example.org", dnsmasq_options=["no-hosts"])
    network.refused("interfaces", "is needed", **net, forward="vepa")
    network.change(**net, forward="private", interfaces=["kt9"])
    left = {each.tag for each in shown(clean)} - {"name", "uuid"}
    assert left == {"forward"}
    network.change(**net, forward="bridge", bridge="ktbr9")
    assert shown(clean).find("forward/interface") is None
    network.refused("interfaces", "beside the bridge", **net, interfaces=["kt9"])
    network.refused("bridge", "private", **net, forward="private", bridge="ktbr8")
    network.change(**{**OPEN, **net})
    assert shown(clean).find("forward/interface") is None and shown(clean).find("ip") is not None


def test_functions_of_a_device(network: LibvirtModule, clean: LibvirtDaemon) -> None:
    """As definitions: there is no such device here."""
    net = {"name": NAME, "state": "inactive"}
    for mode in ("hostdev", "passthrough"):
        network.change(**net, forward=mode, physical_function="kt7")
        assert get("forward", "managed")(shown(clean)) == ("yes" if mode == "hostdev" else None)
        network.change(**net, physical_function="kt8", autostart=True)
        assert get("forward/pf", "dev")(shown(clean)) == "kt8"
        network.refused("physical_function", "is needed", **{**net, "name": "kt-other"}, forward="hostdev")
    network.refused("interfaces", "beside the physical_function", **net, interfaces=["kt9"])
    network.change(name=NAME, state="absent")
    network.change(**net, forward="passthrough", interfaces=["kt9"])
    network.refused("physical_function", "interfaces", **net, physical_function="kt8")
    network.change(**net, forward="hostdev", physical_function="kt8")
    assert shown(clean).find("forward/interface") is None
    network.refused("interfaces", "hostdev", **net, forward="hostdev", interfaces=["kt9"])
    network.refused("physical_function", "kt 9", **net, physical_function="kt 9")


def test_how_guests_are_connected(network: LibvirtModule, clean: LibvirtDaemon) -> None:
    """As definitions: there is no Open vSwitch here, and no kernel that has to be able to limit."""
    net = {"name": NAME, "state": "inactive"}
    bridge = {**net, "forward": "bridge", "bridge": "ktbr9"}
    network.change(
        **bridge,
        virtualport={"type": "openvswitch"},
        vlans=[5],
        bandwidth={"inbound": {"average": "1MiB", "peak": "5MiB"}},
    )
    assert [get("vlan/tag", "id")(shown(clean)), get("bandwidth/inbound", "peak")(shown(clean))] == ["5", "5120"]
    network.change(
        **net, vlans=[7, {"id": 6, "native": "untagged"}], bandwidth={"outbound": {"average": "2MiB", "burst": "1MiB"}}
    )
    network.again(**net, vlans=[{"id": 6, "native": "untagged"}, "7"])
    assert (get("vlan", "trunk")(shown(clean)), shown(clean).find("bandwidth/inbound")) == ("yes", None)
    network.change(**net, virtualport={"type": "openvswitch", "profileid": "web", "interfaceid": UUID.upper()})
    assert get("virtualport/parameters", "interfaceid")(shown(clean)) == UUID
    network.change(
        **net,
        portgroups=[
            {"name": "a", "vlans": [8]},
            {"name": "b", "virtualport": {"type": "openvswitch", "profileid": "c"}},
        ],
    )
    network.change(**net, vlans=[], bandwidth={}, portgroups=[{"name": "a", "vlans": []}])
    assert [shown(clean).find(tag) for tag in ("vlan", "bandwidth", "portgroup/vlan")] == [None] * 3
    network.change(**net, virtualport={}, portgroups=[], purge=["portgroups"])
    network.change(**net, virtualport={"type": "802.1Qbh", "profileid": "finance"})
    refusals: tuple[tuple[list[str], dict[str, Any]], ...] = (
        (["vlans", "Open vSwitch"], {"forward": "vepa", "interfaces": ["kt9"], "vlans": [5]}),
        (
            ["portgroups[a]", "Open vSwitch"],
            {"forward": "vepa", "interfaces": ["kt9"], "portgroups": [{"name": "a", "vlans": [5]}]},
        ),
        (["portgroups", "both the default"], {"portgroups": [{"name": "a", "default": True}, {"name": "b", "default": True}]}),
        (["portgroups", "no name"], {"portgroups": [{"default": True}]}),
        (["portgroups", "on bridges alone"], {"forward": "private", "interfaces": ["kt9"],
            "portgroups": [{"name": "a", "bandwidth": {"inbound": {"average": "1MiB"}}}]}),
        (["vlans", "no tag"], {"vlans": [4096]}),
        (["virtualport", "no such type"], {"virtualport": {"type": "magic"}}),
        (["virtualport", "not understood"], {"virtualport": {"type": "midonet", "profileid": "a"}}),
        (["bandwidth.inbound", "no average"], {"bandwidth": {"inbound": {"peak": "1MiB"}}}),
        (["bandwidth.inbound.average", "KiB"], {"bandwidth": {"inbound": {"average": 1000}}}),
        (["bandwidth", "on bridges alone"], {"forward": "vepa", "interfaces": ["kt9"], "bandwidth": {"inbound": {"average": "1MiB"}}}),
    )  # fmt: skip
    for words, given in refusals:
        network.refused(*words, **net, **given)
    # On a bridge of Linux from libvirt 11.0 on.
    if network.run(check=True, **net, vlans=[5]).failed:
        network.refused("vlans", "Open vSwitch", **net, vlans=[5])
    else:
        network.change(**net, vlans=[5])


def test_an_interface_that_a_guest_is_on_stays(network: LibvirtModule, clean: LibvirtDaemon) -> None:
    """A port stands for the guest: to start one takes a device below /dev that nobody makes here."""
    network.change(name=NAME, forward="private", interfaces=["kt8", "kt9"])
    port = clean.directory / "port.xml"
    port.write_text(PORT, encoding="utf-8")
    clean.virsh("net-port-create", NAME, str(port))
    used = next(each.get("dev") for each in shown(clean).iter("interface") if each.get("connections") == "1")
    (other,) = {"kt8", "kt9"} - {str(used)}
    network.refused(f"{used} is in use", "Stop", name=NAME, interfaces=[other], purge=["interfaces"])
    network.change(name=NAME, interfaces=[str(used)], purge=["interfaces"])
    clean.virsh("net-port-delete", NAME, UUID)
    network.change(name=NAME, interfaces=[other], purge=["interfaces"])


def test_a_bridge_of_the_host(network: LibvirtModule, clean: LibvirtDaemon) -> None:
    clean.inside("ip", "link", "add", "ktbr9", "type", "bridge")
    try:
        made = network.change(name=NAME, forward="bridge", bridge="ktbr9")
        assert (made["network"]["forward"], made["network"]["bridge"], made["network"]["subnets"]) == (
            "bridge",
            "ktbr9",
            [],
        )
        network.change(name=NAME, state="absent")
        assert "ktbr9" in clean.inside("ip", "link")
        # A network of libvirt's own becomes one of the host's bridge.
        network.change(**BASE, dhcp_ranges=["198.18.1.10-198.18.1.20"])
        network.change(name=NAME, forward="bridge", bridge="ktbr9", disruption="restart")
        assert shown(clean).find("ip") is None
    finally:
        clean.virsh("net-destroy", NAME, check=False)
        clean.inside("ip", "link", "del", "ktbr9")


#: Networks with what no option names, and with all that has one.
OF_OTHERS = (
    ("<forward mode='nat'><nat ipv6='yes'><address start='203.0.113.5' end='203.0.113.9'/><port start='1024' end='65535'/></nat></forward>"
     "<bridge name='ktbr1' stp='off' delay='3'/><domain name='A.example.org' localOnly='yes'/><dns forwardPlainNames='no'><forwarder domain='x'/>"
     "<srv service='s' protocol='tcp'/><txt name='a' value='b'/></dns><ip address='198.18.1.1' netmask='255.255.255.0'><tftp root='/srv'/><dhcp>"
     "<range start='198.18.1.10' end='198.18.1.20'><lease expiry='90'/></range><host name='only' ip='198.18.1.9'/>"
     "<bootp file='pxe' server='198.18.1.9'/></dhcp></ip>"
     "<ip family='ipv6' address='fd00::1' prefix='64'/><route family='ipv6' address='2001:db8::' prefix='64' gateway='fd00::2'/>"
     "<route address='192.0.2.0' netmask='255.255.255.0' gateway='198.18.1.2' metric='2'/>"
     "<bandwidth><inbound average='1000' peak='5000' burst='5120'/></bandwidth>"),
    "<bridge name='ktbr1'/><dns enable='no'/>",
    "<forward mode='open'/><bridge name='ktbr1'/><mtu size='9000'/><ip address='198.18.1.1' prefix='24'/><portgroup name='a' trustGuestRxFilters='yes'/>",
    ("<forward dev='kt9' mode='private'><interface dev='kt9'/><interface dev='kt8'/></forward><virtualport type='802.1Qbg'>"
     "<parameters managerid='11' typeid='1193047' typeidversion='2' instanceid='3b1bd1c2-0c1e-4a5f-9b8f-4cb6a3a6f0d8'/></virtualport>"),
    "<forward mode='hostdev' managed='yes'><driver name='vfio'/><pf dev='kt9'/></forward><vlan trunk='yes'><tag id='42'/></vlan>",
    ("<forward mode='bridge'/><bridge name='ktbr9'/><vlan><tag id='5' nativeMode='untagged'/><tag id='6'/></vlan><virtualport type='openvswitch'/>"
     "<portgroup name='a' default='yes'><vlan><tag id='7'/></vlan><virtualport type='openvswitch'><parameters profileid='p'/></virtualport></portgroup>"),
)  # fmt: skip


def test_what_is_shown_and_given_back_changes_nothing(network: LibvirtModule, clean: LibvirtDaemon) -> None:
    for text in OF_OTHERS:
        clean.define("net-", f"<network><name>{NAME}</name>{text}</network>")
        before = shown(clean, inactive=True)
        found = network.check(name=NAME, state="present")["network"]
        options = {option.name: found[option.name] for option in NETWORK_OPTIONS if found[option.name] is not None}
        network.again(name=NAME, state="present", **options)
        # Something else changes, and all this stays.
        network.change(name=NAME, state="present", autostart=True)
        network.change(name=NAME, state="present", portgroups=[{"name": "kt"}])
        after = shown(clean, inactive=True)
        after.remove(next(each for each in after.findall("portgroup") if each.get("name") == "kt"))
        assert sorted(map(canonical, before)) == sorted(map(canonical, after)), text
        network.run(name=NAME, state="absent")
