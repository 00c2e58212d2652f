"""The model of answers that were collected elsewhere: it has a name, and can never be asked."""

from collections.abc import AsyncIterator

from ratchet.core.errors import UsageError
from ratchet.models.chat import CallPart, ChatReply, ChatRequest

__all__ = ["BroughtModel"]


class BroughtModel:
    """Stand where a model is named; every call is refused.

    Args:
        name: `brought:<name>`.
    """

    concurrency = 1

    def __init__(self, name: str) -> None:
        self.name = name

    async def chat(self, request: ChatRequest) -> ChatReply:  # noqa: ARG002 - the protocol's
        """Refuse the call.

        Raises: UsageError, always.
        """
        raise UsageError(self._refusal())

    async def stream(
        self,
        request: ChatRequest,  # noqa: ARG002 - the protocol's
    ) -> AsyncIterator[str | CallPart | ChatReply]:
        raise UsageError(self._refusal())
        yield ""

    def count_tokens(self, request: ChatRequest) -> tuple[int, bool]:  # noqa: ARG002
        """Return that nothing is sent."""
        return 0, True

    def price(self, prompt_tokens: int, completion_tokens: int) -> float | None:  # noqa: ARG002
        """Return that nothing is paid: what the answers cost was paid elsewhere."""
        return 0.0

    async def close(self) -> None:
        """Do nothing."""

    def _refusal(self) -> str:
        return (
            f"{self.name!r} stands for answers that were collected elsewhere; it cannot be asked, "
            "improved or served. Name a candidate with a model of yours"
        )
