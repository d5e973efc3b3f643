# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an image is made from."""

from __future__ import annotations

from ansible_collections.kraal.virt.plugins.module_utils.backends.docker.image.source import arguments_of


def test_arguments_of_a_build_are_texts_as_everywhere() -> None:
    assert arguments_of({"args": {"A": 2, "B": True, "C": None}}) == {"A": "2", "B": "true", "C": ""}
    assert arguments_of({"args": {"A": "2"}}) == arguments_of({"args": {"A": 2}})
    assert arguments_of({}) is None
