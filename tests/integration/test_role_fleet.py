# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user reads of the role fleet: what fails is told shortly and keeps no other guest from its work, and what
others use is left.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
import yaml

from ansible_collections.kraal.virt.plugins.module_utils.images.base_image import (
    BASE_IMAGES,
    file_of,
    request_of,
)
from ansible_collections.kraal.virt.plugins.module_utils.images.rootfs import checksum_of
from tests.support.ansible_runner import Run, run_playbook, run_tasks
from tests.support.leftovers import Scratch
from tests.support.module_process import module_process
from tests.support.paths import SYSTEM_PYTHON

#: What brings this machine's Python into a container: the playbooks work inside the guests.
MOUNTS = [
    {"type": "bind", "source": path, "target": path, "read_only": True}
    for path in ("/usr", "/lib", "/lib64", "/etc/passwd", "/etc/group")
]
#: site.yml, without what prepares the host.
PLAYS: list[dict[str, Any]] = [
    {
        "name": "Say what is going to be made",
        "hosts": "virt_hosts",
        "gather_facts": False,
        "tasks": [{"ansible.builtin.include_role": {"name": "kraal.virt.fleet", "tasks_from": "announce"}}],
    },
    {"import_playbook": "kraal.virt.provision", "vars": {"fleet_tolerate_failures": True}},
    {"import_playbook": "kraal.virt.configure"},
    {"import_playbook": "kraal.virt.report"},
]


class Site:
    """An inventory with one fleet of Docker guests, which finds them again."""

    def __init__(self, folder: Path, scratch: Scratch, image: str) -> None:
        self.folder, self.scratch, self.network = folder, scratch, scratch("net")
        hosts = {
            "virt_hosts": {
                "hosts": {"localhost": {"ansible_connection": "local", "ansible_python_interpreter": SYSTEM_PYTHON}}
            }
        }
        guests = {
            "plugin": "kraal.virt.guests",
            "host_groups": ["virt_hosts"],
            "query": f"[?labels.\"kraal.fleet\" == '{scratch('fleet')}']",
        }
        docker = {"image": image, "stop_timeout": 1, "mounts": MOUNTS, "networks": [self.network]}
        self.variables: dict[str, Any] = {
            "fleet_name": scratch("fleet"),
            "fleet_networks": [{"name": self.network, "internal": True}],
            "fleet_defaults": {"backend": "docker", "docker": docker},
        }
        for name, content in (
            ("10-hosts.yml", hosts),
            ("20-guests.yml", guests),
            ("group_vars/virt_hosts.yml", self.variables),
            ("site.yml", PLAYS),
        ):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(yaml.safe_dump(content), encoding="utf-8")
        (folder / "group_vars" / "kraal_guests.yml").write_text(
            yaml.safe_dump({"ansible_python_interpreter": SYSTEM_PYTHON}), encoding="utf-8"
        )

    def run(
        self, playbook: str, guests: list[dict[str, Any]] | None = None, check: bool = False, **variables: Any
    ) -> Run:
        listed = [{**guest, "name": self.scratch(guest["name"])} for guest in guests or []]
        sources = [self.folder / name for name in ("10-hosts.yml", "20-guests.yml")]
        return run_playbook(playbook, sources, {"fleet_guests": listed, **variables}, check=check)


@pytest.fixture
def site(tmp_path: Path, scratch: Scratch, base_image: str) -> Iterator[Site]:
    yield Site(tmp_path, scratch, base_image)


def longest(run: Run) -> int:
    """The longest line that a user has to read of a failure."""
    return max(len(line) for line in run.output.splitlines() if "fail" in line.lower() or "docker" in line)


BAD = {"name": "bad", "command": ["/bin/no-such-program", "x" * 400]}


def test_a_guest_that_fails_is_told_shortly_and_the_others_are_configured(
    site: Site, scratch: Scratch, docker_api: docker.APIClient
) -> None:
    guests = [{"name": "web-{i}", "count": 2}, BAD]
    run = site.run(str(site.folder / "site.yml"), guests)
    assert run.rc == 2, run.output
    (reason,) = run.of("Say which guests failed, and what to do")[0]["msg"]
    assert reason.startswith(f"docker {scratch('bad')}: the engine refused: "), reason
    assert reason.endswith("Name a program that the image has, in command or entrypoint."), reason
    assert len(reason) <= 300 and longest(run) < 400, run.output
    assert (
        run.of("Fail for the guests that failed")[0].msg
        == f"1 of 3 guests failed: {scratch('bad')}. Why, and what to do, is told above."
    )
    assert all(
        run.stats[scratch(f"web-{number}")]["failures"] == 0 and run.stats[scratch(f"web-{number}")]["changed"] == 1
        for number in (1, 2)
    ), run.output
    # It opens with what is made and closes with what there is.
    opening = run.of("Say what is going to be made, and how long that takes")[0]["msg"]
    assert opening[0] == f"3 guests on localhost, of the fleet {scratch('fleet')}:" and scratch("web-2") in opening[1]
    assert any(
        re.match(r"The first time this takes about \d+ minutes?, \d+ MiB of downloads and \d+ MiB of disk", line)
        for line in opening
    )
    table = run.of("Show the guests")[0]["msg"]
    assert table[0].split() == ["guest", "backend", "state", "address", "host"]
    address = docker_api.inspect_container(scratch("web-1"))["NetworkSettings"]["Networks"][site.network]["IPAddress"]
    assert table[1].split() == [scratch("web-1"), "docker", "running", address, "localhost"]
    assert (
        table[3].split() == [scratch("bad"), "docker", "not", "made", "(failed)", "-", "localhost"]
        and table[4] == reason
    )
    assert "[WARNING]" not in run.output and "[DEPRECATION" not in run.output, run.output
    # And good when it is mended.
    again = site.run(str(site.folder / "site.yml"), [*guests[:1], {"name": "bad"}])
    assert again.rc == 0 and again.of("Show the guests")[0]["msg"][3].split()[2] == "running", again.output


def test_the_role_alone_fails_in_few_words_and_keeps_the_results(site: Site, scratch: Scratch) -> None:
    """Another fleet's guest is refused, the rest is made; the registered result has it all."""
    other = {
        "backend": "docker",
        "image": site.variables["fleet_defaults"]["docker"]["image"],
        "stop_timeout": 1,
        "name": scratch("theirs"),
    }
    assert not module_process("kraal.virt.fleet", {"name": scratch("other"), "guests": [other]}).failed
    guests = [{"name": "theirs"}, {"name": "mine"}]
    for check in (False, True):
        run = site.run("kraal.virt.provision", guests, check=check)
        assert run.rc == 2 and longest(run) < 400, run.output
        (made,) = run.of("Make the guests")
        assert [each["failed"] for each in made["results"]] == [True, False] and made["failures"] == run.of(
            "Say which guests failed, and what to do"
        )[0]["msg"]
        assert (
            f"it is a guest of the fleet '{scratch('other')}'" in made["failures"][0]
            and f"take_over: [{scratch('other')}]" in made["failures"][0]
        )
        assert (
            run.of("Fail for them")[0].msg
            == f"1 of 2 guests failed: {scratch('theirs')}. Why, and what to do, is told above."
        )
    taken = site.run("kraal.virt.provision", guests, fleet_take_over=[scratch("other")])
    assert taken.rc == 0 and [step["guest"] for step in taken.of("Make the guests")[0]["plan"]] == [
        scratch("theirs")
    ], taken.output


def test_what_no_guest_can_be_made_of_is_told_too(site: Site) -> None:
    run = site.run("kraal.virt.provision", [{"name": "a", "memory": "much"}])
    assert run.rc == 2 and "memory: 'much' is not a size" in run.of("Fail for them")[0].msg and longest(run) < 400, (
        run.output
    )
    run = site.run(
        "kraal.virt.provision",
        fleet_networks=[{"name": site.network, "subnts": []}],
        fleet_base_images=[{"name": "a", "build": {"pakages": []}}],
    )
    assert run.rc == 2 and "what their modules do not know: subnts, pakages" in run.output, run.output


def test_a_network_that_others_use_is_left(
    site: Site, scratch: Scratch, base_image: str, docker_api: docker.APIClient
) -> None:
    def networks() -> list[str]:
        return [network["Name"] for network in docker_api.networks(names=[site.network])]

    assert site.run("kraal.virt.provision", [{"name": "mine"}]).rc == 0
    check = site.run("kraal.virt.teardown", check=True)
    assert (
        check.rc == 0 and check.of("Say that the network would be removed")[0].changed and networks() == [site.network]
    ), check.output
    theirs = {"name": scratch("theirs"), "image": base_image, "networks": [site.network], "stop_timeout": 1}
    assert not module_process("kraal.virt.docker_container", theirs).failed
    run = site.run("kraal.virt.teardown")
    warning = run.of("Warn that the network stays")[0].msg
    assert (
        run.rc == 0 and f"the network {site.network} stays" in warning and f"use it: {scratch('theirs')}. " in warning
    ), run.output
    assert networks() == [site.network] and scratch.found().containers == [scratch("theirs")]
    assert not module_process("kraal.virt.docker_container", {"name": scratch("theirs"), "state": "absent"}).failed
    assert site.run("kraal.virt.teardown").rc == 0 and networks() == []


def built(folder: Path, text: str) -> dict[str, Any]:
    """A base image as its build leaves it, and what the role calls it: nothing is left to build."""
    build = {"suite": "trixie", "packages": ["python3"]}
    want = BASE_IMAGES.read(
        {
            **dict.fromkeys(BASE_IMAGES.by_name),
            "name": "kt-base",
            "state": "present",
            "directory": str(folder),
            "purge": [],
            **build,
        }
    )
    image = folder / file_of("kt-base", request_of(want))
    folder.mkdir(parents=True, exist_ok=True)
    image.write_text(text, encoding="utf-8")
    said = {
        "name": "kt-base",
        "file": image.name,
        "request": request_of(want),
        "checksum": checksum_of(image),
        "size": len(text),
    }
    image.with_suffix(".json").write_text(json.dumps(said), encoding="utf-8")
    for path in (image, image.with_suffix(".json")):
        path.chmod(0o600)
    return {"name": "kt-base", "build": build}


@pytest.mark.parametrize("builder", ["localhost", "guest"])
def test_a_base_image_is_brought_to_a_host_that_lacks_it(
    builder: str, tmp_path: Path, scratch: Scratch, base_image: str
) -> None:
    """From the controller, or over it from another host: a container stands for that, with a file system of its own
    below /srv.
    """
    name, store = scratch("host"), tmp_path / "store"
    folder = Path("/srv") / name
    mounts = [*MOUNTS, {"type": "bind", "source": str(store), "target": "/srv"}]
    (tmp_path / "here").mkdir()
    store.mkdir()
    assert not module_process(
        "kraal.virt.docker_container", {"name": name, "image": base_image, "stop_timeout": 1, "mounts": mounts}
    ).failed
    inside = {"ansible_connection": "kraal.virt.guest", "ansible_python_interpreter": SYSTEM_PYTHON}
    hosts = {"localhost": {"ansible_connection": "local", "ansible_python_interpreter": SYSTEM_PYTHON}, name: inside}
    here, there = folder, store / name
    image = built(here if builder == "localhost" else there, "kt")
    given = {
        "fleet_base_images": [image],
        "fleet_build_dir": str(folder),
        "fleet_build_host": name if builder == "guest" else builder,
    }
    lacking = there if builder == "localhost" else here
    try:
        for check in (True, False, False):
            run = run_playbook(
                "kraal.virt.provision",
                {"virt_hosts": {"hosts": hosts}},
                given,
                check=check,
                env={"HOME": str(tmp_path)},
            )
            assert run.rc == 0, run.output
            found = {path.name: (path.stat().st_mode & 0o777, path.is_symlink()) for path in lacking.glob("*")}
            if check:
                assert run.changed and not found, run.output
        assert run.changed == 0, run.output
        (archive,) = lacking.glob("*-*-*.tar")
        assert found[archive.name] == found[archive.with_suffix(".json").name] == (0o600, False), found
        assert (lacking / "kt-base.tar").readlink() == Path(archive.name) and archive.read_text(
            encoding="utf-8"
        ) == "kt"
        assert lacking.stat().st_mode & 0o777 == 0o711
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_no_disk_goes_while_libvirt_cannot_say_whose_it_is(tmp_path: Path) -> None:
    """What stands on a base image is lost without it, and a libvirt that does not answer knows of guests all the
    same.
    """
    disk = tmp_path / "kt-vm-0123456789ab.qcow2"
    disk.write_bytes(b"kt")
    hosts = {
        "virt_hosts": {
            "hosts": {"localhost": {"ansible_connection": "local", "ansible_python_interpreter": SYSTEM_PYTHON}}
        }
    }
    given = {
        "fleet_build_dir": str(tmp_path),
        "fleet_base_images": [{"name": "kt-vm", "build": {"format": "qcow2"}}],
        "fleet_ssh_key": "",
    }
    dead = {"LIBVIRT_DEFAULT_URI": f"qemu+unix:///system?socket={tmp_path}/none"}
    tasks = [{"ansible.builtin.include_role": {"name": "kraal.virt.fleet", "tasks_from": "purge"}}]
    play = tmp_path / "purge.yml"
    play.write_text(
        yaml.safe_dump([{"hosts": "virt_hosts", "gather_facts": False, "environment": dead, "tasks": tasks}]),
        encoding="utf-8",
    )
    run = run_playbook(play, hosts, extra_vars=given)
    (asked,) = run.of("Check that libvirt can say which guests disks are for")
    assert run.rc != 0 and asked.failed and "kvm" in asked.msg, run.output
    assert disk.exists()


def test_the_host_keys_of_machines_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    """Each machine has one under its UUID, which nobody asks for again."""
    key, known = tmp_path / "key", tmp_path / "key.known_hosts"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    kind, text, _comment = Path(f"{key}.pub").read_text(encoding="utf-8").split()
    gone, failed, other = (f"{number}1111111-1111-1111-1111-111111111111" for number in range(3))
    known.write_text("".join(f"{name} {kind} {text}\n" for name in (gone, failed, other)), encoding="utf-8")
    # On Debian, ssh writes them so.
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(known)], check=True, capture_output=True)
    plan = [
        {"guest": "gone", "action": "remove", "before": {"state": "stopped", "image": "", "uuid": gone}},
        {"guest": "failed", "action": "remove", "before": {"state": "stopped", "image": "", "uuid": failed}},
        {"guest": "web", "action": "remove", "before": {"state": "stopped", "image": "debian:12"}},
        {"guest": "other", "action": "set", "before": {"uuid": other}},
    ]
    results = [{"guest": name, "failed": name == "failed"} for name in ("gone", "failed", "web", "other")]
    task = {
        "ansible.builtin.include_role": {"name": "kraal.virt.fleet", "tasks_from": "forget"},
        "vars": {"fleet_ssh_key": str(key), "fleet_result": {"plan": plan, "results": results}},
    }
    run = run_tasks([task], keep_going=False)
    assert run.rc == 0 and run.changed == 1, run.output

    def knows(name: str) -> bool:
        return subprocess.run(["ssh-keygen", "-F", name, "-f", str(known)], capture_output=True).returncode == 0

    assert [knows(name) for name in (gone, failed, other)] == [False, True, True]
