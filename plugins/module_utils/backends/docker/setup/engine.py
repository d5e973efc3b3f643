# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine as a part of a setup: its configuration, that it starts at boot, and that it runs with what its file
says.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from ....engine import trace
from ....engine.action import Action, Disruption
from ....engine.errors import BackendError, KraalError
from ....engine.plan import Step, set_step
from ....host import daemon
from ....host.reader import Host, UnixConnection
from ....host.replace import replace_file
from ....host.service import Service
from ....host.setup import HOST
from .config import Config

LOG = "/var/log/docker.log"
#: The engine's own, unless its configuration names another, and the one that Docker's init script keeps.
PIDFILE, START_PIDFILE = "/var/run/docker.pid", "/var/run/docker-ssd.pid"
#: What an engine that died leaves behind, with the programs whose numbers they are.
PIDFILES = (
    (PIDFILE, ("dockerd",)),
    (START_PIDFILE, ("dockerd",)),
    ("/var/run/docker/containerd/containerd.pid", ("containerd", "docker-containe")),
)
#: Seconds within which an engine tells that it has read its configuration again.
RELOAD = 10
#: Seconds that the engine gives its containers, unless shutdown-timeout says otherwise, and those that it may take
#: itself.
SHUTDOWN, STOP = 15, 60


@dataclass(frozen=True)
class Engine:
    """The engine as it was observed, and how it is started here."""

    host: Host
    config: Config
    #: systemd, sysvinit or direct.
    manager: str
    #: The program, and the socket on which it is asked.
    program: str
    socket: str
    #: What it says of itself (GET /info); None where it does not answer.
    info: Mapping[str, Any] | None
    #: Whether it starts at boot, or has not to: nobody could make it, or it is not the packages' own.
    autostart: bool
    interrupt: bool
    #: Seconds that it may take until it answers.
    timeout: int
    #: What the engine says against the new configuration, where it can be asked before it starts.
    refusal: str = ""
    #: What systemd starts, where that is of interest.
    command: str = ""

    @property
    def takes(self) -> Action | None:
        """What it takes until it runs with what its file is to say; nothing where it does."""
        if self.info is None:
            return Action.START
        return Action.RESTART if self.config.restarts else Action.RELOAD if self.config.changed else None

    @property
    def interrupts(self) -> int:
        """How many containers the change would stop."""
        if self.takes != Action.RESTART or self.info is None or self.info.get("LiveRestoreEnabled"):
            return 0
        return int(self.info.get("ContainersRunning") or 0)

    def faults(self) -> Sequence[str]:
        """What is in the way of the new configuration."""
        config, found = self.config, []
        if config.fault:
            return [config.fault]
        if self.interrupts and not self.interrupt:
            found.append(
                "%s in %s would take a restart of the engine, which stops its %d running containers. "
                "Set docker_host_interrupt_guests: true to allow it, or let the engine keep them alive first "
                "(live-restore: true in docker_host_daemon_options, which needs no restart)."
                % (", ".join(config.restarts), config.path, self.interrupts)
            )
        if "hosts" in config.differs and " -H " in self.command:
            found.append(
                "The unit docker.service starts the engine with -H, and then the engine refuses the option hosts in "
                f"{config.path}. Override the unit first: `systemctl edit docker.service`, with an empty ExecStart= "
                "and one without -H."
            )
        if self.refusal:
            found.append(
                "The engine does not take {} in {}, which is as it was before: {}. "
                "Correct docker_host_daemon_options.".format(
                    ", ".join(config.changed), config.path, self.refusal.rstrip(".")
                )
            )
        return found

    def plan(self) -> Sequence[Step]:
        """That it starts at boot, its file as one step, and what makes it take the file over."""
        config, steps = self.config, []
        if not self.autostart:
            steps.append(Step(HOST, Action.SET, "autostart", False, True))
        keys = config.changed
        before = {f"daemon.json[{key}]": config.before.get(key) for key in keys}
        after = {f"daemon.json[{key}]": config.after.get(key) for key in keys}
        if keys:
            steps.append(set_step(HOST, before, after))
        if self.takes == Action.START:
            steps.append(Step(HOST, Action.START, "service", "stopped", "running"))
        elif self.takes:
            cost = Disruption.RESTART if self.interrupts else Disruption.NONE
            steps.append(Step(HOST, self.takes, "service", "running", "running", cost))
        return steps

    def apply(self, step: Step) -> None:
        """The last step takes the file back when the engine does not take it over. Raises KraalError and OSError."""
        if step.key == "autostart":
            self._service().enable()
        elif step.action == Action.SET:
            Path(self.config.path).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            # A file that is there stays as it is kept; so is its backup.
            replace_file(Path(self.config.path), self.config.content, self.config.mode, keep_old=True)
        else:
            try:
                {Action.START: self._start, Action.RESTART: self._restart, Action.RELOAD: self._reload}[step.action]()
            except KraalError as error:
                if not self.config.changed:
                    raise
                self._take_back(error)

    # The configuration

    def _take_back(self, error: KraalError) -> None:
        """The file and the engine as they were before. Raises BackendError, with why."""
        config, path = self.config, Path(self.config.path)
        if config.text is None:
            path.unlink()
        else:
            replace_file(path, config.text)
        what = "the engine did not take {} in {}, which is again as it was before: {}".format(
            ", ".join(config.changed), path, error.message
        )
        if not self._answers():
            try:
                self._start()
            except KraalError as again:
                raise BackendError(
                    f"{what}. Nor does it start with that: {again.message}", remedy="See its log"
                ) from again
        raise BackendError(what, remedy="Correct docker_host_daemon_options") from error

    # The engine

    def _service(self) -> Service:
        return Service(Host(timeout=self._patience() + self.timeout), "docker", self.manager)

    def _patience(self) -> int:
        """Seconds that it may take to end."""
        given = self.config.before.get("shutdown-timeout")
        return (given if isinstance(given, int) else SHUTDOWN) + STOP

    def _answers(self) -> bool:
        return self.host.ask(self.socket, "/version").document is not None

    def _start(self) -> None:
        for path in daemon.stale(PIDFILES):
            Path(path).unlink()
        if self.manager == "direct":
            # What it is started with ends with its process, and so does a wait for it.
            self._watched(
                lambda: daemon.start([daemon.Daemon((self.program,), pidfile=START_PIDFILE, log=LOG)], self.timeout)
            )
        elif self.manager == "systemd":
            # Its socket is not tried again either, once the service has failed too often.
            Service(self.host, "docker.socket", "systemd").forget_failures()
            self._watched(self._service().start)
        else:
            self._run_init_script()
        self._wait()

    def _run_init_script(self) -> None:
        try:
            self._service().start()
        except BackendError as error:
            raise BackendError(
                f"the init script of the engine failed: {error.message}",
                remedy="It needs the right to raise limits (CAP_SYS_RESOURCE) and to mount control groups. "
                "Where it has not, set docker_host_service_manager: direct",
            ) from error

    def _wait(self) -> None:
        """Until it answers."""
        pid = None if self.manager == "systemd" else daemon.pid_in(START_PIDFILE, ("dockerd",))
        self._watched(lambda: daemon.wait_for_socket(self.socket, pid, self.timeout))
        answer = Host(timeout=self.timeout).ask(self.socket, "/version")
        if answer.document is None:
            raise BackendError(f"the engine was started, but it does not answer: {answer.error}{self._log()}")

    def _restart(self) -> None:
        if self.manager == "systemd":
            self._watched(self._service().restart)
            self._wait()
            return
        # However it was started: the init script would only know an engine of its own.
        daemon.stop(self._process(), "dockerd", self._patience())
        self._start()

    def _reload(self) -> None:
        """Wait for the event that tells: a configuration that it does not like is only mentioned in its log."""
        since = str(self.info["SystemTime"]) if self.info else "0"
        if self.manager == "systemd":
            self._service().reload()
        else:
            os.kill(self._process(), signal.SIGHUP)
        filters = json.dumps({"type": ["daemon"], "event": ["reload"]})
        connection = UnixConnection(self.socket, RELOAD)
        try:
            events = "/events?" + urlencode({"since": since, "filters": filters})
            with trace.call(lambda: "GET " + events) as call:
                connection.request("GET", events)
                answer = connection.getresponse()
                call.status = str(answer.status)
            told = answer.readline()
        except (OSError, http.client.HTTPException) as error:
            raise BackendError(
                f"it was told to read its configuration again, and does not say that it did ({error}){self._log()}"
            ) from error
        finally:
            connection.close()
        if not told:
            raise BackendError(f"it was told to read its configuration again, and stopped{self._log()}")

    def _process(self) -> int:
        """That of the engine which runs."""
        pidfile = str(self.config.before.get("pidfile") or PIDFILE)
        found = daemon.pid_in(pidfile, ("dockerd",))
        if found is None:
            raise BackendError(
                f"the engine answers, but {pidfile} does not name its process", remedy="Restart it by hand, once"
            )
        return found

    def _watched(self, action: Any) -> None:
        """Start it in some way; what went wrong comes with what the engine itself said."""
        try:
            action()
        except KraalError as error:
            why = f"the engine was started, but {error.message}{self._log()}"
            raise BackendError(why, remedy=error.remedy) from error

    def _log(self) -> str:
        if self.manager == "systemd":
            said = self._service().said("dockerd")
        else:
            tail = self.host.run(["tail", "--lines", "5", LOG])
            said = tail.out.strip() if tail else ""
        return f". Its log ends with: {said}" if said else ""


def refusal(host: Host, program: str, config: Config) -> str:
    """What the engine of that program says against a configuration; nothing where it takes it, or cannot be asked.

    Raises OSError.
    """
    told = host.run([program, "--help"]) if config.changed else None
    if told is None or "--validate" not in told.out:
        return ""
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8", errors="surrogateescape") as file:
        file.write(config.content)
        file.flush()
        said = host.run([program, "--validate", "--config-file=" + file.name])
    return said.error.replace(file.name, config.path) if said else ""
