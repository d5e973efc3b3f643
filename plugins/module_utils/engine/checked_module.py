# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""AnsibleModule that refuses what no option can mean, before Ansible's own check of arguments breaks off at it."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from .argument_values import check_values
from .errors import KraalError


class CheckedModule(AnsibleModule):  # type: ignore[misc]
    """See check_values()."""

    def _set_internal_properties(self, *arguments: Any, **named: Any) -> None:
        # From here on the module can answer; what comes next is Ansible's own check of the arguments.
        super()._set_internal_properties(*arguments, **named)
        try:
            check_values(self.argument_spec, self.params)
        except KraalError as error:
            name = self.params.get("name")
            self.fail_json(msg=str(error.about(guest=name if isinstance(name, str) else "")))
