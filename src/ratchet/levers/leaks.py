"""Templates that hold an example's text: such a prompt knows answers, and its score says nothing about inputs that nobody has seen."""

from collections import Counter
from collections.abc import Iterable

from ratchet.core import Candidate, Example

__all__ = ["leak_in", "telling"]

TELLING = 16
"""Characters of an example's text that no prompt holds by chance."""


def telling(examples: Iterable[Example]) -> set[str]:
    """Return the texts that belong to one example alone: its inputs, or a long answer.

    What several examples share is a label or a category, and no secret.
    """
    texts = Counter(
        text
        for example in examples
        for text in (*example.inputs.values(), example.reference)
        if isinstance(text, str) and len(text) >= TELLING
    )
    return {text for text, count in texts.items() if count == 1}


def leak_in(champion: Candidate, challenger: Candidate, texts: set[str]) -> str | None:
    """Return a text that the challenger's templates hold and the champion's did not; None where there is none."""
    old, new = (f"{c.system}\n{c.user}" for c in (champion, challenger))
    return next((text for text in sorted(texts) if text in new and text not in old), None)
