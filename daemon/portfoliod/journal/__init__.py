"""The write-ahead log of orders: no order leaves that is not in it."""

from portfoliod.journal.journal import CONFIRMED, HIGH_WATER, Journal
from portfoliod.journal.outside import change
from portfoliod.journal.schema import LATEST, schema_of
from portfoliod.journal.store import Document, Retirement, Store

__all__ = ["CONFIRMED", "HIGH_WATER", "LATEST", "Document", "Journal", "Retirement", "Store", "change", "schema_of"]
