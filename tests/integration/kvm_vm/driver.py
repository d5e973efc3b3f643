# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drives the module kvm_vm through its promises, and looks at libvirt beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from xml.etree import ElementTree as ET

from tests.support.ansible_runner import Result
from tests.support.libvirt_daemon import LibvirtDaemon
from tests.support.libvirt_driver import LibvirtModule

#: A guest without an operating system follows no power button.
FORCE = {"force_stop": True, "stop_timeout": 0}


def fill(value: Any, words: Mapping[str, str]) -> Any:
    """The value with each <word> in it replaced."""
    if isinstance(value, str):
        for word, text in words.items():
            value = value.replace(f"<{word}>", text)
        return value
    if isinstance(value, Mapping):
        return {fill(key, words): fill(entry, words) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(fill(entry, words) for entry in value)
    return value


def actions(result: Result) -> list[str]:
    """The actions of a plan, with their keys."""
    return [f"{step['action']} {step['key']}".strip() for step in result["plan"]]


@dataclass
class Driver:
    """One guest."""

    host: LibvirtDaemon
    module: LibvirtModule
    name: str
    defaults: Mapping[str, Any] = field(default_factory=lambda: {"type": "qemu", "memory": "64MiB"})

    def of(self, name: str) -> Driver:
        """The same for another guest."""
        return replace(self, name=name)

    def arguments(self, **args: Any) -> dict[str, Any]:
        return {
            key: value
            for key, value in {"name": self.name, **self.defaults, **FORCE, **args}.items()
            if value is not ...
        }

    def run(self, check: bool = False, **args: Any) -> Result:
        return self.module.run(check=check, **self.arguments(**args))

    def do(self, **args: Any) -> Result:
        return self.module.do(**self.arguments(**args))

    def again(self, **args: Any) -> Result:
        return self.module.again(**self.arguments(**args))

    def change(self, **args: Any) -> Result:
        return self.module.change(**self.arguments(**args))

    def refused(self, *words: str, **args: Any) -> Result:
        return self.module.refused(*words, **self.arguments(**args))

    def make(self, **args: Any) -> Result:
        """Do it without the check before: for setting a scene."""
        result = self.run(**args)
        assert not result.failed, result.msg or result.stderr
        return result

    def xml(self, live: bool = False) -> ET.Element:
        """What libvirt keeps, or what runs."""
        return ET.fromstring(
            self.host.virsh("dumpxml", self.name, "--security-info", *(() if live else ("--inactive",)))
        )

    def names(self) -> list[str]:
        return sorted(self.host.virsh("list", "--all", "--name").split())

    def state(self) -> str:
        return self.host.virsh("domstate", self.name).strip()

    def volumes(self, pool: str = "default") -> list[str]:
        listed = self.host.virsh(f"pool-refresh {pool}; vol-list {pool}").partition("----")[2]
        return sorted(line.split()[0] for line in listed.splitlines()[1:] if line.strip())

    def clear(self) -> None:
        """No guest and no volume is left. One virsh does it all: what is off already is no reason to stop."""
        forget = "--nvram --managed-save --snapshots-metadata --checkpoints-metadata --tpm"
        commands = [f"destroy {name}; undefine {name} {forget}" for name in self.names()]
        if commands:
            left = self.host.virsh("; ".join([*commands, "echo kt-left", "list --all --name"]), check=False).partition(
                "kt-left"
            )[2]
            assert left.split() == []
        files = [path for pool in ("default", "kt-pool") for path in (self.host.pools / pool).iterdir()]
        for path in files:
            path.unlink()
        if files:
            self.host.virsh("pool-refresh default; pool-refresh kt-pool")
