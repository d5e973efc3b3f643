# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One example for every option of a container, and the containers that the fixtures were recorded from."""

from __future__ import annotations

from typing import Any, NamedTuple


class Example(NamedTuple):
    """An option's value as a user writes it, other ways to write the same, and a value that differs from it."""

    value: Any
    same: tuple[Any, ...]
    other: Any


#: What the container `full` was made with, but for what excludes something else (see APART).
EXAMPLES: dict[str, Example] = {
    "image": Example("base:1", ("docker.io/library/base:1", "index.docker.io/base:1"), "base:2"),
    "command": Example("/bin/kt-guest 'two words'", (["/bin/kt-guest", "two words"],), ["/bin/kt-guest"]),
    "entrypoint": Example(["/bin/sh", "/bin/kt-guest"], ("/bin/sh /bin/kt-guest",), [""]),
    "env": Example({"B": "2", "A": "a=b c"}, ({"A": "a=b c", "B": 2},), {"A": "a=b"}),
    "user": Example("app", (), "1000:1000"),
    "workdir": Example("/tmp", ("/tmp/", "//tmp/./x/.."), "/data"),
    "hostname": Example("web-1", (), "web-2.example"),
    "domainname": Example("one.example", (), "two.example"),
    "labels": Example({"role": "web", "number": "1"}, ({"number": 1, "role": "web"},), {"role": "db"}),
    "tty": Example(True, (), False),
    "interactive": Example(True, (), False),
    "stop_signal": Example("int", ("SIGINT", "INT", 2), "15"),
    "stop_timeout": Example(3, (), 0),
    "healthcheck": Example(
        {"test": "test -e /tmp/healthy", "interval": "1m30s", "timeout": "500ms", "retries": 2},
        ({"test": ["CMD-SHELL", "test -e /tmp/healthy"], "interval": "90", "timeout": "0.5s", "retries": 2},),
        {"test": ["test", "-e", "/tmp/healthy"]},
    ),
    "mac_address": Example("02:42:AC:1F:F0:09", ("02:42:ac:1f:f0:09",), "02:42:ac:1f:f0:0a"),
    "ports": Example(
        ["127.0.0.1:28080:80", "127.0.0.1:28000-28001:8000-8001/udp", "53/udp"],
        (["53/UDP", "127.0.0.1:28001:8001/udp", "127.0.0.1:28080:80/tcp", "127.0.0.1:28000:8000/udp"],),
        ["127.0.0.1:28081:80"],
    ),
    "exposed_ports": Example(["7001-7002", "7003/udp"], (["7003/UDP", 7002, "7001/tcp"],), ["7004"]),
    "publish_all_ports": Example(True, (), False),
    "mounts": Example(
        ["volume-a:/data", "/srv:/srv:ro", {"type": "tmpfs", "target": "/scratch", "size": "1MiB", "mode": "1770"}],
        (
            [
                {"target": "/data/", "source": "volume-a", "type": "volume", "read_only": False},
                {"target": "/a/..//srv", "source": "/srv/", "read_only": "yes"},
                {"type": "tmpfs", "target": "/scratch", "size": 1048576, "mode": "01770"},
            ],
        ),
        ["volume-b:/data"],
    ),
    "tmpfs": Example(["/run:size=32m,noexec", "/var/run"], (["/var//./run/", "/run:noexec,size=33554432"],), ["/run"]),
    "network_mode": Example("front", (), "none"),
    "networks": Example(
        ["front", {"name": "back", "ipv4_address": "172.31.241.7", "aliases": ["db", "cache"]}],
        ([{"name": "back", "aliases": ["cache", "db"], "ipv4_address": "172.31.241.7"}, {"name": "front"}],),
        [{"name": "back", "ipv4_address": "172.31.241.8"}],
    ),
    "cpus": Example(0.5, ("0.50", 0.5), 1),
    "cpu_shares": Example(512, (), 256),
    "cpuset_cpus": Example("0-1", ("1,0", "0, 1", "0,0-1"), "0"),
    "cpuset_mems": Example("0", ("0-0",), ""),
    "memory": Example("96MiB", ("96M", "98304k", 100663296, "0.09375GiB"), "64MiB"),
    "memory_reservation": Example("48MiB", ("48m", "50331648"), "24MiB"),
    "memory_swap": Example("unlimited", ("-1", -1), "256MiB"),
    "pids_limit": Example(100, (), -1),
    "blkio_weight": Example(500, (), 100),
    "restart_policy": Example("on-failure:3", (), "unless-stopped"),
    "dns": Example(["192.0.2.1", "192.0.2.2"], (), ["192.0.2.2", "192.0.2.1"]),
    "dns_search": Example(["one.example"], (), ["two.example"]),
    "dns_options": Example(["ndots:2"], (), ["rotate"]),
    "extra_hosts": Example(["a:192.0.2.1", "b:2001:db8::1"], (["b:[2001:DB8:0::1]", "a:192.0.2.1"],), ["a:192.0.2.3"]),
    "cap_add": Example(["NET_ADMIN"], (["cap_net_admin"], ["Net_Admin"]), ["SYS_TIME"]),
    "cap_drop": Example(["CAP_MKNOD", "net_raw"], (["NET_RAW", "MKNOD"],), ["CHOWN"]),
    "devices": Example(
        ["/dev/null:/dev/kt:rw", "/dev/fuse"],
        (["/dev/fuse:/dev/fuse:mrw", "/dev/null:/dev/kt:wr"],),
        ["/dev/fuse:/dev/fuse:r"],
    ),
    "device_cgroup_rules": Example(["c 1:3 r", "c 10:229 rwm"], (["c 10:229 rwm", "c 1:3 r"],), ["c 1:5 r"]),
    "sysctls": Example({"net.core.somaxconn": 100}, ({"net.core.somaxconn": "100"},), {"net.core.somaxconn": 200}),
    "ulimits": Example(["nofile=256:512", "core=0"], (["core=0:0", "nofile=256:512"],), ["core=-1"]),
    "log_driver": Example("json-file", (), "local"),
    "log_options": Example(
        {"max-size": "1m", "max-file": 2}, ({"max-file": "2", "max-size": "1m"},), {"max-size": "2m"}
    ),
    "init": Example(True, (), False),
    "privileged": Example(True, (), False),
    "read_only": Example(True, (), False),
    "security_opt": Example(
        ["seccomp=unconfined", "no-new-privileges"],
        (["no-new-privileges:true", "seccomp:unconfined"],),
        ["apparmor=unconfined"],
    ),
    "group_add": Example(["2000", 1000], (["1000", "2000"],), ["3000"]),
    "shm_size": Example("32MiB", ("32m", 33554432), "64MiB"),
    "pid_mode": Example("host", (), ""),
    "uts_mode": Example("host", (), ""),
    "userns_mode": Example("host", (), ""),
    "cgroup_parent": Example("/docker", (), "/"),
    "runtime": Example("io.containerd.runc.v2", (), "runc"),
    "memory_swappiness": Example(10, (), 20),
    "oom_kill_disable": Example(True, (), False),
    "device_requests": Example([{"device_ids": ["0"]}], ([{"device_ids": ["0"], "count": 0}],), [{"count": 1}]),
    "io_limits": Example(
        [{"device": "/dev/loop0", "read_bps": "1MiB"}],
        ([{"device": "/dev/loop0", "read_bps": 1048576, "write_iops": 0}],),
        [{"device": "/dev/loop0", "write_iops": 100}],
    ),
    "ipc_mode": Example("shareable", (), "private"),
    "cgroupns_mode": Example("host", (), "private"),
    "oom_score_adj": Example(200, (), -100),
}

#: Options that are recorded from a container of their own: they exclude others, or not every machine can start what has
#: them.
APART = ("mac_address", "privileged", "pid_mode", "uts_mode", "device_requests")

#: Options that the kernel of the recording machine did not support: the engine leaves them out with a warning.
UNRECORDED = ("blkio_weight",)

CONTAINERS: dict[str, dict[str, Any]] = {
    "full": {name: example.value for name, example in EXAMPLES.items() if name not in (*APART, *UNRECORDED)},
    "apart": {"image": "base:1", "state": "present", **{name: EXAMPLES[name].value for name in APART}},
    "plain": {"image": "rich:1"},
}
