"""HTTP and TCP without a client's habits: no proxy, no redirect, no retry, always a time limit."""

import socket
from http.client import HTTPConnection
from urllib.parse import urlsplit

CONNECT_SECONDS = 10
"""Limit of a connection's coming about, for which a machine need not even be awake: its kernel does it."""

_LARGEST = 4 * 1024 * 1024
"""Bytes of a body that are read; what is asked for here is a fraction of it."""


def get(url: str, *, seconds: float, authorization: str = "") -> tuple[int, bytes]:
    """Status and body; OSError or HTTPException if there is none. `seconds` bounds each wait once connected."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=min(CONNECT_SECONDS, seconds))
    try:
        connection.connect()
        connection.sock.settimeout(seconds)
        path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
        connection.request("GET", path, headers={"Authorization": authorization} if authorization else {})
        response = connection.getresponse()
        return response.status, response.read(_LARGEST)
    finally:
        connection.close()


def connects(address: str, port: int, *, seconds: float) -> bool:
    """Whether a TCP connection comes about."""
    try:
        with socket.create_connection((address, port), timeout=seconds):
            return True
    except OSError:
        return False
