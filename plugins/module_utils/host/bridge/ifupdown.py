from __future__ import annotations
class Ifupdown:
    name = "ifupdown"
