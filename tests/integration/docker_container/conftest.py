# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Iterator

import docker
import pytest

from tests.support.images import BaseImages
from tests.support.leftovers import Scratch
from tests.support.proxy import RecordingProxy
from tests.support.warm_module import WarmModule

from .driver import MODULE, Driver


@pytest.fixture(scope="session")
def module() -> Iterator[WarmModule]:
    """The module, imported once under the distribution's Python."""
    with WarmModule(MODULE) as warm:
        yield warm


@pytest.fixture
def driver(
    proxy: RecordingProxy, docker_api: docker.APIClient, scratch: Scratch, base_images: BaseImages, module: WarmModule
) -> Driver:
    """One guest of the test's own."""
    return Driver(proxy, docker_api, scratch, base_images, module)
