"""The port to listen on, looked at before anything is loaded: who asked for one gets it, or is told why not."""

import errno
import os
import socket
from collections.abc import Callable

from studio.errors import BadSetting

SETTING = "GRADIO_SERVER_PORT"
DEFAULT = 7860
LOOPBACK = "127.0.0.1"
HIGHEST = 65_535
LISTEN_ON = f"Take {LOOPBACK} for this machine alone, or 0.0.0.0 for everybody who can reach it."


def chosen_port(asked: str, server_name: str, say: Callable[[str], None]) -> int | None:
    """The port that was asked for, once it is known to be free; None where the next free one from 7860 on will do.

    Args:
        asked: The value of GRADIO_SERVER_PORT; empty where it is not set.
        server_name: The address to listen on.
        say: Told when nothing was asked for and 7860 is in use.

    Raises:
        BadSetting: it is no port, it is in use, or this machine does not let anybody listen there.
    """
    if not asked.strip():
        if not _is_free(server_name, DEFAULT):
            say(
                f"Port {DEFAULT} is in use: the studio takes the next free one, and names it below. "
                f"Choose one yourself with {SETTING}."
            )
        return None
    if not (asked.strip().isascii() and asked.strip().isdigit()) or not 1 <= int(asked[:20]) <= HIGHEST:
        raise BadSetting(f"{SETTING} must be a port from 1 to {HIGHEST}, not “{asked[:40]}”.")
    port = int(asked)
    if not _is_free(server_name, port):
        raise taken(port)
    return port


def taken(port: int) -> BadSetting:
    """The sentence about a port where somebody else listens."""
    return BadSetting(f"port {port} is in use. Stop what listens there, or choose another with {SETTING}.")


def _is_free(server_name: str, port: int) -> bool:
    """Whether nobody listens there, neither on the address itself nor on loopback, which Gradio asks for, too.

    Raises:
        BadSetting: one cannot listen there at all.
    """
    host = server_name.strip("[]") or LOOPBACK
    try:
        places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        raise BadSetting(f"GRADIO_SERVER_NAME: there is no address “{server_name[:80]}”. {LISTEN_ON}") from None
    for family, kind, protocol, _, address in [*places, (socket.AF_INET, socket.SOCK_STREAM, 0, "", (LOOPBACK, port))]:
        with socket.socket(family, kind, protocol) as probe:
            if os.name == "posix":  # as the server will: else a port that was just left counts as in use
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address)
            except OSError as problem:
                if problem.errno == errno.EADDRINUSE:
                    return False
                if problem.errno == errno.EADDRNOTAVAIL:
                    raise BadSetting(
                        f"GRADIO_SERVER_NAME: “{server_name[:80]}” is no address of this machine. {LISTEN_ON}"
                    ) from None
                raise BadSetting(
                    f"port {port} cannot be listened on ({problem.strerror}). Choose another with {SETTING}."
                ) from None
    return True
