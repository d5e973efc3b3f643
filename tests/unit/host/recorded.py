# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host on paper: its texts as a tree, and what its devices, programs and sockets answered (see
fixtures/README.md).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible_collections.kraal.virt.plugins.module_utils.host.reader import Answer, Device, Host, KvmTrial, Said, Space

FIXTURES = Path(__file__).with_name("fixtures")
NAMES = sorted(path.stem for path in FIXTURES.glob("*.json"))


def load(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8"))
    return found


class Recorded(Host):
    def __init__(self, host: dict[str, Any], root: Path) -> None:
        super().__init__(root)
        self.host = host
        for path in host.get("directories", []):
            self._at(path).mkdir(parents=True, exist_ok=True)
        for path, lines in host["files"].items():
            self._at(path).parent.mkdir(parents=True, exist_ok=True)
            self._at(path).write_text("\n".join(lines) + "\n", encoding="utf-8")
        for path, target in host.get("links", {}).items():
            self._at(path).parent.mkdir(parents=True, exist_ok=True)
            self._at(path).symlink_to(target)

    def unpacked(self, path: str) -> str | None:
        lines = self.host.get("unpacked", {}).get(path)
        return None if lines is None else "\n".join(lines) + "\n"

    def user(self) -> int:
        return int(self.host["user"])

    def machine(self) -> str:
        return str(self.host["machine"])

    def which(self, program: str) -> str:
        return str(self.host.get("programs", {}).get(program, ""))

    def run(self, argv: Sequence[str]) -> Said | None:
        if not self.which(argv[0]):
            return None
        said = self.host["commands"][" ".join(argv)]
        return Said(said["rc"], "\n".join(said["out"]), "\n".join(said["err"]))

    def device(self, path: str) -> Device | None:
        found = self.host.get("devices", {}).get(path)
        return None if found is None else Device(**found)

    def kvm(self) -> KvmTrial:
        return KvmTrial(**self.host["kvm"])

    def msr(self, register: int) -> tuple[int | None, str]:
        value, why = self.host.get("msr", {}).get(
            f"0x{register:x}", [None, "/dev/cpu/0/msr: No such file or directory"]
        )
        return value, why

    def space(self, path: str) -> Space | None:
        found = self.host.get("space", {}).get(path)
        return None if found is None else Space(*found)

    def ask(self, path: str, request: str) -> Answer:
        return Answer(**self.host["sockets"][path])
