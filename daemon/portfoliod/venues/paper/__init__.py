"""An account without an exchange: the same protocol, prices from elsewhere, fills as a taker would get them."""

from portfoliod.venues.paper.venue import PaperVenue, open_paper

__all__ = ["PaperVenue", "open_paper"]
