"""Orders through a script: sent once, and what became of them."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from portfoliod.errors import OrderRefused, OrderUnknown
from portfoliod.model import Fill, IntentStatus, Side
from portfoliod.venues.script import orders as script_orders
from tests.venues.scripts import MEMORY, PRICED, SYMBOL, Scripts, on_script, order


def test_an_order_that_nothing_is_said_of_is_done_once_the_position_shows_it(tmp_path: Path) -> None:
    """The position may lag; what moved it meanwhile in another market does not count."""
    lagging = """
        reads = []
        def get_positions():
            reads.append(1)
            return held if len(reads) > 5 else {"ETHUSDT": len(reads)}
    """

    async def scenario(scripts: Scripts) -> None:
        venue = await scripts.open(MEMORY, PRICED, lagging)
        report = await venue.place(order("0.5"))
        assert (report.status, report.filled) == (IntentStatus.DONE, Decimal("0.5"))
        assert scripts.module.placed == [(SYMBOL, Decimal("0.5"), False, "one")]
        assert len(scripts.module.reads) > 5

    on_script(tmp_path, scenario)


@pytest.mark.parametrize("moved", ["", "held[symbol] = quantity / 2", "held[symbol] = -quantity", "return 'id-7'"])
def test_an_order_that_the_position_does_not_show_is_unknown(
    tmp_path: Path, moved: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing, a part or something else moved: nobody knows, and the same id is not sent again."""
    monkeypatch.setattr(script_orders, "CONFIRM_SECONDS", 0.05)

    async def scenario(scripts: Scripts) -> None:
        calls = f"""
            def place_order(symbol, quantity, reduce_only, client_order_id):
                placed.append(client_order_id)
                {moved}
        """
        venue = await scripts.open(MEMORY, calls)
        for _ in range(2):
            with pytest.raises(OrderUnknown):
                await venue.place(order("0.5"))
        assert scripts.module.placed == ["one"]
        assert await venue.find(order("0.5")) is None

    on_script(tmp_path, scenario)


@pytest.mark.parametrize(
    "answer",
    [
        "{'status': 'done'}",
        "{'status': 'filled', 'filled': 0.5}",
        "{'filled': 0.6}",
        "{'filled': -0.5}",
        "{'filled': float('nan')}",
        "{'filled': 0.5, 'price': 0}",
        "{'status': 'refused', 'filled': 0.5}",
        "[1]",
        "False",
        "1 / 0",
    ],
)
def test_an_answer_that_cannot_be_is_an_unknown_outcome(tmp_path: Path, answer: str) -> None:
    """Whatever place_order makes of it, the order may have been taken: OrderUnknown, never refused."""
    calls = f"""
        def place_order(symbol, quantity, reduce_only, client_order_id):
            return {answer}
    """

    async def scenario(scripts: Scripts) -> None:
        venue = await scripts.open(MEMORY, calls)
        with pytest.raises(OrderUnknown, match="place_order") as caught:
            await venue.place(order("0.5"))
        assert SYMBOL in caught.value.where

    on_script(tmp_path, scenario)


def test_get_order_decides_where_there_is_one(tmp_path: Path) -> None:
    """It is asked until the order is final; what filled so far is told as a sum, under an id of its own."""
    looked_up = """
        known = {}
        def get_order(symbol, client_order_id):
            return known.get((symbol, client_order_id))

        def place_order(symbol, quantity, reduce_only, client_order_id):
            placed.append(client_order_id)
            known[symbol, client_order_id] = {"status": "working", "filled": -0.1}
    """

    async def scenario(scripts: Scripts) -> None:
        venue = await scripts.open(MEMORY, PRICED, looked_up)
        assert venue.finds_orders
        intent = order("-0.5")
        report = await venue.place(intent)
        assert (report.status, report.filled, report.summed) == (IntentStatus.WORKING, Decimal("0.1"), True)
        assert [(fill.trade_id, fill.quantity) for fill in report.fills] == [("one:0.1", Decimal("0.1"))]
        scripts.module.known[SYMBOL, "one"] = {"status": "done", "filled": "0.3", "price": 7, "fee": 1, "at": 99.5}
        for _ in range(2):
            found = await venue.find(intent)
            assert found is not None
            assert found.status is IntentStatus.DONE
            assert found.fills == [
                Fill(intent.key, "one:0.3", "one", Side.SELL, Decimal("0.3"), Decimal(7), Decimal(1), "USDT", 99.5)
            ]
        assert scripts.module.placed == ["one"]

    on_script(tmp_path, scenario)


def test_an_id_that_get_order_knows_from_before_is_adopted(tmp_path: Path) -> None:
    """A new process sends nothing under an id that the broker has an order for."""
    known = "def get_order(client_order_id): return {'filled': 0.5, 'price': 7} if client_order_id == 'one' else None"

    async def scenario(scripts: Scripts) -> None:
        venue = await scripts.open(MEMORY, known)
        assert (await venue.place(order("0.5"))).status is IntentStatus.DONE
        assert scripts.module.placed == []

    on_script(tmp_path, scenario)


@pytest.mark.parametrize(
    "broken", ["def get_order(client_order_id): raise KeyError(client_order_id)", "def get_positions(): return None"]
)
def test_an_order_that_could_not_be_looked_up_afterwards_is_not_sent(tmp_path: Path, broken: str) -> None:
    """It is refused, as not sent, and says which function has to be mended."""

    async def scenario(scripts: Scripts) -> None:
        (tmp_path / "config").mkdir()
        good = "broken = []\ndef get_positions(): return None if broken else held"
        venue = await scripts.open(MEMORY, good if "positions" in broken else broken)
        getattr(scripts.module, "broken", []).append(1)
        with pytest.raises(OrderRefused, match="not sent") as caught:
            await venue.place(order("0.5"))
        assert "get_order" in str(caught.value) or "get_positions" in str(caught.value)
        assert scripts.module.placed == []

    on_script(tmp_path, scenario)


def test_a_look_reads_and_sends_nothing(tmp_path: Path) -> None:
    """A read-only venue tells positions and prices and places no order."""

    async def scenario(scripts: Scripts) -> None:
        venue = await scripts.open(MEMORY, PRICED, read_only=True)
        assert (await venue.price(SYMBOL)).value == 60000
        with pytest.raises(OrderRefused, match="only a look"):
            await venue.place(order("0.5"))
        assert scripts.module.placed == []

    on_script(tmp_path, scenario)


def test_in_ledger_mode_the_broker_does_not_measure_reduce_only(tmp_path: Path) -> None:
    """The account may hold more than what is managed: the flag is left out."""

    async def scenario(scripts: Scripts) -> None:
        venue = await scripts.open(MEMORY, PRICED, ledger=True)
        await venue.place(order("-0.5", reduce_only=True))
        assert scripts.module.placed == [(SYMBOL, Decimal("-0.5"), False, "one")]

    on_script(tmp_path, scenario)
