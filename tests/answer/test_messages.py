"""A prompt is the candidate's templates and nothing else: what is sent is what can be read here."""

import pytest
from pydantic import ValidationError

from ratchet.answer import Prompt, signature, starting_candidate, written_answer
from ratchet.core import Candidate, Demonstration, Example, Json, Task, Usage
from ratchet.core.errors import CandidateError, TemplateError
from ratchet.models import ChatReply

SCHEMA: dict[str, Json] = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "tags": {"type": "array", "items": {"enum": ["red", "blue"]}},
        "inner": {"type": "object", "properties": {"n": {"type": "integer"}}},
        "free": {},
    },
}
TOOL: dict[str, Json] = {
    "kind": "tool",
    "tool": "look_up",
    "description": "Look it up.",
    "json_schema": SCHEMA,
}
EXAMPLE = Example(inputs={"text": "hi"}, reference={"city": "Rom"})


def task(*names: str, instructions: str = "Do it.", **answer: Json) -> Task:
    return Task.model_validate(
        {
            "name": "t",
            "instructions": instructions,
            "inputs": [{"name": name} for name in names or ("text",)],
            "answer": answer,
            "metric": {"name": "match"},
            "models": {"student": "local:nano"},
        }
    )


def candidate(**parts: Json) -> Candidate:
    return Candidate.model_validate({"model": "local:nano", "user": "{{text}}", **parts})


def shown(text: str, answer: Json) -> Demonstration:
    return Demonstration(inputs={"text": text}, answer=answer)


def test_a_plain_prompt_is_one_message() -> None:
    """A candidate without a system text sends the user's text alone."""
    request = Prompt(task(), candidate()).request(EXAMPLE)

    assert request.messages == [{"role": "user", "content": "hi"}]
    assert (request.tools, request.tool_choice, request.json_schema) == (None, None, None)


def test_the_starting_candidate_says_the_instructions_and_the_inputs() -> None:
    """The plainest candidate has the instructions as system text and the inputs under their names."""
    made = task("title", "body", instructions="Choose.", kind="label", labels=["a", "b"])
    example = Example(inputs={"title": "T", "body": "B"}, reference="a")

    request = Prompt(made, starting_candidate(made)).request(example)

    assert request.messages == [
        {"role": "system", "content": "Choose.\nLabels: a, b"},
        {"role": "user", "content": "title: T\nbody: B"},
    ]


def test_the_starting_candidate_takes_the_student() -> None:
    """The task's student is the model unless another is named."""
    assert starting_candidate(task()).model == "local:nano"
    assert starting_candidate(task(), "other/model").model == "other/model"


def test_demonstrations_are_turns() -> None:
    """Each demonstration is a user's and an assistant's turn before the question, in order."""
    made = candidate(system="S", demonstrations=[shown("one", "1"), shown("two", {"n": "ä"})])

    request = Prompt(task(), made).request(EXAMPLE)

    assert request.messages == [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": "two"},
        {"role": "assistant", "content": '{"n":"ä"}'},
        {"role": "user", "content": "hi"},
    ]


def test_demonstrations_of_a_tool_are_calls_with_their_result() -> None:
    """A shown tool call is followed by the tool's message under the same id, as the wire demands."""
    made = candidate(demonstrations=[shown("one", {"city": "Bonn"}), shown("two", {})])

    request = Prompt(task(**TOOL), made).request(EXAMPLE)

    assert request.messages[:3] == [
        {"role": "user", "content": "one"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "look_up", "arguments": '{"city":"Bonn"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": ""},
    ]
    assert [m["role"] for m in request.messages] == ["user", "assistant", "tool"] * 2 + ["user"]
    assert request.messages[4]["tool_calls"][0]["id"] == request.messages[5]["tool_call_id"]


@pytest.mark.parametrize(("constrained", "choice"), [(True, "look_up"), (False, None)])
def test_a_tool_task_hands_over_the_tool(choice: str | None, *, constrained: bool) -> None:
    """The tool is always offered; it is forced only where decoding is constrained."""
    made = candidate(decoding={"constrained": constrained})

    request = Prompt(task(**TOOL), made).request(EXAMPLE)

    function = {"name": "look_up", "parameters": SCHEMA, "description": "Look it up."}
    assert request.tools == [{"type": "function", "function": function}]
    assert (request.tool_choice, request.json_schema) == (choice, None)


@pytest.mark.parametrize(("constrained", "schema"), [(True, SCHEMA), (False, None)])
def test_a_json_task_hands_over_the_schema(
    schema: dict[str, Json] | None, *, constrained: bool
) -> None:
    """The schema is sent only where decoding is constrained."""
    made = candidate(decoding={"constrained": constrained})

    request = Prompt(task(kind="json", json_schema=SCHEMA), made).request(EXAMPLE)

    assert (request.json_schema, request.tools) == (schema, None)


def test_decoding_and_adapter_are_sent_as_they_are() -> None:
    """Every setting of the candidate reaches the request."""
    decoding = {"temperature": 0.7, "top_p": 0.9, "max_tokens": 7, "seed": 3}

    request = Prompt(task(), candidate(decoding=decoding, adapter="a_1")).request(EXAMPLE)

    sent = {name: getattr(request, name) for name in decoding}
    assert (sent, request.adapter) == (decoding, "a_1")


def test_a_template_may_use_what_the_task_says() -> None:
    """Instructions, labels and schema are fields beside the inputs; instructions may use labels and schema."""
    made = task(instructions="JSON: {{schema}}", kind="json", json_schema=SCHEMA)
    both = candidate(system="{{instructions}}", user="{{schema}} {{text}}")

    request = Prompt(made, both).request(EXAMPLE)

    line = "{city: string, tags: [red|blue], inner: {n: integer}, free: any}"
    assert [m["content"] for m in request.messages] == [f"JSON: {line}", f"{line} hi"]


def test_a_system_text_may_use_the_inputs() -> None:
    """A system text with an input is filled anew for each example, demonstrations included."""
    prompt = Prompt(task(), candidate(system="On {{text}}", demonstrations=[shown("one", "1")]))

    first, second = (
        prompt.request(Example(inputs={"text": text}, reference="")) for text in ("a", "b")
    )

    assert [m["content"] for m in first.messages] == ["On a", "one", "1", "a"]
    assert [m["content"] for m in second.messages] == ["On b", "one", "1", "b"]


def test_requests_do_not_share_messages() -> None:
    """What is added to one request's messages is in no other request."""
    prompt = Prompt(task(), candidate(system="S"))

    prompt.request(EXAMPLE).messages.append({"role": "user", "content": "more"})

    assert len(prompt.request(EXAMPLE).messages) == 2


def test_an_answered_example_ends_with_the_reference() -> None:
    """Fine-tuning gets the same messages as the model, and the reference as the last one."""
    made = task(kind="json", json_schema=SCHEMA)
    prompt = Prompt(made, candidate(system="S", demonstrations=[shown("one", {})]))

    messages = prompt.answered(EXAMPLE)

    assert messages[:-1] == prompt.request(EXAMPLE).messages
    assert messages[-1] == {"role": "assistant", "content": '{"city":"Rom"}'}


@pytest.mark.parametrize(
    ("answer", "content"),
    [("a", "a"), (3, "3"), (3.0, "3"), (2.5, "2.5"), (None, "null"), ([1, "ä"], '[1,"ä"]')],
)
def test_an_answer_is_written_as_a_model_would(answer: Json, content: str) -> None:
    """Texts stand as they are, whole numbers without a point, the rest as JSON."""
    assert written_answer(task(), answer, 1) == {"role": "assistant", "content": content}


@pytest.mark.parametrize("parts", [{"system": "{{txt}}"}, {"user": "{{#if txt}}{{/if}}"}])
def test_an_unknown_field_is_refused(parts: dict[str, Json]) -> None:
    """A template that uses a field the task does not have is refused before anything is sent."""
    with pytest.raises(TemplateError) as caught:
        Prompt(task(), candidate(**parts))

    assert "uses the field 'txt'" in str(caught.value)
    assert "'instructions', 'labels', 'schema', 'text'. Did you mean 'text'?" in str(caught.value)


def test_instructions_may_not_use_the_inputs() -> None:
    """Instructions are the task's, the same for every example."""
    with pytest.raises(TemplateError, match="uses the field 'text'"):
        Prompt(task(instructions="On {{text}}"), candidate())


@pytest.mark.parametrize("system", ["", "{{text}}"])
def test_a_demonstration_that_lacks_a_field_is_refused(system: str) -> None:
    """A demonstration without one of the inputs is named by its number and the field, before anything is sent."""
    bad = Demonstration(inputs={"txt": "x"}, answer="1")

    with pytest.raises(CandidateError, match="demonstration 2 has no value for the field 'text'"):
        Prompt(task(), candidate(system=system, demonstrations=[shown("one", "1"), bad]))


@pytest.mark.parametrize("name", ["instructions", "labels", "schema"])
def test_an_input_that_hides_a_field_of_the_task_is_refused(name: str) -> None:
    """An input may not have the name of something that the task itself provides."""
    with pytest.raises(CandidateError, match=f"the input name '{name}' is taken by the task"):
        Prompt(task(name), candidate(user="x"))


def test_an_input_is_never_a_template() -> None:
    """Braces in an input reach the model as they are."""
    example = Example(inputs={"text": "{{instructions}} {{#if"}, reference="")

    request = Prompt(task(), candidate()).request(example)

    assert request.messages[-1]["content"] == "{{instructions}} {{#if"


@pytest.mark.parametrize(
    ("schema", "line"),
    [
        (SCHEMA, "{city: string, tags: [red|blue], inner: {n: integer}, free: any}"),
        ({"type": "array", "items": {"type": "number"}}, "[number]"),
        ({"enum": [1, "a", None, True]}, "1|a|null|true"),
        ({"type": ["string", "null"]}, "string|null"),
        ({"type": ["array", "null"], "items": {"type": "string"}}, "[string]|null"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "integer|null"),
        ({"const": False}, "false"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "number"}}}, "number"),
        ({"properties": {"next": {"$ref": "#"}}}, "{next: {next: any}}"),
        ({"type": "array", "prefixItems": [{"type": "number"}, True]}, "[number, any]"),
        (True, "any"),
        ({"type": "object"}, "{}"),
        ({}, "any"),
    ],
)
def test_a_schema_fits_a_line(schema: Json, line: str) -> None:
    """A schema is shown to the model as one readable line."""
    assert signature(schema) == line


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("First two, then more.\nAnswer: red", "red"),
        ("Answer: blue? No.\nANSWER:  red ", "red"),
        ("Answer: red\nI am sure.", "red\nI am sure."),
        ("red", "red"),
    ],
)
def test_a_reply_is_read_as_the_candidate_says(said: str, answer: str) -> None:
    """What follows the last of its words is the answer; without them, the whole reply is."""
    prompt = Prompt(task(), candidate(answer="Answer: {{answer}}"))

    assert prompt.read(ChatReply(text=said, usage=Usage())) == (answer, None)


def test_a_reply_may_end_the_answer() -> None:
    """What stands behind the answer's end is not read."""
    prompt = Prompt(task(), candidate(answer="<a>{{answer}}</a>"))

    assert prompt.read(ChatReply(text="<a>no</a> or <a>red</a> then", usage=Usage())) == (
        "red",
        None,
    )
    assert prompt.read(ChatReply(text="so <a></a>", usage=Usage())) == (None, "empty")


def test_answers_are_shown_and_taught_as_they_are_to_be_given() -> None:
    """Demonstrations and fine-tuning write the reference as the candidate wants replies to be."""
    made = candidate(
        answer="So it is: {{answer}}.", demonstrations=[shown("one", "1").plain()], system="S"
    )
    prompt = Prompt(task(), made)

    assert prompt.request(EXAMPLE).messages[2]["content"] == "So it is: 1."
    assert (
        prompt.answered(Example(inputs={"text": "two"}, reference="2"))[-1]["content"]
        == "So it is: 2."
    )


def test_a_candidate_says_once_where_the_answer_is() -> None:
    """Without a place for it, or with two, nothing could be read."""
    for bad in ("Answer:", "{{answer}} {{answer}}", ""):
        with pytest.raises(ValidationError, match=r"has \{\{answer\}\} once"):
            candidate(answer=bad)


LABELS: dict[str, Json] = {"kind": "label", "labels": ["a", "b"]}


def test_a_decision_asks_the_same_prompt_without_its_input() -> None:
    """The prior's messages are the request's with empty inputs, demonstrations included."""
    one = candidate(
        system="Sort.",
        demonstrations=[shown("x", "a").plain()],
        decoding={"decide": True, "calibration": "prior"},
    )

    asked = Prompt(task(**LABELS), one).request(EXAMPLE)

    assert asked.decide
    assert asked.prior == [*asked.messages[:-1], {"role": "user", "content": ""}]


@pytest.mark.parametrize(
    ("parts", "answer", "words"),
    [
        ({}, {"kind": "text"}, "kind 'label'"),
        ({"answer": "Answer: {{answer}}"}, LABELS, "has words"),
        ({"model": "openai/gpt-6"}, LABELS, "is an endpoint's"),
    ],
)
def test_what_cannot_be_decided_is_refused(
    parts: dict[str, Json], answer: dict[str, Json], words: str
) -> None:
    """Text, an answer among other words, a model whose probabilities are not at hand: a sentence before any call."""
    with pytest.raises(CandidateError, match=words):
        Prompt(task(**answer), candidate(decoding={"decide": True}, **parts))


@pytest.mark.parametrize(
    "decoding",
    [
        {"calibration": "prior"},
        {"decide": True, "samples": 3},
        {"decide": True, "repairs": 1},
        {"decide": True, "as_json": True},
        {"decide": True, "constrained": False},
    ],
)
def test_decisions_are_taken_once_and_in_their_form(decoding: dict[str, Json]) -> None:
    """Samples, repairs and free forms make no sense of a decision, and are refused with its name."""
    with pytest.raises(ValidationError, match="decide"):
        candidate(decoding=decoding)
