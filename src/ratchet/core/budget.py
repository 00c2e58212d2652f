"""Budget: a limit in calls, dollars or seconds that stops work cleanly, with everything bought so far kept."""

import time
from dataclasses import dataclass, field

from ratchet.core.step import Spend

__all__ = ["Budget"]


@dataclass(kw_only=True)
class Budget:
    """What may still be spent; a limit that is None does not bind.

    `begin` asks leave for a call, `charge` counts it as it comes back. A limit in calls is exact. For a limit in dollars, calls
    under way are expected to cost what the finished ones did on average; the very first ones have no average yet, so a limit
    that is smaller than one round of concurrent calls can be passed by that round. What was bought is kept.
    """

    cost_usd: float | None = None
    calls: int | None = None
    seconds: float | None = None
    started: float = field(default_factory=time.monotonic)
    begun: int = 0
    ended: int = 0
    calls_made: int = 0
    tokens_used: int = 0
    dollars: float = 0.0
    """What was charged, as far as prices are known."""
    has_unknown_costs: bool = False
    """Whether something was charged whose price is unknown."""

    @property
    def known_dollars(self) -> float | None:
        """Return what was charged in US dollars; None where a price is unknown."""
        return None if self.has_unknown_costs else self.dollars

    @property
    def spent(self) -> Spend:
        """Return what was charged so far, and the seconds since the start."""
        return Spend(
            calls=self.calls_made,
            tokens=self.tokens_used,
            seconds=time.monotonic() - self.started,
            cost_usd=self.dollars,
        )

    def begin(self, calls: int = 1) -> bool:
        """Return whether so many more calls may start, and count them as under way if so."""
        if self.is_spent() or (self.calls is not None and self.begun + calls > self.calls):
            return False
        if self.cost_usd is not None and self.ended:
            mean = self.dollars / self.ended
            if self.dollars + mean * (self.begun - self.ended) >= self.cost_usd:
                return False
        self.begun += calls
        return True

    @property
    def is_under_way(self) -> bool:
        """Return whether calls are under way."""
        return self.begun > self.ended

    def end(self, calls: int = 1, *, spared: int = 0) -> None:
        """Count calls as no longer under way, answered or not, and give back those that were spared."""
        self.ended += calls - spared
        self.begun -= spared

    def charge(self, *, calls: int = 0, tokens: int = 0, cost_usd: float | None = None) -> None:
        """Add what was used; an unknown cost counts calls and tokens only, and is remembered as unknown."""
        self.has_unknown_costs = self.has_unknown_costs or cost_usd is None
        self.calls_made += calls
        self.tokens_used += tokens
        self.dollars += cost_usd or 0.0

    def is_spent(self) -> bool:
        """Return whether a limit is reached."""
        over_cost = self.cost_usd is not None and self.dollars >= self.cost_usd
        over_calls = self.calls is not None and self.calls_made >= self.calls
        over_time = self.seconds is not None and time.monotonic() - self.started >= self.seconds
        return over_cost or over_calls or over_time
