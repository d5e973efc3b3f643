# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A change of the network, armed before it is made: it takes itself back unless it is confirmed in time.

The program that makes it and takes it back (runner.py) is put onto the host first. A timer of systemd starts it, so it
needs neither the connection nor the controller; a unit for the next boot restores the files where the host goes down in
between.
"""

from __future__ import annotations

import inspect
import json
import socket
import sys
import time
from collections.abc import Sequence
from typing import Any

from ...engine.errors import BackendError, KraalError, Refused
from ..reader import Host
from . import runner
from .observe import Seen
from .plan import Plan

#: Seconds between the module's end and the change: its result has to reach the controller over the old network.
DELAY = 1.5
RUNNER = runner.DIRECTORY / "runner.py"
BOOT = """[Unit]
Description=Take back a change of the network that nobody confirmed
DefaultDependencies=no
RequiresMountsFor={directory}
After=local-fs.target systemd-remount-fs.service
Before=network-pre.target systemd-networkd.service NetworkManager.service networking.service shutdown.target
Wants=network-pre.target
Conflicts=shutdown.target
ConditionPathExists={directory}/change.json

[Service]
Type=oneshot
ExecStart={python} {runner} boot

[Install]
WantedBy=sysinit.target
"""


def check(host: Host) -> None:
    """Raises Refused where a change could not take itself back."""
    if host.user() != 0:
        raise Refused(
            "the network can only be changed by root", remedy="Run the task with become: true, or connect as root"
        )
    if not host.exists("/run/systemd/system") or not host.which("systemd-run"):
        raise Refused(
            "systemd does not run this host, and without it nothing would take the change back if it cuts the host off",
            remedy="Write the bridge into the network configuration by hand, at the host's console",
        )


def pending(change: dict[str, Any] | None, host: Host) -> str:
    """Nothing, or what has to be said of a change that another run has armed.

    Raises Refused while it must not be touched.
    """
    if change is None or change["status"] not in runner.OPEN:
        return ""
    about = "the change of {} that was armed at {}".format(
        change["bridge"], time.strftime("%F %T", time.localtime(change["armed"]))
    )
    unit = runner.ROLLBACK_UNIT + change["id"]
    timer = host.run(["systemctl", "is-active", unit + ".timer", unit + ".service"])
    if timer is not None and {"active", "activating"} & set(timer.out.split()):
        left = change["armed"] + change["timeout"] - time.time()
        raise Refused(
            "{} waits to be confirmed{}".format(
                about, ", and takes itself back in %d s" % left if left > 0 else "; it is being taken back"
            ),
            remedy="Run again when it is settled",
        )
    if change["status"] == "armed":
        return f"{about} was never made: the run that armed it died. Nothing of it is left"
    raise Refused(
        f"{about} is stale: it was begun, and neither confirmed nor taken back, and no timer of it is left",
        remedy="Take it back with `{} {} rollback`, or start the host anew, which does the same".format(
            change["python"], RUNNER
        ),
    )


def _run(host: Host, *argv: str) -> None:
    said = host.run(list(argv))
    if said is None or said.rc:
        why = said.error if said else "is not installed"
        raise BackendError(f"{argv[0]}: {why}", remedy="Nothing of the network was changed; look at the journal")


def _links_as_they_are(plan: Plan, seen: Seen) -> dict[str, Any]:
    """Addresses, routes and masters for a rollback. Without what routers advertise, which comes back by itself."""
    addresses = [
        {"link": name, "local": each["local"], "prefixlen": each["prefixlen"], "broadcast": each.get("broadcast", "")}
        for name in plan.links
        for each in (seen.links[name].addresses if name in seen.links else ())
        if each.get("scope") == "global"
        and "local" in each
        and not (each.get("dynamic") and each.get("family") == "inet6")
        and not each.get("temporary")
    ]
    routes = []
    for name in plan.links:
        for family in ("-4", "-6"):
            said = (
                seen.host.run(["ip", "-json", family, "route", "show", "table", "main", "dev", name])
                if name in seen.links
                else None
            )
            for route in json.loads((said.out if said and said.rc == 0 else "") or "[]"):
                if route.get("protocol") not in ("kernel", "ra") and route.get("type", "unicast") == "unicast":
                    routes.append(
                        {
                            "family": family,
                            "dst": route["dst"],
                            "gateway": route.get("gateway", ""),
                            "dev": name,
                            "metric": int(route.get("metric", 0)),
                        }
                    )
    masters = {name: seen.links[name].master for name in plan.links if name in seen.links}
    return {"addresses": addresses, "routes": routes, "masters": masters}


def _record_of(plan: Plan, seen: Seen, name: str, identity: str, timeout: int) -> dict[str, Any]:
    """The change as the host's own program reads it."""
    return {
        "id": identity,
        "bridge": name,
        "status": "armed",
        "armed": time.time(),
        "timeout": timeout,
        "boot_id": runner.boot_id(),
        "python": sys.executable,
        "files": [
            {"path": path, "before": before.as_dict() if before else None, "after": after.as_dict() if after else None}
            for path, (before, after) in plan.files.items()
        ],
        "apply": plan.way.as_dict(),
        "rollback": plan.back.as_dict(),
        "boot": plan.boot,
        "record": plan.record.as_dict() if plan.record else None,
        "had_gateway": any(route["interface"] in plan.links for route in seen.routes),
        "log": [],
        **_links_as_they_are(plan, seen),
    }


def _start_timers(host: Host, identity: str, timeout: int) -> None:
    """Two units of systemd: one makes the change now, the other takes it back unless it is confirmed by then."""
    command = [sys.executable, str(RUNNER)]
    # The DHCP client that ifupdown starts must not end with the unit, or nobody would renew the address.
    timer = ["systemd-run", "--quiet", "--collect", "--timer-property=AccuracySec=100ms", "--property=KillMode=process"]
    # Killed, it begins anew: nobody else would take the change back.
    lives = ["--property=Restart=on-failure", "--property=RestartSec=%d" % runner.RESTART]
    back = ["--on-active=%ds" % timeout, "--unit=" + runner.ROLLBACK_UNIT + identity]
    _run(host, *timer, *lives, *back, *command, "rollback")
    apply = ["--on-active=%dms" % (DELAY * 1000), "--setenv=KRAAL_UNIT=" + runner.APPLY_UNIT]
    _run(host, *timer, *apply, "--unit=" + runner.APPLY_UNIT + identity, *command, "apply")


def arm(plan: Plan, seen: Seen, name: str, identity: str, timeout: int) -> dict[str, Any]:
    """Put everything in place, and have the change made as soon as this module has answered.

    Raises BackendError with nothing touched.
    """
    change = _record_of(plan, seen, name, identity, timeout)
    try:
        runner.write(RUNNER, inspect.getsource(runner).encode(), 0o700)
        with runner.locked():
            runner.save(change)
        runner.write(
            runner.UNITS / runner.BOOT_UNIT,
            BOOT.format(directory=runner.DIRECTORY, python=sys.executable, runner=RUNNER).encode(),
            0o644,
        )
        runner.WANTED.parent.mkdir(parents=True, exist_ok=True)
        runner.WANTED.unlink(missing_ok=True)
        runner.WANTED.symlink_to(runner.UNITS / runner.BOOT_UNIT)
        _start_timers(seen.host, identity, timeout)
    except KraalError:
        runner.rollback("it could not be armed")
        raise
    except OSError as error:
        runner.rollback("it could not be armed")
        raise BackendError(
            f"the change cannot be armed: {error}",
            remedy="Free space in /etc and /var, and run again; nothing was changed",
        ) from error
    return change


def checks(seen: Seen, change: dict[str, Any], gateway: bool, names: Sequence[str]) -> list[str]:
    """What the host itself cannot do over its new network."""
    found = []
    if gateway:
        if change["had_gateway"] and not seen.routes:
            found.append("there is no default route any more")
        found += [
            why
            for why in (
                _neighbour(seen.host, route["gateway"], route["interface"]) for route in seen.routes if route["gateway"]
            )
            if why
        ]
    for name in names:
        said = seen.host.run(["getent", "ahosts", name])
        if said is None or said.rc:
            found.append(f"the name {name} does not resolve")
    return found


def _neighbour(host: Host, gateway: str, interface: str) -> str:
    """Whether the gateway answers on the link: a connection to a port of it that need not be open has the kernel ask
    for its MAC address.

    A gateway may drop whatever comes to itself; then the kernel's table of neighbours tells whether it has told its
    address.
    """
    wrong = f"the gateway {gateway} does not answer on {interface}"
    with socket.socket(socket.AF_INET6 if ":" in gateway else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(5)
        try:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
            # 9 is discard.
            probe.connect((gateway, 9))
        except ConnectionError:
            return ""
        # Before Python 3.10 it is no TimeoutError.
        except socket.timeout:
            said = host.run(["ip", "-json", "neighbour", "show", "to", gateway, "dev", interface])
            known = json.loads((said.out if said and said.rc == 0 else "") or "[]")
            return "" if any(each.get("lladdr") for each in known) else wrong
        except OSError as error:
            return f"{wrong} ({error.strerror})"
    return ""


def confirm(change: dict[str, Any]) -> None:
    """The change stays. Raises BackendError where it is too late."""
    with runner.locked():
        now = runner.load()
        if now is None or now["id"] != change["id"] or now["status"] != "applied":
            raise BackendError(
                "the change was taken back before it could be confirmed", remedy="Allow it more time with timeout"
            )
        path = runner.DIRECTORY / ("{}.json".format(change["bridge"]))
        try:
            if change["record"]:
                runner.write(path, json.dumps(change["record"], indent=1).encode(), 0o600)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise BackendError(
                f"the change cannot be confirmed: {error}", remedy="Free space in /var, before it takes itself back"
            ) from error
        # From here on a rollback finds nothing to do.
        (runner.DIRECTORY / "change.json").unlink()
        (runner.DIRECTORY / "status").unlink(missing_ok=True)
        runner.disarm(change["id"])
