# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Talks to libvirt: connects, asks, and turns its refusals into errors that can be read.

Needs libvirt-python (9.0 to 12.x) and no Ansible. One connection serves several threads: libvirt sends their calls side
by side, keeps each thread's error apart, and the binding lets go of Python's lock while it waits.
"""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from ...engine import trace
from ...engine.errors import BackendError, InvalidOption, NotInstalled, Unreachable
from ...engine.secrets import hide
from ...engine.work import in_background
from ...host.packages import install, install_there
from ...host.socket_activation import check_awake, libvirt_sleeper
from .written_calls import write_call

LIBVIRT_IMPORT_ERROR: ImportError | None = None
try:
    import libvirt
except ImportError as import_error:
    LIBVIRT_IMPORT_ERROR = import_error

T = TypeVar("T")

DEFAULT_URI = "qemu:///system"
#: The ports of the ways to another host's libvirt.
PORTS = {"ssh": 22, "tls": 16514, "tcp": 16509}
#: A daemon that leaves so many questions for a sign of life unanswered, so many seconds apart, is given up.
KEEPALIVE_SECONDS, KEEPALIVE_COUNT = 5, 6

#: What libvirt has a guest's QEMU do, for whose answer it waits without end, and so many seconds that this may take.
_BY_QEMU = frozenset((
    "attachDeviceFlags", "detachDeviceFlags", "updateDeviceFlags", "blockResize", "setMemoryFlags", "setVcpusFlags",
    "suspend", "resume", "shutdownFlags",
))  # fmt: skip
QEMU_SECONDS = 120
#: How long an agent may take to answer: one that hangs shall not hold up the rest.
AGENT_SECONDS = 3
#: So many may hang at once before no other is asked: libvirt (max_client_requests) answers five questions of one
#: connection at a time.
OPEN_QUESTIONS = 3

#: Ansible's declaration of how a module reaches libvirt.
CONNECTION: dict[str, Any] = {
    "uri": {"type": "str"},
    "connect_timeout": {"type": "int", "default": 30},
}

#: The errors that say of something that it is not there, by the ends of their names in libvirt.
_NOT_THERE = ("NO_DOMAIN", "NO_NETWORK", "NO_STORAGE_POOL", "NO_STORAGE_VOL", "NO_DOMAIN_SNAPSHOT", "NO_DOMAIN_METADATA", "NO_SECRET", "NO_NODE_DEVICE",
              "NO_INTERFACE", "NO_NWFILTER", "NO_DOMAIN_CHECKPOINT", "NO_DOMAIN_BACKUP", "DEVICE_MISSING")  # fmt: skip


class LibvirtError(BackendError):
    """Libvirt said no. ``code`` is its number for that: one of libvirt.VIR_ERR_*."""

    def __init__(self, message: str, *, remedy: str = "", code: int = -1) -> None:
        super().__init__(message, remedy=remedy)
        self.code = code

    @property
    def status(self) -> str:
        """Libvirt's own name for it, such as VIR_ERR_NO_DOMAIN."""
        # Two names of a lower level have numbers of this one.
        names = (
            each
            for each in dir(libvirt)
            if each.startswith("VIR_ERR_") and each not in ("VIR_ERR_WARNING", "VIR_ERR_ERROR")
        )
        return next((each for each in names if getattr(libvirt, each) == self.code), "VIR_ERR %d" % self.code)


class ConnectionLost(LibvirtError, Unreachable):
    """Libvirt does not answer any more."""


class NotThere(LibvirtError):
    """Libvirt does not know what was asked for."""


class Host:
    """One connection to one libvirt, usable from several threads."""

    def __init__(self, conn: Any, uri: str) -> None:
        self.conn = conn
        self.uri = uri
        self.place = place_of(uri)
        #: The binding itself, for its constants (host.api.VIR_...): nobody else has to import it.
        self.api: Any = libvirt
        #: Whether libvirt runs on this host, so that this host's paths and devices are its own.
        self.local = not urlsplit(uri).hostname
        #: As libvirt counts: 9 * 1000000 + 0 * 1000 + 0 for 9.0.0. The daemon's, not the library's.
        self.version: int = self.ask(conn.getLibVersion)
        #: The answers of guests' agents that are waited for, by the guests.
        self._asking: dict[str, Future[Any]] = {}
        self._guard = threading.Lock()

    def ask(self, function: Callable[..., T], *arguments: Any) -> T:
        """One of libvirt's own calls (a bound method), its errors turned into ours: NotThere and LibvirtError."""
        if getattr(function, "__name__", "") in _BY_QEMU:
            return self.ask_qemu(QEMU_SECONDS, function, *arguments)
        with trace.call(lambda: write_call(function, arguments)), self.translated():
            return function(*arguments)

    def ask_qemu(self, seconds: float, function: Callable[..., T], *arguments: Any) -> T:
        """The same for a call for which libvirt asks a guest's QEMU, and waits without end. Raises LibvirtError where
        it takes longer.
        """
        with trace.call(lambda: write_call(function, arguments)), self.translated():
            try:
                return in_background(partial(function, *arguments), (libvirt.libvirtError,)).result(seconds)
            except FutureTimeout as error:
                raise LibvirtError(
                    "the guest's QEMU did not answer libvirt within %d seconds" % seconds,
                    code=code("OPERATION_TIMEOUT"),
                    remedy="Look at that process and at what the guest's disks are on; virsh destroy ends it",
                ) from error

    def find(self, function: Callable[..., T], *arguments: Any) -> T | None:
        """The same for a look-up; None where there is nothing."""
        try:
            return self.ask(function, *arguments)
        except NotThere:
            return None

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turns libvirt's errors inside into ours."""
        try:
            yield
        except libvirt.libvirtError as error:
            raise refusal(error, self.uri) from error

    def ask_guest(self, domain: Any, function: Callable[..., T], *arguments: Any) -> T:
        """A question that is for a guest's agent to answer, and for which libvirt waits without end. Raises
        LibvirtError where there is no answer in time.

        Libvirt's limit for that (agentSetResponseTimeout) is everybody's, and cannot be read to be put back. So a
        thread waits here. For an agent that says nothing at all, libvirt gives up after 5 seconds; one that begins to
        answer and stops keeps libvirt waiting as long as the guest runs, so such questions are few, and none is for a
        guest that has one already.
        """
        name = domain.UUIDString()
        with self._guard:
            self._asking = {each: answer for each, answer in self._asking.items() if not answer.done()}
            if name in self._asking or len(self._asking) >= OPEN_QUESTIONS:
                raise LibvirtError("guest agents that do not answer are asked already", code=code("AGENT_UNRESPONSIVE"))
            answer = in_background(partial(self.ask, function, *arguments))
            self._asking[name] = answer
        try:
            return answer.result(AGENT_SECONDS)
        except FutureTimeout as error:
            raise LibvirtError(
                "the guest agent did not answer within %d seconds" % AGENT_SECONDS, code=code("AGENT_UNRESPONSIVE")
            ) from error

    def close(self) -> None:
        """Let go of the connection; the end of the process does the same."""
        with self.translated():
            self.conn.close()


def code(name: str) -> int:
    """The number of libvirt's error of that name (without VIR_ERR_); one that this libvirt does not have matches
    none.
    """
    return int(getattr(libvirt, f"VIR_ERR_{name}", -2))


def refusal(error: Any, uri: str = "") -> LibvirtError:
    """The error for what libvirt refused, with a remedy where one is known."""
    number, message = error.get_error_code(), " ".join((error.get_error_message() or str(error)).split())
    if number in [code(name) for name in _NOT_THERE]:
        return NotThere(f"libvirt has no such object: {message}", code=number)
    if number == code("OPERATION_TIMEOUT") and "lock" in message:
        remedy = "Another operation on it takes long: wait for its end, and run again"
    elif number in (code("INTERNAL_ERROR"), code("RPC"), code("SYSTEM_ERROR")) and _broken(message):
        return ConnectionLost(
            "the connection to {} broke off: {}".format(uri or "libvirt", message),
            code=number,
            remedy="Look at the log of libvirtd there, and run again",
        )
    else:
        remedy = next((remedy for part, remedy in _REMEDIES if part in message), "")
    return LibvirtError(f"libvirt refused: {message}", remedy=remedy, code=number)


def _broken(message: str) -> bool:
    return any(part in message for part in _BREAKS)


_BREAKS = (
    "client socket is closed",
    "connection closed",
    "keepalive timeout",
    "End of file while reading data",
    "Broken pipe",
)

_REMEDIES = (
    ("No space left on device", "Free space there, or name a pool or a path with more"),
    (
        "does not support changing of volume capacity",
        "Make it larger by the means of its kind (lvextend, zfs set volsize), and run again",
    ),
    ("is still being allocated", "Another run makes that volume: wait for its end, and run again"),
    (
        "has asynchronous jobs running",
        "Another program is making a volume in that pool: wait for its end, and run again",
    ),
    ("Address already in use", "Choose another address or port, or end what listens there"),
    ("is already in use by interface", "Choose a subnet that is free on that host, or another bridge"),
    ("already exists with uuid", "Remove or rename the other one first"),
    ("failed to initialize kvm", "See what host_info says of KVM on that host, or write type: qemu"),
    (
        "Permission denied",
        (
            "Let the user that the guests run as (libvirt-qemu, qemu) into that path, or choose a place below "
            "/var/lib/libvirt"
        ),
    ),
    ("Unable to find 'dnsmasq' binary", install_there("dnsmasq") + " on that host"),
    ("Unable to find 'iptables' binary", install_there("iptables") + " on that host"),
    ("cannot execute binary", "Install the program that it names on that host"),
    ("satisfying virtiofsd", install_there("virtiofsd") + " on that host"),
    (
        "missing backend for pool type",
        "Install libvirt's driver for that kind of pool on that host (libvirt-daemon-driver-storage-...)",
    ),
    ("failed to validate against schema", "Write it the way libvirt documents its XML"),
)


def _unreachable(uri: str, error: Any) -> BackendError:
    """Why libvirt could not be reached."""
    message, number = (error.get_error_message() or str(error)).strip(), error.get_error_code()
    what = f"libvirt at {uri} cannot be used: {message}"
    nobody = f"no libvirt daemon answers at {uri}: {message}"
    if (
        number in (code("AUTH_FAILED"), code("AUTH_UNAVAILABLE"), code("AUTH_CANCELLED"))
        or "Permission denied" in message
    ):
        if "+ssh" in uri or "+libssh" in uri:
            return BackendError(
                what,
                remedy="Give a key with keyfile= in uri that this user may log in with there, and accept the host's "
                "key once",
            )
        return BackendError(
            f"no permission on {uri}: {message}",
            remedy="Run the task with become, or put the user into the group libvirt and log in again",
        )
    if "certificate" in message.lower() or "TLS" in message:
        return BackendError(
            what,
            remedy="Put the certificates where libvirt looks for them, or name their directory with pkipath= in uri",
        )
    if "No such file or directory" in message and "Failed to connect socket" in message:
        return NotInstalled(nobody, remedy=install_there("libvirtd") + " and start it, or name the right uri")
    if "Connection refused" in message:
        return BackendError(nobody, remedy="Start it (libvirtd, or virtqemud and its like), or name the right uri")
    if "Host key verification failed" in message or "known_hosts" in message:
        return BackendError(what, remedy="Log in to that host once with ssh, so that its key is known")
    if number in (code("NO_CONNECT"), code("INVALID_ARG"), code("NO_SUPPORT"), code("CONFIG_UNSUPPORTED")):
        return BackendError(
            what,
            remedy="Write uri like qemu:///system, qemu+ssh://root@192.0.2.10/system or "
            "qemu+tls://kvm1.example.org/system",
        )
    return BackendError(what, remedy="Check uri, and that the daemon runs there")


def uri_of(parameters: Mapping[str, Any]) -> str:
    """The URI that the connection options name."""
    return str(parameters.get("uri") or os.environ.get("LIBVIRT_DEFAULT_URI") or DEFAULT_URI)


def place_of(uri: str) -> str:
    """The libvirt that a URI names, always in the same spelling; empty for this host's own system daemon.

    ssh keeps its user.

    Of what stands behind the question mark, only the socket says which daemon it is; the rest says how to get there.
    """
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        return uri
    driver, dummy, way = parts.scheme.partition("+")
    way = {"unix": "" if not parts.hostname else "unix", "libssh": "ssh", "libssh2": "ssh"}.get(way, way)
    way = way or ("tls" if parts.hostname else "")
    scheme = f"{driver}+{way}" if way else driver
    host = parts.hostname or ""
    where = (f"{parts.username}@" if parts.username else "") + (f"[{host}]" if ":" in host else host)
    where += ":%d" % port if port and port != PORTS.get(way) else ""
    sockets = [text for key, text in parse_qsl(parts.query) if key == "socket"]
    query = "?socket=%s" % (sockets[0] if host else os.path.realpath(sockets[0])) if sockets else ""
    place = "{}://{}{}{}".format(scheme, where, parts.path.rstrip("/") or "/", query)
    return "" if place == DEFAULT_URI else place


def library_missing(error: ImportError) -> NotInstalled:
    """What to do about a missing binding."""
    remedy = "set ansible_python_interpreter to the distribution's own Python, /usr/bin/python3"
    why = f"the Python that the module runs with has no libvirt ({error})"
    return NotInstalled(why, remedy=f"{install('python:libvirt')}, and {remedy}")


def full_uri(uri: str) -> str:
    """The URI as it is opened: ssh asks no questions where nobody can answer. Raises InvalidOption."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        # An address whose brackets are not in pairs.
        parts = None
    if parts is None or not parts.scheme or any(not letter.isprintable() or letter.isspace() for letter in uri):
        raise InvalidOption(
            "uri",
            uri,
            "is no URI of libvirt",
            remedy="Write one like qemu:///system or qemu+ssh://root@192.0.2.10/system",
        )
    if not parts.scheme.endswith("+ssh") or "no_tty" in dict(parse_qsl(parts.query, keep_blank_values=True)):
        return uri
    # The rest as it was written: libvirt knows no + for a blank.
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, "no_tty=1")))))


_LOOP = threading.Lock()
_running = False


def _run_loop() -> None:
    """Libvirt's event loop, in a thread of its own: signs of life and events pass through it.

    Once in a process, before the first connection.
    """
    global _running  # libvirt has one loop a process too
    with _LOOP:
        if _running:
            return
        libvirt.registerErrorHandler(lambda _context, _error: None, None)
        # libvirt-python (9.0 to 11.3) asks for the error after a call has failed. An object of libvirt that Python's
        # collector frees in between makes libvirt forget it, and what is not there looks like a refusal. A module's
        # process is short, and what nothing refers to is freed without the collector.
        gc.disable()
        libvirt.virEventRegisterDefaultImpl()

        def turn() -> None:
            while True:
                libvirt.virEventRunDefaultImpl()

        threading.Thread(target=turn, name="libvirt-events", daemon=True).start()
        _running = True


def _open(uri: str, seconds: int) -> Any:
    """Libvirt knows no time limit for a connection, so a thread waits for it; one that waits in vain ends with the
    process.
    """

    def opening() -> Any:
        with trace.call(lambda: f"libvirt.open({hide(uri)})"):
            return libvirt.open(uri)

    try:
        return in_background(opening, (libvirt.libvirtError,)).result(seconds)
    except FutureTimeout as error:
        raise BackendError(
            "libvirt at %s did not answer within %d seconds" % (uri, seconds),
            remedy="See whether the daemon and the way to it are well, or raise connect_timeout",
        ) from error
    except libvirt.libvirtError as error:
        raise _unreachable(uri, error) from error


def connect(parameters: Mapping[str, Any]) -> Host:
    """The libvirt that the task's connection options name.

    Raises InvalidOption, NotInstalled and BackendError with the remedy.
    """
    if LIBVIRT_IMPORT_ERROR is not None:
        raise library_missing(LIBVIRT_IMPORT_ERROR) from LIBVIRT_IMPORT_ERROR
    uri = full_uri(uri_of(parameters))
    seconds = int(parameters.get("connect_timeout") or CONNECTION["connect_timeout"]["default"])
    if seconds < 1:
        raise InvalidOption("connect_timeout", seconds, "must be at least 1 second", remedy="Write 1 or more")
    if not place_of(uri):
        check_awake(parameters, libvirt_sleeper)
    _run_loop()
    conn = _open(uri, seconds)
    try:
        conn.setKeepAlive(KEEPALIVE_SECONDS, KEEPALIVE_COUNT)
    except libvirt.libvirtError as error:
        # A driver inside this process (test:///, qemu:///embed) has no connection that could die.
        if error.get_error_code() != code("NO_SUPPORT"):
            raise refusal(error, uri) from error
    return Host(conn, uri)
