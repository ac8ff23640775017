"""What the reconciliation of a market does next: one pure function of the facts.

Whoever reconciles gathers the facts, carries the action out, and asks again until the answer is `Wait`, `Done` or
`Send`. A fact that costs a request, or a pass over all markets, is None until an action asks for it. The workers of the
daemon and `plan` do so; between the journal's flush and the wire a worker asks once more, with fresh facts.
"""

from portfoliod.step import actions
from portfoliod.step.availability import Availability, State
from portfoliod.step.decide import GO_LIVE, decide_step
from portfoliod.step.facts import Exposure, Facts, Price, Reading, Recheck, Resolution

__all__ = [
    "GO_LIVE",
    "Availability",
    "Exposure",
    "Facts",
    "Price",
    "Reading",
    "Recheck",
    "Resolution",
    "State",
    "actions",
    "decide_step",
]
