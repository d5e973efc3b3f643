# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: guest
short_description: Reach a guest through its host
version_added: 0.1.0
author:
  - the kraal.virt contributors (@kraal-virt)
description:
  - Runs commands in a guest and moves files, without a sshd or an address in the guest.
  - The guest's host is this machine, or another that is reached over P(ansible.builtin.ssh#connection), whose connections persist as usual.
  - The inventory plugin P(kraal.virt.guests#inventory) sets all that is needed.
notes:
  - For Docker, the host needs the docker command, and the guest a shell; C(cat) in the guest moves files.
options:
  guest:
    description: The guest's name on its host.
    type: str
    default: inventory_hostname
    vars:
      - name: inventory_hostname
      - name: ansible_host
      - name: ansible_guest_name
  backend:
    description: The guest's backend.
    type: str
    choices: [docker]
    default: docker
    vars:
      - name: ansible_guest_backend
  remote_user:
    description: The user in the guest. The image's own user unless set.
    type: str
    vars:
      - name: ansible_user
    env:
      - name: ANSIBLE_REMOTE_USER
    ini:
      - section: defaults
        key: remote_user
    cli:
      - name: user
    keyword:
      - name: remote_user
  host_connection:
    description: How the guest's host is reached.
    type: str
    choices: [local, ssh]
    default: local
    vars:
      - name: ansible_guest_host_connection
  host_address:
    description: The address of the guest's host.
    type: str
    vars:
      - name: ansible_guest_host_address
  host_user:
    description: The user on the guest's host.
    type: str
    vars:
      - name: ansible_guest_host_user
  host_port:
    description: The port of the host's sshd.
    type: int
    vars:
      - name: ansible_guest_host_port
  host_private_key_file:
    description: The key for the guest's host.
    type: path
    vars:
      - name: ansible_guest_host_private_key_file
  host_ssh_args:
    description: More arguments for ssh to the guest's host.
    type: str
    vars:
      - name: ansible_guest_host_ssh_args
  host_become:
    description: Reach the backend on the host as root, through C(sudo -n).
    type: bool
    default: false
    vars:
      - name: ansible_guest_host_become
  docker_command:
    description: The docker command on the host.
    type: str
    default: docker
    vars:
      - name: ansible_guest_docker_command
  docker_host:
    description: The engine's address, if it is not the host's own.
    type: str
    vars:
      - name: ansible_guest_docker_host
  tls_ca:
    description: The certificate of the authority that signed the engine's certificate.
    type: path
    vars:
      - name: ansible_guest_tls_ca
  tls_cert:
    description: The client's certificate for the engine.
    type: path
    vars:
      - name: ansible_guest_tls_cert
  tls_key:
    description: The client's key for the engine.
    type: path
    vars:
      - name: ansible_guest_tls_key
"""

import shlex
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError, AnsibleFileNotFound
from ansible.plugins.connection import ConnectionBase
from ansible.plugins.loader import connection_loader


class Connection(ConnectionBase):
    """A guest behind its host: every command is one command of the backend on the host."""

    transport = "kraal.virt.guest"
    has_pipelining = True

    def __init__(self, play_context: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(play_context, *args, **kwargs)
        self._host: Any = None

    def _connect(self) -> Connection:
        if self._host is None:
            kind = self.get_option("host_connection")
            self._host = connection_loader.get("ansible.builtin." + kind, self._play_context, "/dev/null")
            options = {
                "host": self.get_option("host_address"),
                "remote_user": self.get_option("host_user"),
                "port": self.get_option("host_port"),
                "private_key_file": self.get_option("host_private_key_file"),
                "ssh_common_args": self.get_option("host_ssh_args"),
            }
            self._host.set_options(direct={key: value for key, value in options.items() if kind == "ssh" and value is not None})
            self._connected = True
        return self

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        """Run a command line in the guest's shell."""
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        self._connect()
        code, out, err = self._in_guest(["/bin/sh", "-c", cmd], in_data, sudoable)
        if code != 0 and not out:
            self._fail_if_down()
        return code, out, err

    def put_file(self, in_path: str, out_path: str) -> None:
        """Bring a file into the guest."""
        super().put_file(in_path, out_path)
        self._connect()
        try:
            with open(in_path, "rb") as file:
                content = file.read()
        except FileNotFoundError as error:
            raise AnsibleFileNotFound("%s: there is no file %s on the controller" % (self._who(), in_path)) from error
        # An empty input is none to Ansible's own connections, which then leave the stream open.
        script = 'cat > "$1"' if content else ': > "$1"'
        code, _out, err = self._in_guest(["/bin/sh", "-c", script, "sh", out_path], content or None, False)
        self._check(code, err, "the file %s could not be written" % out_path)

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Bring a file from the guest."""
        super().fetch_file(in_path, out_path)
        self._connect()
        code, out, err = self._in_guest(["/bin/sh", "-c", 'cat "$1"', "sh", in_path], None, False)
        self._check(code, err, "the file %s could not be read" % in_path)
        with open(out_path, "wb") as file:
            file.write(out)

    def reset(self) -> None:
        """Let go of the host's connection, so that it is made anew."""
        if self._host is not None and hasattr(self._host, "reset"):
            self._host.reset()
        self.close()

    def close(self) -> None:
        """Let go of the host's connection; ssh's own stays open for others as long as it is set to."""
        if self._host is not None:
            self._host.close()
        self._host, self._connected = None, False

    # The host's side.

    def _who(self) -> str:
        host = self.get_option("docker_host") or self.get_option("host_address") or "this machine"
        return "%s guest %s on %s" % (self.get_option("backend"), self.get_option("guest"), host)

    def _in_guest(self, argv: list[str], in_data: bytes | None, sudoable: bool) -> tuple[int, bytes, bytes]:
        enter: Callable[[], list[str]] = {"docker": self._docker_exec}[self.get_option("backend")]
        self._host.set_become_plugin(self.become if sudoable else None)
        code, out, err = self._on_host([*enter(), *argv], in_data, sudoable)
        return code, out, err

    def _on_host(self, argv: list[str], in_data: bytes | None, sudoable: bool) -> tuple[int, bytes, bytes]:
        become = ["sudo", "-n"] if self.get_option("host_become") else []
        code, out, err = self._host.exec_command(shlex.join([*become, *argv]), in_data=in_data, sudoable=sudoable)
        return int(code), out, err

    def _docker(self) -> list[str]:
        argv = [self.get_option("docker_command")]
        if self.get_option("docker_host"):
            argv += ["--host", self.get_option("docker_host")]
        if self.get_option("tls_ca") or self.get_option("tls_cert"):
            argv.append("--tlsverify")
        for flag, key in (("--tlscacert", "tls_ca"), ("--tlscert", "tls_cert"), ("--tlskey", "tls_key")):
            if self.get_option(key):
                argv += [flag, self.get_option(key)]
        return argv

    def _docker_exec(self) -> list[str]:
        user = ["--user", self.get_option("remote_user")] if self.get_option("remote_user") else []
        return [*self._docker(), "exec", "--interactive", *user, "--", self.get_option("guest")]

    def _check(self, code: int, err: bytes, what: str) -> None:
        if code != 0:
            self._fail_if_down()
            raise AnsibleError("%s: %s: %s" % (self._who(), what, err.decode(errors="replace").strip()))

    def _fail_if_down(self) -> None:
        """A command that failed without a word may have failed for want of a guest: ask the engine, rather than guess from words."""
        self._host.set_become_plugin(None)
        argv = [*self._docker(), "container", "inspect", "--format", "{{.State.Status}}", "--", self.get_option("guest")]
        code, out, err = self._on_host(argv, None, False)
        status = out.decode(errors="replace").strip()
        if code == 0 and status == "running":
            return
        if code == 0:
            raise AnsibleConnectionFailure("%s: it is %s. Start it, or read the inventory again." % (self._who(), status))
        said = err.decode(errors="replace").strip() or "the docker command gave code %d" % code
        raise AnsibleConnectionFailure("%s: %s. See that the guest exists, and that the host has the docker command and its engine runs." % (self._who(), said))
