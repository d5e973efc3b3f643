# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.config import Config
from ansible_collections.kraal.virt.plugins.module_utils.backends.lxc.container.hooks import hooks_inside, hooks_of_copy

SOURCE = Config(
    "lxc.hook.version = 1\nlxc.hook.stop = /c/web/a\nlxc.hook.stop = /c/web2/a\nlxc.hook.mount = /bin/x /c/web/a\n"
)
COPIED = Config(SOURCE.text.replace("/c/web", "/c/shop"))


def test_only_those_in_the_directory_are_inside() -> None:
    assert hooks_inside(SOURCE, "/c/web") == ["/c/web/a"]


def test_what_lies_elsewhere_stays() -> None:
    assert COPIED.assigned(hooks_of_copy(SOURCE, COPIED, "/c/web")).own == {
        "lxc.hook.version": ("1",),
        "lxc.hook.stop": ("/c/shop/a", "/c/web2/a"),
        "lxc.hook.mount": ("/bin/x /c/web/a",),
    }
