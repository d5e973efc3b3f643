# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the options of community.general.lxc_container are here: all that are not the same in both. Pure."""

from __future__ import annotations

from ...engine.peers import Other, Peer

CONTAINER = (
    Peer(
        "community.general.lxc_container",
        "11.4.2",
        (
            Other(
                "archive archive_compression archive_path",
                "",
                "Pack its root file system with tar, while it is stopped",
            ),
            Other("backing_store", "storage", "Write overlay for overlayfs"),
            Other(
                "clone_name",
                "name clone",
                "The task is one for the new container; write the old one's name below clone",
            ),
            Other("clone_snapshot", "clone", "Write snapshot below clone"),
            Other("config", "config", "Write keys of lxc.container.conf and their values, not the path of a file"),
            Other("container_command", "", "Run tasks in it, through the connection kraal.virt.guest"),
            Other("container_config", "config", "Write a mapping of keys and values"),
            Other("container_log container_log_level", "config", "Write lxc.log.file and lxc.log.level"),
            Other("directory", "lxc_path", "A root file system of the storage dir is in the container's own directory"),
            Other("fs_size", "storage_options", "Write size"),
            Other("fs_type", "storage_options", "Write filesystem"),
            Other("lv_name", "storage_options", "Write lv"),
            Other("template_options", "template_options", "Write a mapping, like {dist: debian, release: bookworm}"),
            Other("thinpool", "storage_options", "Write thin_pool"),
            Other("vg_name", "storage_options", "Write vg"),
            Other("zfs_root", "storage_options", "Write zfs_root below it"),
        ),
        (
            Other("started", "state=running"),
            Other("frozen", "state=paused"),
            Other("restarted", "disruption=restart", "A container is restarted when something differs that needs it"),
            Other("clone", "clone", "Write state=stopped or state=running, and the old container below clone"),
        ),
    ),
)
