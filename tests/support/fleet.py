# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet module against an engine behind a proxy, and the engine as it is."""

from __future__ import annotations

from typing import Any

import docker
from docker.errors import NotFound

from .ansible_runner import Result
from .leftovers import Scratch
from .proxy import RecordingProxy
from .warm_module import WarmModule


class Fleet:
    """The task under test, with the engine behind the proxy, and the engine as it is."""

    def __init__(
        self, module: WarmModule, api: docker.APIClient, proxy: RecordingProxy, scratch: Scratch, image: str
    ) -> None:
        self.module, self.api, self.proxy, self.scratch = module, api, proxy, scratch
        self.defaults = {"backend": "docker", "image": image, "stop_timeout": 1, "docker_host": proxy.base_url}

    def arguments(self, *guests: dict[str, Any], **parameters: Any) -> dict[str, Any]:
        """The task's arguments; a guest's name is one of this test."""
        listed = [{**guest, "name": self.scratch(guest["name"])} if "name" in guest else guest for guest in guests]
        defaults = {**self.defaults, **parameters.pop("defaults", {})}
        return {"guests": listed, "defaults": defaults, **parameters}

    def __call__(self, *guests: dict[str, Any], check: bool = False, **parameters: Any) -> Result:
        return self.module(self.arguments(*guests, **parameters), check=check)

    def good(self, *guests: dict[str, Any], **parameters: Any) -> Result:
        result = self(*guests, **parameters)
        assert not result.failed, (result.msg, result.stderr)
        return result

    def inspect(self, name: str) -> Any:
        return self.api.inspect_container(self.scratch(name))

    def state(self, name: str) -> str:
        try:
            return str(self.inspect(name)["State"]["Status"])
        except NotFound:
            return "absent"

    def states(self, *names: str) -> list[str]:
        return [self.state(name) for name in names]

    def short(self, result: Result) -> list[tuple[str, str, str]]:
        """The plan with the names as the test gave them."""
        return [
            (step["guest"].removeprefix(self.scratch.prefix), step["action"], step["key"]) for step in result["plan"]
        ]

    def told(self, result: Result) -> list[tuple[str, bool, bool]]:
        return [
            (each["guest"].removeprefix(self.scratch.prefix), each["changed"], each["failed"])
            for each in result["results"]
        ]
