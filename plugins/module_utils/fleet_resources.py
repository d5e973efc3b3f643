# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the guests of a fleet are made of and connected to on their host, in one task: base images, what Docker imports of them, and networks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .backends.mmdebstrap.base_image_files import FILES, BaseImageFiles, bundle
from .engine.entries import checked
from .engine.errors import KraalError
from .engine.reconcile import Job, Outcome, reconcile
from .engine.spec import Spec
from .engine.task import KraalModule, answer_of

ARGUMENTS: dict[str, Any] = {
    "images": {"type": "list", "elements": "dict", "default": []},
    "networks": {"type": "list", "elements": "dict", "default": []},
    "backends": {"type": "list", "elements": "str", "default": []},
    "directory": {"type": "path", "default": "/var/cache/kraal.virt"},
}


#: What is read of a base image, as base_images returns it.
IMAGE: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "path": {"type": "path", "required": True},
    "checksum": {"type": "str", "default": ""},
    "kernel": {"type": "str", "default": ""},
    "initrd": {"type": "str", "default": ""},
    "docker_image": {"type": "str", "default": ""},
}


def read_images(images: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The base images that are built: what is not yet has no content to look for. Pure. Raises KraalError."""
    read = [checked(IMAGE, {key: value for key, value in image.items() if key in IMAGE}, set(), "kraal.virt.fleet_resources") for image in images]
    return [image for image in read if image["checksum"]]


def is_disk(image: Mapping[str, Any]) -> bool:
    """Whether a base image is a bootable disk. Pure."""
    return Path(image["path"]).suffix != ".tar"


def takes_file(image: Mapping[str, Any], backends: Collection[str]) -> bool:
    """Whether guests of these backends are made of the file itself. Pure.

    A disk is for virtual machines. An archive that Docker does not import is for whoever makes guests of the archive.
    """
    return "kvm" in backends if is_disk(image) else not image.get("docker_image") or "lxc" in backends


def file_wants(images: Iterable[Mapping[str, Any]], backends: Collection[str]) -> list[Spec]:
    """The files that guests are made of. Pure. Raises InvalidOption."""
    wanted = [image for image in images if takes_file(image, backends)]
    return [FILES.read({**image, "state": "present"}) for image in wanted]


def docker_jobs(images: Iterable[Mapping[str, Any]], networks: Sequence[Mapping[str, Any]], secrets: set[str]) -> list[Job[Any]]:
    """What Docker's engines are to have. Raises KraalError."""
    imported = [image for image in images if image.get("docker_image")]
    if not imported and not networks:
        return []
    # The SDK takes its time to be imported.
    from .backends.docker.client import CONNECTION, connect
    from .backends.docker.image import IMAGES, Images
    from .backends.docker.network import NETWORKS_TABLE, Networks

    jobs: list[Job[Any]] = []
    if imported:
        spec = {**IMAGES.argument_spec(), **CONNECTION}
        given = [{"name": image["docker_image"], "import": {"path": image["path"], "checksum": image["checksum"]}} for image in imported]
        arguments = [checked(spec, each, secrets, "kraal.virt.docker_image") for each in given]
        jobs.append(Job(Images(connect(arguments[0])), [IMAGES.read(each) for each in arguments]))
    spec = {**NETWORKS_TABLE.argument_spec(), **CONNECTION}
    engines: dict[str, list[dict[str, Any]]] = {}
    for number, network in enumerate(networks, start=1):
        try:
            entry = checked(spec, {key: value for key, value in network.items() if value is not None}, secrets, "kraal.virt.docker_network")
        except KraalError as error:
            raise error.about(backend="docker", guest=str(network.get("name") or "networks[%d]" % number)) from error
        engines.setdefault(repr([entry.get(key) for key in CONNECTION]), []).append(entry)
    jobs += [Job(Networks(connect(entries[0])), [NETWORKS_TABLE.read(entry) for entry in entries]) for entries in engines.values()]
    return jobs


def lacking(images: Iterable[Mapping[str, Any]], outcomes: Sequence[Outcome], here: Collection[str]) -> list[str]:
    """The files that have to be brought to this host, each bundle's description behind its image. Pure.

    ``here``: the paths of the images that are on it.
    """
    copied = {outcome.name for outcome in outcomes if any(step.action == "copy" for step in outcome.steps)}
    imported = {outcome.name for outcome in outcomes if any(step.action == "import" for step in outcome.steps)}
    found: list[str] = []
    for image in images:
        if image["path"] not in here and (image["name"] in copied or image.get("docker_image") in imported):
            found += bundle(image)
    return found


def run_fleet_resources() -> None:
    """The whole of the module."""
    module = KraalModule(argument_spec=dict(ARGUMENTS), supports_check_mode=True)
    parameters = module.params
    resource = BaseImageFiles(parameters["directory"])
    secrets: set[str] = set()
    try:
        images = read_images(parameters["images"])
        files = file_wants(images, parameters["backends"])
        jobs: list[Job[Any]] = [Job(resource, files)] if files else []
        jobs += docker_jobs(images, parameters["networks"], secrets)
        module.keep_secret(secrets)
        for job in jobs:
            module.keep_secret(secret for want in job.wants for secret in want.secrets)
        outcomes = reconcile(jobs, check=module.check_mode)
        answer = answer_of(outcomes)
        answer["lacks"] = []
        if answer["changed"]:
            seen = resource.observe(None)
            here = [image["path"] for image in images if seen.has(image["path"], image["checksum"])]
            answer["lacks"] = lacking(images, outcomes, here)
    except KraalError as error:
        module.keep_secret(secrets)
        module.fail_json(msg=str(error))
    if answer["failures"]:
        module.fail_json(msg=" ".join(answer["failures"]), **answer)
    module.exit_json(**answer)
