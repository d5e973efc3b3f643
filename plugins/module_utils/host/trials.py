# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What containers need of the kernel, tried out as root: in namespaces that vanish with the trial. Nothing on the host
is changed, though the kernel may load a module for it.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from .kernel import Modules
from .reader import Host

Finding = Mapping[str, Any]

_CONTAINER = "in a container, start it with CAP_SYS_ADMIN and without a seccomp filter"
_INTERFACE = "let the tool use the kernel's other interface (update-alternatives --set iptables /usr/sbin/iptables-legacy, or iptables-nft)"


def _finding(check: str, ok: bool | None, found: str, remedy: str) -> Finding:
    return {"check": check, "ok": ok, "found": found, "remedy": "" if ok else remedy}


def _attempt(host: Host, argv: Sequence[str]) -> str:
    """What went wrong, or nothing."""
    said = host.run(argv)
    if said is None:
        return f"{argv[0]} is not installed"
    return f"`{shlex.join(argv)}` said: {said.error}" if said.rc else ""


def _in_own_network(host: Host, modules: Modules, check: str, option: str, argv: Sequence[str], remedy: str) -> Finding:
    """Do the thing where its tool is there; else believe the kernel's configuration if that says no."""
    if host.which(argv[0]):
        error = _attempt(host, ["unshare", "--net", "--", *argv])
        return _finding(check, not error, error or "works", remedy)
    if modules.configured(option) == "n":
        return _finding(check, False, "the kernel was built without it", remedy)
    return _finding(check, None, f"{argv[0]} is not installed yet", remedy)


def _namespaces(host: Host, modules: Modules) -> Iterator[Finding]:
    argv = ["unshare", "--mount", "--uts", "--ipc", "--pid", "--net", "--cgroup", "--fork", "--", "true"]
    error = _attempt(host, argv)
    options = "--cap-add=SYS_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined"
    yield _finding("making namespaces", not error, error or "works", f"{_CONTAINER} (docker: {options})")


def _user_namespaces(host: Host, modules: Modules) -> Iterator[Finding]:
    error = _attempt(host, ["unshare", "--user", "--", "true"])
    remedy = "allow them (sysctl user.max_user_namespaces=15000), or do without unprivileged containers"
    yield _finding("making namespaces of users", not error, error or "works", remedy)


def _links(host: Host, modules: Modules) -> Iterator[Finding]:
    for check, option, rest in (("veth", "VETH", ["peer", "name", "kraal1"]), ("bridge", "BRIDGE", [])):
        argv = ["ip", "link", "add", "kraal0", "type", check, *rest]
        yield _in_own_network(
            host, modules, "making a " + check, option, argv, f"modprobe {check}, or use a kernel with CONFIG_{option}"
        )


def _rules(*rules: tuple[str, str, str], otherwise: str) -> Callable[[Host, Modules], Iterator[Finding]]:
    def trial(host: Host, modules: Modules) -> Iterator[Finding]:
        for check, option, rule in rules:
            argv = ["iptables", "--wait", *rule.split()]
            yield _in_own_network(host, modules, "iptables " + check, option, argv, _INTERFACE + otherwise)

    return trial


#: By name, in the order in which they are told. The rules are those that Docker's engine and lxc-net write for their
#: bridges.
TRIALS: dict[str, Callable[[Host, Modules], Iterator[Finding]]] = {
    "namespaces": _namespaces,
    "user_namespaces": _user_namespaces,
    "links": _links,
    "docker_rules": _rules(
        ("masquerade", "NF_NAT", "-t nat -A POSTROUTING -s 192.0.2.0/24 -j MASQUERADE"),
        ("conntrack", "NF_CONNTRACK", "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"),
        ("addrtype", "NETFILTER_XTABLES", "-t nat -A PREROUTING -m addrtype --dst-type LOCAL -j RETURN"),
        otherwise=", use a kernel with NF_NAT, NETFILTER_XT_MATCH_CONNTRACK and NETFILTER_XT_MATCH_ADDRTYPE, or tell "
        "the engine to leave the rules alone (iptables: false)",
    ),
    "lxc_rules": _rules(
        ("masquerade", "NF_NAT", "-t nat -A POSTROUTING -s 192.0.2.0/24 ! -d 192.0.2.0/24 -j MASQUERADE"),
        (
            "checksum",
            "NETFILTER_XTABLES",
            "-t mangle -A POSTROUTING -o kraal0 -p udp -m udp --dport 68 -j CHECKSUM --checksum-fill",
        ),
        ("accept", "NETFILTER_XTABLES", "-I INPUT -i kraal0 -p udp --dport 67 -j ACCEPT"),
        otherwise=", use a kernel with NF_NAT and NETFILTER_XT_TARGET_CHECKSUM, or let lxc-net use nft (install "
        "nftables, and set LXC_USE_NFT to true)",
    ),
}


def tried(host: Host, modules: Modules, names: Collection[str]) -> list[Finding]:
    """``check``, ``ok`` (None where it cannot be told), ``found`` and ``remedy`` of each part of the named trials."""
    if host.user() != 0:
        wanted = [name for name in TRIALS if name in names]
        return [_finding(name, None, "only root can try", "try it as root (become: true)") for name in wanted]
    return [finding for name, trial in TRIALS.items() if name in names for finding in trial(host, modules)]
