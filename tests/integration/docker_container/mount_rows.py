# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of what is mounted into a container."""

from __future__ import annotations

from .row import MIB, Row, declared, host, mounts

MOUNT_ROWS = (
    Row(
        "mounts",
        ["<vol1>:/data"],
        ["<vol2>://data/./:ro", "/tmp/../<dir>/.://mnt/x/.."],
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
        ["<vol1>:/data:nocopy"],
        [
            "<dir>:/mnt:ro,Z,private",
            {"target": "/data", "source": "<vol2>", "labels": {"kt": 1}, "driver": "local"},
            "/opt",
        ],
        lambda data: (
            data["HostConfig"]["Binds"],
            [(mount["Target"], mount.get("VolumeOptions")) for mount in data["HostConfig"]["Mounts"]],
        ),
        (
            (None, [("/data", {"NoCopy": True})]),
            (
                ["<dir>:/mnt:ro,Z,private"],
                [
                    ("/data", {"NoCopy": True, "Labels": {"kt": "1"}, "DriverConfig": {"Name": "local"}}),
                    ("/opt", None),
                ],
            ),
        ),
        about="words",
        same=(
            ["<dir>:/mnt:Z,ro", "<vol2>:/data"],
            [
                {"source": "<dir>", "target": "/mnt", "selinux": "Z", "read_only": True},
                {"target": "/data", "no_copy": "yes"},
            ],
            ["/opt"],
        ),
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
)
