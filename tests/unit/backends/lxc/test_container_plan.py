# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans, and what a container's answers and files say; without a container."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container import observe as container_observe
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container import plan as container_plan
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.config import Config
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.kinds import (
    Image,
    read_networks,
    write_networks,
)
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.limits import Groups
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.model import Container, Seen
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.monitor import address_of
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.options import (
    CONTAINERS,
    option_keys,
    template_arguments,
)
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.target import differences
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import InvalidOption, KraalError, Refused
from ansible_collections.kraal.virt.plugins.module_utils.engine.plan import Step
from ansible_collections.kraal.virt.plugins.module_utils.engine.spec import Spec

STEERING = {"template": None, "clone": None, "stop_timeout": 30, "remove_storage": False}
IMAGE = Image("sha256:" + "1" * 64, "/one.tar")


def spec(state: str = "running", **options: Any) -> Spec:
    steering = {key: options.pop(key, value) for key, value in STEERING.items()}
    values = {
        name: value if name == "image" else CONTAINERS[name].kind.parse(value, name) for name, value in options.items()
    }
    return Spec("web", state, values, steering=steering)


def container(text: str = "lxc.rootfs.path = dir:/lxc/web/rootfs\n", **fields: Any) -> Container:
    note = {"image": {"checksum": IMAGE.checksum, "path": IMAGE.path}}
    return replace(Container("web", "/lxc", Config(text), note), **fields)


def plan(want: Spec, have: Container | None, **seen: Any) -> list[Step]:
    """As after a look at this container, or at none."""
    changes = differences(want, have or Container("web", "/lxc", Config("")))
    found = Seen(containers={"web": have} if have else {}, changes={"web": tuple(changes)}, **seen)
    return container_plan.plan(want, found)


def actions(want: Spec, have: Container | None, **seen: Any) -> list[str]:
    return [f"{step.action} {step.key}".strip() for step in plan(want, have, **seen)]


@pytest.mark.parametrize(
    ("state", "have", "wanted"),
    [
        ("running", None, ["create", "start state"]),
        ("present", None, ["create"]),
        ("absent", None, []),
        ("running", container(unfinished=True), ["clean leftover", "create", "start state"]),
        ("absent", container(unfinished=True), ["clean leftover"]),
        ("running", container(), ["start state"]),
        ("running", container(replacing=True, state="running"), ["clean leftover"]),
        ("paused", container(state="running"), ["pause state"]),
        ("running", container(state="paused"), ["resume state"]),
        ("stopped", container(state="paused"), ["stop state"]),
        ("absent", container(state="running"), ["stop state", "remove"]),
    ],
)
def test_states(state: str, have: Container | None, wanted: list[str]) -> None:
    assert actions(spec(state, **({} if state == "absent" else {"image": IMAGE})), have) == wanted


def test_what_waits_for_a_restart_is_restarted_where_that_is_allowed() -> None:
    have = container(state="running", pending=("lxc.uts.name", "lxc.net.0.mtu"))
    (step,) = plan(spec(image=IMAGE), have)
    assert (step.action, step.before, step.disruption.label) == ("restart", ["hostname", "networks"], "restart")
    assert actions(spec("stopped", image=IMAGE), have) == ["stop state"]


def test_others_that_stand_on_it() -> None:
    for have in (container(), container(unfinished=True)):
        with pytest.raises(Refused, match="root file systems of x, y"):
            actions(spec("absent"), have, dependants={"web": ["y", "x"]})


@pytest.mark.parametrize(
    ("path", "remove_storage", "goes"),
    [
        ("dir:/lxc/web/rootfs", False, True),
        ("/lxc/web/rootfs", False, True),
        ("dir:/lxc/web-2/rootfs", True, False),
        ("dir:/", True, False),
        ("overlay:/lxc/base/rootfs:/lxc/web/overlay/delta", False, True),
        ("overlay:/lxc/base/rootfs:/lxc/other/delta", True, False),
        ("lvm:/dev/vg/web", False, False),
        ("lvm:/dev/vg/web", True, True),
        ("lvm:/dev/vg/data", True, False),
        ("zfs:tank/lxc/web", True, True),
        ("", True, False),
    ],
)
def test_what_goes_with_a_container(path: str, remove_storage: bool, goes: bool) -> None:
    assert container_plan.rootfs_is_removed(container(f"lxc.rootfs.path = {path}\n"), remove_storage) is goes


OLD = Groups(1)


def refused(key: str, groups: Groups | None = None) -> dict[str, Any]:
    """liblxc's word on a line with that key."""
    said = f"Unsupported config key \"{key}\", at the line '{key} = 1'"
    return {"objections": {"web": said}, "groups": groups or Groups(2)}


@pytest.mark.parametrize(
    ("want", "have", "seen", "words"),
    [
        (spec(), None, {}, "is needed to create"),
        (spec(image=IMAGE), None, {"missing": frozenset({"/one.tar"})}, "does not exist"),
        (spec(image=IMAGE), None, {"not_containers": frozenset({"web"})}, "no container is in it"),
        (spec(image=IMAGE), container(note={}), {}, "recreate"),
        (spec(storage="lvm"), container(), {}, "cannot change in a container that is there"),
        (spec(hostname="a"), container(), {"objections": {"web": "because"}}, "liblxc refuses: because"),
        # By the line, and not by what else the task sets.
        (spec(cpus=1.5, hostname="a"), container(), refused("lxc.cgroup2.cpu.max"), r"cpus: 1\.5 is what"),
        (
            spec(cpus=1.5, networks=[]),
            container(groups=OLD),
            refused("lxc.cgroup.cpu.cfs_quota_us", OLD),
            "version 2 alone",
        ),
        (spec(config={"lxc.cgroup.x": "1"}), container(), refused("lxc.cgroup.x"), r"config\[lxc.cgroup.x\].*cgroup2"),
        (spec(cpus=1.5), container(), refused("lxc.no.such"), "its configuration.*config: {lxc.no.such: null}"),
        (spec(clone={"name": "web"}), None, {}, "is not a container to clone"),
    ],
)
def test_refusals(want: Spec, have: Container | None, seen: dict[str, Any], words: str) -> None:
    if words == "recreate":
        assert actions(want, have) == ["recreate"]
        return
    with pytest.raises((Refused, InvalidOption), match=words):
        actions(want, have, **seen)


def test_an_image_that_is_not_built_yet() -> None:
    """What base_image tells under check mode: the path, and no checksum."""
    assert Image("", "/one.tar") == IMAGE and Image("", "/two.tar") != IMAGE and Image("sha256:2", "/one.tar") != IMAGE


def test_networks_keep_their_numbers_and_names() -> None:
    config = Config(
        "lxc.net.0.type = veth\nlxc.net.0.link = a\nlxc.net.0.veth.ipv4.route = 192.0.2.1\nlxc.net.3.type = veth\n"
        "lxc.net.3.link = b\n"
    )
    assert list(read_networks(config)) == ["eth0", "eth1"]
    have = read_networks(config)
    less = config.assigned(write_networks({"eth1": have["eth1"]}, config))
    assert (
        read_networks(less) == {"eth1": {"type": "veth", "link": "b"}}
        and "lxc.net.3.name = eth1" in less.text
        and "lxc.net.0" not in less.text
    )
    more = config.assigned(write_networks({**have, "wan": {"type": "macvlan", "link": "c", "mode": "bridge"}}, config))
    assert "lxc.net.4.macvlan.mode = bridge" in more.text and "lxc.net.0.veth.ipv4.route = 192.0.2.1" in more.text


def test_the_words_for_keys() -> None:
    config = Config("lxc.net.2.type = veth\n")
    keys = (
        "lxc.net.2.link",
        "lxc.net.7.link",
        "lxc.net",
        "lxc.uts.name",
        "lxc.mount.entry",
        "lxc.tty.max",
        "lxc.cap.drop",
    )
    assert [option_keys(key, config) for key in keys] == [
        "networks[eth0]",
        "networks",
        "networks",
        "hostname",
        "mounts",
        "config[lxc.tty.max]",
        "cap_drop",
    ]


def test_the_answers_of_lxc_info() -> None:
    answers = container_observe._answers(
        "lxc.a = x\nlxc.b = one\nlxc.a = two\n\nlxc.c =\nlxc.d = y = z\n", ["lxc.a", "lxc.b", "lxc.c", "lxc.d"]
    )
    assert answers == {"lxc.a": ("x",), "lxc.b": ("one", "lxc.a = two"), "lxc.d": ("y = z",)}


def test_the_address_of_a_monitor() -> None:
    assert address_of("/var/lib/lxc", "web") == b"\0/var/lib/lxc/web/command"
    long = address_of("/var/lib/lxc", "x" * 100)
    assert long.startswith(b"\0lxc/") and long.endswith(b"/command") and len(long) == 1 + 4 + 16 + 8


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (None, []),
        ({"dist": "debian", "no-validate": True, "x": False, "y": None}, ["--dist", "debian", "--no-validate"]),
        (["-d", "debian"], ["-d", "debian"]),
    ],
)
def test_template_options(options: Any, words: list[str]) -> None:
    assert template_arguments(options) == words


@pytest.mark.parametrize("options", ["--dist debian", {"Bad Key": 1}, ["a\nb"], {"dist": "a\nb"}])
def test_bad_template_options(options: Any) -> None:
    with pytest.raises(KraalError):
        template_arguments(options)
