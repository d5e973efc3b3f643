# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every option of a container: read, written, compared, and recognised in what a real daemon showed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.container import plan as container_plan
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.container import target as container_body
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.container.arguments import parse_env_file
from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.container.options import (
    CONTAINERS,
    ContainerOption,
)
from ansible_collections.kraal.virt.plugins.module_utils.engine.action import Disruption
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import InvalidOption
from tests.unit.backends.docker.examples import APART, EXAMPLES, UNRECORDED
from tests.unit.backends.docker.scene import arguments, container, inspected, seen, want

OPTIONS = [option for option in CONTAINERS.options if isinstance(option, ContainerOption)]
NAMES = [option.name for option in OPTIONS]


def test_every_option_has_an_example() -> None:
    assert sorted(EXAMPLES) == sorted(NAMES) == sorted(option.name for option in CONTAINERS.options)


def recorded(name: str) -> tuple[str, dict[str, Any]]:
    """The recorded container that was made with the example of this option."""
    fixture = "apart" if name in APART else "full"
    changes = {"BlkioWeight": EXAMPLES[name].value} if name in UNRECORDED else {}
    return fixture, inspected(fixture, **changes)


@pytest.mark.parametrize("name", NAMES)
def test_the_daemon_shows_what_was_asked_for(name: str) -> None:
    fixture, data = recorded(name)
    scene = seen(containers={fixture: data})
    for value in (EXAMPLES[name].value, *EXAMPLES[name].same):
        wanted = want(fixture, state="present", **{name: value})
        assert container_plan.plan(wanted, scene) == [], f"{value!r} is no change"


@pytest.mark.parametrize("name", NAMES)
def test_another_value_is_a_change_that_shows_both(name: str) -> None:
    fixture, data = recorded(name)
    scene = seen(containers={fixture: data})
    wanted = want(fixture, state="present", **{name: EXAMPLES[name].other})
    (difference,) = container_plan.differences(wanted, scene, scene.containers[fixture])
    assert difference.option.name == name
    assert difference.shown("before") != difference.shown("after")
    assert all(part.before != part.after for part in difference.parts)


@pytest.mark.parametrize("name", NAMES)
def test_other_ways_to_write_it_are_the_same(name: str) -> None:
    option, example = CONTAINERS[name], EXAMPLES[name]
    value = option.kind.parse(example.value, name)
    for same in example.same:
        assert option.kind.parts(option.kind.parse(same, name), value, True) == []
        assert option.kind.parts(value, option.kind.parse(same, name), True) == []
    other = option.kind.parse(example.other, name)
    assert option.kind.parts(other, value, True) != []


@pytest.mark.parametrize("name", NAMES)
def test_what_is_shown_can_be_written(name: str) -> None:
    kind = CONTAINERS[name].kind
    for written in (EXAMPLES[name].value, EXAMPLES[name].other, *EXAMPLES[name].same):
        value = kind.parse(written, name)
        assert kind.parse(kind.show(value), name) == value


def like_an_inspection(body: dict[str, Any]) -> dict[str, Any]:
    """What a daemon would show of a body that it was given, as far as it shows it in the same words."""
    networks = {
        name: {"IPAMConfig": end.get("IPAMConfig"), "Aliases": end.get("Aliases")}
        for name, end in body["NetworkingConfig"]["EndpointsConfig"].items()
    }
    mounts = [
        {
            "Type": mount["Type"],
            "Destination": mount["Target"],
            "RW": not mount["ReadOnly"],
            "Name": mount.get("Source"),
            "Source": mount.get("Source"),
        }
        for mount in body["HostConfig"].get("Mounts", ())
    ]
    return {
        "Id": "0" * 64,
        "Image": "",
        "Config": body,
        "HostConfig": {"LogConfig": {}, **body["HostConfig"]},
        "Mounts": mounts,
        "NetworkSettings": {"Networks": networks},
    }


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"image"}))
def test_what_is_sent_is_what_is_read(name: str) -> None:
    option = CONTAINERS[name]
    for written in (EXAMPLES[name].value, EXAMPLES[name].other):
        wanted = want("web", **{name: written})
        if written == [""]:
            continue  # The daemon turns the one empty word into none: see test_container_target.
        data = like_an_inspection(container_body.creation(wanted))
        assert option.kind.parts(wanted.values[name], option.read(data), True) == []


#: What the daemon takes over from an update into a container: UpdateContainer in container/container_unix.go of moby.
UPDATED = {
    *(
        "BlkioWeight",
        "CpuShares",
        "CpuPeriod",
        "CpuQuota",
        "CpusetCpus",
        "CpusetMems",
        "CpuRealtimePeriod",
        "CpuRealtimeRuntime",
        "NanoCpus",
    ),
    *("Memory", "MemorySwap", "MemoryReservation", "PidsLimit", "RestartPolicy"),
}


def test_what_changes_live_is_what_the_daemon_can_change() -> None:
    assert {option.name for option in OPTIONS if option.limit} == {
        option.name for option in OPTIONS if option.place[1] in UPDATED
    }
    assert [option.name for option in OPTIONS if option.attach] == ["networks"]
    assert {option.change for option in OPTIONS} == {Disruption.LIVE, Disruption.RECREATE}


@pytest.mark.parametrize("name", ["cpus", "cpuset_cpus", "cpuset_mems", "memory", "memory_reservation", "memory_swap"])
def test_a_limit_that_the_daemon_cannot_take_away_costs_a_new_container(name: str) -> None:
    option, have = CONTAINERS[name], container(inspected("plain"))
    assert isinstance(option, ContainerOption)
    nothing = option.kind.parse("" if name.startswith("cpuset") else 0, name)
    assert option.cost(nothing, have) == Disruption.RECREATE
    assert option.cost(option.kind.parse(EXAMPLES[name].value, name), have) == Disruption.LIVE


def test_a_limit_of_swap_is_not_lifted_live() -> None:
    option, limited = CONTAINERS["memory_swap"], container(inspected("plain", MemorySwap=128 * 1024**2))
    assert isinstance(option, ContainerOption)
    assert option.cost(option.kind.parse("unlimited", "memory_swap"), limited) == Disruption.RECREATE
    assert option.cost(option.kind.parse("256MiB", "memory_swap"), limited) == Disruption.LIVE


def test_the_example_fixture_is_described() -> None:
    data = inspected("full")
    assert {option.name for option in OPTIONS if option.read(data) is None} == set()
    assert container(data).state == "running"


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("image", "De bian", "is not a valid name of an image"),
        ("command", "echo 'open", "cannot be split into words"),
        ("env", {"A=B": "1"}, "is not a usable key"),
        ("workdir", "data", "Write an absolute path"),
        ("hostname", "under score", "Write letters, digits, dots, dashes and underscores"),
        ("stop_signal", "TERM; rm", "is not a signal"),
        ("stop_timeout", -1, "from 0 to 86400"),
        ("healthcheck", {}, "says nothing"),
        ("healthcheck", {"test": "true", "interval": "often"}, "healthcheck.interval: 'often' is not a duration"),
        ("mac_address", "02-42-AC-11-00-02", "Write it like 02:42"),
        ("ports", ["80:web"], "is not a published port"),
        ("ports", ["0:80"], "from 1 to 65535"),
        ("ports", ["70000:80"], "from 1 to 65535"),
        ("ports", ["81-80:80-81"], "from 1 to 65535"),
        ("ports", ["8000-8002:80-81"], "ranges of different lengths"),
        ("ports", ["300.1.1.1:80:80"], "no valid host address"),
        ("ports", ["80/icmp"], "is not a published port"),
        ("mounts", ["/data:"], "is not a mount"),
        ("mounts", ["data:/data:exec"], "is not a mount"),
        ("mounts", ["data:data"], "no absolute target path"),
        ("mounts", ["data:a/b"], "no absolute target path"),
        ("mounts", ["da ta:/data"], "no source that fits its type"),
        ("mounts", [{"type": "bind", "source": "srv", "target": "/srv"}], "no source that fits its type"),
        ("mounts", [{"type": "nfs", "source": "srv", "target": "/srv"}], "no source that fits its type"),
        ("mounts", [{"source": "/srv", "destination": "/srv"}], "is not a mount"),
        ("mounts", [{"type": "tmpfs", "target": "/x", "mode": "999"}], "is not octal"),
        ("mounts", ["a-1:/data", "b-1:/data"], "given twice"),
        ("tmpfs", ["run"], "no absolute target path. Write /run, or"),
        ("tmpfs", ["/run:size=lots"], "'lots' is not a size"),
        ("networks", ["a/b"], "is not a network"),
        ("networks", ["--net"], "is not a network"),
        ("networks", [{"name": "front", "ip": "192.0.2.5"}], "is not a network"),
        ("networks", [{"name": "front", "ipv4_address": "2001:db8::1"}], "networks[front].ipv4_address"),
        ("networks", [{"name": "front", "aliases": "db"}], "is not a list of names"),
        ("cpus", "two", "is not a number of processors"),
        ("cpuset_cpus", "0..3", "Write a list like 0-2,4"),
        ("memory", "512 megs", "is not a size"),
        ("memory", "1MiB", "Write 6MiB or more."),
        ("memory", 512, "bytes: write 512MiB if you mean that"),
        ("memory", "unlimited", "is not a size"),
        ("restart_policy", "sometimes", "Write no, always"),
        ("extra_hosts", ["db"], "is not a host and its address"),
        ("devices", ["fuse"], "is not a device"),
        ("devices", ["/dev/fuse:/dev/fuse:x"], "is not a device"),
        ("ulimits", ["nofile"], "is not a limit"),
        ("oom_score_adj", 2000, "from -1000 to 1000"),
    ],
)
def test_bad_values_name_option_value_and_remedy(option: str, value: Any, message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        want("web", **{option: value})
    text = str(caught.value)
    assert text.startswith(f"web: {option}")
    assert message in text
    assert caught.value.remedy


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "_a",
        ".hidden",
        "web server",
        "web/1",
        "wéb",
        "web:1",
        "-web",
        "web..1",
        "web.kraal-new",
        "web.kraal-was-running",
    ],
)
def test_names_that_the_daemon_would_not_take(name: str) -> None:
    with pytest.raises(InvalidOption, match="^(.*: )?name: "):
        want(name)


@pytest.mark.parametrize("name", ["ab", "web-1", "Web_1.example", "0a", "web.kraal"])
def test_names_that_it_takes(name: str) -> None:
    assert want(name).name == name


def test_env_files_are_read_like_the_command_line_does(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("# comment\n\nA=1\n B='quoted' # kept\nC=\nD=a=b\n", encoding="utf-8")
    (tmp_path / "two").write_text("A=2\n", encoding="utf-8")
    spec = want("web", env_file=[str(tmp_path / "one"), str(tmp_path / "two")], env={"C": "3"})
    assert spec.values["env"] == {"A": "2", "B": "'quoted' # kept", "C": "3", "D": "a=b"}


def test_a_byte_order_mark_is_no_part_of_an_env_file(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("\ufeffA=1\n", encoding="utf-8")
    assert want("web", env_file=[str(tmp_path / "one")]).values["env"] == {"A": "1"}


def test_a_bad_env_file_is_named_and_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("A=1\nhunter2\n", encoding="utf-8")
    with pytest.raises(InvalidOption) as caught:
        want("web", env_file=[str(path)])
    assert str(path) in str(caught.value) and "hunter2" not in str(caught.value)
    with pytest.raises(InvalidOption, match="cannot be read"):
        want("web", env_file=[str(tmp_path / "missing")])


def test_no_env_file_is_no_environment() -> None:
    assert parse_env_file("# nothing\n", "env") == {}
    assert "env" not in want("web").values


def test_a_seccomp_profile_is_read_from_its_file(tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    profile.write_text('{"defaultAction": "SCMP_ACT_ALLOW"}', encoding="utf-8")
    spec = want("web", security_opt=[f"seccomp={profile}"])
    (word,) = spec.values["security_opt"]
    assert "SCMP_ACT_ALLOW" in word
    with pytest.raises(InvalidOption, match="security_opt"):
        want("web", security_opt=["seccomp=/nowhere/profile.json"])


def test_the_module_has_the_options_of_the_table() -> None:
    spec = CONTAINERS.argument_spec()
    assert set(EXAMPLES) <= set(spec)
    assert spec["purge"]["choices"] == sorted(option.name for option in OPTIONS if option.kind.merges)
    assert spec["registry_password"]["no_log"] is True
    assert set(arguments("web")) == set(spec)
