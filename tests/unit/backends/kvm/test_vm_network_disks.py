# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Places on the network are written into a source and read from it again, in one form."""

from __future__ import annotations

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.network_disks import (
    canonical_url,
    put_url,
    url_of,
)
from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.vm.xml import ET, Element

PLACES = {
    "rbd://one:6790,two/pool/image": ("rbd", "pool/image", [{"name": "one", "port": "6790"}, {"name": "two"}]),
    "rbd:///pool/image": ("rbd", "pool/image", []),
    "nbd://[2001:db8::1]:10810/": ("nbd", "", [{"name": "2001:db8::1", "port": "10810"}]),
    "nbd+unix:///export?socket=/run/a b": ("nbd", "export", [{"transport": "unix", "socket": "/run/a b"}]),
    "iscsi://h/iqn.2013-07.com.example:disk/1": ("iscsi", "iqn.2013-07.com.example:disk/1", [{"name": "h"}]),
}


@pytest.mark.parametrize("text", PLACES)
def test_a_place_is_read_as_it_was_written(text: str) -> None:
    protocol, name, hosts = PLACES[text]
    source = Element("source")
    if "a b" in text:
        # What a task cannot write is read all the same.
        source = ET.fromstring(
            "<source protocol='nbd' name='export'><host transport='unix' socket='/run/a b'/></source>"
        )
    else:
        assert put_url(source, text)
    assert (source.get("protocol"), source.get("name"), [host.attrib for host in source]) == (protocol, name, hosts)
    assert url_of(source) == text


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("https://h:443/a.iso?b=c", "https://h/a.iso?b=c"),
        ("iscsi://h:3260/iqn/0", "iscsi://h/iqn/0"),
        ("https://h:8443//a.iso", "https://h:8443/a.iso"),
        # None of these is one.
        *(
            (text, text)
            for text in ("/srv/a.img", "ssh://h/a", "nbd+unix://h/a?socket=/b", "nbd+unix:///a", "rbd://a b/c")
        ),
    ],
)
def test_the_usual_port_need_not_be_said(text: str, canonical: str) -> None:
    assert canonical_url(text) == canonical


@pytest.mark.parametrize("source", ["protocol='hologram'", "protocol='nfs'", "protocol='gluster'"])
def test_what_has_no_words_here_is_its_name(source: str) -> None:
    host = "<host transport='rdma' name='h'/>"
    assert url_of(ET.fromstring(f"<source {source} name='vol/a'>{host}</source>")) == "vol/a"
