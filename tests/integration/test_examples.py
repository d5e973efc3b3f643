# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples in the modules' documentation, run as they stand, and their results against what the documentation says
of them.

They run against a daemon of the tests' own, so that the plain names of a documentation can meet nobody's guests.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.ansible_runner import run_tasks
from tests.support.daemons import SecondDaemon
from tests.support.images import import_image, root_tar
from tests.support.libvirt_daemon import LibvirtDaemon
from tests.support.lxc import system_tar
from tests.support.paths import COLLECTIONS, ROOT, program
from tests.support.stand_in import stand_in

MODULES = ROOT / "plugins" / "modules"

#: What Ansible itself adds to a result, or takes from it.
OF_ANSIBLE = {
    "changed",
    "failed",
    "diff",
    "invocation",
    "warnings",
    "deprecations",
    "ansible_facts",
    "ansible_loop_var",
    "item",
}


@dataclass(frozen=True)
class Preparation:
    """What a module's examples take for granted."""

    #: Names under which a tiny image is there.
    images: tuple[str, ...] = ()
    #: Paths of the host that examples name, each with the files below it; they are there in a directory of the test's
    #: own.
    paths: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)
    #: Defaults of modules that keep the examples off the host's own directories; <directory> is the test's own.
    defaults: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    #: Commands that run beside the tests' libvirtd before, where its bridges and its directories are.
    inside: tuple[str, ...] = ()
    #: The tasks that change nothing, by name.
    unchanged: tuple[str, ...] = ()
    #: The tasks that another test runs, by name.
    elsewhere: tuple[str, ...] = ()
    #: Without --all, a program in the place of mmdebstrap: test_base_image.py builds for real, and so does the README.
    stand_in: bool = False


#: Of base_image. test_base_image_disk.py builds that disk, and boots it.
DISK = "Build a disk that boots"

PREPARATIONS: dict[str, Preparation] = {
    "base_image": Preparation(
        defaults={"kraal.virt.base_image": {"directory": "<directory>/cache"}}, elsewhere=(DISK,), stand_in=True
    ),
    "docker_container": Preparation(images=("debian:12",)),
    "docker_image": Preparation(
        paths={
            "/var/cache/kraal.virt": {"base.tar": root_tar("example")},
            "/srv/app": {"Dockerfile": b"FROM team/base:1\nENV APP=1\n"},
        }
    ),
    "docker_network": Preparation(),
    "docker_volume": Preparation(),
    "fleet": Preparation(images=("debian:12",)),
    "fleet_resources": Preparation(defaults={"kraal.virt.fleet_resources": {"directory": "<directory>/cache"}}),
    "lxc_container": Preparation(
        paths={"/var/cache/kraal.virt": {"base.tar": system_tar("example")}},
        defaults={"kraal.virt.lxc_container": {"lxc_path": "<directory>/lxc", "stop_timeout": "1"}},
    ),
    "host_info": Preparation(
        unchanged=(
            "Look at the host",
            "Tell what it can run",
            "Look whether containers can run, and nothing else",
            "Fail where they cannot",
        )
    ),
    "guests_info": Preparation(
        unchanged=(
            "Look at all guests",
            "Tell their names",
            "Look at the running Docker containers only",
            "Look at what a second engine of the host has, too",
        )
    ),
    "kvm_network": Preparation(inside=("ip link add br0 type bridge",)),
    "kvm_pool": Preparation(),
    "kvm_volume": Preparation(
        paths={"/srv/images": {"debian.raw": b"test"}},
        inside=(
            "mkdir -p /var/lib/libvirt/images",
            "virsh pool-define-as images dir --target /var/lib/libvirt/images",
            "virsh pool-start images",
        ),
    ),
    "ssh_key": Preparation(paths={"~/.ssh": {}}),
}


def all_modules() -> list[str]:
    return sorted(path.stem for path in MODULES.glob("*.py") if path.stem != "__init__")


def module_names() -> list[str]:
    """All but virtual machines, whose examples need more than a name changed, and bridges and setups, which need a host
    to lose: see kvm_vm/test_examples.py, test_host_bridge.py, and the tests of the roles of hosts.
    """
    return [name for name in all_modules() if name not in ("host_bridge", "kvm_vm") and not name.endswith("_setup")]


def examples(module: str) -> list[dict[str, Any]]:
    """The tasks of a module's EXAMPLES."""
    tree = ast.parse((MODULES / f"{module}.py").read_text(encoding="utf-8"))
    for statement in tree.body:
        if (
            isinstance(statement, ast.Assign)
            and isinstance(statement.targets[0], ast.Name)
            and statement.targets[0].id == "EXAMPLES"
        ):
            tasks: list[dict[str, Any]] = yaml.safe_load(ast.literal_eval(statement.value))
            return tasks
    raise AssertionError(f"{module} has no examples")


@cache
def documentation() -> dict[str, Any]:
    names = [f"kraal.virt.{name}" for name in all_modules()]
    environment = dict(os.environ, ANSIBLE_COLLECTIONS_PATH=str(COLLECTIONS))
    done = subprocess.run(
        [program("ansible-doc"), "--json", *names],
        check=True,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    docs: dict[str, Any] = json.loads(done.stdout)
    return docs


@pytest.fixture(scope="module")
def daemon(leftovers: None) -> Iterator[SecondDaemon]:
    """With networks, unlike the others: inside a network namespace of its own it meets nobody's bridge."""
    with (
        tempfile.TemporaryDirectory(prefix="kt-") as directory,
        SecondDaemon(Path(directory), size="1G", args=["--bridge=", "--bip=172.31.253.1/24"]) as second,
    ):
        inside = [
            "nsenter",
            "--target",
            (Path(directory) / "dockerd.pid").read_text(encoding="utf-8").strip(),
            "--net",
            "--",
        ]
        subprocess.run([*inside, "ip", "link", "set", "lo", "up"], check=True)
        yield second


def test_every_module_is_prepared() -> None:
    assert sorted(PREPARATIONS) == module_names()


@pytest.mark.parametrize("module", module_names())
def test_the_examples_run(
    module: str, daemon: SecondDaemon, libvirt_daemon: LibvirtDaemon, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    preparation = PREPARATIONS[module]
    tasks = [task for task in examples(module) if task["name"] not in preparation.elsewhere]
    assert len(tasks) + len(preparation.elsewhere) == len(examples(module))
    text = json.dumps(tasks)
    for number, (path, files) in enumerate(preparation.paths.items()):
        own = tmp_path / str(number)
        own.mkdir()
        for name, content in files.items():
            (own / name).write_bytes(content)
        assert path in text
        text = text.replace(path, str(own))
    defaults = json.loads(json.dumps(preparation.defaults).replace("<directory>", str(tmp_path)))
    (tmp_path / "cache").mkdir()
    for command in preparation.inside:
        libvirt_daemon.inside(*command.split())
    env = {"DOCKER_HOST": daemon.base_url, "LIBVIRT_DEFAULT_URI": libvirt_daemon.uri}
    if preparation.stand_in and not request.config.getoption("--all"):
        env["PATH"] = f"{stand_in(tmp_path / 'bin').parent}:{os.environ['PATH']}"
    with daemon.client() as client:
        for image in preparation.images:
            import_image(client, image, module)
        run = run_tasks(json.loads(text), env=env, module_defaults=defaults, keep_going=False)
        left = client.containers(all=True)
        for container in left:
            client.remove_container(container["Id"], force=True, v=True)
    libvirt_daemon.clear()
    assert run.rc == 0, run.output
    assert [result.task for result in run.results] == [task["name"] for task in tasks]
    wrong = {
        result.task: result.changed
        for result in run.results
        if result.changed == (result.task in preparation.unchanged)
    }
    assert wrong == {}, run.output
    assert left == [], "the examples clear up after themselves"
    for task, result in zip(tasks, run.results, strict=True):
        (called,) = [key.removeprefix("kraal.virt.") for key in task if "." in key]
        if called in PREPARATIONS:
            for one in result.json["results"] if "loop" in task else [result.json]:
                check_return(called, result.task, one)


def check_return(module: str, task: str, values: Mapping[str, Any]) -> None:
    """What comes back is what the documentation says of it."""
    described = documentation()[f"kraal.virt.{module}"]["return"]
    assert {key for key in values if not key.startswith("_ansible")} - OF_ANSIBLE <= set(described), (
        f"{task}: not documented"
    )
    missing = {key for key, of in described.items() if of["returned"] == "always" and key not in values}
    assert not missing, f"{task}: documented, and not returned"
    for key, of in described.items():
        parts = values.get(key) or [] if of["type"] == "list" else [values.get(key)]
        for part in parts:
            if isinstance(part, dict) and key != "ansible_facts":
                assert set(part) == keys_in(module, key), f"{task}: {key}"


#: What is documented as what another module returns.
AS_ELSEWHERE = {"guests": ("guests_info", "guests"), "base_images": ("base_image", "base_image")}


def keys_in(module: str, key: str) -> set[str]:
    """The keys of a mapping, or of each in a list, as they are documented."""
    of = documentation()[f"kraal.virt.{module}"]["return"][key]
    if "contains" not in of and "sample" not in of:
        return keys_in(*AS_ELSEWHERE[key])
    return set(of.get("contains") or (of["sample"][0] if of["type"] == "list" else of["sample"]))
