"""Your own broker in one file.

Copy it to config/my_broker.py, and in config/portfoliod.toml:

    mode = "live"                   # and start with: portfoliod run --live; without both, nothing is sent
    default_venue = "mine"

    [venues.mine]
    driver = "script"
    script = "config/my_broker.py"
    timeout_seconds = 10            # of one call
    quote = "USDT"
    market_type = "swap"            # swap | future | spot (spot: never short)

This one works as it is: an imaginary account in var/my_broker.json, at prices that stand still. Replace what is inside
the functions. Only get_positions and place_order must be there; the log says at start what is lost without each other.

- Functions may be plain or `async`. They are called one at a time; plain ones in a thread of their own, async ones on
  the daemon's loop, where they must not block. Give your network calls a time limit below `timeout_seconds`.
- Symbols come in capitals. What is quoted in `quote` comes as BTCUSDT, however a strategy writes it (BTC/USDT:USDT,
  btc-usdt); anything else as it is written (ES, BRK.B). get_positions may spell them in any of these ways.
- Numbers come as Decimal. Return Decimal, str, int or float; a float is rounded to 13 digits.
- What you cannot tell, raise: an exception means "unknown". Never return 0, None or {} for an answer that never came.
"""

import json
import time
from decimal import Decimal
from pathlib import Path

FILE = Path(__file__).resolve().parents[1] / "var" / "my_broker.json"
PRICES = {"BTCUSDT": Decimal(60000), "ETHUSDT": Decimal(3000)}
STEP, FEE = Decimal("0.0001"), Decimal("0.0005")


def get_positions():
    """Return every position: symbol -> signed quantity. {} means that the account is flat."""
    return load()["positions"]


def place_order(symbol, quantity, reduce_only, client_order_id):
    """Send a market order for a signed quantity, once. This decides over money; the rest only helps.

    None: it was sent, nothing more is known; the position (or get_order) will show it.
    A mapping says more, see get_order. {"status": "refused", "reason": …}: it was not taken, and nothing was traded.
    An exception, or no answer in time: nobody knows. The daemon finds out before it sends another one in this market.
    A reduce_only order may only bring the position nearer to 0. Hand client_order_id on: your broker can then refuse to
    execute an order twice.
    """
    account = load()
    if client_order_id in account["orders"]:
        return account["orders"][client_order_id]
    held = Decimal(account["positions"].get(symbol, 0))
    if symbol not in PRICES or quantity == 0 or quantity % STEP != 0:
        return {"status": "refused", "reason": f"no such market, or not in steps of {STEP}"}
    if reduce_only:
        if held * quantity >= 0:
            return {"status": "refused", "reason": "there is nothing to reduce"}
        quantity = max(quantity, -held) if quantity < 0 else min(quantity, -held)
    elif abs(quantity) * PRICES[symbol] < 5:
        return {"status": "refused", "reason": "below the minimum of 5 USDT"}
    fee = abs(quantity) * PRICES[symbol] * FEE
    order = {
        "status": "done",  # done: nothing more will be filled | working: it may | refused
        "filled": str(abs(quantity)),  # what moved the position
        "price": str(PRICES[symbol]),  # optional, like all that follows: the average of the fills
        "fee": str(fee),
        "fee_currency": "USDT",
        "at": time.time(),  # epoch seconds
        "id": f"my-{len(account['orders']) + 1}",  # the broker's own id, for you; the daemon goes by client_order_id
    }
    account["orders"][client_order_id] = order
    account["positions"][symbol] = str(held + quantity)
    account["cash"] = str(Decimal(account["cash"]) - quantity * PRICES[symbol] - fee)
    save(account)
    return order


def get_order(client_order_id):
    """Return the order as a mapping (see place_order), None where there is none. Asked before and after sending.

    It may also be get_order(symbol, client_order_id). `status` or `filled` must be in the mapping.
    """
    return load()["orders"].get(client_order_id)


def get_price(symbol):
    """Return what a market trades at now."""
    return PRICES[symbol]


def get_rules(symbol):
    """Return what your broker accepts in a market: the step of quantities and, optionally, its limits."""
    if symbol not in PRICES:
        raise LookupError(f"{symbol} is not traded here")
    return {"step": STEP, "min_quantity": STEP, "min_notional": 5, "max_quantity": None}


def get_equity():
    """Return what the account is worth, in `quote`: cash and positions."""
    account = load()
    held = sum(Decimal(quantity) * PRICES[symbol] for symbol, quantity in account["positions"].items())
    return Decimal(account["cash"]) + held


def load():
    """Return the imaginary account."""
    if not FILE.exists():
        return {"cash": "100000", "positions": {}, "orders": {}}
    return json.loads(FILE.read_text())


def save(account):
    """Replace the imaginary account's file as a whole."""
    FILE.parent.mkdir(exist_ok=True)
    temporary = FILE.with_suffix(".tmp")
    temporary.write_text(json.dumps(account))
    temporary.replace(FILE)
