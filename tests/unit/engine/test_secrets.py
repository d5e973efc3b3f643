# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which texts are secrets, and that none of them is shown in any form."""

from __future__ import annotations

import html
import json
import shlex
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import InvalidOption
from ansible_collections.kraal.virt.plugins.module_utils.engine.kinds import Text, Texts
from ansible_collections.kraal.virt.plugins.module_utils.engine.printable import printable
from ansible_collections.kraal.virt.plugins.module_utils.engine.secrets import (
    HIDDEN,
    forms_of,
    hidden,
    hidden_steps,
    hide,
    secrets_in,
    without,
)


@pytest.mark.parametrize(
    ("value", "secrets"),
    [
        ({"env": {"DB_PASSWORD": "hunter2", "PATH": "/bin"}}, ["hunter2"]),
        ({"guests": [{"env": {"TOKEN": "abcd"}}, {"env": {"API_KEY": "efgh"}}]}, ["abcd", "efgh"]),
        ({"registry_password": "s3cr3t"}, ["s3cr3t"]),
        ({"secrets": ["first one", "second one"]}, ["first one", "second one"]),
        ({"env": {"PASSWORD": 12345, "OTHER_PASSWORD": 3.25}}, ["12345", "3.25"]),
        ({"env": {"TOKEN": {"inner": "shown as a text of its own"}}}, []),
        ({"env": {"PASSWORD": None, "TOKEN": True, "SECRET": "true", "API_KEY": "abc", "PASS": ""}}, []),
        ({"name": "web", "memory": "64MiB", "command": ["sleep", "infinity"]}, []),
        ({}, []),
        ({"xml": "<graphics type='vnc' passwd='kt n3w' port='-1'/>"}, ["kt n3w"]),
        ({"xml": '<graphics passwd="n3w=="/>'}, ["n3w=="]),
        ({"options": "user=a,password=hunter2,uid=0"}, ["hunter2"]),
        ({"user_data": "#cloud-config\npassword: hunter22\nssh_pwauth: true\n"}, ["hunter22"]),
        (
            {"user_data": 'users:\n  - name: a\n    passwd: "$6$salt, hash" # of a\n    lock_passwd: false\n'},
            ["$6$salt, hash"],
        ),
        (
            {"user_data": "chpasswd:\n  expire: false\n  users:\n    - {name: a, password: hunter22, type: text}\n"},
            ["hunter22"],
        ),
        ({"user_data": "api_key: 'a # b'\nplain-token: a b, c # d\n"}, ["a # b", "a b, c"]),
        ({"user_data": '{"password": "hunter22", "hostname": "a"}'}, ["hunter22"]),
        ({"user_data": "chpasswd: {expire: false}\npassword: |\n  hunter22\nno password: here, token:x"}, ["hunter22"]),
        (
            {
                "user_data": "users:\n  - name: a\n    passwd: >-\n      $6$salt$one\n      two2\n    shell: |\n      "
                "/bin/sh\n"
            },
            ["$6$salt$one", "two2"],
        ),
        (
            {
                "user_data": "chpasswd:\n  expire: false\n  list: |\n    root:hunter22\n    a: b\n    app:R\n"
                "hostname: a:bcdef\n"
            },
            ["hunter22"],
        ),
        ({"user_data": "chpasswd:\n  list:\n    - root:hunter22\n    - 'app:a, b]c'\n"}, ["hunter22", "a, b]c"]),
        ({"user_data": "chpasswd: {expire: false, list: [root:hunter22, 'app:hunter23']}\n"}, ["hunter22", "hunter23"]),
        ({"user_data": '{"chpasswd": {"expire":false, "list": ["root:hunter22"]}, "hostname": "a"}'}, ["hunter22"]),
        ({"user_data": {"chpasswd": {"expire": False, "list": ["root:hunter22", "app:h: 3"]}}}, ["hunter22", "h: 3"]),
        ({"user_data": {"chpasswd": {"list": "root:hunter22\napp:hunter23\n"}}}, ["hunter22", "hunter23"]),
        ({"command": ["mysqld", "--password=kt-old"]}, ["kt-old"]),
        ({"command": ["mysqld", "--db-password", "kt-old", "--verbose"]}, ["kt-old"]),
        ({"command": "mysqld --password kt-old --verbose"}, ["kt-old"]),
        ({"command": ["sh", "-c", "mysqld --token='kt old'"]}, ["kt old"]),
        ({"command": ["mysqld", "--password", "--verbose"]}, []),
        (
            {
                "config": {
                    "lxc.environment": [
                        "PATH=/bin",
                        "DB_PASSWORD=kt-old",
                        "AWS_SECRET_ACCESS_KEY=kt-key",
                        "A_PWD=kt-pwd",
                    ]
                }
            },
            ["kt-old", "kt-key", "kt-pwd"],
        ),
        ({"healthcheck": {"test": "curl http://kt:kt-old@db/"}}, ["kt-old"]),
        ({"env": {"URL": "postgres://kt:kt@old@db/x"}}, ["kt@old"]),
        ({"env": {"URL": "http://db/?a=1&api_key=kt-old&b=2"}}, ["kt-old", "kt-old&b=2"]),
        ({"xml": "<auth><password>kt-old</password></auth>"}, ["kt-old"]),
        ({"healthcheck": {"test": ["curl", "-H", "Authorization: Bearer kt.old"]}}, ["kt.old"]),
        (
            {"commands": [["sh", "-c", "echo root:kt-old | chpasswd"], ["usermod", "-p", "$6$kt$hashhash", "root"]]},
            ["kt-old", "$6$kt$hashhash"],
        ),
        (
            {
                "user_data": "x: |\n  -----BEGIN OPENSSH PRIVATE KEY-----\n  kt-one\n  kt-two\n  -----END OPENSSH "
                "PRIVATE KEY-----\n"
            },
            ["kt-one", "kt-two"],
        ),
        ({"auth": {"secret_uuid": "5a0c4e0b-9c39-2f8f", "secret_usage": "kt-usage", "public_key": "kt-public"}}, []),
        ({"labels[api_token]": "kt-old", "mounts[/run/secrets]": "size=64m"}, ["kt-old"]),
    ],
)
def test_secrets_are_found_wherever_they_stand(value: dict[str, Any], secrets: list[str]) -> None:
    assert list(secrets_in(value)) == secrets


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"env": {"TOKEN": "x", "PATH": "/bin"}}, {"env": {"TOKEN": HIDDEN, "PATH": "/bin"}}),
        ({"password": 1, "secret": None, "token": True}, {"password": HIDDEN, "secret": None, "token": True}),
        (["a", "--password", "b", ("--password=b", "c")], ["a", "--password", HIDDEN, ["--password=" + HIDDEN, "c"]]),
        (
            "mysql --password=x --host db; DB_PASSWORD='a b' y",
            "mysql --password=(hidden) --host db; DB_PASSWORD='(hidden)' y",
        ),
        (
            "postgres://kt:a@b@db/x and http://kt@db/ and http://db:80/a@b",
            "postgres://kt:(hidden)@db/x and http://kt@db/ and http://db:80/a@b",
        ),
        (
            "wait_for=none, disruption=recreate: no secret; root=UUID=1",
            "wait_for=none, disruption=recreate: no secret; root=UUID=1",
        ),
    ],
)
def test_what_is_secret_is_hidden_at_its_place(value: Any, shown: Any) -> None:
    assert hidden(value) == shown


def test_what_is_hidden_is_no_secret() -> None:
    """Or Ansible would star it out, and with it every other hidden part."""
    assert list(secrets_in(hidden({"o": "username=kt,password=kt-hush,vers=3.0", "password": "kt-hush"}))) == []


def test_a_plan_shows_that_a_secret_changes() -> None:
    def step(key: str, before: Any, after: Any) -> dict[str, Any]:
        return {"guest": "a", "action": "set", "key": key, "before": before, "after": after, "disruption": "live"}

    steps = [
        step("labels[api_token]", "x", "y"),
        step("command", "a --password=x", "a --password=y"),
        step("memory", "1MiB", "2MiB"),
    ]
    assert [(each["before"], each["after"]) for each in hidden_steps(steps)] == [
        (HIDDEN, HIDDEN + " (new)"),
        ("a --password=" + HIDDEN, "a --password=(hidden) (new)"),
        ("1MiB", "2MiB"),
    ]
    assert hidden_steps([step("", None, {"env": {"TOKEN": "x"}})])[0]["after"] == {"env": {"TOKEN": HIDDEN}}


@given(st.text(min_size=4, max_size=12), st.text(max_size=6))
def test_a_secret_is_found_in_every_form(secret: str, other: str) -> None:
    forms = set(forms_of(secret))
    for around in (other, other + "'", other + '"', other + "'" + '"'):
        for write in (str, repr, ascii, printable, json.dumps, lambda text: json.dumps(text, ensure_ascii=False)):
            text = write(around + secret)
            assert any(form in text for form in forms), (text, forms)
    assert html.escape(secret, quote=False) in forms
    assert quote(secret, safe="", errors="replace") in forms
    assert any(form in shlex.quote(secret) for form in forms)


def test_a_secret_of_many_lines_is_found_line_by_line() -> None:
    secret = "  first line\n\n  two\n  third line\n"
    assert without("a / first line / two / third line", [secret]) == "a / (hidden) / two / (hidden)"
    assert hide("nothing here") == "nothing here"


@pytest.mark.parametrize("value", ["kt-hush\n", "kt-hu\\sh\n", "'kt-hush\"\n"])
@pytest.mark.parametrize("option", ["graphics[vnc].password", "registry_password", "labels[api_token]", "env[DB_PASS]"])
def test_no_error_has_the_value_of_a_secret(option: str, value: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        Text().parse(value, option)
    assert str(caught.value).startswith(option + ": (hidden) contains a control character")


@pytest.mark.parametrize(
    "value",
    [
        {"source": "/a", "password": "kt-hush\\x"},
        ["run", "--password", "kt-hush"],
        "run --password 'kt-hush",
        "http://kt:kt-hush@h",
        [{"TOKEN": "kt-hush"}],
    ],
)
def test_an_error_has_a_value_without_its_secret_part(value: Any) -> None:
    said = str(InvalidOption("mounts", value, "is not a mount"))
    assert "kt-hush" not in said and HIDDEN in said and said.endswith("is not a mount")


def test_an_error_of_a_variable_has_no_value_at_all() -> None:
    """What a variable holds is told by no name."""
    for value in ("kt-hush\0", ["kt-hush"]):
        with pytest.raises(InvalidOption) as caught:
            Texts(guarded=True).parse({"PLAIN": value}, "env")
        assert "kt-hush" not in str(caught.value)
