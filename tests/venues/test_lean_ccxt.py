"""The lean import of ccxt offers what the whole one does, and no more of it is imported than is asked for."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

DESCRIPTION = """
import hashlib

def described(kind):
    line = [f"{base.__module__}.{base.__qualname__}" for base in kind.__mro__]
    return [line, hashlib.sha256(repr(sorted(kind().describe().items())).encode()).hexdigest()]
"""
WHOLE = f"""
import json
import ccxt, ccxt.async_support, ccxt.pro
{DESCRIPTION}
print(json.dumps({{
    package.__name__: {{name: described(getattr(package, name)) for name in package.exchanges}}
    for package in (ccxt, ccxt.async_support, ccxt.pro)
}}))
"""
ALONE = f"""
import json, os, sys
from portfoliod.lean_ccxt import exchange_class
exchange_class("ccxt.pro", "independentreserve")  # what all need, once: each has a process of its own
{DESCRIPTION}
wanted = json.load(sys.stdin)
for package, names in wanted.items():
    for name in names:
        if not os.fork():
            print(json.dumps([package, name, described(exchange_class(package, name))]), flush=True)
            os._exit(0)
        _, status = os.wait()
        assert status == 0, (package, name)
"""


def run(program: str, given: str = "") -> str:
    done = subprocess.run([sys.executable, "-c", program], input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_every_exchange_alone_is_the_class_of_the_whole_package() -> None:
    whole = json.loads(run(WHOLE))
    alone: dict[str, dict[str, object]] = {package: {} for package in whole}
    for line in run(ALONE, json.dumps(whole)).splitlines():
        package, name, described = json.loads(line)
        alone[package][name] = described

    assert alone == whole
    assert len(whole["ccxt.pro"]) > 50


def test_one_exchange_imports_no_other() -> None:
    program = """
import sys
from portfoliod.lean_ccxt import exchange_class
exchange_class("ccxt.pro", "okx")
print(*sorted(name for name in sys.modules if name.split(".")[-1] in ("okx", "bybit", "kraken")))
"""

    assert run(program).split() == ["ccxt.abstract.okx", "ccxt.async_support.okx", "ccxt.pro.okx"]


@pytest.mark.slow
@pytest.mark.parametrize("package", ["ccxt", "ccxt.async_support", "ccxt.pro"])
def test_the_package_has_every_name_of_the_whole_one(package: str) -> None:
    names = run(
        f"import {package} as p; print(*[name for name in vars(p) if not name.startswith('_')], '__version__')"
    ).split()
    program = f"""
import importlib, sys
import portfoliod.lean_ccxt
package = importlib.import_module("{package}")
print(*[name for name in sys.stdin.read().split() if not hasattr(package, name)])
"""

    assert len(names) > 50
    assert run(program, " ".join(names)).split() == []


@pytest.mark.parametrize("name", ["nope", "base", "errors", "__init__", "no identifier", ""])
def test_what_is_no_exchange_is_none(name: str) -> None:
    program = f"""
from portfoliod.lean_ccxt import exchange_class
print([exchange_class(package, {name!r}) for package in ("ccxt", "ccxt.async_support", "ccxt.pro")])
"""

    assert run(program) == "[None, None, None]\n"


@pytest.mark.slow
def test_a_ccxt_that_was_there_before_stays() -> None:
    program = """
import ccxt.pro
before = ccxt.pro.okx
from portfoliod.lean_ccxt import ccxt as lean, exchange_class
print(lean is ccxt, exchange_class("ccxt.pro", "okx") is before)
"""

    assert run(program) == "True True\n"
