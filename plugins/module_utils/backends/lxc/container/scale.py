# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Weights of control groups: from the range of version 1 to that of version 2, 1 to 10000, and back. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """In even steps."""

    least: int
    most: int

    def weight(self, value: int) -> int:
        """What version 2 has for a value of version 1."""
        return 1 + (value - self.least) * 9999 // (self.most - self.least)

    def value(self, weight: int) -> int:
        """A value that comes near: one weight stands for many, or for none."""
        return self.least + (weight - 1) * (self.most - self.least) // 9999


class ShareScale(Scale):
    """Shares of processors: 1024, what a group of version 1 has from the start, is 100, what one of version 2 has.

    The formula of runc 1.3.2 and later, so that LXC's and Docker's guests on one host are weighed alike.
    """

    def weight(self, value: int) -> int:
        if not self.least < value < self.most:
            return 1 if value <= self.least else 10000
        log = math.log2(value)
        return math.ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34))

    def value(self, weight: int) -> int:
        """The largest of those that come to that weight."""
        log = (math.sqrt(125**2 + 4 * 612 * (math.log10(max(weight, 1)) + 7 / 34)) - 125) / 2
        return math.floor(2**log + 1e-6)
