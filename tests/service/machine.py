"""A machine with a real systemd: Debian in a folder, booted in a container, with the package and the units installed.

Its root file system, with everything that the package depends on, is kept in .cache/ between runs; a run writes on a
layer in memory over it. Root is needed, and debootstrap and systemd-nspawn, which are installed where that is possible.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, TypeVar

import msgspec

from tests.harness.daemon import PATIENCE

Seen = TypeVar("Seen")
SOURCE = Path(__file__).parents[2]
CACHE = SOURCE / ".cache" / "systemd"
SUITES = {(3, 11): "bookworm", (3, 13): "trixie"}
"""The release whose Python takes the same wheels as the one that runs the tests."""
PACKAGES = "systemd,systemd-sysv,dbus,libpam-systemd,procps,make,python3,python3-venv"
TOOLS = {"debootstrap": "debootstrap", "systemd-nspawn": "systemd-container", "nsenter": "util-linux"}
ALONE = ("unshare", "--mount", "--propagation", "private")
BUILD_SECONDS = 240.0


class NoMachine(Exception):
    """There is none here, and why."""


class Machine:
    """A booted one."""

    def __init__(self, container: subprocess.Popen[bytes], init: int) -> None:
        self._container = container
        self._init = init
        self.root = Path(f"/proc/{init}/root")
        """Its files, as they are seen from outside."""

    def run(self, *command: str, check: bool = True, content: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command in it as root, to its end."""
        done = subprocess.run(
            ["nsenter", "-t", str(self._init), "-a", "--", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", *command],
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
            input=content,
            stdin=subprocess.DEVNULL if content is None else None,
            check=False,
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    def write(self, path: str, content: str, *, owner: str = "root", mode: int = 0o644) -> None:
        """Write a file as careful programs do: whole, under a temporary name, then renamed."""
        self.run(
            "install", "-D", "-o", owner, "-g", owner, "-m", f"{mode:o}", "/dev/stdin", f"{path}.new", content=content
        )
        self.run("mv", f"{path}.new", path)

    def read(self, path: str) -> str:
        """Return a file's content."""
        return self.run("cat", path).stdout

    def exists(self, path: str) -> bool:
        """Return whether there is such a file."""
        return self.run("test", "-e", path, check=False).returncode == 0

    def show(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.run("systemctl", "show", "--value", "-p", name, unit).stdout.strip()

    def journal(self, unit: str, *matches: str) -> list[dict[str, Any]]:
        """Return the entries of a unit's log, those of systemd about it included."""
        told = self.run("journalctl", "--no-pager", "-o", "json", "-u", unit, *matches).stdout
        return [msgspec.json.decode(line) for line in told.splitlines()]

    def events(self, unit: str, name: str, *matches: str) -> list[dict[str, Any]]:
        """Return the events of that name that a daemon logged."""
        return self.journal(unit, f"EVENT={name}", *matches)

    def until(self, look: Callable[[], Seen], fits: Callable[[Seen], bool] = bool, seconds: float = PATIENCE) -> Seen:
        """Look until what is seen fits and return it; fail with what was seen last."""
        deadline = time.monotonic() + seconds
        while not fits(seen := look()):
            if time.monotonic() > deadline:
                log = self.run("journalctl", "--no-pager", "-n", "40", "-o", "cat").stdout
                raise AssertionError(f"still {seen!r} after {seconds:g} s; the last of the log:\n{log}")
            time.sleep(0.05)
        return seen

    def power_off(self) -> None:
        """End it."""
        self.run("systemctl", "poweroff", "--force", check=False)
        try:
            self._container.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._container.kill()
            self._container.wait()


def boot() -> Machine:
    """Return a machine that has just booted, with this checkout's package and units installed.

    Raises:
        NoMachine: it cannot be had here.
    """
    root = _root()
    # The name says whose it is; all else of it ends with this process's child.
    name = f"portfoliod-{os.getpid()}"
    with (CACHE / "boot.log").open("wb") as told:
        container = _nspawn(root, "--boot", "--volatile=overlay", f"--machine={name}", "--console=pipe", told=told)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and container.poll() is None:
        init = _child(container.pid)
        if init is not None:
            machine = Machine(container, init)
            with contextlib.suppress(subprocess.TimeoutExpired):
                state = machine.run("systemctl", "is-system-running", check=False).stdout.strip()
                if state in {"running", "degraded"}:
                    return machine
        time.sleep(0.05)
    container.kill()
    raise NoMachine(f"systemd does not boot in a container here: {(CACHE / 'boot.log').read_text()[-500:]}")


def _child(pid: int) -> int | None:
    """Return the container's first process, a child of nspawn, once it runs systemd."""
    with contextlib.suppress(OSError):  # gone meanwhile
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                return int(child)
    return None


def _root() -> Path:
    """Return the root file system, made where it is not in the cache yet."""
    if os.geteuid() != 0:
        raise NoMachine("it needs root")
    suite = SUITES.get(sys.version_info[:2])
    if suite is None:
        raise NoMachine(f"no Debian has Python {sys.version_info[0]}.{sys.version_info[1]}")
    _require_tools()
    lock = SOURCE / "requirements-service.lock"
    key = hashlib.sha256(f"{suite} {PACKAGES}".encode() + lock.read_bytes()).hexdigest()[:12]
    root = CACHE / f"root-{key}"
    if not root.exists():
        _build(root, suite)
    try:
        _install(root)
    except subprocess.SubprocessError as error:
        raise NoMachine(f"the package cannot be installed: {_said(error)}") from error
    return root


def fetch_promtool() -> None:
    """Put the tool that checks alert rules into the cache, where it can be had and is not there yet."""
    folder = CACHE / "promtool"
    if folder.exists() or shutil.which("promtool") or shutil.which("apt-get") is None:
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary, contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run(
            ["apt-get", "download", "-qq", "prometheus"],
            check=True,
            capture_output=True,
            timeout=BUILD_SECONDS,
            cwd=temporary,
        )
        (package,) = Path(temporary).glob("*.deb")
        _do(["dpkg-deb", "--extract", str(package), str(folder)])


def _require_tools() -> None:
    missing = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if not missing:
        return
    try:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *missing]):
            _do(["apt-get", *command], env=environment)
    except (OSError, subprocess.SubprocessError) as error:
        raise NoMachine(f"{', '.join(missing)} cannot be installed: {_said(error)}") from error


def _build(root: Path, suite: str) -> None:
    """Make a root file system, and remove those that nobody needs any more."""
    CACHE.mkdir(parents=True, exist_ok=True)
    for old in CACHE.glob("root-*"):
        shutil.rmtree(old)
    unfinished = root.with_name("unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    wheels = CACHE / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    try:
        _do(["debootstrap", "--variant=minbase", f"--include={PACKAGES}", suite, str(unfinished)])
        lock = ["--require-hashes", "--requirement", str(SOURCE / "requirements-service.lock")]
        _do(
            [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:", *lock, "--dest", str(wheels)]
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise NoMachine(f"its root file system cannot be made: {_said(error)}") from error
    unfinished.rename(root)


def _install(root: Path) -> None:
    """Do in it what README says: `make install-service`. It sees the checkout, and no network."""
    container = _nspawn(
        root,
        f"--bind-ro={SOURCE}:/src",
        f"--bind-ro={CACHE / 'wheels'}:/wheels",
        "--setenv=PIP_NO_INDEX=1",
        "--setenv=PIP_FIND_LINKS=/wheels",
        "--pipe",
        *("make", "-C", "/src", "install-service", "PYTHON=python3"),
    )
    try:
        said, _ = container.communicate(timeout=BUILD_SECONDS)
    except subprocess.TimeoutExpired:
        container.kill()
        raise
    if container.returncode != 0:
        raise subprocess.CalledProcessError(container.returncode, "make install-service", said)


def _nspawn(root: Path, *arguments: str, told: IO[bytes] | int = subprocess.PIPE) -> subprocess.Popen[bytes]:
    """Start something in a container whose own /run does not show here."""
    script = 'mount -t tmpfs tmpfs /run && exec systemd-nspawn "$@"'
    fixed = ("--quiet", "--directory", str(root), "--register=no", "--keep-unit", "--private-network")
    return subprocess.Popen(
        # It must not outlive these tests, whatever ends them.
        ["setpriv", "--pdeathsig", "KILL", *ALONE, "bash", "-c", script, "bash", *fixed, *arguments],
        env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
        stdin=subprocess.DEVNULL,
        stdout=told,
        stderr=subprocess.STDOUT,
    )


def _do(command: list[str], env: Mapping[str, str] | None = None) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=BUILD_SECONDS, env=env)


def _said(error: Exception) -> str:
    if not isinstance(error, subprocess.CalledProcessError):
        return str(error)
    lines = [
        re.sub(r"\s+", " ", (said or b"").decode(errors="replace"))[-300:] for said in (error.stdout, error.stderr)
    ]
    return f"{error.cmd}: {' '.join(lines)}"
