# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: brief
type: stdout
short_description: Show what changed, what failed, and what the plays say
version_added: 0.1.0
author:
  - the kraal.virt contributors (@kraal-virt)
description:
  - Shows of a run what changed, what failed or could not be reached, warnings, and what the plays say by
    M(ansible.builtin.debug). What there was nothing to do for is not shown, and neither is what was included. Plays and
    their recap are.
  - What changed, failed or could not be reached is shown as P(ansible.builtin.default#callback) shows it. A message of
    M(ansible.builtin.debug) is shown as it stands, without the heading of its task.
  - With C(-v) all is shown as P(ansible.builtin.default#callback) shows it.
extends_documentation_fragment:
  - default_callback
  - result_format_callback
requirements:
  - to be chosen by C(stdout_callback = kraal.virt.brief) below C([defaults]) in C(ansible.cfg)
"""

from typing import Any

from ansible import constants
from ansible.playbook.task_include import TaskInclude
from ansible.plugins.callback.default import CallbackModule as Default

#: What is said of one task on one host: ansible-core 2.19 has other names for it than 2.17, and warns of those.
Said = Any


def task_of(result: Said) -> Any:
    """The task of a result."""
    return result.task if hasattr(result, "task") else result._task


def answer_of(result: Said) -> dict[str, Any]:
    """What the task has returned."""
    answer: dict[str, Any] = result.result if hasattr(result, "result") else result._result
    return answer


def message_of(answer: dict[str, Any]) -> list[str]:
    """The lines of a message; none where it is not made of texts. Pure."""
    said = answer.get("msg")
    lines: list[Any] = said if isinstance(said, list) else [said]
    return [part for line in lines for part in line.split("\n")] if all(isinstance(line, str) for line in lines) else []


class CallbackModule(Default):
    """Ansible's own, silent about what there was nothing to do for."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "kraal.virt.brief"

    #: The task below whose heading the next line would stand.
    _last_task_banner: str | None

    def set_options(self, task_keys: Any = None, var_options: Any = None, direct: Any = None) -> None:
        """Headings are shown with the first thing that there is to show below them."""
        super().set_options(task_keys=task_keys, var_options=var_options, direct=direct)
        if not self._verbose:
            self.set_option("display_ok_hosts", False)
            self.set_option("display_skipped_hosts", False)

    @property
    def _verbose(self) -> bool:
        return bool(self._display.verbosity > 0)

    def v2_runner_on_ok(self, result: Said) -> None:
        """Show what changed, and what the play says."""
        task, answer = task_of(result), answer_of(result)
        if self._verbose:
            super().v2_runner_on_ok(result)
        elif isinstance(task, TaskInclude):
            self._warn(result)
        elif self._says(task) and not task.loop:
            self._say(result)
        elif answer.get("changed"):
            super().v2_runner_on_ok(result)
        else:
            self._warn(result)

    def v2_runner_item_on_ok(self, result: Said) -> None:
        """The same of one turn of a loop."""
        task, answer = task_of(result), answer_of(result)
        if self._verbose:
            super().v2_runner_item_on_ok(result)
        elif self._says(task):
            self._say(result)
        elif answer.get("changed"):
            super().v2_runner_item_on_ok(result)
        else:
            self._warn(result)

    def v2_runner_on_skipped(self, result: Said) -> None:
        """Show the warnings of what was skipped."""
        super().v2_runner_on_skipped(result)
        if not self._verbose:
            self._warn(result)

    def v2_runner_item_on_skipped(self, result: Said) -> None:
        """The same of one turn of a loop."""
        super().v2_runner_item_on_skipped(result)
        if not self._verbose:
            self._warn(result)

    def v2_playbook_on_include(self, included_file: Any) -> None:
        """Nothing was done by it."""
        if self._verbose:
            super().v2_playbook_on_include(included_file)

    def _says(self, task: Any) -> bool:
        return task.action in ("ansible.builtin.debug", "ansible.legacy.debug", "debug")

    def _say(self, result: Said) -> None:
        """A message in one line behind its host, or in lines below it; apart from what stands below the heading of
        another task.
        """
        self._warn(result)
        if self._last_task_banner not in (None, task_of(result)._uuid):
            self._display.display("")
            self._last_task_banner = None
        answer = answer_of(result)
        lines = message_of(answer)
        word, color = ("changed", constants.COLOR_CHANGED) if answer.get("changed") else ("ok", constants.COLOR_OK)
        if not lines:
            self._clean_results(answer, task_of(result).action)
            lines = self._dump_results(answer).split("\n")
        text = " " + lines[0] if len(lines) == 1 else "".join("\n    " + line for line in lines)
        self._display.display(f"{word}: [{self.host_label(result)}] =>{text}", color=color)

    def _warn(self, result: Said) -> None:
        """The default says nothing of the warnings of what it does not show."""
        task, answer = task_of(result), answer_of(result)
        if not any(answer.get(key) for key in ("warnings", "deprecations", "exception")):
            return
        if self._last_task_banner != task._uuid:
            self._print_task_banner(task)
        # From 2.19 on, a task that did not fail may have an exception to show as well.
        handle = getattr(self, "_handle_warnings_and_exception", None)
        if handle is None:
            self._handle_warnings(answer)
        else:
            handle(result)
