# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A pool's options, one on a line: how each is understood, read, compared, priced and written. Pure."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

from ....engine.action import Disruption
from ....engine.errors import InvalidOption
from ....engine.kinds import Flag, Integer, Kind, Sequence, Text
from ....engine.spec import Table
from ..definition import DefinitionOption, tell_autostart
from ..names import Path, check_name
from ..xml import Element, attribute, child, drop, make, text_of

RESTART, RECREATE = Disruption.RESTART, Disruption.RECREATE

TYPES = (
    *("dir", "fs", "netfs", "logical", "disk", "zfs", "iscsi", "iscsi-direct", "scsi", "mpath", "rbd", "gluster"),
    "vstorage",
)
#: Whose volumes guests reach over the network: the protocol of their disks.
PROTOCOLS: Mapping[str, str] = {"rbd": "rbd", "gluster": "gluster", "iscsi-direct": "iscsi"}
#: What a definition of each type needs, beside its name. Libvirt would take some without, and never start them.
NEEDS: Mapping[str, tuple[str, ...]] = {
    "dir": ("path",),
    "fs": ("path", "devices"),
    "netfs": ("path", "host", "source_path"),
    "logical": (),
    "disk": ("path", "devices"),
    "zfs": ("source_name",),
    "iscsi": ("path", "host", "devices"),
    "iscsi-direct": ("host", "devices", "initiator"),
    "scsi": ("path", "adapter"),
    "mpath": ("path",),
    "rbd": ("source_name", "host"),
    "gluster": ("source_name", "host"),
    "vstorage": ("path", "source_name"),
}
#: The types that stand on exactly one device or target, and what it is.
SINGLE: Mapping[str, str] = {
    "fs": "the device that the file system is on",
    "disk": "the disk whose partitions are the volumes",
    "iscsi": "the target (iqn....)",
    "iscsi-direct": "the target (iqn....)",
}
#: The formats that libvirt's schema knows (9.0).
FORMATS: Mapping[str, tuple[str, ...]] = {
    "fs": (
        *("auto", "ext2", "ext3", "ext4", "gfs", "gfs2", "hfs+", "iso9660", "ocfs2", "udf", "ufs", "vfat", "vmfs"),
        "xfs",
    ),
    "netfs": ("auto", "nfs", "cifs", "glusterfs"),
    "logical": ("lvm2", "unknown"),
    "disk": ("dos", "gpt", "bsd", "dvh", "lvm2", "mac", "pc98", "sun", "unknown"),
}
#: What means something to which types.
FITS: Mapping[str, tuple[str, ...]] = {
    "path": ("dir", "fs", "netfs", "logical", "disk", "iscsi", "scsi", "mpath", "vstorage"),
    "devices": ("fs", "logical", "disk", "zfs", "iscsi", "iscsi-direct"),
    "source_name": ("logical", "zfs", "rbd", "gluster", "vstorage"),
    "source_path": ("netfs", "gluster"),
    "adapter": ("scsi",),
    "host": ("netfs", "iscsi", "iscsi-direct", "rbd", "gluster"),
    "port": ("netfs", "iscsi", "iscsi-direct", "rbd", "gluster"),
    "initiator": ("iscsi", "iscsi-direct"),
    "format": tuple(FORMATS),
    "auth": ("iscsi", "iscsi-direct", "rbd"),
    "build": ("dir", "fs", "netfs", "logical", "disk", "zfs", "vstorage"),
}
#: Whose volumes are in a directory that they share with the rest of the host.
SHARED = ("disk", "iscsi", "scsi", "mpath")
_AUTH = "Write a mapping with username and with secret_uuid or secret_usage, which name a secret that libvirt keeps"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Auth(Kind):
    """Who logs in at the source, and which of libvirt's secrets proves it: never the secret itself."""

    argument = {
        "type": "dict",
        "options": {
            "username": {"type": "str", "required": True},
            # A reference, as safe to show as a file's name.
            "secret_uuid": {"type": "str", "no_log": False},
            "secret_usage": {"type": "str", "no_log": False},
        },
    }

    def parse(self, value: Any, option: str) -> dict[str, str]:
        auth = {key: TOKEN.parse(text, f"{option}.{key}") for key, text in value.items() if text is not None}
        if ("secret_uuid" in auth) == ("secret_usage" in auth):
            raise InvalidOption(option, value, "names not exactly one secret", remedy=_AUTH)
        if "secret_uuid" in auth:
            auth["secret_uuid"] = auth["secret_uuid"].lower()
            if not _UUID.fullmatch(auth["secret_uuid"]):
                raise InvalidOption(
                    f"{option}.secret_uuid",
                    value["secret_uuid"],
                    "is no UUID",
                    remedy="Take it from virsh secret-list",
                )
        return auth


_ADAPTER = "Write a mapping with name, like scsi_host5, or one with wwnn and wwpn, and with parent if wanted"


class Adapter(Kind):
    """A SCSI host adapter: one of the host's, or a virtual one of Fibre Channel by its names."""

    argument = {
        "type": "dict",
        "options": {key: {"type": "str"} for key in ("name", "parent", "wwnn", "wwpn")},
    }

    def parse(self, value: Any, option: str) -> dict[str, str]:
        adapter = {key: str(text).lower() for key, text in value.items() if text is not None}
        virtual = {"wwnn", "wwpn"} <= set(adapter)
        if set(adapter) - {"parent"} != ({"wwnn", "wwpn"} if virtual else {"name"}):
            raise InvalidOption(option, value, "names not exactly one adapter", remedy=_ADAPTER)
        for key, text in adapter.items():
            if not (_WWN if key.startswith("ww") else _ADAPTER_NAME).fullmatch(text):
                raise InvalidOption(f"{option}.{key}", value[key], "is not understood", remedy=_ADAPTER)
        return adapter


_ADAPTER_NAME = re.compile(r"(scsi_)?host[0-9]{1,5}", re.ASCII)
_WWN = re.compile(r"[0-9a-f]{16}", re.ASCII)

TOKEN = Text(pattern=r"\S(.*\S)?", remedy="Write it without blanks around it")
_DEVICE = Text(
    pattern=r"[A-Za-z0-9_./:@+-]{1,255}", remedy="Write a block device's path, or for iscsi the target's name (iqn....)"
)


def _devices(definition: Element) -> tuple[str, ...]:
    return tuple(each.get("path", "") for each in definition.findall("source/device"))


def _auth(definition: Element) -> dict[str, str] | None:
    auth = definition.find("source/auth")
    if auth is None:
        return None
    secret = {f"secret_{key}": attribute(auth, "secret", key) for key in ("uuid", "usage")}
    return {"username": auth.get("username", ""), **{key: value for key, value in secret.items() if value}}


def _adapter(definition: Element) -> dict[str, str] | None:
    adapter = definition.find("source/adapter")
    if adapter is None:
        return None
    # One that is found by the place of its card has no name here.
    return {key: adapter.attrib[key] for key in ("name", "parent", "wwnn", "wwpn") if key in adapter.attrib} or None


def _port(definition: Element) -> int | None:
    port = attribute(definition, "source/host", "port")
    return int(port) if port else None


SOURCE_NAME = Text(
    pattern=r"[A-Za-z0-9_][A-Za-z0-9_./+-]*",
    remedy="Write the name of a volume group, of a pool of ZFS or Ceph, or of a volume of Gluster",
)
SOURCE_PATH = Text(
    pattern=r"(?!.*(^|/)\.\.(/|$))[A-Za-z0-9_.,:%@+/-]+",
    remedy="Write the directory that the server exports, like /srv/images",
)
SERVER = Text(pattern=r"[A-Za-z0-9_.:\[\]-]+", remedy="Write the name or the address of a host")
INITIATOR = Text(pattern=r"[A-Za-z0-9.:_-]+", remedy="Write an initiator's name (iqn....)")
FORMAT = Text(pattern=r"[a-z0-9+]+", remedy="Write its name, like ext4, nfs or gpt, or auto")


def _write_text(pool: Element, path: str, text: str) -> None:
    child(pool, path).text = text


def _write_devices(pool: Element, devices: tuple[str, ...]) -> None:
    source = child(pool, "source")
    for each in source.findall("device"):
        source.remove(each)
    for path in reversed(devices):
        source.insert(0, make("device", {"path": path}))


def _write_adapter(pool: Element, adapter: Mapping[str, str]) -> None:
    drop(pool, "source/adapter")
    kind = "scsi_host" if "name" in adapter else "fc_host"
    child(pool, "source").append(make("adapter", {"type": kind, **adapter}))


def _write_auth(pool: Element, auth: Mapping[str, str]) -> None:
    kind = "ceph" if pool.get("type") == "rbd" else "chap"
    drop(pool, "source/auth")
    secret = make("secret", {"uuid": auth.get("secret_uuid"), "usage": auth.get("secret_usage")})
    child(pool, "source").append(make("auth", {"type": kind, "username": auth["username"]}, secret))


POOL_OPTIONS: tuple[DefinitionOption, ...] = (
    DefinitionOption("type", Text(choices=TYPES), lambda view: view.definition.get("type"), RECREATE),
    DefinitionOption("path", Path(), lambda view: text_of(view.definition, "target/path"), RESTART,
                     lambda pool, value: _write_text(pool, "target/path", value)),
    DefinitionOption("devices", Sequence(_DEVICE), lambda view: _devices(view.definition), RESTART, _write_devices),
    DefinitionOption("source_name", SOURCE_NAME, lambda view: text_of(view.definition, "source/name"), RESTART,
                     lambda pool, value: _write_text(pool, "source/name", value)),
    DefinitionOption("source_path", SOURCE_PATH, lambda view: attribute(view.definition, "source/dir", "path"), RESTART,
                     lambda pool, value: child(pool, "source/dir").set("path", value)),
    DefinitionOption("adapter", Adapter(), lambda view: _adapter(view.definition), RESTART, _write_adapter),
    DefinitionOption("host", SERVER, lambda view: attribute(view.definition, "source/host", "name"), RESTART,
                     lambda pool, value: child(pool, "source/host").set("name", value)),
    DefinitionOption("port", Integer(1, 65535), lambda view: _port(view.definition), RESTART,
                     lambda pool, value: child(pool, "source/host").set("port", str(value))),
    DefinitionOption("initiator", INITIATOR, lambda view: attribute(view.definition, "source/initiator/iqn", "name"),
                     RESTART,
                     lambda pool, value: child(pool, "source/initiator/iqn").set("name", value)),
    DefinitionOption("format", FORMAT, lambda view: attribute(view.definition, "source/format", "type"), RESTART,
                     lambda pool, value: child(pool, "source/format").set("type", value)),
    DefinitionOption("auth", Auth(), lambda view: _auth(view.definition), RESTART, _write_auth),
    DefinitionOption("autostart", Flag(), lambda view: view.autostart, Disruption.NONE, tell=tell_autostart),
)  # fmt: skip

POOLS_TABLE = Table(
    backend="kvm",
    kind="pool",
    options=POOL_OPTIONS,
    states=("active", "inactive", "present", "absent"),
    state="active",
    allow=Disruption.LIVE,
    steering={"build": {"type": "bool"}},
    check_name=check_name,
)


def defined(name: str, values: Mapping[str, Any], have: Element | None) -> Element:
    """The definition with these options' values (canonical forms) in it; everything else of it stays."""
    pool = make("pool", {"type": values.get("type")}, make("name", text=name)) if have is None else copy.deepcopy(have)
    kind = pool.get("type")
    # What libvirt counted, not what it was told.
    for tag in ("capacity", "allocation", "available"):
        drop(pool, tag)
    for option in POOL_OPTIONS:
        if option.write is not None and values.get(option.name) is not None:
            option.write(pool, values[option.name])
    if kind in ("logical", "zfs", "rbd") and have is None and pool.find("source/name") is None:
        child(pool, "source/name").text = name
    if kind == "logical" and values.get("path") is None and (have is None or values.get("source_name")):
        # Where LVM shows the volumes of a group.
        child(pool, "target/path").text = "/dev/{}".format(text_of(pool, "source/name", name))
    return pool
