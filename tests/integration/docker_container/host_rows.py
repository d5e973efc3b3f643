# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of what a container shares with its host, or has of it."""

from __future__ import annotations

from .row import MIB, Row, host

GPU = {"Driver": "", "Count": 1, "DeviceIDs": None, "Capabilities": [["gpu"]], "Options": {}}
UNKNOWN = "it is refused where the kernel does not know it"
NAMES = dict.fromkeys(("hostname", "domainname"), "the host's name is the guest's then")


def requests(data):
    return [{**each, "DeviceIDs": each["DeviceIDs"] or None} for each in data["HostConfig"]["DeviceRequests"]]


HOST_ROWS = (
    Row(
        "device_requests",
        [{"count": 1}],
        [{"device_ids": ["0", "1"], "driver": "nvidia", "capabilities": [["gpu", "utility"]]}],
        requests,
        (
            [GPU],
            [
                {
                    "Driver": "nvidia",
                    "Count": 0,
                    "DeviceIDs": ["0", "1"],
                    "Capabilities": [["gpu", "utility"]],
                    "Options": {},
                }
            ],
        ),
        extra={"state": "present"},
        alone="it cannot be started without such hardware",
    ),
    Row(
        "io_limits",
        [{"device": "<disk>", "read_bps": "1MiB"}],
        [{"device": "<disk2>", "write_iops": 100}],
        lambda data: [
            [each["Rate"] for each in data["HostConfig"][key] or ()]
            for key in ("BlkioDeviceReadBps", "BlkioDeviceWriteIOps")
        ],
        ([[MIB], []], [[MIB], [100]]),
        same=([{"device": "<disk>", "read_bps": 1048576, "read_iops": 0}], [{"device": "/dev/kt-none", "read_bps": 0}]),
        purge=True,
    ),
    Row("uts_mode", "", "host", host("UTSMode"), ("", "host"), apart=NAMES),
    Row("userns_mode", "", "host", host("UsernsMode"), ("", "host")),
    Row("cgroup_parent", "/docker", "/", host("CgroupParent"), ("/docker", "/")),
    Row("runtime", "runc", "io.containerd.runc.v2", host("Runtime"), ("runc", "io.containerd.runc.v2")),
    Row(
        "memory_swappiness",
        10,
        0,
        host("MemorySwappiness"),
        (10, 0),
        kernel={"MemorySwappiness": 10},
        alone=UNKNOWN,
    ),
    Row(
        "oom_kill_disable",
        True,
        False,
        lambda data: bool(data["HostConfig"]["OomKillDisable"]),
        (True, False),
        extra={"memory": "64MiB"},
        kernel={"OomKillDisable": True, "Memory": 64 * MIB},
        alone=UNKNOWN,
    ),
)
