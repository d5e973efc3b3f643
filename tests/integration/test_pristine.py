# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A new user's machine: a minimal Debian with git and make, on which the README is typed as it stands.

Nothing of this machine's own packages gets there: what the collection needs, it has to install. The tests build on each
other in their order.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
import yaml

from tests.lab import images, machine
from tests.lab.hosts import Lab, LabHost
from tests.lab.images import HostImage
from tests.support import checkout
from tests.support.docker_exec import Output, run_inside
from tests.support.documents import Block, blocks
from tests.support.paths import ROOT


@dataclass(frozen=True)
class Page:
    """A page of the guides on this host."""

    before: str = ""
    after: str = ""


#: The first of them in every run; all of them with --all.
HOSTS = {
    "debian-13": HostImage("trixie", base=images.PRISTINE),
    "debian-12": HostImage("bookworm", base=images.PRISTINE),
    "debian-13-systemd": HostImage("trixie", base=images.PRISTINE_SYSTEMD),
}
GUESTS = {"web-1", "web-2", "web-3", "db-1", "db-2", "mail-1", "mail-2", "app-1"}
HOME, CHECKOUT = "/root", "/root/kraal.virt"
#: The command that is this very test.
NOT_TYPED = ("make test",)
#: Seconds that this host's emulated guest may take beside other tests.
PATIENCE = 900

#: What the guides' tasks and plays take for granted, by page: commands that come before them, and those that clear up
#: behind them.
GUIDES = {
    "docker": Page(after="docker rm --force web"),
    "fleet": Page(after="docker rm --force $(docker ps --all --quiet); lxc-destroy --force --name shop-mail"),
    "hosts": Page(before="useradd deploy"),
    "images": Page(
        before="mkdir -p ~/.ssh; ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519",
        after="rm ~/.ssh/id_ed25519*; docker rmi team/debian:stable",
    ),
    "kvm": Page(
        before="truncate --size 64M /srv/debian.raw; virsh net-define /dev/stdin <<< "
        '\'<network><name>lab</name><ip address="192.168.100.1" netmask="255.255.255.0"/></network>\'; virsh net-start lab',
        after="for n in 1 2 3 4 5 6 7 8 9 10; do virsh vol-delete --pool images web$n.qcow2; done; virsh vol-delete "
        "--pool images debian.qcow2; virsh pool-destroy images; virsh pool-undefine images; virsh net-destroy "
        "lab; virsh net-undefine lab; rm -r /srv/images /srv/debian.raw",
    ),
    "kvm_vm": Page(
        before="cp $(readlink -f /var/cache/kraal.virt/debian-vm.qcow2) "
        "/var/lib/libvirt/images/debian-12-genericcloud-amd64.qcow2",
        after="virsh destroy db; virsh undefine db --remove-all-storage; rm -f "
        "/var/lib/libvirt/images/debian-12-genericcloud-amd64.qcow2",
    ),
    "lxc": Page(after="for n in web shop-web; do lxc-destroy --force --name $n; done; docker rm --force shop-cache"),
}
#: The tasks and commands that this host cannot show, by page and heading, with the reason. Mappings are inventories,
#: variables and parts of results.
ELSEWHERE = {
    ("bridges", ""): "test_host_bridge.py has hosts with a network to lose",
    ("docker", "The host"): "would restart the engine below the README's guests: test_role_docker_host.py",
    ("docker", "The engine"): "speaks of another machine: test_docker_engines.py",
    ("fleet", "A site of hosts"): "the README's inventory, above",
    ("inventory", "Which guests there are"): "the README's commands, above, and test_inventory.py",
    (
        "lxc",
        "Unprivileged containers",
    ): "a kernel mounts no sysfs for them on a host that is a container: lxc_container/test_ways.py",
    **dict.fromkeys(
        [
            ("kvm_vm", "Disks and switches of the network"),
            ("kvm_vm", "Windows, and what else wants a machine of its own kind"),
        ],
        "names Ceph, Open vSwitch, SPICE and large pages: the tables of kvm_vm",
    ),
    ("kvm", "Where libvirt is"): "speaks of another machine: kvm/test_network.py goes over ssh",
}

#: What `make clean` and `make purge` say that they leave. Links: as the engines' own configuration names them.
STAYS = {
    "links": {"lo", "eth0", "docker0", "lxcbr0", "virbr0"},
    "processes": {"containerd", "dockerd", "dnsmasq", "libvirtd", "lxc-monitord", "python3", "virtlogd"},
}
#: Of a host with an init system, what was there before.
OF_INIT = {
    "agetty",
    "dbus-daemon",
    "systemd",
    "systemd-hostnam",
    "systemd-journal",
    "systemd-logind",
    "systemd-machine",
    "systemd-udevd",
    "(sd-pam)",
}
#: libvirt keeps the log of a guest that is gone; its package has an empty file.
LOGS = re.compile(r"/var/log/libvirt/qemu/(app-1|db|\.placeholder)(\.log)?")
#: What guests and runs leave about: directories that are looked through to their end.
PLACES = (
    *(
        "/root/.cache/kraal.virt",
        "/root/.ssh",
        "/tmp",
        "/var/cache/kraal.virt",
        "/var/lib/libvirt/images",
        "/var/lib/lxc",
    ),
    *("/var/log/libvirt/qemu", "/var/tmp"),
)


class Machine:
    """The host, and the shell on it: each command is typed into a new one, in the C locale."""

    def __init__(self, lab: Lab, host: LabHost, client: docker.APIClient) -> None:
        self.lab, self.host, self.client = lab, host, client

    def type(self, text: str, directory: str = CHECKOUT, *, check: bool = True) -> Output:
        """What a block of commands prints, line after line until one fails."""
        environment = {**machine.environment(), "LC_ALL": "C", "HOME": HOME}
        script = f"set -e\ncd {directory}\n{text}"
        return run_inside(
            self.client, self.host.name, ["/bin/bash", "-c", f"({script}) 2>&1"], check=check, environment=environment
        )

    def lay(self, files: Mapping[str, str]) -> None:
        """Write files below the home directory."""
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            for path, text in files.items():
                entry = tarfile.TarInfo(f"{HOME.lstrip('/')}/{path}")
                entry.size = len(text.encode())
                tar.addfile(entry, io.BytesIO(text.encode()))
        self.client.put_archive(self.host.name, "/", out.getvalue())


@pytest.fixture(scope="module")
def pristine(request: pytest.FixtureRequest, lab: Lab, docker_api: docker.APIClient) -> Machine:
    (host,) = lab.up(HOSTS[request.param])
    docker_api.put_archive(host.name, "/", checkout.archive())
    return Machine(lab, host, docker_api)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    # One host and one page of the guides in every run; the others take minutes, and show no other code of ours.
    most = None if metafunc.config.getoption("--all") else 1
    if "pristine" in metafunc.fixturenames:
        metafunc.parametrize("pristine", list(HOSTS)[:most], indirect=True, scope="module")
    if "page" in metafunc.fixturenames:
        metafunc.parametrize("page", list(GUIDES)[:most])


def readme(heading: str, language: str = "console") -> list[Block]:
    found = [block for block in blocks(ROOT / "README.md") if (block.heading, block.language) == (heading, language)]
    assert found, f"README.md has no {language} under {heading}"
    return found


def recap(output: str) -> dict[str, dict[str, int]]:
    """The numbers of each host in the plays' recap."""
    lines = re.findall(r"^(\S+) +: (ok=.*)$", output.partition("PLAY RECAP")[2], re.MULTILINE)
    return {
        host: {key: int(value) for key, value in (word.split("=") for word in numbers.split())}
        for host, numbers in lines
    }


def lines_of_plays(output: str) -> int:
    """How much there is to read of a run, from its first play on."""
    return len(output[output.index("PLAY [") :].splitlines())


def test_nothing_is_there(pristine: Machine) -> None:
    """Or this test would prove nothing."""
    found = pristine.type(
        "command -v python3 ssh sfdisk mmdebstrap dockerd lxc-start libvirtd genisoimage xorriso qemu-img || true", HOME
    ).stdout
    assert found == ""


def test_the_first_commands(pristine: Machine) -> None:
    start = readme("kraal.virt")[0]
    assert "make fleet" in start.text.splitlines()
    done = pristine.type(start.text, HOME, check=False)
    assert done.rc == 0, done.stdout
    numbers = recap(done.stdout)
    assert set(numbers) == {*GUESTS, "localhost"}, done.stdout
    assert not any(each["failed"] + each["unreachable"] for each in numbers.values()), numbers
    assert "[WARNING]" not in done.stdout and "[DEPRECATION" not in done.stdout, done.stdout
    assert "ansible-inventory --graph" in done.stdout[-1500:]
    assert lines_of_plays(done.stdout) <= 200, done.stdout


def test_a_second_run_changes_nothing(pristine: Machine) -> None:
    done = pristine.type("make fleet", check=False)
    assert done.rc == 0, done.stdout
    assert {host: each["changed"] for host, each in recap(done.stdout).items()} == dict.fromkeys(
        [*GUESTS, "localhost"], 0
    ), done.stdout
    assert "[WARNING]" not in done.stdout and "[DEPRECATION" not in done.stdout, done.stdout
    assert lines_of_plays(done.stdout) <= 80, done.stdout


def test_every_guest_is_listed_and_answers(pristine: Machine) -> None:
    said = pristine.type(readme("kraal.virt")[1].text).stdout
    assert set(re.findall(r"\|--([a-z]+-[0-9])$", said, re.MULTILINE)) == GUESTS
    assert set(re.findall(r"^(\S+) \| SUCCESS", said, re.MULTILINE)) == {*GUESTS, "localhost"}, said
    assert {f"web-{number} runs on localhost, made by kraal.virt" for number in (1, 2, 3)} <= set(said.splitlines()), (
        said
    )


def test_the_collection_is_installed_elsewhere(pristine: Machine) -> None:
    (install,) = readme("Installation")
    said = pristine.type(". scripts/activate\n" + install.text + "cd ~\nansible-doc -l kraal.virt\n").stdout
    assert "was installed successfully" in said and "kraal.virt.fleet" in said, said
    pristine.type("rm -r .ansible/collections", HOME)


def test_check_agrees(pristine: Machine) -> None:
    done = pristine.type(". scripts/activate\nansible-playbook kraal.virt.site --check")
    assert not any(each["changed"] for each in recap(done.stdout).values()), done.stdout


def test_a_virtual_machine_is_whole(pristine: Machine) -> None:
    """Its name, its whole disk, the type that the processor lets it have; and it is reached by its agent, as the
    guide to the inventory says, as well.
    """
    flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    assert ("<domain type='kvm'" in pristine.type("virsh dumpxml app-1").stdout) is bool(flags & {"vmx", "svm"})
    way = next(
        block for block in blocks(guide("inventory")) if "ansible_connection" in block.text and "compose" in block.text
    )
    pristine.lay({"kraal.virt/agent/20-guests.yml": way.text})
    said = pristine.type(
        ". scripts/activate\ncp playbooks/inventory/10-hosts.yml agent\nansible -i agent app-1 -m command -a 'sh -c "
        '"hostname; df --output=size -B1M /"\'\nansible-inventory -i agent --host app-1\nrm -r agent'
    ).stdout
    assert re.search(r"^app-1$", said, re.MULTILINE) and "kraal.virt.guest" in said, said
    assert max(int(size) for size in re.findall(r"^ *([0-9]+)$", said, re.MULTILINE)) > 3500, said


def test_an_lxc_guest_and_its_host_reach_each_other(pristine: Machine) -> None:
    """By the bridge that the role made, whose name server answers from there."""
    pristine.type("busybox ping -c 1 -W 5 10.0.3.11")
    reach = 'import socket; print(socket.create_connection(("10.0.3.1", 53), 5).getpeername()[0])'
    words = json.dumps({"argv": ["/usr/bin/python3", "-c", reach]})
    said = pristine.type(f". scripts/activate\nansible mail-1 -m command -a '{words}'").stdout
    assert "10.0.3.1" in said.splitlines(), said


def pages() -> list[str]:
    return sorted(path.stem.removeprefix("guide_") for path in (ROOT / "docs" / "docsite" / "rst").glob("guide_*.rst"))


def test_every_block_of_the_guides_is_run_or_says_why_not() -> None:
    found = {(page, block.heading) for page in pages() for block in blocks(guide(page)) if does(block)}
    unknown = {
        (page, heading)
        for page, heading in ELSEWHERE
        if not any(page == one and heading in ("", two) for one, two in found)
    }
    assert unknown == set()
    assert {page for page, heading in found if not elsewhere(page, heading)} == set(GUIDES)


def does(block: Block) -> bool:
    """Whether it does something: commands, tasks or plays."""
    return block.language == "console" or isinstance(yaml.safe_load(block.text), list)


def guide(page: str) -> Path:
    return ROOT / "docs" / "docsite" / "rst" / f"guide_{page}.rst"


def elsewhere(page: str, heading: str) -> bool:
    return (page, heading) in ELSEWHERE or (page, "") in ELSEWHERE


def test_the_guides_do_what_they_say(pristine: Machine, page: str) -> None:
    """Each block as it stands, one after the other, and once more where a second run is to change nothing."""
    play = {"hosts": "virt_hosts", "gather_facts": False}
    plays = []
    for block in blocks(guide(page)):
        if does(block) and not elsewhere(page, block.heading):
            tasks = yaml.safe_load(block.text)
            plays += tasks if "hosts" in tasks[0] else [{"name": block.heading, **play, "tasks": tasks}]
    pristine.lay({"kraal.virt/guide.yml": yaml.safe_dump(plays, sort_keys=False)})
    pristine.type(GUIDES[page].before)
    done = pristine.type(
        ". scripts/activate\nansible-playbook -i playbooks/inventory/10-hosts.yml guide.yml", check=False
    )
    pristine.type(f"set +e\n{GUIDES[page].after}\nrm guide.yml\ntrue")
    assert done.rc == 0, done.stdout


def test_the_fleet_is_taken_away(pristine: Machine) -> None:
    assert readme("kraal.virt")[2].text.splitlines() == ["make clean", "make purge"]
    fewer = json.dumps({"fleet_guests": [{"name": "web-{i}", "count": 1, "cpus": 0.5, "labels": {"role": "web"}}]})
    pristine.type(f". scripts/activate\nansible-playbook kraal.virt.provision --extra-vars '{fewer}'")
    assert pristine.type("docker ps --format '{{.Names}}'; virsh list --all --name; lxc-ls").stdout.split() == ["web-1"]
    done = pristine.type("make clean", check=False)
    assert done.rc == 0, done.stdout
    assert not any(each["failed"] for each in recap(done.stdout).values()), done.stdout
    assert recap(pristine.type("make clean").stdout)["localhost"]["changed"] == 0


def test_the_readme_makes_its_own_fleet(pristine: Machine) -> None:
    """Hosts, guests and inventory as the README writes them, in a folder of one's own."""
    files = {}
    for block in [*readme("A fleet of hosts and guests", "yaml"), *readme("Guests as inventory", "yaml")]:
        name, dummy, rest = block.text.partition("\n")
        files[name.removeprefix("# ")] = rest
    assert {Path(name).parts[0] for name in files} == {"inventory"} and len(files) == 3
    play = [
        {
            "name": "Guests in a task",
            "hosts": "virt_hosts",
            "gather_facts": False,
            "tasks": yaml.safe_load(readme("Guests in a task", "yaml")[0].text),
        }
    ]
    pristine.lay(
        {**{f"kraal.virt/{name}": text for name, text in files.items()}, "kraal.virt/shop.yml": yaml.safe_dump(play)}
    )
    assert "ansible-playbook kraal.virt.site -i inventory" in (ROOT / "README.md").read_text(encoding="utf-8")
    run = ". scripts/activate\nansible-playbook -i inventory "
    first = recap(pristine.type(run + "kraal.virt.site").stdout)
    assert set(first) == {"localhost", "office-mail", *(f"office-web-{number}" for number in (1, 2, 3))}
    assert not any(each["changed"] for each in recap(pristine.type(run + "kraal.virt.site").stdout).values())
    assert [recap(pristine.type(run + "shop.yml").stdout)["localhost"]["changed"] for dummy in range(2)] == [1, 0]
    said = pristine.type(". scripts/activate\n" + readme("Guests as inventory")[0].text).stdout
    guests = {
        "office-mail",
        *(f"{name}-web-{number}" for name in ("office", "shop") for number in (1, 2, 3)),
        "shop-cache",
    }
    assert set(re.findall(r"^(\S+) \| SUCCESS", said, re.MULTILINE)) == guests, said
    for name in ("office", "shop"):
        pristine.type(run + f"kraal.virt.teardown --extra-vars fleet_name={name}")


def test_what_is_left_is_what_the_readme_names(pristine: Machine) -> None:
    done = pristine.type("make purge", check=False)
    assert done.rc == 0, done.stdout
    assert (
        pristine.type(
            "docker ps --all --quiet; docker volume ls --quiet; docker images --quiet; virsh list --all --name; lxc-ls"
        ).stdout.split()
        == []
    )
    networks = pristine.type("docker network ls --format '{{.Name}}'; virsh net-list --all --name").stdout.split()
    assert sorted(networks) == ["bridge", "default", "host", "none"]
    links = {link["ifname"] for link in json.loads(pristine.type("ip -json link").stdout)}
    assert links <= STAYS["links"], links
    files = pristine.type(f"find {' '.join(PLACES)} -type f 2>/dev/null || true").stdout.split()
    assert [path for path in files if not LOGS.fullmatch(path)] == []
    # Those that have ended, and whose end nobody takes note of here, have a Z.
    processes = set(
        pristine.type(
            "sed --silent 's/^[0-9]* (\\(.*\\)) [^ZX] .*/\\1/p' /proc/[0-9]*/stat 2>/dev/null || true"
        ).stdout.splitlines()
    )
    assert processes <= STAYS["processes"] | OF_INIT | {"bash", "sed", "sh", "sleep"}, processes
