# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the integration tests.

Session fixtures belong to one pytest process (a worker of pytest-xdist) each; what it makes bears its name.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import DockerException

from tests.lab import hypervisor as virtual
from tests.lab import images, keys, machine
from tests.lab.hosts import LABEL, LASTING_LIBVIRTD, Lab, LabHost
from tests.lab.images import HostImage, unload_all
from tests.support.certificates import Authority
from tests.support.corpus import NoCorpus, fetched
from tests.support.daemons import SecondDaemon
from tests.support.images import BUSYBOX, BaseImages
from tests.support.leftovers import PREFIX, Bystanders, Scratch, find, nameless, remove
from tests.support.libvirt_calls import ALLOWED, CALLED
from tests.support.libvirt_daemon import LibvirtDaemon
from tests.support.libvirt_host import LibvirtHost
from tests.support.lxc import LxcLab
from tests.support.proxy import DOCKER_SOCKET, RecordingProxy
from tests.support.registry import Registry
from tests.support.session import abandoned, claimed, new_name
from tests.support.tables import Explored
from tests.support.tiny_guest import TinyGuest

#: Why what runs on Debian sid does so in make test-all alone.
NEWEST = "engines that no release has yet: what they are to show is shown with those of a release in every run"


@pytest.fixture(scope="session")
def worker() -> str:
    """Which of the processes of this run this is: gw0, gw1, ...

    or main. For ports and the like; names on a daemon begin with `prefix`.
    """
    return os.environ.get("PYTEST_XDIST_WORKER", "main")


@pytest.fixture(scope="session")
def run_name() -> Iterator[str]:
    """The name of this pytest process among all that use this machine's daemon."""
    name = new_name()
    with claimed(name):
        yield name


@pytest.fixture(scope="session")
def prefix(run_name: str) -> str:
    """How the name of everything that this process makes on a daemon begins."""
    return f"{PREFIX}{run_name}-"


@pytest.fixture(scope="session")
def docker_daemon() -> str:
    """The URL of this machine's docker daemon, which `make test` has prepared."""
    url = f"unix://{DOCKER_SOCKET}"
    try:
        with docker.APIClient(base_url=url, version="auto", timeout=10) as client:
            client.ping()
    except DockerException as error:
        pytest.fail(
            f"no docker daemon answers on {url} ({error}); 'make test' prepares this machine, or start dockerd "
            "yourself",
            pytrace=False,
        )
    return url


@pytest.fixture(scope="session")
def docker_api(docker_daemon: str) -> Iterator[docker.APIClient]:
    """The daemon as it is, beside the modules: for looking and for setting a scene."""
    with docker.APIClient(base_url=docker_daemon, version="auto", timeout=60) as client:
        yield client


@pytest.fixture(scope="session")
def leftovers(docker_api: docker.APIClient, prefix: str, run_name: str) -> Iterator[None]:
    """At the end, everything with our prefix is gone and everybody else's things are untouched."""
    if not Path(BUSYBOX).exists():
        pytest.fail(f"{BUSYBOX} is missing: install the packages of tests/apt-packages.txt", pytrace=False)
    for name in abandoned():
        for lab in ("lab", "libvirt"):
            Lab(f"{PREFIX}{name}-{lab}").down()
        virtual.end(f"{PREFIX}{name}-hypervisor")
        remove(docker_api, f"{PREFIX}{name}-")
        Bystanders(docker_api, name).remove()
    bystanders = Bystanders(docker_api, run_name)
    bystanders.create()
    yield
    found, changed = find(docker_api, prefix), bystanders.changed()
    remove(docker_api, prefix)
    bystanders.remove()
    assert not found, f"left over by the tests: {found}"
    assert not changed, f"not the tests' to touch: {changed}"


@pytest.fixture(scope="module")
def explored(request: pytest.FixtureRequest, worker: str, tmp_path_factory: pytest.TempPathFactory) -> Explored:
    """The crashes that a file's tests have tried, in whichever process of the run."""
    own = tmp_path_factory.getbasetemp()
    directory = (own if worker == "main" else own.parent) / f"explored-{request.module.__name__}"
    directory.mkdir(exist_ok=True)
    return Explored(request.config.getoption("--all"), directory)


@pytest.fixture(scope="session")
def lxc(run_name: str) -> Iterator[LxcLab]:
    """A directory of LXC containers, a bridge and tiny root file systems of this process's own."""
    lab = LxcLab.create(run_name)
    yield lab
    states = lab.states()
    lab.remove()
    assert not states, f"left over by the tests: {states}"


@pytest.fixture(scope="session")
def base_images(docker_api: docker.APIClient, prefix: str, leftovers: None) -> Iterator[BaseImages]:
    """Three tiny images: `one`, `two` (other content), `healthy` (with a health check, good after $KT_HEALTHY_AFTER
    seconds).
    """
    images = BaseImages.create(docker_api, prefix)
    yield images
    built = nameless(docker_api, {*images.ids.values()})
    remove(docker_api, images.one.partition(":")[0])
    assert not built, f"left over by the tests: {built}"


@pytest.fixture(scope="session")
def base_image(base_images: BaseImages) -> str:
    """The name of a tiny image."""
    return base_images.one


@pytest.fixture
def scratch(docker_api: docker.APIClient, prefix: str, leftovers: None) -> Iterator[Scratch]:
    """Names for one test: containers, networks, volumes and images called `scratch("...")` are removed after it."""
    names = Scratch(docker_api, prefix)
    yield names
    names.clean()


@pytest.fixture
def short_tmp() -> Iterator[Path]:
    """A temporary directory with a short path: a unix socket's path may have 107 characters."""
    with tempfile.TemporaryDirectory(prefix="kt-") as directory:
        yield Path(directory)


@pytest.fixture
def proxy(docker_daemon: str, short_tmp: Path) -> Iterator[RecordingProxy]:
    """A recording proxy in front of the real daemon: give the module `docker_host: proxy.base_url`."""
    with RecordingProxy(short_tmp) as recorder:
        yield recorder


@pytest.fixture(scope="module")
def second_daemon(leftovers: None) -> Iterator[SecondDaemon]:
    """A daemon of our own with 64 MiB of disk."""
    with tempfile.TemporaryDirectory(prefix="kt-") as directory, SecondDaemon(Path(directory)) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def tls_daemon(leftovers: None) -> Iterator[SecondDaemon]:
    """A daemon of our own that listens on TCP with TLS and demands client certificates."""
    with tempfile.TemporaryDirectory(prefix="kt-") as directory:
        authority = Authority(Path(directory, "certificates"))
        with SecondDaemon(Path(directory), authority=authority) as daemon:
            yield daemon


@pytest.fixture(scope="session")
def registry(docker_api: docker.APIClient, prefix: str, leftovers: None) -> Iterator[Registry]:
    """A registry with TLS and a login that this machine's daemon trusts: `registry.push(image, "name:tag")`,
    `registry.auth`.
    """
    with (
        tempfile.TemporaryDirectory(prefix="kt-") as directory,
        Registry(docker_api, Path(directory), prefix) as server,
    ):
        yield server


@pytest.fixture(scope="session")
def libvirt_daemon(request: pytest.FixtureRequest) -> Iterator[LibvirtDaemon]:
    """A libvirtd of this process's own in namespaces of its own, or the one of a lab host: give the module `uri:
    libvirt_daemon.uri`.
    """
    suite = getattr(request, "param", None) or request.config.getoption("--libvirt")
    if suite is None:
        with tempfile.TemporaryDirectory(prefix="kt-") as directory, LibvirtDaemon(Path(directory)) as daemon:
            yield daemon
        assert CALLED <= ALLOWED, "what all plans together have called of libvirt are reads"
        return
    for name in ("leftovers", "lab_images"):
        request.getfixturevalue(name)
    name = f"{request.getfixturevalue('prefix')}libvirt"
    with (
        tempfile.TemporaryDirectory(prefix="kt-", dir="/var/tmp") as directory,
        Lab(name) as lab,
        LibvirtHost(Path(directory), suite, lab) as daemon,
    ):
        yield daemon


@pytest.fixture(scope="session")
def corpus_directory(pytestconfig: pytest.Config) -> Path:
    """Definitions of guests, networks and pools that others have written."""
    named = pytestconfig.getoption("--corpus")
    try:
        return Path(named) if named else fetched()
    except NoCorpus as error:
        pytest.skip(str(error))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What is marked so runs with the libvirtd of a Debian 13 lab host, and of the newest, unless another was chosen
    for all.
    """
    if metafunc.definition.get_closest_marker("on_debian_13") and metafunc.config.getoption("--libvirt") is None:
        newest = pytest.param("sid", marks=pytest.mark.only_all(NEWEST))
        metafunc.parametrize("libvirt_daemon", ["trixie", newest], indirect=True, scope="session")


@pytest.fixture(scope="session")
def lab_images(docker_api: docker.APIClient) -> Iterator[None]:
    """At the session's end the lab's images leave the daemon; their files stay in the cache."""
    yield
    unload_all(docker_api)


@pytest.fixture(scope="module")
def lab(prefix: str, leftovers: None, lab_images: None) -> Iterator[Lab]:
    """An empty lab for one test file: `lab.up(HostImage("bookworm", packages=("docker.io",)), ...)` boots what it
    needs.
    """
    with Lab(f"{prefix}lab") as machines:
        yield machines


@pytest.fixture(scope="module")
def lab_hosts(lab: Lab) -> list[LabHost]:
    """A Debian 12 and a Debian 13 host, fresh for each test file."""
    return lab.up(HostImage("bookworm"), HostImage("trixie"))


@pytest.fixture(scope="module")
def bare_host(lab: Lab, lab_hosts: list[LabHost], docker_api: Any) -> LabHost:
    """A twin of the Debian 13 host whose first process is not an init system, and does not even bury its dead.

    It goes with the lab.
    """
    host = lab_hosts[1]
    like = docker_api.inspect_container(host.name)
    name = f"{host.name}-bare"
    docker_api.create_volume(f"{name}-docker", labels={LABEL: lab.name})
    # Not the other's volume, nor the directory through which it said that it is up, which is gone by now.
    binds = [bind for bind in like["HostConfig"]["Binds"] if ":/var/lib/docker" not in bind and ":/notify" not in bind]
    body = {
        "Image": like["Config"]["Image"],
        "Hostname": name,
        "Cmd": ["sleep", "infinity"],
        "Labels": {LABEL: lab.name},
        "HostConfig": {**like["HostConfig"], "Binds": [f"{name}-docker:/var/lib/docker", *binds]},
    }
    docker_api.create_container_from_config(body, name)
    private, public = keys.new_key()
    twin = dataclasses.replace(host, name=name)
    lab.copy(twin, machine.files(host.suite))
    authorized = images.controller_key()
    lab.copy(twin, {"/etc/ssh/ssh_host_ed25519_key": private, "/root/.ssh/authorized_keys": authorized}, 0o600)
    docker_api.start(name)
    lab.run(twin, ["mkdir", "/run/sshd"])
    lab.run(twin, ["/usr/sbin/sshd"])
    address = docker_api.inspect_container(name)["NetworkSettings"]["Networks"][lab.name]["IPAddress"]
    with host.known_hosts.open("a", encoding="utf-8") as known:
        known.write(f"{address},{name} {public.decode()}")
    return dataclasses.replace(twin, address=address)


@pytest.fixture(scope="module")
def hypervisor(prefix: str, leftovers: None) -> Iterator[virtual.Hypervisor]:
    """A Debian 12 on an emulated processor with AMD-V, with what kvm_host would install; in /srv/kt the kernel and
    the initramfs of the tiny guest.
    """
    reason = virtual.unusable()
    if reason:
        pytest.skip(reason)
    tiny = TinyGuest.build()
    files = {
        "/srv/kt/vmlinuz": tiny.kernel.read_bytes(),
        "/srv/kt/initrd": tiny.initrd.read_bytes(),
        **LASTING_LIBVIRTD,
    }
    one = virtual.Hypervisor(f"{prefix}hypervisor", virtual.HypervisorImage("bookworm"), files)
    with one:
        yield one
