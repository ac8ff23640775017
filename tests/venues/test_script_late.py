"""Calls into a script that come late or never return."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from portfoliod.errors import OrderRefused, OrderUnknown, VenueUnreachable
from tests.venues.scripts import MEMORY, SYMBOL, Scripts, hangs, on_script, order, until

HANGING = """
    def place_order(symbol, quantity, reduce_only, client_order_id):
        placed.append(client_order_id)
        ready.wait()
        held[symbol] = quantity
"""


def test_a_late_order_is_unknown_until_its_call_has_ended_and_the_grace_has_passed(tmp_path: Path) -> None:
    """While the call hangs nothing else is called or sent; its absence is no proof until a while after it returned."""

    async def scenario(scripts: Scripts) -> None:
        venue = await scripts.open(MEMORY, HANGING, timeout_seconds=0.2)
        with pytest.raises(OrderUnknown, match=r"within 0\.2 s"):
            await venue.place(order("0.5"))
        with pytest.raises(VenueUnreachable, match="place_order was given up"):
            await venue.positions(time.monotonic())
        with pytest.raises(OrderRefused, match="not sent"):
            await venue.place(order("1", client_id="two", symbol="ETHUSDT"))
        with pytest.raises(VenueUnreachable):
            await venue.find(order("0.5"))
        assert scripts.module.placed == ["one"]
        scripts.module.ready.set()
        await until(lambda: SYMBOL in scripts.module.held)
        refusals = 0
        while True:
            try:
                assert await venue.find(order("0.5")) is None
                break
            except VenueUnreachable:
                refusals += 1
                await asyncio.sleep(0.01)
        assert refusals
        assert (await venue.positions(time.monotonic())).quantities == {SYMBOL: Decimal("0.5")}

    on_script(tmp_path, scenario)


def test_calls_that_wait_behind_a_hanging_one_fail_with_it(tmp_path: Path) -> None:
    """They were never called; nothing piles up, and after the late return everything works again."""
    slow = """
        prices = []
        def get_price(symbol):
            prices.append(symbol)
            ready.wait()
            return 7
    """

    async def scenario(scripts: Scripts) -> None:
        venue = await scripts.open(MEMORY, slow, timeout_seconds=0.2)
        before = threading.active_count()
        answers = await asyncio.gather(*(venue.price(f"{name}USDT") for name in "ABCDE"), return_exceptions=True)
        assert all(isinstance(answer, VenueUnreachable) for answer in answers)
        assert scripts.module.prices == ["AUSDT"]
        assert threading.active_count() <= before
        scripts.module.ready.set()
        await until(lambda: not hangs(venue))
        assert (await venue.price("BUSDT")).value == 7

    on_script(tmp_path, scenario)


def test_a_hanging_call_blocks_neither_the_loop_nor_other_async_functions(tmp_path: Path) -> None:
    """An async function that is late is cancelled, and the next call goes through."""
    late = """
        import asyncio
        cancelled = []
        async def get_price(symbol):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(symbol)
                raise
    """

    async def scenario(scripts: Scripts) -> None:
        venue = await scripts.open(MEMORY, late, timeout_seconds=0.1)
        with pytest.raises(VenueUnreachable, match=r"within 0\.1 s"):
            await venue.price(SYMBOL)
        await until(lambda: scripts.module.cancelled == [SYMBOL])
        await until(lambda: not hangs(venue))
        assert (await venue.positions(time.monotonic())).quantities == {}

    on_script(tmp_path, scenario)


def test_an_order_whose_waiting_is_cancelled_is_still_under_way(tmp_path: Path) -> None:
    """Who gives up waiting from outside leaves a call behind that counts as late."""

    async def scenario(scripts: Scripts) -> None:
        venue = await scripts.open(MEMORY, HANGING)
        waiting = asyncio.create_task(venue.place(order("0.5")))
        await until(lambda: scripts.module.placed == ["one"])
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(VenueUnreachable):
            await venue.find(order("0.5"))
        with pytest.raises(OrderRefused, match="not sent"):
            await venue.place(order("1", client_id="two", symbol="ETHUSDT"))

    on_script(tmp_path, scenario)


def test_an_order_goes_before_the_reads_that_wait(tmp_path: Path) -> None:
    """Calls are made one at a time, and an order waits for one of them at most."""
    recorded = """
        calls, inside = [], []
        def call(name):
            assert not inside
            inside.append(name)
            calls.append(name)
            if len(calls) == 2:
                ready.wait()
            inside.clear()

        def get_price(symbol):
            call(symbol)
            return 7

        def get_order(client_order_id):
            call("get_order")

        def place_order(symbol, quantity, reduce_only, client_order_id):
            call("place_order")
            return {"filled": quantity}
    """

    async def scenario(scripts: Scripts) -> None:
        venue = await scripts.open(MEMORY, recorded)
        await venue.price("WARM")
        reads = [asyncio.create_task(venue.price(f"READ{number}")) for number in range(5)]
        await until(lambda: scripts.module.inside == ["READ0"])
        placing = asyncio.create_task(venue.place(order("0.5", symbol="WARM")))
        await asyncio.sleep(0)
        scripts.module.ready.set()
        await asyncio.gather(placing, *reads)
        calls = scripts.module.calls
        assert calls.index("get_order") == 2
        assert calls.index("place_order") < calls.index("READ4")

    on_script(tmp_path, scenario)


def test_the_file_is_run_once(tmp_path: Path) -> None:
    """Connecting again keeps what the script remembers; a file that takes too long is taken once it is through."""
    slow = """
        import sys, types
        gate = sys.modules["gate"]
        gate.runs.append(1)
        gate.ready.wait()
    """
    gate: Any = type(sys)("gate")
    gate.runs, gate.ready = [], threading.Event()
    sys.modules["gate"] = gate

    async def scenario(scripts: Scripts) -> None:
        scripts.write(MEMORY, slow)
        venue = scripts.new(timeout_seconds=0.1)
        for _ in range(2):
            with pytest.raises(VenueUnreachable):
                await venue.connect()
        gate.ready.set()
        await until(lambda: not hangs(venue))
        await venue.connect()
        await venue.connect()
        assert gate.runs == [1]

    try:
        on_script(tmp_path, scenario)
    finally:
        gate.ready.set()
        del sys.modules["gate"]
