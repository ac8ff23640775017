"""What waits to be sent: gathered, bounded, and counted where it is lost."""

from __future__ import annotations

import asyncio
import io
import sys
import threading
import time
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from portfoliod.journal import Journal
from portfoliod.logs import redaction, start_log
from portfoliod.model import Fill, Key, Side
from portfoliod.notifications import Notifications
from portfoliod.notifications.messages import MOST_LINES, message, rank
from portfoliod.notifications.notifications import _last
from portfoliod.notifications.outbox import KEPT_FOR_ERRORS, MOST_WAITING, Outbox
from portfoliod.settings import NotifySettings, NotifyTarget
from portfoliod.status import Status, VenueStatus
from tests.harness.daemon import PATIENCE
from tests.harness.hook import Hook

STATUS = Status(
    version="0",
    state="running",
    mode="paper",
    pid=1,
    started_at=None,
    updated_at="",
    account_value=10_000,
    leverage=1,
    weights={"trend": 0.6, "carry": 0.0},
    strategies={},
    venues={"paper": VenueStatus("paper", True, "10012.50", None, None)},
    markets=[],
    problems=[],
)


class Receiver:
    """Takes messages when it is let to, and counts in how many they came."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.at: list[float] = []
        self.called, self.go_on = threading.Event(), threading.Event()

    def __call__(self, _title: str, text: str) -> str:
        """Take a message."""
        self.called.set()
        assert self.go_on.wait(PATIENCE)
        self.texts.append(text)
        self.at.append(time.monotonic())
        return ""


def event(name: str, level: str = "warning", **fields: Any) -> dict[str, Any]:
    return {"event": name, "level": level, **fields}


def finish(outbox: Outbox) -> None:
    """Let it send what waits."""
    outbox.end()
    outbox.join(time.monotonic() + PATIENCE)


def test_while_a_target_hangs_at_most_so_many_wait_and_errors_have_places_of_their_own() -> None:
    """Whoever puts does not wait; how many were lost is told with the next message."""
    receiver = Receiver()
    outbox = Outbox("1", "warning", 1, receiver)
    outbox.put(event("the.first"))
    assert receiver.called.wait(PATIENCE)
    for number in range(MOST_WAITING + 50):
        outbox.put(event("venue.unreachable", number=number))
    for number in range(KEPT_FOR_ERRORS + 5):
        outbox.put(event("symbol.locked", "error", number=number))
    receiver.go_on.set()
    finish(outbox)
    told = "\n".join(receiver.texts)
    assert receiver.texts[0] == "the.first"
    assert "55 others could not be told" in told


def test_what_comes_together_is_one_message_and_what_is_the_same_one_line() -> None:
    receiver = Receiver()
    receiver.go_on.set()
    outbox = Outbox("1", "warning", 1, receiver)
    for _ in range(3):
        outbox.put(event("venue.unreachable", venue="main", cycle="3f2a"))
    outbox.put(event("symbol.locked", "error", symbol="BTC/USDT:USDT"))
    finish(outbox)
    assert receiver.texts == ["venue.unreachable venue=main (3 times)\nsymbol.locked symbol=BTC/USDT:USDT"]


def test_messages_keep_their_distance() -> None:
    receiver = Receiver()
    receiver.go_on.set()
    outbox = Outbox("1", "warning", 1.5, receiver)
    outbox.put(event("the.first"))
    assert receiver.called.wait(PATIENCE)
    receiver.called.clear()
    outbox.put(event("the.second"))
    assert receiver.called.wait(PATIENCE)
    finish(outbox)
    first, second = receiver.at
    assert second - first >= 1.4


@pytest.mark.parametrize(
    ("name", "level", "expected"),
    [
        ("order.filled", "info", 1),
        ("state.accepted", "info", 0),
        ("state.rejected", "error", 3),
        ("venue.unreachable", "warning", 2),
        ("venue.recovered", "info", 2),
        ("halt.cleared", "info", 3),
        ("notify.failed", "warning", 0),
        ("resync.done", "debug", 0),
    ],
)
def test_an_event_is_told_from_a_level_on(name: str, level: str, expected: int) -> None:
    """Accepted files are no news, messages say nothing of messages, and an end is told to whoever heard the begin."""
    assert rank(event(name, level)) == expected


def test_a_message_is_as_long_as_a_person_reads() -> None:
    title, text = message([event("order.filled", number=number) for number in range(100)], lost=0)
    assert title.endswith(": order.filled and 99 more")
    assert len(text.splitlines()) == MOST_LINES + 1
    assert text.endswith("and 60 more: journalctl -u portfoliod")


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")  # one of apprise's plug-ins imports it
def test_once_a_day_everybody_hears_how_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, whatever the level, when the clock shows the time: with what the accounts are worth and what was filled."""
    now = [86_400 * 20_000 + 3600 * 7 - 5.0]
    monkeypatch.setattr(
        "portfoliod.notifications.notifications.time", SimpleNamespace(time=lambda: now[0], monotonic=time.monotonic)
    )
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with Hook() as hook:
        urls = (NotifyTarget(hook.url, "error"),)
        start_log("json", verbose=False)
        notifications = Notifications(NotifySettings(urls=urls, every_seconds=1, daily="07:00"))
        try:
            asyncio.run(_live_on(notifications, tmp_path, now))
        finally:
            notifications.close()
            redaction._redactions.clear()
            structlog.reset_defaults()
    facts = "status='running, paper; no markets yet' equity='paper 10012.50' fills=1 weights='trend 0.6'"
    assert hook.told == f"portfolio.summed_up {facts}"


async def _live_on(notifications: Notifications, folder: Path, now: list[float]) -> None:
    """Let time pass: one fill is older than the first day, one is of it."""
    key, one = Key("paper", "BTC/USDT:USDT"), Decimal(1)
    async with Journal(folder / "journal.db") as journal:
        await notifications.note(STATUS, journal)
        await journal.record_fills(
            [Fill(key, str(at), "", Side.BUY, one, one, Decimal(0), "USDT", at) for at in (1.0, now[0] + 1)]
        )
        for seconds in (0, 10, 10, 3600):
            now[0] += seconds
            await notifications.note(STATUS, journal)


@pytest.mark.parametrize(("now", "expected"), [(86_400 + 3600 * 8, 86_400 + 3600 * 7), (86_400 + 60, 3600 * 7)])
def test_the_daily_summary_is_due_when_a_clock_of_utc_shows_its_time(now: float, expected: float) -> None:
    assert _last("07:00", now) == expected
