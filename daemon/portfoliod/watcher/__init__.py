"""File changes in, names of what changed out."""

from portfoliod.watcher.reader import told
from portfoliod.watcher.watcher import SCAN_SECONDS, Watcher

__all__ = ["SCAN_SECONDS", "Watcher", "told"]
