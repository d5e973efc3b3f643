# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether this host can carry containers: of Docker, of LXC, of LXD or Incus. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from .verdict import Found, Verdict

#: Where engines look for version 2 of control groups.
CGROUPS = "/sys/fs/cgroup"
_MOUNT = (
    "mount them: mount -t cgroup2 cgroup2 /sys/fs/cgroup (version 2), or install the package cgroupfs-mount (version "
    "1); in a container, start it with --cgroupns=host and -v /sys/fs/cgroup:/sys/fs/cgroup:rw"
)


def _control_groups(verdict: Verdict, found: Found, engine: str, needed: Collection[str]) -> None:
    """``needed``: the controllers of version 1 without which no guest starts; of version 2 they are no controllers."""
    cgroups = found["cgroups"]
    # Beside version 1, version 2 has no controllers worth the name, wherever it is mounted.
    unified = cgroups["version"] == "2" and cgroups["place"] == CGROUPS
    lacking = [] if unified else sorted(set(needed) - set(cgroups["controllers"] if cgroups["version"] != "2" else ()))
    verdict.check(
        "cgroups",
        not lacking,
        "version {}: {}".format(cgroups["version"] or "none", ", ".join(cgroups["controllers"]) or "no controllers"),
    )
    if lacking:
        verdict.because(
            False,
            "no_cgroups",
            "no control groups are mounted that {} can use (it lacks {})".format(engine, ", ".join(lacking)),
            _MOUNT,
        )
    read_only = [
        place for place in cgroups["read_only"] if unified or set(place.rpartition("/")[2].split(",")) & set(needed)
    ]
    verdict.check(
        "cgroups writable", not read_only, "read-only: {}".format(", ".join(read_only)) if read_only else "yes"
    )
    if read_only:
        verdict.because(
            False,
            "no_cgroups",
            f"{read_only[0]} is mounted read-only",
            f"mount them writable: mount -o remount,rw {read_only[0]}; or {_MOUNT}",
        )
    lost = sorted({"cpu", "memory", "pids"} - set(cgroups["controllers"]))
    # A guest starts without them; only its limits cannot be set.
    verdict.check(
        "limits",
        None if lost else True,
        "the controllers {} are missing, so such limits cannot be set".format(", ".join(lost))
        if lost
        else "can be set",
    )


def _containers(verdict: Verdict, found: Found, engine: str, needed: Collection[str] = ("devices",)) -> None:
    """What every engine of containers needs of the kernel."""
    _control_groups(verdict, found, engine, needed)
    kinds = found["namespaces"]["kinds"]
    lacking = [kind for kind in ("mnt", "pid", "net", "ipc", "uts") if kind not in kinds]
    verdict.check("namespaces", not lacking, "without {}".format(", ".join(lacking)) if lacking else ", ".join(kinds))
    if lacking:
        verdict.because(
            False,
            "no_namespaces",
            "the kernel has no namespaces of {}".format(", ".join(lacking)),
            "use the distribution's ordinary kernel",
        )
    for module in ("bridge", "veth"):
        state = found["modules"][module]["state"]
        verdict.check("module " + module, {"absent": False, "unknown": None}.get(state, True), state)
        if state == "absent":
            verdict.because(
                False,
                "no_module",
                f"this kernel has no {module}, which the network of guests needs",
                f"use a kernel with CONFIG_{module.upper()}",
            )
    for trial in found["trials"]:
        verdict.check(trial["check"], trial["ok"], trial["found"])
        if trial["ok"] is False:
            verdict.because(
                False, "trial_failed", "{} does not work: {}".format(trial["check"], trial["found"]), trial["remedy"]
            )


def docker(found: Found) -> dict[str, Any]:
    verdict = Verdict()
    _containers(verdict, found, "Docker")
    state = found["modules"]["overlay"]["state"]
    verdict.check("module overlay", {"absent": None, "unknown": None}.get(state, True), state)
    verdict.engine("docker", found["engines"]["docker"], "the role kraal.virt.docker_host")
    return verdict.as_dict("the engine answers")


def unprivileged(found: Found) -> dict[str, Any]:
    """Whether containers may run with ids of their own, so that their root is nobody on the host."""
    allowed = found["namespaces"]["unprivileged_users"]
    ids = found["subordinate_ids"]
    lacking = [path for kind, path in (("users", "/etc/subuid"), ("groups", "/etc/subgid")) if not ids[kind]]
    if "user" not in found["namespaces"]["kinds"] or allowed is False:
        return {
            "usable": False,
            "reason": "ordinary users may make no namespaces of users",
            "remedy": "set the sysctl user.max_user_namespaces (and Debian's kernel.unprivileged_userns_clone) to "
            "more than 0",
        }
    if found["namespaces"]["sysfs"] is False:
        return {
            "usable": False,
            "reason": "sysfs is mounted read-only here, as it is in a container, and the kernel lets no namespace of "
            "users mount it anew",
            "remedy": "use privileged containers, or have this host's own container started with a writable /sys",
        }
    if lacking:
        return {
            "usable": False,
            "reason": "{} {} nobody".format(" and ".join(lacking), "name" if len(lacking) > 1 else "names"),
            "remedy": "give the user that owns the containers a range: usermod --add-subuids 100000-165535 "
            "--add-subgids 100000-165535 USER",
        }
    if allowed is None:
        return {
            "usable": None,
            "reason": "AppArmor restricts namespaces of ordinary users (kernel.apparmor_restrict_unprivileged_userns)",
            "remedy": "give the engine an AppArmor profile that allows userns, as the distribution's packages do",
        }
    return {
        "usable": True,
        "reason": "namespaces of users are allowed and ids are there for {}".format(", ".join(_owners(ids))),
        "remedy": "",
    }


def _owners(ids: Mapping[str, Sequence[Found]]) -> list[str]:
    return list(dict.fromkeys(str(entry["owner"]) for entry in ids["users"]))


def _lxc_of_this_version(verdict: Verdict, version: str, cgroups: str) -> None:
    """LXC 7 has no control groups of version 1, not even beside those of version 2: it starts no container there."""
    if not version.partition(".")[0].isdigit() or int(version.partition(".")[0]) < 7:
        return
    verdict.check("cgroup version", cgroups == "2", f"{cgroups or 'none'}; LXC {version} takes 2 alone")
    if cgroups != "2":
        verdict.because(
            False,
            "cgroup_version",
            f"LXC {version} needs control groups of version 2 alone, and this host has version {cgroups or 'none'}",
            "boot with systemd.unified_cgroup_hierarchy=1 on the kernel's command line; in a container, start it with "
            "the host's cgroup2 alone at /sys/fs/cgroup",
        )


def _profiles(verdict: Verdict, enabled: bool, parser: str) -> None:
    """Profiles of AppArmor, one of which liblxc makes for each container as Debian configures it."""
    if enabled:
        verdict.check("apparmor", bool(parser), parser or "it is on, and apparmor_parser is not installed")
    if enabled and not parser:
        verdict.not_now(
            False,
            "no_apparmor_parser",
            "AppArmor is on, and without apparmor_parser LXC starts no container there",
            "install the package apparmor, on SUSE apparmor-parser; the role kraal.virt.lxc_host does",
        )


def lxc(found: Found) -> dict[str, Any]:
    verdict, engine = Verdict(), found["engines"]["lxc"]
    _containers(verdict, found, "LXC", ("devices", "freezer"))
    _lxc_of_this_version(verdict, str(engine["version"]), found["cgroups"]["version"])
    verdict.engine("lxc", engine, "the role kraal.virt.lxc_host")
    if engine["installed"]:
        _profiles(verdict, found["apparmor"], engine["apparmor_parser"])
    return {**verdict.as_dict("the tools run"), "unprivileged": unprivileged(found)}


def lxd(found: Found) -> dict[str, Any]:
    """LXD or Incus, whichever there is."""
    verdict = Verdict()
    _containers(verdict, found, "LXD")
    name = max(
        ("lxd", "incus"),
        key=lambda each: (found["engines"][each]["answers"] is True, found["engines"][each]["installed"]),
    )
    verdict.engine(name, found["engines"][name], "")
    return {
        **verdict.as_dict(f"{name} answers"),
        "engine": name if found["engines"][name]["installed"] else "",
        "unprivileged": unprivileged(found),
    }
