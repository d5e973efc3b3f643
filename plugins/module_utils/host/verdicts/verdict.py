# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From what was found to what it means: a verdict for each backend. Pure.

``capable``: whether this host can carry the backend's guests, were the engine installed; ``usable``: whether they can
run now. Each is True, False, or None where nothing tells. ``code`` is the reason in one word, for programs; ``reason``
and ``remedy`` are for people; ``checks`` is what each test found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Found = Mapping[str, Any]


@dataclass
class Verdict:
    """A verdict in the making; the first objection to the host is its reason."""

    checks: list[dict[str, Any]] = field(default_factory=list)
    capable: bool | None = True
    usable: bool | None = True
    code: str = "ok"
    reason: str = ""
    remedy: str = ""

    def check(self, name: str, ok: bool | None, found: str) -> bool | None:
        self.checks.append({"check": name, "ok": ok, "found": found})
        return ok

    def because(self, capable: bool | None, code: str, reason: str, remedy: str) -> None:
        """The host cannot, or it is not known whether it can.

        The first reason stays, unless a later one is certain and it was not.
        """
        if self.code == "ok" or (self.capable is None and capable is False):
            self.capable, self.usable = capable, capable
            self.code, self.reason, self.remedy = code, reason, remedy

    def engine(self, name: str, found: Found, role: str) -> None:
        """The engine's part, once the host itself is good enough."""
        self.check("engine " + name, found["answers"] if found["installed"] else False, _engine_text(name, found))
        if not found["installed"]:
            self.not_now(
                False, "not_installed", f"{name} is not installed", f"install it; {role} does" if role else "install it"
            )
        elif found["answers"] is None:
            self.not_now(
                None, "permission", "{} may not be asked: {}".format(name, found["error"]), "ask as root (become: true)"
            )
        elif found["hangs"]:
            reason = "{} runs and does not answer: {}".format(name, found["error"])
            self.not_now(False, "no_answer", reason, "look at its log, and start it anew")
        elif not found["answers"]:
            self.not_now(
                False,
                "no_answer",
                "{} is installed but does not answer: {}".format(name, found["error"]),
                f"start it; {role} does" if role else "start it",
            )

    def not_now(self, usable: bool | None, code: str, reason: str, remedy: str) -> None:
        """The host can, but something on it is missing yet. What was found before stays the reason."""
        if self.code == "ok":
            self.usable, self.code, self.reason, self.remedy = usable, code, reason, remedy

    def as_dict(self, good: str) -> dict[str, Any]:
        found = {"capable": self.capable, "usable": self.usable, "code": self.code, "reason": self.reason or good}
        return {**found, "remedy": self.remedy, "checks": self.checks}


def _engine_text(name: str, found: Found) -> str:
    if not found["installed"]:
        return "not installed"
    version = "{} {}".format(name, found["version"]) if found["version"] else name
    if found["answers"]:
        return f"{version} answers"
    return "{} {}".format(
        version,
        "may not be asked: {}".format(found["error"])
        if found["answers"] is None
        else "does not answer: {}".format(found["error"]),
    )
