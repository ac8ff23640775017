"""What `check --online` says of an account on an exchange."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping

import msgspec

from portfoliod.errors import VenueError
from portfoliod.model import Problem
from portfoliod.venues.ccxtpro.dialects import at_path
from portfoliod.venues.ccxtpro.exchange import Exchange
from portfoliod.venues.ccxtpro.settings import CcxtSettings
from portfoliod.venues.protocol import Inspection, PositionMode

TOLERATED_MILLISECONDS = 1000


class Permissions(msgspec.Struct, frozen=True):
    """What a key may do; None where the exchange does not tell."""

    trade: bool | None
    withdraw: bool | None


async def inspect(exchange: Exchange, settings: CcxtSettings, mode: PositionMode | None, markets: int) -> Inspection:
    """Return what is fine and what is not with keys, permissions and clock."""
    client = exchange.client
    fine = [f"{client.id} accepts the keys", f"{markets} markets"]
    if mode is not None:
        fine.append(f"position mode: {mode}")
    problems: list[Problem] = []
    for sentence, problem in (await _permissions(exchange, settings), await _clock(exchange)):
        fine += [sentence] if sentence else []
        problems += problem
    return Inspection(fine, problems)


async def _permissions(exchange: Exchange, settings: CcxtSettings) -> tuple[str, list[Problem]]:
    where = f"venue {exchange.venue}"
    ask = next((ask for prefix, ask in _ASKED.items() if exchange.client.id.startswith(prefix)), None)
    if ask is None:
        return f"{exchange.client.id} does not tell what the key may do: see that it cannot withdraw", []
    try:
        permissions = await ask(exchange, settings)
    except (VenueError, AttributeError) as error:
        return f"what the key may do is not known: {str(error).splitlines()[0]}", []
    problems = []
    if permissions.trade is False:
        mend = f"allow {settings.market_type} trading for this key on the exchange"
        problems.append(Problem("the key may not trade", where=where, kept="orders would be refused", mend=mend))
    if permissions.withdraw:
        mend = "make a key without permission to withdraw: whoever steals this one can empty the account"
        problems.append(Problem("the key may withdraw", where=where, kept="portfoliod never withdraws", mend=mend))
    told = [name for name, may in (("trade", permissions.trade), ("withdraw", permissions.withdraw)) if may]
    return f"the key may {' and '.join(told) or 'read only'}", problems


async def _binance(exchange: Exchange, settings: CcxtSettings) -> Permissions:
    answer = await exchange.read("sapiGetAccountApiRestrictions")
    trading = "enableSpotAndMarginTrading" if settings.market_type == "spot" else "enableFutures"
    return Permissions(_flag(answer.get(trading)), _flag(answer.get("enableWithdrawals")))


async def _okx(exchange: Exchange, _settings: CcxtSettings) -> Permissions:
    answer = await exchange.read("privateGetAccountConfig")
    told = at_path(answer, ("data", 0, "perm"))
    return Permissions(None, None) if told is None else _among(str(told).split(","), "trade", "withdraw")


async def _bybit(exchange: Exchange, settings: CcxtSettings) -> Permissions:
    answer = await exchange.read("privateGetV5UserQueryApi")
    told = at_path(answer, ("result", "permissions"))
    if not isinstance(told, Mapping):
        return Permissions(None, None)
    trading = told.get("Spot" if settings.market_type == "spot" else "ContractTrade") or []
    read_only = str(at_path(answer, ("result", "readOnly"))) == "1"
    return Permissions(bool(trading) and not read_only, "Withdraw" in (told.get("Wallet") or []))


_ASKED: Mapping[str, Callable[[Exchange, CcxtSettings], Awaitable[Permissions]]] = {
    "binance": _binance,
    "okx": _okx,
    "bybit": _bybit,
}


async def _clock(exchange: Exchange) -> tuple[str, list[Problem]]:
    if not exchange.has("fetchTime"):
        return "the exchange does not tell its time", []
    try:
        offset = await exchange.clock_offset()
    except Exception as error:  # noqa: BLE001 - a clock that is not told is only said
        return f"the exchange's time is not known: {exchange.said(error)}", []
    if abs(offset) <= TOLERATED_MILLISECONDS:
        return f"our clock is {offset:+d} ms from the exchange's", []
    problem = Problem(
        "our clock is not the exchange's",
        where=f"venue {exchange.venue}",
        found=f"{offset / 1000:+.1f} s",
        kept="requests carry the exchange's time, as it was last measured",
        mend="let this machine keep time: timedatectl set-ntp true",
    )
    return "", [problem]


def _flag(value: object) -> bool | None:
    return None if value is None else str(value).lower() == "true"


def _among(told: Iterable[str], trade: str, withdraw: str) -> Permissions:
    words = {word.strip() for word in told}
    return Permissions(trade in words, withdraw in words)
