"""DSPy's programs as candidates, and back; the real DSPy is the judge of both."""

import json

import pytest

import ratchet
from ratchet.answer import Prompt
from ratchet.core.errors import CandidateError, DataError, UsageError
from ratchet.exchange import dspy_program, program_candidate, read_program
from ratchet.models import ChatReply

dspy = pytest.importorskip("dspy")

TASK = ratchet.Task(
    name="intent",
    instructions="Which intent?",
    inputs=(ratchet.InputField(name="message", description="what was written"),),
    answer=ratchet.AnswerForm(kind="label", labels=("hello", "bye")),
    metric=ratchet.MetricSpec(name="label"),
    models=ratchet.Roles(student="m"),
)
START = ratchet.Candidate(model="m", user="{{message}}", system="{{instructions}}")
EXAMPLE = ratchet.Example(inputs={"message": "good day"}, reference="hello")


def saved(tmp_path, reasoned=True):
    """Save a program with two demonstrations, one of them without its reasoning, and return both."""
    signature = dspy.Signature("message -> label", "Classify the message.")
    program = (dspy.ChainOfThought if reasoned else dspy.Predict)(signature)
    predict = program.predict if reasoned else program
    predict.demos = [
        dspy.Example(augmented=True, message="hi", reasoning="It greets.", label="hello"),
        dspy.Example(message="see you", label="bye"),
    ]
    program.save(str(tmp_path / "program.json"))
    return tmp_path / "program.json", predict


@pytest.mark.parametrize("reasoned", [True, False])
def test_an_imported_program_sends_what_the_program_sends(tmp_path, reasoned):
    """Message by message, as DSPy's own adapter writes them."""
    path, predict = saved(tmp_path, reasoned)

    found = program_candidate(read_program(path, TASK), TASK, START, note="imported")

    theirs = dspy.ChatAdapter().format(predict.signature, predict.demos, EXAMPLE.inputs)
    ours = Prompt(TASK, found).request(EXAMPLE).messages
    assert [(m["role"], m["content"].strip()) for m in ours] == [
        (m["role"], m["content"].strip()) for m in theirs
    ]
    assert (found.decoding.max_tokens or 0) >= (1024 if reasoned else 0)
    assert len(found.demonstrations) == 2


def test_a_reply_is_read_as_dspy_reads_it(tmp_path):
    """The field of the answer, not the reasoning before it."""
    path, predict = saved(tmp_path)
    prompt = Prompt(TASK, program_candidate(read_program(path, TASK), TASK, START, note=""))
    reply = "[[ ## reasoning ## ]]\nNot bye, as it greets.\n\n[[ ## label ## ]]\nhello\n\n[[ ## completed ## ]]"

    assert dspy.ChatAdapter().parse(predict.signature, reply)["label"] == "hello"
    assert prompt.read(ChatReply(text=reply)) == ("hello", None)


def test_a_written_program_is_loaded_by_dspy(tmp_path, monkeypatch):
    """Instructions and demonstrations come through, and back again."""
    demo = ratchet.Demonstration(inputs={"message": "hi"}, answer="hello")
    candidate = START.changed(demonstrations=(demo,), system="{{instructions}} One of {{labels}}.")
    for name, text in dspy_program(TASK, candidate, EXAMPLE).items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    space = {}
    exec((tmp_path / "program.py").read_text(), space)
    program = space["program"]

    assert program.signature.instructions == 'Which intent? One of ["hello", "bye"].'
    assert dict(program.demos[0]) == {"message": "hi", "answer": "hello"}
    assert program.signature.fields["message"].json_schema_extra["desc"] == "what was written"
    again = program_candidate(
        read_program(tmp_path / "program.json", TASK), TASK, START, note="again"
    )
    assert again.demonstrations[0].answer == "hello"


def test_what_is_no_program_is_told(tmp_path):
    """With the file, and what to do."""
    path, _ = saved(tmp_path)
    with pytest.raises(DataError, match="there is no file"):
        read_program(tmp_path / "gone.json", TASK)
    (tmp_path / "x.json").write_text("[1]")
    with pytest.raises(DataError, match=r"holds no DSPy program: save one with"):
        read_program(tmp_path / "x.json", TASK)
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(DataError, match="is no JSON"):
        read_program(tmp_path / "x.json", TASK)
    body = json.loads(path.read_text())
    (tmp_path / "two.json").write_text(json.dumps({"one": body["predict"], "two": body["predict"]}))
    with pytest.raises(UsageError, match=r"has 2 predictors.*--predictor: one, two"):
        read_program(tmp_path / "two.json", TASK)
    assert read_program(tmp_path / "two.json", TASK, predictor="two").instructions
    with pytest.raises(UsageError, match="no predictor 'three'"):
        read_program(tmp_path / "two.json", TASK, predictor="three")
    other = TASK.model_copy(update={"inputs": (ratchet.InputField(name="text"),)})
    with pytest.raises(CandidateError, match="'text' is missing: rename"):
        read_program(path, other)


def test_what_a_program_cannot_be_is_told(tmp_path):
    """Double braces would be read as fields; tool calls have no place in DSPy's text."""
    path, _ = saved(tmp_path)
    body = json.loads(path.read_text())
    body["predict"]["signature"]["instructions"] = "Use {{x}}."
    path.write_text(json.dumps(body))
    with pytest.raises(CandidateError, match="reads as a field"):
        program_candidate(read_program(path, TASK), TASK, START, note="")
    nearest = START.changed(
        demonstrations=[ratchet.Demonstration(inputs={"message": "a"}, answer="bye")] * 2,
        nearest={"count": 1},
    )
    with pytest.raises(CandidateError, match="without `nearest`"):
        dspy_program(TASK, nearest, EXAMPLE)
    with pytest.raises(CandidateError, match="inputs in its system text"):
        dspy_program(TASK, START.changed(system="{{message}}"), EXAMPLE)
