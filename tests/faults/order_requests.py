"""The order requests that reached the exchange, of one market."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.emulators.faults import Request
from tests.faults.world import World


def about(world: World, base: str) -> Callable[[Request], bool]:
    """Return what tells the requests about a base currency's market from others, for the `where` of a fault."""
    market = world.market(base).id
    return lambda request: f"'{market}'" in str(request.params) or f'"{market}"' in request.body


def asked(world: World, kind: str, base: str, *, since: int = 0) -> list[Request]:
    """Return the requests of a kind about a market, from number `since` of all requests on."""
    with world.account.changed:
        requests = list(world.exchange.requests[since:])
    wanted = about(world, base)
    return [request for request in requests if request.kind == kind and wanted(request)]


def placed(world: World, base: str, *, since: int = 0) -> list[Request]:
    """Return the orders in a market that reached the exchange, whatever became of them."""
    return asked(world, "place", base, since=since)


def client_id(request: Request) -> str:
    """Return the client order id of an order request."""
    if request.body.startswith("["):
        return str(json.loads(request.body)[0]["clOrdId"])
    return request.params["newClientOrderId"]
