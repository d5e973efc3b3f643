# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several base images in one task: all are asked for at once, and those that are to be built are built side by side."""

from __future__ import annotations

from typing import Any

from .backends.mmdebstrap.base_image import BASE_IMAGES, BaseImages, form_of, request_of
from .backends.mmdebstrap.rootfs import TOOLS
from .engine.entries import checked
from .engine.errors import InvalidOption, KraalError
from .engine.reconcile import Job, Outcome, reconcile
from .engine.spec import Spec
from .engine.task import KraalModule, answer_of
from .host.installed import packages
from .host.reader import Host

ARGUMENTS: dict[str, Any] = {
    "images": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {"name": {"type": "str", "required": True}, "image": {"type": "str"}, "build": {"type": "dict", "default": {}}},
    },
    "state": {"type": "str", "choices": list(BASE_IMAGES.states), "default": BASE_IMAGES.state},
    "directory": dict(BASE_IMAGES.steering["directory"]),
    "assume_packages": {"type": "bool", "default": False},
    "concurrency": {"type": "int", "default": 2},
}


def read(module: KraalModule) -> list[Spec]:
    """What is wanted of each. Raises KraalError."""
    wants: list[Spec] = []
    secrets: set[str] = set()
    common = {key: module.params[key] for key in ("state", "directory")}
    spec = {key: value for key, value in BASE_IMAGES.argument_spec().items() if key not in ("name", *common)}
    for image in module.params["images"]:
        given = {key: value for key, value in (image["build"] or {}).items() if value is not None}
        try:
            wants.append(BASE_IMAGES.read({**checked(spec, given, secrets, "kraal.virt.base_image"), **common, "name": image["name"]}))
        except KraalError as error:
            raise error.about(guest=image["name"]) from error
        finally:
            module.keep_secret(secrets)
    return wants


def missing_packages(outcomes: list[Outcome], wants: list[Spec]) -> list[str]:
    """The packages of what builds those that are to be built and that this host has not."""
    built = {outcome.name for outcome in outcomes if any(step.action == "build" for step in outcome.steps)}
    needs = sorted({tool for want in wants if want.name in built for tool in TOOLS[form_of(request_of(want))]})
    return list(packages(Host(), needs)["missing"]) if needs else []


def run_base_images() -> None:
    """The whole of the module."""
    module = KraalModule(argument_spec=dict(ARGUMENTS), supports_check_mode=True)
    parameters = module.params
    try:
        if parameters["assume_packages"] and not module.check_mode:
            raise InvalidOption("assume_packages", True, "is for check mode only", remedy="Leave it out, or set check_mode: true")
        if parameters["concurrency"] < 1:
            raise InvalidOption("concurrency", parameters["concurrency"], "is too small", remedy="Write 1 or more")
        wants = read(module)
        for want in wants:
            module.keep_secret(want.secrets)
        resource = BaseImages(parameters["directory"], assume_tools=parameters["assume_packages"])
        outcomes = reconcile([Job(resource, wants)], check=module.check_mode, concurrency=parameters["concurrency"])
    except KraalError as error:
        module.fail_json(msg=str(error.about(backend=BASE_IMAGES.backend)))
    answer = answer_of(outcomes)
    names = {image["name"]: image["image"] or "" for image in parameters["images"]}
    answer["base_images"] = [{**outcome.described, "docker_image": names[outcome.name]} for outcome in outcomes if outcome.described]
    answer["missing_packages"] = missing_packages(outcomes, wants)
    if answer["failures"]:
        module.fail_json(msg=" ".join(answer["failures"]), **answer)
    module.exit_json(**answer)
