# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands before libvirt's own binding on a module's import path: writes down every call that changes something, and crashes after the one that it is told to.

$KT_LIBVIRT names a directory. Its file `calls` gets a line for each call; its file `crash`, if there is one, holds how many of them succeed before the process
is killed, and `before` or `after`: whether the next one is not made, or made and not answered. With `restart` instead it is answered, then the pipe `ask` is
told and the pipe `answer` waited for: the daemon is restarted meanwhile.
"""

from __future__ import annotations

import functools
import importlib
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))

#: Everything of libvirt-python that changes what libvirt keeps or runs, by class.
CHANGING = {
    "virConnect": (
        "networkDefineXML networkDefineXMLFlags networkCreateXML networkCreateXMLFlags storagePoolDefineXML storagePoolCreateXML defineXML defineXMLFlags"
        " createXML createXMLWithFiles nwfilterDefineXML secretDefineXML interfaceDefineXML"
    ),
    "virNetwork": "create destroy undefine update setAutostart",
    "virStoragePool": "create destroy undefine delete build setAutostart createXML createXMLFrom",
    "virStorageVol": "delete resize wipe wipePattern upload",
    "virStream": "finish",
    "virDomain": (
        "create createWithFlags createWithFiles destroy destroyFlags shutdown shutdownFlags reboot reset suspend resume undefine undefineFlags setAutostart"
        " setMetadata setVcpus setVcpusFlags setMemory setMemoryFlags setMaxMemory attachDevice attachDeviceFlags detachDevice detachDeviceFlags"
        " detachDeviceAlias updateDeviceFlags blockResize managedSave managedSaveRemove save rename snapshotCreateXML revertToSnapshot setMemoryStatsPeriod"
        " setUserPassword setBlockIoTune setSchedulerParameters setSchedulerParametersFlags setMemoryParameters setNumaParameters"
        " blockCommit blockPull blockCopy"
    ),
    "virDomainSnapshot": "delete",
    "virSecret": "setValue undefine",
}


def told(name: str) -> str:
    try:
        with open(os.path.join(os.environ["KT_LIBVIRT"], name), encoding="ascii") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def write_down(call: str) -> int:
    with open(os.path.join(os.environ["KT_LIBVIRT"], "calls"), "a+", encoding="ascii") as file:
        file.write(call + "\n")
        file.seek(0)
        return len(file.readlines())


def counted(call: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **named: Any) -> Any:
        allowed, _blank, when = told("crash").partition(" ")
        number = write_down(call)
        last = bool(allowed) and number > int(allowed)
        if last and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = function(*args, **named)
        if allowed and when == "restart":
            if number == int(allowed) + 1:
                with open(os.path.join(os.environ["KT_LIBVIRT"], "ask"), "w", encoding="ascii") as ask:
                    ask.write("restart")
                told("answer")
        elif last:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    return wrapper


sys.path[:] = [path for path in sys.path if os.path.abspath(path) != HERE]
del sys.modules["libvirt"]
real = importlib.import_module("libvirt")
for kind, names in CHANGING.items():
    for name in names.split():
        if hasattr(getattr(real, kind), name):
            setattr(getattr(real, kind), name, counted(f"{kind}.{name}", getattr(getattr(real, kind), name)))
# What `import libvirt` gives to whoever asked.
sys.modules["libvirt"] = real
