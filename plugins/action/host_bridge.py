# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's part of host_bridge: come back over a new connection, and only then confirm what the host has armed."""

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
CONNECT = 5

display = Display()


class ActionModule(ActionBase):  # type: ignore[misc]
    """Runs the module to plan and to arm; then again and again, each time over a new connection, until it confirms or tells of the rollback."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        result.update(self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars))
        armed = result.pop("armed", None)
        if not armed or result.get("failed"):
            return result
        result.update(self._settle(arguments, armed, task_vars))
        return result

    def _settle(self, arguments: dict[str, Any], armed: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        """What became of the armed change."""
        begun = time.monotonic()
        over = begun + armed["timeout"]
        address, why, ready, last = arguments.get("connect_address"), "nobody looked at it", False, ""
        while time.monotonic() < over + BACK:
            # After its time is over the host is where it was before.
            self._reconnect(str(address) if address and time.monotonic() < over else None)
            try:
                answer = self._ask({**arguments, "confirm": armed["id"]}, task_vars, look=not ready)
            except AnsibleConnectionFailure as error:
                last = "the controller cannot reach the host%s: %s" % (" at %s" % address if address else "", str(error).strip().rstrip(":."))
                display.vv("%s: %s" % (MODULE, last), host=self._play_context.remote_addr)
                time.sleep(PAUSE)
                continue
            if answer.get("failed"):
                why = answer.get("msg", "the module failed")
                time.sleep(PAUSE)
                continue
            status = answer["status"]
            if status == "confirmed":
                return {"bridge": answer["bridge"], "log": answer["log"]}
            if status == "rolled_back":
                reasons = "; ".join(answer["why"]) or (why if ready else last or why)
                return {
                    "failed": True,
                    "rolled_back": True,
                    "changed": False,
                    "bridge": answer["bridge"],
                    "log": answer["log"],
                    "msg": "bridge %s: the change was not confirmed, and the host took it back: %s. The log tells what was done."
                    % (arguments["name"], reasons.rstrip(".")),
                }
            if status == "unknown":
                return {"failed": True, "msg": "bridge %s: the armed change is gone from the host; somebody else settled it." % arguments["name"]}
            if status == "applied":
                # Seen over a connection that may be older than the change: look once more, over one that is not.
                if ready and answer["why"]:
                    why = "; ".join(answer["why"])
                elif ready:
                    why = "it did not confirm"
                if not ready:
                    ready = True
                    continue
            time.sleep(PAUSE)
        return {
            "failed": True,
            "unreachable": True,
            "msg": "bridge %s: the host does not answer, %d s after it should have taken the change back (%s)." % (arguments["name"], BACK, last or why),
        }

    def _ask(self, arguments: dict[str, Any], task_vars: dict[str, Any] | None, look: bool) -> dict[str, Any]:
        """One call of the module; a look is one under check mode."""
        before = self._task.check_mode
        self._task.check_mode = look
        try:
            answer: dict[str, Any] = self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
        finally:
            self._task.check_mode = before
        if answer.get("unreachable"):
            raise AnsibleConnectionFailure(str(answer.get("msg", "unreachable")))
        return answer

    def _reconnect(self, address: str | None) -> None:
        """Forget the connection that there is, kept ones included."""
        connection = self._connection
        try:
            connection.reset()
        except (AttributeError, AnsibleConnectionFailure) as error:
            display.vvv("%s: the connection is not reset: %s" % (MODULE, error))
        # Its directory for files went with the connection, if it had one.
        connection._shell.tmpdir = None
        own = self._play_context.remote_addr
        options = {"host": address or own, "timeout": CONNECT}
        for name, value in options.items():
            if name in getattr(connection, "_options", {}) or connection.has_option(name):
                connection.set_option(name, value)
        if connection.transport == "ssh":
            extra = connection.get_option("ssh_extra_args") or ""
            if KEEPALIVE not in extra:
                connection.set_option("ssh_extra_args", ("%s %s" % (extra, KEEPALIVE)).strip())
