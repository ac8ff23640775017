"""The border to ccxt: one client, asked through one door, and every failure sorted before it goes further."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import structlog

from portfoliod.errors import KeysRefused, VenueError, VenuePaused, VenueUnreachable
from portfoliod.lean_ccxt import ccxt
from portfoliod.venues.ccxtpro.budget import budget_of
from portfoliod.venues.ccxtpro.dialects import dialect_of
from portfoliod.venues.ccxtpro.outcomes import Outcome, outcome_of

log: structlog.stdlib.BoundLogger = structlog.get_logger()

PAUSE_SECONDS = 10.0
"""After a refusal for rate that does not say how long."""
BAN_SECONDS = 60.0
LONGEST_PAUSE = 3600.0
LONG_REPLY = 100_000
"""Characters from which only the ends of a reply are looked at: it would be parsed twice."""
QUERY = re.compile(r"(?<=\w)\?\S+=\S+")
"""In a URL."""
USER = re.compile(r"(?<=://)[^/@\s]+@")
"""In a URL, with a password."""
LISTEN_KEY = re.compile(r"(?i)(listen_?key\W+|/ws/)[a-z0-9]{32,}")
"""What lets binance's private stream be heard, in a reply or in a URL."""
BANNED_UNTIL = re.compile(r"banned until (\d{13})")


OF_AN_ORDER = {"fetch_order", "fetch_order_trades", "fetch_my_trades"}
"""Questions to which "there is no such order" is an answer. To any other it is none."""


class OrderAbsent(Exception):
    """The exchange does not know the order that was asked for."""


class Exchange:
    """A ccxt client. `client` is for what cannot fail or is not a request; requests go through `read`."""

    def __init__(self, client: Any, venue: str, redact: Callable[[str], str]) -> None:
        self.client = client
        self.venue = venue
        self.dialect = dialect_of(client.id)
        kind = client.options.get("defaultType")
        self.look_up = self.dialect.look_up if kind in self.dialect.look_up_in else None
        """Parameters of fetch_order that find an order by its client order id; None: it cannot."""
        self._redact = redact
        self._paused_until = 0.0
        self._confirming = asyncio.Lock()
        self._budget = budget_of(client)
        client.throttle = self._throttle
        client.on_rest_response = self._on_response
        client.log = self._on_log

    def has(self, method: str) -> bool:
        """Return whether the exchange itself offers a method, by ccxt's camel-case name."""
        return self.client.has.get(method) is True

    @property
    def lists_orders(self) -> bool:
        """Whether its lists can tell that there is no such order."""
        return self.has("fetchOpenOrders") and (self.has("fetchOrders") or self.has("fetchClosedOrders"))

    @property
    def lists_trades(self) -> bool:
        """Whether it can be asked for the trades of an order. Where it cannot, only sums are believed.

        What a stream or a reply happens to tell of single trades might be in a sum that was told before.
        """
        return self.has("fetchMyTrades") or self.has("fetchOrderTrades")

    def pause(self) -> float:
        """Return for how many seconds the exchange asked to be left alone."""
        return max(0.0, self._paused_until - time.monotonic())

    async def read(self, method: str, *arguments: object, clock_is_right: bool = False) -> Any:
        """Return what a method of the client answers. It may be asked again: nothing that trades comes through here.

        Raises:
            OrderAbsent: it asked for an order (`OF_AN_ORDER`) that the exchange does not know.
            VenuePaused: the exchange wants to be left alone; nothing was asked.
            KeysRefused: certain, after a second refusal.
            VenueUnreachable: anything else.
        """
        self.check_pause()
        try:
            return await getattr(self.client, method)(*arguments)
        except VenuePaused:
            raise
        except Exception as error:
            outcome = outcome_of(self.client.id, error)
            if outcome is not Outcome.CLOCK or clock_is_right:
                raise await self.failure(error, outcome, method) from error
        await self.set_clock()
        return await self.read(method, *arguments, clock_is_right=True)

    async def failure(self, error: Exception, outcome: Outcome, method: str) -> VenueError | OrderAbsent:
        """Return what a read's failure is to the daemon; an exchange that asked for it gets its pause."""
        if outcome is Outcome.ABSENT and method in OF_AN_ORDER:
            return OrderAbsent(self.said(error))
        if outcome is Outcome.LATER:
            self.leave_alone()
        if self.pause() > 0:
            return self.paused()
        if outcome is Outcome.KEYS and await self.keys_are_refused():
            return self.keys_refused(error)
        return VenueUnreachable(
            f"{method.replace('_', ' ')}: no usable answer", where=f"venue {self.venue}", found=self.said(error)
        )

    async def _throttle(self, cost: float | None = None) -> None:
        """Wait for the budget, in ccxt's limiter's place; a pause that began meanwhile holds the request back."""
        await self._budget.take(cost)
        self.check_pause()

    def check_pause(self) -> None:
        """Raise VenuePaused while the exchange wants to be left alone."""
        if self.pause() > 0:
            raise self.paused()

    def paused(self) -> VenuePaused:
        """Return the error that says how long the pause still is."""
        seconds = self.pause()
        return VenuePaused(
            "the exchange asks for a pause", seconds=seconds, where=f"venue {self.venue}", found=f"{seconds:.0f} s"
        )

    def leave_alone(self, seconds: float | None = None) -> None:
        """Ask nothing for so long; None: for a while, unless the exchange said how long."""
        if seconds is not None:
            self._paused_until = max(self._paused_until, time.monotonic() + min(seconds, LONGEST_PAUSE))
        elif self.pause() == 0:
            self._paused_until = time.monotonic() + PAUSE_SECONDS

    async def keys_are_refused(self) -> bool:
        """Return whether a second private request is refused for its keys too: one refusal may be a hiccup."""
        async with self._confirming:
            try:
                await self.client.fetch_balance()
            except Exception as error:  # noqa: BLE001 - only this one answer matters
                return outcome_of(self.client.id, error) is Outcome.KEYS
            return False

    def keys_refused(self, error: Exception) -> KeysRefused:
        """Return the error that halts the daemon."""
        return KeysRefused(
            f"{self.client.id} does not accept the keys",
            where=f"venue {self.venue}",
            found=self.said(error),
            kept="nothing more is sent; positions stay as they are",
            mend="mend the key or its permissions (portfoliod check --online), then: portfoliod resume",
        )

    async def set_clock(self) -> None:
        """Measure how far our clock is from the exchange's, so that requests carry the exchange's time."""
        if self.pause() > 0 or not self.has("fetchTime") or "timeDifference" not in self.client.options:
            return
        try:
            self.client.options["timeDifference"] = await self.clock_offset()
        except Exception as error:  # noqa: BLE001 - the old offset stays
            log.debug("clock.unknown", venue=self.venue, error=self.said(error))

    @property
    def clock_ahead(self) -> int:
        """By how many milliseconds our clock was ahead of the exchange's when that was last measured."""
        return int(self.client.options.get("timeDifference") or 0)

    async def clock_offset(self) -> int:
        """Return by how many milliseconds our clock is ahead of the exchange's."""
        theirs = int(await self.client.fetch_time())
        if theirs % 1000 == 0:
            theirs += 500  # told in whole seconds
        # From when it was sent: it may have waited for the budget before.
        return int((self.client.lastRestRequestTimestamp + self.client.milliseconds()) // 2 - theirs)

    def said(self, error: BaseException) -> str:
        """Return an error's text, without credentials, without what a request carried, and not longer than a line."""
        text = self._concealed(QUERY.sub("", f"{type(error).__name__}: {error}"))
        return text if len(text) <= 300 else f"{text[:300]}…"

    def _concealed(self, text: str) -> str:
        return self._redact(LISTEN_KEY.sub(r"\1***", USER.sub("***@", text)))

    def _on_log(self, *said: object) -> None:
        """Say what `options.verbose` asks for where the log is, not between the lines of a command's answer."""
        log.debug("ccxt.said", venue=self.venue, text=self._concealed(" ".join(map(str, said)).strip()))

    def _on_response(self, *response: Any) -> Any:
        """Note a pause that a reply asks for, whatever becomes of its body."""
        code, _, _, _, headers, body = response[:6]
        if code in {418, 429}:
            self.leave_alone(_asked_for(headers, body, BAN_SECONDS if code == 418 else PAUSE_SECONDS))
            # Here, since a class may know neither the status nor the body that came with it.
            raise ccxt.RateLimitExceeded(f"{self.client.id} {code}: {body}")
        if code == 200 and not _is_json(body):
            # ccxt makes an empty list of it: a flat account, no open orders.
            raise ccxt.BadResponse(f"{self.client.id}: a reply that is not JSON: {str(body)[:80]!r}")
        return body.strip() if isinstance(body, str) else body


def _is_json(body: object) -> bool:
    text = body.strip() if isinstance(body, str) else ""
    if len(text) > LONG_REPLY:
        return text[:1] + text[-1:] in {"{}", "[]"}
    try:
        return json.loads(text) is not None
    except (ValueError, RecursionError):
        return False


def _asked_for(headers: Any, body: object, default: float) -> float:
    until = BANNED_UNTIL.search(body) if isinstance(body, str) else None
    if until is not None:
        return max(1.0, int(until[1]) / 1000 - time.time())
    value = next((value for name, value in dict(headers or {}).items() if name.lower() == "retry-after"), None)
    try:
        return max(1.0, float(value)) if value is not None else default
    except ValueError:
        return default


def decimal(value: object) -> Decimal | None:
    """Return a number of ccxt's as Decimal: its floats are parsed from texts, and print as these."""
    if value is None or value == "" or isinstance(value, bool):
        return None
    number = Decimal(str(value))
    return number if number.is_finite() else None
