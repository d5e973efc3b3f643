# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bodies that the engine is given: for a new container, for one that takes another's place, for a live update.

Pure.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from ....engine.compare import Difference
from ....engine.spec import Spec
from .compare import network_ids, network_of, without_networks
from .endpoints import encode_endpoint, read_networks
from .model import Container
from .mounts import bind_target, clean_path, encode_mounts, read_mounts
from .options import OPTIONS, option_of
from .write import Body, Heir

#: What a container has of its own, beside what is kept in HostConfig; the rest of Config comes from its image or the
#: engine.
_OWN = (
    "User",
    "WorkingDir",
    "StopSignal",
    "StopTimeout",
    "Healthcheck",
    "Domainname",
    "Tty",
    "OpenStdin",
    "StdinOnce",
    "Shell",
)


def _chosen(want: Spec) -> frozenset[str]:
    return frozenset(option.place[1] for option in OPTIONS if option.name in want.values)


def creation(want: Spec) -> dict[str, Any]:
    """The body for a container that is not there yet: Config's fields beside HostConfig, as POST /containers/create
    takes them.
    """
    body = Body(chosen=_chosen(want))
    for option in OPTIONS:
        if option.name in want.values:
            option.put(body, want.values[option.name])
    if body.networks and "NetworkMode" not in body.chosen:
        body.host["NetworkMode"] = next(iter(body.networks))
    if "networks" in want.values and "networks" in want.purge:
        _leave_others(body, {})
    return _flat(body)


def _leave_others(body: Body, ids: Mapping[str, str]) -> None:
    """The engine connects a new container to the network of its mode: out of that one again, unless it is wanted.

    ``ids``: of the networks that are there, by their names.
    """
    mode = network_of(body.host.get("NetworkMode"))
    if mode not in {*body.networks, *map(ids.get, body.networks)} and not without_networks(mode):
        body.networks[mode] = None


def replacement(want: Spec, have: Container, changes: Sequence[Difference]) -> dict[str, Any]:
    """The body for the container that takes the place of this one: all that it had, and what has to change.

    What it inherited from its image is left to the new image; its anonymous volumes move over with it.
    """
    body = Body(_carried_config(have), _carried_host(have), read_networks(have.data), _chosen(want))
    changed = {change.option.name: change.value for change in changes}
    for option in OPTIONS:
        if option.name in want.values:
            heir = Heir(want.values[option.name], changed.get(option.name), option.name in want.purge, have)
            value = option.succeed(body, heir)
            if value is not None:
                option.put(body, value)
    old = network_of(have.data["HostConfig"].get("NetworkMode"))
    old = next((name for name, key in network_ids(have).items() if key == old), old)
    if "network_mode" in changed and old not in want.values.get("networks", {}):
        # The one network takes the other's place.
        body.networks.pop(old, None)
    mode = body.host.get("NetworkMode")
    if mode == "default" and "bridge" in body.networks:
        mode = body.host["NetworkMode"] = "bridge"
    if have.data["HostConfig"].get("NetworkMode") == "host" != mode and "Hostname" not in body.chosen:
        body.config.pop("Hostname", None)
    if "NetworkMode" not in body.chosen and body.networks and mode not in body.networks:
        body.host["NetworkMode"] = next(iter(body.networks))
    if without_networks(str(body.host.get("NetworkMode"))):
        body.networks = {}
    if "network_mode" not in changed or ("networks" in want.values and "networks" in want.purge):
        _leave_others(body, network_ids(have))
    return _flat(body)


def endpoints(body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """Split a body: the creation itself with its first network, the networks to connect before the start, and those
    to disconnect from before it.

    Engines before API 1.44 take one network at a creation.
    """
    networks = {name: end for name, end in body["NetworkingConfig"]["EndpointsConfig"].items() if end is not None}
    unwanted = sorted(set(body["NetworkingConfig"]["EndpointsConfig"]) - set(networks))
    mode = body["HostConfig"].get("NetworkMode")
    first = mode if mode in networks else None
    single = {**body, "NetworkingConfig": {"EndpointsConfig": {first: networks[first]} if first else {}}}
    return single, {name: endpoint for name, endpoint in networks.items() if name != first}, unwanted


def update(want: Spec, have: Container, changes: Sequence[Difference]) -> dict[str, Any]:
    """The body that changes limits in a container as it runs."""
    options = [(option_of(change), change.value) for change in changes]
    body = {option.place[1]: option.encode(value) for option, value in options}
    for option, _value in options:
        if option.beside is not None:
            option.beside(body, have, _chosen(want))
    return body


def _flat(body: Body) -> dict[str, Any]:
    main = body.networks.get(network_of(body.host.get("NetworkMode")))
    if main and body.config.get("MacAddress"):
        # It is said for the whole container.
        main = {key: value for key, value in main.items() if key != "MacAddress"}
        body.networks[network_of(body.host.get("NetworkMode"))] = main
    return {
        **body.config,
        "HostConfig": body.host,
        "NetworkingConfig": {
            "EndpointsConfig": {
                name: None if record is None else encode_endpoint(record) for name, record in body.networks.items()
            }
        },
    }


def own_command(have: Container) -> bool:
    """Whether the container's command was chosen for it, rather than inherited with its image's entrypoint."""
    config, image = have.data["Config"], have.image
    inherited_entrypoint = (config.get("Entrypoint") or []) == (image.get("Entrypoint") or [])
    return (config.get("Cmd") or []) != ((image.get("Cmd") or []) if inherited_entrypoint else [])


def _carried_config(have: Container) -> dict[str, Any]:
    config, image = have.data["Config"], have.image
    kept = {key: copy.deepcopy(config[key]) for key in _OWN if config.get(key) and config[key] != image.get(key)}
    if kept.get("Healthcheck"):
        # The engine fills in what is not said from the image.
        inherited = image.get("Healthcheck") or {}
        check = {key: value for key, value in kept.pop("Healthcheck").items() if value != inherited.get(key)}
        kept.update({"Healthcheck": check} if check else {})
    if config.get("StopTimeout") == 0:
        # No time at all is a wish, too.
        kept["StopTimeout"] = 0
    kept["Image"] = have.image_name or config["Image"]
    kept["Env"] = [line for line in config.get("Env") or () if line not in (image.get("Env") or ())]
    for key in ("Labels", "ExposedPorts"):
        inherited = image.get(key) or {}
        kept[key] = {
            name: value
            for name, value in (config.get(key) or {}).items()
            if inherited.get(name) != value or name not in inherited
        }
    if (config.get("Entrypoint") or []) != (image.get("Entrypoint") or []):
        # An entrypoint that was taken away is written as one empty word.
        kept["Entrypoint"] = config.get("Entrypoint") or [""]
    if own_command(have):
        kept["Cmd"] = config.get("Cmd") or []
    # In another container's network the name is that one's: it comes with the network, and is refused beside it.
    host = have.data["HostConfig"]
    borrowed = str(host.get("NetworkMode")).startswith("container:") or host.get("UTSMode") == "host"
    if config.get("Hostname") and not borrowed and not have.id.startswith(config["Hostname"]):
        kept["Hostname"] = config["Hostname"]
    if config.get("MacAddress"):
        kept["MacAddress"] = config["MacAddress"]
    return kept


def _carried_host(have: Container) -> dict[str, Any]:
    host = copy.deepcopy(dict(have.data["HostConfig"]))
    host.pop("ContainerIDFile", None)
    for key in ("MaskedPaths", "ReadonlyPaths"):
        # The engine's defaults depend on `privileged`; only an emptied list was somebody's choice.
        if host.get(key) != [] or host.get("Privileged"):
            host.pop(key, None)
    host["Mounts"], host["Binds"] = _carried_mounts(host, have)
    return host


def _carried_mounts(host: Mapping[str, Any], have: Container) -> tuple[list[dict[str, Any]], list[str] | None]:
    """Mounts and binds as they were declared, anonymous volumes by their names."""
    real = {target: record for target, record in read_mounts(have.data).items() if record["type"] == "volume"}
    declared: list[dict[str, Any]] = list(host.get("Mounts") or ())
    for mount in declared:
        mount["Target"] = clean_path(mount["Target"])
        if mount.get("Type") == "volume" and not mount.get("Source") and mount["Target"] in real:
            mount["Source"] = real[mount["Target"]]["source"]
    binds: list[str] = list(host.get("Binds") or ())
    targets = {mount["Target"] for mount in declared} | {bind_target(bind) for bind in binds}
    return declared + encode_mounts(
        {target: record for target, record in real.items() if target not in targets}
    ), binds or None
