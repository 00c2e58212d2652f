"""From a request to its replies: what a name means, who stands in when it gives no reply, and what was answered a moment ago."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from random import Random
from zlib import crc32

import orjson
import sqlalchemy as sa

from ratchet.answer import Gathered, Prompt, gather, told, whole
from ratchet.core import Example, Json, Release
from ratchet.core.errors import AccessError, ReplyError, UnknownModelError
from ratchet.gateway.fresh import Fresh
from ratchet.gateway.parameters import request_for, split_ignored
from ratchet.gateway.shapes import Asked, Problem, plain_messages
from ratchet.models import CallPart, ChatModel, ChatReply, ChatRequest, ModelPool
from ratchet.store import ServeSettings, load_releases
from ratchet.store.adapters import NamedAdapter, list_adapters

__all__ = ["Answering", "Meant", "Names"]

TOLD = 20
"""So many releases are named to who asks for an unknown one."""
LOCAL_TEMPERATURE, LOCAL_TOKENS, TEXT_TOKENS = 1.0, 1024, 16
"""What a model of this machine does where a client names nothing: OpenAI's defaults, and a bound on the length."""
MOST_TOKENS = 32_768
"""Of a reply, where nobody knows how long one may get."""
CACHED = 10_000
"""So many replies are remembered."""


@dataclass(slots=True, kw_only=True)
class Meant:
    """What a request means: who answers what."""

    model: ChatModel
    request: ChatRequest
    release: Release | None = None
    prompt: Prompt | None = None
    """Of the release's candidate."""
    inputs: dict[str, Json] | None = None
    """The fields of the release's task."""
    gathered: Gathered | None = None
    """What was found for a release's inputs."""
    asked: Asked | None = None
    """What the client named, where no release makes the prompt."""
    ignored: tuple[str, ...] = ()
    """The parameters that change nothing."""

    def request_to(self, model: ChatModel) -> ChatRequest:
        """Return the request as it goes to a model that may stand in.

        Raises: Problem for what that model cannot do.
        """
        if model is self.model:
            return self.request
        if self.asked is None:
            return replace(self.request, adapter=None)
        request, _ = request_for(self.asked, model)
        return with_defaults(request, model.name)


class Names:
    """What names stand for: releases, fine-tunes, and the models of the pool."""

    def __init__(self, engine: sa.Engine, pool: ModelPool) -> None:
        self._engine, self._pool = engine, pool
        self.releases: dict[str, tuple[Release, Prompt]] = {}
        self.canaries: dict[str, tuple[Release, Prompt]] = {}
        """By the release's name: the release as its canary answers it."""
        self.adapters: dict[str, NamedAdapter] = {}
        self._random = Random()  # which candidate answers, no secret
        self._fresh = Fresh(self._read)
        self._opening = asyncio.Lock()

    def expire(self) -> None:
        """Read anew before the next request: names may have changed."""
        self._fresh.expire()

    async def ready(self) -> None:
        """Know what names stand for: a promotion or a new fine-tune is served after some seconds at most."""
        await self._fresh.ensure()

    async def _read(self) -> None:
        found = await asyncio.to_thread(load_releases, self._engine)
        named = await asyncio.to_thread(list_adapters, self._engine)
        last = {one.name: one for one in found}
        self.releases = {name: self._with_prompt(one, self.releases) for name, one in last.items()}  # fmt: skip
        trials = {name: as_canary(one) for name, one in last.items() if one.canary}
        self.canaries = {name: self._with_prompt(one, self.canaries) for name, one in trials.items()}  # fmt: skip
        self.adapters = {one.name: one for one in named}
        self._pool.forget_gone()

    def _with_prompt(
        self, release: Release, before: Mapping[str, tuple[Release, Prompt]]
    ) -> tuple[Release, Prompt]:
        """Return a release with its prompt: the one that is there where nothing changed, as it knows its demonstrations' vectors."""
        known = before.get(release.name)
        if known and known[0] == release:
            return known
        return release, Prompt(release.task, release.candidate)

    async def meant(self, asked: Asked) -> Meant:
        """Return who answers what: a release fills its template, any other name takes the messages as they are.

        Raises: Problem or UnknownModelError if the name stands for nothing, or the request does not fit it.
        """
        await self.ready()
        served = self.releases.get(asked.model)
        if served is None:
            if asked.inputs is not None:
                raise Problem(
                    400, f"'inputs' are for releases, and {asked.model!r} is none", param="inputs"
                )
            return await self._named(asked)
        if asked.peft:
            raise Problem(
                400, f"{asked.model!r} is a release, and has its own weights", param="peft"
            )
        if asked.request.raw is not None:
            raise Problem(
                400,
                f"{asked.model!r} is a release, and takes chats: ask /v1/chat/completions",
                param="model",
            )
        release, prompt = self._of_canary(asked) or served
        ignored = split_ignored(asked.body, is_release=True)
        inputs = inputs_of(release, asked)
        model = await self._opened(release.candidate.model)
        example = Example(inputs=inputs, reference=None)
        gathered = await gather(prompt, example, self._pool, model)
        request = gathered.request
        request = replace(
            request,
            logprobs=asked.request.logprobs,
            seed=request.seed if asked.request.seed is None else asked.request.seed,
        )
        return Meant(
            model=model,
            request=request,
            release=release,
            prompt=prompt,
            inputs=inputs,
            gathered=gathered,
            ignored=ignored,
        )

    def _of_canary(self, asked: Asked) -> tuple[Release, Prompt] | None:
        """Return the canary of a release, where this request is one of its share; one end user always meets the same candidate."""
        found = self.canaries.get(asked.model)
        if found is None:
            return None
        drawn = crc32(asked.end_user.encode()) / 2**32 if asked.end_user else self._random.random()
        return found if drawn < found[0].share else None

    async def _named(self, asked: Asked) -> Meant:
        """Return the model that a name stands for, with the adapter where it is a fine-tune."""
        wanted = asked.peft or (asked.model if asked.model.startswith("ft:") else None)
        if wanted and wanted not in self.adapters:
            self.expire()
            await self.ready()
        adapter = self.adapters.get(wanted or asked.model)
        if adapter is None:
            if wanted:
                raise Problem(
                    404,
                    f"there is no adapter {wanted!r}",
                    param="peft" if asked.peft else "model",
                    code="model_not_found",
                )
            try:
                model = await self._opened(asked.model)
                return meant_by(asked, model)
            except UnknownModelError as error:
                served = ", ".join(list(self.releases)[:TOLD]) or "none"
                said = f"{error}; releases: {served}"
                raise Problem(404, said, param="model", code="model_not_found") from error
        if asked.peft and asked.model not in (adapter.base, adapter.name):
            raise Problem(
                400,
                f"the adapter {adapter.name!r} is for {adapter.base}, not for {asked.model!r}",
                param="peft",
            )
        model = await self._opened(adapter.base)
        return meant_by(asked, model, adapter=adapter.adapter or None)

    async def _opened(self, name: str) -> ChatModel:
        """Return the model of that name; the first time it is opened beside the loop, as that may take seconds."""
        if self._pool.is_open(name):
            return self._pool.model(name)
        async with self._opening:
            return await asyncio.to_thread(self._pool.model, name)


def meant_by(asked: Asked, model: ChatModel, *, adapter: str | None = None) -> Meant:
    """Return what a request to a model means.

    Raises: Problem for what the model cannot do.
    """
    request, ignored = request_for(asked, model)
    if adapter:
        request = replace(request, adapter=adapter)
    return Meant(
        model=model, request=with_defaults(request, model.name), asked=asked, ignored=ignored
    )


def with_defaults(request: ChatRequest, name: str) -> ChatRequest:
    """Return a request with what OpenAI's API does where nothing is named, for a model of this machine; an endpoint has its own."""
    if not name.startswith("local:"):
        return request
    return replace(
        request,
        temperature=LOCAL_TEMPERATURE if request.temperature is None else request.temperature,
        max_tokens=request.max_tokens or (LOCAL_TOKENS if request.raw is None else TEXT_TOKENS),
    )


def as_canary(release: Release) -> Release:
    """Return a release as its canary answers it."""
    return release.model_copy(update={"candidate": release.canary, "canary": None})


class Answering:
    """Asks models, those that stand in for them, and the memory of replies."""

    def __init__(self, pool: ModelPool, settings: ServeSettings) -> None:
        self._pool, self._settings = pool, settings
        self._cache: OrderedDict[bytes, tuple[float, list[ChatReply]]] = OrderedDict()

    def known(self, meant: Meant, n: int) -> list[ChatReply] | None:
        """Return the replies to the same request of a moment ago, which cost nothing now; None where there are none."""
        if not self._settings.cache_s:
            return None
        found = self._cache.get(key_of(meant, n))
        if found is None or time.monotonic() - found[0] > self._settings.cache_s:
            return None
        return [
            replace(reply, usage=reply.usage.model_copy(update={"cost_usd": 0.0}))
            for reply in found[1]
        ]

    def remember(self, meant: Meant, n: int, replies: list[ChatReply]) -> None:
        """Keep replies for who asks the same."""
        if self._settings.cache_s:
            self._cache[key_of(meant, n)] = (time.monotonic(), replies)
            while len(self._cache) > CACHED:
                self._cache.popitem(last=False)

    def most_usd(self, meant: Meant, n: int) -> float | None:
        """Return the most that `n` replies may cost by whoever may give them, in US dollars; None where a price is unknown."""
        decoding = meant.release.candidate.decoding if meant.release else None
        calls = n * (decoding.samples * (1 + decoding.repairs) if decoding else 1)
        costs = [most_of(model, meant.request) for model in self._who(meant)]
        return (
            calls * max(cost for cost in costs if cost is not None) if None not in costs else None
        )

    async def answered(self, meant: Meant, n: int) -> tuple[list[ChatReply], str]:
        """Return `n` replies, with a seed each its own, and the name of the model that gave them."""
        last: Exception | None = None
        for model in self._who(meant):
            request = meant.request_to(model)
            seeds = [None if request.seed is None else request.seed + k for k in range(n)]
            try:
                if n == 1:
                    return [await self._reply(meant, model, request)], model.name
                others = without_account(meant)  # what was found is found once, and paid for once
                calls = (
                    self._reply(others if place else meant, model, replace(request, seed=seed))
                    for place, seed in enumerate(seeds)
                )
                return list(await asyncio.gather(*calls)), model.name
            except (ReplyError, AccessError) as error:
                last = error
        assert last is not None  # there is at least one model
        raise last

    async def streamed(self, meant: Meant) -> AsyncIterator[tuple[str, str | CallPart | ChatReply]]:
        """Yield a reply piece by piece, each with the name of the model that gives it; somebody else stands in only before the first piece."""
        models = self._who(meant)
        for place, model in enumerate(models):
            request = meant.request_to(model)
            begun = False
            try:
                if request.logprobs is not None or is_whole(meant):  # they come with the whole
                    reply = await self._reply(meant, model, request)
                    yield model.name, reply.text
                    yield model.name, reply
                    return
                async for piece in model.stream(request):
                    begun = True
                    yield (
                        model.name,
                        finished(meant, piece) if isinstance(piece, ChatReply) else piece,
                    )
            except (ReplyError, AccessError):
                if begun or place == len(models) - 1:
                    raise
            else:
                return

    async def _reply(self, meant: Meant, model: ChatModel, request: ChatRequest) -> ChatReply:
        """Return a reply; of a release whose candidate samples, repairs or guards, as it was measured."""
        if meant.prompt is None or meant.inputs is None:
            return finished(meant, await model.chat(request))
        if not is_drawn(meant):
            return answer_in(meant.prompt, finished(meant, await model.chat(request)))
        gathered = replace(meant.gathered or Gathered(request=request), request=request)
        drawn = await whole(meant.prompt, model, gathered, meant.inputs, self._pool)
        return answer_in(meant.prompt, drawn.reply)

    def _who(self, meant: Meant) -> list[ChatModel]:
        names = self._settings.fallbacks.get(meant.model.name, ())
        return [meant.model, *(self._pool.model(name) for name in names)]


def most_of(model: ChatModel, request: ChatRequest) -> float | None:
    """Return the most that a call may cost: a token has a byte at least, and a reply all the tokens that it may have."""
    if model.name.startswith("local:"):
        return model.price(0, 0)
    said = orjson.dumps([request.messages, request.raw, request.tools, request.json_schema])
    known: int | None = getattr(getattr(model, "capabilities", None), "output_tokens", None)
    longest = known or MOST_TOKENS
    if request.max_tokens and (request.limit_is_whole or known is None):
        longest = min(longest, request.max_tokens) if known else request.max_tokens
    return model.price(len(said), longest)


def without_account(meant: Meant) -> Meant:
    """Return the same, what finding its passages took left out."""
    gathered = meant.gathered
    if gathered is None or gathered.helpers is None:
        return meant
    return replace(meant, gathered=replace(gathered, helpers=gathered.helpers.afresh()))


def finished(meant: Meant, reply: ChatReply) -> ChatReply:
    """Return a model's reply with what was found for it."""
    gathered = meant.gathered
    if gathered is None or gathered.helpers is None:
        return reply
    return told(reply, gathered.passages, gathered.helpers)


def answer_in(prompt: Prompt, reply: ChatReply) -> ChatReply:
    """Return a reply as it was measured: the part that is the answer, and all that was said in a note."""
    part = prompt.answer_part(reply)
    if part is reply:
        return reply
    return replace(part, text=part.text.strip(), notes={**reply.notes, "reasoning": reply.text})


def is_whole(meant: Meant) -> bool:
    """Return whether an answer of a release is known only when all is said."""
    return is_drawn(meant) or (meant.prompt is not None and meant.prompt.has_reasoning)


def is_drawn(meant: Meant) -> bool:
    """Return whether an answer of a release takes more than the one reply: samples, repairs, a guard."""
    if meant.release is None:
        return False
    candidate = meant.release.candidate
    return candidate.guard is not None or not candidate.decoding.is_plain


def key_of(meant: Meant, n: int) -> bytes:
    """Return what two equal requests have in common."""
    request: Mapping[str, Json] = {
        name: getattr(meant.request, name) for name in ChatRequest.__dataclass_fields__
    }
    drawn = meant.release.candidate.id if meant.release and is_drawn(meant) else None
    return orjson.dumps(
        [meant.model.name, n, drawn, request], option=orjson.OPT_SORT_KEYS, default=sorted
    )


def inputs_of(release: Release, asked: Asked) -> dict[str, Json]:
    """Return the fields of a release's task: by name from `inputs`, or the last user message where there is but one.

    Raises: Problem if a field is missing, or unknown.
    """
    names = release.task.input_names
    given = asked.inputs
    if given is None:
        said = plain_messages(asked.request.messages)
        users = [message["content"] for message in said if message["role"] == "user"]
        if len(names) != 1 or not users:
            raise Problem(
                400,
                f"the release {release.name!r} takes the fields {', '.join(names)}: give them as 'inputs'",
                param="inputs",
            )
        given = {names[0]: users[-1]}
    wrong = set(names) ^ set(given)
    if wrong:
        name = min(wrong)
        raise Problem(
            400,
            f"'inputs' for the release {release.name!r}: it takes {', '.join(names)}, and the request lacks {name!r}"
            if name in names
            else f"the release {release.name!r} has no field {name!r}; it takes {', '.join(names)}",
            param="inputs",
        )
    return given
