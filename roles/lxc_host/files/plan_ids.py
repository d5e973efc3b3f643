# Copyright (c) 2026 the kraal.virt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says which users have subordinate ids for unprivileged guests, and which ranges are free for those that have none. Changes nothing.

Prints one JSON object: `unknown` users, and `missing`: for each user without enough of them, the first and the last id of a free range.
"""

from __future__ import annotations

import argparse
import json
import pwd
import sys
from collections.abc import Sequence
from pathlib import Path

FILES = ("/etc/subuid", "/etc/subgid")
#: As in login.defs.
FIRST = 100000
#: The largest id there is, less the one that means none.
LAST = 2**32 - 2


def ranges(text: str) -> list[tuple[str, int, int]]:
    """Owner, first id and how many, of the lines that say it rightly."""
    found = []
    for line in text.splitlines():
        fields = line.strip().split(":")
        if len(fields) == 3 and fields[1].isdigit() and fields[2].isdigit():
            found.append((fields[0], int(fields[1]), int(fields[2])))
    return found


def has(found: Sequence[tuple[str, int, int]], names: Sequence[str], count: int) -> bool:
    """Whether one of the user's ranges is long enough: a guest's ids are one piece."""
    return any(owner in names and size >= count for owner, _first, size in found)


def plan(texts: Sequence[str], users: Sequence[tuple[str, int]], count: int) -> list[dict[str, str | bool]]:
    """One range for each user that lacks one in either file, the same in both, behind all that are taken."""
    every = [ranges(text) for text in texts]
    free = max([FIRST, *(first + size for found in every for _owner, first, size in found)])
    missing: list[dict[str, str | bool]] = []
    for name, number in users:
        lacks = [not has(found, (name, str(number)), count) for found in every]
        if any(lacks):
            last = free + count - 1
            missing.append({"user": name, "range": f"{free}-{last}", "fits": last <= LAST, "uids": lacks[0], "gids": lacks[1]})
            free = last + 1
    return missing


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("users", nargs="*")
    options = parser.parse_args(arguments)
    known, unknown = [], []
    for name in options.users:
        try:
            known.append((name, pwd.getpwnam(name).pw_uid))
        except KeyError:
            unknown.append(name)
    texts = [Path(path).read_text(encoding="utf-8", errors="replace") if Path(path).exists() else "" for path in FILES]
    print(json.dumps({"unknown": unknown, "missing": plan(texts, known, options.count)}))


if __name__ == "__main__":
    main(sys.argv[1:])
