# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proves that libvirt starts a guest: one with a processor, a little memory and nothing else, which vanishes when it is stopped.

Prints one JSON object: `ok`, the `step` that was last, and what was said.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import libvirt


def guest_xml(name: str, kind: str) -> str:
    root = ET.Element("domain", type=kind)
    ET.SubElement(root, "name").text = name
    ET.SubElement(root, "memory", unit="MiB").text = "64"
    ET.SubElement(root, "vcpu").text = "1"
    ET.SubElement(ET.SubElement(root, "os"), "type").text = "hvm"
    return ET.tostring(root, encoding="unicode")


#: Where QEMU's words go, by the guest's name; libvirt keeps them for ever, and this name is used once.
LOGS = Path("/var/log/libvirt/qemu")


def verify(uri: str, kind: str) -> dict[str, Any]:
    step = f"be reached at {uri}"
    try:
        connection = libvirt.open(uri)
        try:
            step = f"start a guest of the type {kind}"
            name = f"kraal-verify-{uuid.uuid4().hex[:12]}"
            guest = connection.createXML(guest_xml(name, kind), libvirt.VIR_DOMAIN_START_AUTODESTROY)
            try:
                ran = bool(guest.isActive())
            finally:
                step = "stop the guest again"
                guest.destroy()
            (LOGS / f"{name}.log").unlink(missing_ok=True)
        finally:
            connection.close()
    except libvirt.libvirtError as exc:
        return {"ok": False, "step": step, "said": str(exc)}
    return {"ok": ran, "step": f"keep a guest of the type {kind} running", "said": "" if ran else "it ended by itself at once"}


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--uri", required=True)
    parser.add_argument("--type", required=True)
    options = parser.parse_args(arguments)
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    started = time.monotonic()
    result = verify(options.uri, options.type)
    print(json.dumps({**result, "seconds": round(time.monotonic() - started, 3)}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
