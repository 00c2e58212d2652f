"""The guard of a candidate: an answer that does not stand on its passages is held back, or marked."""

from dataclasses import dataclass

from ratchet.answer.aides import Helpers
from ratchet.answer.gathering import Gathered
from ratchet.answer.grounding import Grounding, grounding, grounding_prompts, shown_passages
from ratchet.answer.messages import Prompt
from ratchet.answer.nearest import text_of
from ratchet.core import Example, Guard, Json
from ratchet.core.records import written

__all__ = ["Guarded", "guarded"]


@dataclass(frozen=True)
class Guarded:
    """What a guard found."""

    guard: Guard
    grounding: Grounding | None
    """None where the checker's reply had not the form: then nothing is known, and the answer does not pass."""

    @property
    def passes(self) -> bool:
        """Return whether the answer may go out as it is."""
        return self.grounding is not None and self.grounding.score >= self.guard.threshold

    @property
    def is_blocked(self) -> bool:
        """Return whether it is held back."""
        return not self.passes and self.guard.action == "block"

    def plain(self) -> dict[str, Json]:
        """Return what was found, as JSON; what is held back is not told in other words."""
        found = self.grounding
        shown = found is not None and not self.is_blocked
        return {
            "passes": self.passes,
            "blocked": self.is_blocked,
            "faithfulness": None if found is None else round(found.score, 4),
            "unsupported": found.unsupported if found and shown else [],
        }


async def guarded(
    prompt: Prompt, answer: Json, gathered: Gathered, inputs: dict[str, Json], helpers: Helpers
) -> Guarded | None:
    """Return what the candidate's guard says of an answer; None where it has none.

    Raises: ReplyError if the checker gives no reply.
    """
    guard = prompt.candidate.guard
    if guard is None:
        return None
    judge = guard.model or prompt.candidate.model

    async def ask(asked: Prompt, example: Example) -> Json:
        reply = await helpers.send(asked.request(example), guard.model)
        found, failure = asked.read(reply)
        return None if failure else found

    return Guarded(
        guard,
        await grounding(
            ask,
            grounding_prompts(judge),
            text_of(inputs),
            written(answer),
            shown_passages(gathered.passages),
        ),
    )
