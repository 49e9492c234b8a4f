"""What a service refuses unread: bodies that are too large or come too slowly, and callers without a key."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

OPEN = ("/", "/health", "/ready", "/v2/health/live", "/v2/health/ready")
"""Paths that need no key: the page asks for it, and whoever watches a service has none."""


class Refused(Exception):
    """A request that is not answered: the status of HTTP and one line that says why."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


class Limits:
    """An ASGI layer. most: bytes of a body; patience: seconds between two pieces of it, and for all of it ten times as
    many; key: what callers must send as `X-API-Key` or as a bearer token, None for nothing."""

    def __init__(self, app: App, most: int, patience: float, key: str | None) -> None:
        self.app, self.most, self.patience, self.key = app, most, patience, key

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if self.key is not None and scope["path"] not in OPEN and not _knows(headers, self.key):
            await _refuse(send, 401, "this service needs a key: send it as X-API-Key")
            return
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self.most:
            await _refuse(send, 413, _too_large(self.most))
            return
        await self._counted(scope, receive, send)

    async def _counted(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """The app, which meets `Refused` where it reads a body that is too large or too slow."""
        taken, ended = 0, False
        clock = asyncio.get_running_loop().time
        until = clock() + 10 * self.patience

        async def limited() -> Message:
            nonlocal taken, ended
            if ended:  # what comes now is the end of the connection, for which one may wait
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), max(min(self.patience, until - clock()), 0.001))
            except asyncio.TimeoutError:
                raise Refused(408, "the body comes too slowly") from None
            taken += len(message.get("body", b""))
            ended = message["type"] != "http.request" or not message.get("more_body", False)
            if taken > self.most:
                raise Refused(413, _too_large(self.most))
            return message

        await self.app(scope, limited, send)


def _too_large(most: int) -> str:
    return f"the request has more than {most} bytes; send fewer or smaller images"


def _knows(headers: dict[str, str], key: str) -> bool:
    given = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
    return hmac.compare_digest(given.encode(), key.encode())


async def _refuse(send: Send, status: int, text: str) -> None:
    body = json.dumps({"detail": text}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})
