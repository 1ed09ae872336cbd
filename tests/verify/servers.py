"""Servers on loopback that answer what they are told to, over real sockets."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import asyncssh

from components.secrets import KeyPair


@dataclass
class Answer:
    """An HTTP answer; a body that is no text or bytes is sent as JSON."""

    status: int
    body: Any = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Request:
    """A request as it came in."""

    line: str
    headers: Mapping[str, str]
    body: str


@dataclass
class Web:
    """A running HTTP server: `answers` by method and path, unless `play` has one; and what it has been asked."""

    url: str
    answers: dict[str, Answer] = field(default_factory=dict)
    play: Callable[[Request], Answer | None] = lambda _: None
    requests: list[Request] = field(default_factory=list)


@contextmanager
def web(address: str = "127.0.0.1") -> Iterator[Web]:
    """An HTTP server; what it has no answer to is a 404."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            request = Request(f"{self.command} {self.path}", dict(self.headers), body)
            served.requests.append(request)
            answer = served.play(request) or served.answers.get(request.line, Answer(404))
            content = answer.body if isinstance(answer.body, str | bytes) else json.dumps(answer.body)
            content = content.encode() if isinstance(content, str) else content
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(content)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_DELETE = do_GET  # noqa: N815, the library's own names

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer((address, 0), Handler) as server:
        served = Web(f"http://{address}:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def ssh(
    host: KeyPair,
    login: KeyPair,
    *,
    address: str = "127.0.0.1",
    output: str = "",
    status: int | None = 0,
    delay: float = 0,
) -> Iterator[int]:
    """An SSH server with that host key, for the login key; every command prints `output`. Yields its port.

    Status None: the connection breaks off after the output.
    """

    async def handle(process: "asyncssh.SSHServerProcess[str]") -> None:
        await asyncio.sleep(delay)
        (process.stderr if status else process.stdout).write(output)
        if status is None:
            await process.stdout.drain()
            process.get_extra_info("connection").abort()
        else:
            process.exit(status)

    async def serve() -> None:
        acceptor = await asyncssh.listen(
            address,
            0,
            server_host_keys=[asyncssh.import_private_key(host.private)],
            authorized_client_keys=asyncssh.import_authorized_keys(login.public),
            process_factory=handle,
        )
        ports.append(acceptor.get_port())
        listening.set()
        async with acceptor:
            await ended.wait()

    ports: list[int] = []
    listening = threading.Event()
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert listening.wait(10)
    try:
        yield ports[0]
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()


@contextmanager
def silent() -> Iterator[int]:
    """A port that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


def closed() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
