"""The check for secrets finds what is told, wherever and in whatever form, and says so without telling it again."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote_plus

import pytest

from tests.harness.canaries import CANARIES, WINDOW, traces
from tests.harness.daemon import Daemon, run_command
from tests.harness.leaks import SecretTold, assert_untold, title, written
from tests.harness.workspace import Files

pytestmark = pytest.mark.started_anew

SECRET = CANARIES["binance secret"]
AWKWARD = CANARIES["okx password"]
ROOT = Path(__file__).parents[2]
FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "upper case": str.upper,
    "quoted": quote_plus,
    "json": lambda text: text.replace('"', '\\"'),
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "user:base64": lambda text: base64.b64encode(f"user:{text}".encode()).decode(),
    "k:base64": lambda text: base64.urlsafe_b64encode(f"k:{text}:".encode()).decode(),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("name", ["binance secret", "okx password"])
def test_every_part_is_found_in_every_form_at_every_place(name: str, form: Callable[[str], str]) -> None:
    """Wholes, halves and parts from the middle, wherever they begin."""
    secret = CANARIES[name]
    half = len(secret) // 2
    for part in (secret, secret[:half], secret[half:], secret[7 : 7 + 2 * WINDOW]):
        for before in range(9):
            (found, *_) = traces(("." * before + form(part) + " and so on").encode())
            assert name in found


def test_the_shortest_part_is_found_and_a_shorter_one_is_not() -> None:
    """Twelve characters in a row are a finding; eleven are not."""
    assert all(traces(SECRET[start : start + WINDOW].encode()) for start in range(len(SECRET) - WINDOW))
    assert not any(traces(SECRET[start : start + WINDOW - 1].encode()) for start in range(len(SECRET) - WINDOW))


def test_what_is_found_is_not_told_again() -> None:
    """The error names the place and the secret's name."""
    with pytest.raises(SecretTold) as caught:
        assert_untold([("a log", f"signed with {SECRET[5:40]}".encode())])
    assert str(caught.value) == "a log holds the binance secret, as it is"
    assert traces(str(caught.value).encode()) == []


def test_files_are_searched_and_those_of_the_user_are_not(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A secret across the border of two pieces is found; the credentials may hold what they are for."""
    folder = tmp_path_factory.mktemp("workspace")
    (folder / "credentials.toml").write_text(SECRET)
    (folder / "broker.py").write_text(SECRET)
    (folder / "link").symlink_to(folder / "credentials.toml")
    assert_untold(written(folder))
    (folder / "big").write_bytes(b"." * (8 * 1024 * 1024 - 20) + SECRET.encode())
    with pytest.raises(SecretTold, match=r"^big holds the binance secret, as it is$"):
        assert_untold(written(folder))


def test_the_title_of_a_process_is_searched() -> None:
    """A key on the command line is one that every user of the machine can read."""
    call = [sys.executable, "-c", "print(flush=True); input()", SECRET]
    with subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        shown = list(title(process.pid))
        process.kill()
    with pytest.raises(SecretTold, match=f"the title of process {process.pid} holds the binance secret"):
        assert_untold(shown)


LEAKY = """
import os, sys
if "portfoliod" in sys.orig_argv:
    {leak}
"""


def run_a_command(files: Files, environment: dict[str, str]) -> None:
    """Run a command to its end."""
    run_command(files.root, "status", "--json", environment=environment)


def run_the_daemon(files: Files, environment: dict[str, str]) -> None:
    """Start the daemon, and stop it."""
    daemon = Daemon(files.root, environment=environment)
    daemon.wait_for("daemon.started")
    daemon.terminate()


@pytest.mark.parametrize(
    ("leak", "place"),
    [
        ('print(os.environ["KEY"], flush=True)', "standard output"),
        ('print(os.environ["KEY"], file=sys.stderr, flush=True)', "standard error"),
        ('open(os.path.join(sys.orig_argv[4], "told"), "w").write(os.environ["KEY"])', "told"),
    ],
)
@pytest.mark.slow
@pytest.mark.parametrize("run", [run_a_command, run_the_daemon])
def test_a_leak_of_a_command_or_of_the_daemon_is_found(
    tmp_path_factory: pytest.TempPathFactory, run: Callable[[Files, dict[str, str]], None], leak: str, place: str
) -> None:
    """Planted in the real process, found by the harness that every test uses."""
    files = Files(tmp_path_factory.mktemp("workspace"))
    site = tmp_path_factory.mktemp("site")
    (site / "sitecustomize.py").write_text(LEAKY.format(leak=leak))
    environment = {"PYTHONPATH": str(site), "KEY": AWKWARD}
    with pytest.raises(SecretTold, match=f"{place} holds the okx password"):
        run(files, environment)


TEST = """
import logging
from tests.harness.canaries import CANARIES

def test_prints():
    print(CANARIES["bybit key"])

def test_logs():
    logging.getLogger("a").warning("signed with %s", CANARIES["bybit key"][:30])

def test_writes(tmp_path):
    (tmp_path / "journal.db").write_bytes(CANARIES["bybit key"].encode().hex().encode())

def test_is_silent():
    pass
"""


def test_a_test_that_tells_a_secret_fails(tmp_path: Path) -> None:
    """Printed, logged, or written into its folder."""
    path = tmp_path / "test_leaky.py"
    path.write_text(TEST)
    options = ["-p", "tests.conftest", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    options += ["--basetemp", str(tmp_path.with_name("leaky")), "--tb=line", str(path)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert "2 failed, 2 passed, 1 error" in done.stdout, done.stdout
    assert done.stdout.count("holds the bybit key") >= 3
