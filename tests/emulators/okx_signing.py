"""How OKX knows who asks: the signed headers of REST and the login of the private socket."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from tests.emulators.okx_errors import refused

WINDOW = 30.0
"""Seconds by which a request may be older or newer than the venue's clock."""


@dataclass(frozen=True)
class Keys:
    """What a client signs with."""

    api_key: str
    secret: str
    passphrase: str

    def signature(self, prehash: str) -> str:
        """Return the base64 HMAC-SHA256 of a text."""
        digest = hmac.new(self.secret.encode(), prehash.encode(), hashlib.sha256).digest()
        return base64.b64encode(digest).decode()


def check_request(keys: Keys, headers: Mapping[str, str], request: str, now: float) -> None:
    """Raise `Refusal` unless a REST request is signed by `keys` at about `now` (Unix seconds).

    The names of `headers` are in lower case; `request` is the method, the path with its query, and the body, joined.
    """
    key, passphrase, sign, stamp = (
        headers.get(f"ok-access-{name}", "") for name in ("key", "passphrase", "sign", "timestamp")
    )
    for value, code in ((key, "50103"), (passphrase, "50104"), (sign, "50106"), (stamp, "50107")):
        if not value:
            raise refused(code)
    try:
        at = datetime.fromisoformat(stamp).timestamp()
    except ValueError:
        raise refused("50112") from None
    if abs(at - now) > WINDOW:
        raise refused("50102")
    if key != keys.api_key:
        raise refused("50111")
    if passphrase != keys.passphrase:
        raise refused("50105")
    if not hmac.compare_digest(sign, keys.signature(stamp + request)):
        raise refused("50113")


def login_error(keys: Keys, row: Mapping[str, object], now: float) -> tuple[str, str] | None:
    """Return the code and the text with which a login on the private socket fails, or None if it is good."""
    stamp = str(row.get("timestamp", ""))
    try:
        at = float(stamp)
    except ValueError:
        return "60004", "Invalid timestamp."
    if row.get("apiKey") != keys.api_key:
        return "60005", "Invalid apiKey"
    if row.get("passphrase") != keys.passphrase:
        return "60024", "Wrong passphrase"
    if abs(at - now) > WINDOW:
        return "60006", "Timestamp request expired"
    if row.get("sign") != keys.signature(stamp + "GET/users/self/verify"):
        return "60007", "Invalid sign"
    return None
