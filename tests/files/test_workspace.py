"""The workspace's folder: names, reads that never hang and writes that are whole or not at all."""

from __future__ import annotations

import os
import resource
import signal
import socket
import stat
import string
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfoliod.errors import FileRejected
from portfoliod.workspace import (
    LARGEST_FILE,
    STRATEGY_NAME,
    Unsettled,
    Workspace,
    read_settled,
    signature,
    write_atomically,
)

SHOWN = "strategies/a/state.json"
LETTERS = set(string.ascii_letters + string.digits)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    created = Workspace(tmp_path)
    created.create()
    return created


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@given(st.text(st.sampled_from("aZ0._-/ \n\0é"), max_size=70) | st.text(max_size=5))
def test_a_name_is_64_letters_digits_dots_dashes_and_underscores_a_letter_or_digit_first(name: str) -> None:
    allowed = 1 <= len(name) <= 64 and name[0] in LETTERS and set(name) <= LETTERS | set("._-")
    assert (STRATEGY_NAME.fullmatch(name) is not None) == allowed


def test_folders_are_listed_with_whether_their_name_is_allowed(workspace: Workspace) -> None:
    for name in ["trend_24h", "0.5x", "a" * 64, ".hidden", "_template", "with space", "-dash", "a" * 65, "é"]:
        (workspace.strategies / name).mkdir()
    (workspace.strategies / "README.md").write_text("not a folder")
    assert dict(workspace.folders()) == {
        "trend_24h": True,
        "0.5x": True,
        "a" * 64: True,
        "with space": False,
        "-dash": False,
        "a" * 65: False,
        "é": False,
    }


def test_folders_behind_links_are_listed_and_broken_links_are_not(workspace: Workspace, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (workspace.strategies / "linked").symlink_to(elsewhere)
    (workspace.strategies / "broken").symlink_to(tmp_path / "nothing")
    assert list(workspace.folders()) == [("linked", True)]


def test_a_link_that_leads_to_itself_hides_no_other_strategy(workspace: Workspace) -> None:
    (workspace.strategies / "carry").mkdir()
    (workspace.strategies / "loop").symlink_to("loop")
    assert ("carry", True) in list(workspace.folders())


def test_a_folder_name_that_is_not_utf_8_is_a_misnamed_folder(workspace: Workspace) -> None:
    os.mkdir(os.path.join(os.fsencode(workspace.strategies), b"caf\xe9"))
    (workspace.strategies / "carry").mkdir()
    assert dict(workspace.folders()) == {"carry": True, os.fsdecode(b"caf\xe9"): False}


def test_no_strategies_folder_is_no_strategies(tmp_path: Path) -> None:
    assert list(Workspace(tmp_path).folders()) == []


def test_paths_are_shown_relative_to_the_root(workspace: Workspace) -> None:
    assert workspace.shown(workspace.state_file("a")) == SHOWN
    assert workspace.shown(Path("/elsewhere/file")) == "/elsewhere/file"


def test_halted_is_whether_the_file_exists_in_any_form(workspace: Workspace) -> None:
    assert not workspace.halted()
    workspace.halt_file.touch()
    assert workspace.halted()
    workspace.halt_file.unlink()
    assert not workspace.halted()
    workspace.halt_file.symlink_to("nothing")
    assert workspace.halted()
    workspace.halt_file.unlink()
    workspace.var.rmdir()
    assert not workspace.halted()


def test_what_cannot_be_looked_up_counts_as_halted(tmp_path: Path) -> None:
    (tmp_path / "var").symlink_to("var")
    assert Workspace(tmp_path).halted()


@given(st.binary(max_size=100))
def test_a_file_is_read_whole_with_its_time(content: bytes) -> None:
    descriptor = os.memfd_create("content")
    try:
        os.write(descriptor, content)
        path = Path(f"/proc/self/fd/{descriptor}")
        os.utime(path, (1.0, 1_704_110_400.25))
        assert read_settled(path, SHOWN) == (content, 1_704_110_400.25)
    finally:
        os.close(descriptor)


def test_a_file_behind_a_link_is_read(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"{}")
    (tmp_path / "link").symlink_to("real")
    assert read_settled(tmp_path / "link", SHOWN)[0] == b"{}"


def test_no_file_and_no_folder_are_the_same_missing_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "broken").symlink_to("nothing")
    for path in (tmp_path / "none", tmp_path / "none" / "none", tmp_path / "file" / "below", tmp_path / "broken"):
        with pytest.raises(FileNotFoundError, match=SHOWN):
            read_settled(path, SHOWN)
        assert signature(path) is None


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_folder(path: Path) -> None:
    path.mkdir()


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.relpath(path))


def make_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def make_loop(path: Path) -> None:
    path.symlink_to(path.name)


def make_large(path: Path) -> None:
    path.touch()
    os.truncate(path, LARGEST_FILE + 1)


@pytest.mark.parametrize("make", [make_fifo, make_folder, make_socket, make_device, make_loop, make_large])
def test_what_is_no_readable_file_of_a_sane_size_is_rejected_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "state.json"
    make(path)
    before = descriptors()
    with pytest.raises(FileRejected) as caught:
        read_settled(path, SHOWN)
    assert not isinstance(caught.value, Unsettled)
    assert caught.value.where == SHOWN
    assert caught.value.found
    assert caught.value.mend
    assert descriptors() == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_without_permission_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(b"{}")
    path.chmod(0)
    with pytest.raises(FileRejected, match="cannot be read"):
        read_settled(path, SHOWN)


def test_a_file_that_holds_more_than_its_size_says_is_unsettled() -> None:
    """As a file that grows between stat and read; the kernel's own files always do."""
    with pytest.raises(Unsettled) as caught:
        read_settled(Path("/proc/self/stat"), SHOWN)
    assert caught.value.where == SHOWN


def test_a_signature_changes_with_content_and_replacement(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_atomically(path, b"1")
    first = signature(path)
    assert first is not None
    write_atomically(path, b"2")
    second = signature(path)
    path.write_bytes(b"22")
    assert len({first, second, signature(path)}) == 3


@pytest.mark.parametrize("durable", [True, False])
def test_a_write_replaces_the_content_and_leaves_nothing_else(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(b"old")
    path.chmod(0o600)
    inode = path.stat().st_ino
    before = descriptors()
    previous = os.umask(0o077)
    try:
        write_atomically(path, b"new", durable=durable)
    finally:
        os.umask(previous)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert path.stat().st_ino != inode
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.json"]
    assert descriptors() == before


def test_a_write_may_keep_a_file_to_its_owner(tmp_path: Path) -> None:
    write_atomically(tmp_path / "secret", b"x", 0o600)
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


@contextmanager
def files_of_at_most(most: int) -> Iterator[None]:
    """Let longer writes fail half-way, as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_write_that_fails_half_way_leaves_the_old_content_and_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(b"old")
    before = descriptors()
    with files_of_at_most(1000), pytest.raises(OSError, match="large"):
        write_atomically(path, b"n" * 5000)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.json"]
    assert descriptors() == before


def test_a_write_that_cannot_be_renamed_leaves_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "file.json").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_atomically(tmp_path / "file.json", b"new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.json"]


def test_a_write_into_no_folder_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "none" / "file.json", b"new")


def test_a_reader_sees_the_old_content_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    contents = [bytes([65 + index]) * (1 << (10 + index)) for index in range(8)]
    write_atomically(path, contents[0], durable=False)
    written = threading.Event()

    def write() -> None:
        for _ in range(20):
            for content in contents:
                write_atomically(path, content, durable=False)
        written.set()

    writer = threading.Thread(target=write)
    writer.start()
    reads = 0
    while not written.is_set():
        assert path.read_bytes() in contents
        reads += 1
    writer.join()
    assert reads
