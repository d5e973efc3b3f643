# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole of the module host_bridge: plan, and arm; or, on a later call over a new connection, look and confirm."""

from __future__ import annotations

import uuid
from typing import Any

from ...engine.errors import InvalidOption, KraalError
from ...engine.lock import locked
from ...engine.printable import printable
from ...engine.spec import Spec
from ...engine.task import KraalModule
from ..reader import Host
from . import change as changes
from . import runner
from .masked import masked
from .observe import Record, Seen, observe
from .plan import Plan, diff_of_files, plan, runtime
from .shape import TABLE, Shape

#: Less is not a time to come back in.
LEAST = 10


def run() -> None:
    """One call of the module."""
    module = KraalModule(argument_spec=TABLE.argument_spec(), supports_check_mode=True)
    host = Host(timeout=30)
    try:
        want = TABLE.read(module.params)
        if want.steering["timeout"] < LEAST:
            raise InvalidOption(
                "timeout",
                want.steering["timeout"],
                "is too short",
                remedy="Allow the controller %d seconds or more" % LEAST,
            )
        if want.steering["confirm"]:
            answer = _confirm(want, host)
        elif module.check_mode:
            answer = _plan(want, host)[0]
        else:
            with locked(["host bridge"], seconds=120):
                answer = _change(want, host)
    except KraalError as error:
        module.fail_json(msg=str(error.about(guest=module.params["name"], backend="bridge")))
    for warning in answer.pop("warnings", []):
        module.warn(warning)
    module.exit_json(**answer)


def _plan(want: Spec, host: Host) -> tuple[dict[str, Any], Plan, Seen]:
    changes.check(host)
    stale = changes.pending(runner.load(), host)
    seen = observe(host)
    made = plan(want, seen)
    answer = {
        "changed": bool(made.steps),
        "plan": [step.as_dict() for step in made.steps],
        "diff": diff_of_files(made),
        "bridge": _foreseen(want.name, made, seen),
        "rolled_back": False,
        "warnings": ([stale] if stale else []) + made.warnings,
    }
    return answer, made, seen


def _change(want: Spec, host: Host) -> dict[str, Any]:
    answer, made, seen = _plan(want, host)
    if made.steps:
        identity = uuid.uuid4().hex
        changes.arm(made, seen, want.name, identity, want.steering["timeout"])
        answer["armed"] = {"id": identity, "timeout": want.steering["timeout"]}
    return answer


def _confirm(want: Spec, host: Host) -> dict[str, Any]:
    """How the change stands; confirmed if all is well."""
    change = runner.load()
    if change is None or change["id"] != want.steering["confirm"]:
        return {"status": "unknown", "changed": False, "why": ["there is no such change"], "log": []}
    answer: dict[str, Any] = {
        "status": change["status"],
        "changed": False,
        "why": [],
        "log": [masked(line) for line in change["log"]],
    }
    seen = observe(host)
    if change["status"] == "rolled_back":
        answer["bridge"] = describe(want.name, seen)
    if change["status"] != "applied":
        return answer
    shape = _shape_of(change)
    if shape is not None:
        answer["why"] = ["{} is {}, and should be {}".format(*step) for step in runtime(shape, seen)]
    elif want.name in seen.links:
        answer["why"] = [f"{want.name} is still there"]
    answer["why"] += changes.checks(seen, change, want.steering["check_gateway"], want.steering["check_names"])
    # What programs of the host said stands in there.
    answer["why"] = [printable(each) for each in answer["why"]]
    if not answer["why"]:
        changes.confirm(change)
        answer.update(status="confirmed", bridge=describe(want.name, observe(host)))
    return answer


def _shape_of(change: dict[str, Any]) -> Shape | None:
    """The shape that a change makes; None where it removes the bridge."""
    return Record.of(change["record"]).shape if change["record"] else None


def describe(name: str, seen: Seen) -> dict[str, Any] | None:
    """The bridge as it was seen; None where there is none."""
    link = seen.links.get(name)
    if link is None:
        return None
    record = seen.records.get(name)
    return {
        "name": name,
        "manager": record.manager if record else None,
        "uplink": record.uplink.interface if record and record.uplink else None,
        "vlan": record.values.get("vlan") if record else None,
        "ports": seen.ports(name),
        "addresses": link.cidrs,
        "gateways": [route["gateway"] for route in seen.routes if route["interface"] == name and route["gateway"]],
        "mac": link.mac,
        "mtu": link.mtu,
        "stp": link.stp,
    }


def _foreseen(name: str, made: Plan, seen: Seen) -> dict[str, Any] | None:
    """The bridge as it will be, as far as that can be known."""
    if not made.steps:
        return describe(name, seen)
    shape = made.shape
    if shape is None:
        return None
    from_uplink = (
        seen.links[shape.uplink_name].cidrs
        if shape.addresses_from == "uplink" and shape.uplink_name in seen.links
        else []
    )
    now = seen.links.get(name)
    ports = seen.ports(name)
    return {
        "name": name,
        "manager": made.manager,
        "uplink": shape.uplink_name or None,
        "vlan": shape.vlan,
        "ports": sorted({*ports, *([shape.port] if shape.port else [])}),
        "addresses": (now.cidrs if now else from_uplink) if shape.addresses_from == "uplink" else list(shape.addresses),
        "gateways": list(shape.gateway),
        "mac": shape.hardware or None,
        "mtu": shape.mtu or (seen.links[shape.uplink_name].mtu if shape.uplink_name in seen.links else 1500),
        "stp": bool(shape.stp),
    }
