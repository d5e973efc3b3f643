# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kinds of value that networks have in every backend: MAC addresses and subnets. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

from .kinds import Foreign, Part, Records, Text

_MAC = r"(?i)[0-9a-f]{2}(:[0-9a-f]{2}){5}"


def is_mac(text: str) -> bool:
    """Whether a text is a MAC address of six octets."""
    return re.fullmatch(_MAC, text, re.ASCII) is not None


def mac(example: str) -> Text:
    """MAC addresses, in lower case; ``example``: one that the backend would take."""
    return Text(pattern=_MAC, remedy=f"Write it like {example}", fold=True)


def family_of(subnet: str) -> int:
    """4 or 6; 0 for what is no subnet to us."""
    return 0 if isinstance(subnet, Foreign) else ipaddress.ip_network(subnet).version


class Subnets(Records):
    """The subnets of a network, with what is said of each: complete for each family that is named."""

    merges = False
    #: The families of which an empty list says that there are none.
    emptied: frozenset[int] = frozenset()

    def parts(self, want: Mapping[str, Any], have: Mapping[str, Any] | None, exact: bool) -> list[Part]:
        return super().parts(want, self._rivals(want, have), True)

    def merge(self, want: Mapping[str, Any], have: Mapping[str, Any] | None, exact: bool) -> dict[str, Any]:
        rivals = self._rivals(want, have)
        others = {subnet: record for subnet, record in (have or {}).items() if subnet not in rivals}
        return {**others, **super().merge(want, rivals, True)}

    def _rivals(self, want: Mapping[str, Any], have: Mapping[str, Any] | None) -> dict[str, Any]:
        families = {family_of(subnet) for subnet in want} or self.emptied
        return {subnet: record for subnet, record in (have or {}).items() if family_of(subnet) in families}
