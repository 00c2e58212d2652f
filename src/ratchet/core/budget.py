"""Budget: a limit in calls, dollars or seconds that stops work cleanly, with everything bought so far kept."""

import time
from dataclasses import dataclass, field

from ratchet.core.step import Spend

__all__ = ["Budget"]


@dataclass(kw_only=True)
class Budget:
    """What may still be spent; a limit that is None does not bind.

    `charge` is called as calls come back, `is_spent` before each new one. Calls under way when a limit is reached are
    finished and kept, so a dollar limit can be passed by what was in flight.
    """

    cost_usd: float | None = None
    calls: int | None = None
    seconds: float | None = None
    spent: Spend = field(default_factory=lambda: Spend(cost_usd=0.0))
    started: float = field(default_factory=time.monotonic)

    def charge(self, *, calls: int = 0, tokens: int = 0, cost_usd: float | None = None) -> None:
        """Add what was used; an unknown cost counts calls and tokens only."""
        spent = self.spent
        self.spent = Spend(
            calls=spent.calls + calls,
            tokens=spent.tokens + tokens,
            seconds=time.monotonic() - self.started,
            cost_usd=(spent.cost_usd or 0.0) + (cost_usd or 0.0),
        )

    def is_spent(self) -> bool:
        """Return whether a limit is reached."""
        over_cost = self.cost_usd is not None and (self.spent.cost_usd or 0.0) >= self.cost_usd
        over_calls = self.calls is not None and self.spent.calls >= self.calls
        over_time = self.seconds is not None and time.monotonic() - self.started >= self.seconds
        return over_cost or over_calls or over_time
