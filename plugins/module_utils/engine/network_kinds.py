# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kinds of value that networks have in every backend: MAC addresses and subnets. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

from .errors import InvalidOption
from .kinds import Foreign, Part, Records, Text
from .units import unquoted

_MAC = r"(?i)[0-9a-f]{2}(:[0-9a-f]{2}){5}"


def is_mac(text: str) -> bool:
    """Whether a text is a MAC address of six octets."""
    return re.fullmatch(_MAC, text, re.ASCII) is not None


def unquoted_mac(value: object) -> str:
    """The MAC address that YAML took for a number, as it takes digits with colons between them for one of base 60.

    Empty for what is no such number.
    """
    groups = unquoted(value, 6)
    return ":".join(f"{group:02d}" for group in groups) if groups and groups[0] < 100 else ""


def check_quoted(value: object, option: str) -> None:
    """Raises InvalidOption for a MAC address that YAML took for a number."""
    meant = unquoted_mac(value)
    if meant:
        raise InvalidOption(
            option,
            value,
            "is a number: YAML reads digits between colons as one",
            remedy=f'Write it in quotes, "{meant}"',
        )


class Mac(Text):
    """A MAC address, in lower case."""

    def parse(self, value: Any, option: str) -> str:
        check_quoted(value, option)
        return super().parse(value, option)


def mac(example: str) -> Mac:
    """MAC addresses; ``example``: one that the backend would take."""
    return Mac(pattern=_MAC, remedy=f"Write it like {example}", fold=True)


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
