# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every option of docker_container keeps the four promises on a real daemon: create, again, change, again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.container.options import CONTAINERS
from tests.support.tables import assert_named, keyed, parametrize, ride, rounds

from .driver import Driver, actions, fill
from .options import ROWS
from .row import Row

SPREAD = True


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "rows" in metafunc.fixturenames:
        parametrize(metafunc, ROWS, lambda row: row.live)


@pytest.fixture
def words(driver: Driver, worker_id: str, tmp_path, request) -> Mapping[str, str]:
    """What the <words> of the table stand for; networks are made for the rows that have them."""
    number = int(worker_id.removeprefix("gw")) if worker_id.startswith("gw") else 0
    profile = tmp_path / "seccomp.json"
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW"}), encoding="utf-8")
    ids, images = driver.images.ids, driver.images
    disks = [str(path) for path in sorted(Path("/dev").iterdir()) if path.is_block_device()]
    found = {
        "one": images.one, "two": images.two, "one-id": ids[images.one], "two-id": ids[images.two], "two-hex": ids[images.two].partition(":")[2],
        "two-short": ids[images.two][:19], "two-digits": ids[images.two][7:19],
        "disk": disks[0], "disk2": disks[1],
        "vol1": driver.scratch("vol1"), "vol2": driver.scratch("vol2"), "net1": driver.scratch("net1"),
        "net2": driver.scratch("net2"), "dir": str(tmp_path), "profile": str(profile), "port": str(2350 + number), "addr": f"10.213.{number}",
    }  # fmt: skip
    if any(row.option == "networks" for row in request.getfixturevalue("rows")):
        driver.api.create_network(found["net1"])
        driver.api.create_network(found["net2"], ipam={"Config": [{"Subnet": f"{found['addr']}.0/24"}]})
    return found


def test_no_option_is_without_a_row() -> None:
    assert {option.name for option in CONTAINERS.options} == {row.option for row in ROWS}


def test_purge_is_tested_for_each_option_that_has_it() -> None:
    assert {option.name for option in CONTAINERS.options if option.kind.merges} == {
        row.option for row in ROWS if row.purge
    }


def _look(driver: Driver, row: Row, words: Mapping[str, str], which: int) -> None:
    seen, wanted = row.look(driver.inspect()), fill(row.seen[which], words)
    assert _plain(seen) == _plain(wanted), row.id
    if row.inside:
        assert driver.inside(*row.inside[0]) == row.inside[1 + which], row.id


def _plain(value):
    """Tuples as lists."""
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return {key: _plain(entry) for key, entry in value.items()} if isinstance(value, Mapping) else value


def test_create_again_change_again(rows: tuple[Row, ...], driver: Driver, words: Mapping[str, str]) -> None:
    ride(rows, lambda some: _create_again_change_again(some, driver, words), lambda: driver.make(state="absent"))


def _create_again_change_again(rows: tuple[Row, ...], driver: Driver, words: Mapping[str, str]) -> None:
    extra = {key: value for row in rows for key, value in fill(dict(row.extra), words).items()}
    first, second = (
        {**extra, **{row.option: fill(value, words) for row in rows for value in [getattr(row, name)]}}
        for name in ("first", "second")
    )
    stopped = extra.get("state") == "present"

    if any(row.kernel is not None and _warned_of(driver, row.kernel) for row in rows):
        (row,) = rows
        result = driver.run(**first)
        assert result.failed and f"the engine does not keep {row.option}" in result.msg and driver.mine() == []
        return

    made = driver.do(**first)
    assert actions(made) == (["create"] if stopped else ["create", "start state"])
    for row in rows:
        _look(driver, row, words, 0)
    driver.again(**first)

    old = driver.inspect()
    changed = driver.do(**second)
    # Of an image the plan of a change says the id as well.
    assert_named(
        rows, changed["plan"], {key: values for key, values in keyed(made["plan"][:1]).items() if key != "image"}
    )
    _check_cost(driver, old, changed, all(row.live for row in rows))
    for row in rows:
        _look(driver, row, words, 1)
    for values in rounds(rows):
        driver.again(**extra, **fill(values, words))

    purged = tuple(row for row in rows if row.purge)
    if purged:
        back = {
            **second,
            **{row.option: first[row.option] for row in purged},
            "purge": sorted(row.option for row in purged),
        }
        old = driver.inspect()
        done = driver.do(**back)
        assert_named(purged, done["plan"], {})
        _check_cost(driver, old, done, all(row.purge_live for row in purged))
        for row in rows:
            _look(driver, row, words, 0 if row.purge else 1)
        driver.again(**back)
    assert driver.mine() == [driver.word]


def _warned_of(driver: Driver, limit: Mapping[str, object]) -> bool:
    """Whether this machine's kernel does not know the limit."""
    made = driver.api.create_container_from_config(
        {"Image": driver.images.one, "HostConfig": dict(limit)}, driver.scratch("probe")
    )
    driver.api.remove_container(made["Id"])
    return bool(made["Warnings"])


def _check_cost(driver: Driver, old: Mapping, result, live: bool) -> None:
    """A live change leaves the container and its process alone; another one makes a new container of the same name."""
    new = driver.inspect()
    assert {step["disruption"] for step in result["plan"]} == {"live" if live else "recreate"}
    if live:
        assert (new["Id"], new["State"]["StartedAt"], new["State"]["Pid"]) == (
            old["Id"],
            old["State"]["StartedAt"],
            old["State"]["Pid"],
        )
    else:
        assert actions(result) == ["recreate"]
        assert new["Id"] != old["Id"] and new["Name"] == old["Name"]
    assert new["State"]["Status"] == old["State"]["Status"]
