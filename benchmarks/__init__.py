"""Measurements, as ratios or on the machine at hand: `make bench`."""
