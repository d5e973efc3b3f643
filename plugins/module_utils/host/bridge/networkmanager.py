from __future__ import annotations
class NetworkManager:
    name = "NetworkManager"
