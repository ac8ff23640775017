"""The keys of an exchange, in the real daemon and its commands, where they are most likely to slip out.

Each test makes the thing happen; the harness searches all that was printed and written for the keys.
"""

from __future__ import annotations

import json
import os
import resource
import signal
from pathlib import Path

import pytest

from tests.emulators.binance import BinanceFutures
from tests.faults.world import World, both_exchanges
from tests.harness.canaries import CANARIES
from tests.harness.daemon import run_command
from tests.harness.exchange import QUICK, venue_table
from tests.harness.workspace import Files
from tests.venues.exchanges import environment_of

# An exchange and its client in each test.
pytestmark = [pytest.mark.slow, pytest.mark.started_anew]


def site(folder: Path, program: str) -> dict[str, str]:
    """Return the environment of a process that runs a program before its own."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(program)
    return {"PYTHONPATH": str(folder)}


def talkative(world: World) -> dict[str, object]:
    """Return a venue table that asks ccxt to print every request with its headers, and every answer."""
    return {"options": {**world.exchange.options(), "verbose": True}}


def revoke(world: World) -> None:
    """Delete the key on the exchange."""
    if isinstance(world.exchange, BinanceFutures):
        world.exchange.keys_revoked = True
    else:
        world.exchange.revoke_keys()


@both_exchanges
def test_ccxt_may_be_as_verbose_as_it_likes(files: Files, kind: str) -> None:
    """Its requests are in the log at debug level, signed headers and logins included; the keys are masked there."""
    with World(files, kind) as world:
        daemon = world.start(venue=talkative(world), verbose=True, environment={"PYTHONDEVMODE": "1"})
        world.want("ETH", 1)
        world.until_held("ETH", 1)
        daemon.terminate()
        said = [str(event["text"]) for event in daemon.named("ccxt.said")]
        header = "X-MBX-APIKEY" if kind == "binanceusdm" else "OK-ACCESS-PASSPHRASE"
        assert any(header in text and "***" in text for text in said)
        world.assert_sound()


@both_exchanges
def test_a_verbose_library_does_not_mix_with_the_answer_of_a_command(files: Files, kind: str) -> None:
    """`plan --json` and `check --online --json` stay whole."""
    with World(files, kind) as world:
        files.settings(
            f'mode = "live"\ndefault_venue = "main"\n{QUICK}\n{venue_table(world.exchange, kind, talkative(world))}'
        )
        environment = environment_of(world.exchange.credentials)
        for arguments in (["plan"], ["check", "--online"], ["status"]):
            done = run_command(files.root, *arguments, "--json", environment=environment, verbose=True)
            assert json.loads(done.stdout), done.stderr


@both_exchanges
def test_refused_keys_are_not_quoted(files: Files, kind: str) -> None:
    """Neither by the daemon that halts on them, nor by the commands, nor in the file that keeps the halt's reason."""
    with World(files, kind) as world:
        daemon = world.start(verbose=True, venue=talkative(world))
        daemon.wait_for("venue.connected")
        revoke(world)
        daemon.wait_for("halt.tripped")
        assert (files.root / "var/HALT").exists()
        daemon.terminate()
        environment = environment_of(world.exchange.credentials)
        for arguments in (["check", "--online"], ["plan"], ["status"], ["run", "--live", "--once"]):
            done = run_command(files.root, *arguments, environment=environment, verbose=True)
            assert done.returncode in {3, 77}, done.stderr


CLASSES = {"binanceusdm": "binance", "okx": "okx"}
"""Where ccxt defines what orders are sent by."""

RAISING = """
import asyncio
import sys

import ccxt.async_support

place = ccxt.async_support.{kind}.create_order


async def create_order(client, *arguments, **options):
    await place(client, *arguments, **options)
    password = getattr(client, "password", "") or ""
    raise {error}(f"POST /order apiKey={{client.apiKey}}&secret={{client.secret}} {{password!r}}")


ccxt.async_support.{kind}.create_order = create_order
"""


@both_exchanges
@pytest.mark.parametrize("error", ["ValueError", "ccxt.async_support.NetworkError", "ccxt.async_support.InvalidOrder"])
def test_an_error_that_quotes_the_keys_is_told_without_them(
    files: Files, kind: str, error: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Unknown or refused: log, journal and status hold the error's text, and *** in place of the keys."""
    with World(files, kind) as world:
        folder = tmp_path_factory.mktemp("site")
        daemon = world.start(environment=site(folder, RAISING.format(kind=CLASSES[kind], error=error)), verbose=True)
        world.want("ETH", 1)
        told = daemon.wait_for("order.refused" if "Invalid" in error else "order.unknown")
        assert "***" in str(told)
        daemon.terminate()


CRASHING = """
import asyncio
import os
import sys
import threading
import warnings

import portfoliod.status

status = portfoliod.status.Reporter.status
KEYS = [value for name, value in os.environ.items() if name.startswith("PORTFOLIOD_MAIN_")]


def fail():
    raise ValueError(f"in a callback, with {{KEYS}}")


def report(reporter, engine, **options):
    if {condition}:
        for key in KEYS:
            warnings.warn(f"a warning about {{key}}")
        asyncio.get_running_loop().call_soon(fail)
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
        print("printed", KEYS, flush=True)
        raise RuntimeError(f"the end, with {{KEYS}}")
    return status(reporter, engine, **options)


portfoliod.status.Reporter.status = report
"""


@both_exchanges
def test_a_daemon_that_dies_of_a_bug_tells_no_keys(
    files: Files, kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The traceback is there, of the task, the callback and the thread; the keys that the errors quote are not."""
    with World(files, kind) as world:
        condition = "any(venue.connected for venue in engine.venues.values())"
        environment = site(tmp_path_factory.mktemp("site"), CRASHING.format(condition=condition))
        daemon = world.start(environment=environment)
        assert daemon.wait() == 1
        said = "\n".join([*map(str, daemon.events), *daemon.other_output])
        assert "RuntimeError: the end, with ['***'" in said
        assert "in a callback, with ['***'" in said
        assert "a warning about ***" in said


def test_a_daemon_that_holds_keys_leaves_no_core(files: Files) -> None:
    """Even where the machine collects them: memory holds the keys. What faulthandler prints holds none."""
    with World(files, "binanceusdm") as world:
        _, most = resource.getrlimit(resource.RLIMIT_CORE)
        daemon = world.start(environment={"PYTHONFAULTHANDLER": "1"})
        resource.prlimit(daemon.process.pid, resource.RLIMIT_CORE, (most, most))
        daemon.wait_for("venue.connected")
        assert resource.prlimit(daemon.process.pid, resource.RLIMIT_CORE)[0] == 0
        os.kill(daemon.process.pid, signal.SIGABRT)
        assert daemon.wait() == -signal.SIGABRT
        assert any("Fatal Python error: Aborted" in line for line in daemon.other_output)


def test_a_proxy_is_named_without_its_password(files: Files) -> None:
    """One that nobody answers at: the venue is unreachable, and settings that do not fit are refused."""
    with World(files, "binanceusdm") as world:
        password = CANARIES["a proxy's password"]
        proxy = f"http://me:{password}@127.0.0.1:9"
        options = {**world.exchange.options(), "httpProxy": proxy, "wsProxy": proxy, "verbose": True}
        daemon = world.start(venue={"options": options}, verbose=True)
        daemon.wait_for("venue.unreachable")
        daemon.terminate()
        environment = environment_of(world.exchange.credentials)
        for arguments in (["check", "--online"], ["plan"]):
            assert run_command(files.root, *arguments, environment=environment, verbose=True).returncode == 75
        both = {**options, "httpsProxy": proxy}
        daemon = world.start(venue={"options": both}, verbose=True)
        daemon.terminate()
