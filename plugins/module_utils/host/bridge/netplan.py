from __future__ import annotations
class Netplan:
    name = "netplan"
