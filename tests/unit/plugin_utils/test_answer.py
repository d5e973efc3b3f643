# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host answers is taken only in the form in which the discovery gives it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.discovery import MARK
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import KraalError
from ansible_collections.kraal.virt.plugins.module_utils.engine.result import Guest
from ansible_collections.kraal.virt.plugins.plugin_utils import answer

from ..mutations import of_json

UUID = "6f1d5e0a-3c0b-4f0e-9a3d-1b2c3d4e5f60"
ADDRESS = {"address": "192.0.2.7", "family": "ipv4", "network": "default", "mac": "52:54:00:00:00:01"}
ALL = ("docker", "kvm", "lxc")
ESCAPE = "\x1b]0;owned\x07"


def guest(kind: str = "kvm", /, **changed: Any) -> dict[str, Any]:
    """One as a backend gives it, with these changes."""
    ids = {"kvm": UUID, "docker": "a" * 64, "lxc": "/var/lib/lxc/web"}
    whole = Guest(name="web", backend=kind, id=ids[kind], state="running").as_dict()
    return {**whole, "addresses": [dict(ADDRESS)], "labels": {"role": "web"}, **changed}


def read(*guests: Any, warnings: Any = (), backends: tuple[str, ...] = ALL) -> tuple[list[dict[str, Any]], list[str]]:
    document = json.loads(json.dumps({"guests": list(guests), "warnings": list(warnings)}))
    return answer.read(document, backends)


def test_every_field_of_a_guest_is_read() -> None:
    assert set(answer.FIELDS) == {field.name for field in fields(Guest)}


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {
            "cpus": 0.5,
            "memory": "128MiB",
            "image": "debian:12",
            "autostart": True,
            "pending_restart": ["networks[eth0]"],
            "place": "unix:///run/b.sock",
        },
        {
            "labels": {"a b": "{{ x }}\nsecond line", "": ""},
            "addresses": [],
            "name": "-x",
            "state": "paused",
            "raw_state": "pmsuspended",
            "cpus": 0,
        },
        {
            "addresses": [
                {**ADDRESS, "address": "fe80::1", "family": "ipv6", "mac": ""},
                {**ADDRESS, "mac": ":".join(["0a"] * 20)},
            ]
        },
    ],
)
def test_what_a_backend_gives_comes_through_as_it_is(changed: dict[str, Any]) -> None:
    for backend in ALL:
        whole = guest(backend, **changed)
        if backend == "lxc":
            whole["id"] = "/srv/lxc ü/{}".format(whole["name"])
        assert read(whole) == ([whole], [])


@pytest.mark.parametrize(
    "changed",
    [
        *({"backend": bad} for bad in ("virt_hosts", "all", "", None, ["kvm"], {}, "docker")),
        *({"state": bad} for bad in ("dead", None, ["running"], 5)),
        *({"raw_state": bad} for bad in (None, 5, ["running"], ESCAPE, "shut\noff", "x" * 300)),
        *({"name": bad} for bad in ("", None, 5, "a\nb", ESCAPE, "a/b", "..", "x" * 256, "\ud800")),
        *(
            {"id": bad}
            for bad in (
                "",
                None,
                "x -o SendEnv=HARMLESS",
                UUID + "\n",
                UUID.upper(),
                f"{{{UUID}}}",
                "a" * 64,
                UUID + " -oX=y",
                "-" * 36,
            )
        ),
        *({"cpus": bad} for bad in ("2", True, -1, float("inf"), float("nan"), 1e300, [])),
        *({"memory": bad} for bad in ("much", 5, None, "1GiB\n", "{{ 1 }}", "1" * 30 + "B")),
        *({"image": bad} for bad in (None, 5, [], "x" * 5000, "\udcff")),
        *({"autostart": bad} for bad in ("yes", None, 1)),
        *(
            {"labels": bad}
            for bad in (
                None,
                [],
                "a",
                {"a": 1},
                {"a": None},
                {"a": ["b"]},
                {"a": {"b": "c"}},
                {"a": "x" * 70000},
                {"\ud800": ""},
            )
        ),
        *({"pending_restart": bad} for bad in (None, "memory", [1], [ESCAPE], [""])),
        *({"place": bad} for bad in (None, 5, ESCAPE, "a\nb", "x" * 5000)),
        *({"addresses": bad} for bad in (None, "192.0.2.7", {}, [5], ["192.0.2.7"], [{}])),
        *(
            {"addresses": [{**ADDRESS, "address": bad}]}
            for bad in (
                "-oSendEnv=HARMLESS",
                "",
                None,
                5,
                "192.0.2.7\n",
                "host.example",
                "fe80::1%eth0",
                "::1%a -oProxyCommand=x",
                "192.0.2.7/24",
            )
        ),
        *(
            {"addresses": [{**ADDRESS, "mac": bad}]}
            for bad in (None, 5, "52", "52:54:00:00:00:01\n", "-o", "0A:00:00:00:00:01")
        ),
        *({"addresses": [{**ADDRESS, "network": bad}]} for bad in (None, 5, "x" * 300)),
    ],
    ids=lambda changed: repr(changed)[:60],
)
def test_a_guest_of_another_form_is_left_out_alone(changed: dict[str, Any]) -> None:
    bad, good = guest(**changed), guest("lxc")
    found, warnings = read(bad, good)
    assert found == [good]
    assert len(warnings) == 1 and "left out" in warnings[0] and warnings[0].isprintable() and len(warnings[0]) < 300


@pytest.mark.parametrize(
    "identity", ["web", "lxc/web", "/web/", "/srv/../etc/web", "/srv//web", "/srv/other", "/srv/we\nb", "-P/web"]
)
def test_an_lxc_guests_id_is_its_directory(identity: str) -> None:
    assert read(guest("lxc", id=identity))[0] == []


@pytest.mark.parametrize("identity", ["a" * 63, "A" * 64, "a" * 64 + "\n", "--help"])
def test_a_containers_id_is_a_digest(identity: str) -> None:
    assert read(guest("docker", id=identity))[0] == []


def test_nothing_is_taken_that_was_not_asked_for() -> None:
    found, warnings = read(guest("docker"), guest(ansible_ssh_common_args="-oProxyCommand=x"), backends=("kvm",))
    assert found == [guest()]
    assert warnings == ["docker guest web is left out: its backend was not asked for"]


def test_one_guest_is_there_once() -> None:
    found, warnings = read(guest(), guest(name="other"))
    assert [each["name"] for each in found] == ["web"]
    assert warnings == ["kvm guest other is left out: another one has its id"]


def test_an_address_is_read_in_its_one_form() -> None:
    found, _warnings = read(
        guest(addresses=[{**ADDRESS, "address": text} for text in ("::ffff:192.0.2.7", "2001:DB8:0::7")])
    )
    assert [(each["address"], each["family"]) for each in found[0]["addresses"]] == [
        ("192.0.2.7", "ipv4"),
        ("2001:db8::7", "ipv6"),
    ]


def test_warnings_are_fit_to_be_shown() -> None:
    _found, warnings = read(warnings=[ESCAPE, "a\nb\u202e", 5, None, "x" * 10_000, *"abcdefghijklmnopqrstuvwxyz"])
    assert warnings[:2] == ["\\x1b]0;owned\\x07", "a\\nb\\u202e"]
    assert all(warning.isprintable() and len(warning) <= answer.LONGEST_WARNING + 3 for warning in warnings)
    assert len(warnings) == answer.MOST_WARNINGS + 1 and warnings[-1] == "and 11 warnings more"


@pytest.mark.parametrize(
    "document",
    [
        None,
        5,
        "guests",
        [],
        {},
        {"guests": [{}]},
        {"guests": {}, "warnings": []},
        {"guests": [], "warnings": ""},
        {"guests": None, "warnings": None},
    ],
)
def test_no_answer_at_all(document: Any) -> None:
    with pytest.raises(KraalError, match="its answer is none"):
        answer.read(document, ALL)


@pytest.mark.parametrize("entry", [{}, None, 5, "web", [], ["web"], {"name": {}}, {"backend": []}])
def test_what_is_no_guest_is_left_out(entry: Any) -> None:
    found, warnings = read(entry, guest())
    assert found == [guest()] and len(warnings) == 1


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"a": 1' + "0" * 5000 + "}", "nothing"])
def test_an_answer_that_is_no_json(text: str) -> None:
    with pytest.raises(KraalError, match="its answer is no JSON"):
        answer.document_in("Welcome!\n" + MARK + text + "\n")


def test_no_answer_in_the_output() -> None:
    with pytest.raises(ValueError, match="no answer"):
        answer.document_in("Welcome!\n")


def test_whatever_a_host_says_of_one_guest_the_others_are_listed(cases: Callable[[int], int]) -> None:
    other = guest("docker", name="other")
    whole = read(other)[0]
    for number, mutant in enumerate(
        of_json(guest(cpus=0.5, labels={"a": "b"}, pending_restart=["memory"]), cases(200))
    ):
        found, warnings = read(mutant, other) if number % 2 else read(other, mutant)
        # One that has taken the other's name and id is no other.
        assert [each for each in found if each["name"] == "other"] == whole
        assert len(found) == 2 or warnings
        assert all(warning.isprintable() for warning in warnings)


def test_whatever_a_host_says_it_is_an_answer_or_it_is_said_why_not(cases: Callable[[int], int]) -> None:
    taken = 0
    for mutant in of_json({"guests": [guest(), guest("lxc")], "warnings": ["lxc web: x"]}, cases(200)):
        try:
            found, _warnings = answer.read(json.loads(json.dumps(mutant)), ALL)
        except KraalError as error:
            assert "its answer is none" in str(error)
            continue
        taken += len(found)
    assert taken > cases(200) / 2
