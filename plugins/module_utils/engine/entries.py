# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An entry of a list that a task has for several things: checked as the arguments of the module for one of them
would be.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from .argument_values import check_values
from .errors import KraalError
from .printable import printable


def checked(spec: Mapping[str, Any], given: Mapping[str, Any], secrets: set[str], options: str) -> dict[str, Any]:
    """The entry's arguments, typed and with their defaults. Raises KraalError.

    ``spec``: Ansible's declaration of the options. ``secrets``: gets those of the entry. ``options``: how an error
    names what the options belong to.
    """
    unknown = sorted(printable(key) for key in given if key not in spec)
    if unknown:
        near = get_close_matches(unknown[0], spec, 1, 0.7)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise KraalError(
            "{}: no such option".format(", ".join(unknown)), remedy=f"{hint}The options are those of {options}"
        )
    check_values(spec, given)
    found = ArgumentSpecValidator(dict(spec)).validate(dict(given))
    secrets.update(filter(None, found._no_log_values))
    if found.error_messages:
        raise KraalError("; ".join(found.error_messages), remedy=f"See the options of {options}")
    arguments: dict[str, Any] = found.validated_parameters
    return arguments
