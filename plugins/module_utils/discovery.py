# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every guest of every backend on this host, in the one result form; no Ansible import.

Runs as a program too: sent to a host's Python on its standard input (see payload()), it prints one JSON document.
"""

from __future__ import annotations

import base64
import json
import sys
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from .backends.registry import NAMES, guests_of
from .engine.errors import KraalError, NotInstalled

#: What stands before the document: a host's login files may print something of their own.
MARK = "kraal.virt discovery: "
#: What backends observe with; the rest of that room only host_info needs.
_HOST = ("own_addresses.py", "packages.py", "sockets.py")
_PACKAGE = "ansible_collections.kraal.virt.plugins.module_utils"

# Imports the sources that were sent with it straight from memory: nothing is written on the host.
_BOOTSTRAP = '''
import base64, importlib.abc, importlib.util, json, sys, zlib
sources = json.loads(zlib.decompress(base64.b64decode({sources!r})))
class Sent(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    def find_spec(self, name, path=None, target=None):
        if name in sources:
            return importlib.util.spec_from_loader(name, self, is_package=False)
        if any(each.startswith(name + ".") for each in sources):
            return importlib.util.spec_from_loader(name, self, is_package=True)
    def is_package(self, name):
        return name not in sources
    def get_source(self, name):
        return sources.get(name, "")
sys.meta_path.insert(0, Sent())
from {package}.discovery import main
main({request!r})
'''


def discover(backends: Collection[str] = NAMES, parameters: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """``guests``: plain data, sorted by backend and name; ``warnings``: why a backend that is here did not answer.

    ``parameters``: ``address_sources``, the order in which the addresses of virtual machines are looked for.
    """
    guests: list[dict[str, Any]] = []
    warnings = []
    for name in backends:
        try:
            guests += [guest.as_dict() for guest in guests_of(name, parameters)]
        except NotInstalled:
            continue
        except KraalError as error:
            warnings.append(str(error.about(backend=name)))
    return {"guests": guests, "warnings": warnings}


def payload(backends: Collection[str], parameters: Mapping[str, Any] | None = None) -> str:
    """A Python program for a host's own interpreter (3.9 or later) that prints what discover() finds there."""
    root = Path(__file__).parent
    files = [root / "discovery.py", *root.glob("engine/*.py"), *(root / "host" / name for name in _HOST), root / "backends" / "registry.py"]
    files += [path for name in backends for path in (root / "backends" / name).glob("*.py")]
    sources = {
        ".".join((_PACKAGE, *path.relative_to(root).with_suffix("").parts)): path.read_text(encoding="utf-8")
        for path in files
        if path.name != "__init__.py"
    }
    packed = base64.b64encode(zlib.compress(json.dumps(sources).encode())).decode()
    return _BOOTSTRAP.format(sources=packed, package=_PACKAGE, request=json.dumps([list(backends), parameters]))


def main(request: str) -> None:
    """Print what is found, on one line."""
    sys.stdout.write(MARK + json.dumps(discover(*json.loads(request))) + "\n")
