"""Tool calls on any family: over the chat templates that TRL ships, with the decoder that forces them."""

import json
import random
from concurrent.futures import Future
from itertools import pairwise

import pytest
from jsonschema import Draft202012Validator
from llguidance import LLMatcher
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask
from tests.models.templates import NATIVE, TEMPLATES, called, tokenizer_of

from ratchet.core.errors import TaskError
from ratchet.models import ChatReply, ChatRequest
from ratchet.models.chat_template import chat_format_of
from ratchet.models.constraint import grammar_of, guide
from ratchet.models.engine import Engine, Waiting, prompt_of, reply

SCHEMA = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "description": "What it is called.", "maxLength": 9},
        "count": {"type": "integer", "description": "How many.", "minimum": 0, "maximum": 99},
        "kind": {"type": "string", "enum": ["red", "dark blue"], "description": "Which."},
        "is_open": {"type": "boolean", "description": "Whether."},
        "parts": {
            "type": "array",
            "description": "Of what.",
            "maxItems": 2,
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "maxLength": 5},
                    "size": {"type": "number"},
                },
                "required": ["name", "size"],
                "additionalProperties": False,
            },
        },
        "note": {"type": ["string", "null"], "description": "What else.", "maxLength": 4},
    },
    "required": ["title", "kind", "parts"],
    "additionalProperties": False,
}
TOOL = {
    "type": "function",
    "function": {"name": "file_thing", "description": "Files it.", "parameters": SCHEMA},
}
OTHER = {
    "type": "function",
    "function": {
        "name": "skip-it.now",
        "description": "Does nothing.",
        "parameters": {"type": "object", "properties": {}, "additionalProperties": False},
    },
}
USER = {"role": "user", "content": "File the red one."}
ARGUMENTS = {
    "title": 'O\'Né "x"',
    "count": 7,
    "kind": "dark blue",
    "is_open": True,
    "parts": [{"name": "it's", "size": 1.5}, {"name": "b", "size": 2}],
    "note": None,
}


def asked(messages=(USER,), tools=(TOOL, OTHER), **more):
    return ChatRequest(messages=list(messages), tools=list(tools), **more)


def matcher_of(tokenizer, request):
    """Return what says which tokens may follow, as decoding has it."""
    guided = guide(tokenizer, len(tokenizer), [tokenizer.eos_token_id])
    grammar = grammar_of(request, chat_format_of(tokenizer).form, tokenizer, guided)
    matcher = LLMatcher(guided, grammar)
    assert not matcher.is_error(), matcher.get_error()
    return matcher


def sample(tokenizer, request, seed):
    """Return a text that the grammar allows, made of random tokens; an end is taken as soon as there is one."""
    matcher, choice, ids = matcher_of(tokenizer, request), random.Random(seed), []
    words = allocate_token_bitmask(1, len(tokenizer))
    while not matcher.is_stopped() and not (ids and matcher.is_accepting()):
        fill_next_token_bitmask(matcher, words, 0)
        allowed = [t for t in range(len(tokenizer)) if words[0][t // 32] >> (t % 32) & 1]
        usual = [t for t in allowed if t >= 256 or 32 < ord(tokenizer.decode([t])[0]) < 127]
        ids.append(choice.choice(usual or allowed))
        assert matcher.consume_token(ids[-1])
        assert len(ids) < 3000
    return tokenizer.decode([t for t in ids if t != tokenizer.eos_token_id])


def calls_in(tokenizer, request, text):
    made = reply(chat_format_of(tokenizer), request, ChatReply(text=text))
    return made, [(call.name, json.loads(call.arguments)) for call in made.tool_calls]


def taught(tokenizer, messages, tools=(TOOL, OTHER)):
    """Return the prompt, and what a model is taught to follow it with, without what ends the turn."""
    form = chat_format_of(tokenizer)
    prompt, said = form.turn(list(messages), list(tools))
    return prompt, said.removesuffix(form.ending)


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_prompt_tells_of_the_tools_and_what_to_do(template):
    """Name, description and arguments of each tool are in the prompt, as is what the user says."""
    prompt = prompt_of(tokenizer_of(template), asked())

    for words in ("file_thing", "Files it.", "title", "parts", "skip-it.now", USER["content"]):
        assert words in prompt


def test_which_families_are_called_in_their_own_form():
    """Templates that are given tools and write calls of their own are used as they are; for the others all is plain JSON."""
    own = [t for t in TEMPLATES if chat_format_of(tokenizer_of(t)).form.head[:1] != "{"]

    assert own == [t for t in NATIVE if t not in ("llama3_1", "llama3_2")]


@pytest.mark.parametrize("has_marks", [True, False])
@pytest.mark.parametrize("template", TEMPLATES)
def test_what_is_taught_is_what_is_forced_and_read(template, has_marks):
    """The training text of a call is one that the grammar allows, token by token, to its end; it is read as the same call."""
    tokenizer = tokenizer_of(template, has_marks=has_marks)
    request = asked(tool_choice="file_thing")
    ordered = {key: ARGUMENTS[key] for key in SCHEMA["properties"]}

    prompt, said = taught(tokenizer, [USER, called("file_thing", ordered)])
    forced = prompt_of(tokenizer, request)
    assert (prompt + said).startswith(forced)
    text = (prompt + said)[len(forced) :]
    matcher = matcher_of(tokenizer, request)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    taken = matcher.try_consume_tokens(ids)
    assert tokenizer.decode(ids[taken:]) == ""
    assert matcher.is_accepting()
    made, calls = calls_in(tokenizer, request, text)
    assert calls == [("file_thing", ordered)]
    assert made.text == ""
    assert made.finish_reason == "tool_calls"


@pytest.mark.parametrize("template", TEMPLATES)
def test_whatever_is_forced_is_a_call_by_the_schema(template):
    """Random tokens that the grammar allows make a call of one of the tools that may be called, with arguments that its schema takes."""
    tokenizer = tokenizer_of(template)
    seen = set()
    for seed in range(4):
        request = asked(tool_choice="required")
        text = sample(tokenizer, request, seed)

        made, calls = calls_in(tokenizer, request, text)
        assert len(calls) == 1, text
        name, arguments = calls[0]
        seen.add(name)
        if name == "file_thing":
            faults = [
                fault.message for fault in Draft202012Validator(SCHEMA).iter_errors(arguments)
            ]
            assert faults == [], text
        else:
            assert arguments == {}
        assert made.text == ""
    assert seen <= {"file_thing", "skip-it.now"}


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_conversation_with_calls_and_results_is_shown(template):
    """Arguments reach the template as objects where it wants them, null content is no error, and results are in the prompt."""
    call = {**called("file_thing", {"title": "first title", "kind": "red"}), "content": None}
    result = {"role": "tool", "tool_call_id": "call_0", "content": "It is filed."}
    messages = [USER, call, result, {"role": "assistant", "content": "Done."}, USER, call, result]

    prompt = prompt_of(tokenizer_of(template), asked(messages))

    assert prompt.count("first title") == 2
    assert prompt.count("It is filed.") == 2
    assert '\\"title\\"' not in prompt


@pytest.mark.parametrize("template", TEMPLATES)
def test_several_calls_of_a_turn_are_read_or_parted(template):
    """Where a turn holds several calls they are read back as they were; else each stands before its own result."""
    tokenizer = tokenizer_of(template)
    form = chat_format_of(tokenizer)
    arguments = [{"title": f"t{n}", "kind": "red", "parts": []} for n in range(2)]
    message = called("file_thing", arguments[0])
    message["tool_calls"] += called("file_thing", arguments[1], 1)["tool_calls"]
    results = [{"role": "tool", "tool_call_id": f"call_{n}", "content": f"r{n}"} for n in range(2)]

    parted = form.split_calls([USER, message, *results])
    if form.form.joint is None:
        assert [m["role"] for m in parted] == ["user", *["assistant", "tool"] * 2]
        assert [m["content"] for m in parted if m["role"] == "tool"] == ["r0", "r1"]
    else:
        assert parted == [USER, message, *results]
        _, said = taught(tokenizer, [USER, message])
        assert calls_in(tokenizer, asked(), said)[1] == [("file_thing", a) for a in arguments]
    prompt = prompt_of(tokenizer, asked([USER, message, *results]))
    assert all(words in prompt for words in ("t0", "t1", "r0", "r1"))


@pytest.mark.parametrize("template", TEMPLATES)
def test_words_beside_a_call_are_sent_as_they_come(template):
    """Letter by letter: what is surely no call grows, and is what the whole reply begins with; nothing of a call is in it."""
    tokenizer = tokenizer_of(template)
    form, request = chat_format_of(tokenizer), asked()
    written = form.form.write([("file_thing", {"title": "t"})])
    text = f"Let me look.\n{written}"

    made, calls = calls_in(tokenizer, request, text)
    sent = [text[: form.count_spoken(text[:n])] for n in range(len(text) + 1)]

    assert calls == [("file_thing", {"title": "t"})]
    assert made.text == "Let me look."
    assert all(later.startswith(one) for one, later in pairwise(sent))
    assert sent[-1] == "Let me look."


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "someone", "age": 3}',
        '{"a": 1}',
        "f(x)",
        '{"name": "file_thing"',
        "<tool_call>",
        "",
    ],
)
@pytest.mark.parametrize("template", TEMPLATES)
def test_what_only_looks_like_a_call_is_text(template, text):
    """JSON with other keys, marks without a call, and calls that break off are words."""
    tokenizer = tokenizer_of(template)

    made, calls = calls_in(tokenizer, asked(), text)

    assert calls == []
    assert made.text == text


def test_a_choice_that_is_not_there_is_refused():
    """The message names the choice and the tools; a tool that is called `required` is taken by its name."""
    tokenizer = tokenizer_of("qwen2_5")
    with pytest.raises(TaskError, match=r"'give'.*'file_thing'"):
        matcher_of(tokenizer, asked(tool_choice="give"))
    with pytest.raises(TaskError, match="none"):
        matcher_of(tokenizer, asked(tools=(), tool_choice="required"))
    named = {"type": "function", "function": {**OTHER["function"], "name": "required"}}

    request = asked(tools=(TOOL, named), tool_choice="required")

    assert calls_in(tokenizer, request, sample(tokenizer, request, 1))[1] == [("required", {})]


BRACKETS = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{% if tools %}[AVAILABLE_TOOLS]{{ tools | tojson }}[/AVAILABLE_TOOLS]{% endif %}"
    "[INST]{{ m.content }}[/INST]{% elif m.tool_calls %}[TOOL_CALLS][{% for c in m.tool_calls %}{% if c.id | length != 9 %}"
    "{{ raise_exception('ids have nine letters') }}{% endif %}"
    '{"name": {{ c.function.name | tojson }}, "arguments": {{ c.function.arguments | tojson }}, "id": "{{ c.id }}"}'
    "{% if not loop.last %}, {% endif %}{% endfor %}]{{ eos_token }}{% elif m.role == 'tool' %}"
    "[TOOL_RESULTS]{{ m.content }} {{ m.tool_call_id }}[/TOOL_RESULTS]{% else %}{{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
)
"""A list of calls after a mark, each with an id of nine letters."""
BARE_NAME = (
    "{% for m in messages %}{% if m.role == 'user' %}[INST]{{ m.content }}{{ tools | tojson if tools }}[/INST]{% elif m.tool_calls %}"
    "{% for c in m.tool_calls %}[TOOL_CALLS]{{ c.function.name }}[ARGS]{{ c.function.arguments | tojson }}{% endfor %}{{ eos_token }}"
    "{% else %}{{ m.content }}{{ eos_token if m.role == 'assistant' }}{% endif %}{% endfor %}"
)
"""A mark, a name, a mark, and arguments as JSON."""


@pytest.mark.parametrize("template", [BRACKETS, BARE_NAME])
def test_forms_that_no_family_here_has_are_derived_too(template):
    """Nothing is known by name: marks that are text, ids inside the call, and lists of calls are found by looking."""
    tokenizer = tokenizer_of(template)
    form = chat_format_of(tokenizer)
    request = asked(tool_choice="required")
    two = {**USER, "role": "assistant", "content": ""}
    two["tool_calls"] = [
        called("file_thing", {"title": f"t{n}"}, n)["tool_calls"][0] for n in (1, 2)
    ]

    assert form.form.head.startswith("[TOOL_CALLS]")
    for seed in range(4):
        text = sample(tokenizer, request, seed)
        assert len(calls_in(tokenizer, request, text)[1]) == 1, text
    _, said = taught(tokenizer, [USER, called("file_thing", {"title": "x"})])
    assert calls_in(tokenizer, asked(), said)[1] == [("file_thing", {"title": "x"})]
    _, said = taught(tokenizer, [USER, two])
    assert [args["title"] for _, args in calls_in(tokenizer, asked(), said)[1]] == ["t1", "t2"]


@pytest.mark.parametrize(
    "text",
    [
        '<|python_tag|>{"name": "file_thing", "parameters": {"title": "t"}}',
        '```json\n{"name": "file_thing", "arguments": {"title": "t"}}\n```',
        '{"arguments": {"title": "t"}, "name": "file_thing"}',
        ' \n{"name":"file_thing","parameters":"{\\"title\\": \\"t\\"}"}',
    ],
)
@pytest.mark.parametrize("template", ["llama3_1", "phi3"])
def test_a_call_without_marks_is_read_however_it_is_wrapped(template, text):
    """Tags and fences around it are no words, keys may change places, and arguments may be JSON in a text."""
    made, calls = calls_in(tokenizer_of(template), asked(), text)

    assert calls == [("file_thing", {"title": "t"})]
    assert made.text == ""


def random_model(tokenizer):
    """Return a small model with random weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=8000,
    )
    return LlamaForCausalLM(config).eval()


@pytest.mark.local
@pytest.mark.parametrize(
    "template", ["qwen3", "qwen3_6", "gptoss", "glm4moe", "nemotron_3_nano", "phi3"]
)
def test_a_stream_leaves_out_what_the_template_writes_before_words(template):
    """Token by token: an empty thought or a channel's name is never sent, what is sent begins the reply, and the rest is words."""
    tokenizer = tokenizer_of(template)
    engine, form = Engine(random_model(tokenizer), tokenizer), chat_format_of(tokenizer)
    call = form.form.write([("file_thing", {"title": "t"})])
    for text, words in [
        (f"{form.lead}Two words.", "Two words."),
        ("Two words.", "Two words."),
        (form.lead[:3], form.lead[:3]),
        (f"{form.lead}Look.\n{call}", "Look."),
        (f"{form.lead_of_calls}{call}", ""),
        ("<think>Hm.</think>\n\nYes", "<think>Hm.</think>\n\nYes"),
    ]:
        sent = []
        item = Waiting(asked(), "", Future(), 0.0, emit=sent.append)
        watch, ids = engine._watch(item), tokenizer(text, add_special_tokens=False)["input_ids"]
        for end in range(1, len(ids) + 1):
            watch(ids[:end])

        assert calls_in(tokenizer, item.request, text)[0].text == words
        assert words.startswith("".join(sent))


@pytest.mark.local
@pytest.mark.parametrize(
    "template",
    ["deepseekv3", "gemma", "gemma4_v5", "glm4moe", "gptoss", "lfm2_2_5", "llama3_2", "qwen3_6"],
)
def test_a_model_that_knows_nothing_calls_by_the_schema(template):
    """Random weights through the engine: the call that comes out follows the schema, and no word stands beside it."""
    from ratchet.models.local import replies_of

    tokenizer = tokenizer_of(template)
    model = random_model(tokenizer)
    schema = {"type": "object", "properties": {"size": {"enum": ["s", "m"]}}, "required": ["size"]}
    tool = {"type": "function", "function": {"name": "pick", "parameters": schema}}
    schema["additionalProperties"] = False

    (made,) = replies_of(model, tokenizer, [asked(tools=(tool,), tool_choice="pick")])

    (call,) = made.tool_calls
    assert call.name == "pick"
    assert json.loads(call.arguments)["size"] in ("s", "m")
    assert (made.text, made.finish_reason) == ("", "tool_calls")


TREE = {
    "type": "object",
    "properties": {"root": {"$ref": "#/$defs/node"}},
    "required": ["root"],
    "additionalProperties": False,
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "value": {"type": "integer", "minimum": 0, "maximum": 9},
                "children": {"type": "array", "maxItems": 1, "items": {"$ref": "#/$defs/node"}},
            },
            "required": ["value"],
            "additionalProperties": False,
        }
    },
}
ODD = {
    "type": "object",
    "properties": {
        "first name": {
            "anyOf": [
                {"type": "string", "maxLength": 4},
                {"type": "integer", "maximum": 5, "minimum": 0},
            ]
        },
        "kind": {"enum": ["a/b", 3, None, True]},
        "$id-2": {"type": ["boolean", "null"]},
        "always": {"const": "x 'y'"},
    },
    "required": ["kind", "always"],
    "additionalProperties": False,
}
OPTIONAL = {
    "type": "object",
    "properties": {
        "a": {"type": "integer", "maximum": 3, "minimum": 0},
        "b": {"type": "string", "maxLength": 2},
    },
    "additionalProperties": False,
}


@pytest.mark.parametrize("schema", [TREE, ODD, OPTIONAL], ids=["tree", "odd", "optional"])
@pytest.mark.parametrize(
    "template",
    [
        "gemma4_v5",
        "glm4moe",
        "lfm2_2_5",
        "lfm2_v2",
        "muse_glimmer",
        "nemotron_3_nano",
        "qwen3_6",
        "gptoss",
        "phi3",
    ],
)
def test_schemas_of_many_kinds_are_followed(template, schema):
    """References to themselves, choices of types, constants, odd keys, and arguments that may all be left out."""
    tokenizer = tokenizer_of(template)
    tool = {"type": "function", "function": {"name": "7-up", "parameters": schema}}
    request = asked(tools=(tool,), tool_choice="7-up")
    for seed in range(4):
        text = sample(tokenizer, request, seed)

        _, calls = calls_in(tokenizer, request, text)

        assert [name for name, _ in calls] == ["7-up"], text
        faults = [fault.message for fault in Draft202012Validator(schema).iter_errors(calls[0][1])]
        assert faults == [], text


@pytest.mark.parametrize(
    "schema",
    [{}, {"type": "object"}, {"properties": []}, {"properties": {"a": True}, "required": ["a"]}],
)
@pytest.mark.parametrize("template", ["gemma4_v5", "qwen3_6", "lfm2_v2"])
def test_schemas_that_say_little_allow_a_call(template, schema):
    """A tool without a schema, or with one that means nothing, is called with whatever comes."""
    tokenizer = tokenizer_of(template)
    tool = {"type": "function", "function": {"name": "go", "parameters": schema}}
    request = asked(tools=(tool,), tool_choice="go")

    matcher = matcher_of(tokenizer, request)

    assert not matcher.is_error()
    written = chat_format_of(tokenizer).form.write([("go", {"a": 1})])
    assert calls_in(tokenizer, request, written)[1] == [("go", {"a": 1})]
