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
  - The guest's host is this machine, or another that is reached over P(ansible.builtin.ssh#connection), whose
    connections persist as usual.
  - The inventory plugin P(kraal.virt.guests#inventory) sets all that is needed.
notes:
  - The host needs the docker command for Docker, C(lxc-attach) for LXC as root or with O(host_become), and for KVM
    libvirt with its binding for Python (C(python3-libvirt)), as root, with O(host_become), or as a user who may use
    libvirt. The guest needs C(/bin/sh); C(cat), C(head) and C(tail) in the guest move files.
  - In guests of LXC and KVM, commands run with nothing of the host's environment, in the user's home. Another
    O(remote_user) than root needs C(su) and C(id) in the guest.
  - A virtual machine (O(backend=kvm)) is entered through its QEMU guest agent. The machine needs the channel
    C(org.qemu.guest_agent.0), and the guest C(qemu-guest-agent), which runs as root, and C(mkdir), C(wc) and C(rm). The
    agent must be allowed C(guest-exec), C(guest-exec-status) and C(guest-file-*), which RHEL and its kin block in
    F(/etc/sysconfig/qemu-ga).
  - The agent gives what a command says only when it has ended. So where becoming another user takes a password, it
    cannot be given in a virtual machine. The output waits until then in a directory of the guest, which only root can
    enter, and which is removed; so does a long standard input.
  - Over ssh, what the configuration says of ssh connections holds for the one to the host, such as C(timeout),
    C(host_key_checking) and C(ssh_args). Not so the user and the port, since a user that is set for the guests is none
    of the host's.
  - Ansible writes the environment of a task (C(environment)) into the command. So while it runs, it is in the list of
    processes of the host, not of the guest alone. Give secrets to a module's own options instead, which are sent as
    its input where pipelining is on.
  - Becoming another user happens in the guest, with the become plugin that the task names. O(host_become) is for the
    host.
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
    choices: [docker, kvm, lxc]
    default: docker
    vars:
      - name: ansible_guest_backend
  remote_user:
    description: The user in the guest. Unless set, the image's own for Docker, and root for LXC.
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
  libvirt_uri:
    description:
      - The libvirt that has the virtual machine, as seen from the host.
      - Unless set, that of E(LIBVIRT_DEFAULT_URI) on the host, or V(qemu:///system).
    type: str
    vars:
      - name: ansible_guest_libvirt_uri
  host_python:
    description: The Python on the host that has the binding of libvirt, 3.9 or later.
    type: str
    default: /usr/bin/python3
    vars:
      - name: ansible_guest_host_python
  agent_timeout:
    description:
      - How many seconds libvirt and the guest agent may take for an answer. A command may take as long as it will.
      - Libvirt itself gives up an agent that does not listen after 5 seconds; it is asked again until the time is over.
    type: int
    default: 30
    vars:
      - name: ansible_guest_agent_timeout
  lxc_path:
    description: The directory of LXC's containers on the host, if it is not that of the host's configuration.
    type: str
    vars:
      - name: ansible_guest_lxc_path
"""

EXAMPLES = r"""
# An inventory without the inventory plugin: a container on this machine, one on another host, one of LXC, and a virtual machine
all:
  vars:
    ansible_connection: kraal.virt.guest
  hosts:
    web-1:
    db-1:
      ansible_guest_host_connection: ssh
      ansible_guest_host_address: 192.0.2.10
      ansible_guest_host_user: admin
      ansible_guest_host_become: true
    mail-1:
      ansible_guest_backend: lxc
    vm-1:
      ansible_guest_backend: kvm
"""

import shlex
import sys
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError, AnsibleFileNotFound
from ansible.plugins.connection import ConnectionBase
from ansible.plugins.loader import connection_loader

from ansible_collections.kraal.virt.plugins.module_utils.engine.printable import printable
from ansible_collections.kraal.virt.plugins.plugin_utils.ways import NOT_RUN, WAYS, Way

#: So much of a file is moved at a time, and held in memory.
CHUNK = 16 * 1024 * 1024

#: ssh ends with this code when it failed itself, so a command that ends with it must say so in another way.
SSH_FAILED = 255
SAID_SO = "\nkraal.virt: the command itself ended with code 255\n"
KEEP_CODE = f'"$@"; code=$?; [ $code -ne 255 ] || {{ printf %s {shlex.quote(SAID_SO)} >&2; code=254; }}; exit $code'

#: Where a password may be asked for, Ansible's local connection gives a terminal as standard input. This passes on what
#: comes, by a pipe.
RELAY = """
import os, subprocess, sys, threading
guest = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)
def relay():
    try:
        while piece := os.read(0, 65536):
            os.write(guest.stdin.fileno(), piece)
    except OSError:
        pass
    guest.stdin.close()
threading.Thread(target=relay, daemon=True).start()
code = guest.wait()
sys.stdout.flush()
os._exit(code if code >= 0 else 128 - code)
"""


def _said(words: bytes) -> str:
    """What a command of the host or the guest said, fit for a message."""
    return printable(words.decode(errors="replace").strip(), keep="\n")


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
            self._host.set_options(direct=self._ssh_options() if kind == "ssh" else {})
            self._connected = True
        return self

    def _ssh_options(self) -> dict[str, Any]:
        if not self.get_option("host_address"):
            raise AnsibleError(f"{self._who()}: ssh does not know where its host is. Set ansible_guest_host_address.")
        # Set even where they are None: what is configured for the guests is not meant. A terminal on the host would not
        # be the guest's.
        options = {"remote_user": self.get_option("host_user"), "port": self.get_option("host_port"), "use_tty": False}
        others = {
            "host": "host_address",
            "private_key_file": "host_private_key_file",
            "ssh_common_args": "host_ssh_args",
        }
        return {
            **options,
            **{key: self.get_option(own) for key, own in others.items() if self.get_option(own) is not None},
        }

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        """Run a command line in the guest's shell."""
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        self._connect()
        code, out, err = self._in_guest(["/bin/sh", "-c", cmd], in_data, sudoable)
        # What gave an answer was there to give it.
        if code in NOT_RUN or (code != 0 and not out):
            self._fail_if_down(code)
        return code, out, err

    def put_file(self, in_path: str, out_path: str) -> None:
        """Bring a file into the guest."""
        super().put_file(in_path, out_path)
        self._connect()
        try:
            with open(in_path, "rb") as file:
                # An empty input is none to Ansible's own connections, which then leave the stream open.
                content = file.read(CHUNK)
                self._write(out_path, 'cat > "$1"' if content else ': > "$1"', content)
                while content := file.read(CHUNK):
                    self._write(out_path, 'cat >> "$1"', content)
        except FileNotFoundError as error:
            raise AnsibleFileNotFound(f"{self._who()}: there is no file {in_path} on the controller") from error

    def _write(self, path: str, script: str, content: bytes) -> None:
        code, _out, err = self._in_guest(["/bin/sh", "-c", script, "sh", path], content or None, False)
        self._check(code, err, f"the file {path} could not be written")

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Bring a file from the guest."""
        super().fetch_file(in_path, out_path)
        self._connect()
        # A directory can be opened like a file, and is found out too late to say so.
        script = (
            '[ ! -d "$1" ] || { echo "it is a directory" >&2; exit 1; }; exec < "$1" && tail -c "+$2" | head -c "$3"'
        )
        with open(out_path, "wb") as file:
            while True:
                argv = ["/bin/sh", "-c", script, "sh", in_path, str(file.tell() + 1), str(CHUNK)]
                code, out, err = self._in_guest(argv, None, False)
                self._check(code, err, f"the file {in_path} could not be read")
                file.write(out)
                if len(out) < CHUNK:
                    return

    def reset(self) -> None:
        """Let go of the host's connection, so that it is made anew."""
        self._connect()
        self._host.reset()
        self.close()

    def close(self) -> None:
        """Let go of the host's connection; ssh's own stays open for others as long as it is set to."""
        if self._host is not None:
            self._host.close()
        self._host, self._connected = None, False

    # The host's side.

    @property
    def _way(self) -> Way:
        return WAYS[self.get_option("backend")](self.get_option)

    def _who(self) -> str:
        return "{} guest {} on {}".format(self.get_option("backend"), self.get_option("guest"), self._way.where)

    def _in_guest(self, argv: list[str], in_data: bytes | None, sudoable: bool) -> tuple[int, bytes, bytes]:
        way = self._way
        prompted = sudoable and self.become is not None and self.become.expect_prompt()
        sudoable = sudoable and way.interactive
        self._host.set_become_plugin(self.become if sudoable else None)
        relayed = prompted and way.notices_terminals and self.get_option("host_connection") == "local"
        relay = [sys.executable, "-I", "-c", RELAY] if relayed else []
        code, out, err = self._on_host(way.enter(argv, bool(in_data)), in_data, sudoable, relay)
        if (
            code != 0
            and prompted
            and not way.interactive
            and any(self.become.check_password_prompt(said) for said in (out, err))
        ):
            raise AnsibleConnectionFailure(
                "{}: a password is asked for, which cannot be given: what a command says comes only when it has "
                "ended. Enter as root, or let {} become another user without a password.".format(
                    self._who(), self.get_option("remote_user") or "the user"
                )
            )
        return code, out, err

    def _on_host(
        self, argv: list[str], in_data: bytes | None, sudoable: bool, relay: list[str] | None = None
    ) -> tuple[int, bytes, bytes]:
        become = ["sudo", "-n", "--"] if self.get_option("host_become") else []
        keep = ["/bin/sh", "-c", KEEP_CODE, "sh"] if self.get_option("host_connection") == "ssh" else []
        try:
            code, out, err = self._host.exec_command(
                shlex.join([*(relay or []), *keep, *become, *argv]), in_data=in_data, sudoable=sudoable
            )
        except AnsibleConnectionFailure as error:
            raise AnsibleConnectionFailure(f"{self._who()}: {error}") from error
        if code == SSH_FAILED - 1 and err.endswith(SAID_SO.encode()):
            return SSH_FAILED, out, err[: -len(SAID_SO)]
        return int(code), out, err

    def _check(self, code: int, err: bytes, what: str) -> None:
        if code != 0:
            self._fail_if_down(code)
            raise AnsibleError(f"{self._who()}: {what}: {_said(err)}")

    def _fail_if_down(self, failed: int) -> None:
        """A command may have failed for want of a guest, or of a shell in it: ask the backend, rather than guess
        from words.
        """
        self._host.set_become_plugin(None)
        way = self._way
        code, out, err = self._on_host(way.state(), None, False)
        why = way.why_not(code, _said(out), _said(err))
        if not why and failed in NOT_RUN:
            code, out, err = self._on_host(way.enter(["/bin/sh", "-c", ":"], False), None, False)
            why = "" if code == 0 else "no shell can be run in it: %s" % (_said(err) or _said(out))
        if why:
            raise AnsibleConnectionFailure(f"{self._who()}: {why}")
