"""OKX's business errors: the code, the HTTP status it comes with, and its text (REST API v5, "Error code")."""

from __future__ import annotations

from collections.abc import Mapping

from tests.emulators.server import Refusal

INJECTED = "Injected."
"""What a fault says when the venue is to find the words."""
WHOLE = ("51015", "51149", "51603")
"""Codes from 51000 on that never stand in an order's row."""

TEXTS: Mapping[str, tuple[int, str]] = {
    "50000": (400, "Body for POST request cannot be empty."),
    "50001": (503, "Service temporarily unavailable. Try again later"),
    "50002": (400, "JSON syntax error"),
    "50004": (400, "API endpoint request timeout (does not mean that the request was successful or failed)."),
    "50005": (410, "API is offline or unavailable."),
    "50007": (200, "Account blocked."),
    "50009": (200, "Account is suspended due to ongoing liquidation."),
    "50011": (429, "Rate limit reached. Please refer to API documentation and throttle requests accordingly."),
    "50013": (429, "Systems are busy. Please try again later."),
    "50014": (400, "Parameter {0} cannot be empty."),
    "50015": (400, "Either parameter {0} or {1} is required."),
    "50016": (400, "Parameter {0} and {1} is an invalid pair."),
    "50022": (
        200,
        "Account frozen and related operations restricted due to forced liquidation. Please try again later.",
    ),
    "50024": (200, "Parameter {0} and {1} can not exist at the same time."),
    "50026": (500, "System error. Try again later"),
    "50027": (200, "This account is restricted from trading. Please contact customer support for assistance."),
    "50037": (200, "Order expired."),
    "50061": (200, "You've reached the maximum order rate limit for this account."),
    "50100": (400, "API frozen, please contact customer service."),
    "50101": (401, "APIKey does not match current environment."),
    "50102": (401, "Timestamp request expired."),
    "50103": (401, 'Request header "OK-ACCESS-KEY" cannot be empty.'),
    "50104": (401, 'Request header "OK-ACCESS-PASSPHRASE" cannot be empty.'),
    "50105": (401, 'Request header "OK-ACCESS-PASSPHRASE" incorrect.'),
    "50106": (401, 'Request header "OK-ACCESS-SIGN" cannot be empty.'),
    "50107": (401, 'Request header "OK-ACCESS-TIMESTAMP" cannot be empty.'),
    "50110": (401, "Your IP {0} is not included in your API key's IP whitelist."),
    "50111": (401, "Invalid OK-ACCESS-KEY."),
    "50112": (401, "Invalid OK-ACCESS-TIMESTAMP."),
    "50113": (401, "Invalid signature."),
    "50114": (401, "Invalid authorization."),
    "50115": (405, "Invalid request method."),
    "50120": (200, "This API key doesn't have permission to use this function"),
    "51000": (400, "Parameter {0} error"),
    "51001": (200, "Instrument ID or Spread ID doesn't exist."),
    "51003": (200, "Either client order ID or order ID is required."),
    "51005": (200, "Your order amount exceeds the max order amount."),
    "51006": (200, "Order price is not within the price limit (max buy price: {0} , min sell price: {1} )"),
    "51008": (200, "Order failed. Insufficient {0} margin in account "),
    "51010": (200, "Request unsupported under current account mode"),
    "51015": (200, "Instrument ID doesn't match instrument type."),
    "51016": (200, "Client order ID already exists."),
    "51020": (200, "Your order should meet or exceed the minimum order amount."),
    "51021": (200, "The pair or contract is not yet listed"),
    "51022": (200, "Contract suspended."),
    "51023": (200, "Position doesn't exist."),
    "51024": (200, "Trading account is blocked."),
    "51027": (200, "Contract expired."),
    "51101": (200, "Order failed, the sz of the current order can't be more than {0} (contracts)."),
    "51111": (200, "Maximum {0} orders can be placed in bulk."),
    "51112": (200, "Close order size exceeds available size for this position."),
    "51121": (200, "Order quantity must be a multiple of the lot size."),
    "51149": (500, "Order timed out. Please try again."),
    "51169": (
        200,
        "Order failed because you don't have any positions in this direction for this contract to reduce or close. ",
    ),
    "51170": (
        200,
        "Failed to place order. A reduce-only order can't be the same trading direction as your existing positions.",
    ),
    "51202": (200, "Market order amount exceeds the maximum amount."),
    "51204": (200, "The price for the limit order cannot be empty."),
    "51400": (200, "Order cancellation failed as the order has been filled, canceled or does not exist."),
    "51503": (200, "Your order has already been filled or canceled."),
    "51603": (200, "Order does not exist"),
    "59000": (200, "Settings failed. Close any open positions or orders before modifying settings."),
    "59102": (200, "Leverage exceeds the maximum limit. Please lower the leverage."),
}


class WholeRefusal(Refusal):
    """A request that is refused as a whole, whatever its code."""


def refused(code: str, *words: object) -> WholeRefusal:
    """Return the refusal of a code, with the words that belong into its text."""
    status, text = TEXTS[code]
    for place in range(len(words), 2):
        text = text.replace(f"{{{place}}}", "")
    return WholeRefusal(int(code), text.format(*words), status)


def error_body(refusal: Refusal) -> dict[str, object]:
    """Return the body of a request that fails; what a fault refuses an order with stands in the order's row."""
    code, text = str(refusal.code), refusal.message
    if text == INJECTED and code in TEXTS:
        text = TEXTS[code][1]
    if code.startswith("51") and code not in WHOLE and not isinstance(refusal, WholeRefusal):
        row = {"clOrdId": "", "ordId": "", "sCode": code, "sMsg": text, "tag": ""}
        return {"code": "1", "data": [row], "msg": "All operations failed"}
    return {"code": code, "data": [], "msg": text}


def error_status(refusal: Refusal) -> int:
    """Return the HTTP status of a refusal."""
    if refusal.status is not None:
        return refusal.status
    return TEXTS.get(str(refusal.code), (200, ""))[0]
