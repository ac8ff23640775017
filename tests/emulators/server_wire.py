"""How a request is read from HTTP and an answer is written to it, whole, cut in half, or not at all."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from tests.emulators.faults import Request


class Reply(msgspec.Struct, frozen=True):
    """An answer of the venue: a JSON value (or text as it is), and how HTTP carries it."""

    body: object
    status: int = 200
    headers: Mapping[str, str] = {}


class Refusal(Exception):
    """The venue says no, with its own code."""

    def __init__(self, code: int, message: str, status: int | None = None) -> None:
        super().__init__(f"{code} {message}")
        self.code, self.message, self.status = code, message, status


class Route(msgspec.Struct, frozen=True):
    """What answers a path, and the kind under which faults and the log know it."""

    method: str
    path: str
    kind: str
    handler: Callable[[Request], Reply]
    signed: bool = True


async def parse(raw: web.Request) -> Request:
    """Return a request with all its parameters as text; its kind is not known yet."""
    body = (await raw.read()).decode()
    query = raw.rel_url.raw_query_string
    params = dict(parse_qsl(query, keep_blank_values=True))
    if body.lstrip().startswith("{"):
        fields: dict[str, object] = {}
        with contextlib.suppress(msgspec.DecodeError):
            fields = msgspec.json.decode(body, type=dict[str, object])
        params |= {name: _text(value) for name, value in fields.items()}
    else:
        params |= dict(parse_qsl(body, keep_blank_values=True))
    headers = {name.lower(): value for name, value in raw.headers.items()}
    return Request(
        kind="", method=raw.method, path=raw.path, params=params, query=query, body=body, headers=headers,
        at=time.monotonic(),
    )  # fmt: skip


def render(reply: Reply) -> web.Response:
    """Return the whole answer."""
    body = reply.body.encode() if isinstance(reply.body, str) else msgspec.json.encode(reply.body)
    return web.Response(status=reply.status, body=body, headers=reply.headers, content_type="application/json")


async def truncate(raw: web.Request, reply: Reply) -> web.StreamResponse | None:
    """Announce the whole answer, send half of it and close the connection."""
    body = msgspec.json.encode(reply.body)
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(body))})
    await response.prepare(raw)
    await response.write(body[: len(body) // 2])
    if raw.transport is not None:
        raw.transport.close()  # unlike abort it lets the half out
    return response


def cut(raw: web.Request) -> web.StreamResponse:
    """Reset the connection."""
    if raw.transport is not None:
        raw.transport.abort()
    return web.Response()  # goes nowhere


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
