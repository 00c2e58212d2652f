"""How one call to an endpoint may end other than with a reply: signals between the call and who decides what comes next."""

from ratchet.core import Usage
from ratchet.core.errors import ReplyError
from ratchet.models.chat import ChatReply
from ratchet.models.protocol import ErrorDetails
from ratchet.models.wire import Answer

__all__ = ["FilteredInput", "RefusedRequest", "TryAgain", "is_stream", "refused_reply"]


def is_stream(answer: Answer) -> bool:
    """Return whether a reply comes in pieces, as was asked; some servers send the whole, or compress what they send."""
    kind = answer.headers.get(b"content-type", b"").lower()
    encoding = answer.headers.get(b"content-encoding", b"identity").strip().lower()
    return b"json" not in kind and b"html" not in kind and encoding in (b"", b"identity")


def refused_reply(details: ErrorDetails) -> ChatReply:
    """Return the reply that a refusal of one input is: the provider's filter answers in the model's place."""
    return ChatReply(finish_reason="content_filter", refusal=details.message, usage=Usage())


class TryAgain(Exception):  # noqa: N818 - a signal inside this module
    """The call may be tried again, at most `max_retries` times; `error` is what to say if it is not."""

    def __init__(
        self, error: ReplyError, *, after_s: float | None = None, max_retries: int = 1_000_000
    ) -> None:
        super().__init__(str(error))
        self.error, self.after_s, self.max_retries = error, after_s, max_retries


class FilteredInput(Exception):  # noqa: N818 - a signal inside this module
    """A filter answered in the model's place, inside a good status."""

    def __init__(self, details: ErrorDetails) -> None:
        super().__init__(details.message)
        self.details = details


class RefusedRequest(Exception):  # noqa: N818 - a signal inside this module
    """The request was refused as it is; `error` is what to say if nothing can be learnt from it."""

    def __init__(
        self, error: ReplyError, details: ErrorDetails, *, is_moderation: bool = False
    ) -> None:
        super().__init__(str(error))
        self.error, self.details, self.is_moderation = error, details, is_moderation
