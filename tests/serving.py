"""Routes behind a real server: Starlette's test client answers when all is there, and its listener never leaves."""

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute

PATIENCE = 10.0  # seconds; only a failing test waits so long


@contextmanager
def served_routes(routes: Sequence[BaseRoute]) -> Iterator[str]:
    """The address they are served at meanwhile."""
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_level="critical", lifespan="off"))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(PATIENCE)
