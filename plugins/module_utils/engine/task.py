# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The edge to Ansible: a task's arguments in, its result or its one failure out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from .errors import KraalError
from .kinds import INLINE_SECRET, SECRET_KEY
from .plan import diff_of
from .reconcile import Job, Outcome, Resource, reconcile
from .spec import Table

#: Too short or too common to be a secret: hiding them would only garble the output.
_COMMON = frozenset(("true", "false", "none", "null"))
#: A key of YAML or JSON with the rest of its line, at the line's beginning or in a mapping on one line.
_KEY = re.compile(r"""(?:(?P<flow>[{,])\s*|^[ \t]*(?:-[ \t]+)*)["']?(?P<key>[\w.-]+)(?:["'][ \t]*:[ \t]*|[ \t]*:[ \t]+)(?=(?P<rest>\S[^\n]*))""", re.MULTILINE)
#: A text on the lines below its key, and the lines below ``chpasswd`` of cloud-init, in both cases with what follows that is indented more.
_BELOW = r"[^\n]*\n(?P<block>(?:(?P=indent)[ \t]+[^\n]*(?:\n|$)|[ \t]*\n)*)"
_BLOCK = re.compile(r"""^(?P<indent>[ \t]*)(?:-[ \t]+)*["']?(?P<key>[\w.-]+)["']?[ \t]*:[ \t]+[|>]""" + _BELOW, re.MULTILINE)
_CHPASSWD = re.compile(r"""^(?P<indent>[ \t]*)["']?chpasswd["']?[ \t]*:""" + _BELOW, re.MULTILINE)
_CHPASSWD_FLOW = re.compile(r"""["']?chpasswd["']?[ \t]*:(?P<rest>[^\n]+)""")
#: What is in there: ``user:password``, one on a line or several in a list.
_LOGIN = re.compile(r"""^[ \t]*(?:-[ \t]+)?["']?[\w.-]+:(?P<secret>[^\s"'](?:[^\n]*?[^\s"'])?)["']?[ \t]*$""", re.MULTILINE)
_LOGIN_FLOW = re.compile(r"""(?<![\w.-])[\w.-]+:(?P<secret>[^\s,\]}"']+)""")
#: The password in an address like https://user:password@host/.
_USERINFO = re.compile(r"://[^/\s:@]*:([^/\s@]+)@")


class KraalModule(AnsibleModule):  # type: ignore[misc]
    """AnsibleModule that also keeps secrets which stand deeper than an argument of their own, in ``env`` or in ``guests``."""

    def _load_params(self) -> None:
        # The first thing that the constructor does: nothing can be logged or returned before.
        super()._load_params()
        self.no_log_values.update(secrets_in(self.params))

    def log(self, msg: Any, log_args: Any = None) -> None:
        # From Python 3.12 on syslog refuses a NUL, and core fails for that before anybody could say which option has it.
        super().log(msg.replace("\0", "\\0") if isinstance(msg, str) else msg, log_args)


def secrets_in(value: Any, key: str = "") -> Iterator[str]:
    """The texts below keys that speak of a secret, and the passwords inside other texts (mount options, addresses)."""
    if isinstance(value, Mapping):
        for inner, content in value.items():
            if inner == "chpasswd":
                yield from _long_enough(match["secret"] for text in _texts(content) for match in _LOGIN.finditer(text))
            yield from secrets_in(content, str(inner))
    elif isinstance(value, (list, tuple)):
        for content in value:
            yield from secrets_in(content, key)
    elif isinstance(value, (str, int, float)) and not isinstance(value, bool):
        text = str(value)
        found = [text] if SECRET_KEY.search(key) else [*_inline(text), *_USERINFO.findall(text)]
        yield from _long_enough(found)


def _long_enough(found: Iterable[str]) -> Iterator[str]:
    return (each for each in found if len(each) > 3 and each.lower() not in _COMMON)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, tuple, Mapping)):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(inner)


def _inline(text: str) -> Iterator[str]:
    """The secrets in a text of which only a part is secret: options, XML, the user-data of cloud-init."""
    for match in INLINE_SECRET.finditer(text):
        yield match["value"].strip("\"'")
    for match in _KEY.finditer(text):
        rest = match["rest"]
        if not SECRET_KEY.search(match["key"]) or rest[0] in "|>{[&*!":
            # No scalar: its parts have keys of their own.
            continue
        if rest[0] in "\"'":
            yield rest[1:].partition(rest[0])[0]
        else:
            yield re.split(r"[,}\]]" if match["flow"] else r"\s#|,?\s*$", rest)[0]
    for match in _BLOCK.finditer(text):
        if SECRET_KEY.search(match["key"]) and match["key"] != "chpasswd":
            yield from (line.strip() for line in match["block"].splitlines())
    for match in _CHPASSWD.finditer(text):
        yield from (login["secret"] for login in _LOGIN.finditer(match["block"]))
    for match in _CHPASSWD_FLOW.finditer(text):
        yield from (login["secret"] for login in _LOGIN_FLOW.finditer(match["rest"]))


def plan_of(outcome: Outcome) -> list[dict[str, Any]]:
    """The public plan."""
    return [step.as_dict() for step in outcome.steps]


def run_resource(
    table: Table, connect: Callable[[Mapping[str, Any]], Resource[Any]], connection: Mapping[str, Any], result: str, **rules: Any
) -> None:
    """The whole of a module for one resource: ``connect`` gets the arguments, ``result`` names the returned object."""
    module = KraalModule(argument_spec={**table.argument_spec(), **connection}, supports_check_mode=True, **rules)
    try:
        want = table.read(module.params)
        outcome = reconcile([Job(connect(module.params), [want])], check=module.check_mode)[0]
    except KraalError as error:
        module.fail_json(msg=str(error.about(backend=table.backend)))
    answer = {
        "changed": outcome.changed,
        "plan": plan_of(outcome),
        "diff": diff_of(outcome.steps, "%s %s" % (table.backend, outcome.name)),
    }
    if outcome.seen:
        answer[result] = outcome.described
    if outcome.error is not None:
        module.fail_json(msg=str(outcome.error), **answer)
    module.exit_json(**answer)
