# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bodies that the engine is given: for a new container, for one that takes another's place, for a live update. Pure."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from ...engine.compare import Difference
from ...engine.spec import Spec
from .container_kinds import NETWORKS, encode_endpoint, encode_mounts, encode_ports, read_mounts, read_networks
from .container_limits import default_swap
from .container_observe import Container
from .container_options import CONTAINERS, ContainerOption, pairs
from .container_security import write_security

#: What a container has of its own, beside what is kept in HostConfig; the rest of Config comes from its image or the engine.
_OWN = ("User", "WorkingDir", "StopSignal", "StopTimeout", "Healthcheck", "Domainname", "Tty", "OpenStdin", "StdinOnce", "Shell")


def _options(values: Mapping[str, Any]) -> list[tuple[ContainerOption, Any]]:
    return [(option, values[option.name]) for option in CONTAINERS.options if isinstance(option, ContainerOption) and option.name in values]


def creation(want: Spec) -> dict[str, Any]:
    """The body for a container that is not there yet: Config's fields beside HostConfig, as POST /containers/create takes them."""
    body: dict[str, Any] = {"Config": {}, "HostConfig": {}}
    _write(body, want.values)
    networks = want.values.get("networks") or {}
    if networks and "network_mode" not in want.values:
        body["HostConfig"]["NetworkMode"] = next(iter(networks))
    return _flat(body, networks)


def replacement(want: Spec, have: Container, changes: Sequence[Difference]) -> dict[str, Any]:
    """The body for the container that takes the place of this one: all that it had, and what has to change.

    What it inherited from its image is left to the new image; its anonymous volumes move over with it.
    """
    body: dict[str, Any] = {"Config": _carried_config(have), "HostConfig": _carried_host(have)}
    changed = {difference.option.name: difference.value for difference in changes}
    if "image" in want.values:
        changed["image"] = want.values["image"]
    _carry_mounts(body["HostConfig"], have, changed.pop("mounts", None), "mounts" in want.purge)
    # Environment, labels and commands are merged with what the container had of its own, not with its image's.
    for name, mine in (("env", pairs(body["Config"].get("Env"))), ("labels", body["Config"].get("Labels") or {})):
        if name in want.values:
            changed[name] = {**({} if name in want.purge else mine), **want.values[name]}
    for name in ("command", "entrypoint"):
        if name in want.values:
            changed[name] = want.values[name]
            body["Config"].pop({"command": "Cmd", "entrypoint": "Entrypoint"}[name], None)
    if "privileged" in changed:
        body["HostConfig"]["SecurityOpt"] = [word for word in body["HostConfig"].get("SecurityOpt") or () if word != "label=disable"]
    if "memory" in changed and "memory_swap" not in want.values and default_swap(have.data["HostConfig"]):
        body["HostConfig"].pop("MemorySwap", None)
    changed.pop("networks", None)
    networks = read_networks(have.data)
    if "networks" in want.values:
        networks = NETWORKS.merge(want.values["networks"], networks, "networks" in want.purge)
    _write(body, changed)
    mode = body["HostConfig"].get("NetworkMode")
    if mode == "default" and "bridge" in networks:
        mode = body["HostConfig"]["NetworkMode"] = "bridge"
    if have.data["HostConfig"].get("NetworkMode") == "host" != mode and "hostname" not in want.values:
        body["Config"].pop("Hostname", None)
    if "network_mode" not in want.values and networks and mode not in networks:
        body["HostConfig"]["NetworkMode"] = next(iter(networks))
    if str(body["HostConfig"].get("NetworkMode")).partition(":")[0] in ("host", "none", "container"):
        networks = {}
    return _flat(body, networks)


def endpoints(body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split a body: the creation itself with its first network, and the networks to connect before the start.

    Engines before API 1.44 take one network at a creation.
    """
    networks = body["NetworkingConfig"]["EndpointsConfig"]
    mode = body["HostConfig"].get("NetworkMode")
    first = mode if mode in networks else None
    single = {**body, "NetworkingConfig": {"EndpointsConfig": {first: networks[first]} if first else {}}}
    return single, {name: endpoint for name, endpoint in networks.items() if name != first}


def update(want: Spec, have: Container, changes: Sequence[Difference]) -> dict[str, Any]:
    """The body that changes limits in a container as it runs."""
    body = {}
    for difference in changes:
        option = difference.option
        if isinstance(option, ContainerOption):
            body[option.place[1]] = option.encode(difference.value)
    host = have.data["HostConfig"]
    if "Memory" in body and "memory_swap" not in want.values and default_swap(host):
        # Memory may not grow beyond memory and swap together; what was not asked for stays the engine's default, twice the memory.
        body["MemorySwap"] = 2 * body["Memory"]
    return body


def _write(body: dict[str, Any], values: Mapping[str, Any]) -> None:
    for option, value in _options(values):
        section, key = option.place
        if option.name in ("command", "entrypoint") and not value:
            continue  # The image's own.
        if option.name == "mounts":
            body["HostConfig"]["Mounts"] = encode_mounts(value)
        elif option.name == "ports":
            exposed = {**(body["Config"].get("ExposedPorts") or {}), **{port: {} for port in value}}
            body["Config"]["ExposedPorts"] = exposed
            body["HostConfig"]["PortBindings"] = encode_ports(value)
        elif section:
            body[section][key] = option.encode(value)
    if "security_opt" in values:
        write_security(body["HostConfig"], values["security_opt"])
    if "log_driver" in values or "log_options" in values:
        log = body["HostConfig"].setdefault("LogConfig", {})
        if "log_driver" in values:
            # Another driver does not know the options of the one before.
            log.update(Type=values["log_driver"], Config=log.get("Config", {}) if log.get("Type") == values["log_driver"] else {})
        if "log_options" in values:
            log["Config"] = dict(values["log_options"])


def _flat(body: Mapping[str, Any], networks: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **body["Config"],
        "HostConfig": body["HostConfig"],
        "NetworkingConfig": {"EndpointsConfig": {name: encode_endpoint(record) for name, record in networks.items()}},
    }


def own_command(have: Container) -> bool:
    """Whether the container's command was chosen for it, rather than inherited with its image's entrypoint."""
    config, image = have.data["Config"], have.image
    inherited_entrypoint = (config.get("Entrypoint") or []) == (image.get("Entrypoint") or [])
    return (config.get("Cmd") or []) != ((image.get("Cmd") or []) if inherited_entrypoint else [])


def _carried_config(have: Container) -> dict[str, Any]:
    config, image = have.data["Config"], have.image
    kept = {key: copy.deepcopy(config[key]) for key in _OWN if config.get(key) and config[key] != image.get(key)}
    if config.get("StopTimeout") == 0:
        # No time at all is a wish, too.
        kept["StopTimeout"] = 0
    kept["Image"] = have.image_name or config["Image"]
    kept["Env"] = [line for line in config.get("Env") or () if line not in (image.get("Env") or ())]
    for key in ("Labels", "ExposedPorts"):
        inherited = image.get(key) or {}
        kept[key] = {name: value for name, value in (config.get(key) or {}).items() if inherited.get(name) != value or name not in inherited}
    if (config.get("Entrypoint") or []) != (image.get("Entrypoint") or []):
        # An entrypoint that was taken away is written as one empty word.
        kept["Entrypoint"] = config.get("Entrypoint") or [""]
    if own_command(have):
        kept["Cmd"] = config.get("Cmd") or []
    # In another container's network the name is that one's: it comes with the network, and is refused beside it.
    borrowed = str(have.data["HostConfig"].get("NetworkMode")).startswith("container:")
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
    return host


def _carry_mounts(host: dict[str, Any], have: Container, wanted: Mapping[str, Any] | None, exact: bool) -> None:
    """Keep binds and mounts as they were declared, anonymous volumes by their names; put the wanted ones over them."""
    real = {target: record for target, record in read_mounts(have.data).items() if record["type"] == "volume"}
    declared: list[dict[str, Any]] = list(host.get("Mounts") or ())
    for mount in declared:
        mount["Target"] = mount["Target"].rstrip("/") or "/"
        if mount.get("Type") == "volume" and not mount.get("Source") and mount["Target"] in real:
            mount["Source"] = real[mount["Target"]]["source"]
    binds: list[str] = list(host.get("Binds") or ())
    targets = {mount["Target"] for mount in declared} | {_bind_target(bind) for bind in binds}
    anonymous = {target: record for target, record in real.items() if target not in targets}
    declared += encode_mounts(anonymous)
    if wanted is not None:
        unchanged = set() if exact else set(targets | set(anonymous)) - set(wanted)
        declared = [mount for mount in declared if mount["Target"] in unchanged] + encode_mounts(wanted)
        known = {mount["Target"] for mount in declared}
        binds = [bind for bind in binds if _bind_target(bind) in unchanged and _bind_target(bind) not in known]
    host["Mounts"], host["Binds"] = declared, binds or None


def _bind_target(bind: str) -> str:
    return bind.split(":")[1].rstrip("/") or "/"
