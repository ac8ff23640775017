"""Figures for Prometheus (`[metrics]`): of the status, of what was logged, of the loop. Never on an order's way."""

from portfoliod.metrics.figures import Figures, figures
from portfoliod.metrics.server import Metrics

__all__ = ["Figures", "Metrics", "figures"]
