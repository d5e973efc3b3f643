# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A task's arguments, completed with the files that they name on the host where it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....engine.errors import InvalidOption
from ....engine.spec import READ_SECRETS
from .kinds import pairs


def complete(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """Add the variables of ``env_file`` to ``env`` (which wins), and read the profiles that ``security_opt`` names."""
    completed = dict(parameters)
    variables: dict[str, Any] = {}
    for path in parameters.get("env_file") or ():
        variables.update(parse_env_file(_read_file("env_file", path), path))
    # Such a file is where secrets are kept, and not every one has a name that says so.
    completed[READ_SECRETS] = [text for text in variables.values() if len(text) >= 8]
    if variables or parameters.get("env") is not None:
        completed["env"] = {**variables, **(parameters.get("env") or {})}
    if parameters.get("security_opt"):
        completed["security_opt"] = [_profile(str(word)) for word in parameters["security_opt"]]
    return completed


def _profile(word: str) -> str:
    """The engine wants a seccomp profile's text where the command line takes its path."""
    key, _separator, path = word.replace(":", "=", 1).partition("=")
    return "seccomp={}".format(_read_file("security_opt", path)) if key == "seccomp" and path.startswith("/") else word


def _read_file(option: str, path: str) -> str:
    try:
        # A byte order mark is no part of the text.
        with open(path, encoding="utf-8-sig") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidOption(
            option,
            path,
            f"cannot be read: {error}",
            remedy="Name a text file that exists on the host where the task runs",
        ) from error


def parse_env_file(text: str, path: str) -> dict[str, str]:
    """KEY=value on each line, as docker run --env-file reads it: no quotes, no expansion; # begins a comment line."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in lines:
        if "=" not in line:
            # The line itself may hold a secret: it is not repeated.
            raise InvalidOption("env_file", path, "has a line without =", remedy="Write KEY=value on each line")
    return pairs([line.lstrip() for line in lines])
