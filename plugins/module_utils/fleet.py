# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many guests of several backends in one task: reads the list, brings it to the engine, and puts the answer
together.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values

from . import places
from .backends.backend import Managed
from .backends.registry import NAMES, backend
from .engine import task
from .engine.entries import checked
from .engine.errors import InvalidOption, KraalError, NotInstalled, Refused
from .engine.identity import GuestId, check_unique
from .engine.reading import apart, check_read, labels_of, reading
from .engine.reconcile import Job, Outcome, reconcile
from .engine.resource import Guests
from .engine.spec import ONLY_LOOKS, Spec, Table
from .engine.task import KraalModule

#: The label that tells a fleet's guests from all others.
LABEL = "kraal.fleet"

#: How many guests one entry may stand for.
MOST_GUESTS = 10000

#: How many failures a message tells, and how many characters each has at most.
SHOWN, MOST = 5, 300

ARGUMENTS: dict[str, Any] = {
    "guests": {"type": "list", "elements": "dict", "required": True},
    "defaults": {"type": "dict", "default": {}},
    "name": {"type": "str"},
    "prune": {"type": "bool", "default": False},
    "take_over": {"type": "list", "elements": "str", "default": []},
    "places": places.ARGUMENT,
    "concurrency": {"type": "int", "default": 8},
    "max_failures": {"type": "int"},
}


@dataclass
class FleetJob(Job[Any]):
    """The specifications for one engine's guests; those of the strays join them."""

    resource: Guests[Any]
    wants: list[Spec]
    fleet: Fleet
    #: Whether the task fails where this place cannot be looked at, even if no guest of the list is there.
    needed: bool = False

    def admit(self, want: Spec, seen: Any) -> None:
        """A guest that bears another fleet's label is left alone, whatever its state is to be."""
        check_owner(labels_of(self.resource, want.name, seen).get(LABEL), self.fleet)


@dataclass
class Entry:
    """One guest of the list, typed: who it is, how its backend is reached, and what is wanted of it."""

    id: GuestId
    connection: Mapping[str, Any]
    want: Spec


@dataclass
class Fleet:
    """The guests of a task, the secrets among their options, and where its guests are when the list names none."""

    entries: list[Entry] = field(default_factory=list)
    secrets: set[str] = field(default_factory=set)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    #: Its name, which its guests bear as a label; empty where they bear none.
    name: str = ""
    #: The other fleets whose guests it may take.
    take_over: Sequence[str] = ()
    #: Where guests may be left, beside the places of its guests.
    places: Sequence[places.Place] = ()
    #: Whether the task only looks.
    check: bool = False
    _places: dict[str, str] = field(default_factory=dict)

    def connect(self, entry: Managed, connection: Mapping[str, Any]) -> Guests[Any]:
        """The guests where these connection options lead. Raises KraalError."""
        return entry.connect({**connection, ONLY_LOOKS: self.check})

    def place(self, entry: Managed, connection: Mapping[str, Any]) -> str:
        """Where these connection options lead; asked once, for many guests have the same. Raises KraalError."""
        key = _way(entry.table.backend, connection)
        if key not in self._places:
            self._places[key] = entry.place(connection)
        return self._places[key]


def _way(backend_name: str, connection: Mapping[str, Any]) -> str:
    """A text for the backend and the options that reach it."""
    return f"{backend_name} {sorted(connection.items())!r}"


def check_owner(owner: str | None, fleet: Fleet) -> None:
    """Raise Refused where a guest is of another fleet than this one, and this one does not take it over. Pure."""
    if not owner or owner == fleet.name or owner in fleet.take_over:
        return
    if fleet.name:
        raise Refused(
            f"it is a guest of the fleet {owner!r}, and this is the fleet {fleet.name!r}",
            remedy=f"Choose another name for the guest, or take it over with take_over: [{owner}]",
        )
    raise Refused(
        f"it is a guest of the fleet {owner!r}, and this task names no fleet",
        remedy=f"Write name: {owner} where it is that fleet's list, choose another name for the guest, or allow it "
        f"with take_over: [{owner}]",
    )


def expanded(guest: Mapping[str, Any], defaults: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A guest with the defaults below it (mappings merged key by key), as many times as its ``count`` says. Pure."""
    merged = merge(defaults_of(guest.get("backend") or defaults.get("backend"), defaults), guest)
    count = merged.pop("count", None)
    if count is None:
        yield merged
        return
    name = str(merged.get("name", ""))
    if not re.fullmatch(r"[0-9]{1,6}", str(count), re.ASCII) or int(count) > MOST_GUESTS:
        remedy = f"Write a number from 0 to {MOST_GUESTS}"
        raise InvalidOption("count", count, "is not a number of guests", remedy=remedy, guest=name)
    if "{i}" not in name:
        raise InvalidOption(
            "name", name, "has no place for the number that count needs", remedy="Write it like web-{i}", guest=name
        )
    for number in range(1, int(count) + 1):
        yield {**merged, "name": name.replace("{i}", str(number))}


def defaults_of(kind: Any, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults for guests of one backend: those for all, and over them those under its name. Pure."""
    own = defaults.get(kind) if kind in NAMES else None
    return merge({key: value for key, value in defaults.items() if key not in NAMES}, own or {})


def merge(defaults: Mapping[str, Any], guest: Mapping[str, Any]) -> dict[str, Any]:
    """The guest's own values over the defaults; where both are mappings, key by key.

    A null takes a default away. Pure.
    """
    merged = dict(defaults)
    for key, value in guest.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both else value
    return {key: value for key, value in merged.items() if value is not None}


def read_fleet(parameters: Mapping[str, Any]) -> Fleet:
    """All guests of the list, every one of them checked before anything is asked of a backend.

    Raises KraalError for all that is wrong.
    """
    fleet = Fleet(defaults=parameters["defaults"], name=parameters["name"] or "", take_over=parameters["take_over"])
    for key, least in (("concurrency", 1), ("max_failures", 0)):
        if parameters[key] is not None and parameters[key] < least:
            raise InvalidOption(key, parameters[key], "is too small", remedy="Write %d or more" % least)
    if parameters["prune"] and not parameters["name"]:
        raise InvalidOption(
            "prune", True, "needs to know which guests are this fleet's", remedy="Give the fleet a name"
        )
    for name in NAMES:
        if not isinstance(parameters["defaults"].get(name) or {}, Mapping):
            raise InvalidOption(
                f"defaults[{name}]",
                parameters["defaults"][name],
                "is not a mapping",
                remedy=f"Write the options of {name} guests below it",
            )
    fleet.places = places.read_places(parameters["places"], fleet.secrets)
    errors: list[KraalError] = []
    for number, guest in enumerate(parameters["guests"], start=1):
        try:
            for each in expanded(guest, parameters["defaults"]):
                fleet.entries.append(_read_guest(each, "guests[%d]" % number, fleet))
        except KraalError as error:
            errors.append(error)
    if len(errors) > 1:
        raise KraalError(
            "%d entries of guests are wrong, and nothing was touched: %s"
            % (len(errors), listed([str(error) for error in shared(errors)]))
        )
    if errors:
        raise errors[0]
    check_unique(entry.id for entry in fleet.entries)
    return fleet


def _read_guest(guest: Mapping[str, Any], place: str, fleet: Fleet) -> Entry:
    name = str(guest.get("name") or place)
    kind = guest.get("backend")
    if kind is None:
        raise KraalError(
            "backend is missing",
            remedy="Write one of {}, for all guests in defaults".format(", ".join(NAMES)),
            guest=name,
        )
    if kind not in NAMES:
        raise InvalidOption(
            "backend",
            kind,
            "is not a backend of this collection",
            remedy="Write one of: " + ", ".join(NAMES),
            guest=name,
        )
    entry = backend(str(kind)).managed()
    given = {key: value for key, value in guest.items() if key != "backend"}
    spec = {**entry.table.argument_spec(), **entry.connection}
    try:
        values = checked(spec, given, fleet.secrets, f"the module for {kind} guests", entry.peers)
        if fleet.name and "labels" in spec:
            values["labels"] = _labelled(values.get("labels") or {}, fleet.name)
        want = entry.table.read(values)
        connection = {key: values.get(key) for key in entry.connection}
        guest_id = GuestId(str(kind), fleet.place(entry, connection), want.name)
    except KraalError as error:
        raise error.about(guest=name, backend=str(kind)) from error
    fleet.secrets.update(want.secrets)
    return Entry(guest_id, connection, want)


def _labelled(labels: Mapping[str, Any], label: str) -> dict[str, Any]:
    other = labels.get(LABEL, label)
    if other != label:
        why = f"is not this fleet's name, {label}"
        raise InvalidOption(f"labels[{LABEL}]", other, why, remedy="Leave this label to the fleet")
    return {**labels, LABEL: label}


def _jobs(fleet: Fleet, failed: list[Outcome]) -> list[FleetJob]:
    """One job for each backend and way to reach it; guests whose backend cannot be reached fail, and only they."""
    groups: dict[str, list[Entry]] = {}
    for entry in fleet.entries:
        groups.setdefault(_way(entry.id.backend, entry.connection), []).append(entry)
    jobs = []
    for entries in groups.values():
        name = entries[0].id.backend
        try:
            resource = fleet.connect(backend(name).managed(), entries[0].connection)
            jobs.append(FleetJob(resource, [entry.want for entry in entries], fleet))
        except KraalError as error:
            for entry in entries:
                own = KraalError(error.message, remedy=error.remedy, guest=entry.want.name, backend=name)
                failed.append(Outcome(entry.id, error=own))
    return jobs


def _add_strays(fleet: Fleet, jobs: list[FleetJob], warnings: list[str]) -> None:
    """Remove, in the same plan, what carries this fleet's label and is not in its list any more."""
    named, looked_at = {entry.id for entry in fleet.entries}, set()
    jobs += _other_places(fleet, warnings)
    for job in jobs:
        resource, table = job.resource, job.resource.table
        if (table.backend, resource.place) in looked_at:
            # Another way to the same place.
            continue
        looked_at.add((table.backend, resource.place))
        try:
            with reading(table.backend, ""):
                seen = resource.observe(None)
        except KraalError as error:
            if job.needed:
                raise
            # The guests of the list fail by themselves, each with its own error.
            warnings.append(_not_looked_for(table.backend, resource.place, error))
            continue
        faults: dict[str, KraalError] = {}
        for key in resource.names(seen):
            if GuestId(table.backend, resource.place, key) in named:
                continue
            mine = False
            with apart(faults, table.backend, key):
                mine = labels_of(resource, key, seen).get(LABEL) == fleet.name
                if not mine:
                    check_read(key, seen)
            if mine:
                job.wants.append(_absent(table, key, fleet.defaults))
        # Whose guests these are, nobody knows.
        warnings += [f"prune: it was left alone: {error}" for error in faults.values()]


def _not_looked_for(name: str, place: str, error: KraalError) -> str:
    return "prune: guests of {}{} were not looked for: {}".format(name, f" at {place}" if place else "", error)


def _other_places(fleet: Fleet, warnings: list[str]) -> list[FleetJob]:
    """A job without guests yet for each place where the list has none.

    These are the places that the task names, and where the defaults say that a backend's guests are.
    """
    jobs, there = [], {(entry.id.backend, entry.id.place) for entry in fleet.entries}
    listed_backends = {entry.id.backend for entry in fleet.entries}
    for name, place in [*((place.backend, place) for place in fleet.places), *((name, None) for name in NAMES)]:
        needed = place is None and fleet.defaults.get("backend") == name and name not in listed_backends
        manage, where = backend(name).managed(), ""
        try:
            place = place or _place_of_defaults(name, fleet)
            where = fleet.place(manage, place.connection)
            if (name, where) not in there:
                there.add((name, where))
                jobs.append(FleetJob(fleet.connect(manage, place.connection), [], fleet, needed))
        except KraalError as error:
            if needed:
                raise error.about(backend=name) from error
            # Where there is none of a backend that nobody has named, no guest of it can be left.
            if place in fleet.places or not isinstance(error, NotInstalled):
                warnings.append(_not_looked_for(name, where, error))
    return jobs


def _place_of_defaults(name: str, fleet: Fleet) -> places.Place:
    connection = backend(name).managed().connection
    defaults = defaults_of(name, fleet.defaults)
    given = {key: value for key, value in defaults.items() if key in connection and value is not None}
    return places.read_place(name, given, fleet.secrets)


def _absent(table: Table, name: str, defaults: Mapping[str, Any]) -> Spec:
    """What the list no longer names goes as the defaults say that guests go; nothing else is left to say it."""
    spec = table.argument_spec()
    says, own = backend(table.backend).removal, defaults_of(table.backend, defaults)
    given = {key: value for key, value in own.items() if key in says and value is not None}
    found = ArgumentSpecValidator(spec).validate({**given, "name": name, "state": "absent"})
    if found.error_messages:
        raise KraalError(
            "defaults: {}".format("; ".join(found.error_messages)),
            remedy="Correct the defaults",
            guest=name,
            backend=table.backend,
        )
    return table.read(found.validated_parameters)


def name_places(outcomes: Sequence[Outcome]) -> None:
    """Let messages and the diff say where a guest is, where one backend has two of its name."""
    times = Counter((outcome.backend, outcome.name) for outcome in outcomes)
    for outcome in outcomes:
        if times[outcome.backend, outcome.name] > 1:
            outcome.called = outcome.id.called
            if outcome.error is not None:
                outcome.error.guest = outcome.called


def answer_of(outcomes: Sequence[Outcome], failures: Sequence[str]) -> dict[str, Any]:
    """The module's result: one plan, one diff and one list of results for all guests, in the list's order. Pure."""
    return {
        **task.answer_of(outcomes),
        "plan": [
            {**step, "backend": outcome.backend, "place": outcome.id.place}
            for outcome in outcomes
            for step in task.plan_of(outcome)
        ],
        "guests": [outcome.described for outcome in outcomes if outcome.described],
        "results": [
            {
                "guest": outcome.name,
                "backend": outcome.backend,
                "place": outcome.id.place,
                "changed": outcome.changed,
                "failed": outcome.error is not None,
                "msg": str(outcome.error or ""),
            }
            for outcome in outcomes
        ],
        "failures": list(failures),
    }


def shared(errors: Sequence[KraalError]) -> list[KraalError]:
    """The errors, what several guests of a backend share as one that names them. Pure."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for error in errors:
        found.setdefault((error.backend, error.message, error.remedy), []).append(error.guest)
    told = []
    for (where, message, remedy), names in found.items():
        who = ", ".join(filter(None, names[:SHOWN])) + (
            " and %d more" % (len(names) - SHOWN) if len(names) > SHOWN else ""
        )
        told.append(KraalError(message, remedy=remedy, guest=who, backend=where))
    return told


def listed(messages: Sequence[str]) -> str:
    """The messages as one sentence, the first few only: none hides behind a page of others. Pure."""
    hidden = len(messages) - SHOWN
    more = ["and %d other errors" % hidden] if hidden > 0 else []
    return "; ".join([*(message.rstrip(".") for message in messages[:SHOWN]), *more]) + "."


def shortened(text: str, most: int) -> str:
    """The text in one line of so many characters, its middle left out where it has more: a long log begins and ends
    with what matters. Pure.
    """
    line = " ".join(text.split())
    if len(line) <= most:
        return line
    end = (most - 3) // 2
    return f"{line[: most - 5 - end].rstrip()} ... {line[-end:].lstrip()}"


def brief(error: KraalError, secrets: Iterable[str] = ()) -> str:
    """The error in at most MOST characters: what failed and why, shortened where it has to be, and the remedy. Pure.

    What is secret is hidden first: half a secret would not be known as one any more.
    """
    hidden = set(secrets)
    message, remedy = (str(remove_values(text, hidden)) for text in (error.message, error.remedy.rstrip(".")))
    whole = str(KraalError(message, remedy=remedy, guest=error.guest, backend=error.backend))
    if len(shortened(whole, len(whole))) <= MOST:
        return shortened(whole, MOST)
    remedy = shortened(remedy, MOST // 2)
    reason = str(KraalError(message, guest=error.guest, backend=error.backend)).rstrip(".")
    return f"{shortened(reason, MOST - len(remedy) - 3)}. {remedy}." if remedy else shortened(reason, MOST)


def failures_of(outcomes: Sequence[Outcome], secrets: Iterable[str] = ()) -> list[str]:
    """What failed, one short message for each cause. Pure."""
    return [
        brief(error, secrets) for error in shared([outcome.error for outcome in outcomes if outcome.error is not None])
    ]


def summary_of(outcomes: Sequence[Outcome], failures: Sequence[str]) -> str:
    """One line for the failures of a fleet; empty where none failed. Pure."""
    failed = sum(outcome.error is not None for outcome in outcomes)
    return "%d of %d guests failed: %s" % (failed, len(outcomes), listed(failures)) if failed else ""


def run_fleet() -> None:
    """The whole of the module."""
    module = KraalModule(argument_spec=dict(ARGUMENTS), supports_check_mode=True)
    parameters = module.params
    outcomes: list[Outcome] = []
    warnings: list[str] = []
    try:
        fleet = read_fleet(parameters)
        fleet.check = module.check_mode
        module.keep_secret(fleet.secrets)
        jobs = _jobs(fleet, outcomes)
        if parameters["prune"]:
            _add_strays(fleet, jobs, warnings)
        outcomes += reconcile(
            jobs,
            check=module.check_mode,
            concurrency=parameters["concurrency"],
            max_failures=parameters["max_failures"],
        )
    except KraalError as error:
        module.fail_json(msg=str(error))
    for warning in warnings:
        module.warn(warning)
    order = {entry.id: number for number, entry in enumerate(fleet.entries)}
    outcomes.sort(key=lambda outcome: order.get(outcome.id, len(order)))
    name_places(outcomes)
    failures = failures_of(outcomes, module.no_log_values)
    answer = answer_of(outcomes, failures)
    if failures:
        module.fail_json(msg=summary_of(outcomes, failures), **answer)
    module.exit_json(**answer)
