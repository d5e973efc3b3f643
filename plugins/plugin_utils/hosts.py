# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The hosts that an inventory of guests asks, how each is reached, and what it says. For the controller."""

from __future__ import annotations

import os
import selectors
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, cast

from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.kraal.virt.plugins.module_utils.backends.registry import BACKENDS, backend
from ansible_collections.kraal.virt.plugins.module_utils.engine.argument_values import check_values
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import KraalError
from ansible_collections.kraal.virt.plugins.module_utils.engine.printable import printable
from ansible_collections.kraal.virt.plugins.module_utils.host.packages import install, known
from ansible_collections.kraal.virt.plugins.plugin_utils.answer import LONGEST_WARNING, document_in

PYTHON = "/usr/bin/python3"
#: ssh's own code for what went wrong before the command ran.
SSH_FAILED = 255
#: So many bytes of an answer are kept in memory; a guest takes about a thousand.
LONGEST_ANSWER = 64 << 20

#: The fields of a host, and the variables that say the same of a host of the inventory.
VARIABLES = {
    "address": "ansible_host",
    "user": "ansible_user",
    "port": "ansible_port",
    "private_key_file": "ansible_ssh_private_key_file",
    "ssh_args": "ansible_ssh_common_args",
    "python": "ansible_python_interpreter",
    "become": "ansible_become",
    "connection": "ansible_connection",
    "become_method": "ansible_become_method",
}
HOST = frozenset({"name", *VARIABLES} - {"become_method"})
#: The backends that can be asked from here, without a host to log in to; an endpoint that names none is of the first.
ENDPOINTS = [each.name for each in BACKENDS.values() if each.endpoint]

_CONNECTIONS = {
    "local": "local",
    "ansible.builtin.local": "local",
    "ssh": "ssh",
    "smart": "ssh",
    "ansible.builtin.ssh": "ssh",
}
_SUDO = ("sudo", "ansible.builtin.sudo")


def checked(option: str, entry: Any, known: frozenset[str], needed: set[str]) -> dict[str, Any]:
    """An entry of ``hosts`` or ``endpoints``, whose suboptions Ansible does not check. Raises KraalError."""
    if not isinstance(entry, Mapping):
        raise KraalError(f"{option}: {entry!r} is not a mapping", remedy="Give each a name, like {name: localhost}")
    for key in needed:
        if not isinstance(entry.get(key), str) or not entry[key]:
            raise KraalError(f"{option}: {dict(entry)!r} lacks {key}", remedy="Add it")
    unknown = sorted(set(map(str, entry)) - known)
    if unknown:
        raise KraalError(
            "{}: {} does not have {}".format(option, entry["name"], ", ".join(unknown)),
            remedy="Known are " + ", ".join(sorted(known)),
        )
    host = {key: value for key, value in entry.items() if value is not None}
    if host.get("connection", "ssh") not in ("local", "ssh"):
        raise KraalError(
            "{}: {} has the connection {!r}".format(option, host["name"], host["connection"]),
            remedy="Write local or ssh",
        )
    return _typed(host, "{}: {}".format(option, host["name"]))


def endpoint(entry: Any) -> dict[str, Any]:
    """An entry of ``endpoints``, with its backend. Raises KraalError."""
    name = (entry.get("backend") if isinstance(entry, Mapping) else None) or ENDPOINTS[0]
    if name not in ENDPOINTS:
        raise KraalError(
            f"endpoints: {name!r} cannot be asked without a host", remedy="Known are " + ", ".join(ENDPOINTS)
        )
    options = backend(name).endpoint
    known_options = frozenset({"name", "backend", *options})
    return {**checked("endpoints", entry, known_options, {"name", options[0]}), "backend": name}


def is_endpoint(host: Mapping[str, Any]) -> bool:
    """Whether that is an endpoint, and no host."""
    return "backend" in host


def from_variables(name: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """A host of the inventory in the form of an entry of ``hosts``.

    Raises KraalError for what cannot be used to ask it.
    """
    host = {field: variables[key] for field, key in VARIABLES.items() if variables.get(key) is not None}
    if not str(host.get("python", PYTHON)).startswith("/"):
        del host["python"]  # a way to find one, like auto
    host = _typed({"name": name, **host}, name)
    connection, method = host.pop("connection", None), host.pop("become_method", _SUDO[0])
    if connection is not None:
        if not isinstance(connection, str) or connection not in _CONNECTIONS:
            raise KraalError(
                f"it is reached by {connection}", remedy="Only local and ssh can be used to ask a host for its guests"
            )
        host["connection"] = _CONNECTIONS[connection]
    if host.get("become") and method not in _SUDO:
        raise KraalError(f"it becomes root by {method}", remedy="Only sudo can be used to ask a host for its guests")
    return host


def _typed(host: dict[str, Any], place: str) -> dict[str, Any]:
    check_values({}, host)
    try:
        if "become" in host:
            host["become"] = boolean(host["become"])
        if "port" in host:
            host["port"] = int(host["port"])
    except (TypeError, ValueError, OverflowError) as error:
        raise KraalError(f"{place}: {error}", remedy="Write a number for port, and true or false for become") from error
    try:
        shlex.split(str(host.get("ssh_args") or ""))
    except ValueError as error:
        raise KraalError(f"{place}: its arguments for ssh: {error}", remedy="Correct the quotation marks") from error
    return host


def is_local(host: Mapping[str, Any]) -> bool:
    """Whether that host is this machine."""
    return (
        host.get("connection") or ("local" if host["name"] == "localhost" and not host.get("address") else "ssh")
    ) == "local"


def ssh_command(host: Mapping[str, Any], connect_timeout: int, host_key_checking: bool) -> list[str]:
    """ssh to that host, which never asks anything.

    No ControlMaster: its background process would keep our pipes open.
    """
    # Of an option that is given twice, ssh takes the first: the user's own stand before ours.
    command = [
        "ssh",
        *shlex.split(str(host.get("ssh_args") or "")),
        "-T",
        "-o",
        "BatchMode=yes",
        "-o",
        "ConnectTimeout=%d" % connect_timeout,
    ]
    if not host_key_checking:
        command += ["-o", "StrictHostKeyChecking=no"]
    for flag, key in (("-l", "user"), ("-p", "port"), ("-i", "private_key_file")):
        if host.get(key):
            command += [flag, str(host[key])]
    return [*command, "--", str(host.get("address") or host["name"])]


def ask(host: Mapping[str, Any], program: str, *, timeout: int, connect_timeout: int, host_key_checking: bool) -> Any:
    """Run the program on that host, and give the document that it printed, whatever stands in there (see answer.py).

    Raises KraalError.
    """
    python, local = str(host.get("python") or PYTHON), is_local(host)
    if local and not Path(python).exists():
        python = sys.executable
    # Isolated: no module may come from the directory that this happens to run in, least of all as root.
    command = [*(["sudo", "-n", "--"] if host.get("become") else []), python, "-I", "-"]
    if not local:
        command = [*ssh_command(host, connect_timeout, host_key_checking), shlex.join(command)]
        timeout += connect_timeout
    try:
        code, out, err = _answer_of(command, program, timeout)
    except subprocess.TimeoutExpired as error:
        raise KraalError(
            "it gave no answer within %d seconds" % timeout,
            remedy="Look at what the host does, or allow a longer timeout",
        ) from error
    except OSError as error:
        raise KraalError(
            f"{command[0]} cannot be run: {error.strerror}",
            remedy=install(command[0]) if known(command[0]) else "Install it",
        ) from error
    try:
        return document_in(out)
    except ValueError as error:
        said = printable((err.strip().splitlines() or ["it said nothing"])[-1].rstrip("."), LONGEST_WARNING)
        if not local and code == SSH_FAILED:
            raise KraalError(
                f"no connection: {said}", remedy="See that ssh reaches it without asking for anything"
            ) from error
        raise KraalError(
            "the discovery ended with code %d: %s" % (code, said), remedy=f"It runs {python}, 3.9 or later"
        ) from error


def _answer_of(command: list[str], program: str, seconds: float) -> tuple[int, str, str]:
    """The code of a command that is fed the program, and what it said.

    Raises TimeoutExpired, OSError, and KraalError for one that does not stop speaking.
    """
    deadline = time.monotonic() + seconds
    with tempfile.TemporaryFile() as source:
        source.write(program.encode())
        source.seek(0)
        process = subprocess.Popen(command, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with process, selectors.DefaultSelector() as speaking:
        said = {pipe: bytearray() for pipe in (process.stdout, process.stderr) if pipe is not None}
        for pipe in said:
            speaking.register(pipe, selectors.EVENT_READ)
        try:
            while speaking.get_map():
                ready = speaking.select(max(deadline - time.monotonic(), 0))
                if not ready:
                    raise subprocess.TimeoutExpired(command, seconds)
                for key, _events in ready:
                    data = os.read(key.fd, 1 << 16)
                    said[cast(IO[bytes], key.fileobj)] += data
                    if not data:
                        speaking.unregister(key.fileobj)
                if sum(map(len, said.values())) > LONGEST_ANSWER:
                    raise KraalError(
                        "it says more than %d MiB" % (LONGEST_ANSWER >> 20), remedy="Look at what runs on the host"
                    )
            code = process.wait(max(deadline - time.monotonic(), 0))
        finally:
            process.kill()
    out, err = (each.decode(errors="replace") for each in said.values())
    return code, out, err


def way_to(host: Mapping[str, Any]) -> dict[str, Any]:
    """The variables with which the connection plugin finds the guests of that host or endpoint."""
    if is_endpoint(host):
        given = {key: host[key] for key in backend(host["backend"]).endpoint if host.get(key)}
        return {
            "ansible_guest_host_connection": "local",
            **{"ansible_guest_" + key: text for key, text in given.items()},
        }
    if is_local(host):
        way: dict[str, Any] = {"ansible_guest_host_connection": "local"}
    else:
        way = {
            "ansible_guest_host_connection": "ssh",
            "ansible_guest_host_address": host.get("address") or host["name"],
        }
        way.update(
            {
                "ansible_guest_host_" + key: host[key]
                for key in ("user", "port", "private_key_file", "ssh_args")
                if host.get(key)
            }
        )
    if host.get("python"):
        way["ansible_guest_host_python"] = host["python"]
    return {**way, "ansible_guest_host_become": True} if host.get("become") else way
