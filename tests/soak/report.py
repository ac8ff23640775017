"""What a soak says at its end: a table, and what is wrong with it."""

from __future__ import annotations

from tests.soak.run import Result
from tests.soak.samples import Slope, after_warm_up, slope

ENOUGH_SAMPLES = 60
"""After the warm-up; with fewer a slope says nothing."""
AN_HOUR = 4.0
"""MiB, descriptors, threads or tasks: what grows by less, if it goes on like that, is no trend."""
ALTOGETHER = 3.0
"""Likewise, in the time that was measured: memory comes from the system a MiB at a time."""


def slopes(result: Result) -> dict[str, Slope]:
    """Return the slopes after the warm-up; empty for a run that is too short to tell."""
    samples = [sample for sample in after_warm_up(result.samples) if sample.tasks is not None]
    if len(samples) < ENOUGH_SAMPLES:
        return {}
    times = [sample.at for sample in samples]
    return {
        "resident MiB": slope(times, [sample.resident for sample in samples]),
        "descriptors": slope(times, [sample.descriptors for sample in samples]),
        "threads": slope(times, [sample.threads for sample in samples]),
        "tasks": slope(times, [sample.tasks or 0 for sample in samples]),
    }


def complaints(result: Result) -> list[str]:
    """Return what speaks against the daemon; nothing if all is well."""
    wrong = list(result.wrong)
    wrong += [f"not settled: {complaint}" for complaint in result.unsettled]
    wrong += [f"a traceback: {text}" for text in result.tracebacks[:5]]
    if (unlogged := result.outcomes.get("refused", 0) - result.events.get("order.refused", 0)) > 0:
        wrong.append(f"{unlogged} refused intents without an order.refused event")
    if result.exit_code != 0:
        wrong.append(f"the daemon ended with {result.exit_code}")
    steady = after_warm_up(result.samples)
    wrong += [
        f"{name} grow: {found}"
        for name, found in slopes(result).items()
        if found.low > AN_HOUR and found.low * (steady[-1].at - steady[0].at) / 3600 > ALTOGETHER
    ]
    return wrong


def table(result: Result) -> str:
    """Return what was measured, for people."""
    steady = after_warm_up(result.samples)
    tasks = [sample.tasks for sample in steady if sample.tasks is not None]
    rows = [("time", f"{result.seconds / 60:.1f} minutes"), ("states published", str(result.published))]
    rows += [("faults made", str(sum(result.faults.values())))]
    rows += [(f"  {name}", str(times)) for name, times in sorted(result.faults.items())]
    rows += [("orders at the exchange", str(result.orders)), ("fills", str(result.fills))]
    rows += [(f"  intents {status}", str(times)) for status, times in sorted(result.outcomes.items())]
    rows += [
        (name, str(result.events.get(name, 0)))
        for name in ("weights.optimized", "order.unknown", "order.resolved", "order.refused", "stream.interrupted")
    ]
    if steady:
        rows += [
            ("resident MiB", f"{steady[0].resident:.1f} after the warm-up, {steady[-1].resident:.1f} at the end"),
            ("descriptors", f"{min(s.descriptors for s in steady)} to {max(s.descriptors for s in steady)}"),
            ("threads", f"{min(s.threads for s in steady)} to {max(s.threads for s in steady)}"),
            ("tasks", f"{min(tasks, default=0)} to {max(tasks, default=0)}"),
            ("journal MiB", f"{result.samples[-1].journal:.1f}"),
        ]
    rows += [(f"{name}, slope", str(found)) for name, found in slopes(result).items()]
    settled = "never" if result.settled_after is None else f"{result.settled_after:.1f} s after the last fault"
    rows += [("settled", settled), ("sent twice, too early or unjournaled", str(len(result.wrong)))]
    return "\n".join(f"{name:<40} {value}" for name, value in rows)
