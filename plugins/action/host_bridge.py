# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's part of host_bridge: come back over a new connection, and only then confirm what the host has
armed.
"""

from __future__ import annotations

import time
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

MODULE = "kraal.virt.host_bridge"
#: Seconds: between two looks, and for the host to take a change back once its time is over.
PAUSE, BACK = 1, 120
#: A connection that hangs is given up after some seconds, not after TCP's quarter of an hour.
KEEPALIVE = "-o ServerAliveInterval=2 -o ServerAliveCountMax=3"
CONNECT = 10
#: The options of connection plugins that say where a host is.
ADDRESSES = ("host", "remote_addr")
#: Where the host's runner says how the change stands.
STATUS = "/var/lib/kraal.virt/bridge/status"

display = Display()


def _why(found: str, lost: str) -> str:
    """Why the change could not be confirmed: what the host found wrong, and that it could not be reached."""
    return (
        "; and ".join(each.rstrip(".") for each in (found, lost) if each) or "the controller did not come back in time"
    )


class ActionModule(ActionBase):
    """Runs the module to plan and to arm; then again and again, each time over a new connection, until it confirms
    or tells of the rollback.
    """

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        result.update(self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars))
        armed = result.pop("armed", None)
        if armed and not result.get("failed"):
            result.update(self._settle(arguments, armed, task_vars))
        return result

    def _settle(
        self, arguments: dict[str, Any], armed: dict[str, Any], task_vars: dict[str, Any] | None
    ) -> dict[str, Any]:
        """What became of the armed change."""
        name, address, connection = arguments["name"], arguments.get("connect_address"), self._connection
        own = {option: connection.get_option(option) for option in ADDRESSES if connection.has_option(option)}
        over = time.monotonic() + armed["timeout"]
        # What the host found wrong may be of a moment in which the change was still being made; that it cannot be
        # reached is told with it.
        found, lost, seen = "", "", False
        while time.monotonic() < over + BACK:
            # After its time is over the host is where it was before.
            self._reconnect({option: str(address) for option in own} if address and time.monotonic() < over else own)
            try:
                status = self._status(armed["id"])
                if not seen and status == "applied":
                    # This connection may be older than the change; the next is not.
                    seen = True
                    continue
                if status in ("armed", "applying"):
                    time.sleep(PAUSE)
                    continue
                answer = self._execute_module(
                    module_name=MODULE, module_args={**arguments, "confirm": armed["id"]}, task_vars=task_vars
                )
                if answer.get("unreachable"):
                    raise AnsibleConnectionFailure(str(answer.get("msg", "")))
            except AnsibleConnectionFailure as error:
                lost = "the controller cannot reach the host{}: {}".format(
                    f" at {address}" if address else "", str(error).strip().rstrip(":.")
                )
                display.vv(f"{MODULE}: {lost}", host=self._play_context.remote_addr)
                time.sleep(PAUSE)
                continue
            if answer.get("failed"):
                found = str(answer.get("msg", "the module failed"))
            elif answer["status"] == "confirmed":
                return {"bridge": answer["bridge"], "log": answer["log"]}
            elif answer["status"] == "rolled_back":
                return {
                    "failed": True,
                    "rolled_back": True,
                    "changed": False,
                    "bridge": answer["bridge"],
                    "log": answer["log"],
                    "msg": f"bridge {name}: the change was not confirmed, and the host took it back: "
                    f"{_why(found, lost)}. The log tells what was done.",
                }
            elif answer["status"] == "unknown":
                return {
                    "failed": True,
                    "msg": f"bridge {name}: the armed change is gone from the host; somebody else settled it.",
                }
            else:
                found = "; ".join(answer["why"])
            time.sleep(PAUSE)
        return {
            "failed": True,
            "unreachable": True,
            "msg": "bridge %s: the host does not answer, %d s after it should have taken the change back (%s)."
            % (name, BACK, _why(found, lost)),
        }

    def _status(self, identity: str) -> str:
        """How the change stands on the host; empty where that is not told. Raises AnsibleConnectionFailure."""
        said = self._low_level_execute_command(f"cat {STATUS}")
        found, dummy, status = str(said.get("stdout", "")).strip().rpartition(" ")
        return status if found.endswith(identity) else ""

    def _reconnect(self, addresses: dict[str, Any]) -> None:
        """Forget the connection that there is, kept ones included, and have the next one go to these addresses."""
        connection = self._connection
        try:
            connection.reset()
        except (AttributeError, AnsibleConnectionFailure) as error:
            display.vvv(f"{MODULE}: the connection is not reset: {error}")
        # Its directory for files went with the connection, if it had one.
        connection._shell.tmpdir = None
        for option, value in addresses.items():
            connection.set_option(option, value)
        if connection.transport == "ssh":
            connection.set_option("timeout", CONNECT)
            extra = connection.get_option("ssh_extra_args") or ""
            if KEEPALIVE not in extra:
                connection.set_option("ssh_extra_args", (f"{extra} {KEEPALIVE}").strip())
