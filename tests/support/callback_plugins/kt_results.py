# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes every task result of a run as one JSON line, and the run's statistics as the last one, so that tests need
not parse what is printed for people.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: kt_results
type: aggregate
short_description: Task results as JSON lines, for the tests
description:
  - Appends one JSON object a result to the file that the environment variable E(KT_RESULTS_FILE) names.
"""


class CallbackModule(CallbackBase):
    """Notified beside the ordinary output, which stays what a user sees."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "kt_results"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        path = os.environ.get("KT_RESULTS_FILE")
        if not path:
            self.disabled = True
            return
        self._path = Path(path)

    def _write(self, entry: dict[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as out:
            out.write(json.dumps(entry, default=str) + "\n")

    def _result(self, result: Any, *, failed: bool = False, skipped: bool = False) -> None:
        self._write(
            {
                "host": result.host.get_name(),
                "task": result.task_name,
                "changed": result.is_changed(),
                "failed": failed,
                "skipped": skipped,
                "unreachable": result.is_unreachable(),
                "result": dict(result.result),
            }
        )

    def v2_runner_on_ok(self, result: Any) -> None:
        self._result(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        # From the event, because core takes the keys `failed` and `skipped` out of what it shows to callbacks.
        self._result(result, failed=True)

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._result(result, skipped=True)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._result(result)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self._write({"stats": {host: stats.summarize(host) for host in stats.processed}})
