"""Random faults at an emulated Binance: of requests, of fills, of its streams, of its prices."""

from __future__ import annotations

import collections
import random
from collections.abc import Callable
from decimal import Decimal

from tests.emulators.account import Account
from tests.emulators.binance import BinanceFutures, status_unknown
from tests.emulators.faults import (
    Action,
    BusinessError,
    Delay,
    Fills,
    Hang,
    Lag,
    Late,
    Lose,
    Reset,
    Rule,
    StreamAction,
    Swap,
    Truncate,
    Twice,
    empty,
    garbled,
    html,
    too_many_requests,
)

READS = ("positions", "order", "trades", "balance")
ORDERS: dict[str, Callable[[random.Random], Action]] = {
    "accepted, never answered": lambda _: Hang(processed=True),
    "lost, never answered": lambda _: Hang(processed=False),
    "accepted, then reset": lambda _: Reset(processed=True),
    "lost, then reset": lambda _: Reset(processed=False),
    "accepted, half an answer": lambda _: Truncate(),
    "accepted, garbled answer": lambda _: garbled(),
    "accepted, empty answer": lambda _: empty(),
    "accepted, page of a proxy": lambda _: html(502, processed=True),
    "lost, page of a proxy": lambda _: html(503),
    "503, accepted": lambda _: status_unknown(processed=True),
    "503, not accepted": lambda _: status_unknown(processed=False),
    "margin is insufficient": lambda _: BusinessError(code=-2019),
    "slow": lambda chance: Delay(before=chance.uniform(0, 0.5), after=chance.uniform(0, 0.5)),
    "arrives late": lambda chance: Late(seconds=chance.uniform(0.1, 2)),
    "fills in parts": lambda chance: Fills(after=chance.uniform(0, 0.5), parts=chance.randint(2, 5), between=0.05),
    "fills in part": lambda chance: Fills(share=Decimal(str(round(chance.uniform(0.1, 0.9), 2))), parts=2),
}
ANSWERS: dict[str, Callable[[random.Random], Action]] = {
    "read: reset": lambda _: Reset(processed=False),
    "read: never answered": lambda _: Hang(processed=False),
    "read: garbled": lambda _: garbled(),
    "read: empty": lambda _: empty(),
    "read: half an answer": lambda _: Truncate(),
    "read: page of a proxy": lambda _: html(504),
    "read: slow": lambda chance: Delay(before=chance.uniform(0, 1)),
}
MESSAGES: dict[str, Callable[[random.Random], StreamAction]] = {
    "message lost": lambda _: Lose(),
    "message twice": lambda _: Twice(),
    "messages swapped": lambda _: Swap(),
    "message late": lambda chance: Delay(before=chance.uniform(0, 1)),
}
FORGOTTEN_AFTER = 50
"""Faults after which those that have not struck yet are taken back."""
EVENTS = ("ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE")


class Trouble:
    """Makes trouble, one fault at a time, and counts what it made."""

    def __init__(self, exchange: BinanceFutures, seed: int) -> None:
        self.made: collections.Counter[str] = collections.Counter()
        self._exchange = exchange
        self._chance = random.Random(seed)
        self._kinds = (self._an_order, self._an_answer, self._a_message, self._a_cut)
        self._weights = (10, 5, 4, 1)
        self._waiting_for_an_order: Rule | None = None

    def make(self) -> None:
        """Let one thing go wrong soon."""
        if self.made.total() % FORGOTTEN_AFTER == 0:
            self._exchange.faults.clear()
        (kind,) = self._chance.choices(self._kinds, self._weights)
        self.made[kind()] += 1

    def move_prices(self) -> None:
        """Let each price make a small step."""
        account: Account = self._exchange.account
        for market in list(account.markets.values()):
            step = Decimal(str(round(self._chance.gauss(0, 0.0003), 6)))
            price = account.prices[market.id] * (1 + step)
            account.set_price(market.id, price.quantize(market.tick))

    def end(self) -> None:
        """Let everything work again."""
        self._exchange.faults.clear()

    def _an_order(self) -> str:
        if self._waiting_for_an_order is not None:  # one order meets one fault
            self._exchange.faults.remove(self._waiting_for_an_order)
        name = self._chance.choice(list(ORDERS))
        self._waiting_for_an_order = self._exchange.faults.add("place", ORDERS[name](self._chance))
        return name

    def _an_answer(self) -> str:
        name = self._chance.choice(list(ANSWERS))
        self._exchange.faults.add(self._chance.choice(READS), ANSWERS[name](self._chance))
        return name

    def _a_message(self) -> str:
        name = self._chance.choice(list(MESSAGES))
        self._exchange.faults.add_stream(MESSAGES[name](self._chance), name=self._chance.choice(EVENTS))
        return name

    def _a_cut(self) -> str:
        chosen = self._chance.choice(("sockets cut", "listen key expired", "positions lag", "429", "everything slow"))
        match chosen:
            case "sockets cut":
                self._exchange.close_sockets()
            case "listen key expired":
                self._exchange.expire_listen_key()
            case "positions lag":
                self._exchange.faults.add("positions", Lag(self._chance.uniform(0, 1)), times=3)
            case "429":
                self._exchange.faults.add("*", too_many_requests(1))
            case _:
                self._exchange.faults.add("*", Delay(before=0.3), seconds=2.0)
        return chosen
