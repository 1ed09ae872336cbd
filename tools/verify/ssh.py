"""One script on one machine. Keys stay in memory; the host key is known beforehand and checked."""

import asyncio
import socket

import asyncssh

from components.secrets import KeyPair
from tools.verify import web
from tools.verify.model import UnansweredError


def run(address: str, script: str, *, login: KeyPair, host: KeyPair, seconds: float, port: int = 22) -> str:
    """Standard output of a shell script run as root; UnansweredError if there is none within `seconds`."""
    return fetch(address, script, login=login, host=host, seconds=seconds, port=port).decode(errors="replace")


def fetch(
    address: str, script: str, *, login: KeyPair, host: KeyPair, seconds: float, port: int = 22, stdin: bytes = b""
) -> bytes:
    """The same, as bytes; the script reads `stdin`."""
    try:
        with socket.create_connection((address, port), timeout=min(web.CONNECT_SECONDS, seconds)) as link:
            return asyncio.run(_fetch(link, address, script, login, host, seconds, stdin))
    except TimeoutError:
        raise UnansweredError(f"SSH to {address}: timed out") from None
    except asyncssh.HostKeyNotVerifiable:
        raise UnansweredError(f"SSH to {address}: its host key is not the one that the lab gave it") from None
    except (OSError, asyncssh.Error) as error:
        raise UnansweredError(f"SSH to {address}: {error}") from error


async def _fetch(
    link: socket.socket, address: str, script: str, login: KeyPair, host: KeyPair, seconds: float, stdin: bytes
) -> bytes:
    async with (
        asyncio.timeout(seconds),
        asyncssh.connect(
            sock=link,
            config=None,
            username="root",
            client_keys=[asyncssh.import_private_key(login.private)],
            agent_path=None,
            known_hosts=([asyncssh.import_public_key(host.public)], [], []),
        ) as connection,
    ):
        done = await connection.run(script, input=stdin, encoding=None)
    assert isinstance(done.stdout, bytes)
    assert isinstance(done.stderr, bytes)
    if done.exit_status is None:
        raise UnansweredError(f"SSH to {address}: the connection broke off")
    if done.exit_status:
        last = done.stderr.decode(errors="replace").strip()[-200:]
        raise UnansweredError(f"SSH to {address}: exit status {done.exit_status}: {last}")
    return done.stdout
