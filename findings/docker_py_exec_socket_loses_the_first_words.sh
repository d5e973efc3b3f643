#!/usr/bin/env bash
# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# docker-py: exec_start(socket=True) gives a socket from which the begin of the command's output may be missing.
# Version: docker 7.2.0 with requests 2.34.2 and urllib3 2.8.0 from PyPI, Python 3.11; docker 7.1.0 does the same.
# Guess: what the engine sends after the head of its answer is read from the socket that one is given.
# Seen: the head is read through a buffered reader, and the caller gets the socket below that reader. What the engine sent in one piece
#   with the head stays in the reader's buffer: recv() of the socket gives b"". With a pause between head and output, all of it comes.
#   So a quick command on a busy engine loses its output, and only sometimes.
# A way round: read from response.raw._fp.fp, the buffered reader itself.
# Fails when the output that came with the head is read from the socket.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder/packages" docker==7.2.0 requests==2.34.2 urllib3==2.8.0 2>/dev/null

cat > "$folder/show.py" <<'PYTHON'
import socket
import struct
import sys
import threading
import time

import docker

HEAD = b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
WORDS = b"hello\n"
# A frame of the attach stream: kind, three zeroes, length, content.
FRAME = struct.pack(">BxxxL", 1, len(WORDS)) + WORDS


def engine(listener: socket.socket, pause: float) -> None:
    """Answers one request as an engine does that starts a command, and hangs up."""
    with listener.accept()[0] as connection:
        request = b""
        while b"\r\n\r\n" not in request or not request.endswith(b"}"):
            request += connection.recv(4096)
        if pause:
            connection.sendall(HEAD)
            time.sleep(pause)
            connection.sendall(FRAME)
        else:
            connection.sendall(HEAD + FRAME)


def heard(path: str, pause: float) -> bytes:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        thread = threading.Thread(target=engine, args=(listener, pause))
        thread.start()
        client = docker.APIClient(base_url=f"unix://{path}", version="1.41", timeout=10)
        stream = client.exec_start("0123", socket=True)
        stream._sock.settimeout(10)
        thread.join()
        said = b""
        while piece := stream._sock.recv(4096):
            said += piece
        return said


folder = sys.argv[1]
together, apart = heard(f"{folder}/together.sock", 0), heard(f"{folder}/apart.sock", 0.5)
print(f"docker {docker.__version__}, Python {sys.version.split()[0]}")
print(f"output in one piece with the head: seen {together!r}")
print(f"output half a second after the head: seen {apart!r}")
sys.exit(0 if (together, apart) == (b"", FRAME) else 1)
PYTHON

if PYTHONPATH="$folder/packages" python3 "$folder/show.py" "$folder"; then
    echo 'As described: what comes with the head is lost.'
else
    echo 'No longer as described.' >&2
    exit 1
fi
