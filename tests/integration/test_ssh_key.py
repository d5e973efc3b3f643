# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The key with which guests are reached: made where there is none, mended where it is half there, removed where it
was made here, and nothing else touched.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.ansible_runner import run_tasks


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def made(path: Path, passphrase: str = "") -> str:
    """A key, and its public half."""
    path.parent.mkdir(mode=0o755, exist_ok=True)
    path.parent.chmod(0o755)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "kt", "-f", str(path)], check=True)
    return path.with_suffix(".pub").read_text(encoding="utf-8")


def test_the_key(tmp_path: Path) -> None:
    keys = {name: tmp_path / name / "key" for name in ("fresh", "there", "empty", "halved", "locked", "wrong")}
    public = {
        name: made(path, "kt-passphrase" if name == "locked" else "") for name, path in keys.items() if name != "fresh"
    }
    keys["empty"].write_text("", encoding="utf-8")
    keys["empty"].with_suffix(".pub").unlink()
    keys["halved"].with_suffix(".pub").unlink()
    keys["wrong"].write_text("nonsense\n", encoding="utf-8")
    before = {name: keys[name].read_bytes() for name in ("there", "halved", "locked", "wrong")}

    def changes(check: bool, state: str = "present") -> list[str]:
        run = run_tasks(
            [{"kraal.virt.ssh_key": {"path": str(path), "state": state}} for path in keys.values()],
            check=check,
            keep_going=True,
        )
        *good, wrong = run.results
        assert not any(result.failed for result in good), run.output
        assert wrong.failed is (state == "present") and (not wrong.failed or "it is not a key" in wrong.msg), run.output
        return [name for name, result in zip(keys, good, strict=False) if result.changed]

    assert changes(True) == ["fresh", "empty", "halved"]
    assert not keys["fresh"].exists() and not keys["halved"].with_suffix(".pub").exists()
    assert changes(False) == ["fresh", "empty", "halved"]
    assert changes(False) == []
    assert mode(keys["fresh"].parent) == 0o700 and all(mode(keys[name].parent) == 0o755 for name in before)
    for name in ("fresh", "empty"):
        assert keys[name].stat().st_size and mode(keys[name]) == 0o600
        assert keys[name].with_suffix(".pub").read_text(encoding="utf-8").startswith("ssh-ed25519 ")
    for name, content in before.items():
        assert keys[name].read_bytes() == content
        assert keys[name].with_suffix(".pub").read_text(encoding="utf-8").split()[:2] == public[name].split()[:2]
    # Those that have a comment of their own are somebody's.
    # OpenSSH has learnt other keys of a host, and keeps the list of before.
    beside = [Path(f"{keys['fresh']}.known_hosts{ending}") for ending in ("", ".old")]
    for path in beside:
        path.touch()
    assert changes(False, "absent") == ["fresh", "empty"]
    assert not any(path.exists() for path in beside)
    assert [name for name, path in keys.items() if not path.exists()] == ["fresh", "empty"]
    assert not any(keys[name].with_suffix(".pub").exists() for name in ("fresh", "empty"))
