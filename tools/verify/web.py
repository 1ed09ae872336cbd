"""HTTP and TCP without a client's habits: no proxy, no redirect, no retry, always a time limit."""

import base64
import os
import socket
from http.client import HTTPConnection
from urllib.parse import urlsplit

CONNECT_SECONDS = 10
"""Limit of a connection's coming about, for which a machine need not even be awake: its kernel does it."""

SECONDS = 120
"""Limit of an answer. It takes some seconds at most, but for an emulated lab on a busy machine."""

_LARGEST = 4 * 1024 * 1024
"""Bytes of a body that are read; what is asked for here is a fraction of it."""


def get(url: str, *, seconds: float, authorization: str = "") -> tuple[int, bytes]:
    """Status and body; OSError or HTTPException if there is none. `seconds` bounds each wait once connected."""
    connection = _connect(url, seconds)
    try:
        connection.request("GET", _path(url), headers={"Authorization": authorization} if authorization else {})
        response = connection.getresponse()
        return response.status, response.read(_LARGEST)
    finally:
        connection.close()


def websocket_greeting(url: str, *, seconds: float) -> bytes:
    """What a server says first on a WebSocket (RFC 6455) at an http:// URL; OSError or HTTPException if nothing."""
    connection = _connect(url, seconds)
    try:
        upgrade = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Protocol": "binary",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        }
        connection.request("GET", _path(url), headers=upgrade)
        # The response's own file, since it may hold the first frame already.
        with connection.response_class(connection.sock, method="GET") as response:
            response.begin()
            if response.status != 101:
                raise ConnectionError(f"HTTP {response.status} in place of a WebSocket")
            frame = response.fp.read(2)
            if len(frame) < 2:
                raise ConnectionError("the WebSocket ended without a word")
            return response.fp.read(frame[1] & 0x7F)
    finally:
        connection.close()


def connects(address: str, port: int, *, seconds: float) -> bool:
    """Whether a TCP connection comes about."""
    try:
        with socket.create_connection((address, port), timeout=seconds):
            return True
    except OSError:
        return False


def _connect(url: str, seconds: float) -> HTTPConnection:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=min(CONNECT_SECONDS, seconds))
    connection.connect()
    connection.sock.settimeout(seconds)
    return connection


def _path(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
