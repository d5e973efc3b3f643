# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers as a resource: the only code that changes one."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ....engine.action import Action
from ....engine.errors import BackendError, KraalError, Unreachable
from ....engine.plan import Step
from ....engine.reading import as_mapping, as_texts
from ....engine.resource import Guests
from ....engine.result import Guest, foreseen
from ....engine.secrets import secrets_in, without
from ....engine.spec import Spec
from ..client import Engine, NotThere, parse_time
from ..image.registry import Login, pull
from ..reader import segment
from . import plan as container_plan
from . import target as container_body
from .aside import NEW, SUCCESSOR, name_aside, owner_of, policy_of
from .kinds import encode_restart, pairs
from .limits import not_kept
from .model import Container, Seen
from .observe import REMOVES, STORAGE, guest_of, labels_of, observe, own_labels, state_of, summaries_of
from .options import CONTAINERS, option_of

#: How long a replaced container's successor is watched before the old one goes, unless the task waits for more.
SETTLE_SECONDS = 0.5
#: A container that ended by itself so many seconds after its last start is watched when it is started again. The engine
#: itself takes 10 s for a start that counts (moby, restartmanager).
BRIEF_SECONDS = 10.0
#: How often the limits of a container are changed that ends again and again.
UPDATE_ATTEMPTS = 5
#: How long the list of the engine may take to know what the engine has answered already.
LIST_SECONDS = 2.0
#: How much later than asked the engine may end its events.
MARGIN = 1.0


class Containers(Guests[Seen]):
    """All containers of one engine."""

    table = CONTAINERS

    def __init__(self, engine: Engine) -> None:
        self.engine, self.place = engine, engine.place

    def observe(self, wants: Sequence[Spec] | None) -> Seen:
        """See observe.py."""
        return observe(self.engine, wants)

    def names(self, seen: Seen) -> list[str]:
        """All containers; one on its way to replace another, or to be replaced, goes by that one's name."""
        return sorted({owner_of(name) or name for name in seen.containers})

    def labels(self, name: str, seen: Seen) -> Mapping[str, str]:
        """The labels of all that goes by this name."""
        aside = seen.replaced(name)
        successor = seen.containers.get(seen.successor(name)[0])
        found = [aside[1] if aside else None, successor, seen.containers.get(name)]
        return {key: value for each in found if each for key, value in labels_of(each).items()}

    def plan(self, want: Spec, seen: Seen) -> list[Step]:
        """See plan.py."""
        return container_plan.plan(want, seen)

    def describe(self, name: str, seen: Seen) -> Mapping[str, Any] | None:
        """The guest as it was seen."""
        have = seen.containers.get(name)
        return guest_of(have).as_dict() if have else None

    def foresee(self, want: Spec, steps: Sequence[Step], seen: Seen) -> Mapping[str, Any] | None:
        """The guest as it will be."""
        have = seen.containers.get(want.name) or (seen.replaced(want.name) or (None, None))[1]
        if want.state == "absent":
            return None
        now = guest_of(have, want.name) if have else None
        guest = foreseen(now, Guest(want.name, "docker"), CONTAINERS.shown(want), steps)
        if guest is None:
            return None
        image = seen.images.find(want.values["image"]) if "image" in want.values else ""
        config = seen.configs.get(image) if image else have.image if have else None
        return replace(guest, labels=own_labels(guest.labels, config or {})).as_dict()

    def wait_for(self, want: Spec) -> None:
        """Return when the guest runs, has an address, or is healthy."""
        self._wait(want.name, want.wait_for, want.timeout)

    # One step each.

    def do_pull(self, want: Spec, _step: Step, _seen: Seen) -> None:
        pull(self.engine, want.values["image"], Login.of(want.steering))

    def do_create(self, want: Spec, _step: Step, _seen: Seen) -> None:
        self._make(want, want.name, container_body.creation(want))

    def _make(self, want: Spec, name: str, body: dict[str, Any]) -> str:
        """A new container that does not run yet; its id. What cannot be made as it is wanted is not left behind."""
        single, others, unwanted = container_body.endpoints(body)
        made = self.engine.post("/containers/create", single, name=name)
        try:
            if made.get("Warnings"):
                self._check_kept(want, made["Id"], made["Warnings"])
            for network, endpoint in others.items():
                self.engine.post(
                    f"/networks/{segment(network)}/connect", {"Container": made["Id"], "EndpointConfig": endpoint}
                )
            for network in unwanted:
                self.engine.post(f"/networks/{segment(network)}/disconnect", {"Container": made["Id"], "Force": False})
        except BackendError:
            self._discard(made["Id"])
            raise
        return str(made["Id"])

    def _check_kept(self, want: Spec, key: str, warnings: Sequence[str]) -> None:
        """The engine only warns of limits that this kernel does not know, and leaves them out."""
        lost = not_kept(want, self.engine.get(f"/containers/{key}/json"))
        if lost:
            why = "the engine does not keep {} ({})".format(", ".join(lost), " ".join(warnings))
            raise BackendError(why, remedy="Leave it out on this host, or boot a kernel that knows it")

    def _discard(self, name: str) -> None:
        """Remove a container that has come to nothing, with the volumes that were made for it alone."""
        self.engine.delete(f"/containers/{name}", force="1", v="1")

    def do_recreate(self, want: Spec, step: Step, seen: Seen) -> None:
        """The old container keeps its place until its successor is made, and is kept aside until that one runs."""
        name, have, aside = want.name, self._subject(want, step, seen), seen.replaced(want.name)
        now = seen.successor(name)[1] or state_of(have.data)
        before = aside[1].state if aside else seen.successor(name)[1] or have.state
        target = want.target(before)
        successor = self._make(want, name + NEW, container_body.replacement(want, have, step.changes))
        try:
            self._put_aside(name, have, before, successor)
            if now != "stopped":
                self._halt(have.id, now, have)
            self.engine.post(f"/containers/{successor}/rename", name=name)
            if target != "stopped":
                self.engine.post(f"/containers/{successor}/start")
                self._settle(want, successor)
            if target == "paused":
                self.engine.post(f"/containers/{successor}/pause")
        except BackendError as error:
            self._put_back(error, name, have, now, successor)
            raise
        self._delete(have.id, force="1")

    def _set_policy(self, have: Container, policy: str) -> None:
        """Whether an old container may be started by the engine: see aside.py."""
        if policy_of(have.data) != "no":
            self._update(have, {"RestartPolicy": encode_restart(policy)})

    def _put_aside(self, name: str, have: Container, before: str, successor: str) -> None:
        """Rename one that is replaced.

        The engine does not rename one that waits for its restart policy to start it again; such a one is stopped
        first, as it will be anyway. Until it is renamed, its successor's name says what state it had.
        """
        aside = name_aside(name, before, have.data)
        try:
            self.engine.post(f"/containers/{have.id}/rename", name=aside)
        except BackendError:
            if not self._was_restarted(have.id):
                raise
            self.engine.post(f"/containers/{successor}/rename", name=f"{name}{NEW}-{before}")
            self._halt(have.id, "running", have)
            self.engine.post(f"/containers/{have.id}/rename", name=aside)
        self._set_policy(have, "no")

    def _was_restarted(self, key: str) -> bool:
        """Whether its restart policy has started it: the engine refuses much for one that has just ended."""
        return bool(self.engine.get(f"/containers/{key}/json").get("RestartCount"))

    def _settle(self, want: Spec, key: str) -> None:
        """Do not take a container that ends at once for one that runs."""
        # The stream of events ends by itself at `until`; a container that ends shows itself before.
        for event in self._events(key, SETTLE_SECONDS, ["die"]):
            raise self._ended(key, exit_code(event))
        if want.wait_for != "none":
            self._wait(key, want.wait_for, want.timeout)

    def _put_back(self, error: BackendError, name: str, have: Container, state: str, successor: str = "") -> None:
        """Undo a re-creation, and say so; one whose engine hangs meanwhile is for the next run to undo."""
        try:
            error.add(self._undo(name, have, state, successor))
        except Unreachable:
            error.add("the next run puts the old container back")

    def _undo(self, name: str, have: Container, state: str, successor: str) -> str:
        """Undo a re-creation: the successor goes, the old container gets its name and its power state back.

        ``successor``: its id, where it may not have the name yet. What was done, in words.
        """
        try:
            kept = self.engine.get(f"/containers/{have.id}/json")
        except NotThere:
            # Made with docker run --rm, it went when it was stopped: what there is of the successor is all there is.
            return "the old container was made to remove itself when it stops, and could not be put back"
        for other in filter(None, (successor, name)):
            try:
                found = self.engine.get(f"/containers/{other}/json")
            except NotThere:
                continue
            if found["Id"] != kept["Id"]:
                self._discard(found["Id"])
        self._set_policy(have, policy_of(have.data))
        if kept["Name"] != "/" + name:
            self.engine.post(f"/containers/{have.id}/rename", name=name)
        if state != "stopped" and state_of(kept) == "stopped":
            self.engine.post(f"/containers/{have.id}/start")
            if state == "paused":
                self.engine.post(f"/containers/{have.id}/pause")
        return "the old container was put back"

    def do_set(self, want: Spec, step: Step, seen: Seen) -> None:
        """Change limits, in one request."""
        have = self._subject(want, step, seen)
        answer = self._update(have, container_body.update(want, have, step.changes))
        if answer.get("Warnings"):
            self._check_kept(want, have.id, answer["Warnings"])

    def _update(self, have: Container, body: Mapping[str, Any]) -> Any:
        """The engine's answer to a change of limits.

        It refuses to change a container that it takes for running and that has just ended, as one does that its
        restart policy starts again and again. When it has seen the end, it writes the change down for the next start.
        """
        for _attempt in range(UPDATE_ATTEMPTS - 1):
            try:
                return self.engine.post(f"/containers/{have.id}/update", body)
            except BackendError:
                if not self._was_restarted(have.id):
                    raise
            next(iter(self._events(have.id, SETTLE_SECONDS, ["die"])), None)
        return self.engine.post(f"/containers/{have.id}/update", body)

    def _subject(self, want: Spec, step: Step, seen: Seen) -> Container:
        """The container that the step is about; of one that cannot be read, what the list says of it."""
        return step.subject if isinstance(step.subject, Container) else seen.containers[want.name]

    def do_attach(self, want: Spec, step: Step, _seen: Seen) -> None:
        """Connect it to a network."""
        (change,) = step.changes
        (part,) = change.parts
        attach = option_of(change).attach
        endpoint = attach(change.value[part.key]) if attach else {}
        self.engine.post(f"/networks/{segment(part.key)}/connect", {"Container": want.name, "EndpointConfig": endpoint})

    def do_detach(self, want: Spec, step: Step, _seen: Seen) -> None:
        """Disconnect it from one."""
        (part,) = step.changes[0].parts
        self.engine.post(f"/networks/{segment(part.key)}/disconnect", {"Container": want.name, "Force": False})

    def do_reattach(self, want: Spec, step: Step, seen: Seen) -> None:
        # The engine has no call that changes an endpoint.
        self.do_detach(want, step, seen)
        self.do_attach(want, step, seen)

    def do_start(self, want: Spec, step: Step, seen: Seen) -> None:
        """Start it, and see that it goes on running."""
        have, aside = step.subject, seen.replaced(want.name)
        try:
            try:
                self.engine.post(f"/containers/{want.name}/start")
            except BackendError:
                if have is None:
                    # Made a moment ago by this very plan: nothing is left of what cannot be started.
                    self._discard(want.name)
                raise
            self._check_runs(want.name, 0 if have is None else self._patience(have))
        except BackendError as error:
            if aside is not None and aside[1] is not have:
                # This start was the last act of a re-creation that died: end it as that one would have.
                self._put_back(error, want.name, aside[1], aside[1].state)
            raise

    def _patience(self, have: Container) -> float:
        """For how many seconds a container is watched after its start: longer than it ran the last time, if it ended
        soon and by itself.

        Any other one is looked at right after its start.
        """
        ran = seconds_of_last_run(have.data["State"])
        if ran is None or ran > BRIEF_SECONDS:
            return 0
        told_to_end = self._events(have.id, 0, ["kill"], since=parse_time(have.data["State"]["StartedAt"]))
        return 0 if next(iter(told_to_end), None) else 2 * ran + SETTLE_SECONDS

    def _check_runs(self, name: str, seconds: float = 0) -> None:
        """That it runs, and goes on running for so long."""
        data = self.engine.get(f"/containers/{name}/json")
        if state_of(data) == "stopped" or data["State"].get("Restarting"):
            raise self._ended(name, data["State"].get("ExitCode"))
        if seconds:
            # Not its end of before, which may have been a moment ago.
            began = parse_time(data["State"]["StartedAt"])
            for event in self._events(data["Id"], seconds, ["die"], began):
                raise self._ended(name, exit_code(event))

    def not_kept(self, want: Spec, rest: Sequence[Step]) -> KraalError:
        """A container that was started and does not run any more has ended by itself."""
        if all(step.action in (Action.START, Action.PAUSE) for step in rest):
            return self._ended(want.name)
        return super().not_kept(want, rest)

    def _ended(self, name: str, code: int | None = None) -> BackendError:
        """The error for a container that does not go on running. ``code``: its exit code, where that is known; one that
        was started again shows none.
        """
        state = self.engine.get(f"/containers/{name}/json")["State"]
        why = " ({})".format(state["Error"]) if state.get("Error") else ""
        return BackendError(
            "it ended right after its start with exit code {}{}{}".format(
                state.get("ExitCode") if code is None else code, why, self._last_words(name)
            ),
            remedy="Correct its command, or use state=present for a guest that ends by itself",
        )

    def _last_words(self, name: str) -> str:
        """What the guest wrote last, where its log driver can be read."""
        try:
            text = self.engine.ask(self.engine.client.logs, name, tail=3).decode(errors="replace").strip()
            config = self.engine.get(f"/containers/{name}/json")["Config"]
        except BackendError:
            return ""
        # Its own secrets, which this task may not have set.
        text = without(text, secrets_in([pairs(config.get("Env")), config.get("Entrypoint"), config.get("Cmd")]))
        return ": " + " / ".join(text.splitlines()) if text else ""

    def do_stop(self, want: Spec, step: Step, seen: Seen) -> None:
        """Stop it."""
        self._halt(want.name, str(step.before), self._subject(want, step, seen))
        if want.name in seen.unread:
            self._until_listed_as_stopped(want.name)

    def _until_listed_as_stopped(self, name: str) -> None:
        """Of one that cannot be inspected only the list tells the state, and that of Docker 26.1 says "running" for
        some milliseconds after the answer that it has stopped. No call waits for the list.
        """
        end = time.monotonic() + LIST_SECONDS
        while time.monotonic() < end and any(
            each.name == name and each.state == "running" for each in summaries_of(self.engine)
        ):
            time.sleep(0.01)

    def _halt(self, name: str, now: str, have: Container) -> None:
        if now == "paused":
            # A frozen process cannot follow a signal.
            self.engine.post(f"/containers/{name}/unpause")
        patience = have.data["Config"].get("StopTimeout")
        # The engine answers when the container has stopped, after its own timeout (10 seconds unless it has another).
        self.engine.post(
            f"/containers/{name}/stop", timeout=(10 if patience is None else patience) + self.engine.client.timeout
        )

    def do_pause(self, want: Spec, _step: Step, _seen: Seen) -> None:
        self.engine.post(f"/containers/{want.name}/pause")

    def do_resume(self, want: Spec, _step: Step, _seen: Seen) -> None:
        self.engine.post(f"/containers/{want.name}/unpause")

    def do_remove(self, want: Spec, step: Step, seen: Seen) -> None:
        volumes, mark = list(step.before.get("volumes", ())), want.name + STORAGE
        if volumes and seen.volumes_to_remove.get(want.name) != volumes:
            # The engine lets a volume go only after its container, and then nobody else knows that it was this guest's.
            self.engine.delete(f"/volumes/{mark}")
            self.engine.post("/volumes/create", {"Name": mark, "Labels": {REMOVES: json.dumps(volumes)}})
        self._delete(want.name)
        for volume in volumes:
            self.engine.delete(f"/volumes/{volume}")
        if volumes:
            self.engine.delete(f"/volumes/{mark}")

    def _delete(self, name: str, **query: str) -> None:
        try:
            self.engine.delete(f"/containers/{name}", **query)
        except BackendError as error:
            if "is already in progress" not in error.message:
                raise
            self._wait_until_removed(name)

    def _wait_until_removed(self, name: str) -> None:
        """A container that was made to remove itself when it stops is on its way."""
        try:
            self.engine.post(f"/containers/{name}/wait", condition="removed")
        except NotThere:
            return

    def do_clean(self, want: Spec, step: Step, _seen: Seen) -> None:
        if str(step.before).endswith(STORAGE):
            self.engine.delete(f"/volumes/{step.before}")
        elif SUCCESSOR.fullmatch(str(step.before)) or step.before == want.name:
            self._discard(str(step.before))
        else:
            self._delete(str(step.before), force="1")

    def do_rename(self, want: Spec, step: Step, seen: Seen) -> None:
        aside = seen.replaced(want.name)
        if aside is not None:
            self._set_policy(aside[1], policy_of(aside[1].data))
        try:
            self.engine.post(f"/containers/{step.before}/rename", name=want.name)
        except BackendError:
            # As in _put_aside(): it ends again and again.
            if aside is None or not self._was_restarted(str(step.before)):
                raise
            self._halt(str(step.before), "running", aside[1])
            self.engine.post(f"/containers/{step.before}/rename", name=want.name)
            self.engine.post(f"/containers/{want.name}/start")

    # Waiting: on the engine's events.

    def _events(self, key: str, seconds: float, kinds: Sequence[str], since: float | None = None) -> Iterator[Any]:
        """The events of one container, from a moment ago or from ``since`` (seconds since the epoch): by its id, since
        names are matched by how they begin.

        The engine ends them by its clock, which may be set meanwhile.
        """
        filters = {"type": ["container"], "container": [key], "event": list(kinds)}
        end, left, ended = time.monotonic() + seconds, seconds, False
        while left > 0 or not ended:
            now = self.engine.time(asked=ended)
            yield from self.engine.stream(
                self.engine.client.events,
                seconds=left + MARGIN,
                since="%.3f" % (now - 1 if since is None else since),
                until="%.3f" % (now + left),
                decode=True,
                filters=filters,
            )
            left, ended = end - time.monotonic(), True

    def _wait(self, name: str, condition: str, seconds: int) -> None:
        data = self.engine.get(f"/containers/{name}/json")
        if fulfils(data, condition):
            return
        for event in self._events(data["Id"], seconds, ["start", "die", "health_status", "unpause"]):
            data = self.engine.get(f"/containers/{name}/json")
            if fulfils(data, condition):
                return
            if event.get("Action") == "die" and state_of(data) == "stopped":
                raise self._ended(name, exit_code(event))
        if not fulfils(self.engine.get(f"/containers/{name}/json"), condition):
            raise BackendError(
                "it was not %s within %d seconds%s" % (CONDITIONS[condition], seconds, self._last_words(name)),
                remedy="Allow a longer timeout, or look at what the guest does",
            )


def exit_code(event: Mapping[str, Any]) -> int | None:
    """With which exit code a container has ended, as the engine tells it."""
    text = as_texts(as_mapping(event.get("Actor")).get("Attributes")).get("exitCode", "")
    return int(text) if text.isdigit() else None


def seconds_of_last_run(state: Mapping[str, Any]) -> float | None:
    """How long an inspected container ran that does not run now; None where it never has, or the engine does not say."""
    try:
        began, ended = (parse_time(str(state[key])) for key in ("StartedAt", "FinishedAt"))
    except (KeyError, BackendError, ValueError, OverflowError):
        return None
    return ended - began if ended - began >= 0 and began > 0 else None


#: What a guest was not when the wait was over.
CONDITIONS = {"running": "running", "address": "given an address", "healthy": "healthy"}


def fulfils(data: Mapping[str, Any], condition: str) -> bool:
    """Whether an inspected container is what ``wait_for`` names. Raises BackendError where it never can be."""
    if condition == "healthy":
        health = data["State"].get("Health")
        if not health or health.get("Status") == "none":
            name = str(data["Name"])[1:]
            raise BackendError(
                f"wait_for: {name} cannot become healthy, it has no health check",
                remedy="Give it a healthcheck, or wait_for=running",
            )
        return bool(health["Status"] == "healthy")
    if condition == "address":
        return bool(guest_of(Container(data, {}, state_of(data))).addresses)
    return state_of(data) == "running"
