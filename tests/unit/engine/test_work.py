# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may take too long."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeout
from functools import partial
from threading import Event

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import BackendError, KraalError, taken_back
from ansible_collections.kraal.virt.plugins.module_utils.engine.work import in_background


def test_an_answer_comes_or_is_not_waited_for() -> None:
    go = Event()
    waiting = in_background(lambda: go.wait(30) and "there")
    with pytest.raises(FutureTimeout):
        waiting.result(0.01)
    go.set()
    assert waiting.result(30) == "there"


def test_what_goes_wrong_is_raised_where_it_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda told: shown.append(told.exc_type))

    def fails(error: Exception) -> None:
        raise error

    with pytest.raises(KraalError, match="no luck"):
        in_background(lambda: fails(KraalError("no luck"))).result(30)
    with pytest.raises(CancelledError):
        in_background(lambda: fails(RuntimeError("a fault of its own"))).result(30)
    assert shown in ([], [RuntimeError])


@pytest.mark.parametrize("error", [partial(OSError, 28, "No space left on device"), partial(BackendError, "no luck")])
@pytest.mark.parametrize("undone", [True, False])
def test_what_was_begun_is_undone_whatever_went_wrong(error: Callable[[], Exception], undone: bool) -> None:
    done = []

    def undo() -> None:
        done.append("undone")
        if not undone:
            raise OSError(30, "Read-only file system")

    with pytest.raises((OSError, BackendError)) as raised, taken_back(undo):
        raise error()
    assert done == ["undone"] and str(error()) in str(raised.value)
    assert ("could not be removed: [Errno 30] Read-only file system" in str(raised.value)) != undone
