# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input ends in a message that names option, value and remedy, before anything is touched; and adversarial names
and values stay what they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from .driver import Driver, needs_limits

NOT_HERE = "sha256:" + "0" * 64

#: Arguments, and words that the message must have: the option, the value, the remedy.
WRONG: tuple[tuple[str, Mapping[str, Any], tuple[str, ...]], ...] = (
    ("option", {"memmory": "64MiB"}, ("memmory", "memory")),
    ("choice", {"state": "started"}, ("state", "started", "running")),
    ("unit", {"memory": "64MX"}, ("memory", "64MX", "like 512MiB")),
    ("small", {"memory": "64KiB"}, ("memory", "64KiB", "Write 1MiB or more")),
    ("bare", {"memory": 512}, ("memory", "512MiB if you mean that")),
    ("kib", {"memory": 1048576}, ("memory", "1048576KiB if you mean that")),
    ("cpus", {"cpus": 0.001}, ("cpus", "0.001", "0.01 or more")),
    ("cpuset", {"cpuset_cpus": "3-1"}, ("cpuset_cpus", "3-1", "Write a list like 0-2,4")),
    ("swap", {"memory": "64MiB", "memory_swap": "32MiB"}, ("memory_swap", "32MiB", "Write as much as memory or more")),
    ("swap-alone", {"memory_swap": "32MiB"}, ("memory_swap", "32MiB", "Set memory")),
    ("path", {"lxc_path": "containers/here/../../x"}, ("lxc_path", "is not an absolute path")),
    ("key", {"config": {"lxc uts": "x"}}, ("config[lxc uts]", "lxc.container.conf")),
    ("key-newline", {"config": {"lxc.uts.name\nlxc.hook.start": "x"}}, ("is not a configuration key",)),
    ("key-unknown", {"config": {"lxc.no.such": "x"}}, ("config", "liblxc refuses", "lxc.no.such = x")),
    ("key-value", {"config": {"lxc.signal.halt": "SIGNO"}}, ("config", "liblxc refuses", "lxc.signal.halt = SIGNO")),
    ("key-reserved", {"config": {"lxc.rootfs.path": "dir:/"}}, ("config[lxc.rootfs.path]", "storage")),
    (
        "key-twice",
        {"config": {"lxc.uts.name": "a"}, "hostname": "b"},
        ("config[lxc.uts.name]", "hostname", "Set one of the two"),
    ),
    ("key-list", {"config": {"lxc.tty.max": ["1", "2"]}}, ("config[lxc.tty.max]", "takes one value")),
    ("key-empty", {"config": {"lxc.tty.max": " "}}, ("config[lxc.tty.max]", "Write null")),
    (
        "value-newline",
        {"config": {"lxc.environment": "A=1\nlxc.hook.start = /bin/sh"}},
        ("config[lxc.environment]", "control character"),
    ),
    ("mount-newline", {"mounts": ["/tmp:/x\nlxc.hook.start = /bin/sh"]}, ("mounts", "not plain")),
    (
        "mount-entry-newline",
        {"config": {"lxc.mount.entry": "/tmp x none bind 0 0\nlxc.cap.drop ="}},
        ("config[lxc.mount.entry]", "control character"),
    ),
    ("mount-out", {"mounts": ["/tmp:/../x"]}, ("mounts", "/../x", "Write /host/path:/target")),
    ("mount-root", {"mounts": ["/tmp:/"]}, ("mounts", "the guest's root")),
    ("mount-relative", {"mounts": ["tmp:/x"]}, ("mounts", "tmp:/x", "absolute")),
    (
        "mount-option",
        {"mounts": [{"source": "/tmp", "target": "/x", "options": ["ro 0 0"]}]},
        ("mounts", "not understood"),
    ),
    ("network-field", {"networks": [{"bridge": "br0"}]}, ("networks", "bridge", "Write a mapping with type")),
    ("network-name", {"networks": [{"link": "br0 x"}]}, ("networks[eth0].link", "br0 x")),
    (
        "network-address",
        {"networks": [{"link": "br0", "ipv4_address": "192.0.2.1"}]},
        ("networks[eth0].ipv4_address", "192.0.2.5/24"),
    ),
    ("network-unquoted", {"networks": [{"link": "br0", "mac_address": 41135085296}]}, ('"52:54:00:12:34:56"',)),
    ("network-mac", {"networks": [{"link": "br0", "mac_address": "zz"}]}, ("networks[eth0].mac_address", "zz")),
    (
        "network-twice",
        {"networks": [{"link": "br0", "name": "a0"}, {"link": "br0", "name": "a0"}]},
        ("networks", "a0", "twice"),
    ),
    (
        "network-none",
        {"networks": [{"type": "none", "link": "br0"}]},
        ("networks[eth0]", "cannot be combined with other keys"),
    ),
    ("macvlan", {"networks": [{"type": "macvlan"}]}, ("networks[eth0].link", "Name the host's device")),
    ("idmap", {"idmap": ["u 0 100000"]}, ("idmap", "u 0 100000", "b 0 100000 65536")),
    ("idmap-half", {"idmap": ["u 0 100000 65536"]}, ("idmap", "Map both")),
    ("capability", {"cap_drop": ["SYS TIME"]}, ("cap_drop", "SYS TIME", "like sys_time")),
    ("capability-unknown", {"cap_drop": ["sys_nonsense"]}, ("cap_drop", "liblxc refuses", "sys_nonsense")),
    (
        "device",
        {"io_limits": [{"device": "/etc/passwd", "read_bps": 1}]},
        ("io_limits", "/etc/passwd", "is not a device"),
    ),
    (
        "device-missing",
        {"io_limits": [{"device": "/dev/no-such", "read_bps": 1}]},
        ("io_limits", "/dev/no-such", "block device"),
    ),
    ("hostname", {"hostname": "a b"}, ("hostname", "a b")),
    ("image", {"image": "/no/such.tar"}, ("image.path", "/no/such.tar", "base_image")),
    ("image-relative", {"image": "x.tar"}, ("image.path", "x.tar", "absolute")),
    ("image-checksum", {"image": {"path": "/x.tar", "checksum": "md5:1"}}, ("image.checksum", "md5:1", "sha256:")),
    (
        "image-gone",
        {"image": {"path": "/no/such.tar", "checksum": NOT_HERE}},
        ("image.path", "/no/such.tar", "does not exist"),
    ),
    ("two-ways", {"template": "busybox", "image": "<one>"}, ("template", "image", "one of these ways")),
    ("no-way", {"image": ...}, ("image", "is needed to create")),
    ("template", {"template": "../x", "image": ...}, ("template", "../x")),
    ("template-options", {"template": "busybox", "template_options": {"a b": 1}}, ("template_options", "a b")),
    ("clone", {"clone": {"name": "kt-no-such"}}, ("clone.name", "kt-no-such", "is not a container")),
    ("overlay", {"template": "busybox", "storage": "overlay"}, ("storage", "overlay", "needs something to lie over")),
    ("autostart-delay", {"autostart_delay": -1}, ("autostart_delay", "-1", "from 0")),
    ("autostart-order", {"autostart_order": -1}, ("autostart_order", "-1", "from 0")),
    ("autostart-groups", {"autostart_groups": ["a\n"]}, ("autostart_groups", "control character")),
    ("blkio-weight", {"blkio_weight": 5}, ("blkio_weight", "5", "from 10 to 1000")),
    ("cpu-shares", {"cpu_shares": 1}, ("cpu_shares", "1", "from 2 to 262144")),
    ("pids-limit", {"pids_limit": -5}, ("pids_limit", "-5", "from -1")),
    ("cap-keep", {"cap_keep": ["net_raw\n"]}, ("cap_keep", "control character")),
    ("description", {"description": "a\nb"}, ("description", "control character", "on one line")),
    ("stop-timeout", {"stop_timeout": -1}, ("stop_timeout", "-1", "0 or more")),
    ("wait", {"wait_for": "address", "timeout": 0}, ("timeout", "Write 1 or more")),
)

NAMES = ("", "../x", "a/b", "-x", ".x", "a b", "a\nb", "a\0b", "$(id)", "a;b", "ä", "x" * 101, "..")


def wrong(name: str, args: Mapping[str, Any], words: tuple[str, ...]) -> Any:
    return pytest.param(args, words, id=name, marks=[needs_limits] if "memory_swap" in args else [])


@pytest.mark.parametrize(("args", "words"), [wrong(*each) for each in WRONG])
def test_bad_input(args: Mapping[str, Any], words: tuple[str, ...], driver: Driver) -> None:
    driver.refused(*words, **args)


@pytest.mark.parametrize("name", NAMES)
def test_bad_names(name: str, driver: Driver) -> None:
    for state in ("running", "absent"):
        driver.refused("name", name=name, state=state)


@needs_limits
def test_bad_input_for_a_container_that_is_there(driver: Driver) -> None:
    """The old configuration is kept to the byte, and the guest goes on."""
    driver.make(memory="64MiB")
    pid = driver.lab.pid(driver.name)
    driver.refused("liblxc refuses", "lxc.no.such", config={"lxc.no.such": "1"}, memory="32MiB")
    driver.refused("memory_swap", memory_swap="32MiB")
    driver.refused("storage", "state=absent", storage="lvm")
    driver.refused("idmap", "recreate", idmap=["b 0 100000 65536"])
    driver.refused("image", "recreate", image="<two>")
    assert driver.lab.pid(driver.name) == pid


def test_a_directory_that_is_no_container(driver: Driver) -> None:
    place = driver.lab.path / driver.name
    place.mkdir()
    (place / "precious").write_text("x", encoding="utf-8")
    driver.refused("no container is in it", "move it away")
    driver.again(state="absent")
    assert (place / "precious").exists()


def test_values_with_all_that_a_file_could_misread(driver: Driver) -> None:
    """They come back from liblxc, and from the guest, as they were given."""
    values = ["A=x # y", 'B="quoted"', "C='single'", "D= spaces inside ", "E=back\\slash", "F=a=b", "G=ünï ✓"]
    labels = {"a": "x\ny", "#": "=", "lxc.uts.name": "no", "ü'\"": "\\"}
    driver.do(config={"lxc.environment": values}, labels=labels, description="lxc.hook.start = /bin/sh")
    driver.again(config={"lxc.environment": values}, labels=labels, description="lxc.hook.start = /bin/sh")
    assert driver.lab.asked(driver.name, "lxc.environment") == [value.strip() for value in values]
    environment = (Path("/proc") / str(driver.lab.pid(driver.name)) / "environ").read_bytes().split(b"\0")
    assert {value.encode() for value in values} <= set(environment)
    assert driver.lab.asked(driver.name, "lxc.hook.start") == []


def test_an_archive_that_is_not_what_its_checksum_says(driver: Driver) -> None:
    """Only a look into it can tell; nothing of the container is left."""
    result = driver.run(image={"path": "<one>", "checksum": NOT_HERE})
    assert result.failed and "checksum" in result.msg and list(driver.lab.path.iterdir()) == []


def test_an_archive_that_cannot_be_unpacked(driver: Driver, tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"no archive at all" * 100)
    for storage in ("dir", "overlay"):
        result = driver.run(image=str(tmp_path / "x.tar"), storage=storage)
        assert result.failed and "cannot be unpacked" in result.msg, result.msg
        assert list(driver.lab.path.iterdir()) == []


def test_ids_that_are_not_this_users(driver: Driver) -> None:
    """newuidmap(1) gives away what /etc/subuid names alone, root's too."""
    result = driver.run(idmap=["b 0 3000000000 65536"])
    assert result.failed and "cannot be unpacked" in result.msg, result.msg
    assert "usermod --add-subuids 3000000000-3000065535 --add-subgids 3000000000-3000065535 root" in result.msg
    assert list(driver.lab.path.iterdir()) == []


def test_what_does_not_start_says_why(driver: Driver) -> None:
    """The container is kept, and a task that mends it goes on."""
    result = driver.run(networks=["kt-no-bridge"])
    assert result.failed and "it does not start" in result.msg and "kt-no-bridge" in result.msg, result.msg
    assert driver.state() == "STOPPED"
    done = driver.do(networks=["<bridge>"])
    assert [step["action"] for step in done["plan"]] == ["set", "start"]
    driver.again(networks=["<bridge>"])
