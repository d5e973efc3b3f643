# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of images: what may be written, and what is found by it."""

from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.image.references import (
    ImageIndex,
    Reference,
    parse_reference,
)
from ansible_collections.kraal.virt.plugins.module_utils.engine.errors import InvalidOption
from tests.unit.backends.docker.scene import image_id, load

DIGEST = "sha256:" + "0123456789abcdef" * 4
OTHER = "sha256:" + "f" * 64

COMPONENT = st.from_regex(r"[a-z0-9]{1,6}([._-][a-z0-9]{1,4})?", fullmatch=True)
DOMAIN = st.sampled_from(
    [
        "",
        "localhost/",
        "registry.example/",
        "registry.example:5000/",
        "192.0.2.5:5000/",
        "[2001:db8::5]:5000/",
        "docker.io/",
        "UPPER/",
    ]
)
NAME = st.builds(lambda domain, path: domain + "/".join(path), DOMAIN, st.lists(COMPONENT, min_size=1, max_size=3))
TAG = st.text(string.ascii_letters + string.digits + "_.-", min_size=1, max_size=10).filter(
    lambda tag: tag[0] not in ".-"
)
SUFFIX = st.one_of(st.just(""), TAG.map(":{}".format), st.just("@" + DIGEST), TAG.map(lambda tag: f":{tag}@{DIGEST}"))


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("debian", "debian:latest"),
        ("debian:12", "debian:12"),
        ("library/debian:12", "library/debian:12"),
        ("docker.io/library/debian:12", "debian:12"),
        ("index.docker.io/library/debian", "debian:latest"),
        ("docker.io/team/app", "team/app:latest"),
        ("team/app:1.2", "team/app:1.2"),
        ("localhost/app", "localhost/app:latest"),
        ("registry.example:5000/team/app:1.2", "registry.example:5000/team/app:1.2"),
        (f"debian@{DIGEST}", f"debian@{DIGEST}"),
        (f"debian:12@{DIGEST}", f"debian@{DIGEST}"),
        (DIGEST, DIGEST),
        (DIGEST.removeprefix("sha256:"), DIGEST),
        ("sha256:0123456789ab", "sha256:0123456789ab"),
        ("0123456789ab", "0123456789ab"),
        ("0123456789ab:latest", "0123456789ab:latest"),
    ],
)
def test_names_that_are_understood(text: str, short: str) -> None:
    assert str(parse_reference(text)) == short


def test_the_digits_of_an_id_are_an_id_where_they_are_no_name() -> None:
    digits, tail = "5175e80e125c", "0" * 52
    images = [{"Id": f"sha256:{digits}{tail}"}, {"Id": "sha256:" + "f" * 64, "RepoTags": []}]
    index, reference = ImageIndex(images), parse_reference(digits)
    assert (index.find(reference), index.by_id(reference)) == (f"sha256:{digits}{tail}", True)
    assert not index.find(parse_reference(digits, "name")), "what an image is to be called is a name"
    assert index.find(parse_reference("f" * 13)) == "sha256:" + "f" * 64
    images[1]["RepoTags"] = [f"{digits}:latest"]
    named = ImageIndex(images)
    assert (named.find(reference), named.by_id(reference)) == ("sha256:" + "f" * 64, False)
    two = ImageIndex([*images, {"Id": f"sha256:{digits}{'1' * 52}"}])
    assert two.find(parse_reference(digits + "0")) and not two.find(parse_reference("5175e80e125d"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":12",
        "debian:",
        "Debian",
        "debian/",
        "/debian",
        "a//b",
        "debian:12:13",
        "debian@sha256:12",
        "debian@",
        "-debian",
        "debian --privileged",
        "debian\n",
    ]
    + [
        "../etc",
        "host:port/app",
        "registry.example:/app:1",
        "registry.example:500000/app",
        "debian:" + "x" * 129,
        "https://registry.example/app",
    ],
)
def test_names_that_are_refused(text: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        parse_reference(text)
    assert repr(text) in str(caught.value)
    assert "debian:12" in str(caught.value), "the remedy shows how to write it"


@given(NAME, SUFFIX)
def test_a_name_that_is_written_is_read_back(name: str, suffix: str) -> None:
    reference = parse_reference(name + suffix)
    assert parse_reference(str(reference)) == reference


def index(**more: Any) -> ImageIndex:
    return ImageIndex(
        [
            {
                "Id": DIGEST,
                "RepoTags": ["debian:12", "<none>:<none>"],
                "RepoDigests": [f"debian@{OTHER}", "<none>@<none>"],
                **more,
            }
        ]
    )


@pytest.mark.parametrize(
    "text",
    [
        "debian:12",
        "docker.io/library/debian:12",
        f"debian@{OTHER}",
        f"debian:13@{OTHER}",
        DIGEST,
        DIGEST.removeprefix("sha256:"),
        DIGEST[:19],
    ],
)
def test_an_image_is_found_by_any_of_its_names(text: str) -> None:
    assert index().find(parse_reference(text)) == DIGEST


@pytest.mark.parametrize("text", ["debian", "debian:13", "team/debian:12", f"debian@{DIGEST}", OTHER])
def test_another_image_is_not_found(text: str) -> None:
    assert index().find(parse_reference(text)) == ""


def test_the_beginning_of_two_ids_is_no_id() -> None:
    twins = ImageIndex([{"Id": f"sha256:{'a' * 63}{last}", "RepoTags": None, "RepoDigests": None} for last in "12"])
    assert twins.find(Reference(id="sha256:" + "a" * 12)) == ""
    assert twins.find(Reference(id=f"sha256:{'a' * 63}2")) == f"sha256:{'a' * 63}2"


def test_what_is_known_of_an_image() -> None:
    assert index().tags(DIGEST) == ["debian:12"]
    assert OTHER in index().digests(DIGEST)
    assert DIGEST not in index().digests(DIGEST), "an id is not a digest"
    assert index().tags(OTHER) == []
    assert index().digests(OTHER) == set()


def test_recorded_images_are_found() -> None:
    recorded = ImageIndex(load("images"))
    for name in ("base:1", "base:2", "rich:1"):
        assert recorded.find(parse_reference(name)) == image_id(name)
        assert recorded.tags(image_id(name)) == [name]
