# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which packages a host has, and which it lacks for what is needed there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .packages import package_of, systems_in
from .reader import Host

#: What asks a system for its packages: NAME installed, a line each.
_QUERIES = (
    ("dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\\n"),
    ("rpm", "--query", "--queryformat", "%{NAME} installed\\n"),
)


def packages(host: Host, needs: Sequence[str]) -> dict[str, Any]:
    """``needs``: of the TABLE of packages, or package: and a name. Their packages: ``missing``, ``installed``, and the
    one ``of`` each.

    On a system whose packages nobody can ask for, a program that is not found is missing by its own name. Raises
    KeyError for a need that is not known.
    """
    systems = systems_in(host.text("/etc/os-release") or "")
    found = {need: package_of(need, systems) for need in needs}
    query = next((argv for argv in _QUERIES if host.which(argv[0])), None)
    if query is None:
        return {
            "missing": sorted(need for need in needs if ":" not in need and not host.which(need)),
            "installed": [],
            "of": found,
        }
    asked = sorted(set(found.values()) - {""})
    said = host.run([*query, *asked]) if asked else None
    installed = {line.split()[0] for line in (said.out if said else "").splitlines() if line.endswith(" installed")}
    return {"missing": sorted(set(asked) - installed), "installed": sorted(installed), "of": found}
