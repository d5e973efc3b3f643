# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What cannot be understood is the fault of the guest that it was said of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.engine import lock
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import (
    BackendError,
    KraalError,
    Unreachable,
    Unreadable,
)
from ansible_collections.kraal.virt.plugins.module_utils.engine.kinds import (
    Cpuset,
    Foreign,
    Integer,
    Members,
    Text,
    as_read,
)
from ansible_collections.kraal.virt.plugins.module_utils.engine.kinds import Sequence as Ordered
from ansible_collections.kraal.virt.plugins.module_utils.engine.reading import Found, Unread, apart, reading
from ansible_collections.kraal.virt.plugins.module_utils.engine.reconcile import Job, Outcome, reconcile
from ansible_collections.kraal.virt.plugins.module_utils.engine.result import Address, Guest
from ansible_collections.kraal.virt.plugins.module_utils.engine.spec import Spec
from ansible_collections.kraal.virt.plugins.module_utils.engine.units import parse_cpuset
from tests.unit.engine.boxes import Boxes, want

ODD: tuple[tuple[str, Callable[[], Any]], ...] = (
    ("KeyError", lambda: {}["x"]),
    ("IndexError", lambda: [].pop()),
    ("TypeError", lambda: len(3)),  # type: ignore[arg-type]
    ("AttributeError", lambda: getattr(3, "x")),  # noqa: B009
    ("ValueError", lambda: int("x")),
    ("InvalidOperation", lambda: parse_cpuset("x")),
    ("FileNotFoundError", lambda: Path("/nowhere/x").read_text(encoding="utf-8")),
)


@pytest.mark.parametrize(("kind", "fail"), ODD)
def test_an_error_about_one_guest(kind: str, fail: Callable[[], Any]) -> None:
    with pytest.raises(KraalError) as caught, reading("docker", "web"):
        fail()
    text = str(caught.value)
    assert text.startswith("docker web: ") and text.endswith(".")
    assert isinstance(caught.value, Unreadable) is (kind != "InvalidOperation")
    faults: dict[str, KraalError] = {}
    with apart(faults, "docker", "web"):
        fail()
    assert list(faults) == ["web"]


def test_what_is_nobodys_fault() -> None:
    """A backend that stopped answering is asked no more, and a mistake of another kind is not hidden."""
    for error in (Unreachable("gone"), AssertionError("x"), KeyboardInterrupt()):
        with pytest.raises(type(error)), apart({}, "docker", "web"):
            raise error


def test_a_word_that_is_not_ours() -> None:
    """It is shown as it is, it is no other value, and two of one list go together."""
    for kind, text in ((Integer(1, 5), "hologram"), (Cpuset(), "a-b"), (Text(pattern="a|b"), "c")):
        found = as_read(lambda value, kind=kind: kind.parse(value, "x"), text)
        assert isinstance(found, Foreign) and kind.shown(found) == text
        right = {"Integer": 3, "Cpuset": "0-1", "Text": "a"}[type(kind).__name__]
        (part,) = kind.parts(kind.parse(right, "x"), found, False)
        assert part.before == text
    assert as_read(lambda value: Integer(1, 5).parse(value, "x"), "3") == 3
    for many, value in (
        (Members(Text(pattern="a|b")), frozenset(("a", Foreign("c")))),
        (Ordered(Text(pattern="a|b")), ("a", Foreign("c"))),
    ):
        assert many.show(value) == ["a", "c"]


@pytest.mark.parametrize(
    "odd",
    [
        Guest("web", "docker", "1", labels={"a": 1}),  # type: ignore[dict-item]
        Guest("web", "docker", ""),
        Guest("web", "docker", "1", image=None),  # type: ignore[arg-type]
        Guest("web", "docker", "1", addresses=(Address("nowhere", "ipv4", "bridge"),)),
    ],
)
def test_a_listing_has_the_form_that_is_promised(odd: Guest) -> None:
    found, known = Found(), Guest("web", "docker", "1", "running")
    found.add(known, lambda: odd)
    found.add(Guest("db", "docker", "2"), lambda: Guest("db", "docker", "2", image="x"))
    assert found.guests == [known, Guest("db", "docker", "2", image="x")]
    assert [str(fault).startswith("docker web: ") for fault in found.faults] == [True]
    found.add(Guest("a\x1b[31m", "docker", "3"), lambda: Guest("a\x1b[31m", "docker", "3"))
    assert len(found.guests) == 2 and "\x1b" not in str(found.faults[1])


@pytest.fixture(autouse=True)
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "directory", lambda: str(tmp_path / "locks"))


@dataclass
class Seen(dict[str, Any]):
    """A look at boxes, some of which could not be read."""

    unread: dict[str, Unread] = field(default_factory=dict)


@dataclass
class Odd(Boxes):
    """Boxes of which `shut` could not be read; and one that has no state cannot be described."""

    stuck: bool = False

    def observe(self, wants: Sequence[Spec] | None) -> Any:
        seen = Seen()
        seen.update(super().observe(wants))
        if "shut" in seen:
            box = seen.pop("shut")
            seen.unread["shut"] = Unread(
                Guest("shut", "boxes", "7", box["state"]), Unreadable("it is shut"), self.stuck
            )
        return seen

    def apply(self, spec: Spec, step: Any, seen: Any) -> None:
        if step.action == "stop":
            self.boxes[spec.name]["state"] = "stopped"
        else:
            super().apply(spec, step, seen)


def run(boxes: Odd, *specs: Spec, check: bool = False) -> list[Outcome]:
    return reconcile([Job(boxes, list(specs))], check=check)


def scene(**options: Any) -> Odd:
    return Odd({"a": {"state": "running", "memory": 1}, "odd": {"memory": []}, "shut": {"state": "running"}}, **options)


def test_the_others_of_a_run_are_managed() -> None:
    for check in (True, False):
        boxes = scene()
        a, odd, shut = run(
            boxes, want("a", memory="1KiB"), want("odd", memory="1KiB"), want("shut", memory="1KiB"), check=check
        )
        assert (a.error, a.changed, boxes.applied) == (None, True, [] if check else [("a", "set")])
        assert "boxes odd: what boxes says of it is not understood" in str(odd.error) and odd.described is None
        assert str(shut.error) == "boxes shut: it is shut" and shut.described and shut.described["id"] == "7"


def test_what_could_not_be_read_is_stopped_and_removed() -> None:
    boxes = scene()
    (checked,) = run(boxes, want("shut", state="absent"), check=True)
    # What else the task says is nothing to one that goes.
    (done,) = run(boxes, want("shut", state="absent", memory="1KiB"))
    assert checked.steps == done.steps and [step.action for step in done.steps] == ["stop", "remove"]
    assert done.error is None and "shut" not in boxes.boxes
    (same,) = run(scene(), want("shut", state="running"))
    assert (same.error, same.steps) == (None, [])


def test_what_has_to_stay_as_it_is() -> None:
    (outcome,) = run(scene(stuck=True), want("shut", state="absent"))
    assert str(outcome.error) == "boxes shut: it is shut" and not outcome.changed
    assert isinstance(outcome.error, BackendError)
