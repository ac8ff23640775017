"""Making the ccxt client of a venue."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from portfoliod.credentials import Credentials, places
from portfoliod.errors import SettingsError
from portfoliod.lean_ccxt import ccxt, exchange_class
from portfoliod.venues.ccxtpro.dialects import dialect_of
from portfoliod.venues.ccxtpro.settings import CcxtSettings

PING_MILLISECONDS = 3000
"""A socket that is open but silent is noticed after two of these."""
CACHED = 200
"""Orders and trades of the account that ccxt keeps, whole: they are taken out as they come."""
CREDENTIALS = {
    "apiKey": "api_key",
    "secret": "secret",
    "password": "password",
    "uid": "uid",
    "walletAddress": "wallet_address",
    "privateKey": "private_key",
}
NEVER = ("apiKey", "secret", "password", "uid", "walletAddress", "privateKey", "token", "login", "twofa")
"""Options that belong into the credentials."""
_ASYNCHRONOUS = ("ccxt.pro", "ccxt.async_support")


def make_client(settings: CcxtSettings, credentials: Credentials | None, where: str, *, blocking: bool = False) -> Any:
    """Return a client of the exchange: with websockets where ccxt.pro covers it, else without; or a blocking one.

    Raises:
        SettingsError: ccxt does not know the exchange, or cannot take the options.
    """
    kind = client_class(settings.exchange, f"{where}.exchange", ("ccxt",) if blocking else _ASYNCHRONOUS)
    if secret := next((name for name in NEVER if name in settings.options), None):
        raise SettingsError(
            "credentials do not belong into portfoliod.toml",
            where=f"{where}.options.{secret}",
            mend="put them into config/credentials.toml or the environment",
        )
    logging.getLogger("ccxt.base.exchange").setLevel(logging.WARNING)  # below that it logs requests with their keys
    configuration = _merged(_defaults(settings, kind), settings.options)
    if credentials is not None:
        configuration |= {
            theirs: value for theirs, ours in CREDENTIALS.items() if (value := getattr(credentials, ours)) is not None
        }
    try:
        client = kind(configuration)
        if settings.sandbox:
            client.set_sandbox_mode(True)
            urls = settings.options.get("urls")
            client.urls = client.deep_extend(client.urls, urls if isinstance(urls, Mapping) else {})
    except Exception as error:
        raise SettingsError(
            f"ccxt cannot make a client of {settings.exchange}",
            where=where,
            found=f"{type(error).__name__}: {error}",
            mend="mend `options` and `sandbox`",
        ) from error
    client.has["fetchCurrencies"] = False  # a private request, and nothing here needs it
    _know_all_errors(client, settings)
    _send_no_blanks(client)
    _never_retry(client)
    return client


def require_credentials(settings: CcxtSettings, credentials: Credentials | None, venue: str, where: str) -> None:
    """Refuse a venue whose exchange needs keys that were not given.

    Raises:
        SettingsError: it names what is missing, and where it may stand.
    """
    needed = client_class(settings.exchange, f"{where}.exchange")().requiredCredentials
    missing = [
        ours for theirs, ours in CREDENTIALS.items() if needed.get(theirs) and not getattr(credentials, ours, None)
    ]
    if missing:
        raise SettingsError(
            "the venue has no credentials" if credentials is None else "the venue's credentials are not complete",
            where=where,
            found=f"without {', '.join(missing)}" + ("" if credentials is None else f", from {credentials.source}"),
            mend=f"put them into the first of these that suits: {places(venue)}",
        )


def client_class(exchange: str, where: str, packages: Iterable[str] = _ASYNCHRONOUS) -> Any:
    """Return ccxt's class for an exchange id.

    Raises:
        SettingsError: there is none.
    """
    for package in packages:
        if kind := exchange_class(package, exchange):
            return kind
    import difflib

    near = difflib.get_close_matches(exchange, ccxt.exchanges, n=3)
    raise SettingsError(
        "ccxt does not know this exchange",
        where=where,
        found=exchange,
        mend=f"write one of ccxt's ids, such as {', '.join(dict.fromkeys(near)) or 'binanceusdm, okx, bybit'}",
    )


def _defaults(settings: CcxtSettings, kind: Any) -> dict[str, object]:
    stream = {"fetchPositionsSnapshot": False, "awaitPositionsSnapshot": False}
    options: dict[str, object] = {
        "defaultType": settings.market_type,
        "watchPositions": stream,
        "maxRetriesOnFailure": 0,  # a retried order is a second order
        "builderFee": False,  # some exchanges' orders would pay ccxt a hundredth of a per cent
        "ordersLimit": CACHED,
        "tradesLimit": CACHED,
        "adjustForTimeDifference": False,  # measured by us, at each resync
        **dialect_of(settings.exchange).options,
    }
    if settings.market_type != "spot":
        options["defaultSubType"] = "inverse" if settings.quote == "USD" else "linear"
        options["defaultSettle"] = settings.quote
    if settings.margin_mode is not None and dialect_of(settings.exchange).margin_mode_in != "market":
        options["defaultMarginMode"] = settings.margin_mode
    types = _market_types(settings, kind)
    if types:
        options["fetchMarkets"] = {"types": types}
    return {
        "enableRateLimit": True,
        "newUpdates": False,
        "timeout": int(settings.timeout_seconds * 1000),
        "streaming": {"keepAlive": PING_MILLISECONDS},
        "options": options,
    }


def _market_types(settings: CcxtSettings, kind: Any) -> list[str] | None:
    """Return which kinds of market to load, in the words that the exchange's class has for them; None: all."""
    known = _types_of(kind)
    wanted = ["spot"] if settings.market_type == "spot" else ["swap", "future", "contract", "linear", "inverse"]
    types = [name for name in known if name in wanted]
    return types if types and types != known else None


def _types_of(kind: Any) -> list[str]:
    described = kind().describe().get("options", {}).get("fetchMarkets")
    types = described.get("types") if isinstance(described, Mapping) else None
    return list(types) if isinstance(types, list) else []


def _know_all_errors(client: Any, settings: CcxtSettings) -> None:
    """Let binance's errors be told apart on every host: ccxt picks their table by the production url."""
    if not client.id.startswith("binance"):
        return
    kind = "spot" if settings.market_type == "spot" else client.options.get("defaultSubType", "linear")
    particular = client.exceptions.get(kind, {}).get("exact", {})
    client.exceptions["exact"] = {**client.exceptions.get("exact", {}), **particular}


def _send_no_blanks(client: Any) -> None:
    """Leave out parameters that have no value: an order looked up without its id is asked for as `orderId=None`."""
    sign = client.sign

    def signed(path: str, api: object, method: str, params: Any, *more: Any) -> Any:
        if isinstance(params, dict):
            params = {name: value for name, value in params.items() if value is not None}
        return sign(path, api, method, params, *more)

    client.sign = signed


def _never_retry(client: Any) -> None:
    """Overrule options that ask for it, of all requests or of one: a retried order is a second order."""
    for table in (client.options, *client.options.values()):
        if isinstance(table, dict) and "maxRetriesOnFailure" in table:
            table["maxRetriesOnFailure"] = 0


def _merged(below: Mapping[str, object], above: Mapping[str, object]) -> dict[str, object]:
    """Return two tables merged deeply; where both have a value that is no table, the upper one."""
    merged = dict(below)
    for name, value in above.items():
        under = merged.get(name)
        merged[name] = _merged(under, value) if isinstance(under, Mapping) and isinstance(value, Mapping) else value
    return merged
