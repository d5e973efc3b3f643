# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wanted is merged into what a real libvirt has kept: only that changes, and then nothing is left to change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.compare import cold, edits, pending, written
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.model import (
    Comparison,
    Domain,
    Pool,
    Seen,
    View,
    Volume,
)
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.networks import own_mac
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.options import BY_NAME as OPTIONS_BY_NAME
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.options import OPTIONS, VMS
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.plan import plan
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.target import compare, placed_disks
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.target import wanted as wanted_of
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.xml import ET, drop, make, put
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.xml import canonical, parse, serialize
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import InvalidOption, Refused
from ansible_collections.kraal.virt.plugins.module_utils.engine.secrets import HIDDEN
from ansible_collections.kraal.virt.plugins.module_utils.engine.spec import Spec

FIXTURES = Path(__file__).parent / "fixtures"
NAME = "kt-recorded"
SIZES = {"vda": 64 * 1024**2}


def view(which: str = "stored") -> View:
    return View(parse((FIXTURES / f"{which}.xml").read_text(encoding="utf-8")), NAME, False, SIZES)


def spec(**options: Any) -> Spec:
    defaults = {name: option.get("default") for name, option in VMS.argument_spec().items()}
    return VMS.read({**defaults, "name": NAME, **options})


def domain(state: str = "stopped") -> Domain:
    return Domain(NAME, state, view(), None if state == "stopped" else view("live"))


def wanted(want: Spec, seen: Seen, have: Domain | None) -> Spec:
    return wanted_of(want, seen, have, placed_disks(want, seen, have))


def compared(want: Spec, seen: Seen, have: Domain | None) -> Comparison:
    return compare(want, wanted(want, seen, have), seen, have)


def steps(now: str = "stopped", **options: Any) -> list[tuple[str, str, str]]:
    given = {"state": "present", **options}
    want, seen = spec(**given), Seen({NAME: domain(now)})
    seen.compared[NAME] = compared(want, seen, domain(now))
    return [(step.action, step.key, step.disruption.label) for step in plan(want, seen)]


#: As libvirt has rewritten it, in other words.
SAME: tuple[dict[str, Any], ...] = (
    {"memory": "65536k", "memory_max": "0.125GiB"},
    {"memory": 64 * 1024**2},
    {"machine": "q35"},
    {"machine": "pc-q35-7.2"},
    {"cpus": 1, "cpus_max": 4},
    {"networks": [{"network": "default", "mac": "52:54:00:0A:0B:0C"}, {"type": "user"}]},
    {"networks": ["default"]},
    {"disks": [{"target": "vda", "size": "64MiB", "cache": "none"}, {"target": "sda", "device": "cdrom"}]},
    {"disks": ["/var/lib/libvirt/images/a.qcow2"]},
    {"graphics": [{"type": "vnc", "port": -1, "password": "kt-pass"}]},
    {"channels": ["org.qemu.guest_agent.0"]},
    {"watchdog": {"action": "reset"}},
    {"memballoon": {"model": "virtio"}},
    {"labels": {"role": "web"}},
    {"firmware": "bios", "secure_boot": False, "kernel": "", "description": ""},
    {"uuid": "6BA7B810-9DAD-41D1-80B4-00C04FD430C8"},
    {"tpm": {"model": "none"}, "rng": {"model": "none"}},
    {"type": "auto"},
    {
        "xml": "<domain><memory unit='MiB'>128</memory><devices><sound model='ich9'/><controller type='usb' "
        "model='qemu-xhci'/></devices></domain>"
    },
)


@pytest.mark.parametrize("options", SAME, ids=",".join)
@pytest.mark.parametrize("state", ["stopped", "running"])
def test_what_libvirt_rewrites_is_no_difference(options: dict[str, Any], state: str) -> None:
    assert steps(state, **options) == []


def test_a_guest_as_it_was_started_waits_for_nothing() -> None:
    assert pending(view(), view("live")) == []


CHANGES: tuple[tuple[dict[str, Any], set[str]], ...] = (
    ({"memory": "96MiB"}, {"currentMemory"}),
    ({"memory": "256MiB"}, {"currentMemory", "memory"}),
    ({"cpus": 4}, {"vcpu"}),
    ({"description": "d"}, {"description"}),
    ({"labels": {"a": "<b>"}}, {"metadata"}),
    ({"disks": [{"target": "vda", "cache": "writeback"}]}, {"devices"}),
    ({"networks": [{"network": "other", "mac": "52:54:00:0a:0b:0c"}]}, {"devices"}),
    ({"cmdline": "a=\"b\" <c>", "kernel": "/boot/vmlinuz"}, {"os"}),
    ({"xml": "<domain><features><pae/></features></domain>"}, {"features"}),
)  # fmt: skip


@pytest.mark.parametrize(
    ("options", "touched"), CHANGES, ids=lambda value: ",".join(value) if isinstance(value, dict) else ""
)
def test_only_that_changes(options: dict[str, Any], touched: set[str]) -> None:
    """Every other element, other programs' metadata included, is as it was; and then nothing is left to do."""
    before = view()
    want = wanted(spec(state="present", **options), Seen(), domain())
    after = View(written(want, before, edits(want, before)), NAME, False, SIZES)
    assert edits(want, after) == {}
    old, new = ({child.tag: canonical(child) for child in each.root} for each in (before, after))
    assert {tag for tag in {*old, *new} if old.get(tag) != new.get(tag)} == touched
    assert after.root.findtext("metadata/{http://example.org/app}mine") == "kept"
    assert [each.get("value") for each in after.root.iter("{http://libvirt.org/schemas/domain/qemu/1.0}arg")] == [
        "-name",
        NAME,
    ]
    assert before.root.find("devices/sound") is not None and after.root.find("devices/sound") is not None


#: By their MACs and networks: what there is, what is wanted, and what comes of it.
A, B = "52:54:00:0a:00:01", "52:54:00:0a:00:02"
INTERFACES: tuple[tuple[list[tuple[str, str]], list[Any], list[tuple[str, str]]], ...] = (
    ([("n", A)], [{"network": "n", "mac": B}], [("n", A), ("n", B)]),
    ([("n", A)], [{"network": "n", "mac": B}, "n"], [("n", A), ("n", B)]),
    ([("n", A), ("n", B)], [{"network": "n", "mac": B}, "n"], [("n", A), ("n", B)]),
    ([("n", A), ("n", B)], ["n", {"network": "n", "mac": A}], [("n", A), ("n", B)]),
    ([("n", A), ("m", B)], [{"network": "m", "mac": A}, "m"], [("m", A), ("m", B)]),
    ([("n", A)], ["n", "n"], [("n", A), ("n", "")]),
)


@pytest.mark.parametrize(("have", "want", "after"), INTERFACES)
def test_which_interface_an_entry_means(
    have: list[tuple[str, str]], want: list[Any], after: list[tuple[str, str]]
) -> None:
    nics = "".join(
        f"<interface type='network'><mac address='{mac}'/><source network='{network}'/></interface>"
        for network, mac in have
    )
    before = View(parse(f"<domain><name>{NAME}</name><uuid>u</uuid><devices>{nics}</devices></domain>"), NAME, False)
    full = wanted(spec(state="present", networks=want), Seen(), Domain(NAME, "stopped", before, None))
    done = View(written(full, before, edits(full, before)), NAME, False)
    found = [(nic.find("source").get("network"), nic.find("mac").get("address")) for nic in done.root.iter("interface")]
    assert [network for network, _mac in found] == [network for network, _mac in after]
    assert {mac for _network, mac in after} - {""} <= {mac for _network, mac in found}
    assert len({mac for _network, mac in found}) == len(after)
    assert edits(full, done) == {}


def test_a_boot_order_says_what_it_takes_away() -> None:
    have = domain()
    for order, told in ((["hd"], None), (["network", "hd"], "network, hd")):
        drop(have.stored.root, "os/boot")
        for kind in order:
            ET.SubElement(make(have.stored.root, "os"), "boot", {"dev": kind})
        want, seen = spec(state="present", disks=[{"target": "vda", "boot_order": 1}]), Seen({NAME: have})
        seen.compared[NAME] = compared(want, seen, have)
        (step,) = plan(want, seen)
        side = step.before if step.key == "" else {}
        assert side.get("xml[os/boot]") == told and "xml[os/boot]" not in step.after


def shown_change(**options: Any) -> tuple[Any, Any]:
    """Before and after of the only change of one entry."""
    want = wanted(spec(state="present", **options), Seen(), domain())
    (edit,) = edits(want, view()).values()
    return edit.part.before, edit.part.after


def test_what_moves_is_shown_as_it_is_written() -> None:
    before, after = shown_change(networks=[{"network": "other", "mac": "52:54:00:0a:0b:0c"}])
    assert (before["network"], after["network"]) == ("default", "other")
    assert {**before, "network": ""} == {**after, "network": ""} and not {"name", "type", "source", "secret"} & set(
        after
    )
    # What is shown can be given back.
    assert steps(networks=[before]) == []


def test_of_a_secret_is_shown_that_it_changes() -> None:
    before, after = shown_change(graphics=[{"type": "vnc", "password": "kt-new"}])
    assert (before["password"], after["password"]) == (HIDDEN, HIDDEN + " (new)") and "secret" not in after
    before, after = shown_change(graphics=[{"type": "vnc", "listen": "127.0.0.1", "password": "kt-pass"}])
    assert (before["password"], after["password"]) == (HIDDEN, HIDDEN)
    before, after = shown_change(graphics=[{"type": "vnc", "password": ""}])
    assert (before["password"], "password" in after) == (HIDDEN, False)


def test_a_name_of_the_hosts_device_stays_where_an_interface_moves() -> None:
    for name, kept in (("tap-web", 1), ("vnet3", 0)):
        before = view()
        put(before.root.find("devices/interface"), "target@dev", name)
        want = wanted(spec(state="present", networks=[{"network": "o", "mac": "52:54:00:0a:0b:0c"}]), Seen(), domain())
        assert len(written(want, before, edits(want, before)).findall("devices/interface/target")) == kept


def test_a_new_interface_has_an_address_of_its_own() -> None:
    """Also where the one that had it first was moved to another network."""
    before = view()
    for networks in (["kt"], [{"network": "kt2", "mac": own_mac(before.root, "kt")}], ["kt"]):
        want = wanted(spec(state="present", networks=networks), Seen(), domain())
        before = View(written(want, before, edits(want, before)), NAME, False, SIZES)
    macs = [each.get("address") for each in before.root.iterfind("devices/interface/mac")]
    assert len(set(macs)) == len(macs) == 4


def test_the_tree_that_was_read_is_not_written_to() -> None:
    before = view()
    text = canonical(before.root)
    want = spec(memory="1GiB", networks=["another"], labels={"x": "y"}, purge=["networks", "labels"])
    written(want, before, edits(want, before))
    assert canonical(before.root) == text


def test_live_where_it_can() -> None:
    assert steps("running", memory="96MiB") == [("set", "memory", "live")]
    assert steps("running", cpus=2) == [("set", "cpus", "live")]
    assert steps("running", networks=[{"network": "default", "link": "down"}]) == [("set", "networks[default]", "live")]
    assert steps("running", networks=["other"]) == [("attach", "networks[other]", "live")]
    assert steps("running", networks=["default"], purge=["networks"]) == [("detach", "networks[user]", "live")]
    assert steps("running", disks=[{"target": "vda", "size": "1GiB"}]) == [("resize", "disks[vda]", "live")]
    assert steps("running", disks=[{"target": "sda", "path": ""}]) == [("set", "disks[sda]", "live")]
    assert steps("stopped", disks=[{"target": "vda", "size": "1GiB"}]) == [("resize", "disks[vda]", "none")]
    assert steps("running", state="stopped", memory="96MiB") == [
        ("set", "memory", "none"),
        ("stop", "state", "restart"),
    ]


def test_what_needs_a_restart_is_written_and_waits() -> None:
    for options in (
        {"memory": "1GiB"},
        {"cpus": 8},
        {"watchdog": {"action": "pause"}},
        {"disks": [{"target": "vda", "cache": "writeback"}]},
    ):
        found = steps("running", **options)
        assert [(action, cost) for action, _key, cost in found] == [("set", "none"), ("restart", "restart")], found
        assert steps("stopped", **options) == found[:1]


#: What libvirt 11.3 has kept of a guest: it has added the watchdog of q35's chipset, with the action of the other one.
SAME_11: tuple[dict[str, Any], ...] = (
    {"watchdog": {"model": "i6300esb", "action": "poweroff"}},
    {"watchdog": {"action": "poweroff"}, "machine": "pc-q35-10.0"},
    {
        "disks": [
            {"target": "vda", "size": "64MiB", "cache": "none"},
            {"target": "sda", "device": "cdrom", "path": "/srv/a.iso"},
        ],
        "networks": ["default"],
    },
    {"graphics": ["vnc"], "channels": ["org.qemu.guest_agent.0"], "labels": {"role": "web"}},
    {"cpus": 1, "cpus_max": 4, "memory": "64MiB", "memory_max": "128MiB"},
)


@pytest.mark.parametrize("options", SAME_11, ids=",".join)
def test_what_libvirt_11_rewrites_is_no_difference(options: dict[str, Any]) -> None:
    assert edits(spec(state="present", **options), view("stored-11")) == {}
    assert pending(view("stored-11"), view("live-11")) == []


@pytest.mark.parametrize(
    ("watchdog", "kept"),
    [
        ({"action": "reset"}, [("i6300esb", "reset")]),
        ({"model": "none"}, []),
        ({"model": "itco"}, [("itco", "poweroff")]),
        ({"model": "itco", "action": "pause"}, [("itco", "pause")]),
    ],
)
def test_the_watchdog_of_the_chipset_goes_with_the_other(watchdog: dict[str, Any], kept: list[tuple[str, str]]) -> None:
    """Libvirt adds it again by itself, and takes no two with different actions.

    Where there is no other one, there is none.
    """
    before = view("stored-11")
    want = spec(state="present", watchdog=watchdog)
    root = written(want, before, edits(want, before))
    assert [(each.get("model"), each.get("action")) for each in root.iterfind("devices/watchdog")] == kept
    if not kept:
        root.find("devices").append(parse("<watchdog model='itco' action='reset'/>"))
        assert edits(want, View(root, NAME, False, SIZES)) == {}


@pytest.mark.parametrize(("count", "last"), [(26, "vdz"), (27, "vdaa"), (53, "vdba")])
def test_disks_without_a_name_get_one_each(count: int, last: str) -> None:
    assert list(spec(disks=[{"size": "1MiB"}] * count).values["disks"])[-1] == last


def test_names_of_disks_come_to_an_end() -> None:
    with pytest.raises(InvalidOption, match="disks: 'vd' has no names left.*another bus"):
        spec(disks=[{"size": "1MiB"}] * 703)


def test_an_installation_beside_many_disks() -> None:
    disks = [{"target": f"sd{letter}", "path": f"/srv/{letter}"} for letter in "abcdefghij"]
    want = wanted(spec(disks=disks, type="qemu", source={"iso": "/srv/a.iso"}), Seen(), None)
    assert want.values["disks"]["sdk"]["path"] == "/srv/a.iso"


@pytest.mark.parametrize("kind", ["logical", "dir"])
@pytest.mark.parametrize("way", ["backing", "linked"])
def test_what_stands_on_another_image_is_qcow2_only_as_a_file(kind: str, way: str) -> None:
    """A volume of LVM is a snapshot of the other one, and raw."""
    disk = {
        "pool": "p",
        "size": "1MiB",
        **({"backing": "/srv/p/base", "backing_format": "raw"} if way == "backing" else {}),
    }
    source = {"source": {"volume": "base", "pool": "p", "clone": "linked"}} if way == "linked" else {}
    seen = Seen(pools={"p": Pool("p", kind, "/srv/p")}, volumes={})
    done = compared(spec(disks=[disk], type="qemu", **source), seen, None)
    form = "raw" if kind == "logical" else "qcow2"
    assert (
        [each["format"] for each in done.want.values["disks"].values()]
        == [each.format for each in done.making]
        == [form]
    )


def test_a_volume_of_a_pool_of_devices_does_not_grow() -> None:
    lun = Volume("san", "unit:0:0:1", "/dev/disk/by-path/lun-1", 1024**2)
    seen = Seen(pools={"san": Pool("san", "iscsi", "/dev/disk/by-path")}, volumes={lun.path: lun})
    disk = {"pool": "san", "volume": lun.name, "size": "1MiB"}
    assert compared(spec(disks=[disk], type="qemu"), seen, None).making == ()
    with pytest.raises(Refused, match=r"disks\[vda\].size: .* has 1MiB, and a pool of the type iscsi"):
        compared(spec(disks=[{**disk, "size": "2MiB"}], type="qemu"), seen, None)


@pytest.mark.parametrize("option", ["description", "cmdline"])
def test_blanks_around_a_text_do_not_count(option: str) -> None:
    assert steps(**{option: " a  b "}) == [("set", option, "none")]
    before = view()
    want = spec(state="present", **{option: " a  b "})
    after = View(written(want, before, edits(want, before)), NAME, False, SIZES)
    assert edits(want, after) == {} and want.values[option] == "a  b"


def test_a_disk_that_grows_and_changes_otherwise_waits_for_the_rest() -> None:
    found = steps("running", disks=[{"target": "vda", "size": "1GiB", "cache": "writeback"}])
    assert found == [
        ("resize", "disks[vda]", "live"),
        ("set", "disks[vda]", "none"),
        ("restart", "pending_restart", "restart"),
    ]


def test_a_snapshot_that_was_made_since_is_not_undone() -> None:
    """What a disk has had since it was compared stays, unless the task gives it another image."""
    for path, after in (
        ("/var/lib/libvirt/images/a.qcow2", "/srv/overlay.qcow2"),
        ("/srv/other.qcow2", "/srv/other.qcow2"),
    ):
        want = spec(state="present", disks=[{"target": "vda", "path": path, "cache": "writeback"}])
        done = compared(want, Seen(files=set()), domain())
        now = view()
        source = now.root.find("devices/disk[target]/source")
        assert source is not None and source.get("file") == "/var/lib/libvirt/images/a.qcow2"
        source.set("file", "/srv/overlay.qcow2")
        disk = OPTIONS_BY_NAME["disks"].read(View(written(done.want, now, cold(done.changes)), NAME, False, SIZES))[
            "vda"
        ]
        assert (disk["path"], disk["cache"]) == (after, "writeback")


def test_a_file_of_another_host_is_not_looked_for_here(tmp_path: Path) -> None:
    """Its path may be one of this host by chance."""
    (tmp_path / "a.raw").touch()
    disk = {"path": str(tmp_path / "a.raw"), "size": "1MiB"}
    seen = Seen(volumes={disk["path"]: None}, files={disk["path"]})
    assert compared(spec(disks=[disk], type="qemu"), seen, None).making == ()
    seen.files = set()
    with pytest.raises(InvalidOption, match="no disk is made there"):
        compared(spec(disks=[disk], type="qemu"), seen, None)
    seen.files = None
    with pytest.raises(InvalidOption, match="cannot be seen from here.*Leave out the size"):
        compared(spec(disks=[disk], type="qemu"), seen, None)


def test_a_seed_needs_a_pool_before_anything_is_done() -> None:
    seed = {"user_data": "#cloud-config"}
    with pytest.raises(InvalidOption, match=r"disks\[seed\].pool: 'default' is not an active pool"):
        steps(cloud_init=seed)
    seen = Seen(pools={"default": Pool("default", "dir", "/srv")})
    (making,) = compared(spec(cloud_init=seed, type="qemu"), seen, None).making
    assert (
        making.key == "cloud_init"
        and making.path.startswith(f"/srv/{NAME}-seed-")
        and dict(making.seed or {}) == {"user_data": "#cloud-config"}
    )


def test_a_disk_is_not_made_smaller() -> None:
    with pytest.raises(Refused, match="not made smaller"):
        steps("stopped", disks=[{"target": "vda", "size": "1MiB"}])


NAMES = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
CARDS = st.fixed_dictionaries(
    {"network": NAMES},
    optional={
        "model": st.sampled_from(["virtio", "e1000e"]),
        "link": st.sampled_from(["up", "down"]),
        "mtu": st.integers(68, 9000),
        "filter": NAMES,
    },
)
DISKS = st.fixed_dictionaries(
    {"target": st.sampled_from(["vda", "vdb", "sda", "sdq"])},
    optional={
        "cache": st.sampled_from(["none", "writeback", "default"]),
        "discard": st.sampled_from(["unmap", "ignore"]),
        "boot_order": st.integers(0, 9),
        "read_only": st.booleans(),
        "serial": NAMES,
        "path": st.sampled_from(["/srv/a.raw", "/srv/b.qcow2"]),
    },
)


@given(
    cards=st.lists(CARDS, max_size=4),
    disks=st.lists(DISKS, max_size=4, unique_by=lambda disk: disk["target"]),
    labels=st.dictionaries(
        NAMES, st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=20), max_size=3
    ),
    purge=st.sets(st.sampled_from(["networks", "disks", "labels"])),
    memory=st.integers(1, 4096),
)
def test_written_is_what_was_wanted(
    cards: list[Any], disks: list[Any], labels: dict[str, str], purge: set[str], memory: int
) -> None:
    """Whatever is wanted: after it is written nothing differs, and writing it again changes nothing."""
    options = {"networks": cards, "disks": disks, "labels": labels, "memory": f"{memory}MiB", "purge": sorted(purge)}
    pools = {"default": Pool("default", "dir", "/var/lib/libvirt/images")}
    want = wanted(spec(state="present", **options), Seen(pools=pools), domain())
    before = view()
    after = View(written(want, before, edits(want, before)), NAME, False, SIZES)
    again = View(parse(serialize(after.root)), NAME, False, SIZES)
    assert edits(want, again) == {}
    macs = [each.get("address") for each in again.root.iterfind("devices/interface/mac")]
    assert len(macs) == len(set(macs))
    if "networks" in purge:
        assert len(macs) == len(cards)
    assert [option.seen(want, again) for option in OPTIONS if option.name in want.values]
