# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Boots a disk image under emulation, on a greater disk of its own, and asks its guest agent; reached over ssh on
loopback.
"""

from __future__ import annotations

import base64
import json
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.lab.saved_state import Monitor

from .daemons import DIES_WITH_US

#: Emulated, and perhaps beside other work.
BOOT = 900
STOP = 30
MAC = "52:54:00:6b:72:01"


@dataclass
class DiskGuest:
    """One guest. `image` is what base_image has returned; `directory` holds what the guest writes, and what it says on
    its console.

    By its BIOS, or with the kernel beside the disk. Of the CDs, the seed is one. `address` is where its ssh is
    expected: that of DHCP unless given.
    """

    image: Mapping[str, Any]
    directory: Path
    by_kernel: bool = False
    seed: Path | None = None
    address: str = ""
    size: str = "5G"
    port: int = 0
    _process: subprocess.Popen[bytes] | None = None
    _agent: socket.socket | None = None
    _said: bytes = field(default=b"", repr=False)

    def __enter__(self) -> DiskGuest:
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.down()

    @property
    def console(self) -> str:
        """What it has said on its serial line."""
        return (self.directory / "console.log").read_text(encoding="utf-8", errors="replace")

    def up(self) -> None:
        """Start it; returns when its agent answers."""
        disk, form = self.directory / "disk.qcow2", Path(self.image["path"]).suffix[1:]
        subprocess.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-b", self.image["path"], "-F", form, str(disk), self.size],
            check=True,
        )
        self._agent, agent_end = socket.socketpair()
        monitor, monitor_end = socket.socketpair()
        with agent_end, monitor, monitor_end:
            fds = (agent_end.fileno(), monitor_end.fileno())
            self._process = subprocess.Popen(
                [*DIES_WITH_US, "qemu-system-x86_64", *self._arguments(disk, *fds)],
                stdin=subprocess.DEVNULL,
                pass_fds=fds,
                start_new_session=True,
            )
            agent_end.close()
            monitor_end.close()
            with Monitor(monitor) as asked:
                self.port = asked.forwarded_port()
        self._agent.settimeout(BOOT)
        # It reads what was sent before it was there, and this makes sure that the answers are to our questions.
        self.agent("guest-sync", id=1)

    def down(self) -> None:
        """End it, as pulling the plug would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._agent is not None:
            self._agent.close()

    def agent(self, command: str, **arguments: object) -> Any:
        """What the guest agent answers."""
        assert self._agent is not None
        self._agent.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while b"\n" not in self._said:
            received = self._agent.recv(65536)
            assert received, f"QEMU ended:\n{self.console[-2000:]}"
            self._said += received
        answer, dummy, self._said = self._said.partition(b"\n")
        told = json.loads(answer)
        assert "return" in told, told
        return told["return"]

    def run(self, *command: str) -> str:
        """What a command in the guest prints, through its agent, whatever its exit status is."""
        started = self.agent("guest-exec", path=command[0], arg=list(command[1:]), **{"capture-output": True})
        deadline = time.monotonic() + BOOT
        while time.monotonic() < deadline:
            status = self.agent("guest-exec-status", pid=started["pid"])
            if status["exited"]:
                return base64.b64decode(status.get("out-data", "")).decode().strip()
            time.sleep(0.5)
        raise TimeoutError(f"{command} did not end")

    def read(self, path: str) -> str:
        """A file of the guest, through its agent."""
        handle = self.agent("guest-file-open", path=path)
        try:
            return base64.b64decode(self.agent("guest-file-read", handle=handle)["buf-b64"]).decode()
        finally:
            self.agent("guest-file-close", handle=handle)

    def _arguments(self, disk: Path, agent: int, monitor: int) -> Sequence[str]:
        how = []
        if self.by_kernel:
            how = [
                "-kernel",
                self.image["kernel"],
                "-initrd",
                self.image["initrd"],
                "-append",
                self.image["command_line"],
            ]
        if self.seed is not None:
            how += [
                "-device",
                "virtio-scsi-pci",
                "-drive",
                f"file={self.seed},if=none,id=seed,format=raw,readonly=on",
                "-device",
                "scsi-cd,drive=seed",
            ]
        # One processor: a second one that is emulated takes a sixth more for the same boot.
        return [
            *(
                "-nodefaults",
                "-no-user-config",
                "-display",
                "none",
                "-machine",
                "q35",
                "-accel",
                "tcg",
                "-m",
                "512",
            ),
            *("-drive", f"file={disk},if=virtio,format=qcow2,cache=unsafe", "-device", "virtio-rng-pci"),
            *(
                "-netdev",
                f"user,id=net,ipv6=off,hostfwd=tcp:127.0.0.1:0-{self.address}:22",
                "-device",
                f"virtio-net-pci,netdev=net,romfile=,mac={MAC}",
            ),
            *("-chardev", f"file,id=console,path={self.directory / 'console.log'}", "-serial", "chardev:console"),
            *(
                "-device",
                "virtio-serial",
                "-chardev",
                f"socket,id=agent,fd={agent}",
                "-device",
                "virtserialport,chardev=agent,name=org.qemu.guest_agent.0",
            ),
            *("-chardev", f"socket,id=monitor,fd={monitor}", "-mon", "chardev=monitor,mode=control"),
            *how,
        ]
