# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Base images as a resource: root file systems that mmdebstrap builds, known by what they were asked for."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...engine.compare import differences
from ...engine.errors import BackendError, InvalidOption, KraalError
from ...engine.kinds import Sequence as Ordered
from ...engine.kinds import Text, Words
from ...engine.plan import Disruption, Step
from ...engine.spec import Option, Spec, Table
from ...engine.units import format_size

WORD = r"[a-z0-9][a-z0-9.+-]*"
_MIRROR = "Write an address like http://mirror.example/debian; credentials belong into the host's apt configuration"
_REMEDY = "Use lower-case letters, digits, dots, plus signs and dashes"


class Commands(Ordered):
    """A list of commands, each a list of words or a text that is split as a shell splits it."""

    def __init__(self) -> None:
        super().__init__(Words())

    def show(self, value: tuple[Any, ...]) -> list[Any]:
        return [list(words) for words in value]


class PathText(Text):
    """An absolute path; not a secret, though Ansible's naming rule takes a keyring for one."""

    def __init__(self) -> None:
        super().__init__(pattern=r"/.+", remedy="Write an absolute path")
        self.argument = {"type": "path", "no_log": False}


class PublicKeys(Ordered):
    """Lines of an authorized_keys file: public, though Ansible's naming rule takes them for secrets."""

    def __init__(self) -> None:
        super().__init__(Text())
        self.argument = {**self.argument, "no_log": False}


def _option(name: str, kind: Any) -> Option:
    return Option(name, kind, lambda build: kind.parse(build["request"][name], name) if build["request"].get(name) is not None else None, Disruption.NONE)


OPTIONS: tuple[Option, ...] = (
    _option("suite", Text(pattern=WORD, remedy=_REMEDY)),
    _option("packages", Ordered(Text(pattern=r"[a-z0-9][a-z0-9.+:-]*", remedy=_REMEDY))),
    _option("variant", Text(choices=("minbase", "buildd", "apt", "required", "important", "standard", "essential"))),
    _option("components", Ordered(Text(pattern=WORD, remedy=_REMEDY))),
    _option("architecture", Text(pattern=r"[a-z0-9]+", remedy=_REMEDY)),
    _option("mirror", Text(pattern=r"(https?|ftp|file|copy)://[^\s@]+", remedy=_MIRROR)),
    _option("keyring", PathText()),
    _option("user", Text(pattern=r"[a-z_][a-z0-9_-]{0,31}", remedy="Use lower-case letters, digits, dashes and underscores")),
    _option("ssh_authorized_keys", PublicKeys()),
    _option("commands", Commands()),
)


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.]*(-[a-zA-Z0-9_.]+)*", name):
        raise InvalidOption("name", name, "is no name for a base image", remedy="Use letters, digits, dots, and single dashes and underscores between them")


def _complete(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """A suite that is not named is this host's own; the order of packages means nothing."""
    completed = dict(parameters)
    for key in ("packages", "components"):
        if completed.get(key) is not None:
            completed[key] = sorted(set(completed[key]))
    if completed["state"] == "present" and not completed.get("suite"):
        completed["suite"] = own_suite()
    completed["variant"] = completed.get("variant") or "minbase"
    return completed


BASE_IMAGES = Table(
    backend="mmdebstrap",
    kind="base_image",
    options=OPTIONS,
    states=("present", "absent"),
    state="present",
    allow=None,
    steering={"directory": {"type": "path", "default": "/var/cache/kraal.virt"}},
    complete=_complete,
    check_name=_check_name,
)


def own_suite(release: Path = Path("/etc/os-release")) -> str:
    """The code name of this host's release. Raises InvalidOption where it has none."""
    lines = release.read_text(encoding="utf-8").splitlines() if release.exists() else []
    found = [line.partition("=")[2].strip('"') for line in lines if line.startswith("VERSION_CODENAME=")]
    if not found or not found[0]:
        raise InvalidOption("suite", None, "cannot be told from this host", remedy="Name a suite, like bookworm")
    return found[0]


def request_of(want: Spec) -> dict[str, Any]:
    """What is asked for, as plain data in one order: it names the result. Pure."""
    return dict(sorted(BASE_IMAGES.shown(want).items()))


def digest_of(request: Mapping[str, Any]) -> str:
    """The name of a request. Pure."""
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:12]


@dataclass
class Seen:
    """The builds of every name, the newest last; what a build that died has left; what is missing here for a build."""

    builds: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    leftovers: dict[str, list[str]] = field(default_factory=dict)
    obstacle: KraalError | None = None


class BaseImages:
    """The base images in one directory of this host."""

    table = BASE_IMAGES

    def __init__(self, directory: str) -> None:
        self.directory = Path(directory)

    def observe(self, wants: Sequence[Spec] | None) -> Seen:
        """Read the descriptions beside the archives."""
        seen = Seen(obstacle=_obstacle())
        for path in sorted(self.directory.glob("*.json"), key=lambda each: each.stat().st_mtime):
            build = json.loads(path.read_text(encoding="utf-8"))
            if (self.directory / build["file"]).exists():
                seen.builds.setdefault(build["name"], []).append(build)
        for path in sorted(self.directory.glob(".building-*")):
            seen.leftovers.setdefault(path.name[len(".building-") :].rpartition("-")[0], []).append(str(path))
        return seen

    def names(self, seen: Seen) -> list[str]:
        """All that were built here."""
        return sorted(seen.builds)

    def plan(self, want: Spec, seen: Seen) -> list[Step]:
        """Pure."""
        steps = [Step(want.name, "clean", "leftover", path) for path in seen.leftovers.get(want.name, [])]
        builds = seen.builds.get(want.name, [])
        if want.state == "absent":
            return steps + [Step(want.name, "remove", "", {"file": build["file"]}, None, Disruption.DESTROY) for build in builds]
        request = request_of(want)
        if any(build["request"] == request for build in builds):
            return steps
        if seen.obstacle is not None:
            raise seen.obstacle
        if not builds:
            return [*steps, Step(want.name, "build", "", None, request)]
        changes = differences(self.table, want, builds[-1])
        gone = {key: value for key, value in builds[-1]["request"].items() if key not in request}
        before = {**gone, **{key: value for each in changes for key, value in each.shown("before").items()}}
        after = {key: value for each in changes for key, value in each.shown("after").items()}
        return [*steps, Step(want.name, "build", "", before, after)]

    def apply(self, want: Spec, step: Step, seen: Seen) -> None:
        """Perform one step."""
        if step.action == "clean":
            shutil.rmtree(str(step.before))
        elif step.action == "remove":
            archive = self.directory / step.before["file"]
            # The description last: what is described can be removed by the next run.
            archive.unlink()
            archive.with_suffix(".json").unlink()
        else:
            self._build(want)

    def _build(self, want: Spec) -> None:
        request = request_of(want)
        final = self.directory / ("%s-%s.tar" % (want.name, digest_of(request)))
        self.directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".building-%s-" % want.name, dir=self.directory))
        try:
            archive = work / final.name
            run_mmdebstrap(request, archive, work)
            description = {
                "name": want.name,
                "file": final.name,
                "request": request,
                "checksum": checksum_of(archive),
                "size": archive.stat().st_size,
            }
            (work / "description").write_text(json.dumps(description, indent=1, sort_keys=True) + "\n", encoding="utf-8")
            archive.chmod(0o644)
            archive.rename(final)
            # With its description the archive counts; one without is written over by the next build.
            (work / "description").rename(final.with_suffix(".json"))
        finally:
            shutil.rmtree(work)

    def wait(self, want: Spec) -> None:
        """A base image is there as soon as it is built."""

    def describe(self, name: str, seen: Seen) -> Mapping[str, Any] | None:
        """The newest build."""
        builds = seen.builds.get(name)
        return self._described(builds[-1]) if builds else None

    def _described(self, build: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "name": build["name"],
            "path": str(self.directory / build["file"]),
            "checksum": build["checksum"],
            "size": format_size(build["size"]) if build["size"] else "",
            "request": build["request"],
        }

    def foresee(self, want: Spec, steps: Sequence[Step], seen: Seen) -> Mapping[str, Any] | None:
        """The build that was asked for; its checksum and size are empty until it is made."""
        if want.state == "absent":
            return None
        request = request_of(want)
        for build in seen.builds.get(want.name, []):
            if build["request"] == request:
                return self._described(build)
        return self._described({"name": want.name, "file": "%s-%s.tar" % (want.name, digest_of(request)), "checksum": "", "size": 0, "request": request})


def _obstacle() -> KraalError | None:
    """Why nothing can be built here."""
    if shutil.which("mmdebstrap") is None:
        return BackendError("mmdebstrap is not installed on this host", remedy="Install the package mmdebstrap, or build on another host")
    if os.geteuid() != 0:
        return BackendError("only root can build a root file system", remedy="Run the task with become")
    return None


def checksum_of(path: Path) -> str:
    """sha256:... of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return "sha256:" + digest.hexdigest()


def apt_sources(suite: str, lines: Iterable[str], own: str) -> str:
    """This host's package sources for its own release, exchanged for a suite's, in deb822 form. Pure.

    ``lines``: apt-get indextargets as ORIGIN|URI|RELEASE|COMPONENT|KEYRING.
    """
    stanzas: dict[tuple[str, str, str], set[str]] = {}
    for line in lines:
        _origin, uri, release, component, keyring = line.split("|")
        if release == own or release.startswith(own + "-"):
            stanzas.setdefault((uri, suite + release[len(own) :], keyring), set()).add(component)
    parts = []
    for (uri, release, keyring), found in sorted(stanzas.items(), key=lambda item: (item[0][1] != suite, item[0])):
        signed = "Signed-By: %s\n" % keyring if keyring.startswith("/") else ""
        parts.append("Types: deb\nURIs: %s\nSuites: %s\nComponents: %s\n%s" % (uri, release, " ".join(sorted(found)), signed))
    return "\n".join(parts)


def _own_sources(suite: str) -> str:
    form = "$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(SIGNED_BY)"
    # No module object down here: run_command belongs to the edge.
    command = ["apt-get", "indextargets", "--format", form, "Created-By: Packages"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # pylint: disable=ansible-bad-function
    lines = [line for line in done.stdout.splitlines() if line.startswith(("Debian|", "Ubuntu|"))]
    return apt_sources(suite, lines, own_suite()) if done.returncode == 0 else ""


def command_of(request: Mapping[str, Any], archive: Path, hook: Path | None, sources: bool) -> list[str]:
    """mmdebstrap's argument vector. Pure."""
    command = ["mmdebstrap", "--quiet", "--format=tar", "--variant=%s" % request["variant"]]
    for flag, key in (("include", "packages"), ("components", "components")):
        if request.get(key):
            command.append("--%s=%s" % (flag, ",".join(request[key])))
    for flag, key in (("architectures", "architecture"), ("keyring", "keyring")):
        if request.get(key):
            command.append("--%s=%s" % (flag, request[key]))
    if hook is not None:
        command.append("--customize-hook=%s" % hook)
    return [*command, "--", request["suite"], str(archive), *([request["mirror"]] if request.get("mirror") else ["-"] if sources else [])]


_HOOK = '''#!{python}
# Runs on the host, before the root file system is packed; its path is the argument.
import json, os, subprocess, sys
root, asked = sys.argv[1], json.loads({asked!r})
def run(*argv):
    subprocess.run(["chroot", root, *argv], check=True, stdin=subprocess.DEVNULL)
user = asked.get("user")
if user:
    run("useradd", "--create-home", "--shell", "/bin/bash", "--", user)
if asked.get("ssh_authorized_keys"):
    home = "/home/" + user if user else "/root"
    folder = root + home + "/.ssh"
    os.makedirs(folder, mode=0o700, exist_ok=True)
    with open(folder + "/authorized_keys", "w", encoding="utf-8") as file:
        file.write("".join(key + "\\n" for key in asked["ssh_authorized_keys"]))
    os.chmod(folder + "/authorized_keys", 0o600)
    run("chown", "-R", "--", (user or "root") + ":", home + "/.ssh")
for words in asked.get("commands") or ():
    run(*words)
'''


def run_mmdebstrap(request: Mapping[str, Any], archive: Path, work: Path) -> None:
    """Build into a file. Raises BackendError with what mmdebstrap said last."""
    hook = None
    asked = {key: request[key] for key in ("user", "ssh_authorized_keys", "commands") if request.get(key)}
    if asked:
        hook = work / "hook"
        hook.write_text(_HOOK.format(python=sys.executable, asked=json.dumps(asked)), encoding="utf-8")
        hook.chmod(0o700)
    sources = "" if request.get("mirror") else _own_sources(request["suite"])
    # The same packages give the same archive for a day.
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "SOURCE_DATE_EPOCH": str(int(time.time()) // 86400 * 86400), "TMPDIR": str(work)}
    work.chmod(0o755)
    command = command_of(request, archive, hook, bool(sources))
    done = subprocess.run(  # pylint: disable=ansible-bad-function
        command, input=sources, capture_output=True, text=True, check=False, env=environment, errors="replace"
    )
    if done.returncode == 0:
        return
    said = [line for line in done.stderr.splitlines() if line.strip()]
    errors = [line for line in said if line.startswith("E:")] or said[-3:]
    text = " / ".join(errors[-3:])
    remedy = "Check the suite, the packages' names, and that the mirror can be reached"
    if "NO_PUBKEY" in done.stderr or "not signed" in done.stderr:
        remedy = "The keys of the suite are missing here: install a newer debian-archive-keyring, or name a keyring"
    elif "No space left" in done.stderr:
        remedy = "Free space below the directory, or choose another one"
    raise BackendError("mmdebstrap failed: %s" % text, remedy=remedy)
