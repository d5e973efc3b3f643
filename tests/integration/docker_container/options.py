# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For each option of docker_container: two values, other ways to write the second, what the daemon shows, and what the
change costs.

<word> in a value stands for a name or number of the test's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

MIB = 1024**2
Inspect = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """One option's way from its first value to its second."""

    option: str
    first: Any
    second: Any
    #: Reads the daemon's inspection, independently of the module; `seen` is what it shall read after each value.
    look: Callable[[Inspect], Any]
    seen: tuple[Any, Any]
    #: Other ways to write the second value.
    same: tuple[Any, ...] = ()
    live: bool = False
    #: Other options that the row needs.
    extra: Mapping[str, Any] = field(default_factory=dict)
    #: A command in the guest, and what it prints after each value.
    inside: tuple[tuple[str, ...], str, str] | None = None
    #: Tells rows of one option apart.
    about: str = ""
    #: Whether purge with the first value takes what the second added away again.
    purge: bool = False
    purge_live: bool = False

    #: A HostConfig that the engine warns of where the kernel does not know this limit.
    kernel: Mapping[str, Any] | None = None

    #: Why the row needs a guest of its own, and the options with which it shares none.
    alone: str = ""
    apart: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.option}-{self.about}" if self.about else self.option


def host(key: str) -> Callable[[Inspect], Any]:
    return lambda data: data["HostConfig"][key]


def config(key: str) -> Callable[[Inspect], Any]:
    return lambda data: data["Config"].get(key)


def some_env(data: Inspect) -> list[str]:
    return sorted(line for line in data["Config"]["Env"] if line.startswith("KT_"))


def some_labels(data: Inspect) -> dict[str, str]:
    return {key: value for key, value in data["Config"]["Labels"].items() if key.startswith("kt.")}


def bindings(data: Inspect) -> dict[str, list[tuple[str, str]]]:
    """The ports that really are published."""
    found = data["NetworkSettings"]["Ports"] or {}
    return {
        key: sorted((entry["HostIp"], entry["HostPort"]) for entry in value) for key, value in found.items() if value
    }


def mounts(data: Inspect) -> list[tuple[str, str, bool]]:
    return sorted((mount["Type"], mount["Destination"], mount["RW"]) for mount in data["Mounts"])


def declared(data: Inspect) -> list[tuple[str, str, Any]]:
    return sorted((mount["Type"], mount["Target"], mount.get("TmpfsOptions")) for mount in data["HostConfig"]["Mounts"])


def connected(data: Inspect) -> dict[str, Any]:
    """The networks, each with the address that was asked for and the aliases that are not the container's id."""
    ends = data["NetworkSettings"]["Networks"].items()
    return {
        name: ((end["IPAMConfig"] or {}).get("IPv4Address"), sorted(set(end["Aliases"] or ()) - {data["Id"][:12]}))
        for name, end in ends
    }


def restart(data: Inspect) -> tuple[str, int]:
    policy = data["HostConfig"]["RestartPolicy"]
    return policy["Name"], policy["MaximumRetryCount"]


def members(key: str) -> Callable[[Inspect], Any]:
    return lambda data: sorted(data["HostConfig"][key] or ())


def capabilities(key: str) -> Callable[[Inspect], Any]:
    """Newer engines write CAP_ before the names."""
    return lambda data: sorted(name.removeprefix("CAP_") for name in data["HostConfig"][key] or ())


def mac(data: Inspect) -> str:
    (end,) = data["NetworkSettings"]["Networks"].values()
    return str(end["MacAddress"])


def devices(data: Inspect) -> list[tuple[str, str, set[str]]]:
    return sorted(
        (entry["PathOnHost"], entry["PathInContainer"], set(entry["CgroupPermissions"]))
        for entry in data["HostConfig"]["Devices"]
    )


def ulimits(data: Inspect) -> list[tuple[str, int, int]]:
    return sorted((entry["Name"], entry["Soft"], entry["Hard"]) for entry in data["HostConfig"]["Ulimits"])


def security(data: Inspect) -> list[str]:
    return sorted(word.replace(":", "=") for word in data["HostConfig"]["SecurityOpt"])


def seccomp(data: Inspect) -> list[str]:
    return sorted(word.partition("{")[0] for word in data["HostConfig"]["SecurityOpt"])


GUEST = "/bin/kt-guest"

NO_NETWORK = dict.fromkeys(
    ("dns", "dns_search", "dns_options", "domainname", "extra_hosts", "hostname", "mac_address", "ports", "sysctls"),
    "a guest without a network of its own has none of these",
)
ENTRYPOINT = {"command": "an entrypoint takes the image's command away"}
HOSTS_PIDS = {
    **dict.fromkeys(("init", "oom_score_adj", "ulimits"), "process 1 is the host's then"),
    "security_opt": "docker adds label=disable then",
}
LOG_DRIVER = {"log_options": "they are a driver's"}

ROWS = (
    Row(
        "image",
        "<one>",
        "<two>",
        lambda data: data["Image"],
        ("<one-id>", "<two-id>"),
        same=("<two-id>", "<two-hex>", "docker.io/library/<two>"),
        inside=(("cat", "/etc/kt-release"), "1", "2"),
    ),
    Row(
        "image",
        "<one-id>",
        "<two-id>",
        lambda data: data["Image"],
        ("<one-id>", "<two-id>"),
        about="id",
        same=("<two>", "<two-short>"),
    ),
    Row(
        "command",
        [GUEST, "a"],
        f"{GUEST} 'b c' d",
        config("Cmd"),
        ([GUEST, "a"], [GUEST, "b c", "d"]),
        same=([GUEST, "b c", "d"],),
    ),
    Row("command", [GUEST, "a"], [], config("Cmd"), ([GUEST, "a"], [GUEST]), about="own", same=("", [GUEST])),
    Row(
        "entrypoint",
        [GUEST, "a"],
        f"{GUEST} b",
        config("Entrypoint"),
        ([GUEST, "a"], [GUEST, "b"]),
        same=([GUEST, "b"],),
        apart=ENTRYPOINT,
    ),
    Row("entrypoint", [GUEST], [], config("Entrypoint"), ([GUEST], None), about="own", apart=ENTRYPOINT),
    Row(
        "env",
        {"KT_A": "1", "KT_B": "2"},
        {"KT_A": "3", "KT_C": "a=b c"},
        some_env,
        (["KT_A=1", "KT_B=2"], ["KT_A=3", "KT_B=2", "KT_C=a=b c"]),
        same=({"KT_C": "a=b c", "KT_A": 3}, {"KT_B": "2"}),
        inside=(("sh", "-c", "echo $KT_A"), "1", "3"),
        purge=True,
    ),
    Row("user", "app", "1000:1000", config("User"), ("app", "1000:1000"), inside=(("id", "-u"), "1000", "1000")),
    Row("user", "app", "", config("User"), ("app", ""), about="none", inside=(("id", "-u"), "1000", "0")),
    Row("workdir", "/data", "/tmp", config("WorkingDir"), ("/data", "/tmp"), inside=(("pwd",), "/data", "/tmp")),
    Row(
        "hostname",
        "kt-one",
        "kt-two.example",
        config("Hostname"),
        ("kt-one", "kt-two.example"),
        inside=(("hostname",), "kt-one", "kt-two.example"),
    ),
    Row("domainname", "one.example", "two.example", config("Domainname"), ("one.example", "two.example")),
    Row(
        "labels",
        {"kt.a": "1", "kt.b": "2"},
        {"kt.a": "3", "kt.c": "x"},
        some_labels,
        ({"kt.a": "1", "kt.b": "2"}, {"kt.a": "3", "kt.b": "2", "kt.c": "x"}),
        same=({"kt.c": "x"}, {"kt.a": 3}),
        purge=True,
    ),
    Row("tty", False, True, config("Tty"), (False, True), same=("yes",)),
    Row("interactive", False, True, config("OpenStdin"), (False, True)),
    Row("stop_signal", "SIGTERM", "INT", config("StopSignal"), ("SIGTERM", "SIGINT"), same=("SIGINT", "int")),
    Row("stop_timeout", 3, 0, config("StopTimeout"), (3, 0)),
    Row(
        "healthcheck",
        {"test": "test -e /tmp/healthy", "interval": "1s", "retries": 2},
        {"test": ["CMD", "true"], "interval": "500ms", "start_period": "1m30s"},
        config("Healthcheck"),
        (
            {"Test": ["CMD-SHELL", "test -e /tmp/healthy"], "Interval": 10**9, "Retries": 2},
            {"Test": ["CMD", "true"], "Interval": 5 * 10**8, "Retries": 2, "StartPeriod": 90 * 10**9},
        ),
        same=({"test": ["true"]}, {"interval": "0.5s", "start_period": "90"}, {"retries": 2}),
    ),
    Row(
        "healthcheck",
        {"test": "NONE"},
        {"test": "true"},
        lambda data: data["Config"]["Healthcheck"]["Test"],
        (["NONE"], ["CMD-SHELL", "true"]),
        about="off",
        same=({"test": ["CMD-SHELL", "true"]},),
    ),
    Row(
        "mac_address",
        "02:42:AC:11:AB:01",
        "02:42:ac:11:AB:02",
        mac,
        ("02:42:ac:11:ab:01", "02:42:ac:11:ab:02"),
        same=("02:42:AC:11:AB:02",),
    ),
    Row(
        "ports",
        ["127.0.0.1:<port>0:80"],
        ["127.0.0.1:<port>1:80", "127.0.0.1:<port>2:53/udp"],
        bindings,
        (
            {"80/tcp": [("127.0.0.1", "<port>0")]},
            {"80/tcp": [("127.0.0.1", "<port>1")], "53/udp": [("127.0.0.1", "<port>2")]},
        ),
        same=(["127.0.0.1:<port>2:53/UDP", "127.0.0.1:<port>1:80/tcp"],),
        purge=True,
    ),
    Row(
        "ports",
        ["127.0.0.1:<port>3-<port>4:80-81"],
        ["127.0.0.1:<port>4-<port>6:80-82"],
        bindings,
        (
            {"80/tcp": [("127.0.0.1", "<port>3")], "81/tcp": [("127.0.0.1", "<port>4")]},
            {
                "80/tcp": [("127.0.0.1", "<port>4")],
                "81/tcp": [("127.0.0.1", "<port>5")],
                "82/tcp": [("127.0.0.1", "<port>6")],
            },
        ),
        about="range",
        same=(["127.0.0.1:<port>6:82", "127.0.0.1:<port>4:80", "127.0.0.1:<port>5:81/tcp"],),
    ),
    Row(
        "ports",
        ["80"],
        ["80", "81/udp"],
        lambda data: sorted(bindings(data)),
        (["80/tcp"], ["80/tcp", "81/udp"]),
        about="any",
        same=(["81/udp", "80/tcp"], [80, ":81/udp"]),
    ),
    Row(
        "mounts",
        ["<vol1>:/data"],
        ["<vol2>:/data:ro", "<dir>:/mnt"],
        mounts,
        ([("volume", "/data", True)], [("bind", "/mnt", True), ("volume", "/data", False)]),
        same=(
            [{"type": "volume", "source": "<vol2>", "target": "/data/", "read_only": True}],
            ["<dir>/:/mnt/:rw"],
            [{"source": "<dir>", "target": "/mnt"}],
        ),
        purge=True,
    ),
    Row(
        "mounts",
        [{"type": "tmpfs", "target": "/mnt", "size": "1MiB"}],
        [{"type": "tmpfs", "target": "/mnt", "size": "2MiB", "mode": "0700"}],
        declared,
        ([("tmpfs", "/mnt", {"SizeBytes": MIB})], [("tmpfs", "/mnt", {"SizeBytes": 2 * MIB, "Mode": 0o700})]),
        about="tmpfs",
        same=(
            [{"type": "tmpfs", "target": "/mnt", "size": 2097152}],
            [{"type": "tmpfs", "target": "/mnt/", "mode": "700"}],
        ),
    ),
    Row(
        "mounts",
        ["<dir>:/mnt"],
        [{"source": "<dir>", "target": "/mnt", "read_only": True, "propagation": "private"}],
        lambda data: [(mount["Source"], mount["RW"], mount["Propagation"]) for mount in data["Mounts"]],
        ([("<dir>", True, "rprivate")], [("<dir>", False, "private")]),
        about="bind",
        same=(["<dir>:/mnt:ro"],),
    ),
    Row(
        "mounts",
        ["<vol1>:/data"],
        [{"target": "/data"}, {"target": "/mnt"}],
        lambda data: sorted(
            (mount["Destination"], len(mount["Name"])) for mount in data["Mounts"] if mount["Destination"] != "/data"
        ),
        ([], [("/mnt", 64)]),
        about="anonymous",
    ),
    Row(
        "tmpfs",
        ["/run:size=64m"],
        ["/run:size=32m,noexec", "/var/kt"],
        host("Tmpfs"),
        ({"/run": "size=67108864"}, {"/run": "noexec,size=33554432", "/var/kt": ""}),
        same=(["/run/:noexec,size=32MiB"], ["/run:size=33554432,noexec"], ["/var/kt/"]),
        purge=True,
    ),
    Row("network_mode", "bridge", "none", host("NetworkMode"), ("bridge", "none"), apart=NO_NETWORK),
    Row(
        "network_mode",
        "none",
        "default",
        host("NetworkMode"),
        ("none", "bridge"),
        about="default",
        same=("bridge",),
        apart=NO_NETWORK,
    ),
    Row("network_mode", "bridge", "host", host("NetworkMode"), ("bridge", "host"), about="host", apart=NO_NETWORK),
    Row(
        "networks",
        ["<net1>"],
        [{"name": "<net1>"}, {"name": "<net2>", "ipv4_address": "<addr>.7", "aliases": ["db", "cache"]}],
        connected,
        ({"<net1>": (None, [])}, {"<net1>": (None, []), "<net2>": ("<addr>.7", ["cache", "db"])}),
        live=True,
        same=(["<net2>", "<net1>"], [{"name": "<net2>", "aliases": ["cache", "db"]}]),
        purge=True,
        purge_live=True,
    ),
    Row(
        "networks",
        [{"name": "<net2>", "ipv4_address": "<addr>.7"}],
        [{"name": "<net2>", "ipv4_address": "<addr>.8", "aliases": ["db"]}],
        connected,
        ({"<net2>": ("<addr>.7", [])}, {"<net2>": ("<addr>.8", ["db"])}),
        live=True,
        about="address",
    ),
    Row("cpus", 0.5, 1.25, host("NanoCpus"), (5 * 10**8, 125 * 10**7), live=True, same=("1.250", "1.25")),
    Row("cpus", 0.5, 0, host("NanoCpus"), (5 * 10**8, 0), about="none", same=("0.0",)),
    Row("cpu_shares", 512, 1024, host("CpuShares"), (512, 1024), live=True, same=("1024",)),
    Row("cpuset_cpus", "0", "0-1", host("CpusetCpus"), ("0", "0-1"), live=True, same=("0,1", "1, 0")),
    Row("cpuset_mems", "0", "", host("CpusetMems"), ("0", "")),
    Row(
        "memory",
        "64MiB",
        "96M",
        host("Memory"),
        (64 * MIB, 96 * MIB),
        live=True,
        same=("96MiB", 100663296, "98304k", "96 MiB"),
    ),
    Row(
        "memory", "64MiB", "32MiB", host("Memory"), (64 * MIB, 32 * MIB), live=True, about="less", same=("0.03125GiB",)
    ),
    Row("memory", "64MiB", 0, host("Memory"), (64 * MIB, 0), about="none", same=("0", "0B")),
    Row(
        "memory_reservation",
        "16MiB",
        "24MiB",
        host("MemoryReservation"),
        (16 * MIB, 24 * MIB),
        live=True,
        same=("24M",),
    ),
    Row(
        "memory_swap",
        "128MiB",
        "unlimited",
        host("MemorySwap"),
        (128 * MIB, -1),
        live=True,
        extra={"memory": "64MiB"},
        same=("-1", -1),
    ),
    Row(
        "memory_swap",
        "128MiB",
        "256MiB",
        host("MemorySwap"),
        (128 * MIB, 256 * MIB),
        live=True,
        about="more",
        extra={"memory": "64MiB"},
        same=("256M",),
    ),
    Row("pids_limit", 50, 100, host("PidsLimit"), (50, 100), live=True),
    Row(
        "pids_limit",
        50,
        -1,
        lambda data: data["HostConfig"]["PidsLimit"] in (None, 0, -1),
        (False, True),
        about="none",
        live=True,
        same=(0,),
    ),
    Row(
        "blkio_weight",
        100,
        500,
        host("BlkioWeight"),
        (100, 500),
        live=True,
        kernel={"BlkioWeight": 100},
        alone="it is refused where the kernel does not know it",
    ),
    Row(
        "restart_policy",
        "on-failure:3",
        "unless-stopped",
        restart,
        (("on-failure", 3), ("unless-stopped", 0)),
        live=True,
    ),
    Row(
        "restart_policy",
        "always",
        "on-failure",
        restart,
        (("always", 0), ("on-failure", 0)),
        about="on-failure",
        live=True,
        same=("on-failure:0",),
    ),
    Row("restart_policy", "always", False, restart, (("always", 0), ("no", 0)), about="no", live=True, same=("no",)),
    Row("dns", ["192.0.2.1"], ["192.0.2.2", "192.0.2.1"], host("Dns"), (["192.0.2.1"], ["192.0.2.2", "192.0.2.1"])),
    Row(
        "dns_search",
        ["one.example"],
        ["two.example", "one.example"],
        host("DnsSearch"),
        (["one.example"], ["two.example", "one.example"]),
    ),
    Row("dns_options", ["ndots:2"], ["ndots:3", "rotate"], host("DnsOptions"), (["ndots:2"], ["ndots:3", "rotate"])),
    Row(
        "extra_hosts",
        ["a:192.0.2.1", "b:192.0.2.2"],
        ["a:192.0.2.3", "c:2001:db8::1"],
        members("ExtraHosts"),
        (["a:192.0.2.1", "b:192.0.2.2"], ["a:192.0.2.3", "b:192.0.2.2", "c:2001:db8::1"]),
        same=(["c:2001:db8::1", "a:192.0.2.3"],),
        purge=True,
    ),
    Row(
        "cap_add",
        ["NET_ADMIN"],
        ["CAP_SYS_TIME"],
        capabilities("CapAdd"),
        (["NET_ADMIN"], ["NET_ADMIN", "SYS_TIME"]),
        same=(["sys_time", "cap_net_admin"],),
        purge=True,
    ),
    Row(
        "cap_drop",
        ["CAP_MKNOD"],
        ["net_raw", "MKNOD"],
        capabilities("CapDrop"),
        (["MKNOD"], ["MKNOD", "NET_RAW"]),
        same=(["NET_RAW"],),
        purge=True,
    ),
    Row(
        "devices",
        ["/dev/fuse"],
        ["/dev/fuse:/dev/fuse:r", "/dev/null:/dev/kt:wr"],
        devices,
        (
            [("/dev/fuse", "/dev/fuse", {"r", "w", "m"})],
            [("/dev/fuse", "/dev/fuse", {"r"}), ("/dev/null", "/dev/kt", {"r", "w"})],
        ),
        same=(["/dev/null:/dev/kt:rw"],),
        purge=True,
    ),
    Row(
        "device_cgroup_rules",
        ["c 10:229 rwm"],
        ["c 1:3 r"],
        members("DeviceCgroupRules"),
        (["c 10:229 rwm"], ["c 10:229 rwm", "c 1:3 r"]),
        purge=True,
    ),
    Row(
        "sysctls",
        {"net.core.somaxconn": 100},
        {"net.core.somaxconn": "200", "net.ipv4.ip_forward": "0"},
        host("Sysctls"),
        ({"net.core.somaxconn": "100"}, {"net.core.somaxconn": "200", "net.ipv4.ip_forward": "0"}),
        same=({"net.ipv4.ip_forward": 0},),
        purge=True,
        inside=(("cat", "/proc/sys/net/core/somaxconn"), "100", "200"),
    ),
    Row(
        "ulimits",
        ["nofile=512"],
        ["nofile=256:512", "core=0"],
        ulimits,
        ([("nofile", 512, 512)], [("core", 0, 0), ("nofile", 256, 512)]),
        same=(["core=0:0"],),
        purge=True,
        inside=(("sh", "-c", "grep -c 'Max open files *512 *512' /proc/1/limits || true"), "1", "0"),
    ),
    Row(
        "log_driver",
        "json-file",
        "local",
        lambda data: data["HostConfig"]["LogConfig"]["Type"],
        ("json-file", "local"),
        apart=LOG_DRIVER,
    ),
    Row(
        "log_options",
        {"max-size": "1m", "max-file": "2"},
        {"max-size": "2m"},
        lambda data: data["HostConfig"]["LogConfig"]["Config"],
        ({"max-size": "1m", "max-file": "2"}, {"max-size": "2m", "max-file": "2"}),
        same=({"max-file": 2},),
        purge=True,
    ),
    Row("init", False, True, lambda data: bool(data["HostConfig"]["Init"]), (False, True)),
    # This machine may lack a capability that a privileged container needs for its start.
    Row("privileged", False, True, host("Privileged"), (False, True), extra={"state": "present"}),
    Row("read_only", False, True, host("ReadonlyRootfs"), (False, True)),
    Row(
        "security_opt",
        ["no-new-privileges"],
        ["seccomp=unconfined"],
        security,
        (["no-new-privileges"], ["no-new-privileges", "seccomp=unconfined"]),
        same=(["seccomp:unconfined", "no-new-privileges:true"],),
        purge=True,
    ),
    Row(
        "security_opt",
        ["seccomp=<profile>"],
        ["seccomp=unconfined"],
        seccomp,
        (["seccomp="], ["seccomp=unconfined"]),
        about="seccomp",
    ),
    Row(
        "security_opt",
        ["no-new-privileges"],
        ["systempaths=unconfined", "no-new-privileges=false"],
        lambda data: (data["HostConfig"]["SecurityOpt"] or [], data["HostConfig"]["MaskedPaths"] == []),
        ((["no-new-privileges"], False), ([], True)),
        about="system paths",
        same=(["systempaths:unconfined"],),
    ),
    Row(
        "group_add",
        ["1000"],
        ["2000", 1000],
        members("GroupAdd"),
        (["1000"], ["1000", "2000"]),
        same=(["2000"], [2000]),
        purge=True,
    ),
    Row("shm_size", "32MiB", "48m", host("ShmSize"), (32 * MIB, 48 * MIB), same=("48MiB", 50331648)),
    Row("pid_mode", "", "host", host("PidMode"), ("", "host"), apart=HOSTS_PIDS),
    Row("ipc_mode", "private", "shareable", host("IpcMode"), ("private", "shareable")),
    Row("cgroupns_mode", "host", "private", host("CgroupnsMode"), ("host", "private")),
    Row(
        "oom_score_adj",
        100,
        200,
        host("OomScoreAdj"),
        (100, 200),
        inside=(("cat", "/proc/1/oom_score_adj"), "100", "200"),
    ),
)
