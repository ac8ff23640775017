"""The write-ahead log of orders: no order leaves that is not in it."""

from portfoliod.journal.events import Document, Dropped, Marked, Noted, Released, Retired, Retirement
from portfoliod.journal.journal import Journal, opened_to_read
from portfoliod.journal.outside import change
from portfoliod.journal.schema import LATEST, schema_of
from portfoliod.journal.store import CONFIRMED, Store

__all__ = [
    "CONFIRMED",
    "LATEST",
    "Document",
    "Dropped",
    "Journal",
    "Marked",
    "Noted",
    "Released",
    "Retired",
    "Retirement",
    "Store",
    "change",
    "opened_to_read",
    "schema_of",
]
