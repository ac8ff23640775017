"""Symbols: every form that strategies write finds the market that the venue's type prefers, or says which were near."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfoliod.errors import UnknownSymbol
from portfoliod.venues.symbols import Directory, Listing


def swap(base: str, quote: str = "USDT", name: str | None = None) -> Listing:
    return Listing(f"{base}/{quote}:{quote}", name or f"{base}{quote}", base, quote, "swap")


def spot(base: str, quote: str = "USDT", name: str | None = None) -> Listing:
    return Listing(f"{base}/{quote}", name or f"{base}{quote}", base, quote, "spot")


def future(base: str, expiry: str, quote: str = "USDT") -> Listing:
    return Listing(f"{base}/{quote}:{quote}-{expiry}", f"{base}{quote}_{expiry}", base, quote, "future")


INVERSE = Listing("BTC/USD:BTC", "BTCUSD_PERP", "BTC", "USD", "swap")
LISTINGS = [
    swap("BTC"),
    spot("BTC"),
    swap("BTC", "USDC"),
    spot("BTC", "USDC"),
    future("BTC", "240628"),
    future("BTC", "240927"),
    INVERSE,
    swap("ETH"),
    spot("ETH"),
    spot("PEPE"),
]


def directory(market_type: str = "swap", quote: str = "USDT", listings: list[Listing] | None = None) -> Directory:
    return Directory("main", LISTINGS if listings is None else listings, market_type, quote)


@pytest.mark.parametrize(
    ("text", "market_type", "symbol"),
    [
        ("BTCUSDT", "swap", "BTC/USDT:USDT"),
        ("BTC/USDT:USDT", "swap", "BTC/USDT:USDT"),
        ("BTC/USDT", "swap", "BTC/USDT:USDT"),
        ("BTC-USDT", "swap", "BTC/USDT:USDT"),
        ("btcusdt", "swap", "BTC/USDT:USDT"),
        (" btc/usdt:usdt\n", "swap", "BTC/USDT:USDT"),
        ("BTCUSDT", "spot", "BTC/USDT"),
        ("BTC/USDT", "spot", "BTC/USDT"),
        ("BTC-USDT", "spot", "BTC/USDT"),
        ("BTC/USDT:USDT", "spot", "BTC/USDT:USDT"),
        ("BTCUSDC", "swap", "BTC/USDC:USDC"),
        ("BTCUSD_PERP", "swap", "BTC/USD:BTC"),
        ("BTCUSD", "swap", "BTC/USD:BTC"),
        ("BTC/USD:BTC", "swap", "BTC/USD:BTC"),
        ("BTC/USDT:USDT-240628", "swap", "BTC/USDT:USDT-240628"),
        ("BTCUSDT_240628", "swap", "BTC/USDT:USDT-240628"),
        ("PEPEUSDT", "swap", "PEPE/USDT"),
        ("ETHUSDT", "future", None),
    ],
)
def test_every_form_finds_the_market_of_the_venues_type(text: str, market_type: str, symbol: str | None) -> None:
    if symbol is None:
        with pytest.raises(UnknownSymbol):
            directory(market_type).resolve(text)
    else:
        assert directory(market_type).resolve(text) == symbol


def test_of_several_markets_of_one_name_the_one_in_the_venues_quote_is_meant() -> None:
    listings = [swap("BTC", "USDT", "BTC"), swap("BTC", "USDC", "BTC")]
    assert directory(quote="USDT", listings=listings).resolve("BTC") == "BTC/USDT:USDT"
    assert directory(quote="USDC", listings=listings).resolve("BTC") == "BTC/USDC:USDC"


def test_a_name_of_several_markets_names_each_of_them() -> None:
    with pytest.raises(UnknownSymbol) as caught:
        directory("future").resolve("BTC/USDT")
    assert caught.value.what == "several markets go by this symbol"
    assert caught.value.found == "BTC/USDT: BTC/USDT:USDT-240628, BTC/USDT:USDT-240927"
    assert "main" in caught.value.where
    assert caught.value.mend


def test_a_suspended_market_is_meant_where_no_other_that_trades_fits_as_well() -> None:
    """A dated future is not taken for the perpetual that is suspended, but a market that trades goes first."""
    halted, twin = swap("ETH"), swap("BTC")
    suspended = [halted, Listing("BTC/USDT:OLD", "OLD", "BTC", "USDT", "swap")]
    names = Directory("main", [future("ETH", "240628"), twin], "swap", "USDT", suspended)
    assert names.resolve("ETHUSDT") == halted.symbol
    assert names.resolve("BTC/USDT") == twin.symbol
    assert halted.symbol not in names.listings


def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(UnknownSymbol) as caught:
        directory().resolve("BTCUSTD")
    assert caught.value.what == "no such market"
    assert "BTCUSTD" in caught.value.found
    assert "BTC/USDT" in caught.value.found
    assert "main" in caught.value.where
    assert caught.value.mend


@pytest.mark.parametrize("text", ["", " ", "??", "X" * 64])
def test_a_name_that_is_near_nothing_is_unknown(text: str) -> None:
    with pytest.raises(UnknownSymbol, match="no such market"):
        directory().resolve(text)


def test_a_venue_without_markets_knows_no_symbol() -> None:
    with pytest.raises(UnknownSymbol):
        directory(listings=[]).resolve("BTCUSDT")


def test_listings_are_found_by_their_unified_symbol() -> None:
    assert directory().listings["BTC/USD:BTC"] is INVERSE


codes = st.text("ABCDEFG123", min_size=2, max_size=5)


@given(
    st.lists(codes, min_size=1, max_size=8, unique=True),
    st.sampled_from(["USDT", "USDC"]),
    st.randoms(),
    st.sampled_from(["swap", "spot"]),
)
def test_every_market_of_the_venues_type_is_found_by_each_of_its_names_in_any_order_of_listing(
    bases: list[str], quote: str, random: Random, market_type: str
) -> None:
    listings = [make(base, paid) for base in bases for paid in ("USDT", "USDC") for make in (swap, spot)]
    random.shuffle(listings)
    found = directory(market_type, quote, listings)
    for listing in listings:
        if ":" in listing.symbol:
            assert found.resolve(listing.symbol) == listing.symbol
        if listing.kind == market_type:
            for name in listing.names():
                assert found.resolve(name.lower()) == listing.symbol
