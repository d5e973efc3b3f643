# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""prepare on a bare Debian 12: every role, again, and then guests of every kind on the bridge that it made. With --all
on a Debian 13 at once.

What is installed on a bare Debian 13 is shown by test_pristine.py, and the roles on both releases by their own tests.

The tests build on each other in their order.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab.hosts import LASTING_LIBVIRTD, Lab, LabHost
from tests.lab.images import HostImage
from tests.support.ansible_runner import Run, run_playbook, run_tasks
from tests.support.lxc import system_tar
from tests.support.tiny_guest import CMDLINE, TinyGuest

#: The first in every run, all with --all.
SUITES = ("bookworm", "trixie")
BRIDGE, NETWORK = "br0", "198.19.240"

#: All that a role could have touched: packages, files of the configuration, links, processes that serve. Not the leases
#: of DHCP and the carriers of bridges, which a guest that is started for a proof leaves another for a while.
STATE = """
dpkg-query --show
find /etc /usr/local /var/lib/misc -xdev -type f ! -name '*.db' ! -name '*.leases' -exec md5sum {} + | sort -k 2
ip -oneline link | sed -e 's/ *state.*//' -e 's/NO-CARRIER,//' -e 's/,LOWER_UP//'
ls /var/lib
ps -C dockerd,containerd,libvirtd,virtlogd,dnsmasq -o comm= | sort
"""


class Prepared:
    """The hosts, and the playbooks run on them side by side."""

    def __init__(self, lab: Lab, hosts: list[LabHost], folder: Path) -> None:
        self.lab, self.hosts, self.inventory = lab, hosts, folder / "hosts.yml"
        variables = {
            "virt_backends": ["docker", "kvm", "lxc"],
            "kvm_host_allow_emulation": True,
            "bridge_bridges": [{"name": BRIDGE, "manager": "networkd", "addresses": [f"{NETWORK}.1/24"]}],
        }
        machines = {host.name: {**host.inventory, "ansible_python_interpreter": "/usr/bin/python3"} for host in hosts}
        self.inventory.write_text(
            yaml.safe_dump({"virt_hosts": {"hosts": machines, "vars": variables}}), encoding="utf-8"
        )

    def play(self, name: str, *, check: bool = False, **variables: object) -> Run:
        run = run_playbook(f"kraal.virt.{name}", self.inventory, check=check, extra_vars=variables)
        assert run.rc == 0, run.output
        return run

    def run(self, host: LabHost, *argv: str) -> str:
        return self.lab.run(host, argv).stdout.strip()

    def states(self) -> list[str]:
        return [self.run(host, "sh", "-c", STATE) for host in self.hosts]


@pytest.fixture(scope="module")
def prepared(request: pytest.FixtureRequest, lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    hosts = lab.up(*(HostImage(suite) for suite in SUITES[: None if request.config.getoption("--all") else 1]))
    for host in hosts:
        lab.copy(host, LASTING_LIBVIRTD)
        # Debian installs it with systemd, and leaves it off.
        lab.run(host, ["systemctl", "enable", "--now", "systemd-networkd.service"])
        # It has no link to configure yet, and Docker's start would wait two minutes for one.
        lab.run(host, ["systemctl", "disable", "systemd-networkd-wait-online.service"])
    return Prepared(lab, hosts, tmp_path_factory.mktemp("prepare"))


def test_check_mode_on_bare_hosts_touches_nothing(prepared: Prepared) -> None:
    before = prepared.states()
    run = prepared.play("prepare", check=True)
    assert all(stats["changed"] for stats in run.stats.values()), run.stats
    assert prepared.states() == before


#: A program that has the port of DNS on all addresses, as an unbound or a dnsmasq may.
HOLDER = "import signal, socket; held = socket.create_server(('0.0.0.0', 53)); signal.pause()"
#: Nobody listens there.
OFFLINE = b'Acquire::http::Proxy "http://127.0.0.1:9";\nAcquire::https::Proxy "http://127.0.0.1:9";\n'


def test_all_that_is_in_the_way_is_told_at_once(prepared: Prepared) -> None:
    """Of all roles, with the remedies, before anything is installed."""
    for host in prepared.hosts:
        prepared.run(host, "systemd-run", "--quiet", "--unit", "kt-holder", "/usr/bin/python3", "-c", HOLDER)
        prepared.lab.copy(host, {"/etc/apt/apt.conf.d/99kt-offline": OFFLINE})
    before = prepared.states()
    wrong = {
        "docker_host_users": ["kt-nobody"],
        "lxc_host_users": ["kt-stranger"],
        "kvm_host_network_address": "nonsense",
    }
    run = run_playbook("kraal.virt.prepare", prepared.inventory, extra_vars=wrong)
    assert prepared.states() == before
    for host in prepared.hosts:
        (failure,) = [result for result in run.results if result.host == host.name and result.failed]
        said = failure.msg.splitlines()
        for words in (
            ["- docker_host_users names kt-nobody", "Create them first"],
            ["- lxc_host_users names kt-stranger"],
            ["- kvm_host_network_address: ", "nonsense"],
            ["- Port 53 is taken on all addresses by python3 (pid ", "listen on its own interfaces only"],
            [
                "- The package mirror cannot be reached: 127.0.0.1: Connection refused",
                "docker.io",
                "a proxy or another mirror",
            ],
        ):
            assert [line for line in said if all(word in line for word in words)], (words, failure.msg)
        assert said[0].endswith("things are in the way, and nothing was touched on this host:")
        prepared.run(host, "systemctl", "stop", "kt-holder")
        prepared.run(host, "rm", "/etc/apt/apt.conf.d/99kt-offline")


def test_every_role_at_once(prepared: Prepared) -> None:
    """The first host is in the network that libvirt gives its guests by custom, as a guest of libvirt's is."""
    guest = prepared.hosts[0]
    prepared.run(guest, "ip", "address", "add", "192.168.122.9/24", "dev", "eth0")
    run = prepared.play("prepare")
    assert sorted(run.stats) == sorted(host.name for host in prepared.hosts)
    for host in prepared.hosts:
        assert prepared.run(host, "docker", "info", "--format", "{{.ServerVersion}}")
        assert "default" in prepared.run(host, "virsh", "net-list", "--name")
        assert f"'192.168.{150 if host is guest else 122}.1'" in prepared.run(host, "virsh", "net-dumpxml", "default")
        assert f"{NETWORK}.1/24" in prepared.run(host, "ip", "-brief", "address", "show", BRIDGE)
        assert "10.0.3.1/24" in prepared.run(host, "ip", "-brief", "address", "show", "lxcbr0")


@pytest.mark.parametrize("check", [True, False], ids=["check", "run"])
def test_again_nothing_changes(prepared: Prepared, check: bool) -> None:
    before = prepared.states()
    run = prepared.play("prepare", check=check)
    assert run.changed == 0, run.output
    assert prepared.states() == before


def test_units_of_libvirt_that_were_switched_off(prepared: Prepared) -> None:
    """They come back, and those of the other kind go: here of a unit that does nothing, in the place of virtqemud's."""
    units = ["libvirtd.socket", "libvirtd-ro.socket", "libvirtd-admin.socket", "libvirtd.service"]
    for host in prepared.hosts:
        prepared.run(host, "systemctl", "disable", "--now", *units)

    def setup(*, check: bool = False, **options: Any) -> dict[str, Any]:
        return {"kraal.virt.kvm_setup": {"allow_emulation": True, **options}, "check_mode": check}

    def command(*argv: str) -> dict[str, Any]:
        return {"ansible.builtin.command": {"argv": list(argv)}}

    tasks = [
        setup(daemons="modular", verify=False),
        {
            "ansible.builtin.copy": {
                "content": "[Service]\nExecStart=/bin/true\n",
                "dest": "/etc/systemd/system/virtqemud.service",
            }
        },
        {
            "ansible.builtin.copy": {
                "content": "[Socket]\nListenStream=/run/kt.sock\n[Install]\nWantedBy=sockets.target\n",
                "dest": "/etc/systemd/system/virtqemud.socket",
            }
        },
        command("systemctl", "enable", "--now", "virtqemud.socket"),
        setup(check=True, daemons="monolithic"),
        command("systemctl", "is-enabled", *units),
        setup(daemons="monolithic"),
        command("systemctl", "is-enabled", *units, "virtqemud.socket"),
        setup(verify=False),
    ]
    play = run_tasks(tasks, inventory=prepared.inventory, hosts="virt_hosts")
    for host in prepared.hosts:
        modular, _service, _socket, _on, foreseen, off, done, on, again = [
            each for each in play.results if each.host == host.name
        ]
        assert modular.failed and "no virtqemud.socket" in modular.msg and "kvm_host_daemons" in modular.msg
        # That of virtlogd goes along with libvirtd's, by its unit's Also=.
        assert [step["key"] for step in foreseen["plan"] if "virtlogd" not in step["key"]] == [
            "service[virtqemud.socket]",
            *(f"autostart[{unit}]" for unit in units),
            "service[libvirtd.socket]",
            "service",
        ]
        assert off["stdout"].split() == ["disabled"] * 4
        assert done["plan"] == foreseen["plan"] and done["proven"] and done["manager"] == "systemd", done.msg
        assert on["stdout"].split() == ["enabled"] * 4 + ["disabled"]
        assert not again.failed and not again.changed
        assert "default" in prepared.run(host, "virsh", "net-list", "--name")


def test_guests_of_every_kind_sit_on_the_bridge(prepared: Prepared) -> None:
    """A fleet on each host: a container of LXC and a virtual machine as ports of it, one of Docker through macvlan,
    and they reach each other.
    """
    tiny, archive = TinyGuest.build(), system_tar("1")
    for host in prepared.hosts:
        prepared.lab.copy(
            host,
            {"/srv/kt.tar": archive, "/srv/vmlinuz": tiny.kernel.read_bytes(), "/srv/initrd": tiny.initrd.read_bytes()},
            0o644,
        )
        prepared.run(host, "docker", "import", "/srv/kt.tar", "kt-guest:1")
    guests = [
        {
            "name": "kt-lxc",
            "backend": "lxc",
            "image": "/srv/kt.tar",
            "networks": [
                {"name": "eth0", "link": BRIDGE, "ipv4_address": f"{NETWORK}.11/24", "ipv4_gateway": f"{NETWORK}.1"}
            ],
        },
        {
            "name": "kt-docker",
            "backend": "docker",
            "image": "kt-guest:1",
            "command": ["sleep", "infinity"],
            "networks": [{"name": "kt-lan", "ipv4_address": f"{NETWORK}.12"}],
        },
        {
            "name": "kt-vm",
            "backend": "kvm",
            "type": "qemu",
            "memory": "128MiB",
            "kernel": "/srv/vmlinuz",
            "initrd": "/srv/initrd",
            "cmdline": CMDLINE,
            "networks": [{"bridge": BRIDGE}],
        },
    ]
    networks = [
        {
            "name": "kt-lan",
            "driver": "macvlan",
            "options": {"parent": BRIDGE},
            "subnets": [{"subnet": f"{NETWORK}.0/24", "gateway": f"{NETWORK}.1"}],
        }
    ]
    given = {"fleet_guests": guests, "fleet_networks": networks, "fleet_name": "kt-bridged"}
    prepared.play("provision", **given)
    assert prepared.play("provision", **given).changed == 0
    for host in prepared.hosts:
        ports = json.loads(prepared.run(host, "ip", "-json", "link", "show", "master", BRIDGE))
        assert len([port for port in ports if port["ifname"].startswith("veth")]) == 1
        assert len([port for port in ports if port["ifname"].startswith("vnet")]) == 1
        for target in (f"{NETWORK}.1", f"{NETWORK}.12"):
            prepared.run(host, "lxc-attach", "-n", "kt-lxc", "--", "/bin/busybox", "ping", "-c", "1", "-W", "5", target)
    prepared.play(
        "teardown",
        fleet_name="kt-bridged",
        fleet_networks=networks,
        fleet_defaults={"kvm": {"force_stop": True, "stop_timeout": 0}},
    )
