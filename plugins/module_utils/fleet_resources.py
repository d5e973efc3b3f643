# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the guests of a fleet are made of and connected to on their host, in one task: base images, what Docker
imports of them, and networks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .backends.backend import ARCHIVE, DISK
from .backends.registry import NAMES, backend
from .engine.action import Action
from .engine.entries import checked
from .engine.errors import InvalidOption, KraalError
from .engine.reconcile import Job, Outcome, reconcile
from .engine.spec import ONLY_LOOKS, Spec
from .engine.task import KraalModule, answer_of
from .host.installed import packages
from .host.reader import Host
from .images.base_image import BASE_IMAGES, BaseImages, form_of, request_of
from .images.base_image_files import FILES, BaseImageFiles, bundle
from .images.rootfs import TOOLS

ARGUMENTS: dict[str, Any] = {
    "images": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "image": {"type": "str"},
            "build": {"type": "dict", "default": {}},
        },
    },
    "built": {"type": "list", "elements": "dict"},
    "build_only": {"type": "bool", "default": False},
    "networks": {"type": "list", "elements": "dict", "default": []},
    "backends": {"type": "list", "elements": "str", "default": []},
    "directory": dict(BASE_IMAGES.steering["directory"]),
    "concurrency": {"type": "int", "default": 2},
    "assume_packages": {"type": "bool", "default": False},
    "start_engine": {"type": "bool", "default": False},
}

#: What is read of a base image that another host has built.
BUILT: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "path": {"type": "path", "required": True},
    "checksum": {"type": "str", "default": ""},
    "kernel": {"type": "str", "default": ""},
    "initrd": {"type": "str", "default": ""},
}


def build_wants(images: Iterable[Mapping[str, Any]], directory: str, secrets: set[str]) -> list[Spec]:
    """The base images to build. Raises KraalError."""
    wants = []
    spec = {
        key: value for key, value in BASE_IMAGES.argument_spec().items() if key not in ("name", "state", "directory")
    }
    for image in images:
        given = {key: value for key, value in (image["build"] or {}).items() if value is not None}
        try:
            arguments = checked(spec, given, secrets, "kraal.virt.base_image")
            wants.append(
                BASE_IMAGES.read({**arguments, "name": image["name"], "state": "present", "directory": directory})
            )
        except KraalError as error:
            raise error.about(backend=BASE_IMAGES.backend, guest=image["name"]) from error
    return wants


def missing_packages(outcomes: Iterable[Outcome], wants: Iterable[Spec]) -> list[str]:
    """The packages of what builds those that are to be built, as far as this host lacks them."""
    built = {outcome.name for outcome in outcomes if any(step.action == Action.BUILD for step in outcome.steps)}
    needs = sorted({tool for want in wants if want.name in built for tool in TOOLS[form_of(request_of(want))]})
    return list(packages(Host(), needs)["missing"]) if needs else []


def placed(images: Iterable[Mapping[str, Any]], built: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What was built, each with the name of its Docker image; what is not built yet has no content to look for.

    Pure. Raises KraalError.
    """
    names = {image["name"]: image["image"] or "" for image in images}
    read = [
        checked(BUILT, {key: value for key, value in each.items() if key in BUILT}, set(), "kraal.virt.fleet_resources")
        for each in built
    ]
    return [
        {**each, "docker_image": names[each["name"]]} for each in read if each["checksum"] and each["name"] in names
    ]


def is_disk(image: Mapping[str, Any]) -> bool:
    """Whether a base image is a bootable disk. Pure."""
    return Path(image["path"]).suffix != ".tar"


def takes_file(image: Mapping[str, Any], backends: Collection[str]) -> bool:
    """Whether guests of these backends are made of the file itself. Pure.

    An archive that Docker does not import is for whoever makes guests of the archive.
    """
    form = DISK if is_disk(image) else ARCHIVE
    taken = {form for name in backends if name in NAMES for form in backend(name).made_of}
    return form in taken or (form == ARCHIVE and not image["docker_image"])


def file_wants(images: Iterable[Mapping[str, Any]], backends: Collection[str]) -> list[Spec]:
    """The files that guests are made of. Pure. Raises InvalidOption."""
    wanted = [image for image in images if takes_file(image, backends)]
    return [FILES.read({**image, "state": "present"}) for image in wanted]


def docker_jobs(
    images: Iterable[Mapping[str, Any]], networks: Sequence[Mapping[str, Any]], secrets: set[str], *, looks: bool
) -> list[Job[Any]]:
    """What Docker's engines are to have; ``looks``: not from one that would have to be started. Raises KraalError."""
    imported = [image for image in images if image["docker_image"]]
    if not imported and not networks:
        return []
    # The SDK takes its time to be imported.
    from .backends.docker.client import CONNECTION, connect
    from .backends.docker.image.resource import IMAGES, Images
    from .backends.docker.network import NETWORKS_TABLE, Networks

    jobs: list[Job[Any]] = []
    if imported:
        spec = {**IMAGES.argument_spec(), **CONNECTION}
        given = [
            {"name": image["docker_image"], "import": {"path": image["path"], "checksum": image["checksum"]}}
            for image in imported
        ]
        arguments = [checked(spec, each, secrets, "kraal.virt.docker_image") for each in given]
        jobs.append(
            Job(Images(connect({**arguments[0], ONLY_LOOKS: looks})), [IMAGES.read(each) for each in arguments])
        )
    spec = {**NETWORKS_TABLE.argument_spec(), **CONNECTION}
    engines: dict[str, list[dict[str, Any]]] = {}
    for number, network in enumerate(networks, start=1):
        try:
            entry = checked(
                spec,
                {key: value for key, value in network.items() if value is not None},
                secrets,
                "kraal.virt.docker_network",
            )
        except KraalError as error:
            raise error.about(backend="docker", guest=str(network.get("name") or "networks[%d]" % number)) from error
        engines.setdefault(repr([entry.get(key) for key in CONNECTION]), []).append(entry)
    jobs += [
        Job(Networks(connect({**entries[0], ONLY_LOOKS: looks})), [NETWORKS_TABLE.read(entry) for entry in entries])
        for entries in engines.values()
    ]
    return jobs


def lacking(images: Iterable[Mapping[str, Any]], outcomes: Sequence[Outcome], here: Collection[str]) -> list[str]:
    """The files that have to be brought to this host, each bundle's description behind its image. Pure.

    ``here``: the paths of the images that are on it.
    """
    copied = {outcome.name for outcome in outcomes if any(step.action == Action.COPY for step in outcome.steps)}
    imported = {outcome.name for outcome in outcomes if any(step.action == Action.IMPORT for step in outcome.steps)}
    found: list[str] = []
    for image in images:
        if image["path"] not in here and (image["name"] in copied or image["docker_image"] in imported):
            found += bundle(image)
    return found


class Work:
    """The task: base images first, since what is imported of them and laid down is known by their content."""

    def __init__(self, module: KraalModule) -> None:
        self.module, self.parameters = module, module.params
        self.outcomes: list[Outcome] = []
        self.answer: dict[str, Any] = {}

    def run(self) -> None:
        """Raises KraalError."""
        parameters = self.parameters
        if parameters["assume_packages"] and not self.module.check_mode:
            raise InvalidOption(
                "assume_packages", True, "is for check mode only", remedy="Leave it out, or set check_mode: true"
            )
        if parameters["concurrency"] < 1:
            raise InvalidOption("concurrency", parameters["concurrency"], "is too small", remedy="Write 1 or more")
        self.answer.update(base_images=parameters["built"] or [], missing_packages=[], lacks=[])
        if parameters["built"] is None:
            self._build()
        if not parameters["build_only"] and not any(outcome.error for outcome in self.outcomes):
            self._place()

    def _reconcile(self, jobs: list[Job[Any]], concurrency: int) -> list[Outcome]:
        for job in jobs:
            self.module.keep_secret(secret for want in job.wants for secret in want.secrets)
        outcomes = reconcile(jobs, check=self.module.check_mode, concurrency=concurrency)
        self.outcomes += outcomes
        return outcomes

    def _build(self) -> None:
        secrets: set[str] = set()
        try:
            wants = build_wants(self.parameters["images"], self.parameters["directory"], secrets)
        finally:
            self.module.keep_secret(secrets)
        resource = BaseImages(self.parameters["directory"], assume_tools=self.parameters["assume_packages"])
        outcomes = self._reconcile([Job(resource, wants)] if wants else [], self.parameters["concurrency"])
        self.answer["base_images"] = [outcome.described for outcome in outcomes if outcome.described]
        self.answer["missing_packages"] = missing_packages(outcomes, wants)

    def _place(self) -> None:
        secrets: set[str] = set()
        images = placed(self.parameters["images"], self.answer["base_images"])
        resource = BaseImageFiles(self.parameters["directory"])
        files = file_wants(images, self.parameters["backends"])
        try:
            jobs = [Job(resource, files)] if files else []
            looks = self.module.check_mode and not self.parameters["start_engine"]
            jobs += docker_jobs(images, self.parameters["networks"], secrets, looks=looks)
        finally:
            self.module.keep_secret(secrets)
        outcomes = self._reconcile(jobs, 8)
        if any(outcome.changed for outcome in outcomes):
            seen = resource.observe(None)
            here = [image["path"] for image in images if seen.has(image["path"], image["checksum"])]
            self.answer["lacks"] = lacking(images, outcomes, here)


def run_fleet_resources() -> None:
    """The whole of the module."""
    module = KraalModule(argument_spec=dict(ARGUMENTS), supports_check_mode=True)
    work = Work(module)
    try:
        work.run()
    except KraalError as error:
        module.fail_json(msg=str(error))
    answer = {**answer_of(work.outcomes), **work.answer}
    if answer["failures"]:
        module.fail_json(msg=" ".join(answer["failures"]), **answer)
    module.exit_json(**answer)
