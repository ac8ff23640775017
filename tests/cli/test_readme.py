"""What README says to type, typed where nothing of it is installed: each line as it stands, in order, in a shell."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path
from types import TracebackType

import pytest

ROOT = Path(__file__).parents[2]
FENCED = re.compile(r"(?ms)^```(\w*)\n(.*?)^```$")
END = "<ended with>"
SECONDS = 300.0
"""Within which a terminal has to be done with everything."""
ASKING = {"portfoliod flatten"}
"""Lines that want to hear a yes."""
REFUSED = {"portfoliod unlock BTCUSDT": "not locked", "portfoliod forget OLDUSDT": "no such market"}
"""Lines that have nothing to do in a workspace where all is well, and what they say."""


def section(heading: str) -> str:
    """Return what README says below a heading."""
    (found,) = re.findall(rf"(?ms)^## {heading}\n(.*?)^## ", (ROOT / "README.md").read_text())
    return str(found)


def typed(text: str) -> list[str]:
    """Return the command lines of a text, without their comments."""
    return [re.split(r"\s+# ", line.strip())[0] for line in FENCED.sub("", text).splitlines() if line[:4] == "    "]


class Terminal:
    """A shell that is typed into; leaving the context ends it with all that it started."""

    def __init__(self, home: Path, folder: Path) -> None:
        # What a fresh machine loads from the index is here already, and nothing may be asked of a network.
        offline = {
            "PIP_NO_INDEX": "1",
            "PIP_NO_DEPS": "1",
            "PIP_NO_BUILD_ISOLATION": "0",
            "PIP_CONFIG_FILE": os.devnull,
        }
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "PORTFOLIOD", "VIRTUAL"))
        }
        self._shell = subprocess.Popen(
            ["bash", "--norc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            env={**kept, **offline, "HOME": str(home), "PATH": path, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
            start_new_session=True,
        )
        self._timer = threading.Timer(SECONDS, self._end)

    def __enter__(self) -> Terminal:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timer.cancel()
        self._end()
        self._shell.communicate()

    def _end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._shell.pid, signal.SIGKILL)

    def start(self, line: str, until: str) -> str:
        """Type a line, and return what was printed up to a line with these words, that one included."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.write(f"{line}\n")
        self._shell.stdin.flush()
        printed = ""
        for heard in self._shell.stdout:
            printed += heard
            if until in heard:
                return printed
        raise AssertionError(f"{line}: no word of {until!r}\n{printed}")

    def type(self, line: str) -> str:
        """Type a line, and return what it printed once it has ended as it should."""
        asked = " <<< y" if line in ASKING else ""
        printed, _, code = self.start(f"{line}{asked}\necho '{END}' $?", END).rpartition(END)
        assert int(code) == (line in REFUSED), f"{line}: exit code {code}\n{printed}"
        assert REFUSED.get(line, "") in printed
        return printed


@pytest.mark.slow
def test_the_lines_of_readme_work_on_a_fresh_machine(tmp_path: Path) -> None:
    (home := tmp_path / "home").mkdir()
    install, use = section("Your own workspace").split("Then, anywhere:")
    make, activate, *rest = typed(install)
    *prepare, run = typed(use)
    assert run == "portfoliod run"
    with Terminal(home, ROOT) as first, Terminal(home, ROOT) as second:
        first.type(make)
        (packages,) = home.glob(".venvs/*/lib/python*/site-packages")
        (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
        for line in (activate, *rest, *prepare):
            first.type(line)
        assert str(home) in first.type("python -c 'import portfoliod; print(portfoliod.__file__)'")
        desk = home / "desk"
        assert {path.name for path in (desk / "strategies/my_trend").glob("*.json")} == {"state.json", "stats.json"}
        (whole,) = [code for language, code in FENCED.findall(use) if language == "python"]
        (desk / "strategies/whole").mkdir()
        (desk / "strategies/whole/strategy.py").write_text(whole)
        first.type("python strategies/whole/strategy.py")
        first.start(run, "daemon.ready")
        second.type(activate)
        second.type(f"cd {desk}")
        lines = typed(section("Watch it and stop it"))
        assert len(lines) >= 10
        for line in lines:
            printed = second.type(line)
            if line == "portfoliod status":
                assert "my_trend" in printed
