# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process from which `WarmAnsible` has its runs forked: it has imported Ansible's programs, and waits.

Started with the number of a socket. A message there is a directory with run.json and stdin.
The answers are the pid of the process that runs it, and its exit code.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

#: The programs that are run so, and the module of each one's main().
PROGRAMS = {
    "ansible": "ansible.cli.adhoc",
    "ansible-doc": "ansible.cli.doc",
    "ansible-inventory": "ansible.cli.inventory",
    "ansible-playbook": "ansible.cli.playbook",
}

#: What every play imports later, beside its plugins.
LATER = (
    "ansible.executor.process.worker",
    "ansible.plugins.inventory",
    "ansible.plugins.shell.powershell",
    "ansible.plugins.strategy",
)


def serve(channel: socket.socket, home: str) -> Path:
    """Returns in each process that is to run something, with its directory.

    The server itself ends with the socket's other side.
    """
    while message := channel.recv(4096):
        child = os.fork()
        if child == 0:
            channel.close()
            return Path(os.fsdecode(message))
        # Who asked may have ended since; then the next message is the end.
        with suppress(BrokenPipeError):
            channel.send(b"%d" % child)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        with suppress(BrokenPipeError):
            channel.send(b"%d" % code)
    shutil.rmtree(home, ignore_errors=True)
    sys.exit()


def become(directory: Path) -> str:
    """Take the arguments, environment and files of a run, and work out anew what Ansible has from its home.

    Gives the module to run.
    """
    from ansible import constants

    run = json.loads((directory / "run.json").read_text(encoding="utf-8"))
    for number, (name, flags) in enumerate((("stdin", os.O_RDONLY), ("stdout", os.O_WRONLY), ("stderr", os.O_WRONLY))):
        opened = os.open(directory / name, flags | os.O_CREAT | os.O_APPEND)
        os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(run["env"])
    # $TMPDIR may be another one.
    tempfile.tempdir = None
    os.chdir(run["cwd"])
    sys.argv = run["argv"]
    for name, definition in constants.config.get_configuration_definitions().items():
        if name == "ANSIBLE_HOME" or "ANSIBLE_HOME" in str(definition.get("default")):
            constants.set_constant(name, constants.config.get_config_value(name, variables=vars(constants)))
    return PROGRAMS[Path(sys.argv[0]).name]


def main() -> None:
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.set_inheritable(False)
    # Ansible makes directories in its home already when it is imported.
    home = os.environ["ANSIBLE_HOME"] = tempfile.mkdtemp(prefix="kt-warm-ansible-")
    for name in (*PROGRAMS.values(), *LATER):
        importlib.import_module(name)
    from ansible.config.manager import cleanup_tmp_file

    # What is forked would remove them at its end.
    atexit.unregister(cleanup_tmp_file)
    # A Ctrl-C is meant for the run.
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()
    directory = serve(channel, home)
    signal.signal(signal.SIGINT, handler)
    sys.exit(importlib.import_module(become(directory)).main())


if __name__ == "__main__":
    main()
