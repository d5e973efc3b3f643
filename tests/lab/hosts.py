# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Boots systemd hosts in containers: real Debian machines with their own network, packages and services, reachable over
ssh.

with Lab("kt-lab") as lab:
    one, two = lab.up(HostImage("bookworm"), HostImage("trixie"))
    lab.run(one, ["systemctl", "is-system-running"])
"""

from __future__ import annotations

import io
import ipaddress
import shlex
import shutil
import socket
import tarfile
import tempfile
import time
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import docker
from docker.errors import APIError

from tests.support.docker_exec import Output, run_inside
from tests.support.paths import SYSTEM_PYTHON
from tests.support.proxy import DOCKER_SOCKET

from . import images, keys, machine
from .images import HostImage

LABEL = "kt.lab"
#: For hosts whose processes are looked at: Debian's unit has libvirtd end where nobody has asked it anything for two
#: minutes.
LASTING_LIBVIRTD = {
    "/etc/systemd/system/libvirtd.service.d/kt.conf": b"[Service]\nExecStart=\nExecStart=/usr/sbin/libvirtd\n"
}
BOOT = 600

#: Networks for benchmarks (RFC 2544): no other network has these addresses. Those below 100 are for networks that tests
#: make on such hosts.
SUBNETS = [ipaddress.ip_network(f"198.18.{number}.0/24") for number in range(100, 164)]
FIRST_ADDRESS = 10


@dataclass(frozen=True)
class LabHost:
    """A running lab host and how to reach it."""

    name: str
    address: str
    suite: str
    key: Path
    known_hosts: Path
    port: int = 22

    @property
    def distribution(self) -> str:
        return f"Debian {images.RELEASES.get(self.suite, self.suite)}"

    @property
    def ssh_options(self) -> list[str]:
        return [
            "-o",
            f"UserKnownHostsFile={self.known_hosts}",
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
            "IdentitiesOnly=yes",
            "-i",
            str(self.key),
        ]

    @property
    def ssh_args(self) -> list[str]:
        """An argument vector; add the remote command."""
        return ["ssh", *self.ssh_options, "-p", str(self.port), "-o", "BatchMode=yes", f"root@{self.address}"]

    @property
    def inventory(self) -> dict[str, Any]:
        """Variables of this host in an Ansible inventory."""
        return {
            "ansible_host": self.address,
            "ansible_port": self.port,
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(self.key),
            "ansible_ssh_common_args": shlex.join(self.ssh_options[:6]),
            "ansible_python_interpreter": SYSTEM_PYTHON,
        }


class Lab:
    """A network with hosts, all named after it, and removed with it."""

    def __init__(self, name: str, base_url: str = f"unix://{DOCKER_SOCKET}") -> None:
        self.name = name
        self.directory = images.LAB / name
        self.hosts: list[LabHost] = []
        self._client = docker.APIClient(base_url=base_url, version="auto", timeout=120)

    def __enter__(self) -> Lab:
        self.down()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.down()
        self._client.close()

    def up(self, *wanted: HostImage, binds: Sequence[str] = ()) -> list[LabHost]:
        """Boot hosts side by side (NAME-1, NAME-2, ...) beside those that are up; returns when systemd has started all
        of each.

        `binds` are more directories of this machine for them, as docker writes them (FROM:TO, or FROM:TO:ro). None to
        below /tmp: systemd clears it.
        """
        network = self._network()
        notify = Path(tempfile.mkdtemp(prefix="kt-lab-"))
        started: list[tuple[LabHost, socket.socket]] = []
        try:
            for image in wanted:
                number = len(self.hosts) + 1
                host = self._create(image, f"{self.name}-{number}", str(network[FIRST_ADDRESS + number]), notify, binds)
                ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                started.append((host, ready))
                ready.bind(str(notify / f"{host.name}.sock"))
                self.hosts.append(host)
                self._client.start(host.name)
            deadline = time.monotonic() + BOOT
            for image, (host, ready) in zip(wanted, started, strict=True):
                if image.has_init:
                    self._wait_until_up(host, ready, deadline)
        finally:
            for dummy, ready in started:
                ready.close()
            shutil.rmtree(notify)
        return [host for host, dummy in started]

    def down(self) -> None:
        """Remove the hosts with their volumes and the network; also those of an earlier run that was killed."""
        for item in self._client.containers(all=True, filters={"label": f"{LABEL}={self.name}"}):
            self._client.remove_container(item["Id"], force=True, v=True)
            for mount in item["Mounts"]:
                # Docker makes it anew whenever files are put onto the host.
                if mount["Destination"] == "/notify" and Path(mount["Source"]).exists():
                    shutil.rmtree(mount["Source"])
        for volume in self._client.volumes(filters={"label": f"{LABEL}={self.name}"})["Volumes"] or []:
            self._client.remove_volume(volume["Name"])
        for network in self._client.networks(filters={"label": f"{LABEL}={self.name}"}):
            self._client.remove_network(network["Id"])
        self.hosts.clear()
        if self.directory.exists():
            shutil.rmtree(self.directory)

    def run(self, host: LabHost, argv: Sequence[str], *, check: bool = True) -> Output:
        """Run a command on a host, past its sshd; also while the host is cut off."""
        return run_inside(self._client, host.name, argv, check=check, environment=machine.environment())

    def process(self, host: LabHost) -> int:
        """The host's first process, by its number on this machine: whoever enters its namespaces is there."""
        return int(self._client.inspect_container(host.name)["State"]["Pid"])

    def copy(self, host: LabHost, files: dict[str, bytes], mode: int = 0o644) -> None:
        """Put files onto a host, by absolute path (not below its tmpfs directories /run and /tmp)."""
        self._client.put_archive(host.name, "/", tar_of(files, mode))

    def cut(self, host: LabHost) -> None:
        """Pull the host's network cable: it goes on running and answers nobody."""
        self._client.disconnect_container_from_network(host.name, self.name)

    def restore(self, host: LabHost) -> None:
        """Plug the cable in again, with the same address."""
        self._client.connect_container_to_network(host.name, self.name, ipv4_address=host.address)

    def restart(self, *hosts: LabHost, within: int = 30) -> None:
        """Start hosts anew, side by side, their disks kept; returns when systemd has started all of each.

        What is not down `within` so many seconds is cut off.
        """
        started: list[tuple[LabHost, socket.socket, Path]] = []
        try:
            for host in hosts:
                binds = self._client.inspect_container(host.name)["HostConfig"]["Binds"]
                notify = Path(next(bind.partition(":")[0] for bind in binds if ":/notify:" in bind))
                # Hosts that came up together have one directory; it went when they were up.
                notify.mkdir(exist_ok=True)
                ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                started.append((host, ready, notify))
                ready.bind(str(notify / f"{host.name}.sock"))
            with ThreadPoolExecutor(max_workers=max(1, len(hosts))) as pool:
                list(pool.map(lambda host: self._client.restart(host.name, timeout=within), hosts))
            deadline = time.monotonic() + BOOT
            for host, ready, dummy in started:
                self._wait_until_up(host, ready, deadline)
        finally:
            for _host, ready, notify in started:
                ready.close()
                shutil.rmtree(notify, ignore_errors=True)

    def freeze(self, host: LabHost) -> None:
        """Stop the host's processes: connections to it open and then hang, the worst kind of a dead host."""
        self._client.pause(host.name)

    def thaw(self, host: LabHost) -> None:
        self._client.unpause(host.name)

    def inventory(self, group: str = "virt_hosts", **variables: Any) -> dict[str, Any]:
        """The hosts as the data of an Ansible inventory, in one group."""
        return {
            "all": {
                "children": {group: {"hosts": {host.name: host.inventory for host in self.hosts}, "vars": variables}}
            }
        }

    def ssh_program(self) -> Path:
        """A directory with an `ssh` for PATH that knows these hosts by name and address, for programs that take no
        options for ssh (ssh:// of docker).
        """
        directory = self.directory / "bin"
        directory.mkdir(exist_ok=True)
        config = self.directory / "ssh_config"
        stanzas = [
            f"Host {host.name} {host.address}\n  HostName {host.address}\n  User root\n  IdentityFile {host.key}\n  "
            f"IdentitiesOnly yes\n  UserKnownHostsFile {host.known_hosts}\n  StrictHostKeyChecking yes\n  BatchMode "
            "yes\n"
            for host in self.hosts
        ]
        config.write_text("\n".join(stanzas), encoding="utf-8")
        program = directory / "ssh"
        program.write_text(
            f'#!/bin/sh\nexec {shutil.which("ssh")} -F {shlex.quote(str(config))} "$@"\n', encoding="utf-8"
        )
        program.chmod(0o755)
        return directory

    # The inside

    def _network(self) -> ipaddress.IPv4Network:
        """The lab's network, made with the first free range: fixed addresses need a range that was asked for."""
        for item in self._client.networks(filters={"label": f"{LABEL}={self.name}"}):
            return ipaddress.IPv4Network(item["IPAM"]["Config"][0]["Subnet"])
        routed = machine.routed()
        for subnet in SUBNETS:
            # On a host that is itself one of a lab, that lab's network.
            if any(subnet.overlaps(other) for other in routed):
                continue
            pool = docker.types.IPAMPool(subnet=str(subnet), gateway=str(subnet[1]))
            try:
                self._client.create_network(
                    self.name,
                    driver="bridge",
                    labels={LABEL: self.name},
                    ipam=docker.types.IPAMConfig(pool_configs=[pool]),
                    options={"com.docker.network.driver.mtu": str(machine.mtu())},
                )
            except APIError as error:
                if "overlap" not in str(error.explanation):
                    raise
                continue
            return ipaddress.IPv4Network(str(subnet))
        raise RuntimeError(f"no free range for the lab's network among {SUBNETS[0]} to {SUBNETS[-1]}")

    def _create(self, image: HostImage, name: str, address: str, notify: Path, more: Sequence[str]) -> LabHost:
        volume = f"{name}-docker"
        self.directory.mkdir(parents=True, exist_ok=True)
        self._client.create_volume(volume, labels={LABEL: self.name})
        binds = [
            f"{volume}:/var/lib/docker",
            f"{machine.control_groups(image.suite)}:/sys/fs/cgroup:rw",
            f"{notify}:/notify:rw",
        ]
        binds += [f"{directory}:{directory}:ro" for directory in machine.pip().directories]
        binds.append(f"{images.archive(image.suite)}:{machine.ARCHIVE}")
        binds += more
        body: dict[str, Any] = {
            "Image": "",
            "Hostname": name,
            # What stands for an init system in many a container does not even take note of the processes that end below
            # it.
            "Cmd": ["/sbin/init"] if image.has_init else ["sleep", "infinity"],
            # systemd tells whoever started it when everything is up, as a service tells systemd.
            "Env": [f"NOTIFY_SOCKET=/notify/{name}.sock", "container=docker"],
            "Labels": {LABEL: self.name},
            "StopSignal": "SIGRTMIN+3" if image.has_init else "SIGKILL",
            "HostConfig": {
                "Binds": binds,
                "CapAdd": ["ALL"],
                # Not every machine has it to give; docker's --privileged fails there.
                "CapDrop": ["SYS_RESOURCE"],
                "SecurityOpt": ["seccomp=unconfined", "apparmor=unconfined"],
                # What the CLI makes of systempaths=unconfined.
                "MaskedPaths": [],
                "ReadonlyPaths": [],
                # Nested engines cannot start containers in a cgroup namespace of the host's own.
                "CgroupnsMode": "host",
                "DeviceCgroupRules": ["a *:* rwm"],
                "Devices": [
                    {"PathOnHost": path, "PathInContainer": path, "CgroupPermissions": "rwm"}
                    for path in ("/dev/net/tun", "/dev/fuse", "/dev/loop-control")
                ],
                "Tmpfs": {"/run": "", "/run/lock": "", "/tmp": "exec"},
                "NetworkMode": self.name,
            },
            "NetworkingConfig": {"EndpointsConfig": {self.name: {"IPAMConfig": {"IPv4Address": address}}}},
        }
        image.build()
        with images.locked(images.REPOSITORY):
            body["Image"] = image.load(self._client)
            public = images.controller_key()
            try:
                self._client.create_container_from_config(body, name)
            except APIError as error:
                if "CapDrop" not in str(error.explanation):
                    raise
                # Newer engines take ALL for what there is, and drop nothing that there is not.
                del body["HostConfig"]["CapDrop"]
                self._client.create_container_from_config(body, name)
        known_hosts = self.directory / "known_hosts"
        host = LabHost(name, address, image.suite, images.LAB / "id_ed25519", known_hosts)
        self.copy(host, machine.files(image.suite))
        if not image.has_sshd:
            return host
        private, host_public = keys.new_key()
        with known_hosts.open("a", encoding="utf-8") as known:
            known.write(f"{address},{name} {host_public.decode()}")
        self.copy(host, {"/etc/ssh/ssh_host_ed25519_key": private, "/root/.ssh/authorized_keys": public}, 0o600)
        self.copy(host, {"/etc/ssh/ssh_host_ed25519_key.pub": host_public})
        return host

    def _wait_until_up(self, host: LabHost, ready: socket.socket, deadline: float) -> None:
        ready.settimeout(max(0.1, deadline - time.monotonic()))
        try:
            while b"READY=1" not in ready.recv(4096).split(b"\n"):
                ready.settimeout(max(0.1, deadline - time.monotonic()))
        except TimeoutError as error:
            raise RuntimeError(
                f"{host.name} did not boot within {BOOT} s:\n"
                f"{self._client.logs(host.name, tail=50).decode(errors='replace')}"
            ) from error
        state = self.run(host, ["systemctl", "is-system-running", "--wait"], check=False)
        if state.stdout.strip() != "running":
            failed = self.run(
                host, ["systemctl", "list-units", "--failed", "--no-legend", "--plain"], check=False
            ).stdout
            raise RuntimeError(
                f"{host.name} is {state.stdout.strip() or state.stderr.strip()}, not running; failed units:\n{failed}"
            )


def running(client: docker.APIClient) -> list[tuple[str, str, str]]:
    """(lab, host, state) of all labs on the daemon."""
    found = client.containers(all=True, filters={"label": LABEL})
    return sorted((item["Labels"][LABEL], item["Names"][0].removeprefix("/"), item["Status"]) for item in found)


def tar_of(files: dict[str, bytes], mode: int, private: Collection[str] = ()) -> bytes:
    """An archive of files by absolute path; those that are private are for root alone."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for directory in sorted(
            {
                str(parent)
                for path in files
                for parent in Path(path).parents
                if str(parent) in ("/root/.ssh", "/usr/local/share/ca-certificates")
            }
        ):
            entry = tarfile.TarInfo(directory.lstrip("/"))
            entry.type, entry.mode = tarfile.DIRTYPE, 0o700 if directory == "/root/.ssh" else 0o755
            tar.addfile(entry)
        for path, data in files.items():
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = len(data), 0o600 if path in private else mode
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()
