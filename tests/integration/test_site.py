# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job, whole: hosts are prepared, guests made, found and configured by the playbooks; a second run changes nothing; teardown takes all away."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
import yaml

from tests.support.ansible_runner import run_adhoc, run_inventory, run_playbook
from tests.support.docker_exec import run_inside
from tests.support.images import BUSYBOX
from tests.support.paths import ROOT, SYSTEM_PYTHON

#: Seconds that an emulated machine may take to boot beside other tests.
PATIENCE = 900
#: Addresses on this machine's bridge for LXC guests, outside of what DHCP and the example give away.
NETWORKS = {number: {"name": "eth0", "link": "lxcbr0", "ipv4_address": f"10.0.3.{40 + number}/24", "ipv4_gateway": "10.0.3.1"} for number in (1, 2)}


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory, prefix: str, docker_api: docker.APIClient, leftovers: None) -> Iterator[Path]:
    """The example inventory with names of our own, and smaller."""
    folder = tmp_path_factory.mktemp("site") / "inventory"
    (folder / "group_vars").mkdir(parents=True)
    example = ROOT / "playbooks" / "inventory"
    for name in ("10-hosts.yml", "20-guests.yml", "group_vars/kraal_guests.yml", "group_vars/kvm.yml"):
        (folder / name).write_text((example / name).read_text(encoding="utf-8").replace("'example'", f"'{prefix}site'"), encoding="utf-8")
    variables: dict[str, Any] = yaml.safe_load((example / "group_vars" / "virt_hosts.yml").read_text(encoding="utf-8"))
    image = f"{prefix}site/debian:stable"
    variables["fleet_name"] = f"{prefix}site"
    variables["fleet_base_images"][0]["image"] = image
    variables["fleet_networks"] = [{"name": f"{prefix}site", "subnets": ["198.19.250.0/24"]}]
    variables["fleet_defaults"]["docker"].update(image=image, networks=[f"{prefix}site"], restart_policy="no", stop_timeout=1)
    lxc_path = tmp_path_factory.mktemp("site") / "lxc"
    variables["fleet_defaults"]["lxc"].update(lxc_path=str(lxc_path))
    key = tmp_path_factory.mktemp("site") / "keys" / "id_ed25519"
    general = {"fleet_ssh_key": str(key), "ansible_timeout": 120, "kvm_host_timeout": 300}
    (folder / "group_vars" / "all.yml").write_text(yaml.safe_dump(general), encoding="utf-8")
    # One that is reached by its address, and one that has none.
    machine = {"backend": "kvm", "memory": "512MiB", "labels": {"role": "app"}}
    # Emulated, on a machine that does other things too.
    variables["fleet_defaults"]["kvm"]["timeout"] = PATIENCE
    variables["fleet_guests"] = [
        {"name": f"{prefix}app-1", **machine},
        {"name": f"{prefix}app-2", **machine, "networks": None, "wait_for": "agent"},
        {"name": f"{prefix}web-{{i}}", "count": 2, "labels": {"role": "web"}},
        {"name": f"{prefix}db-{{i}}", "count": 2, "labels": {"role": "db"}, "cpus": 0.5},
        *({"name": f"{prefix}mail-{number}", "backend": "lxc", "labels": {"role": "mail"}, "networks": [network]} for number, network in NETWORKS.items()),
    ]
    (folder / "group_vars" / "virt_hosts.yml").write_text(yaml.safe_dump(variables), encoding="utf-8")
    yield folder
    run_playbook("kraal.virt.teardown", folder)
    docker_api.remove_image(image)


def failures(run: Any) -> dict[str, int]:
    return {host: stats["failures"] + stats["unreachable"] for host, stats in run.stats.items()}


def guests(prefix: str, *roles: str) -> list[str]:
    return [f"{prefix}{role}-{number}" for role in roles or ("app", "db", "mail", "web") for number in (1, 2)]


def test_site_makes_the_fleet_and_configures_inside_it(inventory: Path, prefix: str) -> None:
    run = run_playbook("kraal.virt.site", inventory, extra_vars={"configure_timeout": PATIENCE}, timeout=3 * PATIENCE)
    assert run.rc == 0, run.output
    assert sorted(set(run.stats) - {"localhost"}) == guests(prefix)
    assert not any(failures(run).values())
    assert all(run.stats[guest]["changed"] == 1 for guest in guests(prefix)), run.stats


def test_a_second_run_changes_nothing(inventory: Path, prefix: str) -> None:
    run = run_playbook("kraal.virt.site", inventory)
    assert run.rc == 0, run.output
    assert run.changed == 0, run.output
    assert sorted(set(run.stats) - {"localhost"}) == guests(prefix)


def test_check_agrees(inventory: Path) -> None:
    run = run_playbook("kraal.virt.site", inventory, check=True)
    assert run.rc == 0, run.output
    assert run.changed == 0, run.output


def test_the_inventory_has_the_guests_in_their_groups(inventory: Path, prefix: str) -> None:
    listed = yaml.safe_load(run_inventory(inventory, "--list").stdout)
    assert sorted(listed["docker"]["hosts"]) == guests(prefix, "db", "web")
    assert sorted(listed["lxc"]["hosts"]) == guests(prefix, "mail")
    assert sorted(listed["kvm"]["hosts"]) == guests(prefix, "app")
    assert sorted(listed["label_role_web"]["hosts"]) == [f"{prefix}web-1", f"{prefix}web-2"]
    assert sorted(listed["label_role_db"]["hosts"]) == [f"{prefix}db-1", f"{prefix}db-2"]
    variables = listed["_meta"]["hostvars"][f"{prefix}db-1"]
    # What a guest says is no template: --list marks it so, on newer cores with {"__ansible_unsafe": ...}.
    assert "kraal.virt.guest" in str(variables["ansible_connection"])
    assert variables["kraal_guest"]["cpus"] == 0.5
    assert "running" in str(variables["kraal_guest"]["state"])


def test_every_guest_answers_a_ping(inventory: Path, prefix: str) -> None:
    run = run_adhoc("docker:kvm:lxc", "ansible.builtin.ping", inventory=inventory)
    assert run.rc == 0, run.output
    assert run.stdout.count('"ping": "pong"') == 8, run.output
    listed = yaml.safe_load(run_inventory(inventory, "--list").stdout)["_meta"]["hostvars"]
    assert ["ssh" in str(listed[name]["ansible_connection"]) for name in guests(prefix, "app")] == [True, False]


def test_a_machine_is_what_its_processor_lets_it_be(prefix: str) -> None:
    """type=auto: KVM is for processors that show that they can, whatever /dev/kvm says."""
    flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    xml = subprocess.run(["virsh", "-c", "qemu:///system", "dumpxml", f"{prefix}app-1"], capture_output=True, text=True, check=True).stdout
    assert ("<domain type='kvm'" in xml) is bool(flags & {"vmx", "svm"}) and "<domain type=" in xml


def test_a_machine_has_its_name_and_its_whole_disk(inventory: Path, prefix: str) -> None:
    for name in guests(prefix, "app"):
        (said,) = run_adhoc(name, "ansible.builtin.command", "hostname", inventory=inventory).results
        assert said["stdout"] == name
    (said,) = run_adhoc(f"{prefix}app-1", "ansible.builtin.command", "df --output=size -B1M /", inventory=inventory).results
    assert int(said["stdout_lines"][1]) > 3500, said["stdout"]


def test_an_lxc_guest_and_its_host_reach_each_other(inventory: Path, prefix: str) -> None:
    """By the bridge that prepare made, without a word on it in the guest."""
    listed = yaml.safe_load(run_inventory(inventory, "--list").stdout)["_meta"]["hostvars"][f"{prefix}mail-1"]
    assert "10.0.3.41" in str(listed["kraal_guest"]["addresses"])
    assert subprocess.run([BUSYBOX, "ping", "-c", "1", "-W", "5", "10.0.3.41"], check=False, capture_output=True).returncode == 0
    # The bridge's name server answers from there.
    reach = "import socket; print(socket.create_connection(('10.0.3.1', 53), 5).getpeername()[0])"
    (result,) = run_adhoc(f"{prefix}mail-1", "ansible.builtin.command", json.dumps({"argv": ["/usr/bin/python3", "-c", reach]}), inventory=inventory).results
    assert result["stdout"] == "10.0.3.1", result.json


def test_what_configure_wrote_is_in_the_guest(inventory: Path, prefix: str, docker_api: docker.APIClient) -> None:
    (said,) = run_adhoc(f"{prefix}mail-1", "ansible.builtin.command", "cat /etc/motd", inventory=inventory).results
    assert said["stdout"] == f"{prefix}mail-1 runs on localhost, made by kraal.virt"
    said_by_docker = run_inside(docker_api, f"{prefix}web-1", ["cat", "/etc/motd"]).stdout
    assert said_by_docker == f"{prefix}web-1 runs on localhost, made by kraal.virt\n"


def test_a_guest_that_is_declared_no_longer_is_removed(inventory: Path, prefix: str) -> None:
    fewer = [{"name": f"{prefix}web-{{i}}", "count": 1, "labels": {"role": "web"}}]
    run = run_playbook("kraal.virt.provision", inventory, extra_vars={"fleet_guests": fewer})
    assert run.rc == 0, run.output
    removed = sorted(step["guest"] for step in run.of("Make the guests")[0]["plan"] if step["action"] == "remove")
    assert removed == sorted(set(guests(prefix)) - {f"{prefix}web-1"})


def test_teardown_takes_all_away(inventory: Path, prefix: str, docker_api: docker.APIClient) -> None:
    run = run_playbook("kraal.virt.teardown", inventory)
    assert run.rc == 0, run.output
    assert not [name for found in docker_api.containers(all=True) for name in found["Names"] if name[1:] in guests(prefix)]
    assert f"{prefix}site" not in [network["Name"] for network in docker_api.networks()]
    volumes = subprocess.run(["virsh", "-c", "qemu:///system", "vol-list", "default"], capture_output=True, text=True, check=True).stdout
    domains = subprocess.run(["virsh", "-c", "qemu:///system", "list", "--all"], capture_output=True, text=True, check=True).stdout
    assert prefix not in volumes and prefix not in domains
    assert not [line for line in Path("/proc/net/unix").read_text(encoding="utf-8").splitlines() if any(f"/{name}/command" in line for name in guests(prefix))]
    again = run_playbook("kraal.virt.teardown", inventory)
    assert (again.rc, again.changed) == (0, 0), again.output


def test_the_interpreter_of_the_example_is_the_distributions() -> None:
    hosts = yaml.safe_load((ROOT / "playbooks" / "inventory" / "10-hosts.yml").read_text(encoding="utf-8"))
    assert hosts["virt_hosts"]["hosts"]["localhost"]["ansible_python_interpreter"] == SYSTEM_PYTHON
