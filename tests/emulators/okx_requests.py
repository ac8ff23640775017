"""What OKX's requests carry and how its answers are wrapped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from tests.emulators.account import Account
from tests.emulators.account_records import Market
from tests.emulators.okx_errors import refused
from tests.emulators.okx_instruments import family, kind
from tests.emulators.okx_rows import Row
from tests.emulators.server import Reply

Fields = Mapping[str, str]

INSTRUMENT_TYPES = ("SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION")
PAGE = 100
"""The most rows of one page."""
LAST = 2**63


def answer(data: Iterable[object]) -> Reply:
    """Return rows in the envelope of a request that went well."""
    return Reply({"code": "0", "data": list(data), "msg": ""})


def trading_body(rows: Sequence[Row], now: int) -> dict[str, object]:
    """Return the rows of an order request in their envelope; `now` is in milliseconds.

    The code is 0 if every row went well, 1 if none did, 2 otherwise.
    """
    failed = sum(row["sCode"] != "0" for row in rows)
    code = "0" if not failed else "1" if failed == len(rows) else "2"
    text = {"0": "", "1": "All operations failed", "2": "Bulk operation partially succeeded."}[code]
    return {"code": code, "data": list(rows), "inTime": f"{now}000", "msg": text, "outTime": f"{now}500"}


def json_rows(body: str) -> list[dict[str, str]]:
    """Return the objects of a body, their values as text. Raises Refusal."""
    if not body:
        raise refused("50000")
    try:
        value = msgspec.json.decode(body, type=list[dict[str, object]] | dict[str, object])
    except msgspec.DecodeError:
        raise refused("50002") from None
    return [as_text(row) for row in (value if isinstance(value, list) else [value])]


def as_text(row: Mapping[str, object]) -> dict[str, str]:
    """Return the fields of a JSON object as text."""
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in row.items()}


def paged(rows: Iterable[Row], fields: Fields, id_field: str, time_field: str) -> list[Row]:
    """Return the page of rows, newest first, that `after`, `before`, `begin`, `end` and `limit` ask for."""

    def inside(row: Row) -> bool:
        number, at = int(str(row[id_field])), int(str(row[time_field]))
        older, newer = _mark(fields, "after", LAST), _mark(fields, "before", -1)
        return newer < number < older and _mark(fields, "begin", 0) <= at <= _mark(fields, "end", LAST)

    newest_first = [row for row in rows if inside(row)][::-1]
    return newest_first[: min(_mark(fields, "limit", PAGE), PAGE)]


def _mark(fields: Fields, name: str, default: int) -> int:
    text = fields.get(name) or str(default)
    if not text.lstrip("-").isdigit():
        raise refused("51000", name)
    return int(text)


def check_instrument_type(fields: Fields, *, required: bool = False) -> None:
    """Raise Refusal if `instType` is no type of OKX's, or is missing though `required`."""
    name = fields.get("instType", "")
    if required and not name:
        raise refused("50014", "instType")
    if name and name not in INSTRUMENT_TYPES:
        raise refused("51000", "instType")


def named_market(account: Account, fields: Fields) -> Market:
    """Return the instrument that `instId` names. Raises Refusal."""
    if not fields.get("instId"):
        raise refused("50014", "instId")
    market = account.markets.get(fields["instId"])
    if market is None:
        raise refused("51001")
    return market


def matching_markets(account: Account, fields: Fields) -> list[Market]:
    """Return the instruments that `instType`, `instFamily`, `uly` and `instId` leave. Raises Refusal."""
    if fields.get("instId"):
        named_market(account, fields)
    return [
        market
        for market in account.markets.values()
        if fields.get("instType") in (None, "", kind(market))
        and fields.get("instFamily") in (None, "", family(market))
        and fields.get("uly") in (None, "", family(market))
        and fields.get("instId") in (None, "", market.id)
    ]
