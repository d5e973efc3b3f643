# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What libvirt keeps as a stored definition, and has in effect while it is active: networks and pools, as far as
they are alike.
"""

from __future__ import annotations

import copy
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from ...engine.action import Action, Disruption
from ...engine.compare import Difference, before_after, differences
from ...engine.errors import BackendError, KraalError, Refused
from ...engine.plan import Step
from ...engine.reading import apart
from ...engine.resource import Resource
from ...engine.spec import Option, Spec, Table
from .client import Host, LibvirtError, NotThere
from .network.pieces import Pieces
from .xml import Element, parse

RESTART, DESTROY = Disruption.RESTART, Disruption.DESTROY
#: For how many seconds what was stopped may still hold its address, and how often that is tried.
LINGER, PAUSE = 10.0, 0.2


@dataclass(frozen=True)
class View:
    """One side of it, the stored one or the one in effect, as options are read from it."""

    definition: Element
    autostart: bool


@dataclass(frozen=True)
class DefinitionOption(Option):
    """An option on one line, with its way into the definition, or what libvirt is told of it beside that."""

    #: Takes the definition, and the canonical value.
    write: Callable[[Element, Any], None] | None = None
    #: As write, once the entries are there.
    finish: Callable[[Element, Any], None] | None = None
    #: What libvirt changes of it while the thing is active, entry by entry.
    pieces: Pieces | None = None
    #: Whether the kernel and DHCP have it of an active network, so that entries of others wait for the restart with it.
    topology: bool = False
    #: Tells libvirt what is no part of the definition; takes libvirt, its object, and the value.
    tell: Callable[[Host, Any, Any], None] | None = None


def tell_autostart(host: Host, there: Any, value: bool) -> None:
    """Whether it starts with the host."""
    host.ask(there.setAutostart, int(value))


def teller(change: Difference) -> Callable[[Host, Any, Any], None] | None:
    """How libvirt is told of a difference that is none of the definition; None for one that is."""
    return change.option.tell if isinstance(change.option, DefinitionOption) else None


@dataclass(frozen=True)
class Definition:
    """One network or pool as it was seen. ``live`` is what is in effect, None while it is inactive."""

    id: str
    config: Element
    live: Element | None = None
    persistent: bool = True
    autostart: bool = False

    def view(self, live: bool = False) -> View:
        """One side, for reading options."""
        return View(self.live if live and self.live is not None else self.config, self.autostart)

    @property
    def active(self) -> bool:
        """Whether guests can use a network, and whether a pool's volumes can be reached through libvirt."""
        return self.live is not None


@dataclass
class Seen:
    """The networks or pools by name, and the guests that use them: all, and those that use them while they run."""

    defined: dict[str, Definition] = field(default_factory=dict)
    users: dict[str, set[str]] = field(default_factory=dict)
    running: dict[str, set[str]] = field(default_factory=dict)
    #: Why some of them cannot be read, by name.
    faults: dict[str, KraalError] = field(default_factory=dict)
    #: The types that libvirt can have here; empty where it was not asked, or does not say.
    types: frozenset[str] = frozenset()
    #: Libvirt's version, 9000000 for 9.0.0, where somebody has to know it.
    version: int = 0
    #: The guests of which nobody can say what they use.
    unread: dict[str, KraalError] = field(default_factory=dict)

    def doubt(self, what: str, remedy: str) -> None:
        """Raise Refused where a guest may use it, because what that one uses cannot be read."""
        if self.unread:
            raise Refused(
                "{}, because it cannot be seen whether these guests use it: {}".format(
                    what, ", ".join(sorted(self.unread))
                ),
                remedy=remedy,
            )


def observed(host: Host, listed: Callable[[int], Sequence[Any]], inactive: int) -> Seen:
    """All networks, or all pools; ``inactive`` is the flag that asks for what is stored of one."""
    seen = Seen()
    for each in host.ask(listed, 0):
        with apart(seen.faults, "kvm", each.name()), suppress(NotThere):
            _look(host, seen, each, inactive)
    return seen


def _look(host: Host, seen: Seen, each: Any, inactive: int) -> None:
    ask = host.ask
    active, persistent = bool(ask(each.isActive)), bool(ask(each.isPersistent))
    live = parse(ask(each.XMLDesc, 0)) if active else None
    config = parse(ask(each.XMLDesc, inactive)) if persistent else copy.deepcopy(live)
    if config is not None:
        seen.defined[each.name()] = Definition(
            each.UUIDString(), config, live, persistent, persistent and bool(ask(each.autostart))
        )


def read_users(host: Host, seen: Seen, used: Callable[[Element], Iterable[str]]) -> None:
    """All guests, both sides of each; ``used`` gives the names of what a guest of that definition uses."""
    for domain in host.ask(host.conn.listAllDomains, 0):
        with apart(seen.unread, "kvm", domain.name()), suppress(NotThere):
            live = parse(host.ask(domain.XMLDesc, 0)) if host.ask(domain.isActive) else None
            stored = (
                parse(host.ask(domain.XMLDesc, host.api.VIR_DOMAIN_XML_INACTIVE))
                if host.ask(domain.isPersistent)
                else None
            )
            for name in () if live is None else used(live):
                seen.running.setdefault(name, set()).add(domain.name())
            for tree in (live, stored):
                for name in () if tree is None else used(tree):
                    seen.users.setdefault(name, set()).add(domain.name())


def written(want: Spec, have: Definition, changes: Sequence[Difference]) -> list[Step]:
    """The steps that change what is stored: that it is stored at all, its definition, which is one call whatever it
    changes, and its autostart.
    """
    steps = [] if have.persistent else [Step(want.name, Action.SET, "persistent", False, True)]
    mine = tuple(each for each in changes if teller(each) is None)
    before, after = before_after(mine)
    keys = {**before, **after}
    if len(keys) == 1:
        steps += [Step(want.name, Action.SET, key, before.get(key), after.get(key), changes=mine) for key in keys]
    elif keys:
        steps.append(Step(want.name, Action.SET, "", before, after, changes=mine))
    for each in changes:
        if teller(each) is not None:
            before, after = before_after([each])
            steps += [
                Step(want.name, Action.SET, key, before.get(key), after.get(key), changes=(each,)) for key in after
            ]
    return steps


class Definitions(Resource[Seen]):
    """All networks, or all pools, of one libvirt, as a resource."""

    #: The first option is what kind of network or pool it is.
    table: Table

    def __init__(self, host: Host) -> None:
        self.host = host
        # Whoever plans what libvirt will have once it runs has no host yet.
        self.place = host.place if host else ""

    @abstractmethod
    def observe(self, wants: Sequence[Spec] | None) -> Seen:
        """All of them and all guests; a handful of calls for each."""

    @abstractmethod
    def _check(self, want: Spec, have: Definition | None, seen: Seen) -> None:
        """Raises InvalidOption or Refused for what cannot be, before anything is touched."""

    @abstractmethod
    def _changes(self, want: Spec, have: Definition, seen: Seen, ends: bool) -> list[Step]:
        """What changes in one that is there; ``ends``: it is stopped anyway, so nothing of it has to change while it
        is active.
        """

    @abstractmethod
    def _merged(self, want: Spec, have: Definition | None) -> Element:
        """The definition as the task wants it."""

    @abstractmethod
    def _create(self, want: Spec) -> None:
        """Make a new one, which need not be active then."""

    @abstractmethod
    def _find(self, name: str) -> Any | None:
        """Libvirt's own object."""

    @abstractmethod
    def _define(self, tree: Element) -> Any:
        """Write a definition of one that is there; gives libvirt's own object."""

    @abstractmethod
    def _set(self, there: Any, want: Spec, step: Step, have: Definition) -> None:
        """Perform a step that sets what is in the definition."""

    def plan(self, want: Spec, seen: Seen) -> list[Step]:
        """Pure."""
        if want.name in seen.faults:
            raise seen.faults[want.name]
        have = seen.defined.get(want.name)
        self._check(self._changing(want, have), have, seen)
        active = have is not None and have.active
        turn = []
        if want.state == "active" and not active:
            turn = [Step(want.name, Action.START, "state", "inactive", "active")]
        elif want.state in ("inactive", "absent") and active:
            turn = [Step(want.name, Action.STOP, "state", "active", "inactive", RESTART)]
        if want.state == "absent":
            kind = self.table.options[0]
            return (
                [*turn, Step(want.name, Action.REMOVE, "", {kind.name: kind.read(have.view())}, None, DESTROY)]
                if have
                else []
            )
        if have is None:
            return [Step(want.name, Action.CREATE, "", None, self.table.shown(want)), *turn]
        # Written before it is stopped: one that is not written down would be gone.
        return [*self._changes(want, have, seen, ends=want.state == "inactive"), *turn]

    def _changing(self, want: Spec, have: Definition | None) -> Spec:
        """The specification without what is so already: nothing can be said against that, unless it is to start with
        it.
        """
        if have is None or want.state == "absent" or (want.state == "active" and not have.active):
            return want
        names = {each.option.name for each in differences(self.table, want, have.view())}
        return replace(want, values={name: value for name, value in want.values.items() if name in names})

    def do_create(self, want: Spec, _step: Step, _seen: Seen) -> None:
        """Make a new one, which need not be active then."""
        self._create(want)

    def do_remove(self, want: Spec, _step: Step, _seen: Seen) -> None:
        """Forget its definition. One that was not written down went when it was stopped."""
        there = self._find(want.name)
        if there is not None:
            self.host.ask(there.undefine)

    def do_start(self, want: Spec, _step: Step, seen: Seen) -> None:
        """Make it active."""
        self._start(self._there(want), seen.defined.get(want.name))

    def do_stop(self, want: Spec, _step: Step, _seen: Seen) -> None:
        """Make it inactive."""
        self.host.ask(self._there(want).destroy)

    def do_restart(self, want: Spec, step: Step, seen: Seen) -> None:
        """Bring into effect what is stored."""
        self.do_stop(want, step, seen)
        self._start(self._there(want), seen.defined.get(want.name), patience=LINGER)

    def do_set(self, want: Spec, step: Step, seen: Seen) -> None:
        """Store it, or change options of it."""
        there, have = self._there(want), seen.defined[want.name]
        told = [(tell, each.value) for each in step.changes for tell in [teller(each)] if tell is not None]
        for tell, value in told:
            tell(self.host, there, value)
        if step.key == "persistent":
            self._define(have.config)
        elif not told:
            self._set(there, want, step, have)

    def _there(self, want: Spec) -> Any:
        there = self._find(want.name)
        if there is None:
            raise BackendError("it has gone meanwhile", remedy="Run again")
        return there

    def _start(self, there: Any, have: Definition | None, patience: float = 0) -> None:
        """Where that fails, a new one goes again, and one that was active gets its old definition back.

        ``patience``: for how many seconds its address may still be taken by itself.
        """
        try:
            self._activate(there, time.monotonic() + patience)
        except BackendError as error:
            if have is None:
                self.host.ask(there.undefine)
                error.add("nothing was left of its definition")
            elif have.live is not None:
                self.host.ask(self._define(have.live).create)
                error.add("the old definition was put back")
            raise

    def _activate(self, there: Any, deadline: float) -> None:
        """Libvirt tells a network's dnsmasq to end, and does not wait until it has (libvirt 11.3, seen on a busy host)."""
        while True:
            try:
                self.host.ask(there.create)
                return
            except LibvirtError as error:
                if "Address already in use" not in error.message or time.monotonic() >= deadline:
                    raise
            time.sleep(PAUSE)

    def describe(self, name: str, seen: Seen) -> Mapping[str, Any] | None:
        """It as it was seen."""
        have = seen.defined.get(name)
        if have is None:
            return None
        config, live, options = have.view(), have.view(live=True), self.table.options
        return {
            "name": name,
            "backend": self.table.backend,
            "id": have.id,
            "state": "active" if have.active else "inactive",
            **{option.name: option.kind.shown(option.read(config)) for option in options},
            **self._figures(have),
            "guests": sorted(seen.users.get(name, ())),
            "pending_restart": [option.name for option in options if option.read(config) != option.read(live)],
        }

    def _figures(self, have: Definition) -> Mapping[str, Any]:
        """What only libvirt can say of one."""
        return {}

    def foresee(self, want: Spec, steps: Sequence[Step], seen: Seen) -> Mapping[str, Any] | None:
        """It as it will be; its id, and what else the task leaves to libvirt, only libvirt can say."""
        if want.state == "absent":
            return None
        have = seen.defined.get(want.name)
        if have is not None and not steps:
            return self.describe(want.name, seen)
        config, live = self._merged(want, have), None
        actions = {step.action for step in steps}
        if actions & {Action.START, Action.RESTART}:
            live = config
        elif have is not None and have.live is not None and Action.STOP not in actions:
            live = self._in_effect(want, steps, have.live, config)
        autostart = want.values.get("autostart", have.autostart if have else False)
        ahead = Definition(have.id if have else "", config, live, True, autostart)
        return self.describe(want.name, replace(seen, defined={want.name: ahead}))

    def _in_effect(self, want: Spec, steps: Sequence[Step], live: Element, config: Element) -> Element:
        """What is in effect after these steps of one that stays active."""
        return live
