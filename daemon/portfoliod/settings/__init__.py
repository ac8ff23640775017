"""config/portfoliod.toml: the operator's settings, each with its default.

A key or a value that does not fit is an error that names the key, what was expected and the nearest known key. All
of a file's errors are told at once.
"""

from portfoliod.settings.decoding import read_table
from portfoliod.settings.load import ALLOCATOR_GROUP, load_settings, unknown_allocator, venue_table
from portfoliod.settings.outlets import MetricsSettings, NotifySettings, NotifyTarget
from portfoliod.settings.source import parse_toml
from portfoliod.settings.tables import (
    NotNegative,
    OptimizerSettings,
    Positive,
    ReconcilerSettings,
    RiskSettings,
    Settings,
    drivers,
    policy_of,
)

__all__ = [
    "ALLOCATOR_GROUP",
    "MetricsSettings",
    "NotNegative",
    "NotifySettings",
    "NotifyTarget",
    "OptimizerSettings",
    "Positive",
    "ReconcilerSettings",
    "RiskSettings",
    "Settings",
    "drivers",
    "load_settings",
    "parse_toml",
    "policy_of",
    "read_table",
    "unknown_allocator",
    "venue_table",
]
