"""Policy: what a challenger must keep beside a better score, before it takes the champion's place."""

from typing import Annotated

from pydantic import Field

from ratchet.core.records import Record

__all__ = ["Policy"]


class Policy(Record):
    """Conditions of a task; each one that is set must hold."""

    slices: tuple[str, ...] = ()
    """Input fields: on the examples of each value that enough of them share, the challenger must not be worse."""
    most_usd: Annotated[float, Field(gt=0)] | None = None
    """Dollars a call, at most."""
    most_seconds: Annotated[float, Field(gt=0)] | None = None
    """Seconds until the reply, for 95 of 100 answers."""
    most_tokens: Annotated[int, Field(gt=0)] | None = None
    """Tokens a call, at most."""
    kappa: Annotated[float, Field(gt=-1, le=1)] | None = None
    """The judges of the metric must agree with people's grades at least so far: Cohen's kappa, quadratic for more than two grades."""
    remembers: bool = False
    """A fine-tune must not be proven to have forgotten: the verdict of its base's probes is not `worse`."""
