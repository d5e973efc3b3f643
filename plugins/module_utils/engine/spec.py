# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the user set, typed and normalised: options, tables of options, and the specification read through them.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .action import Disruption, PowerState
from .errors import InvalidOption
from .kinds import Kind
from .secrets import secrets_in

#: The vocabulary that every guest module shares; a table names the states and waits that its backend has.
STATES = (*map(str, (PowerState.RUNNING, PowerState.STOPPED, PowerState.PAUSED)), "present", "absent")
#: No option: the texts among a task's completed arguments that are secret, whatever their keys say.
READ_SECRETS = "read secrets"
#: No option either: among connection options, whether somebody only looks, as in check mode.
ONLY_LOOKS = "only looks"
WAITS = ("none", "running", "address", "agent", "healthy")


@dataclass(frozen=True)
class Option:
    """One option on one line: its declaration, its reading from what was observed, and what a difference costs."""

    name: str
    kind: Kind
    #: Takes what a backend observed of one guest; gives the canonical value, or None where there is none.
    read: Callable[[Any], Any]
    change: Disruption


@dataclass(frozen=True)
class Table:
    """All there is to say of one kind of resource: its options, and what steers a task without being managed."""

    backend: str
    kind: str
    options: tuple[Option, ...]
    states: tuple[str, ...] = STATES
    state: str = "running"
    #: The most that a task may disturb unless it says otherwise; None where nothing but the state can disturb.
    allow: Disruption | None = Disruption.LIVE
    waits: tuple[str, ...] = ()
    #: Ansible's declaration of the options that steer the task: they describe how, not what.
    steering: Mapping[str, Any] = field(default_factory=dict)
    #: Completes a task's arguments with what they name on this host (a file to read); runs before they are read. What
    #: it read that nobody may see stands under READ_SECRETS.
    complete: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda parameters: parameters
    #: Raises InvalidOption for a name that the backend would not take.
    check_name: Callable[[str], None] = lambda name: None
    #: Whether a name is one word; an image's name has slashes.
    plain_name: bool = True

    def __getitem__(self, name: str) -> Option:
        return self.by_name[name]

    @cached_property
    def by_name(self) -> dict[str, Option]:
        """The options, by their names."""
        return {option.name: option for option in self.options}

    def argument_spec(self) -> dict[str, Any]:
        """The argument spec of this resource's module."""
        mergeable = sorted(option.name for option in self.options if option.kind.merges)
        spec: dict[str, Any] = {
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": list(self.states), "default": self.state},
        }
        spec.update((option.name, dict(option.kind.argument)) for option in self.options)
        if mergeable:
            spec["purge"] = {"type": "list", "elements": "str", "choices": mergeable, "default": []}
        if self.allow is not None:
            spec["disruption"] = {"type": "str", "choices": Disruption.names(), "default": self.allow.label}
        if self.waits:
            spec["wait_for"] = {"type": "str", "choices": list(self.waits), "default": "none"}
            spec["timeout"] = {"type": "int", "default": 60}
        spec.update(self.steering)
        return spec

    def read(self, parameters: Mapping[str, Any]) -> Spec:
        """The specification in a task's (already type-checked) arguments. Raises InvalidOption."""
        name = parameters["name"]
        if self.plain_name:
            check_plain_name(name)
        try:
            self.check_name(name)
            parameters = self.complete(parameters)
            values = {
                option.name: option.kind.parse(parameters[option.name], option.name)
                for option in self.options
                if parameters.get(option.name) is not None
            }
        except InvalidOption as error:
            error.guest = name
            raise
        allow = Disruption.DESTROY if self.allow is None else Disruption.parse(parameters["disruption"])
        timeout = parameters.get("timeout") or 0
        if self.waits and timeout < 1:
            raise InvalidOption("timeout", timeout, "must be at least 1 second", remedy="Write 1 or more", guest=name)
        return Spec(
            name=name,
            state=parameters["state"],
            values=values,
            purge=frozenset(parameters.get("purge") or ()),
            allow=allow,
            wait_for=parameters.get("wait_for") or "none",
            timeout=timeout,
            steering={key: parameters.get(key) for key in self.steering},
            secrets=frozenset([*secrets_in(parameters), *parameters.get(READ_SECRETS, ())]),
        )

    def shown(self, spec: Spec) -> dict[str, Any]:
        """The options that are set, as a user would write them, secrets hidden."""
        return {name: self[name].kind.show(value) for name, value in spec.values.items()}


@dataclass(frozen=True)
class Spec:
    """What one task wants of one guest. An option that is not in ``values`` was not set, and is not managed."""

    name: str
    state: str
    values: Mapping[str, Any] = field(default_factory=dict)
    purge: frozenset[str] = frozenset()
    allow: Disruption = Disruption.LIVE
    wait_for: str = "none"
    timeout: int = 60
    steering: Mapping[str, Any] = field(default_factory=dict)
    #: What must not be shown, of what ``complete`` has read on this host included.
    secrets: frozenset[str] = frozenset()

    def target(self, now: str) -> str:
        """The power state that is asked for: ``present`` leaves a guest in the one it is in."""
        return now if self.state == "present" else self.state

    @property
    def waits(self) -> bool:
        """Whether there is something to wait for when all is done."""
        return self.wait_for != "none" and self.state in (PowerState.RUNNING, "present")


def check_plain_name(name: str) -> None:
    """Refuse what is dangerous in a path, in an argument vector or on a screen, whatever the backend would say of
    it.
    """
    why = ""
    if not name:
        why = "is empty"
    elif name.startswith("-"):
        why = "starts with a dash"
    elif "/" in name:
        why = "contains a slash"
    elif ".." in name:
        why = "contains two dots in a row"
    elif not name.isprintable():
        why = "contains a control character"
    if why:
        raise InvalidOption(
            "name", name, why, remedy="Use letters, digits, and single dots, dashes and underscores between them"
        )


def name_check(pattern: str, what: str, remedy: str) -> Callable[[str], None]:
    """A check that a name is of that pattern; ``what`` it is none for where it is not."""
    form = re.compile(pattern, re.ASCII)

    def check(name: str) -> None:
        if not form.fullmatch(name):
            raise InvalidOption("name", name, f"is not a valid name for {what}", remedy=remedy)

    return check
