"""Where a turn ends: every id of the generation settings, the tokenizer's own end, and what the chat template writes."""

import importlib.util
from concurrent.futures import Future
from pathlib import Path

import pytest

from ratchet.models import NANO, ChatRequest, ModelPool

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.local

spec = importlib.util.spec_from_file_location(
    "tiny_models", Path(__file__).with_name("tiny_models.py")
)
tiny = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tiny)

ENDOFTEXT, IM_START, IM_END = 0, 1, 2
OTHER = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"


def asked(text="hello", **settings):
    """Return a request with one user message."""
    return ChatRequest(messages=[{"role": "user", "content": text}], max_tokens=8, **settings)


def reply_of(model, tokenizer, request):
    """Return the reply of a model in memory."""
    from ratchet.models.local import replies_of

    return replies_of(model, tokenizer, [request])[0]


@pytest.mark.parametrize("end", [ENDOFTEXT, IM_END, 9])
def test_every_end_token_ends_the_reply_and_is_not_in_it(end):
    """Of the tokenizer, of the template, of the generation settings: the text stops before it, and its likelihood is not shown."""
    tokenizer = tiny.make_tokenizer()
    model = tiny.make_model(tokenizer)
    model.generation_config.eos_token_id = [9, ENDOFTEXT]
    letters = tokenizer("ok", add_special_tokens=False)["input_ids"]
    tiny.say(model, [*letters, end, *letters])

    reply = reply_of(model, tokenizer, asked(logprobs=0))

    assert reply.text == "ok"
    assert reply.finish_reason == "stop"
    assert reply.usage.completion_tokens == len(letters) + 1
    assert [one["token"] for one in reply.logprobs] == ["o", "k"]


@pytest.mark.parametrize("end", [ENDOFTEXT, IM_END])
def test_every_end_token_ends_a_text_that_is_gone_on_from(end):
    """Without a chat, too: the raw text's continuation ends where a turn would."""
    tokenizer = tiny.make_tokenizer()
    model = tiny.make_model(tokenizer)
    letters = tokenizer("ok", add_special_tokens=False)["input_ids"]
    tiny.say(model, [*letters, end])

    reply = reply_of(model, tokenizer, ChatRequest(messages=[], raw="say", max_tokens=8))

    assert (reply.text, reply.finish_reason) == ("ok", "stop")


@pytest.mark.parametrize("end", [ENDOFTEXT, IM_END])
def test_a_schema_may_end_with_any_of_them(end):
    """Once the JSON is whole, whichever end token the model likes best may follow."""
    tokenizer = tiny.make_tokenizer()
    model = tiny.make_model(tokenizer)
    tiny.say(model, [*tokenizer('{"a":1', add_special_tokens=False)["input_ids"], 99, end])
    schema = {
        "type": "object",
        "properties": {"a": {"enum": [1]}},
        "required": ["a"],
        "additionalProperties": False,
    }

    reply = reply_of(model, tokenizer, asked(json_schema=schema))

    assert (reply.text, reply.finish_reason) == ('{"a":1}', "stop")


def test_a_schema_that_could_go_on_may_end_with_any_of_them():
    """A number may take another digit, or end, by the template's end as well."""
    tokenizer = tiny.make_tokenizer()
    model = tiny.make_model(tokenizer)
    digit = tokenizer("7", add_special_tokens=False)["input_ids"]
    tiny.say(model, [*digit, IM_END])

    reply = reply_of(model, tokenizer, asked(json_schema={"type": "integer"}))

    assert (reply.text, reply.finish_reason) == ("7", "stop")


def test_a_streamed_reply_never_shows_an_end():
    """The pieces that are handed out hold no end token."""
    from ratchet.models.engine import Engine, Waiting

    tokenizer = tiny.make_tokenizer()
    model = tiny.make_model(tokenizer)
    letters = tokenizer("fine", add_special_tokens=False)["input_ids"]
    tiny.say(model, [*letters, IM_END])
    pieces = []
    item = Waiting(asked(), "hi", Future(), 0.0, pieces.append)
    engine = Engine(model, tokenizer)
    engine.admit([item])
    while len(engine):
        engine.step()

    assert "".join(pieces) == item.future.result(timeout=0).text == "fine"


@pytest.mark.parametrize(
    ("template", "end"),
    [
        (tiny.CHATML, IM_END),
        (tiny.CHATML.replace("<|im_end|>", " <|endoftext|>"), ENDOFTEXT),
        (OTHER, None),
        ("{{ raise_exception('no') }}", None),
        ("{{ messages[0].content }}", None),
        (None, None),
    ],
)
def test_the_end_that_a_template_writes(template, end):
    """It is the special token behind the assistant's words, if there is one; a template that raises has none."""
    from ratchet.models.end_tokens import template_end_token

    assert template_end_token(tiny.make_tokenizer(template=template)) == end


def test_a_tokenizer_without_an_end_of_its_own():
    """The template's is one; without any, there is none."""
    from ratchet.models.end_tokens import end_tokens

    tokenizer = tiny.make_tokenizer(eos=None)

    assert end_tokens(tokenizer, None) == {IM_END}
    tokenizer.chat_template = OTHER
    assert end_tokens(tokenizer, None) == set()


async def test_a_saved_folder_stops_at_its_templates_end(tmp_path):
    """A folder whose settings name another end than its template writes loads and answers."""
    tokenizer = tiny.make_tokenizer()
    tokenizer.save_pretrained(tmp_path / "m")
    model = tiny.make_model(tokenizer)
    model.save_pretrained(tmp_path / "m")
    async with ModelPool(root=tmp_path) as pool:
        reply = await pool.model("local:m").chat(asked(json_schema={"enum": [1, 12]}))

    assert reply.finish_reason == "stop"
    assert "<|" not in reply.text


def test_nano_ends_as_before():
    """The small model's ends are its one end token."""
    from ratchet.models.end_tokens import end_tokens
    from ratchet.models.local import load_base

    model, tokenizer = load_base(NANO)

    assert end_tokens(tokenizer, model.generation_config) == {tokenizer.eos_token_id}
