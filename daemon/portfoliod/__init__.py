"""A portfolio daemon for systematic traders."""

__version__ = "0.1.0"
