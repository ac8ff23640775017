"""A script's functions as typed calls, each failure told as what is known afterwards."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from portfoliod.errors import OrderRefused, OrderUnknown, VenueUnreachable
from portfoliod.model import IntentStatus, MarketRules
from portfoliod.venues.script.answers import (
    OrderAnswer,
    Unfit,
    read_number,
    read_order,
    read_positions,
    read_positive,
    read_rules,
)
from portfoliod.venues.script.lane import CallFailed, Function, Lane, NotCalled
from portfoliod.venues.script.loading import Functions

Answer = TypeVar("Answer")

MEND = "the example config/my_broker.example.py says what each function returns"


class Broker:
    """The functions of a loaded script. Every read raises VenueUnreachable where no usable answer came."""

    def __init__(self, venue: str, path: Path, functions: Functions, lane: Lane) -> None:
        self.functions = functions
        self._where = f"venue {venue}  {path}"
        self._lane = lane

    async def positions(self, *, urgent: bool = False) -> dict[str, Decimal]:
        """Return signed quantities by symbol, as the script spells it."""
        return await self._read("get_positions", self.functions.get_positions, read_positions, urgent=urgent)

    async def price(self, symbol: str) -> Decimal:
        """Return the price of a market."""
        function = self._able("get_price", self.functions.get_price)
        return await self._read("get_price", function, lambda value: read_positive(value, "a price"), symbol)

    async def rules(self, symbol: str, *, spot: bool) -> MarketRules:
        """Return what the broker accepts in a market."""
        function = self._able("get_rules", self.functions.get_rules)
        return await self._read("get_rules", function, lambda value: read_rules(value, spot=spot), symbol)

    async def equity(self) -> Decimal:
        """Return the account's equity."""
        return await self._read("get_equity", self._able("get_equity", self.functions.get_equity), read_number)

    async def order(self, symbol: str, client_id: str, signed: Decimal, *, urgent: bool = False) -> OrderAnswer | None:
        """Return what the broker knows of an order for a signed quantity, None where it does not know it."""
        function = self._able("get_order", self.functions.get_order)
        arguments = (symbol, client_id) if self.functions.order_needs_symbol else (client_id,)

        def known(value: object) -> OrderAnswer | None:
            answer = read_order(value, signed)
            if answer is None and value is not None:
                raise Unfit("expected None or a mapping with a status, found neither `status` nor `filled` in it")
            return answer

        return await self._read("get_order", function, known, *arguments, urgent=urgent)

    async def place(
        self, symbol: str, quantity: Decimal, client_id: str, *, reduce_only: bool, where: str
    ) -> OrderAnswer | None:
        """Send an order for a signed quantity and return what the script says of it, None where it says nothing.

        Raises:
            OrderRefused: the script says so, or was not called.
            OrderUnknown: it raised, was late, or returned what cannot be.
        """
        function = self.functions.place_order
        try:
            value = await self._lane.call(
                "place_order", function, symbol, quantity, reduce_only, client_id, urgent=True
            )
            answer = read_order(value, quantity)
        except NotCalled as error:
            raise OrderRefused(f"not sent: {error}", where=where, kept="the position stays as it is") from error
        except (CallFailed, Unfit) as error:
            kept = "it is looked up before anything else is sent there"
            unfit = isinstance(error, Unfit)
            what = f"place_order returned what cannot be used: {error}" if unfit else str(error)
            raise OrderUnknown(what, where=where, kept=kept, mend=MEND if unfit else "") from error
        if answer is not None and answer.status is IntentStatus.REFUSED:
            reason = answer.reason or "place_order says so"
            raise OrderRefused(reason, where=where, found="status refused", kept="the position stays as it is")
        return answer

    def _able(self, name: str, function: Function | None) -> Function:
        if function is None:
            raise VenueUnreachable(
                f"the script has no {name}", where=self._where, mend=f"define {name}; {MEND}", kept="nothing is assumed"
            )
        return function

    async def _read(
        self, name: str, function: Function, read: Callable[[object], Answer], *arguments: object, urgent: bool = False
    ) -> Answer:
        try:
            return read(await self._lane.call(name, function, *arguments, urgent=urgent))
        except CallFailed as error:
            raise VenueUnreachable(str(error), where=self._where, found=str(error)) from error
        except Unfit as error:
            what = f"{name} returned what cannot be used"
            raise VenueUnreachable(what, where=self._where, found=str(error), mend=MEND) from error
