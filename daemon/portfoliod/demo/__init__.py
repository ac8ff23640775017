"""The daemon at work on a workspace of its own: no keys, no network."""

from portfoliod.demo.tour import run_demo

__all__ = ["run_demo"]
