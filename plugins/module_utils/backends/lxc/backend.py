# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""LXC, as the rest of the collection knows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..backend import ARCHIVE, Backend


def _is_id(text: str, name: str) -> bool:
    """The guest's own directory: a path without detours, which ends with its name."""
    root, *parts = text.split("/")
    return root == "" and bool(parts) and parts[-1] == name and not {"", ".", ".."} & set(parts)


def _reach(guest: Mapping[str, Any]) -> dict[str, str]:
    return {"ansible_guest_lxc_path": guest["id"].rpartition("/")[0]}


BACKEND = Backend(
    name="lxc",
    machines=False,
    daemon="LXC",
    address="lxc_path",
    is_id=_is_id,
    reach=_reach,
    removal=("remove_storage", "stop_timeout", "timeout"),
    made_of=(ARCHIVE,),
)
