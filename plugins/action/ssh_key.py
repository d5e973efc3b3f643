# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes the key on the controller, which is what logs in: no module has to be packed and started for that."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import KraalError
from ansible_collections.kraal.virt.plugins.module_utils.engine.plan import diff_of
from ansible_collections.kraal.virt.plugins.module_utils.engine.reconcile import Job, reconcile
from ansible_collections.kraal.virt.plugins.module_utils.host.ssh_key import KEYS, Keys


class ActionModule(ActionBase):
    """A key of the user who runs Ansible."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """The result, as the module's documentation has it."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _checked, arguments = self.validate_argument_spec(argument_spec=KEYS.argument_spec())
        try:
            outcome = reconcile([Job(Keys(), [KEYS.read(arguments)])], check=self._task.check_mode)[0]
        except KraalError as error:
            return {**result, "failed": True, "msg": str(error)}
        steps = [step.as_dict() for step in outcome.steps]
        result.update(
            changed=outcome.changed, plan=steps, diff=diff_of(outcome.steps, outcome.name), ssh_key=outcome.described
        )
        if outcome.error is not None:
            result.update(failed=True, msg=str(outcome.error))
        return result
