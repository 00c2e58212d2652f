"""Choices scored behind a prompt: the same figures as one plain pass a choice, whatever they have in common."""

import pytest

from ratchet.core.errors import ReplyError, TaskError

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.local

CHOICES = ("yes", "yes please", "no", "nobody knows", "y")


def spoken(tokenizer, text):
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


@pytest.fixture(scope="module")
def llama():
    """Give a tiny Llama of random weights and its tokenizer."""
    from tests.models.tiny_models import make_model, make_tokenizer

    tokenizer = make_tokenizer()
    return make_model(tokenizer), tokenizer


def scorer_of(model, ends=(0,)):
    from ratchet.models.choice_scores import ChoiceScorer

    return ChoiceScorer(model, ends=ends, route=lambda _: None)


def plain_scores(model, ids, choices, ends=(0,)):
    """Return each choice's sum of log-probabilities by a pass of its own; where another one goes on from it, its end's too."""
    found = []
    for choice in choices:
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([[*ids, *choice]])).logits[0]
        shares = torch.log_softmax(logits.float(), -1)
        score = sum(
            float(shares[len(ids) - 1 + place, token]) for place, token in enumerate(choice)
        )
        if any(other != choice and other[: len(choice)] == choice for other in choices):
            score += float(shares[-1, list(ends)].logsumexp(-1))
        found.append(score)
    return found


def prompts_of(tokenizer, texts, choices=CHOICES):
    from ratchet.models.choice_scores import ChoicePrompt

    split = tuple(spoken(tokenizer, choice) for choice in choices)
    return [ChoicePrompt(ids=spoken(tokenizer, text), choices=split) for text in texts]


def test_a_tree_reads_what_choices_have_in_common_once():
    """Tokens that nothing follows are not read, beginnings in common are read once, and a choice that another goes on from ends."""
    from ratchet.models.choice_scores import build_tree

    tree = build_tree([(1, 2, 3), (1, 2), (1, 5), (9,)])

    assert tree.tokens == (1, 2)
    assert tree.parents == (-1, 0)
    assert tree.steps[0] == ((-1, 1), (0, 2), (1, 3))
    assert tree.ends == (None, 1, None, None)


@pytest.mark.parametrize("most", [1024, 4, 1])
def test_scores_are_those_of_a_pass_a_choice(llama, monkeypatch, most):
    """Prompts of several lengths in one pass, choices that begin alike, trees cut into parts: as each choice alone."""
    import ratchet.models.choice_scores as module

    monkeypatch.setattr(module, "MAX_TREE_TOKENS", most)
    model, tokenizer = llama
    prompts = prompts_of(tokenizer, ["Is it?", "A much longer question, is it not", "x"])
    scorer = scorer_of(model, ends=(0, 2))

    found = scorer.score(prompts)

    for prompt, scores in zip(prompts, found, strict=True):
        wanted = plain_scores(model, prompt.ids, prompt.choices, ends=(0, 2))
        assert scores == pytest.approx(wanted, abs=1e-3)
    assert scorer.reads_trees


@pytest.mark.parametrize("family", ["gemma3", "gpt2", "qwen2", "bloom"])
def test_families_that_see_otherwise_give_the_same_figures(family):
    """Layers with a window, places that are learnt, slopes in place of places: trees where they are right, else rows."""
    from tests.models.tiny_models import make_tokenizer
    from transformers import (
        BloomConfig,
        BloomForCausalLM,
        Gemma3ForCausalLM,
        Gemma3TextConfig,
        GPT2Config,
        GPT2LMHeadModel,
        Qwen2Config,
        Qwen2ForCausalLM,
    )

    tokenizer = make_tokenizer()
    words = len(tokenizer)
    sizes = {
        "vocab_size": words,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    torch.manual_seed(0)
    model = {
        "gemma3": lambda: Gemma3ForCausalLM(
            Gemma3TextConfig(
                **sizes,
                intermediate_size=64,
                head_dim=16,
                num_key_value_heads=1,
                sliding_window=4,
                layer_types=["sliding_attention", "full_attention"],
            )
        ),
        "gpt2": lambda: GPT2LMHeadModel(
            GPT2Config(vocab_size=words, n_embd=32, n_layer=2, n_head=2)
        ),
        "qwen2": lambda: Qwen2ForCausalLM(
            Qwen2Config(**sizes, intermediate_size=64, num_key_value_heads=1)
        ),
        "bloom": lambda: BloomForCausalLM(
            BloomConfig(vocab_size=words, hidden_size=32, n_layer=2, n_head=2)
        ),
    }[family]().eval()
    prompts = prompts_of(tokenizer, ["Is it so, after all?", "x"])

    found = scorer_of(model).score(prompts)

    for prompt, scores in zip(prompts, found, strict=True):
        wanted = plain_scores(model, prompt.ids, prompt.choices)
        assert scores == pytest.approx(wanted, abs=1e-3)


def test_choices_that_cannot_be_told_apart_are_refused(llama):
    """Two of the same tokens, and one of none, are a sentence."""
    from ratchet.models.choice_scores import build_tree

    with pytest.raises(TaskError, match="the same tokens"):
        build_tree([(1, 2), (1, 2)])
    with pytest.raises(TaskError, match="a choice is empty"):
        build_tree([(1, 2), ()])


def test_weights_that_give_no_numbers_are_a_sentence(llama):
    """NaN is said, and is nobody's probability."""
    from tests.models.tiny_models import make_model

    _, tokenizer = llama
    model = make_model(tokenizer)
    with torch.no_grad():
        model.lm_head.weight[:] = float("nan")

    with pytest.raises(ReplyError, match="no numbers"):
        scorer_of(model).score(prompts_of(tokenizer, ["x"]))


def test_long_and_many_choices_are_scored(llama):
    """Hundreds of choices, and one of hundreds of tokens, come out as each alone."""
    model, tokenizer = llama
    choices = (*(f"intent number {n}" for n in range(120)), "long " * 60)
    (prompt,) = prompts_of(tokenizer, ["Which?"], choices)

    (scores,) = scorer_of(model).score([prompt])

    wanted = plain_scores(model, prompt.ids, prompt.choices)
    assert scores == pytest.approx(wanted, abs=5e-3)
