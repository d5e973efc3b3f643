# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SSH keys of the lab: one for the controller, one for each host, so that host keys are checked here as everywhere."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)


def new_key() -> tuple[bytes, bytes]:
    """(private, public) in OpenSSH's forms."""
    return _forms(Ed25519PrivateKey.generate())


def controller_key(path: Path) -> bytes:
    """The public half of the key at that path, which is made if it is missing. Call it under a lock."""
    if not path.exists():
        private, public = new_key()
        path.touch(mode=0o600)
        path.write_bytes(private)
        return public
    key = load_ssh_private_key(path.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise RuntimeError(f"{path} is no ed25519 key: remove it")
    return _forms(key)[1]


def _forms(key: Ed25519PrivateKey) -> tuple[bytes, bytes]:
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    return private, key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b"\n"
