"""Prices from files and invented ones: what the paper venue trades on and what strategies are tested with."""
