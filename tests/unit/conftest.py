# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For the unit tests: no daemon, no network; a slow machine is not a failure."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("kraal", deadline=None, max_examples=50)
settings.load_profile("kraal")
