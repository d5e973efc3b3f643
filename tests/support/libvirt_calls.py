# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run calls of libvirt, written down by `libvirt_counter`, and what a plan may call: reads, and nothing else."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .paths import ROOT

COUNTER = ROOT / "tests" / "support" / "libvirt_counter"

#: All that a plan may call, by class; the names of what the binding has at hand already are among them. Libvirt itself
#: lets these be called over a connection that only reads (openReadOnly), but for the ones below. Whoever adds one sees
#: to that.
READS = {
    "libvirt": "open",
    "virConnect": (
        "close getAllDomainStats getCPUModelNames getCapabilities getLibVersion baselineCPU "
        "getStoragePoolCapabilities listAllDomains listAllNetworks listAllStoragePools lookupByName networkLookupByName setKeepAlive storagePoolLookupByName "
        "storageVolLookupByPath"
    ),
    "virDomain": "UUIDString XMLDesc backupGetXMLDesc blockJobInfo connect interfaceAddresses isActive isPersistent "
    "listAllSnapshots name",
    "virDomainSnapshot": "getName getXMLDesc",
    "virNetwork": "DHCPLeases UUIDString XMLDesc autostart isActive isPersistent name",
    "virStoragePool": "UUIDString XMLDesc autostart isActive isPersistent listAllVolumes name storageVolLookupByName",
    "virStorageVol": "XMLDesc name path storagePoolLookupByVolume",
}
#: What libvirt wants the right to write for, though nothing is written: it may start an emulator to hear what that can
#: do, and it talks to a guest's agent.
PRIVILEGED = {"virConnect.getDomainCapabilities", "virDomain.interfaceAddresses AGENT"}
ALLOWED = frozenset(PRIVILEGED | {f"{kind}.{name}" for kind, names in READS.items() for name in names.split()})

#: What a real run that finds nothing to do asks beside that, while it waits for what `wait_for` names.
WAITING = frozenset(("virDomain.state", "virDomain.guestInfo"))

#: What the plans of this process have called, all of them together.
CALLED: set[str] = set()


class Calls:
    """A directory where runs write down what they call."""

    def __init__(self, scratch: Path | None = None) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="kt-calls-", dir=scratch)
        self.path = Path(self._directory.name)

    def close(self) -> None:
        self._directory.cleanup()

    def environment(self, *imports: str) -> dict[str, str]:
        """The environment of such a run; `imports` is its import path."""
        return {"PYTHONPATH": os.pathsep.join([str(COUNTER), *imports]), "KT_LIBVIRT": str(self.path)}

    def forget(self) -> None:
        """Before another run."""
        for name in ("calls", "asked"):
            (self.path / name).unlink(missing_ok=True)

    def _lines(self, name: str) -> list[str]:
        path = self.path / name
        return path.read_text(encoding="ascii").splitlines() if path.exists() else []

    @property
    def changing(self) -> list[str]:
        """The calls that change something, in their order."""
        return self._lines("calls")

    @property
    def asked(self) -> set[str]:
        """All calls."""
        return set(self._lines("asked"))

    def assert_only_reads(self, *, connected: bool = True, waits: bool = False) -> None:
        """Whatever has been called, and something was if it has come as far as libvirt, is a read.

        `waits`: of a real run that does nothing but wait.
        """
        asked = self.asked - (WAITING if waits else set())
        asked = self.asked
        CALLED.update(asked - WAITING if waits else asked)
        unread = asked - ALLOWED - (WAITING if waits else set())
        assert asked or not connected
        assert not unread, f"no reads: {sorted(unread)}"

    @contextmanager
    def readonly(self) -> Iterator[None]:
        """Inside, libvirt itself sees to it: the connection is one that only reads."""
        path = self.path / "readonly"
        path.touch()
        try:
            yield
        finally:
            path.unlink()
