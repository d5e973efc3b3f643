# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules of other collections that do what ours do: which options they have, and the guide's tables of them.

`PYTHONPATH=.collections .venv/bin/python -m tests.support.peers` writes both anew: what is recorded of the modules, from the package `ansible` that
brings their collections along, and the tables, from `peers.py` in each backend's room.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.kraal.virt.plugins.module_utils.backends.docker import peers as docker
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm import peers as kvm
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc import peers as lxc
from ansible_collections.kraal.virt.plugins.module_utils.engine.peers import Other, Peer
from tests.support.paths import CACHE, ROOT

#: The release of the package `ansible`, which the versions of the collections follow from.
RELEASE = "12.3.0"
RECORDED = ROOT / "tests" / "unit" / "backends" / "peers.json"
GUIDE = ROOT / "docs" / "docsite" / "rst" / "guide_migration.rst"
MARK = ".. What follows is written by python -m tests.support.peers\n"

#: Our modules by the backends' rooms, and the modules that do the same elsewhere.
ROOMS: dict[str, dict[str, tuple[Peer, ...]]] = {
    "Docker": {
        "docker_container": docker.CONTAINER,
        "docker_image": docker.IMAGE,
        "docker_network": docker.NETWORK,
        "docker_volume": docker.VOLUME,
    },
    "KVM": {"kvm_vm": kvm.VM, "kvm_network": kvm.NETWORK, "kvm_pool": kvm.POOL, "kvm_volume": kvm.VOLUME},
    "LXC": {"lxc_container": lxc.CONTAINER},
}
MODULES = {name: peers for room in ROOMS.values() for name, peers in room.items()}


# What they have


def recorded() -> dict[str, Any]:
    """Of each module its collection's `version`, its `options`, each with its other names behind it, and its
    `states`.
    """
    found: dict[str, Any] = json.loads(RECORDED.read_text(encoding="utf-8"))
    return found


def fetched() -> Path:
    """The package `ansible`, about 50 MB, fetched once."""
    directory = CACHE / "peers" / RELEASE
    if not list(directory.glob("*.whl")):
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command = [*pip, "--only-binary", ":all:", "--dest", str(directory), f"ansible=={RELEASE}"]
        subprocess.run(command, check=True, timeout=600)
    (wheel,) = directory.glob("*.whl")
    return wheel


def read(wheel: Path) -> dict[str, Any]:
    """The same as `recorded`, of what is in the package."""
    with zipfile.ZipFile(wheel) as package:
        return {peer.module: _read(package, peer.module) for peers in MODULES.values() for peer in peers}


def _read(package: zipfile.ZipFile, module: str) -> dict[str, Any]:
    *collection, name = module.split(".")
    root = "/".join(("ansible_collections", *collection))
    document = _document(package, f"{root}/plugins/modules/{name}.py", "DOCUMENTATION")
    options: dict[str, Any] = {}
    fragments = document.get("extends_documentation_fragment", [])
    for fragment in [fragments] if isinstance(fragments, str) else fragments:
        *_collection, file, part = fragment.split(".") if fragment.count(".") == 3 else [*fragment.split("."), ""]
        path = f"{root}/plugins/doc_fragments/{file}.py"
        options.update(_document(package, path, part.upper() or "DOCUMENTATION").get("options") or {})
    options.update(document.get("options") or {})
    manifest = json.loads(package.read(f"{root}/MANIFEST.json"))
    return {
        "version": manifest["collection_info"]["version"],
        "options": [" ".join([name, *options[name].get("aliases", [])]) for name in sorted(options)],
        "states": options.get("state", {}).get("choices", []),
    }


def _document(package: zipfile.ZipFile, path: str, name: str) -> Any:
    for node in ast.walk(ast.parse(package.read(path))):
        if isinstance(node, ast.Assign) and [name] == [each.id for each in node.targets if isinstance(each, ast.Name)]:
            return yaml.safe_load(ast.literal_eval(node.value))
    raise ValueError(f"{path} has no {name}")


# The guide's tables


def tables() -> str:
    """All of them, as reStructuredText."""
    return "".join(line + "\n" for room, modules in ROOMS.items() for line in _room(room, modules))


def _room(title: str, modules: Mapping[str, tuple[Peer, ...]]) -> Iterator[str]:
    all_peers = [peer for peers in modules.values() for peer in peers]
    common = [other for other in all_peers[0].options if all(other in peer.options for peer in all_peers)]
    yield from ("", title, "-" * len(title))
    if len(all_peers) > 1 and common:
        collection = all_peers[0].module.rpartition(".")[0]
        yield from ("", f"In all modules of ``{collection}`` {all_peers[0].version}:", "")
        yield from _table(next(iter(modules)), common)
    for module, peers in modules.items():
        for peer in peers:
            yield from ("", peer.module, "^" * len(peer.module), "")
            own = [other for other in peer.options if len(all_peers) == 1 or other not in common]
            yield f":ansplugin:`kraal.virt.{module}#module` in its place; read of version {peer.version}."
            yield ""
            yield from _table(module, own, peer.states)


def _table(module: str, options: Iterable[Other], states: Iterable[Other] = ()) -> Iterator[str]:
    yield from (".. list-table::", "   :header-rows: 1", "", "   * - there", "     - here", "     - how")
    for other in options:
        here = ", ".join(f":ansopt:`kraal.virt.{module}#module:{name}`" for name in other.ours.split())
        yield from _row([f"``{name}``" for name in other.theirs.split()], here, other.note)
    for other in states:
        here = " ".join(f":ansopt:`kraal.virt.{module}#module:{name}`" for name in other.ours.split())
        yield from _row([f"``state={other.theirs}``"], here, other.note)


def _row(theirs: Iterable[str], here: str, note: str) -> Iterator[str]:
    yield "   * - {}".format(", ".join(theirs))
    yield f"     - {here or 'no equivalent'}"
    yield f"     - {note}".rstrip()


def written(guide: str) -> str:
    """The guide with its tables as they are to be."""
    return guide.partition(MARK)[0] + MARK + tables()


def main() -> None:
    """Write both."""
    text = json.dumps(read(fetched()), indent=1, sort_keys=True)
    RECORDED.write_text(text + "\n", encoding="utf-8")
    GUIDE.write_text(written(GUIDE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
