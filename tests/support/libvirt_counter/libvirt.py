# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands before libvirt's own binding on a module's import path: writes down every call, and crashes after the one that
it is told to.

$KT_LIBVIRT names a directory. Its file `asked` gets a line for each call of libvirt's, its file `calls` for each that
changes something; its file `crash`, if there is one, holds how many of these succeed before the process is killed, and
`before` or `after`: whether the next one is not made, or made and not answered. With `restart` instead it is answered,
then the pipe `ask` is told and the pipe `answer` waited for: the daemon is restarted meanwhile.

Where there is a file `readonly`, the connection is one that libvirt lets read only. What it refuses there though
nothing is written goes another way: secrets are not asked for, and an emulator's capabilities over a connection of
their own. A URI with the host kt-elsewhere leads to this host, whose files the module takes for another's.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))

#: Everything of libvirt-python that changes what libvirt keeps or runs, by class.
CHANGING = {
    "virConnect": (
        "networkDefineXML networkDefineXMLFlags networkCreateXML networkCreateXMLFlags storagePoolDefineXML "
        "storagePoolCreateXML defineXML defineXMLFlags createXML createXMLWithFiles nwfilterDefineXML secretDefineXML "
        "interfaceDefineXML"
    ),
    "virNetwork": "create destroy undefine update setAutostart",
    "virStoragePool": "create destroy undefine delete build setAutostart createXML createXMLFrom",
    "virStorageVol": "delete resize wipe wipePattern upload",
    "virStream": "finish",
    "virDomain": (
        "create createWithFlags createWithFiles destroy destroyFlags shutdown shutdownFlags reboot reset suspend "
        "resume undefine undefineFlags setAutostart setMetadata setVcpus setVcpusFlags setMemory setMemoryFlags "
        "setMaxMemory attachDevice attachDeviceFlags detachDevice detachDeviceFlags detachDeviceAlias "
        "updateDeviceFlags blockResize managedSave managedSaveRemove save rename snapshotCreateXML revertToSnapshot "
        "setMemoryStatsPeriod setUserPassword setBlockIoTune setSchedulerParameters setSchedulerParametersFlags "
        "setLifecycleAction pinVcpu pinVcpuFlags pinEmulator pinIOThread "
        "setMemoryParameters setNumaParameters blockCommit blockPull blockCopy"
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
        if last and when == "after":
            try:
                function(*args, **named)
            finally:
                # What libvirt says no to is a call as well.
                os.kill(os.getpid(), signal.SIGKILL)
        answer = function(*args, **named)
        if allowed and when == "restart" and number == int(allowed) + 1:
            with open(os.path.join(os.environ["KT_LIBVIRT"], "ask"), "w", encoding="ascii") as ask:
                ask.write("restart")
            told("answer")
        return answer

    return wrapper


def noted(call: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A call that is written down before it is made; whom it asks for addresses, too."""

    @functools.wraps(function)
    def wrapper(*args: Any, **named: Any) -> Any:
        agent = call == "virDomain.interfaceAddresses" and args[1] == real.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT
        with open(os.path.join(os.environ["KT_LIBVIRT"], "asked"), "a", encoding="ascii") as file:
            file.write(f"{call}{' AGENT' if agent else ''}\n")
        if call == "libvirt.open":
            args = (args[0].replace("//kt-elsewhere/", "///"),)
        if os.path.exists(os.path.join(os.environ["KT_LIBVIRT"], "readonly")):
            if call == "libvirt.open":
                return readonly(*args)
            if call == "virConnect.getDomainCapabilities":
                args = (connect(args[0].getURI()), *args[1:])
            if call == "virDomain.XMLDesc":
                return function(args[0], args[1] & ~real.VIR_DOMAIN_XML_SECURE)
        return function(*args, **named)

    return wrapper


sys.path[:] = [path for path in sys.path if os.path.abspath(path) != HERE]
del sys.modules["libvirt"]
real = importlib.import_module("libvirt")
connect, readonly = real.open, real.openReadOnly
qemu = importlib.import_module("libvirt_qemu")
owners: list[Any] = [
    real,
    qemu,
    *(each for name, each in vars(real).items() if inspect.isclass(each) and name.startswith("vir")),
]
for owner in owners:
    for name, each in list(vars(owner).items()):
        # Event loops, numbers of versions and classes of errors ask no daemon.
        if inspect.isfunction(each) and not name.startswith(
            ("_", "virEvent", "virGetLastError", "registerErrorHandler")
        ):
            setattr(owner, name, noted(f"{owner.__name__}.{name}", each))
for kind, names in CHANGING.items():
    for name in names.split():
        if hasattr(getattr(real, kind), name):
            setattr(getattr(real, kind), name, counted(f"{kind}.{name}", getattr(getattr(real, kind), name)))
# What `import libvirt` gives to whoever asked.
sys.modules["libvirt"] = real
