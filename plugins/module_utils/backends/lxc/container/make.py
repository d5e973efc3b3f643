# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a container comes into being and goes: its directory, its root file system, and the mark that it is not whole."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from ....engine.errors import BackendError, os_errors
from ....engine.lock import held
from ....engine.spec import Spec
from ....host.packages import install
from ....host.replace import replace_file
from ..client import Lxc, message_of, run
from ..files import read_file
from ..remedies import remedy_for
from .arguments import checksum_of
from .config import Config
from .hooks import hooks_inside, hooks_of_copy
from .kinds import Image
from .observe import BASES, MARK, NOTE, RDEPENDS, SNAPSHOTS, first_config, read_pairs
from .options import template_arguments

#: For what lxc-create runs: templates download, package managers install.
MAKE_SECONDS = 3600

#: How compressed archives begin. What is no file of its own, tar does not look at.
_COMPRESSED = {
    b"\x1f\x8b": "--gzip", b"\x1f\x9d": "--uncompress", b"BZh": "--bzip2", b"\xfd7zXZ": "--xz", b"\x5d\0\0": "--lzma", b"LZIP": "--lzip",
    b"\x28\xb5\x2f\xfd": "--zstd", b"\x89LZO": "--lzop",
}  # fmt: skip
#: A template for lxc-create that unpacks an archive into storage which lxc-create makes.
UNPACK = """#!/bin/sh
for word; do
  case "$word" in
    --rootfs=*) root="${word#--rootfs=}" ;;
    --image=*) image="${word#--image=}" ;;
  esac
done
mkdir -p "$root"
exec tar --numeric-owner --xattrs '--xattrs-include=*' -xpf "$image" -C "$root"
"""


def write_note(place: Path, note: Mapping[str, Any]) -> None:
    """What liblxc has no key for."""
    replace_file(place / NOTE, json.dumps(note, indent=1, sort_keys=True) + "\n", 0o644)


def remove_tree(path: Path) -> None:
    """Remove a directory with all below it, and nothing that is mounted there."""
    done = run(["rm", "-rf", "--one-file-system", "--", str(path)], seconds=MAKE_SECONDS)
    if done.returncode:
        raise BackendError(f"{path} cannot be removed: {message_of(done.stderr)}", remedy="See what is mounted there")


def complete_hwaddr(text: str) -> str:
    """The x in a hardware address of the host's default configuration stands for any digit, chosen once."""

    def choose(match: re.Match[str]) -> str:
        return match[1] + re.sub("[xX]", lambda _x: random.choice("0123456789abcdef"), match[2])

    return re.sub(r"(?m)^(\s*lxc\.net\.\d+\.hwaddr\s*=)(.*)$", choose, text)


class Maker:
    """Makes and removes the containers of one directory."""

    def __init__(self, lxc: Lxc) -> None:
        self.lxc = lxc
        self.root = Path(lxc.path)

    def mark(self, name: str, base: str = "") -> None:
        """From now on what has this name is not whole."""
        with os_errors(f"{self.root} cannot be written", "Run as root (become)"):
            self.root.mkdir(mode=0o755, parents=True, exist_ok=True)
            (self.root / (MARK + name)).write_text(base, encoding="utf-8")

    def unmark(self, name: str) -> None:
        """It is whole, or gone."""
        (self.root / (MARK + name)).unlink(missing_ok=True)

    def make(self, want: Spec, fresh: Config) -> tuple[Config, dict[str, Any]]:
        """A container that is marked as not whole yet: its first configuration, and its note."""
        image: Image | None = want.values.get("image")
        storage = want.values.get("storage", "dir")
        base = _base_key(want) if image is not None and storage == "overlay" else ""
        if want.steering.get("clone"):
            clone = want.steering["clone"]
            base = "{}\n{}\n".format(os.path.normpath(clone.get("lxc_path") or self.lxc.path), clone["name"])
        self.mark(want.name, base)
        with self._locked():
            self.lxc.remember()
        if image is not None:
            note: dict[str, Any] = {"image": {"path": image.path, "checksum": image.checksum}}
            if storage in ("dir", "overlay"):
                return self._from_image(want, image, storage, fresh), note
            with tempfile.TemporaryDirectory(prefix="kraal-") as directory:
                script = Path(directory, "unpack")
                script.write_text(UNPACK, encoding="utf-8")
                script.chmod(0o700)
                _check_content(image)
                own = self._lxc_create(want, str(script), ["--image=" + image.path], storage)
            # What the image brings of its own is as for any other storage.
            first = first_config(want, Config("", fresh.includes)).text
            return Config(first + own.text, fresh.includes), note
        if want.steering.get("clone"):
            return self._clone(want, fresh), {"made_from": made_from(want)}
        words = template_arguments(want.steering.get("template_options"))
        return self._lxc_create(want, str(want.steering["template"]), words, storage, fresh), {
            "made_from": made_from(want)
        }

    def _from_image(self, want: Spec, image: Image, storage: str, fresh: Config) -> Config:
        place = self.root / want.name
        idmap = want.values.get("idmap", ())
        # The guest's root has to get through to its root file system.
        place.mkdir(mode=0o771 if idmap else 0o770, exist_ok=True)
        if storage == "overlay":
            lower, upper = self._base(image, idmap, _base_key(want)), place / "overlay" / "delta"
            upper.mkdir(parents=True)
            _give(upper, idmap)
            _give(upper.parent, idmap)
            path = f"overlay:{lower}:{upper}"
        else:
            (place / "rootfs").mkdir(mode=0o755)
            unpack(image, place / "rootfs", idmap)
            path = f"dir:{place}/rootfs"
        first = first_config(want, Config(complete_hwaddr(fresh.text), fresh.includes))
        return first.assigned({"lxc.rootfs.path": (path,)})

    def _base(self, image: Image, idmap: Sequence[str], key: str) -> Path:
        """The image's root file system that many containers share."""
        base = self.root / BASES / key
        with self._locked():
            if not base.is_dir():
                fresh = base.with_name(key + ".new")
                if fresh.exists():
                    # Of a run that died: the lock says that it is nobody's.
                    remove_tree(fresh)
                (fresh / "rootfs").mkdir(mode=0o755, parents=True)
                unpack(image, fresh / "rootfs", idmap)
                fresh.rename(base)
        return base / "rootfs"

    def _forget_snapshot(self, origin: Path, name: str) -> None:
        """Take a snapshot that is gone out of its origin's list."""
        with self._locked():
            found = read_pairs(origin / SNAPSHOTS)
            left = [pair for pair in found if pair != (str(self.root), name)]
            if not found:
                return
            if left:
                replace_file(origin / SNAPSHOTS, "".join("{}\n{}\n".format(*pair) for pair in left))
            else:
                (origin / SNAPSHOTS).unlink()

    def _locked(self) -> AbstractContextManager[None]:
        """One at a time, of all threads and processes. Not a lock on the directory itself: any user may hold that."""
        return held(f"lxc directory {os.path.realpath(self.root)}")

    def free_bases(self) -> None:
        """Remove the shared root file systems that no container stands on any more."""
        with self._locked():
            if not (self.root / BASES).is_dir():
                return
            used = "\n".join(_text(path) for path in (*self.root.glob("*/config"), *self.root.glob(MARK + "*")))
            bases = list((self.root / BASES).iterdir())
            unused = [
                base for base in bases if (base.name[:-4] if base.name.endswith(".new") else base.name) not in used
            ]
            for base in unused:
                remove_tree(base)
            if len(unused) == len(bases):
                (self.root / BASES).rmdir()

    def _lxc_create(
        self, want: Spec, template: str, words: Sequence[str], storage: str, fresh: Config | None = None
    ) -> Config:
        idmap = want.values.get("idmap", ())
        text = (
            fresh.text
            if fresh is not None
            else _text(Path(self.lxc.setting("lxc.default_config") or "/etc/lxc/default.conf"))
        )
        given = want.steering.get("storage_options") or {}
        flags = {
            "size": "--fssize",
            "filesystem": "--fstype",
            "vg": "--vgname",
            "lv": "--lvname",
            "thin_pool": "--thinpool",
            "zfs_root": "--zfsroot",
        }
        more = [word for key, flag in flags.items() if given.get(key) for word in (flag, str(given[key]))]
        with tempfile.NamedTemporaryFile("w", prefix="kraal-", suffix=".conf", encoding="utf-8") as file:
            file.write("\n".join([text, *(f"lxc.idmap = {line}" for line in idmap), ""]))
            file.flush()
            self.lxc.tool(
                "create",
                want.name,
                "-t",
                template,
                "-f",
                file.name,
                "-B",
                storage,
                *more,
                "--",
                *words,
                seconds=MAKE_SECONDS,
            )
        return Config(_text(self.root / want.name / "config"), fresh.includes if fresh is not None else lambda path: ())

    def _clone(self, want: Spec, fresh: Config) -> Config:
        clone = want.steering["clone"]
        source = Lxc({"lxc_path": clone.get("lxc_path") or self.lxc.path})
        words = ["-N", want.name, "-p", self.lxc.path]
        words += ["-s"] if clone.get("snapshot") else []
        words += ["-B", str(want.values["storage"])] if "storage" in want.values else []
        source.tool("copy", str(clone["name"]), *words, seconds=MAKE_SECONDS)
        config = self.root / want.name / "config"
        if not config.exists():
            raise BackendError(
                "lxc-copy made nothing of {}".format(clone["name"]),
                remedy="{}, which a copy that is no snapshot needs".format(install("rsync")),
            )
        return self._with_hooks(Path(source.path, str(clone["name"])), Config(_text(config), fresh.includes), want.name)

    def _with_hooks(self, origin: Path, copied: Config, name: str) -> Config:
        """The copy's configuration with the hooks that it should have, whose files are there."""
        own = Config(_text(origin / "config"), copied.includes)
        for hook in map(Path, hooks_inside(own, str(origin))):
            if hook.is_file():
                shutil.copy2(hook, self.root / name / hook.name)
        return copied.assigned(hooks_of_copy(own, copied, str(origin)))

    def remove(self, name: str, *, storage: bool, runs: bool = False) -> None:
        """Take a container away. ``storage``: its root file system too, by liblxc, which knows what it is."""
        place = self.root / name
        # A snapshot's origin has written it down, and it may be that only the mark knows the origin.
        origins = {*read_pairs(self.root / (MARK + name)), *read_pairs(place / RDEPENDS)}
        self.mark(name, "".join("{}\n{}\n".format(*pair) for pair in sorted(origins)))
        if runs:
            self.lxc.tool("stop", name, "-k")
        kind = Config(_text(place / "config")).get("lxc.rootfs.path").rpartition(":")[0].partition(":")[0]
        if storage and kind not in ("", "dir", "overlay", "overlayfs"):
            # Who stood on it is gone, as the plan has seen; liblxc may have been killed before it wrote that down.
            (place / SNAPSHOTS).unlink(missing_ok=True)
            self.lxc.tool("destroy", name, seconds=MAKE_SECONDS)
        if place.exists():
            remove_tree(place)
        for origin in origins:
            self._forget_snapshot(Path(*origin), name)
        self.free_bases()
        with self._locked():
            # Whoever makes one here has marked it before it looks for the note of this directory.
            if not any(self.root.glob("*/config")) and all(
                mark.name == MARK + name for mark in self.root.glob(MARK + "*")
            ):
                self.lxc.forget()
            # The mark last: as long as it is there, the next run comes here again.
            self.unmark(name)


def made_from(want: Spec) -> str:
    """What a container without an image is made from, in one word."""
    if want.steering.get("clone"):
        return "clone:{}".format(want.steering["clone"]["name"])
    return "template:{}".format(want.steering["template"]) if want.steering.get("template") else ""


def _base_key(want: Spec) -> str:
    digest = hashlib.sha256("\n".join([want.values["image"].checksum, *want.values.get("idmap", ())]).encode())
    return digest.hexdigest()[:32]


def _text(path: Path) -> str:
    try:
        return read_file(path)
    except OSError:
        return ""


def _check_content(image: Image) -> None:
    with os_errors(f"image.path: {image.path!r} cannot be read", "Build it anew with base_image"):
        found = checksum_of(image.path)
    if found != image.checksum:
        raise BackendError(
            f"image.path: {image.path!r} has the checksum {found}, not {image.checksum}",
            remedy="Build it anew, or name its own checksum",
        )


def _give(path: Path, idmap: Sequence[str]) -> None:
    """Let a directory belong to the guest's root."""
    fields = (line.split() for line in idmap)
    owners = {kind: int(outside) for kind, inside, outside, _count in fields if inside == "0"}
    if owners:
        os.chown(path, owners.get("u", -1), owners.get("g", -1))


def unpack(image: Image, target: Path, idmap: Sequence[str]) -> None:
    """The archive's files, owned by the guest's users."""
    _check_content(image)
    command = ["tar", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-xp", "-f", "-", "-C", str(target)]
    if idmap:
        _give(target, idmap)
        maps = [word for line in idmap for word in ("-m", line.replace(" ", ":"))]
        # Nobody but the host's root may make devices; the guest's are made by liblxc.
        command = ["lxc-usernsexec", *maps, "--", command[0], "--exclude=./dev/*", *command[1:]]
    # Opened here: the guest's root may not read it, as in there is what its passwords are made into.
    with open(image.path, "rb") as archive:
        begin = os.pread(archive.fileno(), 8, 0)
        command += [option for magic, option in _COMPRESSED.items() if begin.startswith(magic)]
        done = run(command, seconds=MAKE_SECONDS, standard_input=archive.fileno())
    if done.returncode:
        remedy = remedy_for(done.stderr, f"Check the archive, and the space in {target.parent}")
        raise BackendError(f"{image.path} cannot be unpacked: {message_of(done.stderr)[-500:]}", remedy=remedy)
