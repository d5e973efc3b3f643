# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The words of plans and results, which are public: what a step does, what it costs, and the states of a guest. Pure.

A word that is added here is documented in the guide about plans, and named in the documentation of the modules that
return it. Those of snapshots will be ``take`` and ``revert``, and ``delete`` for one that goes.
"""

from __future__ import annotations

from enum import Enum, IntEnum


class Word(str, Enum):
    """A text out of a closed set.

    It is that text wherever it is written: in messages, in JSON, as the key of a mapping.
    """

    def __str__(self) -> str:
        return str(self.value)

    def __format__(self, form: str) -> str:
        return format(str(self.value), form)

    def __repr__(self) -> str:
        return repr(self.value)

    @classmethod
    def words(cls) -> list[str]:
        """All of them."""
        return [str(each) for each in cls]


class Action(Word):
    """What a step does, in the words of all backends."""

    #: Make a thing that is not there. What it is made with is in ``after``.
    CREATE = "create"
    #: Make it anew, since it cannot be changed as it is.
    RECREATE = "recreate"
    #: Change options of it.
    SET = "set"
    #: Remove it.
    REMOVE = "remove"
    #: Call it by another name.
    RENAME = "rename"
    #: Clear up what a run has left that died.
    CLEAN = "clean"

    START = "start"
    STOP = "stop"
    PAUSE = "pause"
    RESUME = "resume"
    #: Stop and start it, so that what is stored takes effect.
    RESTART = "restart"
    #: Let a service read its configuration again.
    RELOAD = "reload"

    #: Connect a network or a device to it.
    ATTACH = "attach"
    #: Disconnect one.
    DETACH = "detach"
    #: Disconnect one, and connect it again in another way.
    REATTACH = "reattach"
    #: Make a disk or a volume larger.
    RESIZE = "resize"

    #: Get an image from its registry.
    PULL = "pull"
    #: Make an image from a build's directory, or from packages.
    BUILD = "build"
    #: Make an image of an archive of files.
    IMPORT = "import"
    #: Bring back an image that was saved.
    LOAD = "load"
    #: Give an image a name.
    TAG = "tag"
    #: Take a name from an image that has others.
    UNTAG = "untag"
    #: Bring files to the host.
    COPY = "copy"

    #: Overwrite the content of a volume before it goes.
    WIPE = "wipe"
    #: Remove the part of a volume that was not finished.
    CLEAR = "clear"


#: What a task's state asks for by itself: it needs no further permission.
STATE_ACTIONS = frozenset((Action.CREATE, Action.START, Action.STOP, Action.PAUSE, Action.RESUME, Action.REMOVE))


class PowerState(Word):
    """What a guest is doing, in the words of all backends.

    A backend's own word stands beside it in the result, as ``raw_state``.
    """

    RUNNING = "running"
    STOPPED = "stopped"
    #: It stays in memory and is not executed.
    PAUSED = "paused"
    #: Its memory is kept on disk, and its next start goes on from there.
    SAVED = "saved"
    #: It ended by an error of its own.
    CRASHED = "crashed"
    #: Its definition is there, and what it refers to cannot be reached.
    INACCESSIBLE = "inaccessible"
    #: The backend says that it is in error.
    ERROR = "error"


class Disruption(IntEnum):
    """How much a step disturbs a running guest; the order is what ``disruption`` allows."""

    NONE = 0
    LIVE = 1
    RESTART = 2
    RECREATE = 3
    DESTROY = 4

    @property
    def label(self) -> str:
        """The word that users read and write."""
        return self.name.lower()

    @classmethod
    def parse(cls, label: str) -> Disruption:
        """The disruption of that word."""
        return cls[label.upper()]

    @classmethod
    def names(cls) -> list[str]:
        """All words, from the mildest."""
        return [each.label for each in cls]
