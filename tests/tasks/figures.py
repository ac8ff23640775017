"""The page that Prometheus reads, as a test asks for it."""

from __future__ import annotations

import urllib.request

from prometheus_client.parser import text_string_to_metric_families

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def page(address: str) -> str:
    """Return what Prometheus would get."""
    with urllib.request.urlopen(address, timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def samples(address: str) -> Samples:
    """Return each sample by its name and labels."""
    families = text_string_to_metric_families(page(address))
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def sample(found: Samples, name: str, **labels: str) -> float | None:
    """Return a sample, None where there is none."""
    return found.get((name, frozenset(labels.items())))
