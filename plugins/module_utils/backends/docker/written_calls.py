# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes out a request to the Docker engine for the trace of a task, without its secrets. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit

from ...engine.secrets import HIDDEN, hidden, hide

#: What stands before the path in every request of a client that has settled on a version of the API.
_VERSION = re.compile(r"^/v[0-9]+\.[0-9]+(?=/)")


def write_request(
    method: str, url: str, params: Any = None, json: Any = None, data: Any = None, place: str = "", **_rest: Any
) -> str:
    """One request: ``POST /containers/create?name=web {"Image": ...}``. The arguments are those of requests; its
    headers are left out.

    ``place``: that of the engine; what is not the host's own is named at the end, as a task may have several.
    """
    parts = urlsplit(url)
    path = _VERSION.sub("", parts.path) or "/"
    query = params if isinstance(params, Mapping) else {}
    asked = urlencode({key: _shown(key, value) for key, value in query.items() if value is not None}, doseq=True)
    words = "{} {}".format(
        method, "?".join(filter(None, (unquote(path), hide(parts.query), unquote(asked.replace("+", " ")))))
    )
    content = _body(json if json is not None else data)
    return " ".join(filter(None, (words, content, place and "at " + place)))


def _body(data: Any) -> str:
    """What is sent along: JSON is shown, and of anything else that it is there."""
    if isinstance(data, (str, bytes)) and data[:1] in ("{", "[", b"{", b"["):
        data = _parsed(data)
    if data is None:
        return ""
    if isinstance(data, (Mapping, list)):
        return json.dumps(_shown("", data), ensure_ascii=False, default=str)
    return "(%d bytes)" % len(data) if isinstance(data, (str, bytes)) else "(a stream)"


def _parsed(data: Any) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return data


def _shown(key: str, value: Any) -> Any:
    """Plain data without what is secret in it, all values of environment variables and of a build's arguments
    included.
    """
    if key == "Env" and isinstance(value, list):
        return ["{}={}".format(str(each).partition("=")[0], HIDDEN) for each in value]
    if key in ("buildargs", "BuildArgs", "auth"):
        return HIDDEN
    if isinstance(value, Mapping):
        return {inner: _shown(str(inner), content) for inner, content in value.items()}
    return hidden(value, key)
