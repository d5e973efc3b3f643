# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The labels of a container's image are not the container's: they choose no group of the inventory, and no fleet."""

from __future__ import annotations

from typing import Any, cast

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.container.observe import guest_of
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.container.resource import Containers

from .scene import container, inspected, seen, want

#: Of the image rich:1, which has the label `origin`.
RICH = {"origin": "image"}


class Nowhere(Containers):
    def __init__(self) -> None:
        self.place = ""


@pytest.mark.parametrize(
    ("labels", "own"),
    [
        (RICH, {}),
        ({**RICH, "role": "web"}, {"role": "web"}),
        ({"origin": "mine"}, {"origin": "mine"}),
        ({"kraal.fleet": "shop", **RICH}, {"kraal.fleet": "shop"}),
    ],
)
def test_only_those_of_its_own_are_told(labels: dict[str, str], own: dict[str, str]) -> None:
    data = inspected("plain", Labels=labels)
    assert guest_of(container(data)).labels == own
    # Whose fleet it is of.
    assert Nowhere().labels("web", seen(containers={"web": data})) == own


@pytest.mark.parametrize("state", ["absent", "there"])
def test_a_check_foresees_the_same(state: str) -> None:
    given: dict[str, Any] = {"image": "rich:1", "labels": {**RICH, "role": "web"}}
    wish = want("web", **given)
    before = seen(containers={"web": inspected("plain")} if state == "there" else {})
    work = Nowhere()
    foreseen = work.foresee(wish, work.plan(wish, before), before)
    after = seen(containers={"web": inspected("plain", Labels=given["labels"])})
    assert cast(Any, foreseen)["labels"] == cast(Any, work.describe("web", after))["labels"] == {"role": "web"}
