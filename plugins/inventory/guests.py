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
    reached by the connection plugin P(kraal.virt.guest#connection), or, as a virtual machine that has an address, by
    ssh. A virtual machine without one is reached through its guest agent.
  - The discovery is sent to each host and run there by its own Python, in one round trip. Nothing is installed or
    written there.
  - A host that does not answer is a warning, not a failure, unless O(strict_hosts) says so.
  - Every guest is in the group C(kraal_guests), and in the groups that O(group_by) chooses.
  - What a guest says of itself, like its labels, is never evaluated as a template. A guest never takes the name of a
    host or group that the inventory has already, nor C(localhost).
  - What a host answers is read strictly. A guest that is not of the form in which the modules return one (its backend,
    an id of that backend, a name that prints, addresses that are addresses) is left out, and a warning names it and its
    host. What is not an answer at all is treated like a host that does not answer.
notes:
  - The name of the file must end with C(guests.yml) or C(guests.yaml).
  - Files in an inventory folder are read in the order of their names. With O(host_groups), this file must come after
    the one with the hosts, for example as C(20-guests.yml) after C(10-hosts.yml).
extends_documentation_fragment:
  - ansible.builtin.constructed
  - ansible.builtin.inventory_cache
  - kraal.virt.backends
  - kraal.virt.kvm.addresses
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
        description:
          - How the host is reached. V(local) for C(localhost) unless said otherwise.
          - C(ssh) is run with the configuration of the user who reads the inventory, and never asks for anything.
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
      - Ask the hosts of these groups of the inventory too. They are reached as their variables in the inventory files
        say, C(ansible_host), C(ansible_user), C(ansible_port), C(ansible_connection), C(ansible_ssh_private_key_file),
        C(ansible_ssh_common_args), C(ansible_python_interpreter), C(ansible_become) and C(ansible_become_method), those
        in C(group_vars) and C(host_vars) folders included.
      - A host with C(ansible_become) is asked through C(sudo -n), its only method here that needs no password.
    type: list
    elements: str
    default: []
  endpoints:
    description: Engines to ask from here, without a host to log in to.
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
        description: The engine's address, like C(tcp://192.0.2.10:2376), C(ssh://root@192.0.2.10) or
          C(unix:///run/user/1000/docker.sock).
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
  states:
    default: [running]
  query:
    description:
      - A JMESPath expression that gets the list of guests and returns those to take.
        A guest has the fields C(name), C(backend), C(place), C(host), C(state), C(raw_state), C(image), C(cpus),
        C(memory), C(addresses), C(labels), C(autostart).
      - Needs the Python package jmespath.
    type: str
  hostname:
    description:
      - A template for the guest's name in the inventory, with the guest's fields as variables. The guest's own name
        unless set.
      - Characters that a pattern of hosts could not name are replaced by an underscore.
      - Where two guests would have one name, or a guest that of a host or group, each gets its host's name behind a
        dot, and a warning says so. Where one host has two of them, its backend follows too, and where that is the same,
        its place unless that is the host's own default (V(web.host.lxc) and V(web.host.lxc.srv_lxc)), and where that is
        the same too, a digest of its id.
    type: str
  group_by:
    description:
      - Which groups are made. V(backend) makes one with the backend's name, V(host) C(host_NAME), V(state)
        C(state_running), V(label) C(label_KEY_VALUE).
      - A label whose value is longer than 63 characters makes no group.
    type: list
    elements: str
    choices: [backend, host, state, label]
    default: [backend, host, state, label]
  connect_timeout:
    description: How many seconds to wait for a connection to a host.
    type: int
    default: 10
  timeout:
    description:
      - How many seconds a host, or an endpoint, may take for its answer once it is connected.
      - The backends of a host are asked side by side and have four fifths of that time. Of one that does not answer in
        it a warning tells, and the guests of the others are listed. What the question has started on the host ends with
        the time.
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
import re
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any

from ansible import constants
from ansible.errors import AnsibleError, AnsibleParserError
from ansible.inventory.helpers import get_group_vars
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible.release import __version__ as core_version
from ansible.utils.vars import combine_vars
from ansible.vars.plugins import get_vars_from_inventory_sources

from ansible_collections.kraal.virt.plugins.module_utils.backends.registry import BACKENDS, NAMES, backend
from ansible_collections.kraal.virt.plugins.module_utils.discovery import Question, answers, payload
from ansible_collections.kraal.virt.plugins.module_utils.engine.addresses import reachable
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import KraalError
from ansible_collections.kraal.virt.plugins.module_utils.host.packages import install
from ansible_collections.kraal.virt.plugins.module_utils.places import read_places
from ansible_collections.kraal.virt.plugins.plugin_utils import hosts as known_hosts
from ansible_collections.kraal.virt.plugins.plugin_utils.answer import read

try:
    import jmespath
    import jmespath.exceptions
except ImportError:
    jmespath = None

GROUP = "kraal_guests"
#: Ansible's own names for this machine: a guest of such a name would be taken for it.
RESERVED = frozenset(("localhost", "127.0.0.1", "::1"))
LONGEST_VALUE = 63

#: A guest as found, the name of its host, and the variables with which it is reached: plain data, which the cache
#: keeps.
Entry = dict[str, Any]


def shielded(value: Any) -> Any:
    """From core 2.19 on a string is not a template unless it is marked as one; before, it is one unless it is
    wrapped.
    """
    if tuple(int(part) for part in core_version.split(".")[:2]) >= (2, 19):
        return value
    if isinstance(value, Mapping):
        return {key: shielded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shielded(inner) for inner in value]
    if isinstance(value, str) and "{" in value:
        from ansible.utils.unsafe_proxy import wrap_var

        return wrap_var(value)
    return value


def plain(name: str) -> str:
    """A name that a pattern of hosts can name: without spaces, commas, colons, brackets, braces."""
    return re.sub(r"^-|[^\w.-]", "_", name) or "_"


def _longer(name: str, entry: Entry) -> tuple[str, ...]:
    """What a guest is called where that name is not its alone.

    With its host, its backend, its place and a digest of its id behind it, each where the one before is not enough.
    """
    host, guest = "{}.{}".format(name, entry["host"]), entry["guest"]
    kind = "{}.{}".format(host, guest["backend"])
    # The default has no word for it, so of two guests the one that is there keeps the shorter name.
    place = ".".join(filter(None, (kind, re.sub(r"[^\w.-]+", "_", guest["place"]).strip("_"))))
    digest = sha256(guest["id"].encode()).hexdigest()[:8]
    return plain(host), plain(kind), plain(place), plain(f"{place}.{digest}"), ""


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

    def _ask_all(self) -> tuple[list[Entry], bool]:
        """All guests with the way to reach them, and whether every host has answered."""
        hosts, problems = self._hosts_of_groups()
        try:
            named = [
                known_hosts.checked("hosts", host, known_hosts.HOST, {"name"}) for host in self.get_option("hosts")
            ]
            endpoints = [known_hosts.endpoint(host) for host in self.get_option("endpoints")]
            places = [(place.backend, place.connection) for place in read_places(self.get_option("places"), set())]
        except KraalError as error:
            raise AnsibleParserError(str(error)) from error
        twice = [name for name, times in Counter(host["name"] for host in (*named, *endpoints)).items() if times > 1]
        if twice:
            raise AnsibleParserError(
                "hosts and endpoints: {} stands there twice. Give each a name of its own.".format(", ".join(twice))
            )
        # Who stands in the file too, is reached as it says there.
        named += [host for host in hosts if host["name"] not in {each["name"] for each in (*named, *endpoints)}]
        backends = self.get_option("backends") or NAMES
        told = self._discovery_options()
        program = payload(backends, told, places, self.get_option("timeout")) if named else ""
        asks: list[tuple[dict[str, Any], Callable[[], Any]]] = [(host, self._asker(host, program)) for host in named]
        asks += [(endpoint, self._endpoint_asker(endpoint)) for endpoint in endpoints]
        guests, complete = [], True
        with ThreadPoolExecutor(max_workers=max(len(asks), 1)) as pool:
            answers = [(host, pool.submit(ask)) for host, ask in asks]
            for host, answer in answers:
                try:
                    endpoint = known_hosts.is_endpoint(host)
                    found, warnings = read(answer.result(), [host["backend"]] if endpoint else backends)
                except KraalError as error:
                    problems[host["name"]] = error
                    continue
                for warning in warnings:
                    self.display.warning("{}: {}".format(host["name"], warning))
                    complete = False
                way = known_hosts.way_to(host)
                guests += [{"guest": guest, "host": host["name"], "way": way} for guest in found]
        for name, problem in problems.items():
            if self.get_option("strict_hosts"):
                raise AnsibleParserError(f"{name}: {problem}") from problem
            self.display.warning("{}: {} Its guests are left out.".format(name, str(problem).rstrip(".") + "."))
        return guests, complete and not problems

    def _hosts_of_groups(self) -> tuple[list[dict[str, Any]], dict[str, KraalError]]:
        """The hosts of ``host_groups``, and why some of them cannot be asked."""
        found: dict[str, dict[str, Any]] = {}
        problems = {}
        for name in self.get_option("host_groups"):
            group = self.inventory.groups.get(name)
            if group is None:
                self.display.warning(
                    f"host_groups: there is no group {name} in the inventory files that were read before this one. Correct the "
                    "name; or, as the files of a folder are read in the order of their names, give this file one that comes "
                    "later, such as 20-guests.yml, or name the file of the hosts before it."
                )
                continue
            for host in group.get_hosts():
                if "kraal_guest" in host.vars:
                    # A guest that another of these files put into that group.
                    continue
                try:
                    found[host.name] = known_hosts.from_variables(host.name, self._variables(host))
                except KraalError as error:
                    problems[host.name] = error
        return list(found.values()), problems

    def _variables(self, host: Any) -> dict[str, Any]:
        """What says how a host is reached, evaluated: who wrote the inventory may well use a variable in a variable."""
        groups, sources = host.get_groups(), getattr(self.inventory, "processed_sources", [])
        found = get_group_vars(groups)
        for more in (
            get_vars_from_inventory_sources(self.loader, sources, groups, "all"),
            host.get_vars(),
            get_vars_from_inventory_sources(self.loader, sources, [host], "all"),
        ):
            found = combine_vars(found, more)
        self.templar.available_variables = found
        wanted = [key for key in known_hosts.VARIABLES.values() if key in found]
        try:
            return {key: self.templar.template(found[key]) for key in wanted}
        except AnsibleError as error:
            raise KraalError(f"how it is reached cannot be read: {error}", remedy="Correct its variables") from error

    def _discovery_options(self) -> dict[str, Any]:
        """What the discovery is told."""
        return {key: self.get_option(key) for each in BACKENDS.values() for key in each.discovery}

    def _asker(self, host: Mapping[str, Any], program: str) -> Callable[[], Any]:
        return lambda: known_hosts.ask(
            host,
            program,
            timeout=self.get_option("timeout"),
            connect_timeout=self.get_option("connect_timeout"),
            host_key_checking=constants.HOST_KEY_CHECKING,
        )

    def _endpoint_asker(self, endpoint: Mapping[str, Any]) -> Callable[[], Any]:
        connect_timeout = self.get_option("connect_timeout")
        told = {**self._discovery_options(), "connect_timeout": connect_timeout}
        question = Question(endpoint["backend"], told, endpoint)

        def ask() -> dict[str, Any]:
            (found,) = answers([question], self.get_option("timeout") + connect_timeout)
            if isinstance(found, KraalError):
                raise found
            return {
                "guests": [guest.as_dict() for guest in found.guests],
                "warnings": [str(fault) for fault in found.faults],
            }

        return ask

    # Filling.

    def _fill(self, found: list[Entry]) -> None:
        states = self.get_option("states")
        chosen = self._query([entry for entry in found if entry["guest"]["state"] in states])
        groups = [[self._sanitize_group_name(group) for group in self._groups(entry)] for entry in chosen]
        names = self._names(chosen, {GROUP, *(name for own in groups for name in own)})
        strict = self.get_option("strict")
        self.inventory.add_group(GROUP)
        for name in sorted({name for own in groups for name in own}):
            self.inventory.add_group(name)
        for name, own, entry in zip(names, groups, chosen, strict=True):
            if not name:
                continue
            guest = entry["guest"]
            self.inventory.add_host(name, group=GROUP)
            variables = shielded(
                {
                    "kraal_guest": guest,
                    "kraal_host": entry["host"],
                    **self._reached(guest),
                    "ansible_guest_name": guest["name"],
                    "ansible_guest_backend": guest["backend"],
                    **backend(guest["backend"]).reach(guest),
                    **entry["way"],
                }
            )
            for key, value in variables.items():
                self.inventory.set_variable(name, key, value)
            for group in own:
                self.inventory.add_child(group, name)
            self._set_composite_vars(self.get_option("compose"), variables, name, strict=strict)
            self._add_host_to_composed_groups(self.get_option("groups"), variables, name, strict=strict)
            self._add_to_keyed_groups(variables, name, strict)

    def _add_to_keyed_groups(self, variables: dict[str, Any], name: str, strict: bool) -> None:
        """Each key by itself: a key that is a number or true is an error of Ansible's whatever `strict` says
        (ansible-core 2.19), and the other groups and guests would be lost with it.
        """
        for keyed in self.get_option("keyed_groups"):
            try:
                self._add_host_to_keyed_groups([keyed], variables, name, strict=strict)
            except AnsibleParserError as error:
                if strict:
                    raise
                key = keyed.get("key")
                self.display.warning(
                    f"keyed_groups: {key!r} makes no group for {name}: {error.message}. "
                    f'For a number, or for true and false, write "{key} | string".'
                )

    @staticmethod
    def _reached(guest: Mapping[str, Any]) -> dict[str, str]:
        """A virtual machine by its own sshd, when it has an address; without one, and what shares the host's kernel,
        through the host.
        """
        addresses = guest["addresses"] if backend(guest["backend"]).machines else ()
        found = next(filter(None, (reachable(each["address"]) for each in addresses)), None)
        if found is not None:
            return {"ansible_connection": "ansible.builtin.ssh", "ansible_host": str(found)}
        return {"ansible_connection": "kraal.virt.guest", "ansible_host": guest["name"]}

    def _query(self, entries: list[Entry]) -> list[Entry]:
        expression = self.get_option("query")
        if not expression:
            return entries
        if jmespath is None:
            raise AnsibleError(
                "query needs the Python package jmespath on the controller. {}, or jmespath with pip.".format(
                    install("python:jmespath")
                )
            )
        flat = [{**entry["guest"], "host": entry["host"], "position": number} for number, entry in enumerate(entries)]
        try:
            taken = jmespath.search(expression, json.loads(json.dumps(flat)))
        except jmespath.exceptions.JMESPathError as error:
            raise AnsibleParserError(f"query: {expression!r} is no JMESPath expression: {error}") from error
        if not isinstance(taken, list) or not all(isinstance(guest, dict) and "position" in guest for guest in taken):
            raise AnsibleParserError(
                f"query: {expression!r} does not give a list of guests. Write a filter like [?labels.role == 'web']."
            )
        return [entries[position] for position in dict.fromkeys(guest["position"] for guest in taken)]

    def _names(self, entries: list[Entry], groups: set[str]) -> list[str]:
        """For each guest a name in the inventory that is nobody else's: with as much behind it as that takes, and the
        same at every run.

        Empty for a guest that nothing tells from another one.
        """
        own = [plain(self._own_name(entry)) for entry in entries]
        choices = [(name, *_longer(name, entry)) for name, entry in zip(own, entries, strict=True)]
        level = [0] * len(entries)
        taken = groups | RESERVED | set(self.inventory.groups)
        while True:
            names = [choice[at] for choice, at in zip(choices, level, strict=True)]
            times = Counter(names)
            clashing = [
                n
                for n, name in enumerate(names)
                if name and (times[name] > 1 or name in taken or self._is_another(name, entries[n]))
            ]
            if not clashing:
                break
            for number in clashing:
                level[number] += 1
        for name, at, first, entry in zip(names, level, own, entries, strict=True):
            if at:
                said = "%s is the name of something else in the inventory too: the %s guest on %s is %s there."
                self.display.warning(said % (first, entry["guest"]["backend"], entry["host"], name or "left out"))
        return names

    def _own_name(self, entry: Entry) -> str:
        template = self.get_option("hostname")
        if not template:
            return str(entry["guest"]["name"])
        self.templar.available_variables = shielded({**entry["guest"], "host": entry["host"]})
        try:
            return str(self.templar.template(template))
        except AnsibleError as error:
            raise AnsibleParserError(
                "hostname: {!r} gives no name for {}: {}".format(template, entry["guest"]["name"], error)
            ) from error

    def _is_another(self, name: str, entry: Entry) -> bool:
        """Whether the inventory has a host of that name which is not this very guest, found by another file."""
        host = self.inventory.hosts.get(name)
        if host is None:
            return False
        there = host.vars.get("kraal_guest") or {}
        return (there.get("backend"), there.get("id"), host.vars.get("kraal_host")) != (
            entry["guest"]["backend"],
            entry["guest"]["id"],
            entry["host"],
        )

    def _groups(self, entry: Entry) -> list[str]:
        by, guest = self.get_option("group_by"), entry["guest"]
        groups = [guest["backend"]] if "backend" in by else []
        groups += ["host_{}".format(entry["host"])] if "host" in by else []
        groups += ["state_{}".format(guest["state"])] if "state" in by else []
        # Our own notes on an image's origin stand in labels too; they group nothing.
        labels = sorted(
            pair
            for pair in guest["labels"].items()
            if not pair[0].startswith("kraal.virt.") and len(pair[1]) <= LONGEST_VALUE
        )
        groups += ["label_{}_{}".format(*pair) for pair in labels] if "label" in by else []
        return groups
