# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes the image of cloud-init's seed."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ....engine import trace
from ....engine.errors import BackendError
from ....host.packages import install
from .seed import FILES


def _identified(text: str, instance: str) -> str:
    """Meta-data with an instance-id: without one, cloud-init does nothing."""
    try:
        data = json.loads(text or "{}")
    except ValueError:
        # YAML, which is not ours to read.
        return text if "instance-id" in text else f"instance-id: {json.dumps(instance)}\n{text}"
    return (
        json.dumps({"instance-id": instance, "local-hostname": instance, **data}) + "\n"
        if isinstance(data, dict)
        else text
    )


def build(texts: Mapping[str, str], instance: str) -> bytes:
    """The image. ``instance``: what cloud-init takes for the guest's identity, unless the meta-data says otherwise."""
    program = next((path for path in map(shutil.which, ("genisoimage", "xorrisofs", "mkisofs")) if path), None)
    if program is None:
        raise BackendError(
            "no program makes the image of the seed", remedy=install("xorrisofs") + " on the host where the task runs"
        )
    with tempfile.TemporaryDirectory(prefix="kraal-seed-") as directory:
        for field, file in FILES.items():
            text = texts.get(field)
            if text is None and field == "network_config":
                continue
            if field == "meta_data":
                text = _identified(text or "", instance)
            Path(directory, file).write_text(text or "", encoding="utf-8")
        image = Path(directory, "seed.iso")
        files = [str(Path(directory, file)) for file in FILES.values() if Path(directory, file).exists()]
        argv = [program, "-quiet", "-output", str(image), "-volid", "cidata", "-joliet", "-rock", *files]
        with trace.command(argv) as call:
            done = subprocess.run(  # pylint: disable=ansible-bad-function
                argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
            )
            call.status = str(done.returncode)
        if done.returncode:
            raise BackendError(f"{program} cannot make the image of the seed: {done.stderr.strip()[-300:]}")
        return image.read_bytes()
