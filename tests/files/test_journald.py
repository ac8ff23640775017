"""Entries as journald gets them, on a socket that stands for its own."""

from __future__ import annotations

import array
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from portfoliod.logs import start_log
from portfoliod.logs.journald import Journald, entry

Fields = dict[str, list[bytes]]


class Peer:
    """Takes datagrams as journald does, in whole or as a file that is passed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.setblocking(False)

    def entries(self) -> Iterator[Fields]:
        """Yield what has come."""
        while True:
            try:
                data, passed, _, _ = self.socket.recvmsg(1 << 20, socket.CMSG_SPACE(4))
            except BlockingIOError:
                return
            for _, _, content in passed:
                (file,) = array.array("i", content)
                data = os.pread(file, 1 << 26, 0)
                os.close(file)
            yield parsed(data)


def parsed(data: bytes) -> Fields:
    """Return the fields of an entry, as the protocol says to read them."""
    fields: Fields = {}
    while data:
        line, _, data = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            size = int.from_bytes(data[:8], "little")
            value, data = data[8 : 8 + size], data[9 + size :]
        fields.setdefault(name.decode(), []).append(value)
    return fields


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Peer]:
    peer = Peer(tmp_path / "journald")
    yield peer
    peer.socket.close()


def test_an_entry_has_a_line_for_people_and_a_field_for_each_fact() -> None:
    """A market is found by both of its names, each cycle and each strategy by its own."""
    event = {
        "event": "target.decided",
        "level": "info",
        "symbol": "BTC/USDT:USDT",
        "strategies": ("trend", "carry"),
        "cycle": "3f2a 91bc",
        "reason": "two words",
    }
    assert parsed(entry(event)) == {
        "MESSAGE": [b"target.decided symbol=BTC/USDT:USDT strategies=trend,carry cycle='3f2a 91bc' reason='two words'"],
        "PRIORITY": [b"6"],
        "SYSLOG_IDENTIFIER": [b"portfoliod"],
        "EVENT": [b"target.decided"],
        "SYMBOL": [b"BTC/USDT:USDT", b"BTCUSDT"],
        "STRATEGY": [b"trend", b"carry"],
        "CYCLE": [b"3f2a", b"91bc"],
        "REASON": [b"two words"],
    }


@pytest.mark.parametrize(
    ("symbol", "found"),
    [
        ("ETH/USDT", [b"ETH/USDT", b"ETHUSDT"]),
        ("BTC/USDT:USDT-240628", [b"BTC/USDT:USDT-240628", b"BTCUSDT_240628"]),
        ("BTCUSDT", [b"BTCUSDT"]),
    ],
)
def test_a_market_is_found_by_its_unified_name_and_as_exchanges_write_it(symbol: str, found: list[bytes]) -> None:
    assert parsed(entry({"event": "x", "symbol": symbol}))["SYMBOL"] == found


@given(st.dictionaries(st.text(min_size=1), st.text() | st.integers() | st.floats(), max_size=5))
def test_whatever_an_event_holds_its_entry_can_be_read(facts: dict[str, object]) -> None:
    """No text breaks out of its field, and every name is one that journald takes."""
    fields = parsed(entry({**facts, "event": "something.happened", "level": "error"}))
    assert fields["PRIORITY"][0] == b"3"
    assert fields["EVENT"][-1] == b"something.happened"
    assert all(re.fullmatch(r"[A-Z][A-Z0-9_]{0,63}", name) for name in fields)


def test_what_journald_does_not_take_is_counted_and_told_when_it_takes_entries_again(peer: Peer) -> None:
    """Nobody waits meanwhile; a journald that is not there is the same as one that is full."""
    log = Journald(str(peer.path))
    sent = 0
    while log.lost == 0:
        log.info(entry({"event": f"event.{sent}"}))
        sent += 1
    log.info(entry({"event": "another"}))
    assert len(list(peer.entries())) == sent - 1
    peer.socket.close()
    peer.path.unlink()
    log.info(entry({"event": "one more"}))
    back = Peer(peer.path)
    log.say_what_was_lost()
    log.info(entry({"event": "at last"}))
    told = [(fields["EVENT"], fields.get("ENTRIES")) for fields in back.entries()]
    assert told == [([b"log.lost"], [b"3"]), ([b"at last"], None)]
    log.close()
    back.socket.close()


def test_an_entry_that_is_too_large_for_a_datagram_arrives_whole(peer: Peer) -> None:
    log = Journald(str(peer.path))
    text = "x" * (1 << 24)
    log.error(entry({"event": "much", "weights": text}))
    (fields,) = peer.entries()
    assert fields["WEIGHTS"] == [text.encode()]
    assert log.lost == 0
    log.close()


def test_without_journald_behind_it_each_line_begins_with_its_priority(capsys: pytest.CaptureFixture[str]) -> None:
    """A traceback too: whoever reads lines takes each for an entry."""
    start_log("journal", verbose=False)
    try:
        structlog.get_logger().warning("venue.unreachable", venue="main", symbol=None)
        error = ValueError("two\nlines")
        structlog.get_logger().error("look.failed", symbol="BTC/USDT:USDT", exc_info=error)
    finally:
        structlog.reset_defaults()
    first, *others = capsys.readouterr().err.splitlines()
    assert first == "<4>venue.unreachable venue=main"
    assert others[0] == "<3>look.failed symbol=BTC/USDT:USDT"
    assert len(others) == 3
    assert all(line.startswith("<3>") for line in others)


def test_it_speaks_to_journald_itself_only_where_standard_error_is_the_socket_that_is_named(tmp_path: Path) -> None:
    """A variable that was inherited by a child whose standard error leads elsewhere names nothing of its own."""
    script = (
        "from portfoliod.logs import start_log, formats\n"
        "start_log('auto', verbose=False)\n"
        "print(len(formats._journald))"
    )
    with (tmp_path / "log").open("w") as log:
        found = os.fstat(log.fileno())
        for stream, expected in ((f"{found.st_dev}:{found.st_ino}", "1"), ("1:1", "0"), ("", "0")):
            done = subprocess.run(
                [sys.executable, "-c", script],
                env={**os.environ, "JOURNAL_STREAM": stream},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                check=True,
            )
            assert done.stdout.strip() == expected
