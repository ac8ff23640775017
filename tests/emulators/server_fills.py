"""How the emulated matching engine fills an order: at once or later, whole, in parts or not all of it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from tests.emulators.account import Account
from tests.emulators.account_records import Order
from tests.emulators.faults import Fills


def fill(account: Account, order: Order, fills: Fills) -> Coroutine[object, object, None] | None:
    """Fill an order now, or return the work that fills it later."""
    if fills.after or fills.between:
        return _fill_slowly(account, order, fills)
    for part in range(fills.parts):
        _fill_part(account, order, fills, part)
    _finish(account, order, fills)
    return None


async def _fill_slowly(account: Account, order: Order, fills: Fills) -> None:
    await asyncio.sleep(fills.after)
    for part in range(fills.parts):
        if part:
            await asyncio.sleep(fills.between)
        _fill_part(account, order, fills, part)
    _finish(account, order, fills)


def _fill_part(account: Account, order: Order, fills: Fills, part: int) -> None:
    """Fill up to this part's mark; parts are whole steps."""
    with account.changed:
        current = account.order(order.id)
        if current is None or not current.is_open:
            return
        step = account.markets[order.market].step
        mark = order.quantity * fills.share * (part + 1) / fills.parts // step * step
        if mark > current.filled:
            account.fill(order.id, mark - current.filled)


def _finish(account: Account, order: Order, fills: Fills) -> None:
    if fills.then != "new":
        account.end(order.id, fills.then)
