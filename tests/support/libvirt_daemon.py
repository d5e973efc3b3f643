# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A libvirtd of the tests' own, in namespaces of its own: nothing of the machine's is touched, and when it ends nothing
is left.

It has its own mounts (/dev, /run, /etc/libvirt and libvirt's directories below /var), network and process numbers. Its
bridges, firewall rules, guests and dnsmasqs live and die in there. Its /dev has no `kvm`, so that the answer is the
same on every machine. Its first process reaps its children at once: libvirt waits up to 40 seconds for an emulator that
it asked what it can do, where the machine's first process leaves it a zombie. What libvirt keeps lies in a directory
that is seen from outside too, its socket included.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from .paths import SYSTEM_PYTHON

START = 60
STOP = 90

#: Where libvirt keeps things, and the directory of ours that it finds there.
PLACES = {
    "/run": "run",
    "/etc/libvirt": "etc",
    "/var/lib/libvirt": "lib",
    "/var/log/libvirt": "log",
    "/var/cache/libvirt": "cache",
}

LIBVIRTD_CONF = """
auth_unix_rw = "none"
auth_unix_ro = "none"
unix_sock_rw_perms = "0700"
unix_sock_ro_perms = "0700"
"""

#: Guests run as root without confinement, write their consoles themselves (no virtlogd), and find the devices of the
#: /dev that is theirs already.
QEMU_CONF = """
user = "root"
group = "root"
security_driver = "none"
dynamic_ownership = 0
remember_owner = 0
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
"""

#: The first process in there. It furnishes the namespaces, says so, and then reaps the processes that others leave to
#: it.
INIT = """
import os, signal, subprocess, sys
directory, places = sys.argv[1], dict(pair.split("=") for pair in sys.argv[2:])
def run(*command):
    subprocess.run(command, check=True)
devices = os.path.join(directory, "dev")
run("mount", "-t", "tmpfs", "-o", "mode=755", "kt-dev", devices)
for name in ("null", "zero", "full", "random", "urandom", "tty", "net/tun", "loop-control"):
    if os.path.exists("/dev/" + name):
        os.makedirs(os.path.dirname(os.path.join(devices, name)), exist_ok=True)
        run("touch", os.path.join(devices, name))
        run("mount", "--bind", "/dev/" + name, os.path.join(devices, name))
for name, options in (("pts", "devpts -o newinstance,ptmxmode=0666"), ("shm", "tmpfs")):
    os.mkdir(os.path.join(devices, name))
    run("mount", "-t", *options.split(), name, os.path.join(devices, name))
for link, target in (("ptmx", "pts/ptmx"), ("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"), ("stderr", "/proc/self/fd/2")):
    os.symlink(target, os.path.join(devices, link))
for place, name in places.items():
    os.makedirs(place, exist_ok=True)
    run("mount", "--bind", os.path.join(directory, name), place)
# libvirt 12 ends where a mount of huge pages is listed that it cannot see.
with open("/proc/mounts") as mounts:
    for place, kind in [line.split()[1:3] for line in mounts]:
        if kind == "hugetlbfs":
            run("umount", "--lazy", place)
run("mount", "--rbind", devices, "/dev")
# The mount of /sys shows the network of whoever made it. The new one has no cgroups in it, which is as well.
run("mount", "-t", "sysfs", "sys", "/sys")
run("ip", "link", "set", "lo", "up")
# Blocked, or the one for a child that ends just now would be lost. Libvirt waits for emulators to be gone: an unburied one costs it 40 seconds.
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
print("ready", flush=True)
while True:
    try:
        os.wait()
    except ChildProcessError:
        signal.sigwait({signal.SIGCHLD})
"""


class LibvirtDaemon:
    """One libvirtd; `uri` reaches it from outside.

    `directory` is short, for a socket's path has at most 107 characters.
    """

    def __init__(self, directory: Path, qemu_conf: str = QEMU_CONF) -> None:
        self.directory = directory
        self.qemu_conf = qemu_conf
        self.socket = directory / "run" / "libvirt" / "libvirt-sock"
        self.log = directory / "libvirtd.log"
        #: For the directories of pools: the same path in there and out here.
        self.pools = directory / "pools"
        self._box: subprocess.Popen[str] | None = None
        self._daemon: subprocess.Popen[bytes] | None = None
        self._init = 0

    @property
    def uri(self) -> str:
        return f"qemu+unix:///system?socket={self.socket}"

    @property
    def python(self) -> list[str]:
        """The Python that runs modules for it."""
        return [SYSTEM_PYTHON]

    @property
    def scratch(self) -> Path | None:
        """Where that Python finds files; None: anywhere."""
        return None

    @property
    def import_path(self) -> list[str] | None:
        """Where it finds ansible-core and this collection; None: where every module does."""
        return None

    def command(self, *command: str) -> list[str]:
        """A command that runs in the daemon's namespaces: its network's bridges can be reached from there."""
        return ["nsenter", "--target", str(self._init), "--mount", "--net", "--pid", "--", *command]

    def inside(self, *command: str, check: bool = True) -> str:
        """What a command prints in there."""
        done = subprocess.run(self.command(*command), capture_output=True, text=True, check=False, timeout=120)
        if check and done.returncode:
            raise RuntimeError(f"{command} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def virsh(self, *command: str, check: bool = True) -> str:
        """What virsh prints: a second opinion, beside the modules."""
        done = subprocess.run(
            ["virsh", "-c", self.uri, *command], capture_output=True, text=True, check=False, timeout=120
        )
        if check and done.returncode:
            raise RuntimeError(f"virsh {command} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def define(self, kind: str, text: str) -> None:
        """Define something beside the modules: `kind` is what virsh puts before `define` (net-, pool-, or nothing
        for a guest).
        """
        file = self.directory / "defined.xml"
        file.write_text(text, encoding="utf-8")
        self.virsh(f"{kind}define", str(file))

    def clear(self) -> None:
        """Take away all that is in it.

        What is off already, or goes when it is ended, is no reason for virsh to stop.
        """
        kinds = (
            ("", "--nvram --managed-save --snapshots-metadata"),
            ("net-", ""),
            ("pool-", ""),
        )
        listing = "; echo kt-next; ".join(f"{kind}list --all --name" for kind, _flags in kinds)
        found = [names.split() for names in self.virsh(listing).split("kt-next")]
        commands = [
            f"{kind}destroy {name}; {kind}undefine {name} {flags}"
            for (kind, flags), names in zip(kinds, found, strict=True)
            for name in names
        ]
        if commands:
            left = (
                self.virsh("; ".join([*commands, "echo kt-next", listing]), check=False)
                .partition("kt-next")[2]
                .replace("kt-next", "")
            )
            if left.split():
                raise RuntimeError(f"libvirt keeps {left.split()}")
        shutil.rmtree(self.pools, ignore_errors=True)

    def __enter__(self) -> LibvirtDaemon:
        for name in (*PLACES.values(), "dev"):
            (self.directory / name).mkdir()
        for name in ("lock", "libvirt"):
            (self.directory / "run" / name).mkdir()
        (self.directory / "etc" / "libvirtd.conf").write_text(LIBVIRTD_CONF, encoding="utf-8")
        (self.directory / "etc" / "qemu.conf").write_text(self.qemu_conf, encoding="utf-8")
        try:
            self._furnish()
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _furnish(self) -> None:
        unshare = [
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "--net",
            "--uts",
            "--ipc",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "--",
        ]
        # unshare --fork takes no notice of TERM; killed, it takes all that is in there along.
        dies_with_us = ["setpriv", "--pdeathsig", "KILL", "--"]
        init = [sys.executable, "-c", INIT, str(self.directory), *(f"{place}={name}" for place, name in PLACES.items())]
        with self.log.open("ab") as log:
            self._box = subprocess.Popen(
                [*dies_with_us, *unshare, *init], stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
            )
        assert self._box.stdout is not None
        if self._box.stdout.readline().strip() != "ready":
            raise RuntimeError(f"the namespaces for libvirtd could not be furnished ({self._box.wait()})")
        children = Path(f"/proc/{self._box.pid}/task/{self._box.pid}/children").read_text(encoding="ascii")
        self._init = int(children.split()[0])

    def start(self) -> None:
        """Start libvirtd; returns when it answers.

        That it is ready, libvirt 12 says before its drivers have started, and ends when one of them does not.
        """
        path = self.directory / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready, self.log.open("ab") as log:
            ready.bind(str(path))
            env = {
                **os.environ,
                "NOTIFY_SOCKET": str(path),
                "LC_ALL": "C.UTF-8",
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            }
            self._daemon = subprocess.Popen(
                self.command("libvirtd"), stdout=log, stderr=log, start_new_session=True, env=env
            )
            try:
                _wait_for(self._daemon, ready, self.log)
            finally:
                path.unlink()
        try:
            self.virsh("hostname")
        except RuntimeError as error:
            raise RuntimeError(f"{error}\n{self.log.read_text(errors='replace')[-4000:]}") from error

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End libvirtd alone; its guests run on, as they do on a host."""
        if self._daemon is None:
            return
        pid = (self.directory / "run" / "libvirtd.pid").read_text(encoding="ascii").strip()
        # The shell's own: procps, which has a program of that name, is not on every host.
        self.inside("sh", "-c", 'kill -s "$1" "$2"', "sh", number.name.removeprefix("SIG"), pid)
        self._daemon.wait(STOP)
        self._daemon = None

    def restart(self, number: signal.Signals = signal.SIGTERM) -> None:
        """What an update of libvirt does to it, or with SIGKILL a crash."""
        self.stop(number)
        self.start()

    def settle(self) -> None:
        """After a restart, until the daemon has found its running guests again: it looks at each beside its other
        work, and writes down what it sees.
        """
        for name in self.virsh("list", "--name").split():
            # Waits for its turn with the guest, which it has when the daemon is done with it. One that has ended
            # meanwhile has no statistics.
            self.virsh("dommemstat", name, check=False)

    def close(self) -> None:
        """With the first process in there everything ends: libvirtd, guests, dnsmasqs, bridges, mounts."""
        if self._init:
            os.kill(self._init, signal.SIGKILL)
            self._init = 0
        for process in (self._daemon, self._box):
            if process is not None:
                process.wait(STOP)
                if process.stdout is not None:
                    process.stdout.close()
        self._daemon = self._box = None


def _wait_for(process: subprocess.Popen[bytes], ready: socket.socket, log: Path) -> None:
    """Until the process reports READY=1 on the socket; an error with its log when it ends or takes too long."""
    deadline = time.monotonic() + START
    ended = os.pidfd_open(process.pid)
    try:
        while (left := deadline - time.monotonic()) > 0:
            readable = select.select([ready.fileno(), ended], [], [], left)[0]
            if ready.fileno() in readable and b"READY=1" in ready.recv(4096).split(b"\n"):
                return
            if ended in readable:
                break
    finally:
        os.close(ended)
    raise RuntimeError(f"{process.args!r} did not become ready:\n{log.read_text(errors='replace')[-4000:]}")
