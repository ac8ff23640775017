"""On the way of one state to its order nothing is asked twice for the same answer."""

from __future__ import annotations

from collections import Counter

import pytest

from portfoliod.model import Halt, Standing
from portfoliod.switches import HaltSwitch
from tests.harness.workspace import Files
from tests.tasks.scripted_venue import BTC, ScriptedVenue, Trading, trade


class Counting(ScriptedVenue):
    """Counts what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Counter[str] = Counter()

    def pause(self) -> float:
        """Return that it wants none."""
        self.asked["pause"] += 1
        return super().pause()


def test_a_price_a_pause_and_the_halt_are_asked_once_a_step(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """The halt and the pause once more between the journal's flush and the wire; the price is the decision's."""
    venue = Counting()
    read = HaltSwitch.read

    def counted(switch: HaltSwitch) -> Halt | None:
        venue.asked["halt"] += 1
        return read(switch)

    def price_asked() -> None:
        venue.asked["price"] += 1

    async def scenario(trading: Trading) -> None:
        trading.want(trend=1.0)
        await trading.reconciler.once()
        trading.want(trend=0.5)
        venue.price_is_asked = price_asked
        monkeypatch.setattr(HaltSwitch, "read", counted)
        venue.asked.clear()
        await trading.reconciler._decide("main")
        assert venue.asked == {"price": 1}
        worker = trading.reconciler.worker(BTC)
        venue.asked.clear()
        assert (await worker.look()).standing is Standing.WORKING
        assert venue.asked == {"halt": 2, "pause": 2}
        venue.asked.clear()
        assert (await worker.look()).standing is Standing.IN_STEP
        assert venue.asked == {"halt": 1, "pause": 1, "price": 1}

    trade(files, scenario, venue)
