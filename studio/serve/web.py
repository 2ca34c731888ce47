"""The web side of serving: who may ask, and the files of a workspace.

A page on another site must not be able to drive a studio on this machine, and knowing a folder's token is what
gives the right to its files.
"""

import mimetypes
import re
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from studio.serve.live import LiveSounds
from studio.workspace import Workspace

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LOOPBACK = ("localhost", "127.0.0.1", "::1")
FILE_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,120}\.(wav|flac|mp3|opus|srt|vtt|txt|csv|json|npz|zip)")


class KnownVisitors:
    """Refuse requests under a foreign host name (DNS rebinding) and writes from other sites (CSRF)."""

    def __init__(self, app: Any, hosts: tuple[str, ...]) -> None:
        self._app = app
        self._hosts = hosts  # empty: any host name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with the refusal."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        if self._hosts and _host_name(host) not in self._hosts:
            return PlainTextResponse("This host name is not served here; set HIGGS_ALLOWED_HOSTS.", 400)
        origin = headers.get("origin")
        asked = {host, headers.get("x-forwarded-host", host)}  # a proxy may rename the host
        if scope["method"] not in ("GET", "HEAD") and origin is not None and _site(origin) not in asked:
            return PlainTextResponse("Requests from other sites are refused.", 403)
        return None


def _host_name(host: str) -> str | None:
    """The name in a Host header, without port; None if it is malformed."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _site(origin: str) -> str | None:
    """Name and port of an Origin header; None for `null` and what is malformed."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None


def web_parts(
    files: Sequence[Workspace],
    live: LiveSounds,
    server_name: str,
    allowed_hosts: str = "",
    further: Sequence[Route] = (),
) -> dict[str, Any]:
    """Routes and middleware for the app that serves the page.

    Args:
        files: The workspaces whose files may be fetched by token.
        live: What is being spoken and may be listened to by token.
        server_name: The address listened on; on a loopback address only loopback names are answered.
        allowed_hosts: Further host names, separated by commas. Without any, an address that is not loopback
            answers under every name: behind it, only a proxy's own check keeps DNS rebinding out.
        further: Routes of other parts, behind the same check.
    """
    named = tuple(filter(None, (name.strip().lower() for name in allowed_hosts.split(","))))
    hosts = (*LOOPBACK, *named) if named or server_name in LOOPBACK else ()

    async def file(request: Request) -> Response:
        token = request.path_params["token"]
        folder = next(filter(None, (workspace.find(token) for workspace in files)), None)
        name = request.path_params["name"]
        if folder is None or not FILE_NAME.fullmatch(name) or not (folder / name).is_file():
            return PlainTextResponse("This file is no longer here.", 404)
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, max-age=3600"}
        return FileResponse(folder / name, media_type=kind, headers=headers)

    routes = [Route("/files/{token}/{name}", file), live.route(), *further]
    return {"routes": routes, "middleware": [Middleware(KnownVisitors, hosts=hosts)]}
