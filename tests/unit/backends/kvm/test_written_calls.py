# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A call of libvirt as a trace shows it."""

from __future__ import annotations

import pytest

from ansible_collections.kraal.virt.plugins.module_utils.backends.kvm.written_calls import hide_xml, write_call


class virDomain:  # as the binding calls it
    """One of the binding's objects."""

    def name(self) -> str:
        return "web"

    def setMemoryFlags(self, memory: int, flags: int) -> None: ...


class virConnect(virDomain):
    def defineXMLFlags(self, xml: str, flags: int) -> None: ...


def test_a_call_is_written_as_the_binding_has_it() -> None:
    assert write_call(virDomain().setMemoryFlags, (524288, 1)) == "virDomain(web).setMemoryFlags(524288, 1)"
    written = write_call(virConnect().defineXMLFlags, ('<domain type="qemu"><name>web</name></domain>', 0))
    assert written == 'virConnect.defineXMLFlags(<domain type="qemu"><name>web</name></domain>, 0)'
    assert write_call(hide_xml, (None, b"content", virDomain())) == "hide_xml(None, bytes, virDomain(web))"


@pytest.mark.parametrize(
    "xml",
    [
        '<domain><devices><graphics type="vnc" passwd="kt-hush"/></devices></domain>',
        (
            '<domain><metadata><k:guest xmlns:k="https://kraal.virt/libvirt/1.0"><k:label '
            'name="api_token">kt-hush</k:label></k:guest></metadata></domain>'
        ),
        '<domain><metadata><label name="db_password" value="kt-hush"/></metadata></domain>',
        '<domain><sysinfo type="fwcfg"><entry name="opt/kt">kt-hush</entry></sysinfo></domain>',
        '<domain><sysinfo type="smbios"><oemStrings><entry>kt-hush</entry></oemStrings></sysinfo></domain>',
        (
            '<domain xmlns:q="http://libvirt.org/schemas/domain/qemu/1.0"><q:commandline><q:env name="A" '
            'value="kt-hush"/></q:commandline></domain>'
        ),
        "<secret><password>kt-hush</password>",
    ],
)
def test_xml_is_shown_without_its_secrets(xml: str) -> None:
    shown = hide_xml(xml)
    assert "kt-hush" not in shown and "(hidden)" in shown


def test_the_rest_of_xml_stays() -> None:
    xml = '<domain type="qemu"><name>web</name><vcpu>2</vcpu><os><type arch="x86_64">hvm</type></os></domain>'
    assert hide_xml(xml) == xml
