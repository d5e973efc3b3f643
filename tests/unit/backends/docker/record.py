# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records the fixtures anew, from the daemon of this machine: `python -m tests.unit.backends.docker.record`.

Makes containers through the module itself, writes down what the daemon shows of them, and removes them again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import docker

from tests.support.images import import_image
from tests.support.leftovers import remove
from tests.support.module_process import module_process
from tests.support.proxy import DOCKER_SOCKET
from tests.unit.backends.docker.examples import CONTAINERS

FIXTURES = Path(__file__).parent / "fixtures"
PREFIX = "kt-fixture-"

RICH = (
    'CMD ["/bin/kt-guest"]',
    "ENV MODE=image",
    "ENV EXTRA=1",
    'LABEL "origin"="image"',
    "WORKDIR /data",
    "USER app",
    "VOLUME /data",
    "EXPOSE 80",
    "HEALTHCHECK --interval=30s --retries=2 CMD test -e /tmp/healthy",
)


def renamed(value: Any) -> Any:
    """The same data with the names that the fixtures go by."""
    return json.loads(json.dumps(value).replace(PREFIX, ""))


def write(name: str, value: Any) -> None:
    (FIXTURES / f"{name}.json").write_text(
        json.dumps(renamed(value), indent=1, sort_keys=True) + "\n", encoding="utf-8"
    )


def prefixed(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of an example, with the names that the daemon gets to see."""
    text = json.dumps(arguments)
    for name in ("base:1", "base:2", "rich:1", "front", "back", "volume-a", "volume-b"):
        text = text.replace(f'"{name}', f'"{PREFIX}{name}')
    return dict(json.loads(text))


def main() -> None:
    with docker.APIClient(base_url=f"unix://{DOCKER_SOCKET}", version="auto") as client:
        remove(client, PREFIX)
        try:
            record(client)
        finally:
            remove(client, PREFIX)


def record(client: docker.APIClient) -> None:
    images = {
        "base-1": import_image(client, f"{PREFIX}base:1", "1"),
        "base-2": import_image(client, f"{PREFIX}base:2", "2"),
    }
    images["rich-1"] = import_image(client, f"{PREFIX}rich:1", "rich", RICH)
    for number, network in enumerate(("front", "back")):
        pool = docker.types.IPAMPool(subnet=f"172.31.{240 + number}.0/24")
        client.create_network(PREFIX + network, ipam=docker.types.IPAMConfig(pool_configs=[pool]))
    for name, arguments in CONTAINERS.items():
        result = module_process("kraal.virt.docker_container", {"name": PREFIX + name, **prefixed(arguments)})
        if result.failed:
            raise RuntimeError(f"{name}: {result.msg} {result.stdout} {result.stderr}")
    for name in CONTAINERS:
        write(f"container-{name}", client.inspect_container(PREFIX + name))
    mine = set(images.values())
    write("images", [summary for summary in client.images() if summary["Id"] in mine])
    write("image-configs", {key: client.inspect_image(key)["Config"] for key in sorted(mine)})


if __name__ == "__main__":
    main()
