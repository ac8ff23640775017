"""What the log makes of an event: tracebacks are there and no key is, and whatever is in it is one line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal

import pytest
import structlog

from portfoliod.credentials import Credentials
from portfoliod.logs import LogFormat, conceal, redaction, start_log
from portfoliod.model import Side

SECRET = "vKq83nXtZpL0wQmY2rBd"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Leave the log as it was."""
    yield
    redaction._redactions.clear()
    structlog.reset_defaults()


@pytest.mark.parametrize("log_format", ["console", "journal", "json"])
def test_a_traceback_is_logged_without_keys(log_format: LogFormat, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither local variables nor what an error quotes brings a key into the log; the place of the error does."""
    conceal(Credentials("a test", secret=SECRET).redact)
    start_log(log_format, verbose=False)
    try:
        _request(SECRET)
    except ValueError as error:
        structlog.get_logger().error("venue.failed", venue="main", exc_info=error)
    said = capsys.readouterr()
    assert said.out == ""
    assert "in _request" in said.err
    assert "the request was signed with ***" in said.err
    for start in range(len(SECRET) - 9):
        assert SECRET[start : start + 10] not in said.err


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("caf\u00e9", "caf\u00e9"),
        ("caf\udce9", "caf\udce9"),
        (2**70, 2**70),
        (Decimal("0.10"), "Decimal('0.10')"),
        (Side.BUY, "buy"),
        (("a", "b"), ["a", "b"]),
        (float("nan"), None),
        ({1: 2}, {"1": 2}),
    ],
)
def test_whatever_is_logged_is_a_line_of_json(capsys: pytest.CaptureFixture[str], value: object, told: object) -> None:
    """Also a file's name that is no text, and a number that is larger than a library likes."""
    start_log("json", verbose=False)
    structlog.get_logger().info("test.said", value=value)
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["value"] == told


def _request(key: str) -> None:
    headers = {"X-KEY": key}
    raise ValueError(f"the request was signed with {headers['X-KEY']}")
