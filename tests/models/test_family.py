"""Families: by any way that a name is written, and nobody's where a name only looks alike."""

import pytest

from ratchet.models import family_of


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("openai/gpt-6.2-sol", "openai"),
        ("openai/o3-mini", "openai"),
        ("openrouter/openai/gpt-oss-120b", "openai"),
        ("chatgpt-4o-latest", "openai"),
        ("ft:gpt-4.1-mini-2025-04-14:claude-fans:qwen:AbC", "openai"),
        ("openai/ft:gpt-4.1-mini-2025-04-14:acme::AbC", "openai"),
        ("anthropic/claude-opus-5-5", "anthropic"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "anthropic"),
        ("gitlab/duo-chat-opus-4-7", "anthropic"),
        ("claude-fable-5", "anthropic"),
        ("google/gemini-3.1-pro-preview", "google"),
        ("google/gemma-3-27b-it", "google"),
        ("google/medgemma-4b", "google"),
        ("together/meta-llama/Llama-3.3-70B-Instruct-Turbo", "meta"),
        ("ollama/llama3.2:3b", "meta"),
        ("ollama/codellama:7b", "meta"),
        ("groq/qwen/qwen3-32b", "qwen"),
        ("qwq-32b", "qwen"),
        ("local:models/Qwen2.5-0.5B-Instruct", "qwen"),
        ("deepseek/deepseek-v4-pro", "deepseek"),
        ("mistral/magistral-small", "mistral"),
        ("mistral/open-mixtral-8x7b", "mistral"),
        ("xai/grok-4-fast", "xai"),
        ("azure/Phi-4", "microsoft"),
        ("ollama/phi3:mini", "microsoft"),
        ("cohere/command-a-03-2025", "cohere"),
        ("moonshotai/Kimi-K2.5", "moonshot"),
        ("zai-org/GLM-5.1", "zhipu"),
        ("MiniMaxAI/MiniMax-M2.7", "minimax"),
        ("amazon.nova-pro-v1:0", "amazon"),
        ("ibm-granite/granite-4.0-h-micro", "ibm"),
        ("nvidia/nemotron-3-super", "nvidia"),
        ("nvidia/Llama-3.1-Nemotron-70B-Instruct-HF", "nvidia"),
        ("NousResearch/Hermes-4-70B", "nous"),
        ("NousResearch/Nous-Hermes-2-Mixtral-8x7B-DPO", "nous"),
        ("allenai/OLMo-7B", "ai2"),
        ("ai21/jamba-1-5-large", "ai21"),
        ("local:SmolLM2-135M-Instruct", "huggingface"),
        ("tencent/hunyuan-a13b-instruct", "tencent"),
        ("baidu/ernie-4.5-300b-a47b", "baidu"),
        ("bytedance-seed/seed-oss-36b", "bytedance"),
        ("doubao-pro-32k", "bytedance"),
        ("stepfun/step-3.5-flash", "stepfun"),
        ("01-ai/yi-large", "yi"),
        ("tiiuae/falcon-180b", "tii"),
        ("LGAI-EXAONE/EXAONE-4.0-32B", "lg"),
        ("perplexity/sonar-pro", "perplexity"),
        ("writer/palmyra-x5", "writer"),
        ("EleutherAI/gpt-neo-125m", "eleutherai"),
    ],
)
def test_a_name_leads_to_its_family(model: str, family: str) -> None:
    """Endpoints, routers, hubs, regions, tags, fine-tunes and capitals do not hide a family."""
    assert family_of(model) == family


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("acme/foo-7b", "acme"),
        ("openrouter/acme/foo-7b", "acme"),
        ("openrouter/acme/foo-7b:free", "acme"),
        ("hf.co/acme/foo-7b", "acme"),
        ("acme/philosopher-7b", "acme"),
        ("acme/commander-1", "acme"),
        ("acme/yield-3", "acme"),
        ("acme/stepwise-7b", "acme"),
        ("acme/photo1-7b", "acme"),
    ],
)
def test_a_name_of_no_family_is_of_its_makers(model: str, family: str) -> None:
    """The maker before the name counts, and a word that only begins like a family's is none."""
    assert family_of(model) == family


@pytest.mark.parametrize(
    ("model", "family"),
    [("local:nano", "nano"), ("local:models/foo", "foo"), ("mine/foo-7b", "foo-7b"), ("x", "x")],
)
def test_a_name_without_a_maker_stands_for_itself(model: str, family: str) -> None:
    """Where a model runs is not who made it: two models of one endpoint are not of one family by that."""
    assert family_of(model) == family


def test_an_empty_name_is_a_name() -> None:
    """No name is an error."""
    assert family_of("") == ""
