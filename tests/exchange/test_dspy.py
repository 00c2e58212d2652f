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


TYPED = "text, names: list[str] -> reasoning, label: Literal['a', 'b']"
TYPED_TASK = TASK.model_copy(
    update={"inputs": (ratchet.InputField(name="text"), ratchet.InputField(name="names"))}
)


def typed_program(tmp_path):
    """Save a program whose fields are typed, with a demonstration that is a list."""
    program = dspy.Predict(dspy.Signature(TYPED, "Do it."))
    program.demos = [dspy.Example(text="x", names=["Ann", "Bob"], reasoning="r", label="a")]
    program.save(str(tmp_path / "typed.json"))
    return tmp_path / "typed.json", program


@pytest.mark.parametrize("from_file", [True, False])
def test_a_typed_program_sends_what_it_sent(tmp_path, monkeypatch, from_file):
    """With the signature, as a text or as a class, message by message: lists and notes of types too."""
    path, program = typed_program(tmp_path)
    signature = TYPED
    if from_file:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "own.py").write_text(f'import dspy\nSig = dspy.Signature("{TYPED}")\n')
        signature = "own.py:Sig"

    found = program_candidate(
        read_program(path, TYPED_TASK, signature=signature), TYPED_TASK, START, note="typed"
    )

    example = ratchet.Example(inputs={"text": "T", "names": ["Cy"]}, reference="a")
    theirs = dspy.ChatAdapter().format(program.signature, program.demos, example.inputs)
    ours = Prompt(TYPED_TASK, found).request(example).messages
    assert [(m["role"], m["content"].strip()) for m in ours] == [
        (m["role"], m["content"].strip()) for m in theirs
    ]
    assert "must exactly match" in ours[0]["content"]


def test_a_demonstration_that_is_no_text_wants_the_types(tmp_path):
    """As DSPy saves none, and writes values by their types; the field is named."""
    path, _ = typed_program(tmp_path)
    with pytest.raises(CandidateError, match=r"the field 'names' is no text.*--signature"):
        read_program(path, TYPED_TASK)


def test_an_input_that_the_task_lacks_is_refused(tmp_path):
    """An agent's trajectory, and one that DSPy's own words or the signature name: never taken for an output."""

    def tool(a: str) -> str:
        return a

    question = TASK.model_copy(update={"inputs": (ratchet.InputField(name="question"),)})
    dspy.ReAct("question -> answer", tools=[tool]).save(str(tmp_path / "react.json"))
    for predictor in ("react", "extract.predict"):
        with pytest.raises(CandidateError, match="the program's input 'trajectory' is none"):
            read_program(tmp_path / "react.json", question, predictor=predictor)
    dspy.Predict("message, tone -> label").save(str(tmp_path / "two.json"))
    with pytest.raises(CandidateError, match="the program's input 'tone' is none"):
        read_program(tmp_path / "two.json", TASK)
    dspy.Predict(dspy.Signature("message, tone -> label", "Do it.")).save(str(tmp_path / "o.json"))
    with pytest.raises(CandidateError, match="the program's input 'tone' is none"):
        read_program(tmp_path / "o.json", TASK, signature="message, tone -> label")


@pytest.mark.parametrize(
    ("signature", "error", "message"),
    [
        ("message -> other", CandidateError, "the signature has the field 'other'"),
        ("message -> label", CandidateError, "the program has the field 'reasoning'"),
        ("message", UsageError, "--signature is as"),
        ("gone.py:Sig", ratchet.core.errors.TaskError, "--signature is file.py:function"),
    ],
)
def test_a_signature_that_does_not_fit_is_refused(tmp_path, signature, error, message):
    """With the field that differs."""
    path, _ = saved(tmp_path)
    with pytest.raises(error, match=message):
        read_program(path, TASK, signature=signature)
