"""The write-ahead log of orders: no order leaves that is not in it."""

from portfoliod.journal.journal import Journal
from portfoliod.journal.outside import change
from portfoliod.journal.store import Document, Retirement, Store

__all__ = ["Document", "Journal", "Retirement", "Store", "change"]
