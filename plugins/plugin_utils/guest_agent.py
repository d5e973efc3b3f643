# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a command in a virtual machine by its guest agent, or tells its state. A program for the Python of the machine's
host, 3.9 or later.

It is sent as the argument of that Python (see ways.py), with the request as its own: a JSON object with `guest`, `uri`,
`seconds`; for a command `command`, `environment` and `fed`, whether it is given something on the standard input. It
ends with the command's code, or with one of those below.
"""

from __future__ import annotations

import base64
import gc
import json
import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

LIBVIRT_IMPORT_ERROR: ImportError | None = None
try:
    import libvirt
    import libvirt_qemu
except ImportError as import_error:
    LIBVIRT_IMPORT_ERROR = import_error

T = TypeVar("T")

#: No answer of the command is there: what a shell says of a command that it could not run, and for the state what
#: nobody else says.
NOT_RUN, NO_STATE = 126, 3

#: So many bytes are sent in one message; in base64 they are 128 KiB. Libvirt (seen in 9.0) writes a message for the
#: agent in one go, and garbles one that does not fit into the socket's buffer, which is 208 KiB unless the host says
#: otherwise: the agent waits for the rest then, and is lost for everybody.
SENT_PIECE = 96 * 1024
#: So long a standard input goes with its command in one message. The command itself comes in an argument, which has 128
#: KiB at most.
SENT_WITH_COMMAND = 16 * 1024
#: What comes back passes through libvirt's protocol, where a string has 4 MiB at most, and an agent that says more than
#: 10 MiB is cut off by libvirt.
READ_PIECE = 1024 * 1024
#: So much of what a command says is taken, its errors included: how much there is, is the guest's own word, and all of
#: it is kept in the host's memory.
LONGEST = 256 * 1024 * 1024

STATES = ("in no state", "running", "running", "paused", "shutting down", "shut off", "crashed", "suspended")
CALLS = (
    "guest-exec",
    "guest-exec-status",
    "guest-file-open",
    "guest-file-read",
    "guest-file-write",
    "guest-file-close",
)

#: For root alone, and in memory where the guest has such a place: what passes through may be secret, and a disk that is
#: full is no reason to stay out.
_MAKE = """
make() {
  for place in /dev/shm /run /tmp; do mkdir -m 700 "$place/$1" 2> /dev/null && echo "$place/$1" && return; done
  echo "no directory can be made in /dev/shm, /run or /tmp" >&2
  return 1
}
"""
_PREPARE = _MAKE + 'make "$1"'
#: The output goes to files, as the agent would keep all of it in memory and cut it at 16 MiB. What is short comes back
#: at once, behind its own measures. It goes there through pipes: who writes to /dev/stderr would cut a file each time.
_RUN = (
    _MAKE
    + """
mine=$2
if [ -n "$mine" ]; then exec < "$mine/in"; rm "$mine/in"; else mine=$(make "$1") || exit 1; fi
shift 2
{ { (exec "$@" 2>&3 3>&-); echo $? > "$mine/code"; } | cat > "$mine/out"; } 3>&1 | cat > "$mine/err"
code=$(cat "$mine/code") || exit 1
out=$(wc -c < "$mine/out") err=$(wc -c < "$mine/err")
echo $code $out $err "$mine"
[ $((out + err)) -le %d ] || exit 0
head -c $out "$mine/out"
head -c $err "$mine/err"
rm -r "$mine"
"""
    % READ_PIECE
)
_CLEAR = 'rm -rf "/dev/shm/$1" "/run/$1" "/tmp/$1"'


#: What comes of an answer in which something is missing, or of another type: an agent says what its guest likes.
ODD = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)


class Failed(Exception):
    """What went wrong, as a sentence with its remedy."""


def not_understood(error: Exception) -> str:
    """What to do about an agent that speaks another language."""
    said = f"{type(error).__name__}: {error}"[:200].encode("ascii", "backslashreplace").decode()
    return f"what its guest agent answered is not understood ({said}). Restart qemu-guest-agent in the guest, or update it."


def within(seconds: float, function: Callable[..., T], *arguments: Any) -> T:
    """What a call of libvirt gives.

    Libvirt itself knows no time limit, so a thread waits for it; one that waits in vain ends with the process.
    """
    answer: list[tuple[T | None, Exception | None]] = []

    def call() -> None:
        try:
            answer.append((function(*arguments), None))
        except libvirt.libvirtError as error:
            answer.append((None, error))

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(seconds)
    if not answer:
        raise Failed("libvirt did not answer within %d seconds. See what its daemon on the host does." % seconds)
    result, error = answer[0]
    if error is not None:
        raise error
    return result  # type: ignore[return-value]


def pieces(data: bytes, size: int) -> list[bytes]:
    """The data in pieces of at most that size."""
    return [data[start : start + size] for start in range(0, len(data), size)]


def measured(text: bytes) -> tuple[int, int, int, str, bytes]:
    """The first line of what _RUN says, which is the command's code, the length of its output, that of its errors,
    and their place; and the rest. Raises Failed for more than is taken.
    """
    line, _newline, rest = text.partition(b"\n")
    code, *sizes, place = line.decode().split(" ", 3)
    out, err = map(int, sizes)
    if min(out, err) < 0 or out + err > LONGEST:
        raise Failed(
            "what the command has said is %s bytes, and no more than %d are taken. Let it write to a file in the guest, and fetch that."
            % (out + err, LONGEST)
        )
    return int(code), out, err, place, rest


class Agent:
    """The guest agent of one machine; ``seconds`` is how long it may take for an answer."""

    def __init__(self, domain: Any, seconds: int) -> None:
        self.domain, self.seconds = domain, seconds

    def ask(self, call: str, **arguments: Any) -> Any:
        """What the agent returns for one call. Raises Failed."""
        named = {key.replace("_", "-"): value for key, value in arguments.items()}
        # In ASCII: libvirt 11.3 refuses other characters ("failed to parse JSON: invalid utf-8 string"); 9.0 takes both.
        text = json.dumps({"execute": call, "arguments": named})
        started = time.monotonic()
        while True:
            asked = time.monotonic()
            try:
                said = within(self.seconds + 10, libvirt_qemu.qemuAgentCommand, self.domain, text, self.seconds, 0)
            except libvirt.libvirtError as error:
                now = time.monotonic()
                # Libvirt first makes sure that the agent listens, for which it takes 5 seconds whatever it is told:
                # nothing has been sent then. What it knows at once, and what was sent, is not tried again.
                if (
                    error.get_error_code() == libvirt.VIR_ERR_AGENT_UNRESPONSIVE
                    and now - asked > 1
                    and now - started < self.seconds
                ):
                    continue
                raise Failed(self.refusal(call, error, now - asked)) from error
            return json.loads(said)["return"]

    def refusal(self, call: str, error: Any, waited: float) -> str:
        """Why there is no answer, and what to do about it."""
        code, said = error.get_error_code(), " ".join((error.get_error_message() or str(error)).split())
        if "disabled" in said or "not been found" in said or "disallowed" in said:
            return blocked([call])
        if code == libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED:
            return "it has no channel to a guest agent. Give the machine the channel org.qemu.guest_agent.0, and restart it."
        if code == libvirt.VIR_ERR_AGENT_UNRESPONSIVE and waited > 1:
            return (
                "its guest agent did not answer within %d seconds. Restart qemu-guest-agent in the guest,"
                " or give it more time (ansible_guest_agent_timeout)." % max(self.seconds, waited)
            )
        if code == libvirt.VIR_ERR_AGENT_UNRESPONSIVE:
            return f"its guest agent is not to be spoken to: {said}. Install and start qemu-guest-agent in the guest, or wait until it has booted."
        if "guest-exec-status" in said:
            return f"its guest agent knows nothing more of the command: {said}. It was restarted meanwhile, or the guest was."
        return "{}.".format(said.rstrip("."))

    def execute(
        self, argv: Sequence[str], environment: Sequence[str] = (), data: bytes = b""
    ) -> tuple[int, bytes, bytes]:
        """Run a command of which little is expected to be said: its code, its output, its errors."""
        more = {"input_data": base64.b64encode(data).decode()} if data else {}
        pid = self.ask(
            "guest-exec", path=argv[0], arg=list(argv[1:]), env=list(environment), capture_output=True, **more
        )["pid"]
        pause = 0.005
        while True:
            status = self.ask("guest-exec-status", pid=pid)
            if status["exited"]:
                break
            # The agent has no call that waits for the end of a command, and no event that tells of it: all that can be
            # done is to ask again.
            time.sleep(pause)
            pause = min(pause * 1.5, 0.5)
        code = status["exitcode"] if "exitcode" in status else 128 + status["signal"]
        return code, base64.b64decode(status.get("out-data", "")), base64.b64decode(status.get("err-data", ""))

    def shell(self, script: str, *argv: str, environment: Sequence[str] = (), data: bytes = b"") -> bytes:
        """What a script prints. Raises Failed when it does not end well."""
        code, out, err = self.execute(["/bin/sh", "-c", script, "sh", *argv], environment, data)
        if code != 0:
            raise Failed("the shell in the guest ended with code %d: %s" % (code, err.decode(errors="replace").strip()))
        return out

    def write(self, path: str, data: bytes) -> None:
        """Fill a file."""
        handle = self.ask("guest-file-open", path=path, mode="w")
        for piece in pieces(data, SENT_PIECE):
            while piece:
                done = self.ask("guest-file-write", handle=handle, buf_b64=base64.b64encode(piece).decode())["count"]
                if not 0 < done <= len(piece):
                    raise ValueError(f"it has written {done} of {len(piece)} bytes")
                piece = piece[done:]
        self.ask("guest-file-close", handle=handle)

    def read(self, path: str, size: int) -> bytes:
        """The first bytes of a file, and no more, whatever the guest sends."""
        handle, data = self.ask("guest-file-open", path=path, mode="r"), bytearray()
        while len(data) < size:
            piece = base64.b64decode(
                self.ask("guest-file-read", handle=handle, count=min(size - len(data), READ_PIECE))["buf-b64"]
            )
            if not piece:
                raise Failed(
                    "what the command has said cannot be read in whole: %s has %d bytes, not %d."
                    % (path, len(data), size)
                )
            data += piece
        self.ask("guest-file-close", handle=handle)
        return bytes(data[:size])

    def run(self, command: Sequence[str], environment: Sequence[str], data: bytes) -> tuple[int, bytes, bytes]:
        """Run any command: its code (128 and the number of a signal that ended it), its output, its errors."""
        name, place = f"kraal-{secrets.token_hex(16)}", ""
        gone = False
        try:
            if len(data) > SENT_WITH_COMMAND:
                place, (data, waiting) = (
                    self.shell(_PREPARE, name, environment=environment).decode().strip(),
                    (b"", data),
                )
                self.write(place + "/in", waiting)
            code, out, err, place, said = measured(
                self.shell(_RUN, name, place, *command, environment=environment, data=data)
            )
            gone = out + err <= READ_PIECE
            if gone:
                return code, said[:out], said[out : out + err]
            return code, self.read(place + "/out", out), self.read(place + "/err", err)
        finally:
            if not gone:
                self.clear(name)

    def clear(self, name: str) -> None:
        """Take away what a command has left."""
        try:
            self.shell(_CLEAR, name)
        except Failed as error:
            # Where the command has ended the guest or its agent, this cannot be done; why is said already.
            sys.stderr.write(f"kraal.virt: files named {name} may be left in the guest: {error}\n")


def blocked(calls: Sequence[str]) -> str:
    """What to do when the agent is not let."""
    return (
        "its guest agent does not let {} be used. In the guest, allow guest-exec, guest-exec-status and "
        "guest-file-* in the configuration of qemu-ga (RHEL and its kin block them in /etc/sysconfig/qemu-ga) and "
        "restart qemu-guest-agent. File systems that are frozen block them too.".format(", ".join(calls))
    )


def connect(uri: str, guest: str, seconds: int) -> Any:
    """The domain of that name. Raises Failed."""
    if LIBVIRT_IMPORT_ERROR is not None:
        raise Failed(
            f"{sys.executable} on the host has no libvirt ({LIBVIRT_IMPORT_ERROR}). Install python3-libvirt there, or "
            "name the Python that has it (ansible_guest_host_python)."
        )
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    # What the collector frees between a call of libvirt's and the question for its error makes libvirt forget that.
    gc.disable()
    try:
        connection = within(seconds, libvirt.open, uri)
    except libvirt.libvirtError as error:
        raise Failed(
            "libvirt at {} cannot be used: {}. See that it runs there, and that it may be used: as root, or with "
            "ansible_guest_host_become.".format(uri, " ".join(str(error).split()))
        ) from error
    try:
        return within(seconds, connection.lookupByName, guest)
    except libvirt.libvirtError as error:
        raise Failed(
            "{}. See that the guest exists in the libvirt at {}, or name another (ansible_guest_libvirt_uri).".format(
                " ".join(str(error).split()), uri
            )
        ) from error


def state(domain: Any, seconds: int) -> str:
    """What the machine does; one that runs has an agent that can be worked with. Raises Failed."""
    try:
        number = within(seconds, domain.state)[0]
    except libvirt.libvirtError as error:
        raise Failed("{}.".format(str(error).rstrip("."))) from error
    found = STATES[number] if number < len(STATES) else STATES[0]
    if found == "running":
        known = {
            call["name"]: call["enabled"] for call in Agent(domain, seconds).ask("guest-info")["supported_commands"]
        }
        missing = [call for call in CALLS if not known.get(call)]
        if missing:
            raise Failed(blocked(missing))
    return found


def main(request: Mapping[str, Any]) -> int:
    """Do what is asked for; the code to end with."""
    try:
        # What comes with a command is taken off, whatever becomes of it.
        data = sys.stdin.buffer.read() if request.get("fed") else b""
        uri = request["uri"] or os.environ.get("LIBVIRT_DEFAULT_URI") or "qemu:///system"
        domain = connect(uri, request["guest"], request["seconds"])
        if "command" not in request:
            sys.stdout.write(state(domain, request["seconds"]) + "\n")
            return 0
        code, out, err = Agent(domain, request["seconds"]).run(request["command"], request["environment"], data)
    except (Failed, *ODD) as error:
        sys.stderr.write(f"{error if isinstance(error, Failed) else not_understood(error)}\n")
        return NOT_RUN if "command" in request else NO_STATE
    sys.stdout.buffer.write(out)
    sys.stdout.buffer.flush()
    sys.stderr.buffer.write(err)
    return code


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
