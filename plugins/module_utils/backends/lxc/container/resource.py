# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers as a resource: the only code that changes one."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ....engine.action import Action
from ....engine.errors import BackendError, taken_back
from ....engine.plan import Step
from ....engine.reading import as_texts
from ....engine.resource import Guests
from ....engine.result import in_state
from ....engine.spec import Spec
from ....host.replace import replace_file
from ..client import Lxc, message_of, run
from ..files import read_file
from ..remedies import NEEDS_VERSION_2, remedy_for
from . import cgroups
from . import plan as container_plan
from .addresses import wait_for_address
from .config import Config
from .describe import guest_of
from .kinds import Image
from .make import Maker, made_from, remove_tree, unpack, write_note
from .model import Container, Seen
from .observe import NEW, NOTE, OLD, REPLACING, Files, changes_of, observe, read_note, start_mark
from .old_keys import OLD as OLD_KEYS
from .options import CONTAINERS
from .target import config_after, limit_files, note_after

_RUN_AGAIN = "Run again; what was begun is cleared up first"
#: What helps against what the system says no to.
_REMEDIES = {
    errno.ENOSPC: "Free space on that file system, and run again",
    errno.EDQUOT: "Free space on that file system, or raise the quota, and run again",
    errno.EROFS: "Mount that file system for writing, and run again",
}


class Containers(Guests[Seen]):
    """All containers of one directory."""

    table = CONTAINERS

    def __init__(self, lxc: Lxc) -> None:
        self.lxc, self.place = lxc, lxc.place
        self.maker = Maker(lxc)

    def observe(self, wants: Sequence[Spec] | None) -> Seen:
        """See observe.py."""
        return observe(self.lxc, wants)

    def names(self, seen: Seen) -> list[str]:
        """All containers, those that were not finished and those that cannot be read as well."""
        return sorted({*seen.containers, *seen.unread})

    def labels(self, name: str, seen: Seen) -> Mapping[str, str]:
        """The labels in the note beside the configuration."""
        return as_texts(seen.containers[name].note.get("labels")) if name in seen.containers else {}

    def plan(self, want: Spec, seen: Seen) -> list[Step]:
        """See plan.py."""
        return container_plan.plan(want, seen)

    def describe(self, name: str, seen: Seen) -> Mapping[str, Any] | None:
        """The guest as it was seen."""
        have = seen.containers.get(name)
        return guest_of(have).as_dict() if have and not have.unfinished else None

    def foresee(self, want: Spec, steps: Sequence[Step], seen: Seen) -> Mapping[str, Any] | None:
        """The guest as it will be: what a look at it with its new configuration and note would show."""
        if want.state == "absent":
            return None
        have = seen.containers.get(want.name)
        if have is None or have.unfinished:
            have = replace(seen.blank[want.name], note={"made_from": made_from(want)})
        found = [change for step in steps for change in step.changes]
        image: Image | None = (
            want.values.get("image") if any(step.action in (Action.CREATE, Action.RECREATE) for step in steps) else None
        )
        noted: dict[str, Any] = note_after(found, have)
        if image is not None:
            noted["image"] = {"path": image.path, "checksum": image.checksum}
        # As if it were stopped: its limits are then those that are written down.
        guest = guest_of(
            replace(have, config=config_after(found, have), note=noted, state="stopped", addresses=(), pending=())
        )
        anew = {step.action for step in steps} & {
            Action.RESTART,
            Action.STOP,
            Action.START,
            Action.RECREATE,
            Action.CREATE,
        }
        guest = in_state(
            replace(guest, state=have.state, raw_state="" if image else have.raw_state), want.target(have.state)
        )
        return replace(
            guest,
            addresses=() if anew else guest_of(have).addresses,
            pending_restart=() if anew else tuple(container_plan.pending_after(have, seen)),
        ).as_dict()

    def apply(self, want: Spec, step: Step, seen: Seen) -> None:
        """Perform one step."""
        try:
            super().apply(want, step, seen)
        except OSError as error:
            raise BackendError(
                f"{step.action} failed: {error}", remedy=_REMEDIES.get(error.errno or 0, _RUN_AGAIN)
            ) from error

    def wait_for(self, want: Spec) -> None:
        """Return when the guest runs, or has an address."""
        deadline = time.monotonic() + want.timeout
        done = run(
            ["lxc-wait", "-P", self.lxc.path, "-n", want.name, "-s", "RUNNING", "-t", str(want.timeout)],
            seconds=want.timeout + 10,
        )
        if done.returncode:
            raise BackendError(
                "it was not running within %d seconds" % want.timeout, remedy="Start it, or allow a longer timeout"
            )
        if want.wait_for == "address":
            pid = self.lxc.tool("info", want.name, "-pH").strip()
            if not pid.isdigit() or not wait_for_address(int(pid), max(deadline - time.monotonic(), 0.1)):
                raise BackendError(
                    "it was not given an address within %d seconds" % want.timeout,
                    remedy="Look at its networks and their DHCP, or allow a longer timeout",
                )

    # One step each.

    def _tool(self, name: str, guest: str, *args: str, seconds: float = 60) -> None:
        self.lxc.tool(name, guest, *args, seconds=seconds)

    def _place(self, name: str) -> Path:
        return Path(self.lxc.path, name)

    def _now(self, have: Container) -> Container:
        """The container with its configuration and limits as they are at this moment."""
        config = self._place(have.name) / "config"
        text = read_file(config)
        return replace(have, config=Config(text, Files()), note=read_note(self._place(have.name) / NOTE)[0])

    def do_create(self, want: Spec, _step: Step, seen: Seen) -> None:
        with taken_back(lambda: self.maker.remove(want.name, storage=True)):
            config, note = self.maker.make(want, seen.fresh)
            have = Container(want.name, self.lxc.path, config, note, groups=seen.groups)
            # A template and a clone bring more than anybody knew before.
            found = changes_of(self.lxc, want, have)
            self._write(have, config_after(found, have), note_after(found, have))
            self.maker.unmark(want.name)

    def _write(self, have: Container, config: Config, note: Mapping[str, Any]) -> None:
        """Replace the configuration and the note, unless liblxc does not take it: then the old one stays."""
        place = self._place(have.name)
        path = place / "config"
        fresh = not path.exists() or read_file(path) != config.text
        # What stays as it is, liblxc need not take: a label has nothing to do with it.
        objection = self.lxc.objection(config.text) if fresh else ""
        if objection:
            raise BackendError(
                f"liblxc refuses the configuration: {objection}",
                remedy="Correct the options; the old configuration is kept",
            )
        if not (place / NOTE).exists() or note != have.note:
            write_note(place, note)
        if fresh:
            replace_file(path, config.text)

    def do_set(self, want: Spec, step: Step, seen: Seen) -> None:
        """Write the configuration and the note, and limits into the control group of one that runs."""
        have, found = self._now(seen.containers[want.name]), step.changes
        self._write(have, config_after(found, have), note_after(found, have))
        if have.runs:
            places = cgroups.directories(have.pid, have.config.get("lxc.cgroup.dir"))
            cgroups.write(have.groups, places, limit_files(found, have))

    def do_start(self, want: Spec, _step: Step, _seen: Seen) -> None:
        """Start it."""
        self._start(want.name)

    def do_stop(self, want: Spec, step: Step, _seen: Seen) -> None:
        """Stop it, and kill what does not follow."""
        self._stop(want, str(step.before))

    def do_pause(self, want: Spec, _step: Step, _seen: Seen) -> None:
        """Freeze its processes."""
        self._tool("freeze", want.name)

    def do_resume(self, want: Spec, _step: Step, _seen: Seen) -> None:
        """Let them go on."""
        self._tool("unfreeze", want.name)

    def _start(self, name: str) -> None:
        log = self._place(name) / (f"{name}.log")
        # Where there is no log, lxc-start says no more than that.
        with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640), "ab") as file:
            before = file.tell()
        mark = start_mark(Config(read_file(self._place(name) / "config"), Files()))
        words = ["-n", name, "-d", "-s", f"lxc.group={mark}", "-o", str(log), "-l", "ERROR"]
        done = run(["lxc-start", "-P", self.lxc.path, *words], seconds=300)
        if done.returncode:
            with log.open(encoding="utf-8", errors="replace") as file:
                file.seek(before)
                lines = [
                    line
                    for line in file.read().splitlines()
                    if "lxc_start.c" not in line and "lxccontainer.c" not in line
                ]
            why = message_of("\n".join(lines)) or message_of(done.stderr) or "exit code %d" % done.returncode
            remedy = f"Correct its options; its log is {log}"
            if cgroups.look().version == 1 and self.lxc.objection(f"{OLD_KEYS}cpu.shares = 1024\n"):
                remedy = NEEDS_VERSION_2
            remedy = remedy_for(why, remedy)
            raise BackendError(f"it does not start: {why}", remedy=remedy)

    def _stop(self, want: Spec, now: str) -> None:
        if now == "paused":
            # A frozen process cannot follow a signal.
            self._tool("unfreeze", want.name)
        patience = want.steering.get("stop_timeout")
        patience = 30 if patience is None else int(patience)
        how = ["-k"] if patience == 0 else ["-t", str(patience)]
        for last in (False, True):
            try:
                self._tool("stop", want.name, *how, seconds=patience + 60)
                break
            except BackendError:
                # A monitor that is busy with what a program asked of it that died since is taken for one that is gone.
                if self._is_stopped(want.name):
                    break
                if last:
                    raise
        # One that had to be killed may still be on its way, and what is not gone cannot be started.
        self._tool("wait", want.name, "-s", "STOPPED", "-t", "60", seconds=70)

    def _is_stopped(self, name: str) -> bool:
        return run(["lxc-info", "-P", self.lxc.path, "-n", name, "-sH"]).stdout.strip() == "STOPPED"

    def do_restart(self, want: Spec, _step: Step, seen: Seen) -> None:
        now = seen.containers[want.name].state
        self._stop(want, now)
        self._start(want.name)
        if now == "paused":
            self._tool("freeze", want.name)

    def do_remove(self, want: Spec, step: Step, _seen: Seen) -> None:
        # Nobody knows where one is of which nothing can be read.
        self.maker.remove(want.name, storage=isinstance(step.subject, str))

    def do_clean(self, want: Spec, step: Step, seen: Seen) -> None:
        have = seen.containers[want.name]
        if str(step.before).endswith(OLD):
            self._put_back(have)
            return
        self.maker.remove(want.name, storage=container_plan.rootfs_is_removed(have, True), runs=have.runs)

    def do_recreate(self, want: Spec, step: Step, seen: Seen) -> None:
        """Another root file system beside the old one, which then takes its place."""
        have = self._now(seen.containers[want.name])
        place, found = self._place(want.name), step.changes
        root, image = place / "rootfs", want.values["image"]
        idmap = want.values.get("idmap", have.config.values.get("lxc.idmap", ()))
        note = {**note_after(found, have), "image": {"path": image.path, "checksum": image.checksum}}
        with taken_back(lambda: self._as_before(have), "it could not be brought back to what it was"):
            write_note(place, {**have.note, REPLACING: image.checksum})
            (place / NEW).mkdir(mode=0o755)
            unpack(image, place / NEW, idmap)
            if have.runs:
                self._stop(want, have.state)
            root.rename(place / OLD)
            (place / NEW).rename(root)
            self._write(have, config_after(found, have), note)
        remove_tree(place / OLD)
        target = want.target(have.state)
        # What was done until here stays: another image is there now, whether it can be started or not.
        if target != "stopped":
            self._start(want.name)
        if target == "paused":
            self._tool("freeze", want.name)

    def _as_before(self, have: Container) -> None:
        """Undo a re-creation that has failed: a disk that is full has room again, and what ran runs again."""
        self._put_back(have)
        if have.runs and self._is_stopped(have.name):
            self._start(have.name)
            if have.state == "paused":
                self._tool("freeze", have.name)

    def _put_back(self, have: Container) -> None:
        """Clear up after a re-creation that died: the old root file system comes back, unless the new one was there
        for good.
        """
        place = self._place(have.name)
        note = read_note(place / NOTE)[0]
        if (place / OLD).exists():
            if REPLACING in note:
                if (place / "rootfs").exists():
                    remove_tree(place / "rootfs")
                (place / OLD).rename(place / "rootfs")
            else:
                remove_tree(place / OLD)
        if (place / NEW).exists():
            remove_tree(place / NEW)
        if REPLACING in note:
            write_note(place, {key: value for key, value in note.items() if key != REPLACING})
