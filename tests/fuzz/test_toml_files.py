"""portfoliod.toml and credentials.toml of any content: the documented error, or settings and keys that fit."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from portfoliod.credentials import NAMES, find_credentials
from portfoliod.errors import SettingsError
from portfoliod.safe_read import parse_toml
from portfoliod.settings import Settings, load_settings
from tests.fuzz.hostile_text import hostile

SECRET = "kQ7vXw2mPz9sLr4t"
SETTINGS = (
    b'mode = "paper"\n[optimizer]\ntarget_vol = 0.3\nlookback_days = 365\n[risk]\nmax_position = 10.0\n',
    b'default_venue = "main"\n[venues.main]\ndriver = "ccxt"\nexchange = "okx"\noptions = {a = {b = [1, 2.5]}}\n',
    b'[reconciler]\non_drift = "lock" # or adopt\nresync_seconds = 1e1\n[venues]\npaper.seed = 7\n',
)
CREDENTIALS = (
    f'[main]\napi_key = "{SECRET}a"\nsecret = "{SECRET}b"\n'.encode(),
    f"[other]\nuid = '''{SECRET}'''\n[main]\napiKey = \"{SECRET}\"\npassword = \"{SECRET}\"\n".encode(),
    f'main = {{private_key = """-----BEGIN KEY-----\n{SECRET}\n-----END KEY-----"""}}\n'.encode(),
)
KEYS = ("mode", "venues", "risk", "optimizer", "main", "paper")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that only we can write."""
    with tempfile.TemporaryDirectory() as found:
        yield Path(found)


def assert_told(error: SettingsError, path: Path) -> None:
    """See that a person learns the file and what to do, and no part of a key."""
    assert error.where.startswith(str(path))
    assert error.mend
    assert error.kept
    assert len(str(error).encode(errors="backslashreplace")) < 40_000
    assert not any(SECRET[start : start + 8] in str(error) for start in range(len(SECRET) - 7))


def see_settings(folder: Path, raw: bytes) -> None:
    """Load settings: what is accepted satisfies the types and ranges of every table."""
    path = folder / "portfoliod.toml"
    path.write_bytes(raw)
    try:
        found = load_settings(path)
    except SettingsError as error:
        assert_told(error, path)
        return
    assert found.default_venue in found.venues
    assert all("driver" in table for table in found.venues.values())
    tables = msgspec.structs.asdict(msgspec.structs.replace(found, venues={}))
    assert msgspec.convert(msgspec.to_builtins(tables), Settings) == msgspec.structs.replace(found, venues={})


def see_credentials(folder: Path, raw: bytes) -> None:
    """Find credentials: texts without control characters, or an error that tells no part of a value."""
    path = folder / "credentials.toml"
    path.touch(mode=0o600)
    path.write_bytes(raw)
    try:
        found = find_credentials("main", path, {})
    except SettingsError as error:
        assert_told(error, path)
        return
    for name in [] if found is None else found.given():
        assert name in NAMES
        value = getattr(found, name)
        assert isinstance(value, str)
        assert value.strip() == value
        assert all(line.isprintable() for line in value.split("\n"))


READERS = {
    "settings": (see_settings, hostile(SETTINGS, KEYS), SETTINGS),
    "credentials": (see_credentials, hostile(CREDENTIALS, KEYS), CREDENTIALS),
}
each_file = pytest.mark.parametrize("kind", READERS)


def fuzz(folder: Path, kind: str, examples: int) -> None:
    """Read so many hostile files of a kind."""
    see, contents, _ = READERS[kind]

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(contents)
    def run(raw: bytes) -> None:
        see(folder, raw)

    run_it: Callable[[], None] = run
    run_it()


def test_fault_38_good_settings_and_credentials_are_accepted(folder: Path) -> None:
    """The documents that the fuzzer damages are good ones."""
    for raw in SETTINGS:
        (folder / "portfoliod.toml").write_bytes(raw)
        load_settings(folder / "portfoliod.toml")
    for raw in CREDENTIALS:
        (folder / "credentials.toml").touch(mode=0o600)
        (folder / "credentials.toml").write_bytes(raw)
        assert find_credentials("main", folder / "credentials.toml", {}) is not None


@pytest.mark.parametrize(
    "line", ["a" + ".a" * 50_000 + " = 1", "[" + "a." * 50_000 + "a]", "[[" + "a." * 50_000 + "a]]"]
)
def test_fault_38_a_key_of_many_parts_is_refused_before_it_is_parsed(folder: Path, line: str) -> None:
    """The parser would take minutes, and a start or a reload with it; both files are parsed by the same function."""
    raw = f"# a comment\n{line}\n".encode()
    with pytest.raises(ValueError, match="dots"):
        parse_toml(raw)
    (folder / "portfoliod.toml").write_bytes(raw)
    with pytest.raises(SettingsError, match="dots"):
        load_settings(folder / "portfoliod.toml")
    (folder / "credentials.toml").touch(mode=0o600)
    (folder / "credentials.toml").write_bytes(raw)
    with pytest.raises(SettingsError, match="not TOML"):
        find_credentials("main", folder / "credentials.toml", {})


@each_file
def test_fault_38_hostile_settings_are_refused_or_fit(folder: Path, kind: str) -> None:
    """Nothing but the documented error; what is accepted fits, and no error tells a key."""
    fuzz(folder, kind, 400)


@pytest.mark.slow
@each_file
def test_fault_38_many_hostile_settings_are_refused_or_fit(folder: Path, kind: str) -> None:
    """The same, 5,000 files of each kind."""
    fuzz(folder, kind, 5_000)
