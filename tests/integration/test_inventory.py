# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory of guests, from the real daemon, as `ansible-inventory` and plays see it."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import docker
import pytest
import yaml

from tests.support.ansible_runner import Run, execute, run_adhoc, run_inventory, run_playbook
from tests.support.daemons import SecondDaemon
from tests.support.images import import_image
from tests.support.leftovers import remove
from tests.support.paths import ROOT
from tests.support.proxy import RecordingProxy

HERE = {"name": "localhost"}


class Guests:
    """Containers of this file's tests: two that run, one that does not, one on its way to replace another, and one
    that means harm.
    """

    def __init__(self, client: docker.APIClient, prefix: str, image: str, proof: Path) -> None:
        self.client, self.prefix, self.image = client, f"{prefix}i-", image
        self.evil = f"{{{{ lookup('ansible.builtin.pipe', 'touch {proof}') }}}}"
        self.create("web", labels={"tier": "web"}, memory=32 * 1024 * 1024)
        self.create("db", labels={"tier": "data"})
        self.create("off", start=False)
        self.create("web.kraal-new", start=False)
        self.create(
            "evil", labels={"note": self.evil, self.evil: "x"}, environment={"NOTE": self.evil}, hostname="evil"
        )

    def __call__(self, name: str) -> str:
        return self.prefix + name

    def create(self, name: str, *, start: bool = True, memory: int | None = None, **options: Any) -> None:
        config = self.client.create_host_config(mem_limit=memory)
        made = self.client.create_container(self.image, name=self(name), host_config=config, **options)
        if start:
            self.client.start(made["Id"])

    def query(self) -> str:
        """Nobody else's guests: the daemon is shared."""
        return f"[?starts_with(name, '{self.prefix}')]"


@pytest.fixture(scope="module")
def proof(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that exists once something that a guest says was evaluated."""
    return tmp_path_factory.mktemp("proof") / "evaluated"


@pytest.fixture(scope="module")
def guests(docker_api: docker.APIClient, prefix: str, base_image: str, proof: Path) -> Iterator[Guests]:
    made = Guests(docker_api, prefix, base_image, proof)
    yield made
    remove(docker_api, made.prefix)


@pytest.fixture
def source(tmp_path: Path, guests: Guests) -> Any:
    """Writes an inventory file of our guests on this machine; its path."""

    def write(name: str = "guests.yml", **config: Any) -> Path:
        path = tmp_path / name
        path.write_text(
            yaml.safe_dump(
                {"plugin": "kraal.virt.guests", "hosts": [HERE], "query": guests.query(), "strict": True, **config}
            )
        )
        return path

    return write


def listed(run: Run) -> dict[str, Any]:
    assert run.rc == 0, run.output
    data: dict[str, Any] = json.loads(run.stdout, object_hook=bare)
    return data


def bare(value: dict[str, Any]) -> Any:
    """Core 2.19 and later print a string that is never evaluated in a wrapping of its own."""
    return value["__ansible_unsafe"] if set(value) == {"__ansible_unsafe"} else value


def hosts_of(run: Run) -> dict[str, dict[str, Any]]:
    variables: dict[str, dict[str, Any]] = listed(run)["_meta"]["hostvars"]
    return variables


def words(text: str) -> str:
    """Ansible breaks its messages into lines where it likes."""
    return " ".join(text.split())


def test_guests_of_this_machine(source: Any, guests: Guests, docker_api: docker.APIClient) -> None:
    data = listed(run_inventory(source(), "--list"))
    assert set(data["_meta"]["hostvars"]) == {guests("web"), guests("db"), guests("evil")}
    web = data["_meta"]["hostvars"][guests("web")]
    inspected = docker_api.inspect_container(guests("web"))
    assert web["ansible_connection"] == "kraal.virt.guest"
    assert web["kraal_host"] == "localhost"
    assert web["kraal_guest"] == {
        "name": guests("web"),
        "backend": "docker",
        "id": inspected["Id"],
        "state": "running",
        "raw_state": "running",
        "image": inspected["Config"]["Image"],
        "cpus": None,
        "memory": "32MiB",
        "addresses": [
            {
                "address": inspected["NetworkSettings"]["Networks"]["bridge"]["IPAddress"],
                "family": "ipv4",
                "network": "bridge",
                "mac": inspected["NetworkSettings"]["Networks"]["bridge"]["MacAddress"],
            }
        ],
        "labels": {"tier": "web"},
        "autostart": False,
        "pending_restart": [],
        "place": "",
    }
    assert guests("web") in data["label_tier_web"]["hosts"]
    for group in ("kraal_guests", "docker", "host_localhost", "state_running"):
        assert set(data[group]["hosts"]) == set(data["_meta"]["hostvars"])
    assert not any(
        host["ansible_connection"] in ("local", "ansible.builtin.local") for host in data["_meta"]["hostvars"].values()
    )


def test_stopped_guests_when_they_are_asked_for(source: Any, guests: Guests) -> None:
    """Never a container that is on its way to replace another."""
    assert set(hosts_of(run_inventory(source(states=["stopped"]), "--list"))) == {guests("off")}


def test_the_labels_of_an_image_are_none_of_its_guest(
    source: Any, guests: Guests, docker_api: docker.APIClient
) -> None:
    """Who made the image would choose the groups of a guest, and so its variables."""
    image = guests("labelled")
    changes = ["LABEL tier=theirs", "LABEL kt.role=db", "LABEL kt.same=1"]
    docker_api.commit(guests("off"), image, changes=changes)
    made = docker_api.create_container(image, name=guests("theirs"), labels={"tier": "own", "kt.same": "2"})
    data = listed(run_inventory(source(states=["stopped"]), "--list"))
    assert data["_meta"]["hostvars"][guests("theirs")]["kraal_guest"]["labels"] == {"tier": "own", "kt.same": "2"}
    groups = [name for name, group in data.items() if guests("theirs") in group.get("hosts", ())]
    assert sorted(name for name in groups if name.startswith("label_")) == ["label_kt_same_2", "label_tier_own"]
    docker_api.remove_container(made, force=True)


def test_graph(source: Any, guests: Guests) -> None:
    run = run_inventory(source(), "--graph", "label_tier_data")
    assert run.stdout.splitlines() == ["@label_tier_data:", f"  |--{guests('db')}"]


def test_what_guests_say_is_not_evaluated(source: Any, guests: Guests, proof: Path, tmp_path: Path) -> None:
    note = "kraal_guest.labels.note | default('none')"
    inventory = source(compose={"note": note, "said": f"{note} ~ '.'"}, keyed_groups=[{"key": note}])
    play = [
        {
            "hosts": guests("evil"),
            "gather_facts": False,
            "vars": {"again": "{{ note }}"},
            "tasks": [
                {"name": "say", "ansible.builtin.debug": {"msg": "{{ again }} {{ kraal_guest }} {{ said }}"}},
                {
                    "name": "keep",
                    "ansible.builtin.set_fact": {"kept": "{{ hostvars[inventory_hostname].kraal_guest.labels.note }}"},
                },
                {"name": "say it again", "ansible.builtin.debug": {"var": "kept"}},
                {
                    "name": "write",
                    "ansible.builtin.copy": {"content": "{{ note }}", "dest": str(tmp_path / "note")},
                    "delegate_to": "localhost",
                },
            ],
        }
    ]
    (tmp_path / "play.yml").write_text(yaml.safe_dump(play))
    run = run_playbook(tmp_path / "play.yml", inventory)
    assert [result.failed for result in run.results] == [False] * 4, run.output
    assert (tmp_path / "note").read_text() == guests.evil
    assert not proof.exists()


def test_composed_and_keyed(source: Any, guests: Guests) -> None:
    inventory = source(
        compose={"ansible_host": "kraal_guest.addresses[0].address"},
        keyed_groups=[{"key": "kraal_guest.memory or 'unlimited'", "prefix": "memory"}],
        groups={"heavy": "kraal_guest.memory == ''"},
        hostname="{{ name }}.{{ host }}",
        group_by=[],
    )
    data = listed(run_inventory(inventory, "--list"))
    assert data["memory_32MiB"]["hosts"] == [guests("web.localhost")]
    assert set(data["heavy"]["hosts"]) == {guests("db.localhost"), guests("evil.localhost")}
    assert data["_meta"]["hostvars"][guests("web.localhost")]["ansible_host"].count(".") == 3
    assert "docker" not in data


def test_a_key_that_is_a_number_takes_no_guest_away(source: Any, guests: Guests) -> None:
    key = "kraal_guest.addresses | length"
    inventory = source(
        keyed_groups=[{"key": key, "prefix": "n"}, {"key": f"({key}) | string", "prefix": "text"}], strict=False
    )
    run = run_inventory(inventory, "--list")
    data = listed(run)
    assert guests("web") in data["text_1"]["hosts"]
    assert not [group for group in data if group.startswith("n_")]
    assert f"keyed_groups: '{key}' makes no group for {guests('web')}" in words(run.stderr)
    assert f'write "{key} | string"' in words(run.stderr)


def test_query_without_jmespath(source: Any, tmp_path: Path) -> None:
    (tmp_path / "jmespath.py").write_text("raise ImportError('not here')\n")
    run = run_inventory(
        source(), "--list", env={"PYTHONPATH": str(tmp_path), "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1"}
    )
    assert run.rc != 0
    assert "query needs the Python package jmespath" in words(run.stderr)


def test_cache(source: Any, guests: Guests, tmp_path: Path) -> None:
    """Kept until it is flushed or refreshed; a new guest shows only then."""
    inventory = source(
        cache=True, cache_plugin="ansible.builtin.jsonfile", cache_connection=str(tmp_path / "cache"), cache_timeout=600
    )
    before = hosts_of(run_inventory(inventory, "--list"))
    guests.create("new")
    try:
        assert hosts_of(run_inventory(inventory, "--list")) == before
        play = [
            {
                "hosts": "localhost",
                "gather_facts": False,
                "tasks": [
                    {"name": "before", "ansible.builtin.debug": {"msg": "{{ groups.kraal_guests | sort }}"}},
                    {"name": "refresh", "ansible.builtin.meta": "refresh_inventory"},
                    {"name": "after", "ansible.builtin.debug": {"msg": "{{ groups.kraal_guests | sort }}"}},
                ],
            }
        ]
        (tmp_path / "play.yml").write_text(yaml.safe_dump(play))
        run = run_playbook(tmp_path / "play.yml", inventory)
        assert [result.json["msg"] for name in ("before", "after") for result in run.of(name)] == [
            sorted(before),
            sorted([*before, guests("new")]),
        ]
    finally:
        guests.client.remove_container(guests("new"), force=True)
    # What was read by the refresh is what is kept now.
    assert guests("new") in hosts_of(run_inventory(inventory, "--list"))
    assert set(hosts_of(run_inventory(inventory, "--list", "--flush-cache"))) == set(before)


def test_cached_guests_are_not_evaluated_either(source: Any, guests: Guests, proof: Path, tmp_path: Path) -> None:
    cache = {"cache": True, "cache_plugin": "ansible.builtin.jsonfile", "cache_connection": str(tmp_path / "cache")}
    inventory = source(compose={"note": "kraal_guest.labels.note | default('')"}, **cache)
    for dummy in range(2):
        assert hosts_of(run_inventory(inventory, "--list"))[guests("evil")]["note"] == guests.evil
    run = run_adhoc(guests("evil"), "ansible.builtin.debug", "msg={{note}}", inventory=inventory)
    assert [result.msg for result in run.results] == [guests.evil], run.output
    assert not proof.exists()


def test_a_host_that_is_dead_is_a_warning(source: Any, guests: Guests) -> None:
    config = {"hosts": [HERE, {"name": "dead", "address": "127.0.0.1", "port": 1}], "connect_timeout": 2}
    run = run_inventory(source(**config), "--list")
    assert set(hosts_of(run)) == {guests("web"), guests("db"), guests("evil")}
    assert "dead: no connection" in words(run.stderr) and "Its guests are left out" in words(run.stderr)
    run = run_inventory(
        source(strict_hosts=True, **config), "--list", env={"ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1"}
    )
    assert run.rc != 0
    assert "dead: no connection" in words(run.stderr)


def test_a_host_that_lies_spoils_nothing_but_its_own(source: Any, guests: Guests, tmp_path: Path) -> None:
    """Whatever it answers, it names no group, no option of ssh and no host of the inventory, and the guests of the
    others stay.
    """
    vm = {
        "name": "vm",
        "backend": "kvm",
        "id": "6f1d5e0a-3c0b-4f0e-9a3d-1b2c3d4e5f60",
        "state": "running",
        "image": "",
        "cpus": 1,
        "memory": "1GiB",
    }
    vm |= {
        "raw_state": "running",
        "addresses": [],
        "labels": {},
        "autostart": False,
        "pending_restart": [],
        "place": "",
    }
    address = {"address": "-oSendEnv=KT_HARMLESS", "family": "ipv4", "network": "", "mac": ""}
    strange = [
        {},
        {**vm, "backend": "bosses"},
        {**vm, "id": "x -o SendEnv=KT_HARMLESS"},
        {**vm, "addresses": [address]},
        {**vm, "name": "\x1b[31m"},
    ]
    liars = []
    for name, document in {
        "liar": {"guests": [*strange, vm], "warnings": ["\x1b]0;owned\x07"]},
        "mad": {"guests": [{}]},
    }.items():
        python = tmp_path / f"python-{name}"
        (tmp_path / name).write_text("kraal.virt discovery: " + json.dumps(document) + "\n")
        python.write_text(f"#!/bin/sh\ncat > /dev/null\nexec cat {tmp_path / name}\n")
        python.chmod(0o755)
        liars.append({"name": name, "connection": "local", "python": str(python)})
    query = guests.query().replace("[?", "[?host == 'liar' || ")
    run = run_inventory(source(hosts=[*liars, HERE], query=query), "--list")
    data = listed(run)
    assert set(data["_meta"]["hostvars"]) == {guests("web"), guests("db"), guests("evil"), "vm"}
    assert "bosses" not in data and "KT_HARMLESS" not in run.stdout
    assert data["_meta"]["hostvars"]["vm"]["ansible_connection"] == "kraal.virt.guest"
    said = words(run.stderr)
    assert "mad: its answer is none" in said and "liar: kvm guest vm is left out: its addresses" in said
    assert "\\x1b]0;owned" in said and "\x1b]" not in said


def test_the_examples_variables_give_ssh_nothing_but_a_uuid(tmp_path: Path) -> None:
    uuid = "6f1d5e0a-3c0b-4f0e-9a3d-1b2c3d4e5f60"
    hosts = {"vm": {"kraal_guest": {"id": uuid}}, "odd": {"kraal_guest": {"id": uuid + " -o SendEnv=KT_HARMLESS"}}}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"kvm": {"hosts": hosts}}))
    (tmp_path / "group_vars").symlink_to(ROOT / "playbooks" / "inventory" / "group_vars")
    run = run_adhoc("all", "ansible.builtin.debug", "msg={{ansible_ssh_common_args}}", inventory=tmp_path / "hosts.yml")
    said = {result.host: result.msg for result in run.results}
    assert f"HostKeyAlias={uuid} -o StrictHostKeyChecking=accept-new" in said["vm"], run.output
    assert "KT_HARMLESS" not in said["odd"]


def test_what_a_dead_host_did_not_say_is_not_cached(source: Any, guests: Guests, tmp_path: Path) -> None:
    config: dict[str, Any] = {
        "cache": True,
        "cache_plugin": "ansible.builtin.jsonfile",
        "cache_connection": str(tmp_path / "cache"),
    }
    run_inventory(source(hosts=[HERE, {"name": "dead", "address": "127.0.0.1", "port": 1}], **config), "--list")
    guests.create("late")
    try:
        assert guests("late") in hosts_of(run_inventory(source(**config), "--list"))
    finally:
        guests.client.remove_container(guests("late"), force=True)


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"hosts": [{"address": "192.0.2.1"}]}, "lacks name"),
        ({"hosts": [{"name": "a", "adress": "192.0.2.1"}]}, "does not have adress"),
        ({"hosts": [HERE, HERE]}, "localhost stands there twice"),
        ({"endpoints": [{"name": "a"}]}, "lacks docker_host"),
        ({"states": ["dead"]}, "dead"),
        ({"backends": ["podman"]}, "podman"),
        ({"hostname": "{{ nothing }}"}, "gives no name"),
        ({"query": "[?"}, "is no JMESPath expression"),
    ],
)
def test_bad_configuration(source: Any, config: Mapping[str, Any], why: str) -> None:
    run = run_inventory(source(**config), "--list", env={"ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1"})
    assert run.rc != 0
    assert why in words(run.stderr)


def test_hosts_of_a_group_are_asked_as_their_variables_say(source: Any, guests: Guests, tmp_path: Path) -> None:
    """Also with what stands in group_vars, and with a variable in a variable."""
    hosts = {"here": {"ansible_python_interpreter": "{{ python }}"}, "away": {}, "odd": {}}
    (tmp_path / "10-hosts.yml").write_text(
        yaml.safe_dump({"virt_hosts": {"hosts": hosts, "vars": {"python": "/usr/bin/python3"}}})
    )
    for name, variables in {
        "group_vars/virt_hosts.yml": {"ansible_connection": "local"},
        "host_vars/away.yml": {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1},
        "host_vars/odd.yml": {"ansible_connection": "community.docker.docker"},
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(yaml.safe_dump(variables))
    source("20-guests.yml", hosts=[], host_groups=["virt_hosts", "nobody"])
    run = run_inventory(tmp_path, "--list")
    found = hosts_of(run)
    assert found[guests("web")]["kraal_host"] == "here"
    said = words(run.stderr)
    assert "away: no connection: ssh: connect to host 127.0.0.1 port 1: Connection refused" in said
    assert "odd: it is reached by community.docker.docker" in said
    assert "host_groups: there is no group nobody" in said and "such as 20-guests.yml" in said


def test_an_endpoint_is_only_read(source: Any, guests: Guests, proxy: RecordingProxy) -> None:
    run = run_inventory(source(hosts=[], endpoints=[{"name": "engine", "docker_host": proxy.base_url}]), "--list")
    found = hosts_of(run)
    assert found[guests("web")]["ansible_guest_docker_host"] == proxy.base_url
    assert found[guests("web")]["kraal_host"] == "engine"
    assert proxy.mutations == []


def test_an_endpoint_with_certificates(tls_daemon: SecondDaemon, tmp_path: Path, prefix: str) -> None:
    """Found, and reached, over TCP with TLS on both sides."""
    pair = tls_daemon.client_pair()
    name = f"{prefix}tls"
    with tls_daemon.client() as client:
        import_image(client, "busybox:1", "tls")
        client.start(
            client.create_container(
                "busybox:1",
                name=name,
                network_disabled=True,
                host_config=client.create_host_config(network_mode="none"),
            )
        )
        assert tls_daemon.authority is not None
        endpoint = {
            "name": "engine",
            "docker_host": tls_daemon.tls_url,
            "tls_ca": str(tls_daemon.authority.certificate),
        }
        whole = {**endpoint, "tls_cert": str(pair.certificate), "tls_key": str(pair.key)}
        inventory = tmp_path / "guests.yml"
        inventory.write_text(yaml.safe_dump({"plugin": "kraal.virt.guests", "endpoints": [whole]}))
        assert set(hosts_of(run_inventory(inventory, "--list"))) == {name}
        run = run_adhoc("all", "ansible.builtin.raw", "cat /etc/kt-release", inventory=inventory)
        assert (run.rc, run.results[0]["stdout"].strip()) == (0, "tls"), run.output
        unknown = (endpoint, "is not trusted, or does not trust|did not answer")
        for part, why in (unknown, ({**whole, "tls_ca": "/nowhere"}, "tls_ca: '/nowhere' cannot be read")):
            inventory.write_text(yaml.safe_dump({"plugin": "kraal.virt.guests", "endpoints": [part]}))
            run = run_inventory(inventory, "--list")
            assert hosts_of(run) == {}
            assert any(each in words(run.stderr) for each in why.split("|")), run.stderr
        client.remove_container(name, force=True)


def test_an_endpoint_that_does_not_answer_waits_no_longer_than_it_may(
    source: Any, guests: Guests, short_tmp: Path
) -> None:
    with socket.socket(socket.AF_INET) as deaf:
        # One connection fills the queue; the next is neither taken nor refused.
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        with socket.create_connection(deaf.getsockname()), socket.socket() as second:
            second.setblocking(False)
            second.connect_ex(deaf.getsockname())
            config = {
                "endpoints": [{"name": "deaf", "docker_host": "tcp://127.0.0.1:%d" % deaf.getsockname()[1]}],
                "connect_timeout": 1,
            }
            begin = time.monotonic()
            run = run_inventory(source(**config), "--list")
            took = time.monotonic() - begin
    assert set(hosts_of(run)) == {guests("web"), guests("db"), guests("evil")}
    assert "deaf: docker: the engine at tcp://127.0.0.1" in words(run.stderr)
    assert took < 50, took


def test_daemons_that_hang_hide_no_others_guests(source: Any, guests: Guests, short_tmp: Path) -> None:
    """Of a host and of an endpoint: all are asked at once, and who has not answered is named."""
    deaf = str(short_tmp / "deaf")
    engine, libvirt = f"unix://{deaf}", f"qemu+unix:///system?socket={deaf}"
    config: dict[str, Any] = {"timeout": 15, "connect_timeout": 1}
    config["places"] = [{"backend": "docker", "docker_host": engine}, {"backend": "kvm", "uri": libvirt}]
    config["endpoints"] = [{"name": "endpoint", "docker_host": engine}]
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(deaf)
        listening.listen(8)
        run = run_inventory(source(**config), "--list")
    assert set(hosts_of(run)) == {guests("web"), guests("db"), guests("evil")}
    for where, who, seconds in (
        ("localhost: docker", f"the Docker engine at {engine}", 12),
        ("localhost: kvm", f"libvirt at {libvirt}", 12),
        ("endpoint: docker", f"the Docker engine at {engine}", 16),
    ):
        assert "%s: %s did not answer within %d seconds" % (where, who, seconds) in words(run.stderr), run.stderr


def test_an_engine_that_is_not_there_is_no_warning(tmp_path: Path) -> None:
    """A host without Docker has no Docker guests."""
    inventory = tmp_path / "guests.yml"
    hosts = [{"name": "localhost", "python": str(tmp_path / "python")}]
    inventory.write_text(yaml.safe_dump({"plugin": "kraal.virt.guests", "hosts": hosts, "backends": ["docker"]}))
    # A mount namespace in which the socket is not.
    (tmp_path / "python").write_text(
        '#!/bin/sh\nexec unshare --mount -- sh -c \'mount -t tmpfs none /run && exec /usr/bin/python3 "$@"\' sh "$@"\n'
    )
    (tmp_path / "python").chmod(0o755)
    run = run_inventory(inventory, "--list")
    assert hosts_of(run) == {}
    assert "WARNING" not in run.stderr, run.stderr


def test_no_permission_is_a_warning_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "python").write_text(
        '#!/bin/sh\nexec setpriv --reuid=65534 --regid=65534 --clear-groups -- /usr/bin/python3 "$@"\n'
    )
    (tmp_path / "python").chmod(0o755)
    inventory = tmp_path / "guests.yml"
    inventory.write_text(
        yaml.safe_dump(
            {"plugin": "kraal.virt.guests", "hosts": [{"name": "localhost", "python": str(tmp_path / "python")}]}
        )
    )
    run = run_inventory(inventory, "--list")
    assert hosts_of(run) == {}
    assert "localhost: docker: no permission on" in words(run.stderr) and "group docker" in words(run.stderr)


def test_documentation() -> None:
    run = execute(["ansible-doc", "-t", "inventory", "-j", "kraal.virt.guests"])
    doc = json.loads(run.stdout)["kraal.virt.guests"]
    assert {"hosts", "host_groups", "endpoints", "query", "cache", "compose"} <= set(doc["doc"]["options"])
    assert doc["examples"]
    assert os.linesep in doc["examples"]
