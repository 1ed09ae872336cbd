"""Talking to a provider plugin as the engine does."""

import importlib
import subprocess
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pulumi.runtime.proto import engine_pb2_grpc, provider_pb2_grpc

grpc: Any = importlib.import_module("grpc")
struct_pb2: Any = importlib.import_module("google.protobuf.struct_pb2")
empty_pb2: Any = importlib.import_module("google.protobuf.empty_pb2")


class _Engine(engine_pb2_grpc.EngineServicer):
    """As much of an engine as a plugin wants: somewhere to log to."""

    def Log(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        return empty_pb2.Empty()


@contextmanager
def running(binary: Path) -> Iterator[Any]:
    """A stub for the provider in a plugin that runs as long as the context lasts."""
    engine = grpc.server(futures.ThreadPoolExecutor(2))
    engine_pb2_grpc.add_EngineServicer_to_server(_Engine(), engine)
    port = engine.add_insecure_port("127.0.0.1:0")
    engine.start()
    process = subprocess.Popen([binary, f"127.0.0.1:{port}"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        answer = process.stdout.readline().strip()
        assert answer.isdecimal(), f"{binary} gave no port: {answer!r}"
        limit = [("grpc.max_receive_message_length", 64 << 20)]
        with grpc.insecure_channel(f"127.0.0.1:{answer}", options=limit) as channel:
            yield provider_pb2_grpc.ResourceProviderStub(channel)
    finally:
        process.kill()
        process.wait()
        engine.stop(None)
