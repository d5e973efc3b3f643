# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of value that a container has: for whatever a user may write, what is shown means the same."""

from __future__ import annotations

import re
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.container.endpoints import (
    NETWORKS,
    read_networks,
)
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.container.kinds import (
    Healthcheck,
    encode_restart,
    read_hosts,
    read_restart,
)
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.container.mounts import (
    MOUNTS,
    encode_binds,
    encode_mounts,
    read_mounts,
)
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.container.options import CONTAINERS
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.container.ports import (
    Ports,
    encode_ports,
    read_ports,
)
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import InvalidOption
from ansible_collections.kraal.virt.plugins.module_utils.engine.kinds import Part
from tests.unit.backends.docker.examples import EXAMPLES
from tests.unit.backends.docker.scene import inspected

LETTERS = string.ascii_letters + string.digits
NAME = st.text(LETTERS, min_size=2, max_size=6)
WORD = st.text(LETTERS + " =:/._-'\"$", max_size=8)
LINE = st.text(LETTERS + "._-/", min_size=1, max_size=8)
TEXTS = st.dictionaries(NAME, st.one_of(WORD, st.integers(), st.booleans(), st.none()), max_size=4)
SIZE = st.one_of(st.integers(6 * 1024**2, 2**50), st.sampled_from(["6MiB", "1.5GiB", "512m", "512MB", "2T"]))
PORT = st.integers(1, 65000)
PATH = st.lists(NAME, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))
IPV4 = st.ip_addresses(v=4).map(str)
IPV6 = st.ip_addresses(v=6).map(lambda address: address.exploded.upper())
DURATION = st.one_of(st.integers(0, 10**5), st.sampled_from(["30s", "1m30s", "500ms", "2h", "1.5"]))
CPUSET = st.lists(st.integers(0, 64), max_size=5).map(lambda numbers: ",".join(map(str, numbers)))


def spans(most: int) -> st.SearchStrategy[int]:
    return st.integers(0, most)


def ports() -> st.SearchStrategy[str]:
    return st.builds(
        # A host port goes to one port inside only.
        lambda address, inside, more, protocol: (
            f"{address}{inside + 7}-{inside + more + 7}:{inside}-{inside + more}{protocol}"
        ),
        st.one_of(st.just(""), IPV4.map("{}:".format), IPV6.map("[{}]:".format)),
        PORT,
        spans(3),
        st.sampled_from(["", "/tcp", "/udp", "/UDP", "/sctp"]),
    )


MOUNT = st.one_of(
    st.builds("{}:{}{}".format, st.one_of(NAME, PATH), PATH, st.sampled_from(["", ":ro", ":rw"])),
    st.fixed_dictionaries(
        {"target": PATH}, optional={"type": st.just("volume"), "source": NAME, "read_only": st.booleans()}
    ),
    st.fixed_dictionaries(
        {"target": PATH, "source": PATH}, optional={"propagation": st.sampled_from(["rslave", "rprivate"])}
    ),
    st.fixed_dictionaries(
        {"target": PATH, "type": st.just("tmpfs")},
        optional={"size": SIZE, "mode": st.sampled_from(["1777", "700", "0755"])},
    ),
)
NETWORK = st.one_of(
    NAME,
    st.fixed_dictionaries(
        {"name": NAME},
        optional={
            "ipv4_address": IPV4,
            "ipv6_address": IPV6,
            "aliases": st.lists(NAME, max_size=3),
            "links": st.lists(st.one_of(NAME, NAME.map("db:{}".format)), max_size=3),
            "driver_options": TEXTS,
            "mac_address": st.sampled_from(["02:42:AC:11:00:02", "02:42:ac:11:00:03"]),
            "gw_priority": st.integers(-5, 5),
        },
    ),
)
TEST = st.one_of(
    st.sampled_from(["NONE", "none", "true", "test -e /tmp/x"]),
    st.lists(NAME, min_size=1),
    st.just(["CMD-SHELL", "none"]),
)


def unique(entries: st.SearchStrategy[Any], key: Any) -> st.SearchStrategy[list[Any]]:
    return st.lists(entries, max_size=4, unique_by=key)


#: What users may write for each option.
WRITTEN: dict[str, st.SearchStrategy[Any]] = {
    "image": st.sampled_from(
        ["debian", "debian:12", "registry.example:5000/team/app:1", "docker.io/team/app", "sha256:" + "0" * 64]
    ),
    "command": st.lists(WORD, max_size=4),
    "entrypoint": st.lists(WORD, max_size=4),
    "env": TEXTS,
    "user": LINE,
    "workdir": PATH,
    "hostname": NAME,
    "domainname": LINE,
    "labels": TEXTS,
    "tty": st.booleans(),
    "interactive": st.booleans(),
    "stop_signal": st.sampled_from(["TERM", "sigterm", "SIGRTMIN+3", 9, "15"]),
    "stop_timeout": st.integers(0, 86400),
    "healthcheck": st.fixed_dictionaries(
        {"test": TEST},
        optional={"interval": DURATION, "timeout": DURATION, "start_period": DURATION, "retries": st.integers(0, 9)},
    ),
    "mac_address": st.binary(min_size=6, max_size=6).map(lambda octets: octets.hex(":").upper()),
    "ports": st.lists(
        st.one_of(ports(), PORT.map("{}/tcp".format), PORT.map("{}/udp".format), PORT.map("8000-8010:{}".format)),
        max_size=4,
    ),
    "exposed_ports": st.lists(
        st.one_of(PORT, PORT.map("{}/udp".format), PORT.map(lambda port: f"{port}-{port + 2}/TCP")), max_size=3
    ),
    "publish_all_ports": st.booleans(),
    "mounts": unique(MOUNT, lambda entry: entry["target"] if isinstance(entry, dict) else entry.split(":")[1]),
    "tmpfs": st.lists(
        st.one_of(PATH, PATH.map("{}:size=64m,noexec".format), PATH.map("{}:noexec,size=50%".format)), max_size=3
    ),
    "network_mode": st.sampled_from(["bridge", "default", "host", "none", "container:web", "front"]),
    "networks": unique(NETWORK, lambda entry: entry["name"] if isinstance(entry, dict) else entry),
    "cpus": st.one_of(st.just(0), st.integers(10**7, 10**12)).map(lambda billionths: billionths / 10**9),
    "cpu_shares": st.integers(2, 262144),
    "cpuset_cpus": CPUSET,
    "cpuset_mems": CPUSET,
    "memory": st.one_of(SIZE, st.just(0)),
    "memory_reservation": SIZE,
    "memory_swap": st.one_of(SIZE, st.sampled_from(["unlimited", "-1", -1])),
    "pids_limit": st.integers(-1, 10**6),
    "blkio_weight": st.integers(10, 1000),
    "restart_policy": st.sampled_from(
        ["no", False, "always", "unless-stopped", "on-failure", "on-failure:0", "on-failure:5"]
    ),
    "dns": st.lists(st.one_of(IPV4, IPV6), max_size=3),
    "dns_search": st.lists(LINE, max_size=3),
    "dns_options": st.lists(LINE, max_size=3),
    "extra_hosts": st.lists(
        st.builds("{}:{}".format, st.one_of(NAME, st.just("db")), st.one_of(IPV4, IPV6, st.just("host-gateway"))),
        max_size=4,
    ),
    "cap_add": st.lists(st.sampled_from(["NET_ADMIN", "cap_net_admin", "Sys_Time", "ALL"]), max_size=3),
    "cap_drop": st.lists(st.sampled_from(["MKNOD", "cap_mknod", "all"]), max_size=3),
    "devices": unique(
        st.builds("{}{}".format, PATH, st.sampled_from(["", ":/dev/a", ":/dev/b:r", ":/dev/c:mw"])),
        lambda entry: (entry + ":" + entry).split(":")[1],
    ),
    "device_requests": st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "driver": NAME,
                "device_ids": st.lists(NAME, max_size=2),
                "capabilities": st.just([["gpu", "compute"]]),
                "options": TEXTS,
            },
        ),
        max_size=2,
    ),
    "io_limits": unique(
        st.fixed_dictionaries(
            {"device": PATH}, optional={"read_bps": SIZE, "write_bps": SIZE, "read_iops": PORT, "write_iops": PORT}
        ),
        lambda entry: entry["device"],
    ),
    "device_cgroup_rules": st.lists(st.sampled_from(["c 1:3 r", "a *:* rwm"]), max_size=2),
    "sysctls": TEXTS,
    "ulimits": unique(
        st.sampled_from(["nofile=1024", "core=-1", "nproc=5:10", "stack=8192:-1"]),
        lambda entry: entry.partition("=")[0],
    ),
    "log_driver": st.sampled_from(["json-file", "local", "none"]),
    "log_options": TEXTS,
    "init": st.booleans(),
    "privileged": st.booleans(),
    "read_only": st.booleans(),
    "security_opt": st.lists(
        st.sampled_from(["no-new-privileges", "no-new-privileges:true", "label:disable", "apparmor=unconfined"]),
        max_size=3,
    ),
    "group_add": st.lists(st.one_of(NAME, st.integers(0, 9999)), max_size=3),
    "shm_size": SIZE,
    "uts_mode": st.sampled_from(["", "host"]),
    "userns_mode": st.sampled_from(["", "host"]),
    "cgroup_parent": PATH,
    "runtime": st.sampled_from(["runc", "io.containerd.runc.v2"]),
    "memory_swappiness": st.integers(0, 100),
    "oom_kill_disable": st.booleans(),
    "pid_mode": st.sampled_from(["", "host", "container:web"]),
    "ipc_mode": st.sampled_from(["private", "shareable", "host", "none"]),
    "cgroupns_mode": st.sampled_from(["host", "private"]),
    "oom_score_adj": st.integers(-1000, 1000),
}
MERGING = sorted(option.name for option in CONTAINERS.options if option.kind.merges)


def test_every_option_is_written() -> None:
    assert sorted(WRITTEN) == sorted(EXAMPLES)


@pytest.mark.parametrize("name", sorted(WRITTEN))
@given(data=st.data())
def test_what_is_shown_means_the_same(name: str, data: st.DataObject) -> None:
    kind = CONTAINERS[name].kind
    value = kind.parse(data.draw(WRITTEN[name]), name)
    shown = kind.show(value)
    if name in ("env", "log_options"):
        shown = {**shown, **{key: value[key] for key in value if shown[key] != value[key]}}
    assert kind.parse(shown, name) == value
    assert kind.show(kind.parse(shown, name)) == kind.show(value)
    assert kind.parts(value, value, True) == []


@pytest.mark.parametrize("name", MERGING)
@given(data=st.data(), exact=st.booleans())
def test_what_is_merged_leaves_nothing_to_do(name: str, data: st.DataObject, exact: bool) -> None:
    kind = CONTAINERS[name].kind
    want, have = (kind.parse(data.draw(WRITTEN[name]), name) for _side in "ab")
    merged = kind.merge(want, have, exact)
    assert kind.parts(want, merged, exact) == []
    assert kind.merge(want, merged, exact) == merged
    assert bool(kind.parts(want, have, exact)) == (merged != have)
    assert set(merged) <= {*want, *have}


@given(WRITTEN["ports"])
def test_published_ports_survive_the_daemon(written: list[Any]) -> None:
    value = Ports().parse(written, "ports")
    assert read_ports(encode_ports(value)) == value


def test_a_host_port_of_the_daemons_choice_has_two_forms() -> None:
    assert read_ports({"80/tcp": [{"HostIp": "", "HostPort": "0"}], "81/tcp": None}) == {
        "80/tcp": (("", ""),),
        "81/tcp": (),
    }


def test_a_port_that_is_named_replaces_all_that_was_published_for_it() -> None:
    kind = Ports()
    have = kind.parse(["8080:80", "127.0.0.1:8081:80", "53/udp"], "ports")
    want = kind.parse(["9090:80"], "ports")
    assert kind.show(kind.merge(want, have, False)) == ["53/udp", "9090:80/tcp"]
    assert kind.show(kind.merge(want, have, True)) == ["9090:80/tcp"]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (["80"], ["80/tcp"]),
        ([80], ["80/tcp"]),
        ([":80"], ["80/tcp"]),
        (["8080:80"], ["8080:80/tcp"]),
        (["0.0.0.0:8080:80"], ["0.0.0.0:8080:80/tcp"]),
        (["127.0.0.1::80"], ["127.0.0.1::80/tcp"]),
        (["[2001:DB8:0::1]:8080:80/UDP"], ["[2001:db8::1]:8080:80/udp"]),
        (["8000-8001:80-81"], ["8000:80/tcp", "8001:81/tcp"]),
        (["8000-8005:80"], ["8000-8005:80/tcp"]),
        (["80", "80/udp"], ["80/tcp", "80/udp"]),
    ],
)
def test_ports_are_shown_one_by_one(written: list[Any], shown: list[str]) -> None:
    assert Ports().show(Ports().parse(written, "ports")) == shown


def test_a_host_keeps_all_its_addresses_beside_another() -> None:
    kind, lines = CONTAINERS["extra_hosts"].kind, ["db:10.0.0.1", "db:2001:DB8:0::1"]
    assert kind.parse({"db": ["10.0.0.1", "2001:db8::1"]}, "extra_hosts") == kind.parse(lines, "extra_hosts")
    assert kind.parse({"db": "10.0.0.1"}, "extra_hosts") == kind.parse("db:10.0.0.1", "extra_hosts")
    with pytest.raises(InvalidOption, match="is no list of hosts"):
        kind.parse(5, "extra_hosts")
    have = read_hosts(lines)
    assert kind.parse(lines, "extra_hosts") == have
    want = kind.parse(["x:192.0.2.1"], "extra_hosts")
    assert kind.show(kind.merge(want, have, False)) == ["db:10.0.0.1", "db:2001:db8::1", "x:192.0.2.1"]
    assert kind.parts(want, have, False) == [Part("x", None, ["x:192.0.2.1"])]
    with pytest.raises(InvalidOption, match="is not a host and its address"):
        kind.parse(["db:other"], "extra_hosts")


def test_a_name_server_is_an_address_in_any_spelling() -> None:
    option = CONTAINERS["dns"]
    assert option.kind.parse(["2001:DB8:0::1"], "dns") == option.read({"HostConfig": {"Dns": ["2001:db8:0:0::1"]}})
    with pytest.raises(InvalidOption, match="is not an IP address"):
        option.kind.parse(["ns1.example.com"], "dns")


@given(WRITTEN["restart_policy"])
def test_restart_policies_survive_the_daemon(written: Any) -> None:
    value = CONTAINERS["restart_policy"].kind.parse(written, "restart_policy")
    assert read_restart(encode_restart(value)) == value


def test_no_restart_policy_is_no() -> None:
    assert read_restart(None) == read_restart({"Name": "", "MaximumRetryCount": 0}) == "no"


def test_a_mount_keeps_what_was_not_asked_about() -> None:
    have = {"/data": {"type": "volume", "source": "0" * 64, "read_only": False}}
    want = MOUNTS.parse([{"target": "/data"}], "mounts")
    assert MOUNTS.parts(want, have, False) == []
    assert MOUNTS.merge(want, have, False) == have, "an anonymous volume stays the same one"


def test_another_type_of_mount_keeps_nothing() -> None:
    have = {"/data": {"type": "tmpfs", "read_only": False, "size": 4096}}
    want = MOUNTS.parse(["data:/data"], "mounts")
    assert MOUNTS.merge(want, have, False) == {"/data": {"type": "volume", "read_only": False, "source": "data"}}


def test_what_a_text_says_of_writing_counts() -> None:
    for word in ("no", "False", "false", "0", False, None):
        assert MOUNTS.parse([{"target": "/x", "source": "/tmp", "read_only": word}], "mounts")["/x"] == {
            "type": "bind",
            "source": "/tmp",
            "read_only": False,
        }
    with pytest.raises(InvalidOption, match=re.escape("mounts[/x].read_only")):
        MOUNTS.parse([{"target": "/x", "source": "/tmp", "read_only": "perhaps"}], "mounts")


@pytest.mark.parametrize(
    ("entry", "match"),
    [
        ({"type": "tmpfs", "target": "/x", "mode": 0o1777}, "not octal, or not a text"),
        ({"type": "tmpfs", "target": "/x", "propagation": "shared"}, "is nothing for a tmpfs"),
        ("vol:/x:rshared", "is nothing for a volume"),
        ("vol:/x:ro,rw", "is not a mount"),
        ({"source": "vol", "target": "/x", "selinux": "Z", "driver": "local"}, "cannot be combined"),
        ({"source": "/srv", "target": "/x", "propagation": "up"}, "Write private, rprivate"),
        ("/srv:/a/..", "the guest's root"),
    ],
)
def test_mounts_that_would_not_be_what_was_meant_are_refused(entry: Any, match: str) -> None:
    with pytest.raises(InvalidOption, match=match):
        MOUNTS.parse([entry], "mounts")


def test_mounts_as_the_command_line_has_them() -> None:
    texts = ["/anon", "vol:/a:nocopy,z", "/srv:/b:rw,Z,rslave,cached", "/srv:/c:delegated"]
    mounts = MOUNTS.parse(texts, "mounts")
    base = {"read_only": False}
    assert mounts == {
        "/anon": {**base, "type": "volume"},
        "/a": {**base, "type": "volume", "source": "vol", "no_copy": True, "selinux": "z"},
        "/b": {**base, "type": "bind", "source": "/srv", "selinux": "Z", "propagation": "rslave"},
        "/c": {**base, "type": "bind", "source": "/srv"},
    }
    assert encode_binds(mounts) == ["vol:/a:rw,z,nocopy", "/srv:/b:rw,Z,rslave"]
    assert [mount["Target"] for mount in encode_mounts(mounts)] == ["/anon", "/c"]
    labelled = {"target": "/d", "labels": {"a": 1}, "driver": "local", "driver_options": {"o": "password=x"}}
    (mount,) = encode_mounts(MOUNTS.parse([labelled], "mounts"))
    driver = {"Name": "local", "Options": {"o": "password=x"}}
    assert mount["VolumeOptions"] == {"Labels": {"a": "1"}, "DriverConfig": driver}
    assert MOUNTS.show(MOUNTS.parse([labelled], "mounts"))[0]["driver_options"] == {"o": "password=(hidden)"}


def test_recorded_mounts_are_those_that_were_asked_for() -> None:
    mounts = read_mounts(inspected("full"))
    assert MOUNTS.show(mounts) == [
        {"target": "/data", "type": "volume", "read_only": False, "source": "volume-a"},
        {"target": "/scratch", "type": "tmpfs", "read_only": False, "size": "1MiB", "mode": "1770"},
        {"target": "/srv", "type": "bind", "read_only": True, "source": "/srv", "propagation": "rprivate"},
    ]
    anonymous, *others = read_mounts(inspected("plain")).values()
    assert not others and anonymous["type"] == "volume" and len(anonymous["source"]) == 64


def test_recorded_networks_have_the_aliases_that_were_asked_for() -> None:
    found = read_networks(inspected("full"))
    assert {name: {key: end[key] for key in end if key != "MacAddress"} for name, end in found.items()} == {
        "front": {},
        "back": {"ipv4_address": "172.31.241.7", "aliases": ("cache", "db")},
    }
    assert set(read_networks(inspected("plain"))) == {"bridge"}


def test_an_endpoint_keeps_its_address_when_an_alias_comes() -> None:
    have = read_networks(inspected("full"))
    want = NETWORKS.parse([{"name": "back", "aliases": ["replica"]}], "networks")
    assert NETWORKS.parts(want, have, False) == [
        Part(
            "back",
            {"name": "back", "ipv4_address": "172.31.241.7", "aliases": ["cache", "db"]},
            {"name": "back", "ipv4_address": "172.31.241.7", "aliases": ["cache", "db", "replica"]},
        )
    ]
    exact = NETWORKS.merge(want, have, True)
    mac = have["back"]["MacAddress"]
    assert exact == {"back": {"ipv4_address": "172.31.241.7", "aliases": ("replica",), "MacAddress": mac}}
    none = NETWORKS.parse([{"name": "back", "aliases": []}, {"name": "front", "aliases": []}], "networks")
    (part,) = NETWORKS.parts(none, have, True)
    assert (part.key, part.after) == ("back", {"name": "back", "ipv4_address": "172.31.241.7", "aliases": []})
    assert NETWORKS.parts(none, have, False) == []


def test_a_health_check_is_compared_field_by_field() -> None:
    kind = Healthcheck()
    have = {"Test": ["CMD", "true"], "Interval": 30 * 10**9, "Retries": 3}
    assert kind.parts(kind.parse({"interval": "0.5m"}, "healthcheck"), have, False) == []
    want = kind.parse({"interval": "1m"}, "healthcheck")
    assert kind.merge(want, have, False) == {"Test": ["CMD", "true"], "Interval": 60 * 10**9, "Retries": 3}
    (part,) = kind.parts(want, have, False)
    assert (part.before["interval"], part.after["interval"], part.after["retries"]) == ("30s", "1m", 3)


def test_a_zero_in_a_health_check_is_the_daemons_own_default() -> None:
    kind = Healthcheck()
    want = kind.parse({"test": "true", "start_period": "0s", "retries": 0}, "healthcheck")
    assert kind.parts(want, {"Test": ["CMD-SHELL", "true"]}, False) == []
    assert kind.parts(want, {"Test": ["CMD-SHELL", "true"], "Retries": 3}, False) != []


def test_a_health_check_that_is_off_has_nothing_else() -> None:
    kind = Healthcheck()
    want = kind.parse({"test": "none"}, "healthcheck")
    assert kind.merge(want, {"Test": ["CMD", "true"], "Interval": 5}, False) == {"Test": ["NONE"]}


@pytest.mark.parametrize("test", [[], ["CMD"], ["CMD-SHELL"], ""])
def test_a_check_that_names_no_command_is_refused(test: Any) -> None:
    with pytest.raises(InvalidOption, match="names no command"):
        Healthcheck().parse({"test": test}, "healthcheck")


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("SIGTERM", "TERM"),
        ("SIGKILL", "9"),
        ("SIGRTMIN+3", "37"),
        ("SIGRTMIN", "34"),
        ("SIGRTMAX-1", "SIGRTMIN+29"),
        ("SIGRTMAX", "64"),
        ("SIGCHLD", "cld"),
    ],
)
def test_a_signal_is_known_by_any_of_its_names(name: str, other: str) -> None:
    option = CONTAINERS["stop_signal"]
    assert option.kind.parse(other, "stop_signal") == option.kind.parse(name, "stop_signal") == name
    assert option.read({"Config": {"StopSignal": other}}) == name


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("true", ["CMD-SHELL", "true"]),
        (["true"], ["CMD", "true"]),
        (["CMD", "true"], ["CMD", "true"]),
        (["CMD-SHELL", "a || b"], ["CMD-SHELL", "a || b"]),
        ("NONE", ["NONE"]),
        (["NONE"], ["NONE"]),
    ],
)
def test_ways_to_write_a_check(written: Any, words: list[str]) -> None:
    assert Healthcheck().parse({"test": written}, "healthcheck")["Test"] == words


def test_a_host_port_goes_to_one_port_of_the_container() -> None:
    with pytest.raises(InvalidOption, match="host port 28700 to a second port"):
        Ports().parse(["28700:80", "28700:81"], "ports")
    fine = ["28700:80", "28700:80/udp", "127.0.0.1:28701:80", "127.0.0.2:28701:81", "80", "81"]
    assert len(Ports().show(Ports().parse(fine, "ports"))) == 6


def test_one_of_two_different_ports_ranges_is_refused() -> None:
    with pytest.raises(InvalidOption, match="ranges of different lengths"):
        Ports().parse(["8000-8001:80-82"], "ports")
