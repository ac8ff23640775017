"""ccxt with the exchanges that are asked for: its packages import all of them, half a second and 55 MB for one in use.

In place of `ccxt`, `ccxt.async_support` and `ccxt.pro` stand packages that import a name's module when the name is
asked for. A name that has no module of its own, such as `ccxt.exchanges`, makes them run the `__init__` that they
stand for: nothing is missing from them. Where ccxt was imported before this module, it stays as it is.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any

_SHARED = {
    "ccxt": ("ccxt.base.errors", "ccxt.base.decimal_to_precision", "ccxt.base.exchange"),
    "ccxt.async_support": ("ccxt.async_support.base.exchange",),
    "ccxt.pro": (),
}
"""The packages, and the modules besides the exchanges' whose names they offer."""
_IN_INIT = ("__version__", "__all__")
"""Among the names with underscores, which are asked for by whoever probes a module, those that a package may have."""


class _Package(ModuleType):
    """A package that imports what is asked of it."""

    def __getattr__(self, name: str) -> Any:
        if (name.startswith("_") and name not in _IN_INIT) or self.__spec__ is None or self.__spec__.loader is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        for module in map(importlib.import_module, _SHARED[self.__name__]):
            if name in module.__dict__:
                return module.__dict__[name]
        if importlib.util.find_spec(f"{self.__name__}.{name}"):
            importlib.import_module(f"{self.__name__}.{name}")
        else:
            self.__spec__.loader.exec_module(self)
        return super().__getattribute__(name)

    def __setattr__(self, name: str, value: object) -> None:
        """Bind an exchange's class where the import of its module binds the module, as the real packages do."""
        imported = isinstance(value, ModuleType) and value.__name__ == f"{self.__name__}.{name}"
        super().__setattr__(name, vars(value).get(name, value) if imported else value)


def _stand_in() -> None:
    for name in _SHARED:
        spec = importlib.util.find_spec(name)
        if spec is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        package = importlib.util.module_from_spec(spec)
        package.__class__ = _Package
        sys.modules[name] = package
        parent, _, tail = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], tail, package)


def exchange_class(package: str, exchange: str) -> Any:
    """Return the class that a package of ccxt has for an exchange's id, None where it has none.

    Args:
        package: "ccxt" has the blocking classes, "ccxt.async_support" the asynchronous ones, "ccxt.pro" these with
            websockets.
        exchange: the id, as a person wrote it.
    """
    if not exchange.isidentifier() or importlib.util.find_spec(f"{package}.{exchange}") is None:
        return None
    offered = getattr(importlib.import_module(package), exchange, None)
    return offered if isinstance(offered, type) else None


if "ccxt" not in sys.modules:
    _stand_in()

import ccxt  # noqa: E402

__all__ = ["ccxt", "exchange_class"]
