# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes a host ready for one backend's guests: what the modules docker_setup, lxc_setup and kvm_setup have in common.

A backend brings a Setup: how it looks at the host, the parts that it makes of what it saw, and the proof that a guest
runs. A part is one thing of the host: a file of the configuration, a service, the users of a group.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from ..engine.action import Action, Disruption
from ..engine.errors import BackendError, KraalError, Refused
from ..engine.plan import Step, diff_of
from ..engine.printable import printable
from ..engine.reconcile import Job, Outcome, reconcile
from ..engine.resource import Resource
from ..engine.spec import Spec, Table
from ..engine.task import KraalModule, plan_of
from .packages import joined
from .service import MANAGERS

#: What the steps of a setup are about: there is one host.
HOST = "host"

#: Ansible's declaration of the options that all setups have; their documentation is the fragment kraal.virt.setup.
ARGUMENTS: Mapping[str, Any] = {
    "packages": {"type": "list", "elements": "str", "default": []},
    "users": {"type": "list", "elements": "str", "default": []},
    "service_manager": {"type": "str", "choices": list(MANAGERS), "default": "auto"},
    "verify": {"type": "bool", "default": True},
    "assume_packages": {"type": "bool", "default": False},
    "faults": {"type": "str", "choices": ["refuse", "return"], "default": "refuse"},
}


class Part(Protocol):
    """One thing of the host, made from what was observed of it."""

    def faults(self) -> Sequence[str]:
        """What is in the way of it, each as full sentences with a remedy. Pure."""

    def plan(self) -> Sequence[Step]:
        """The steps that it takes; no two parts plan the same one. Pure."""

    def apply(self, step: Step) -> None:
        """Perform one of its steps: the only code that changes anything. Raises KraalError or OSError.

        A part that can cut guests off, or break what runs, takes itself back when it fails, and says so.
        """


#: What is made for a proof is called this, with something behind it that is its own alone.
PROOF = "kraal-verify-"


@dataclass(frozen=True)
class Leftovers:
    """What a proof has left that was killed. Of each backend one setup runs at a time on a host, so it is nobody's."""

    names: Sequence[str]
    remove: Callable[[str], None]

    def faults(self) -> Sequence[str]:
        """None."""
        return []

    def plan(self) -> Sequence[Step]:
        """A step for each."""
        return [Step(HOST, Action.CLEAN, f"leftover[{name}]", name) for name in self.names]

    def apply(self, step: Step) -> None:
        """Raises KraalError and OSError."""
        self.remove(str(step.before))


@dataclass(frozen=True)
class Seen:
    """One look at the host."""

    #: See host.info.gather.
    facts: Mapping[str, Any]
    parts: Sequence[Part] = ()
    #: What is in the way beside what the parts say.
    faults: Sequence[str] = ()
    missing: Sequence[str] = ()
    #: The service manager in use: one of service.MANAGERS but auto.
    manager: str = ""
    #: Whether a guest of this backend runs: proof enough that guests run.
    proven: bool = False
    #: What the user had better know, though nothing is in the way.
    notes: Sequence[str] = ()


class InTheWay(Refused):
    """What keeps the host from being made ready; nothing was touched."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class Setup(Resource[Seen]):
    """A backend on this host, as a resource of which there is one."""

    backend: ClassVar[str]
    #: Ansible's declaration of the options that this setup has beside ARGUMENTS.
    arguments: ClassVar[Mapping[str, Any]] = {}

    seen: Seen | None = None
    changed = False
    proved = False

    def __init__(self, options: Mapping[str, Any]) -> None:
        """``options``: the module's arguments. Raises InvalidOption for what is invalid."""
        self.options = options
        self.table = Table(self.backend, "setup", (), states=("present",), state="present")

    @abstractmethod
    def gather(self) -> Mapping[str, Any]:
        """What host.info.gather tells of this host, with all that this backend needs there."""

    @abstractmethod
    def look(self, facts: Mapping[str, Any]) -> Seen:
        """Look at what else is of interest, as root.

        Reads only. Where assumes() says so, missing packages are to come.
        """

    @abstractmethod
    def prove(self, seen: Seen) -> None:
        """Return when a guest has run, with all that was made for it removed.

        Raises BackendError with what is wrong.
        """

    def assumes(self) -> bool:
        """Whether to plan as if the missing packages were installed."""
        return bool(self.options["assume_packages"])

    def observe(self, wants: Sequence[Spec] | None) -> Seen:
        """One look at the host; without root there is not much to see. What was seen last stays at hand."""
        with _errors("the host cannot be looked at"):
            facts = self.gather()
            self.seen = Seen(facts) if facts["user"] else self.look(facts)
        return self.seen

    def plan(self, want: Spec, seen: Seen) -> Sequence[Step]:
        """The steps of all parts. Raises InTheWay with all that is in the way."""
        faults = faults_of(seen, self.backend, self.assumes())
        if faults:
            raise InTheWay(faults)
        return [step for part in seen.parts for step in part.plan()]

    def apply(self, want: Spec, step: Step, seen: Seen) -> None:
        """Hand the step to its part."""
        part = next(part for part in seen.parts if step in part.plan())
        self.changed = True
        with _errors(f"{step.action} {step.key}"):
            part.apply(step)

    def wait(self, want: Spec) -> None:
        """Prove that a guest runs, where something was changed, or no guest is the proof already."""
        if self.seen is not None and self.options["verify"] and (self.changed or not self.seen.proven):
            with _errors("the proof that a guest runs"):
                self.prove(self.seen)
            self.proved = True

    def describe(self, name: str, seen: Seen) -> Mapping[str, Any]:
        """The facts."""
        return seen.facts

    def foresee(self, want: Spec, steps: Sequence[Step], seen: Seen) -> Mapping[str, Any]:
        """The facts as they are: what an engine will say of itself nobody knows before."""
        return seen.facts


@contextmanager
def _errors(what: str) -> Iterator[None]:
    """What the system says no to, as an error that tells what was tried."""
    try:
        yield
    except OSError as error:
        raise BackendError(f"{what}: {error}", remedy="See to it on this host, and run again") from error


# What is in the way, in the same words for all backends. Options are named as the role's variables.


def faults_of(seen: Seen, backend: str, assumed: bool) -> list[str]:
    """All that is in the way, each once; without root, that alone. Pure."""
    user = seen.facts["user"]
    if user:
        return [f"The role runs as user id {user}. Run the play with become: true, or connect as root."]
    found = [*seen.faults, *(fault for part in seen.parts for fault in part.faults())]
    if seen.missing and not assumed:
        found.append(
            "{} {} not installed. The role kraal.virt.{}_host installs what is missing.".format(
                joined(seen.missing), "is" if len(seen.missing) == 1 else "are", backend
            )
        )
    return list(dict.fromkeys(found))


def unknown_users(facts: Mapping[str, Any], backend: str) -> list[str]:
    """That users are named whom the host does not know. Pure."""
    users = ", ".join(facts["unknown_users"])
    fault = "%s_host_users names %s, whom this host does not know. Create them first, or take them off the list."
    return [fault % (backend, users)] if users else []


def hang_faults(found: Mapping[str, Any], name: str, command: str) -> list[str]:
    """That an engine runs and does not answer: starting it would start a second one, or nothing. Pure.

    ``command``: what starts it anew.
    """
    if not found["hangs"]:
        return []
    return [
        f"{name} runs, but it does not answer ({found['error']}). Look at its log, and end it or start it anew ({command})."
    ]


def obstacles(facts: Mapping[str, Any]) -> list[str]:
    """What stands in the way of the plans that were given to gather(). Pure."""
    return [each["text"] for each in facts["obstacles"]]


# The edge to Ansible.


def run_setup(setup: type[Setup]) -> None:
    """The whole of a module that makes a host ready."""
    module = KraalModule(argument_spec={**ARGUMENTS, **setup.arguments}, supports_check_mode=True)
    if module.params["assume_packages"] and not module.check_mode:
        module.fail_json(
            msg="assume_packages: packages can only be taken for installed where nothing is changed. "
            "Use it in check mode, or leave it out."
        )
    try:
        work = setup(module.params)
        want = Spec(HOST, "present", allow=Disruption.DESTROY)
        outcome = reconcile([Job(work, [want])], check=module.check_mode)[0]
    except KraalError as error:
        module.fail_json(msg=str(error.about(backend=setup.backend)))
    answer = answer_of(outcome, work)
    if isinstance(outcome.error, InTheWay) and not outcome.steps and module.params["faults"] == "return":
        module.exit_json(**answer)
    if isinstance(outcome.error, InTheWay):
        module.fail_json(msg="\n".join(outcome.error.faults), **answer)
    if outcome.error is not None:
        module.fail_json(msg=str(outcome.error), **answer)
    module.exit_json(**answer)


def _told(texts: Sequence[str]) -> list[str]:
    """Texts that a role shows, with what others have said in there."""
    return [printable(each, keep="\n") for each in texts]


def answer_of(outcome: Outcome, work: Setup) -> dict[str, Any]:
    """What the module returns, whatever became of it. Pure."""
    seen = work.seen
    answer: dict[str, Any] = {
        "changed": outcome.changed,
        "plan": plan_of(outcome),
        "diff": diff_of(outcome.steps, f"{outcome.backend} {outcome.name}"),
        "faults": _told(outcome.error.faults) if isinstance(outcome.error, InTheWay) else [],
    }
    if seen is not None:
        answer.update(missing_packages=list(seen.missing), manager=seen.manager, proven=work.proved or seen.proven)
        answer["notes"] = _told(seen.notes)
        answer["ansible_facts"] = {"kraal": dict(seen.facts)}
    return answer
