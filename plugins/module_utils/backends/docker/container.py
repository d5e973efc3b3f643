# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers as a resource: the only code that changes one."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ...engine.errors import BackendError
from ...engine.plan import Step
from ...engine.result import Guest, foreseen
from ...engine.spec import Spec
from . import container_body, container_plan
from .client import Engine, NotThere
from .container_kinds import encode_endpoint
from .container_observe import NEW, Container, Seen, guest_of, observe, owner_of, state_of
from .container_options import CONTAINERS, ContainerOption
from .registry import Login, pull

#: How long a replaced container's successor is watched before the old one goes, unless the task waits for more.
SETTLE_SECONDS = 0.5


class Containers:
    """All containers of one engine."""

    table = CONTAINERS

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def observe(self, wants: Sequence[Spec] | None) -> Seen:
        """See container_observe."""
        return observe(self.engine, wants)

    def names(self, seen: Seen) -> list[str]:
        """All containers; one on its way to replace another, or to be replaced, goes by that one's name."""
        return sorted({owner_of(name) or name for name in seen.containers})

    def labels(self, name: str, seen: Seen) -> Mapping[str, str]:
        """The labels of all that goes by this name."""
        aside = seen.replaced(name)
        found = [aside[1] if aside else None, seen.containers.get(name + NEW), seen.containers.get(name)]
        return {key: value for each in found if each for key, value in (each.data["Config"].get("Labels") or {}).items()}

    def plan(self, want: Spec, seen: Seen) -> list[Step]:
        """See container_plan."""
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
        return guest.as_dict() if guest else None

    def apply(self, want: Spec, step: Step, seen: Seen) -> None:
        """Perform one step."""
        perform = {
            "pull": self._pull,
            "create": self._create,
            "recreate": self._recreate,
            "set": self._set,
            "attach": self._attach,
            "reattach": self._reattach,
            "detach": self._detach,
            "start": self._start,
            "stop": self._stop,
            "pause": self._pause,
            "resume": self._resume,
            "remove": self._remove,
            "clean": self._clean,
            "restore": self._restore,
        }[step.action]
        perform(want, step, seen)

    def wait(self, want: Spec) -> None:
        """Return when the guest runs, has an address, or is healthy."""
        if want.wait_for == "none" or want.state not in ("running", "present"):
            return
        self._wait(want.name, want.wait_for, want.timeout)

    # One step each.

    def _pull(self, want: Spec, _step: Step, _seen: Seen) -> None:
        pull(self.engine, want.values["image"], Login.of(want.steering))

    def _create(self, want: Spec, _step: Step, _seen: Seen) -> None:
        self._make(want.name, container_body.creation(want))

    def _make(self, name: str, body: dict[str, Any]) -> None:
        single, others = container_body.endpoints(body)
        self.engine.post("/containers/create", single, name=name)
        try:
            for network, endpoint in others.items():
                self.engine.post("/networks/%s/connect" % network, {"Container": name, "EndpointConfig": endpoint})
        except BackendError:
            self.engine.delete("/containers/%s" % name, force="1")
            raise

    def _recreate(self, want: Spec, _step: Step, seen: Seen) -> None:
        """The old container keeps its place until its successor is made, and is kept aside until that one runs."""
        name = want.name
        have = seen.containers.get(name)
        before = have.state if have else "stopped"
        aside = seen.replaced(name)
        if have is None and aside is not None:
            have, before = aside[1], aside[1].state
        if have is None:
            raise BackendError("the container to replace is gone", remedy="Run again")
        now, target = state_of(have.data), container_plan.target_state(want, before)
        changes = container_plan.differences(want, seen, have)
        self._make(name + NEW, container_body.replacement(want, have, changes))
        kept = "%s.kraal-was-%s" % (name, before)
        try:
            self.engine.post("/containers/%s/rename" % have.id, name=kept)
            if now != "stopped":
                self._halt(have.id, now, have)
            self.engine.post("/containers/%s/rename" % (name + NEW), name=name)
            if target != "stopped":
                self.engine.post("/containers/%s/start" % name)
                self._settle(want)
            if target == "paused":
                self.engine.post("/containers/%s/pause" % name)
        except BackendError as error:
            self._put_back(name, have, now)
            error.message += "; the old container was put back"
            raise
        self.engine.delete("/containers/%s" % have.id, force="1")

    def _settle(self, want: Spec) -> None:
        """Do not take a container that ends at once for one that runs."""
        if want.wait_for != "none":
            self._wait(want.name, want.wait_for, want.timeout)
            return
        self._wait_for_end(want.name)
        self._check_runs(want.name)

    def _wait_for_end(self, name: str) -> None:
        # The stream of events ends by itself at `until`; a container that ends shows itself before.
        for _event in self._events(name, time.time() + SETTLE_SECONDS, ["die"]):
            return

    def _put_back(self, name: str, have: Container, state: str) -> None:
        """Undo a re-creation: the successor goes, the old container gets its name and its power state back."""
        kept = self.engine.get("/containers/%s/json" % have.id)
        for other in (name + NEW, name):
            try:
                found = self.engine.get("/containers/%s/json" % other)
            except NotThere:
                continue
            if found["Id"] != kept["Id"]:
                self.engine.delete("/containers/%s" % found["Id"], force="1")
        if kept["Name"] != "/" + name:
            self.engine.post("/containers/%s/rename" % have.id, name=name)
        if state != "stopped" and state_of(kept) == "stopped":
            self.engine.post("/containers/%s/start" % have.id)
            if state == "paused":
                self.engine.post("/containers/%s/pause" % have.id)

    def _set(self, want: Spec, _step: Step, seen: Seen) -> None:
        have = self._have(want, seen)
        limits = [
            each
            for each in container_plan.differences(want, seen, have)
            if isinstance(each.option, ContainerOption) and each.option.name != "networks"
        ]
        self.engine.post("/containers/%s/update" % have.id, container_body.update(want, have, limits))

    def _have(self, want: Spec, seen: Seen) -> Container:
        have = seen.containers.get(want.name) or (seen.replaced(want.name) or (None, None))[1]
        if have is None:
            raise BackendError("the container is gone", remedy="Run again")
        return have

    def _attach(self, want: Spec, step: Step, seen: Seen) -> None:
        network = step.key[len("networks[") : -1]
        found = container_plan.differences(want, seen, self._have(want, seen))
        (wanted,) = [each.value for each in found if each.option.name == "networks"]
        endpoint = encode_endpoint(wanted[network])
        self.engine.post("/networks/%s/connect" % network, {"Container": want.name, "EndpointConfig": endpoint})

    def _detach(self, want: Spec, step: Step, _seen: Seen) -> None:
        self.engine.post("/networks/%s/disconnect" % step.key[len("networks[") : -1], {"Container": want.name, "Force": False})

    def _reattach(self, want: Spec, step: Step, seen: Seen) -> None:
        # The engine has no call that changes an endpoint.
        self._detach(want, step, seen)
        self._attach(want, step, seen)

    def _start(self, want: Spec, _step: Step, seen: Seen) -> None:
        aside = seen.replaced(want.name)
        try:
            self.engine.post("/containers/%s/start" % want.name)
            self._check_runs(want.name)
        except BackendError as error:
            if aside is not None and want.name in seen.containers:
                # This start was the last act of a re-creation that died: end it as that one would have.
                self._put_back(want.name, aside[1], aside[1].state)
                error.message += "; the old container was put back"
            raise

    def _check_runs(self, name: str) -> None:
        data = self.engine.get("/containers/%s/json" % name)
        if state_of(data) != "stopped" and not data["State"].get("Restarting"):
            return
        said = self._last_words(name)
        raise BackendError(
            "it ended right after its start with exit code %s%s%s"
            % (data["State"].get("ExitCode"), " (%s)" % data["State"]["Error"] if data["State"].get("Error") else "", said),
            remedy="Correct its command, or use state=present for a guest that ends by itself",
        )

    def _last_words(self, name: str) -> str:
        """What the guest wrote last, where its log driver can be read."""
        try:
            text = self.engine.ask(self.engine.client.logs, name, tail=3).decode(errors="replace").strip()
        except BackendError:
            return ""
        return ": " + " / ".join(text.splitlines()) if text else ""

    def _stop(self, want: Spec, step: Step, seen: Seen) -> None:
        self._halt(want.name, str(step.before), self._have(want, seen))

    def _halt(self, name: str, now: str, have: Container) -> None:
        if now == "paused":
            # A frozen process cannot follow a signal.
            self.engine.post("/containers/%s/unpause" % name)
        patience = have.data["Config"].get("StopTimeout")
        # The engine answers when the container has stopped, after its own timeout (10 seconds unless it has another).
        self.engine.post("/containers/%s/stop" % name, timeout=(10 if patience is None else patience) + self.engine.client.timeout)

    def _pause(self, want: Spec, _step: Step, _seen: Seen) -> None:
        self.engine.post("/containers/%s/pause" % want.name)

    def _resume(self, want: Spec, _step: Step, _seen: Seen) -> None:
        self.engine.post("/containers/%s/unpause" % want.name)

    def _remove(self, want: Spec, step: Step, _seen: Seen) -> None:
        self.engine.delete("/containers/%s" % want.name)
        for volume in step.before.get("volumes", ()):
            self.engine.delete("/volumes/%s" % volume)

    def _clean(self, _want: Spec, step: Step, _seen: Seen) -> None:
        self.engine.delete("/containers/%s" % step.before, force="1")

    def _restore(self, want: Spec, step: Step, _seen: Seen) -> None:
        self.engine.post("/containers/%s/rename" % step.before, name=want.name)

    # Waiting: on the engine's events, which it ends at the deadline by itself.

    def _events(self, name: str, until: float, kinds: Sequence[str]) -> Any:
        return self.engine.stream(
            self.engine.client.events,
            since=int(time.time()) - 1,
            until="%.3f" % until,
            decode=True,
            filters={"type": ["container"], "container": [name], "event": list(kinds)},
        )

    def _wait(self, name: str, condition: str, seconds: int) -> None:
        until = time.time() + seconds
        if self._is(name, condition):
            return
        for _event in self._events(name, until, ["start", "die", "health_status", "unpause"]):
            if self._is(name, condition):
                return
        if not self._is(name, condition):
            raise BackendError(
                "it was not %s within %d seconds%s" % (condition, seconds, self._last_words(name)),
                remedy="Allow a longer timeout, or look at what the guest does",
            )

    def _is(self, name: str, condition: str) -> bool:
        data = self.engine.get("/containers/%s/json" % name)
        if condition == "healthy":
            health = data["State"].get("Health")
            if not health or health.get("Status") == "none":
                raise BackendError("wait_for: %s cannot become healthy, it has no health check" % name, remedy="Give it a healthcheck, or wait_for=running")
            return bool(health["Status"] == "healthy")
        if condition == "address":
            return bool(guest_of(Container(data, {}, state_of(data))).addresses)
        return state_of(data) == "running"
