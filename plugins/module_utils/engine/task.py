# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The edge to Ansible: a task's arguments in, its result or its one failure out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from . import trace
from .checked_module import CheckedModule
from .errors import KraalError
from .peers import Peer, advice
from .plan import diff_of
from .printable import printable
from .reconcile import Job, Outcome, reconcile
from .resource import Resource
from .secrets import HIDDEN, forms_of, hidden, hidden_steps, hide, secrets_in, secrets_of_steps
from .spec import ONLY_LOOKS, Table

try:
    from ansible.module_utils.secrets import register_secrets
except ImportError:
    # Core before 2.22 masks by itself what is in no_log_values, in answers and in the log. Since then a module registers
    # what it knows, which core masks in the log and wherever the controller shows something, and leaves answers as they
    # are.
    register_secrets = None


class KraalModule(CheckedModule):
    """A module that also keeps secrets which stand deeper than an argument of their own, in ``env`` or in
    ``guests``.

    All answers leave through here: what is secret by its key or as a part of a text is hidden at its place, old values
    included, and what is known to be secret is masked wherever else it stands. What daemons, tools and guests have said
    is made fit for a terminal in messages and warnings.

    Arguments that are none here, and are some of a module that does the same elsewhere, are refused with what they are
    here.

    At -vvv the answer has what was sent to the engines as well.
    """

    #: What a task gave, before its defaults joined it.
    _given: Mapping[str, Any] = MappingProxyType({})
    _peers: Sequence[Peer] = ()
    _trace: trace.Recorder | None = None

    def _load_params(self) -> None:
        # The first thing that the constructor does: nothing can be logged or returned before.
        super()._load_params()
        self._given = {key: value for key, value in self.params.items() if not key.startswith("_ansible_")}
        self.keep_secret(secrets_in(self.params))

    def keep_secret(self, secrets: Iterable[str]) -> None:
        """Mask these texts in all that is logged or returned, in whatever form it has them."""
        forms = {form for secret in secrets for form in forms_of(secret)}
        self.no_log_values.update(forms)
        if register_secrets is not None:
            register_secrets(forms)

    def __init__(self, *arguments: Any, peers: Sequence[Peer] = (), **named: Any) -> None:
        self._peers = peers
        super().__init__(*arguments, **named)
        # Arguments that are refused end in the line above: nothing was sent then.
        self._trace = trace.start() if self._verbosity >= trace.VERBOSITY else None

    def _masked(self, text: str) -> str:
        # The longest first: of a secret that begins with another one, the rest would be left.
        for secret in sorted(filter(None, self.no_log_values), key=len, reverse=True):
            text = text.replace(secret, HIDDEN)
        return hide(text)

    def _shown(self, answer: dict[str, Any]) -> dict[str, Any]:
        # Ansible knows the options that are declared as secrets by themselves, but not how a message writes them.
        self.keep_secret(list(filter(None, self.no_log_values)))
        # Old ones of a host are not the controller's to know, not even for masking them.
        self.no_log_values.update(form for old in secrets_of_steps(answer.get("plan") or ()) for form in forms_of(old))
        shown = {key: hidden_steps(value) if key == "plan" else hidden(value) for key, value in answer.items()}
        if register_secrets is not None:
            shown = self._without_secrets(shown)
        return {**shown, "trace": self._trace.shown(self._masked)} if self._trace else shown

    def _without_secrets(self, value: Any) -> Any:
        """Plain data with what is known to be secret masked, wherever it stands."""
        if isinstance(value, Mapping):
            return {key: self._without_secrets(inner) for key, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._without_secrets(inner) for inner in value]
        return self._masked(value) if isinstance(value, str) else value

    def exit_json(self, **answer: Any) -> None:
        super().exit_json(**self._shown(answer))

    def fail_json(self, msg: str, **answer: Any) -> None:
        meant = [each for each in advice(self._peers, self.argument_spec, self._given) if each]
        text = " ".join([str(msg).rstrip(".") + ".", *meant]) if meant else str(msg)
        shown = self._shown(answer)
        super().fail_json(printable(self._said(text), keep="\n"), **shown)

    def warn(self, warning: str, *arguments: Any, **named: Any) -> None:
        text = warning if register_secrets is None else self._masked(warning)
        super().warn(printable(text, keep="\n"), *arguments, **named)

    def _said(self, text: str) -> str:
        return hide(text) if register_secrets is None else self._masked(text)


def plan_of(outcome: Outcome) -> list[dict[str, Any]]:
    """The public plan."""
    return [step.as_dict() for step in outcome.steps]


def answer_of(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The result of a task for several things: one plan and one diff for all, and why some of them failed. Pure."""
    return {
        "changed": any(outcome.changed for outcome in outcomes),
        "plan": [step for outcome in outcomes for step in plan_of(outcome)],
        "diff": [
            diff_of(outcome.steps, f"{outcome.backend} {outcome.called or outcome.name}")
            for outcome in outcomes
            if outcome.steps
        ],
        "failures": [str(outcome.error) for outcome in outcomes if outcome.error is not None],
    }


def run_resource(
    table: Table,
    connect: Callable[[Mapping[str, Any]], Resource[Any]],
    connection: Mapping[str, Any],
    result: str,
    **rules: Any,
) -> None:
    """The whole of a module for one resource: ``connect`` gets the arguments, ``result`` names the returned object.

    ``rules``: more for KraalModule.
    """
    module = KraalModule(argument_spec={**table.argument_spec(), **connection}, supports_check_mode=True, **rules)
    try:
        want = table.read(module.params)
        module.keep_secret(want.secrets)
        resource = connect({**module.params, ONLY_LOOKS: module.check_mode})
        outcome = reconcile([Job(resource, [want])], check=module.check_mode)[0]
    except KraalError as error:
        module.fail_json(msg=str(error.about(backend=table.backend)))
    answer = {
        "changed": outcome.changed,
        "plan": plan_of(outcome),
        "diff": diff_of(outcome.steps, f"{table.backend} {outcome.name}"),
    }
    if outcome.seen:
        answer[result] = outcome.described
    if outcome.error is not None:
        module.fail_json(msg=str(outcome.error), **answer)
    module.exit_json(**answer)
