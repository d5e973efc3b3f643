# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which engines are installed here, and whether they answer.

Each finding: ``installed``, ``program``, ``version`` (the daemon's where it answers, else the program's), ``answers``
(None: this user may not ask), ``hangs`` (there is a daemon that does not answer in time) and ``error``. An engine
without a daemon answers when its program runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ..engine.reading import as_mapping
from .reader import Answer, Host
from .socket_activation import libvirt_sleeper, sleeper

_NUMBER = re.compile(r"\d+(?:\.\d+)+\S*|\d+")
_DENIED = re.compile(
    r"permission denied|access denied|authentication|not authori[sz]ed|operation not permitted|must be root|polkit",
    re.IGNORECASE,
)

DOCKER_SOCKETS = ("/var/run/docker.sock",)
LXD_SOCKETS = ("/var/snap/lxd/common/lxd/unix.socket", "/var/lib/lxd/unix.socket")
INCUS_SOCKETS = ("/run/incus/unix.socket", "/var/lib/incus/unix.socket")


def _finding(
    program: str, version: str = "", answers: bool | None = False, error: str = "", hangs: bool = False
) -> dict[str, Any]:
    found = {"installed": bool(program), "program": program, "version": version}
    return {**found, "answers": answers if program else False, "hangs": hangs, "error": error}


def _first(host: Host, *programs: str) -> str:
    return next((found for found in map(host.which, programs) if found), "")


def version_in(text: str) -> str:
    """The first version number of a text; programs like to print warnings before it, and other things behind."""
    lines = (line for line in text.splitlines() if not line.startswith("WARNING"))
    numbers = filter(None, map(_NUMBER.search, lines))
    return next((number[0].rstrip(",)") for number in numbers), "")


def _version(host: Host, program: str, option: str = "--version") -> tuple[str, str]:
    """What the program says of itself, and what was wrong with asking it."""
    said = host.run([program, option])
    if said is None:
        return "", f"{program} is not installed"
    return (version_in(said.out or said.err) if said.rc == 0 else ""), said.error


def _refused(host: Host, error: str) -> bool | None:
    """What an error says about an engine: that it does not answer, or only that it does not answer this user."""
    return None if host.user() and _DENIED.search(error) else False


def _ask(host: Host, path: str, request: str) -> Answer:
    """What the daemon on that socket says. One that sleeps is let lie: with it, its guests would start."""
    asleep = sleeper(host, path)
    if asleep:
        return Answer(error=f"{asleep} is stopped, and would be started by the question ({path})")
    return host.ask(path, request)


def _docker(host: Host) -> dict[str, Any]:
    # The client alone is not an engine.
    program = _first(host, "dockerd")
    socket = next((path for path in (host.docker_socket, *DOCKER_SOCKETS) if path and host.exists(path)), "")
    client = {"client": _first(host, "docker")}
    if not program and not socket:
        return {**_finding(""), **client}
    if not socket:
        return {
            **_finding(
                program,
                _version(host, "dockerd")[0],
                error="there is no socket %s" % (host.docker_socket or DOCKER_SOCKETS[0]),
            ),
            **client,
        }
    answer = _ask(host, socket, "/version")
    if answer.document is None:
        version = _version(host, "dockerd")[0] if program else ""
        denied = None if answer.denied else False
        return {**_finding(program or socket, version, denied, answer.error, answer.late), **client}
    return {
        **_finding(program or socket, str(answer.document.get("Version", "")), True),
        "api": str(answer.document.get("ApiVersion", "")),
        **client,
    }


def _container_manager(daemon: str, client: str, sockets: tuple[str, ...]) -> Callable[[Host], dict[str, Any]]:
    def look(host: Host) -> dict[str, Any]:
        program = _first(host, daemon)
        socket = next((path for path in sockets if host.exists(path)), "")
        if not program and not socket:
            return _finding("")
        if not socket:
            return _finding(program, _version(host, daemon)[0], error=f"there is no socket {sockets[-1]}")
        answer = _ask(host, socket, "/1.0")
        if answer.document is None:
            denied, version = None if answer.denied else False, _version(host, client)[0]
            return _finding(program or socket, version, denied, answer.error, answer.late)
        metadata = as_mapping(answer.document.get("metadata"))
        environment, trusted = as_mapping(metadata.get("environment")), metadata.get("auth") == "trusted"
        return _finding(
            program or socket,
            str(environment.get("server_version", "")),
            True if trusted else None,
            "" if trusted else f"{socket} does not trust this user",
        )

    return look


def _lxc(host: Host) -> dict[str, Any]:
    program = _first(host, "lxc-start")
    if not program:
        return _finding("")
    version, error = _version(host, "lxc-start")
    return {**_finding(program, version, not error, error), "apparmor_parser": _first(host, "apparmor_parser")}


def _libvirt(host: Host) -> dict[str, Any]:
    """The QEMU driver. Asked for nothing that makes it look at every QEMU first, which may take minutes."""
    program = _first(host, "libvirtd", "virtqemud")
    if not program:
        return _finding("")
    version = _version(host, program.rpartition("/")[2])[0]
    asleep = libvirt_sleeper(host)
    if asleep:
        why = f"{asleep} has not run since the host started, and would be started by the question"
        return _finding(program, version, False, why)
    said = host.run(["virsh", "--connect", "qemu:///system", "hostname"])
    if said is None:
        return _finding(program, version, None, "virsh is not installed, so nobody could ask it")
    return _finding(program, version, True if said.rc == 0 else _refused(host, said.error), said.error, said.late)


def _qemu(host: Host) -> dict[str, Any]:
    machine = {"i686": "i386", "armv7l": "arm", "ppc64le": "ppc64"}.get(host.machine(), host.machine())
    program = _first(host, "qemu-system-" + machine, "qemu-kvm")
    if not program and host.exists("/usr/libexec/qemu-kvm"):
        return _finding("/usr/libexec/qemu-kvm", *_answered(_version(host, "/usr/libexec/qemu-kvm")))
    return _finding(program, *_answered(_version(host, program.rpartition("/")[2]))) if program else _finding("")


def _answered(told: tuple[str, str]) -> tuple[str, bool, str]:
    version, error = told
    return version, not error, error


def _xen(host: Host) -> dict[str, Any]:
    program = _first(host, "xl")
    if not program:
        return _finding("")
    said = host.run(["xl", "info"])
    if said is None or said.rc:
        error = said.error if said else "xl could not be run"
        return _finding(program, "", None if host.user() else False, error)
    version = re.search(r"^xen_version\s*:\s*(\S+)", said.out, re.MULTILINE)
    finding = _finding(program, version[1] if version else "", True)
    found = re.search(r"^virt_caps\s*:\s*(.*)$", said.out, re.MULTILINE)
    finding["capabilities"] = found[1].split() if found else []
    return finding


def _virtualbox(host: Host) -> dict[str, Any]:
    program = _first(host, "VBoxManage", "vboxmanage")
    if not program:
        return _finding("")
    said = host.run([program.rpartition("/")[2], "--version"])
    if said is None or said.rc:
        return _finding(program, "", False, said.error if said else "it could not be run")
    # A missing driver makes it warn at length on its standard output; the version is the last line.
    lines = said.out.split()
    return _finding(program, lines[-1] if lines else "", True)


ENGINES: dict[str, Callable[[Host], dict[str, Any]]] = {
    "docker": _docker,
    "lxc": _lxc,
    "lxd": _container_manager("lxd", "lxd", LXD_SOCKETS),
    "incus": _container_manager("incusd", "incusd", INCUS_SOCKETS),
    "libvirt": _libvirt,
    "qemu": _qemu,
    "xen": _xen,
    "virtualbox": _virtualbox,
}

#: What the guests of a backend need of them.
BACKENDS = {
    "docker": ("docker",),
    "lxc": ("lxc",),
    "lxd": ("lxd", "incus"),
    "kvm": ("libvirt", "qemu"),
    "xen": ("xen",),
    "virtualbox": ("virtualbox",),
}


def engines(host: Host, backends: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """The findings of all engines that those backends' guests stand on."""
    wanted = [name for backend in backends for name in BACKENDS[backend]]
    return {name: look(host) for name, look in ENGINES.items() if name in wanted}
