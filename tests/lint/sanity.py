# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs `ansible-test sanity` with nothing but the package index that pip is configured for.

By itself ansible-test fetches an installer for pip from its maintainers' server, hands the environment's settings of
pip to nobody, and takes any pythonX.Y on PATH for one that runs. So it gets a home of its own, with an installer that
calls the pip of this environment, pip's settings as a file, and a PATH of interpreters that were tried.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support.paths import CACHE, program

HOME = CACHE / "sanity"

#: The oldest Python that modules promise, up to the newest that ansible-test may know.
TARGETS = tuple(f"3.{minor}" for minor in range(9, 15))

INSTALLER = """\
import subprocess
import sys

wanted = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
sys.exit(subprocess.call([{python!r}, "-m", "pip", "--python", sys.executable, "install", "--quiet", *wanted]))
"""


def pip_version() -> str:
    """The version of pip that this ansible-test wants in its environments: it names the installer's file by it."""
    import ansible_test._internal.python_requirements as requirements

    source = Path(requirements.__file__).read_text(encoding="utf-8")
    found = re.search(r"pip='([0-9.]+)'", source)
    if not found:
        raise RuntimeError(
            f"this ansible-test does not say which pip it wants; see get_venv_packages in {requirements.__file__}"
        )
    return found.group(1)


def write_installer() -> None:
    path = HOME / ".ansible" / "test" / "cache" / ("get_pip_{}.py".format(pip_version().replace(".", "_")))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(INSTALLER.format(python=sys.executable), encoding="utf-8")


def write_pip_settings() -> None:
    """The settings of pip in force here, as the one file that ansible-test leaves to it."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True
    ).stdout
    settings = {"quiet": "2"}
    for scope in ("global", ":env:"):
        for name, value in re.findall(rf"^{scope}\.([a-z-]+)='(.*)'$", listed, re.MULTILINE):
            settings[name] = value.replace("\\n", " ")
    path = HOME / ".config" / "pip" / "pip.conf"
    path.parent.mkdir(parents=True, exist_ok=True)
    # An index address may hold a password.
    path.touch(mode=0o600)
    path.write_text(
        "[global]\n" + "".join(f"{name} = {value}\n" for name, value in sorted(settings.items())), encoding="utf-8"
    )


#: The Python that runs this.
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


def interpreters() -> dict[str, str]:
    """Those Pythons that really run, by version: a version manager's shims do only for the version that is switched
    on.
    """
    running = {HERE: sys.executable}
    for version in TARGETS:
        found = shutil.which(f"python{version}")
        if version == HERE or not found:
            continue
        answer = subprocess.run(
            [found, "-c", "import sys, venv; print(sys.executable)"],
            check=False,
            env=dict(os.environ, PYENV_VERSION=version),
            capture_output=True,
            text=True,
        )
        if answer.returncode == 0:
            running[version] = answer.stdout.strip()
    return running


def ends() -> tuple[str, str]:
    """The oldest and the newest Python of this machine."""
    found = sorted(interpreters(), key=TARGETS.index)
    return found[0], found[-1]


def run(collection: Path, versions: Sequence[str], *tests: str) -> subprocess.CompletedProcess[str]:
    """All sanity tests, or some, over a collection that lies at .../ansible_collections/NAMESPACE/NAME, with the
    Pythons of these versions and this one.
    """
    HOME.mkdir(parents=True, exist_ok=True)
    # The environments that ansible-test makes in its home are for one run at a time.
    with (HOME / "lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        write_installer()
        write_pip_settings()
        chosen = {version: path for version, path in interpreters().items() if version in (HERE, *versions)}
        # It stays: the environments point to what is in it.
        directory = HOME / "bin" / "-".join(chosen)
        directory.mkdir(parents=True, exist_ok=True)
        for version, path in chosen.items():
            link = directory / f"python{version}"
            link.unlink(missing_ok=True)
            link.symlink_to(path)
        # One that is killed leaves there what it has made.
        temporary = HOME / "tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        environment = dict(
            os.environ,
            HOME=str(HOME),
            PATH=f"{directory}:/usr/sbin:/usr/bin:/sbin:/bin",
            LC_ALL="C.UTF-8",
            TMPDIR=str(temporary),
        )
        command = [
            program("ansible-test"),
            "sanity",
            "--color",
            "no",
            *(word for test in tests for word in ("--test", test)),
        ]
        return subprocess.run(
            command,
            check=False,
            cwd=collection,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
