"""From a user's file to the functions that it defines."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import cast

import msgspec

from portfoliod.errors import SettingsError
from portfoliod.logs import redacted
from portfoliod.venues.script.lane import Function

KEPT = "nothing is traded on this venue"


class Functions(msgspec.Struct, frozen=True):
    """What a script can do; None where it cannot."""

    get_positions: Function
    place_order: Function
    get_price: Function | None = None
    get_rules: Function | None = None
    get_order: Function | None = None
    get_equity: Function | None = None
    order_needs_symbol: bool = False
    """Whether `get_order` takes (symbol, client_order_id), as many brokers' look-ups do."""

    def present(self) -> list[str]:
        """Return the names of what the script defines."""
        return [name for name in SIGNATURES if getattr(self, name) is not None]


SIGNATURES = {
    "get_positions": (),
    "place_order": ("symbol", "quantity", "reduce_only", "client_order_id"),
    "get_price": ("symbol",),
    "get_rules": ("symbol",),
    "get_order": ("client_order_id",),
    "get_equity": (),
}
REQUIRED = ("get_positions", "place_order")


def load_script(path: Path, venue: str) -> Functions:
    """Run a user's file and return the functions that it defines.

    Raises:
        SettingsError: the file cannot be read or run, or lacks what it must define.
    """
    module = _run(path, venue)
    missing = [name for name in REQUIRED if not hasattr(module, name)]
    if missing:
        raise SettingsError(
            f"the script lacks {' and '.join(missing)}",
            where=str(path),
            found=", ".join(name for name in SIGNATURES if hasattr(module, name)) or "none of its functions",
            kept=KEPT,
            mend="define " + " and ".join(f"{name}({', '.join(SIGNATURES[name])})" for name in missing),
        )
    functions = {name: _function(path, module, name) for name in SIGNATURES if hasattr(module, name)}
    get_order = functions.get("get_order")
    return Functions(**functions, order_needs_symbol=get_order is not None and not _takes(get_order, 1))


def _run(path: Path, venue: str) -> ModuleType:
    name = f"portfoliod_script_{venue}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise SettingsError("not a Python file", where=str(path), kept=KEPT, mend="name a file that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # a dataclass of the author looks itself up there
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        sys.modules.pop(name, None)
        raise SettingsError(
            "the script cannot be run",
            where=f"{path}:{_line(path, error)}",
            found=redacted(f"{type(error).__name__}: {error}"),
            kept=KEPT,
            mend=f"mend that line; to try it: python {path}",
        ) from error
    return module


def _line(path: Path, error: BaseException) -> int:
    """Return the line of the script in which an error arose."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return error.lineno or 1
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno or 1 for frame in reversed(frames) if frame.filename == str(path)), 1)


def _function(path: Path, module: ModuleType, name: str) -> Function:
    function = getattr(module, name)
    wanted = SIGNATURES[name]
    if callable(function) and (_takes(function, len(wanted)) or (name == "get_order" and _takes(function, 2))):
        return cast("Function", function)
    raise SettingsError(
        f"{name} does not take what it is called with",
        where=f"{path}:{_line_of(function)}",
        found=f"{name}{_signature(function)}",
        kept=KEPT,
        mend=f"define {name}({', '.join(wanted)})",
    )


def _takes(function: Function, count: int) -> bool:
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    except ValueError:  # a function without a signature that can be read
        return True
    return True


def _signature(function: object) -> str:
    try:
        return str(inspect.signature(function)) if callable(function) else f" = {function!r}"
    except ValueError:
        return "(?)"


def _line_of(function: object) -> int:
    code = getattr(function, "__code__", None)
    return int(getattr(code, "co_firstlineno", 1))
