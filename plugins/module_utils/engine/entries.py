# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An entry of a list that a task has for several things: checked as the arguments of the module for one of them
would be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from .argument_values import check_values
from .errors import KraalError
from .peers import Peer, advice
from .printable import printable


def checked(
    spec: Mapping[str, Any],
    given: Mapping[str, Any],
    secrets: set[str],
    options: str,
    peers: Iterable[Peer] = (),
) -> dict[str, Any]:
    """The entry's arguments, typed and with their defaults. Raises KraalError.

    ``spec``: Ansible's declaration of the options. ``secrets``: gets those of the entry. ``options``: how an error
    names what the options belong to. ``peers``: the modules that it may have been written for.
    """
    meant = [each for each in advice(peers, spec, given) if each]
    unknown = sorted(printable(key) for key in given if key not in spec)
    if unknown:
        raise KraalError(
            "{}: no such option".format(", ".join(unknown)),
            remedy=" ".join([*meant, f"The options are those of {options}"]),
        )
    check_values(spec, given)
    found = ArgumentSpecValidator(dict(spec)).validate(dict(given))
    secrets.update(filter(None, found._no_log_values))
    if found.error_messages:
        raise KraalError("; ".join(found.error_messages), remedy=" ".join([*meant, f"See the options of {options}"]))
    arguments: dict[str, Any] = found.validated_parameters
    return arguments
