# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cloud-init's seed: an image of a CD that is known by its content, so that it is made again only when that changes."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...engine import trace
from ...engine.errors import BackendError, InvalidOption
from ...engine.kinds import Kind
from ...host.packages import install
from .vm_xml import Element, get

#: The files of cloud-init's data source NoCloud, and the fields that they are made of.
FILES = {"user_data": "user-data", "meta_data": "meta-data", "network_config": "network-config"}
#: The disk that the guest finds it in: on SCSI, as kernels for clouds have no driver for SATA.
TARGET = "sdz"


class Seed(dict):  # type: ignore[type-arg]
    """The files' texts by the fields' names. Two seeds of the same content are equal; what a domain has is known by its digest alone."""

    digest = ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Seed) and self.digest == other.digest

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None


def seed(texts: Mapping[str, str], digest: str = "") -> Seed:
    """A seed; without its texts, its digest has to be given."""
    made = Seed(texts)
    made.digest = digest or hashlib.sha256(json.dumps(dict(sorted(texts.items()))).encode()).hexdigest()[:16]
    return made


class CloudInit(Kind):
    """user_data, meta_data and network_config: texts, or mappings, which are written as JSON (every JSON is YAML)."""

    argument = {"type": "dict", "options": {name: {"type": "raw"} for name in FILES}}

    def parse(self, value: Any, option: str) -> Seed:
        texts = {}
        for name in FILES:
            given = value.get(name)
            if given is None:
                continue
            if isinstance(given, (Mapping, list)):
                text = json.dumps(given, indent=1, sort_keys=True) + "\n"
                texts[name] = "#cloud-config\n" + text if name == "user_data" else text
            elif isinstance(given, str):
                texts[name] = given
            else:
                raise InvalidOption("%s.%s" % (option, name), type(given).__name__, "is no text and no mapping", remedy="Write what cloud-init shall read")
        return seed(texts)

    def show(self, value: Seed) -> str:
        # What is in it may be a password.
        return "seed %s" % value.digest


CLOUD_INIT = CloudInit()


def seed_volume(name: str, digest: str) -> str:
    """The name of the volume with a guest's seed."""
    return "%s-seed-%s.iso" % (name, digest)


def seed_path(root: Element, name: str) -> str:
    """The path of the seed that a domain has; empty where it has none of ours."""
    pattern = re.compile(r".*/%s-seed-[0-9a-f]{16}\.iso" % re.escape(name))
    for disk in root.findall("devices/disk"):
        path = get(disk, "source@file") or ""
        if disk.get("device") == "cdrom" and pattern.fullmatch(path):
            return path
    return ""


def read_seed(root: Element, name: str) -> Seed | None:
    """The seed that a domain has."""
    path = seed_path(root, name)
    return seed({}, path[-20:-4]) if path else None


def _identified(text: str, instance: str) -> str:
    """Meta-data with an instance-id: without one, cloud-init does nothing."""
    try:
        data = json.loads(text or "{}")
    except ValueError:
        # YAML, which is not ours to read.
        return text if "instance-id" in text else "instance-id: %s\n%s" % (json.dumps(instance), text)
    return json.dumps({"instance-id": instance, "local-hostname": instance, **data}) + "\n" if isinstance(data, dict) else text


def build(texts: Mapping[str, str], instance: str) -> bytes:
    """The image. ``instance``: what cloud-init takes for the guest's identity, unless the meta-data says otherwise."""
    program = next((path for path in map(shutil.which, ("genisoimage", "xorrisofs", "mkisofs")) if path), None)
    if program is None:
        raise BackendError("no program makes the image of the seed", remedy=install("xorrisofs") + " on the host where the task runs")
    with tempfile.TemporaryDirectory(prefix="kraal-seed-") as directory:
        for field, file in FILES.items():
            text = texts.get(field)
            if text is None and field == "network_config":
                continue
            if field == "meta_data":
                text = _identified(text or "", instance)
            Path(directory, file).write_text(text or "", encoding="utf-8")
        image = Path(directory, "seed.iso")
        files = [str(Path(directory, file)) for file in FILES.values() if Path(directory, file).exists()]
        argv = [program, "-quiet", "-output", str(image), "-volid", "cidata", "-joliet", "-rock", *files]
        with trace.command(argv) as call:
            done = subprocess.run(  # pylint: disable=ansible-bad-function
                argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
            )
            call.status = str(done.returncode)
        if done.returncode:
            raise BackendError("%s cannot make the image of the seed: %s" % (program, done.stderr.strip()[-300:]))
        return image.read_bytes()
