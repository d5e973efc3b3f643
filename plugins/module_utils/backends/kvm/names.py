# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What things are called.

Libvirt makes files of names, so they are kept to what every file system, shell and screen takes. Pure.
"""

from __future__ import annotations

import re

from ...engine.errors import InvalidOption
from ...engine.kinds import Text

#: A file on its way into a pool is a volume with this at the end of its name, until it is complete.
PART = ".kraal-part"
#: An empty volume with this at the end of its name says that the volume of the name before it is incomplete: libvirt
#: shows a copy under its name from the beginning, and knows nothing of it any more when it dies in the middle.
INCOMPLETE = ".kraal-incomplete"

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+@:-]{0,199}", re.ASCII)
_REMEDY = "Use letters, digits, and single dots, dashes and underscores between them"


def check_name(name: str, option: str = "name") -> None:
    """Raises InvalidOption for what is no name of a guest, network, pool or volume."""
    if not _NAME.fullmatch(name) or ".." in name:
        raise InvalidOption(option, name, "is not a valid name that libvirt's files can have", remedy=_REMEDY)


#: A network interface's name, as the kernel takes it.
LINK = r"(?!\.)[A-Za-z0-9_.][A-Za-z0-9_.:-]{0,14}"
INTERFACE = Text(
    pattern=LINK, remedy="Write the name of a network interface, of at most 15 letters, digits, dots and dashes"
)


class Path(Text):
    """An absolute path, as it stands: no links are followed."""

    def __init__(self) -> None:
        # Not Ansible's own kind of path: that one reads ~ and $HOME of the host where the task runs, and libvirt may be
        # elsewhere.
        super().__init__()

    def parse(self, value: object, option: str) -> str:
        text = super().parse(value, option)
        if not text.startswith("/") or "/../" in text + "/":
            remedy = "Write it from the root, like /var/lib/libvirt/images"
            raise InvalidOption(option, text, "is not an absolute path", remedy=remedy)
        return re.sub("/+", "/", text).rstrip("/") or "/"
