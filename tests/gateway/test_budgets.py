"""A limit in dollars is kept by calls at once: what each may cost at the most is set aside before it is made."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest
import sqlalchemy as sa
from tests.gateway.test_contract import hello, serving

from ratchet.gateway import Gateway
from ratchet.models import ModelPool
from ratchet.store import EndpointSettings, open_database
from ratchet.store.keys import add_key
from ratchet.store.requests import read_requests
from ratchet.testing import ScriptedServer

PRICE = {"input": 0.0, "output": 1000.0}
"""Dollars a million tokens: a tenth of a cent a token."""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    """Give an empty database on disk."""
    opened = open_database(f"sqlite:///{tmp_path / 'r.db'}")
    yield opened
    opened.dispose()


def pool_of(upstream: ScriptedServer, **settings: object) -> ModelPool:
    endpoint = EndpointSettings.model_validate({"base_url": upstream.url, "retries": 0, **settings})
    return ModelPool({"up": endpoint})


def ask(url: str, key: str, **settings: object) -> str:
    """Return how a call ends: ok, or the code of its error."""
    sdk = openai.OpenAI(base_url=url, api_key=key, max_retries=0, timeout=20)
    try:
        sdk.chat.completions.create(model="up/m", messages=hello(), **settings)  # type: ignore[call-overload]
    except openai.APIStatusError as error:
        return str(error.code)
    return "ok"


def spent(engine: sa.Engine) -> float:
    return sum(one.cost_usd or 0.0 for one in read_requests(engine, after=0.0))


@pytest.mark.parametrize("at_once", [20, 60])
def test_calls_at_once_never_pass_a_daily_limit(engine: sa.Engine, at_once: int) -> None:
    """Each may cost ten tokens, and the limit is fifty: no more than five are made, and the others are told why."""
    key = add_key(engine, "app", ("chat",), usd_a_day=0.05)
    with (
        ScriptedServer(lambda _: "one two three", delay_s=0.2) as upstream,
        serving(Gateway(engine, lambda: pool_of(upstream, price=PRICE))) as url,
    ):
        with ThreadPoolExecutor(at_once) as threads:
            ends = list(threads.map(lambda _: ask(url, key, max_tokens=10), range(at_once)))
        calls = upstream.calls

    assert set(ends) == {"ok", "insufficient_quota"}
    assert calls == ends.count("ok") == 5
    assert 0 < spent(engine) <= 0.05


def test_what_was_not_needed_is_given_back(engine: sa.Engine) -> None:
    """Calls one after another: each may cost the whole limit and costs a little, so that many are made."""
    key = add_key(engine, "app", ("chat",), usd_a_day=0.05)
    with (
        ScriptedServer(lambda _: "one two") as upstream,
        serving(Gateway(engine, lambda: pool_of(upstream, price=PRICE))) as url,
    ):
        ends = [ask(url, key, max_tokens=20) for _ in range(8)]

    assert ends.count("ok") >= 3
    assert spent(engine) <= 0.05


def test_calls_that_fail_cost_nothing(engine: sa.Engine) -> None:
    """What is set aside for a call that gets no reply is let go of."""
    key = add_key(engine, "app", ("chat",), usd_a_day=0.05)
    with (
        ScriptedServer(lambda _: "hi", models=["other"]) as upstream,
        serving(Gateway(engine, lambda: pool_of(upstream, price=PRICE))) as url,
    ):
        ends = {ask(url, key, max_tokens=40) for _ in range(4)}

    assert "insufficient_quota" not in ends


def test_a_limit_in_dollars_needs_a_price(engine: sa.Engine) -> None:
    """A model whose price nobody knows is refused to a key with such a limit, and answers other keys."""
    limited = add_key(engine, "app", ("chat",), usd_a_day=1.0)
    free = add_key(engine, "free", ("chat",))
    with (
        ScriptedServer(lambda _: "hi") as upstream,
        serving(Gateway(engine, lambda: pool_of(upstream))) as url,
    ):
        assert ask(url, limited) == "unknown_price"
        assert ask(url, free) == "ok"


def test_a_client_that_leaves_may_have_cost_all(engine: sa.Engine) -> None:
    """Whoever goes away before the reply has set the most aside, as the provider may bill it: leaving is no way round a limit."""
    key = add_key(engine, "app", ("chat",), usd_a_day=0.05)
    with (
        ScriptedServer(lambda _: "one two", delay_s=1.5) as upstream,
        serving(Gateway(engine, lambda: pool_of(upstream, price=PRICE))) as url,
    ):
        sdk = openai.OpenAI(base_url=url, api_key=key, max_retries=0, timeout=0.5)
        with pytest.raises(openai.APITimeoutError):
            sdk.chat.completions.create(model="up/m", messages=hello(), max_tokens=40)  # type: ignore[arg-type]
        threading.Event().wait(0.5)
        assert ask(url, key, max_tokens=40) == "insufficient_quota"
