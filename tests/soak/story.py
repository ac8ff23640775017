"""What the journal and the exchange know of an order about which there is a complaint."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tests.faults.world import World
from tests.tasks.evidence import journal

CLIENT_ID = re.compile(r"\b[0-9a-f]{28}\b")


def with_stories(world: World, complaints: Iterable[str]) -> list[str]:
    """Return one complaint for each order that is named last in some, with its story."""
    by_order: dict[str, list[str]] = {}
    for complaint in complaints:
        named = CLIENT_ID.findall(complaint)
        by_order.setdefault(named[-1] if named else complaint, []).append(complaint)
    return [
        "\n  ".join([told[0], f"{len(told)} complaints like this", *_story(world, client_id)])
        for client_id, told in by_order.items()
    ]


def _story(world: World, client_id: str) -> Iterable[str]:
    """Yield the rows of the journal, the order as the exchange has it, and the requests about it, in their order."""
    for row in journal(world.files.root, "SELECT * FROM intents WHERE client_id = ?", client_id):
        yield f"journal: {row}"
    with world.account.changed:
        requests = list(world.exchange.requests)
        order = next((one for one in world.account.orders if one.client_id == client_id), None)
    yield f"exchange: {order}"
    names = {client_id} if order is None else {client_id, str(order.id)}
    for request in requests:
        if names & set(request.params.values()):
            yield f"{request.at:.3f} {request.kind}, answered {request.status}, {request.actions}"
