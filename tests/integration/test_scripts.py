# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scripts that make the first command work, on a machine that has no network."""

from __future__ import annotations

import subprocess

from tests.support.paths import ROOT


def test_without_a_network_it_says_so() -> None:
    command = ["unshare", "--net", "--", str(ROOT / "scripts" / "fetch-lists"), "kt-one", "kt-two"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert (
        "The package mirror cannot be reached, and these have to be installed from it: kt-one kt-two\n" in done.stderr
    )
    assert done.stderr.rstrip().endswith("make again.")
