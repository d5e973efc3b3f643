# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is the same for all resources."""

from __future__ import annotations

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.engine.action import Action
from ansible_collections.kraal.virt.plugins.module_utils.engine.plan import Step
from ansible_collections.kraal.virt.plugins.module_utils.engine.work import side_by_side

from .boxes import Boxes, want


def test_an_action_without_a_method_is_told_as_what_it_is() -> None:
    """A mistake of ours, and no answer of a backend that is not understood."""
    with pytest.raises(NotImplementedError, match="Boxes plans the action 'wipe' and has no method do_wipe"):
        Boxes().apply(want("a"), Step("a", Action.WIPE), {})


@pytest.mark.parametrize("width", [1, 4])
def test_what_is_done_side_by_side_comes_back_in_order(width: int) -> None:
    assert side_by_side(lambda number: number * 2, range(9), width) == list(range(0, 18, 2))
