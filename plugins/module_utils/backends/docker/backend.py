# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Docker, as the rest of the collection knows it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..backend import Backend


def _is_id(text: str, _name: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{64}", text) is not None


def _reach(guest: Mapping[str, Any]) -> dict[str, str]:
    return {"ansible_guest_docker_host": guest["place"]} if guest["place"] else {}


BACKEND = Backend(
    name="docker",
    machines=False,
    daemon="the Docker engine",
    address="docker_host",
    is_id=_is_id,
    reach=_reach,
    endpoint=("docker_host", "tls_ca", "tls_cert", "tls_key"),
    removal=("remove_storage", "stop_timeout", "timeout"),
)
