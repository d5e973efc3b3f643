# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: guests
short_description: The guests that run on your hosts
version_added: 0.1.0
author:
  - the kraal.virt contributors (@kraal-virt)
description:
  - Asks any number of hosts, all side by side, what guests they have, and gives each guest as a host of the inventory,
    reached by the connection plugin P(kraal.virt.guest#connection).
  - The discovery is sent to each host and run there by its own Python, in one round trip. Nothing is installed or written there.
  - A host that does not answer is a warning, not a failure, unless O(strict_hosts) says so.
  - Every guest is in the group C(kraal_guests), and in the groups that O(group_by) chooses.
  - What a guest says of itself, like its labels, is never evaluated as a template.
notes:
  - The name of the file must end with C(guests.yml) or C(guests.yaml).
  - Files in an inventory folder are read in the order of their names. With O(host_groups), this file must come after the one
    with the hosts, for example as C(20-guests.yml) after C(10-hosts.yml).
extends_documentation_fragment:
  - ansible.builtin.constructed
  - ansible.builtin.inventory_cache
options:
  plugin:
    description: The name of this plugin.
    type: str
    required: true
    choices: [kraal.virt.guests]
  hosts:
    description: Hosts to ask.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The host's name, as it shows in group names and in C(kraal_host).
        type: str
        required: true
      connection:
        description: How the host is reached. V(local) for C(localhost) unless said otherwise.
        type: str
        choices: [local, ssh]
      address:
        description: Its address, if that is not its name.
        type: str
      user:
        description: The user to log in as.
        type: str
      port:
        description: The port of its sshd.
        type: int
      private_key_file:
        description: The key to log in with.
        type: path
      ssh_args:
        description: More arguments for ssh.
        type: str
      python:
        description: The host's Python, 3.9 or later.
        type: str
        default: /usr/bin/python3
      become:
        description: Ask as root, through C(sudo -n).
        type: bool
        default: false
  host_groups:
    description:
      - Ask the hosts of these groups of the inventory too. They are reached as their variables in the inventory files say, C(ansible_host),
        C(ansible_user), C(ansible_port), C(ansible_connection), C(ansible_ssh_private_key_file), C(ansible_ssh_common_args),
        C(ansible_python_interpreter) and C(ansible_become). Variables in C(group_vars) and C(host_vars) folders are not seen here.
    type: list
    elements: str
    default: []
  endpoints:
    description: Engines to ask from here, without a host to log in to. Needs the docker SDK for this controller's Python.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The name that stands for the host in group names and in C(kraal_host).
        type: str
        required: true
      backend:
        description: The backend.
        type: str
        choices: [docker]
        default: docker
      docker_host:
        description: The engine's address, like C(tcp://192.0.2.10:2376).
        type: str
        required: true
      tls_ca:
        description: The certificate of the authority that signed the engine's certificate.
        type: path
      tls_cert:
        description: The client's certificate.
        type: path
      tls_key:
        description: The client's key.
        type: path
  backends:
    description: Look for guests of these backends only.
    type: list
    elements: str
    choices: [docker]
    default: [docker]
  states:
    description: Take guests in these states only.
    type: list
    elements: str
    choices: [running, stopped, paused]
    default: [running]
  query:
    description:
      - A JMESPath expression that gets the list of guests and returns those to take.
        A guest has the fields C(name), C(backend), C(host), C(state), C(image), C(cpus), C(memory), C(addresses), C(labels), C(autostart).
      - Needs the Python package jmespath.
    type: str
  hostname:
    description:
      - A template for the guest's name in the inventory, with the guest's fields as variables. The guest's own name unless set.
      - Where two guests would have one name, each gets its host's name behind a dot.
    type: str
  group_by:
    description:
      - Which groups are made. V(backend) makes C(docker), V(host) C(host_NAME), V(state) C(state_running), V(label) C(label_KEY_VALUE).
    type: list
    elements: str
    choices: [backend, host, state, label]
    default: [backend, host, state, label]
  connect_timeout:
    description: How many seconds to wait for a connection to a host.
    type: int
    default: 10
  timeout:
    description: How many seconds a host may take for its answer once it is connected.
    type: int
    default: 60
  strict_hosts:
    description: Fail when a host does not answer.
    type: bool
    default: false
"""

EXAMPLES = r"""
# 20-guests.yml: everything that runs on the hosts of a group
plugin: kraal.virt.guests
host_groups: [virt_hosts]

---
# lab.guests.yml: this machine and another, only the web servers
plugin: kraal.virt.guests
hosts:
  - name: localhost
  - name: hypervisor
    address: 192.0.2.10
    user: admin
    become: true
query: "[?labels.role == 'web']"
hostname: "{{ name }}.{{ host }}"
compose:
  guest_memory: kraal_guest.memory
keyed_groups:
  - key: kraal_guest.image
    prefix: image
"""

import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.errors import AnsibleError, AnsibleParserError
from ansible.inventory.helpers import get_group_vars
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible.release import __version__ as core_version

from ansible_collections.kraal.virt.plugins.module_utils.backends.registry import backend
from ansible_collections.kraal.virt.plugins.module_utils.discovery import found_in, payload
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import KraalError

try:
    import jmespath
    import jmespath.exceptions
except ImportError:
    jmespath = None

GROUP = "kraal_guests"
_HOST_FIELDS = {
    "address": "ansible_host",
    "user": "ansible_user",
    "port": "ansible_port",
    "private_key_file": "ansible_ssh_private_key_file",
    "ssh_args": "ansible_ssh_common_args",
    "become": "ansible_become",
}


def shielded(value: Any) -> Any:
    """From core 2.19 on a string is no template unless it is marked as one; before, it is one unless it is wrapped."""
    if tuple(int(part) for part in core_version.split(".")[:2]) >= (2, 19):
        return value
    from ansible.utils.unsafe_proxy import wrap_var

    return wrap_var(value)


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    """Guests of hosts, by one discovery for each host."""

    NAME = "kraal.virt.guests"

    def verify_file(self, path: str) -> bool:
        """Only files that say by their name that they are meant."""
        return bool(super().verify_file(path)) and path.endswith(("guests.yml", "guests.yaml"))

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Ask, or take from the cache, and fill the inventory."""
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        key = self.get_cache_key(path)
        found = None
        if self.get_option("cache") and cache:
            found = self._cache.get(key)
        if found is None:
            found, complete = self._ask_all()
            if self.get_option("cache") and complete:
                # What a host did not say must not be remembered as "it has none".
                self._cache[key] = found
        self._fill(found)

    # Asking.

    def _ask_all(self) -> tuple[list[dict[str, Any]], bool]:
        """All guests with the way to reach them, and whether every host has answered."""
        hosts = [self._checked(host, {"name"}) for host in self.get_option("hosts")] + self._hosts_of_groups()
        endpoints = [self._checked(endpoint, {"name", "docker_host"}) for endpoint in self.get_option("endpoints")]
        program = payload(self.get_option("backends")) if hosts else ""
        asked: list[tuple[dict[str, Any], Callable[[], dict[str, Any]]]] = [
            (host, lambda host=host: self._ask_host(host, program)) for host in hosts  # type: ignore[misc]
        ]
        asked += [(endpoint, lambda endpoint=endpoint: self._ask_endpoint(endpoint)) for endpoint in endpoints]  # type: ignore[misc]
        guests, complete = [], True
        if not asked:
            return [], True
        with ThreadPoolExecutor(max_workers=len(asked)) as pool:
            answers = [(host, pool.submit(ask)) for host, ask in asked]
            for host, answer in answers:
                try:
                    found = answer.result()
                except KraalError as error:
                    if self.get_option("strict_hosts"):
                        raise AnsibleParserError("%s: %s" % (host["name"], error)) from error
                    self.display.warning("%s: %s Its guests are left out." % (host["name"], error))
                    complete = False
                    continue
                for warning in found["warnings"]:
                    self.display.warning("%s: %s" % (host["name"], warning))
                    complete = False
                guests += [{"guest": guest, "host": host["name"], "way": _way(host)} for guest in found["guests"]]
        return guests, complete

    @staticmethod
    def _checked(entry: Any, needed: set[str]) -> dict[str, Any]:
        known = {"name", "connection", "python", "backend", "docker_host", "tls_ca", "tls_cert", "tls_key", *_HOST_FIELDS}
        if not isinstance(entry, Mapping) or needed - set(entry) or set(entry) - known:
            raise AnsibleParserError(
                "hosts and endpoints: %r is not understood. Give a mapping with %s, and of %s what is needed." % (entry, sorted(needed), sorted(known))
            )
        return dict(entry)

    def _hosts_of_groups(self) -> list[dict[str, Any]]:
        found = []
        for name in self.get_option("host_groups"):
            group = self.inventory.groups.get(name)
            if group is None:
                self.display.warning("host_groups: there is no group %s in the inventory files that were read before this one." % name)
                continue
            for host in group.get_hosts():
                variables = {**get_group_vars(host.get_groups()), **host.get_vars()}
                own: dict[str, Any] = {"name": host.name}
                own.update({field: variables[key] for field, key in _HOST_FIELDS.items() if variables.get(key) is not None})
                if str(variables.get("ansible_python_interpreter", "auto")).startswith("/"):
                    own["python"] = variables["ansible_python_interpreter"]
                if variables.get("ansible_connection") == "local":
                    own["connection"] = "local"
                found.append(own)
        return found

    def _ask_host(self, host: dict[str, Any], program: str) -> dict[str, Any]:
        command = [*(["sudo", "-n"] if host.get("become") else []), str(host.get("python") or "/usr/bin/python3"), "-"]
        seconds = self.get_option("timeout")
        if is_local(host):
            if not Path(command[-2]).exists():
                command[-2] = sys.executable
        else:
            command = [*ssh_command(host, self.get_option("connect_timeout")), shlex.join(command)]
            seconds += self.get_option("connect_timeout")
        try:
            done = subprocess.run(command, input=program, capture_output=True, text=True, timeout=seconds, check=False, errors="replace")
        except subprocess.TimeoutExpired as error:
            raise KraalError("it gave no answer within %d seconds." % seconds) from error
        except OSError as error:
            raise KraalError("%s cannot be run: %s." % (command[0], error.strerror)) from error
        try:
            return found_in(done.stdout)
        except ValueError as error:
            said = done.stderr.strip().splitlines() or ["nothing was said"]
            raise KraalError("the discovery ended with code %d: %s." % (done.returncode, said[-1].rstrip("."))) from error

    def _ask_endpoint(self, endpoint: dict[str, Any]) -> dict[str, Any]:
        kind = backend(endpoint.get("backend", "docker"))
        defaults = {key: spec.get("default") for key, spec in kind.connection.items()}
        resource = kind.connect({**defaults, **{key: endpoint[key] for key in kind.connection if endpoint.get(key)}})
        seen = resource.observe(None)
        return {"guests": [resource.describe(name, seen) for name in resource.names(seen)], "warnings": []}

    # Filling.

    def _fill(self, found: list[dict[str, Any]]) -> None:
        states = self.get_option("states")
        chosen = self._query([entry for entry in found if entry["guest"]["state"] in states])
        self.inventory.add_group(GROUP)
        for name, entry in self._named(chosen):
            guest, host = entry["guest"], entry["host"]
            self.inventory.add_host(name, group=GROUP)
            variables = {
                "kraal_guest": guest,
                "kraal_host": host,
                "ansible_connection": "kraal.virt.guest",
                "ansible_host": guest["name"],
                "ansible_guest_backend": guest["backend"],
                **entry["way"],
            }
            for key, value in variables.items():
                self.inventory.set_variable(name, key, shielded(value))
            for group in self._groups(guest, host):
                safe = self._sanitize_group_name(group)
                self.inventory.add_group(safe)
                self.inventory.add_child(safe, name)
            strict = self.get_option("strict")
            self._set_composite_vars(self.get_option("compose"), variables, name, strict=strict)
            self._add_host_to_composed_groups(self.get_option("groups"), variables, name, strict=strict)
            self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, name, strict=strict)

    def _query(self, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        expression = self.get_option("query")
        if not expression:
            return entries
        if jmespath is None:
            raise AnsibleError("query needs the Python package jmespath on the controller. Install jmespath with pip, or python3-jmespath.")
        flat = [{**entry["guest"], "host": entry["host"], "position": number} for number, entry in enumerate(entries)]
        try:
            taken = jmespath.search(expression, json.loads(json.dumps(flat)))
        except jmespath.exceptions.JMESPathError as error:
            raise AnsibleParserError("query: %r is no JMESPath expression: %s" % (expression, error)) from error
        if not isinstance(taken, list) or not all(isinstance(guest, dict) and "position" in guest for guest in taken):
            raise AnsibleParserError("query: %r does not give a list of guests. Write a filter like [?labels.role == 'web']." % expression)
        return [entries[guest["position"]] for guest in taken]

    def _named(self, entries: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
        """Each guest with its name in the inventory, which is nobody else's."""
        template = self.get_option("hostname")
        plain = []
        for entry in entries:
            name = entry["guest"]["name"]
            if template:
                self.templar.available_variables = {**{key: shielded(value) for key, value in entry["guest"].items()}, "host": entry["host"]}
                name = str(self.templar.template(template))
            plain.append(name)
        named, used = [], set(self.inventory.hosts)
        for name, entry in zip(plain, entries, strict=True):
            own = name
            if plain.count(name) > 1 or name in self.inventory.hosts:
                own = "%s.%s" % (name, entry["host"])
                self.display.warning("%s is the name of more than one host: the guest on %s is %s in the inventory." % (name, entry["host"], own))
            if own in used:
                own = "%s.%s" % (own, entry["guest"]["backend"])
            if own in used:
                raise AnsibleParserError("two guests are %s in the inventory. Set hostname to a template that tells them apart." % own)
            used.add(own)
            named.append((own, entry))
        return named

    def _groups(self, guest: Mapping[str, Any], host: str) -> list[str]:
        by = self.get_option("group_by")
        groups = [guest["backend"]] if "backend" in by else []
        groups += ["host_%s" % host] if "host" in by else []
        groups += ["state_%s" % guest["state"]] if "state" in by else []
        # Our own notes on an image's origin stand in labels too; they group nothing.
        labels = sorted(pair for pair in guest["labels"].items() if not pair[0].startswith("kraal.virt."))
        groups += ["label_%s_%s" % pair for pair in labels] if "label" in by else []
        return groups


def is_local(host: Mapping[str, Any]) -> bool:
    """Whether that host is this machine."""
    return (host.get("connection") or ("local" if host["name"] == "localhost" and not host.get("address") else "ssh")) == "local"


def ssh_command(host: Mapping[str, Any], connect_timeout: int) -> list[str]:
    """ssh to that host, which never asks anything. No ControlMaster: its background process would keep our pipes open."""
    command = ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=%d" % connect_timeout]
    if not constants.HOST_KEY_CHECKING:
        command += ["-o", "StrictHostKeyChecking=no"]
    for flag, key in (("-l", "user"), ("-p", "port"), ("-i", "private_key_file")):
        if host.get(key):
            command += [flag, str(host[key])]
    return [*command, *shlex.split(str(host.get("ssh_args") or "")), "--", str(host.get("address") or host["name"])]


def _way(host: Mapping[str, Any]) -> dict[str, Any]:
    """The variables with which the connection plugin finds the guest's host."""
    if "docker_host" in host:
        fields = {"docker_host": "docker_host", "tls_ca": "tls_ca", "tls_cert": "tls_cert", "tls_key": "tls_key"}
        return {"ansible_guest_host_connection": "local", **{"ansible_guest_" + key: host[field] for key, field in fields.items() if host.get(field)}}
    if is_local(host):
        way: dict[str, Any] = {"ansible_guest_host_connection": "local"}
    else:
        way = {"ansible_guest_host_connection": "ssh", "ansible_guest_host_address": host.get("address") or host["name"]}
        way.update({"ansible_guest_host_" + key: host[key] for key in ("user", "port", "private_key_file", "ssh_args") if host.get(key)})
    return {**way, "ansible_guest_host_become": True} if host.get("become") else way
