"""DSPy's saved programs (`program.save("program.json")`), read as candidates, and candidates written as programs.

A program of one predictor is one call, as a candidate is. Its messages are written by DSPy's own chat adapter, with the inputs
left as fields, so that the candidate sends what the program sent. The extra `dspy` is needed for that.
"""

import json
import re
from pathlib import Path
from typing import Any, NoReturn

from pydantic import Field, ValidationError

from ratchet.answer import Prompt, Template
from ratchet.core import Candidate, Decoding, Demonstration, Example, Json, Record, Task
from ratchet.core.errors import CandidateError, DataError, UsageError
from ratchet.core.functions import load_function
from ratchet.exchange.prompts import CLOSE, OPEN, PLACE

__all__ = [
    "Program",
    "dspy_program",
    "need_dspy",
    "program_candidate",
    "program_of",
    "read_program",
]

ANSWER = "answer"
_AGENT_INPUTS = ("trajectory",)
"""Inputs that DSPy's agents fill in on the way; their words do not name them."""
REASONED = 1024
"""Tokens of an answer that is reasoned first, at least."""


class Program(Record):
    """The state of one predictor."""

    instructions: str
    inputs: dict[str, str]
    """Input fields in order, with their descriptions."""
    outputs: dict[str, str]
    """Output fields in order; the last one is the answer, those before it are the way to it."""
    demos: tuple[dict[str, Json], ...] = Field(default=())
    """Shown examples: fields to values."""
    types: dict[str, Any] = Field(default={})
    """Python types of fields, where they are known; the others are texts."""


def read_program(
    path: Path, task: Task, *, predictor: str | None = None, signature: str | None = None
) -> Program:
    """Return a program from the file that DSPy saved it to.

    Args:
        path: The JSON file.
        task: Tells which fields are inputs.
        predictor: Which one, of a program that has several.
        signature: Says the types, which DSPy does not save: `message -> label: Literal['a', 'b']`, or `file.py:Class`.
    Raises: DataError if the file holds no program; UsageError if it holds several predictors and none is named; CandidateError if
        its fields are not the task's, or its demonstrations show that a field is no text and no signature says of what type it is.
    """
    try:
        body = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"there is no file {path}") from error
    except IsADirectoryError as error:
        raise DataError(
            f"{path} is a folder: programs saved whole are not read; save one with program.save('program.json')"
        ) from error
    except (UnicodeDecodeError, ValueError) as error:
        raise DataError(f"{path} is no JSON: {error}") from error
    found = predictors(body)
    if not found:
        raise DataError(
            f"{path} holds no DSPy program: save one with program.save('program.json'); programs saved whole (a folder, or pickle) are not read"
        )
    if predictor is None and len(found) > 1:
        raise UsageError(
            f"{path} has {len(found)} predictors, and a candidate is one call; name one with --predictor: {', '.join(found)}"
        )
    name = predictor or next(iter(found))
    if name not in found:
        raise UsageError(f"{path} has no predictor {name!r}; there are {', '.join(found)}")
    program = program_of(found[name], task, where=str(path))
    if signature is not None:
        return _with_types(program, task, load_signature(signature), where=str(path))
    _refuse_unknown_inputs(program, task, where=str(path))
    _refuse_typed_demonstrations(program, where=str(path))
    return program


def load_signature(text: str) -> Any:
    """Return DSPy's signature of a text, or of a class in a file.

    Raises: UsageError if it is none, or DSPy is not there.
    """
    dspy = need_dspy()
    if ".py:" in text:
        return load_function(text, Path(), setting="--signature")
    try:
        return dspy.Signature(text)
    except Exception as error:  # DSPy parses it as Python, and raises what that raises
        raise UsageError(
            f'--signature is as \'message -> label: Literal["a", "b"]\', or file.py:Class; got {text!r} ({error})'
        ) from error


def _with_types(program: Program, task: Task, signature: Any, *, where: str) -> Program:
    """Return a program whose fields have the roles and the types of a signature.

    Raises: CandidateError if the two have other fields, or an input is none of the task's.
    """
    saved = {bare(name): name for name in (*program.inputs, *program.outputs)}
    described = {**program.inputs, **program.outputs}
    roles: list[dict[str, str]] = [{}, {}]
    types: dict[str, Any] = {}
    for role, fields in zip(roles, (signature.input_fields, signature.output_fields), strict=True):
        for name, field in fields.items():
            own = saved.pop(bare(name), None)
            if own is None:
                raise CandidateError(
                    f"{where}: the signature has the field {name!r}, and the program has {', '.join(described)}; give the signature that it was made with"
                )
            role[own], types[own] = described[own], field.annotation
    if saved:
        raise CandidateError(
            f"{where}: the program has the field {next(iter(saved.values()))!r}, and the signature does not; give the signature that it was made with"
        )
    if unknown := [name for name in roles[0] if name not in task.input_names]:
        _refuse_input(unknown[0], task, where)
    inputs, outputs = roles
    return program.model_copy(update={"inputs": inputs, "outputs": outputs, "types": types})


def _refuse_unknown_inputs(program: Program, task: Task, *, where: str) -> None:
    """Refuse a program with an input that the task lacks, as far as the file shows which fields are inputs.

    DSPy saves fields without their roles, inputs first: the words of its own instructions tell, and ReAct's name for what it did so far.

    Raises: CandidateError.
    """
    said = re.search(r"[Gg]iven the fields (.+?), produce the fields", program.instructions)
    named = {bare(name) for name in re.findall(r"`(\w+)`", said[1])} if said else set()
    for name in program.outputs:
        if bare(name) in named or name in _AGENT_INPUTS:
            _refuse_input(name, task, where)


def _refuse_input(name: str, task: Task, where: str) -> NoReturn:
    raise CandidateError(
        f"{where}: the program's input {name!r} is none of the inputs of task {task.name!r} ({', '.join(task.input_names)}); a candidate is one call with these, so a program that fills it in on the way cannot be one. Name another predictor, or add the input to the task"
    )


def _refuse_typed_demonstrations(program: Program, *, where: str) -> None:
    """Refuse demonstrations with values that are no texts: what DSPy writes of them depends on a type that it did not save.

    Raises: CandidateError.
    """
    for demo in program.demos:
        for name, value in demo.items():
            is_field = name in program.inputs or name in program.outputs
            if is_field and value is not None and not isinstance(value, str):
                raise CandidateError(
                    f'{where}: the field {name!r} is no text, as a demonstration has {value!r}, and DSPy saves no types; say them with --signature "{", ".join(program.inputs)} -> {", ".join(program.outputs)}", each as {name}: {type(value).__name__}'
                )


def predictors(body: Json) -> dict[str, dict[str, Json]]:
    """Return the predictors' states by name."""
    if not isinstance(body, dict):
        return {}
    if "signature" in body:
        return {"predict": body}
    return {
        name: state
        for name, state in body.items()
        if isinstance(state, dict) and isinstance(state.get("signature"), dict)
    }


def program_of(state: dict[str, Json], task: Task, *, where: str) -> Program:
    """Return the program of a predictor's state.

    Raises: CandidateError if its fields are not the task's.
    """
    signature, demos = state["signature"], [dict(demo) for demo in state.get("demos", ())]
    try:
        known = {bare(name): name for name in task.input_names}
        named = [(field_name(f["prefix"]), str(f["description"])) for f in signature["fields"]]
        fields = [(known.get(bare(name), name), told) for name, told in named]
        instructions = str(signature["instructions"])
    except (KeyError, TypeError) as error:
        raise DataError(f"{where}: a signature without {error}; save the program anew") from error
    inputs = {name: told for name, told in fields if name in task.input_names}
    outputs = {name: told for name, told in fields if name not in task.input_names}
    missing = [name for name in task.input_names if name not in inputs]
    if missing or not outputs:
        raise CandidateError(
            f"{where}: the program has the fields {', '.join(name for name, _ in fields)}, and task {task.name!r} the inputs {', '.join(task.input_names)}; "
            + (f"{missing[0]!r} is missing: rename the field in one of the two" if missing else "there is no output")
        )  # fmt: skip
    for demo in demos:
        demo.pop("augmented", None)
    try:
        return Program(
            instructions=instructions, inputs=inputs, outputs=outputs, demos=tuple(demos)
        )
    except ValidationError as error:
        raise DataError(f"{where}: {error.errors()[0]['msg']}") from error


def field_name(prefix: str) -> str:
    """Return the name of a field from the words that DSPy makes of it: "Customer Message:" is `customer_message`."""
    return re.sub(r"\W+", "_", prefix.strip().rstrip(":").strip()).lower()


def bare(name: str) -> str:
    """Return a name without what its spelling as words may have changed."""
    return re.sub(r"[\W_]+", "", name).lower()


def need_dspy() -> Any:
    """Return DSPy, loaded.

    Raises: UsageError if it is not there.
    """
    try:
        import dspy
    except ImportError as missing:
        raise UsageError(
            f"the bridge to DSPy needs the extra 'dspy' ({missing}); install it with: pip install 'ratchet[dspy]' && pip install --no-deps dspy==3.4.1"
        ) from missing
    return dspy


def program_candidate(program: Program, task: Task, start: Candidate, *, note: str) -> Candidate:
    """Return the candidate that sends what the program sends: model, adapter and decoding are `start`'s.

    Raises: UsageError without DSPy; CandidateError if the task wants tool calls, or the program's texts hold our own braces.
    """
    if task.answer.kind == "tool":
        raise CandidateError(
            f"task {task.name!r} wants a call of the tool {task.answer.tool!r}, and DSPy's programs answer in text"
        )
    dspy = need_dspy()
    *steps, answer = program.outputs
    fields: dict[str, Any] = {}
    for names, make in ((program.inputs, dspy.InputField), (program.outputs, dspy.OutputField)):
        for name, told in names.items():
            fields[name] = (program.types.get(name, str), make(desc=told))
    signature = dspy.Signature(fields, program.instructions)
    adapter = dspy.ChatAdapter()
    marks = {name: f"{OPEN}{name}{CLOSE}" for name in program.inputs}
    given = [
        demo
        for demo in program.demos
        if set(demo) & set(program.inputs) and set(demo) & set(program.outputs)
    ]
    given.sort(key=lambda demo: all(demo.get(name) is not None for name in fields))
    system, *shown, user = adapter.format(signature, given, marks)
    reply = adapter.format_assistant_message_content(
        signature, {**dict.fromkeys(steps, ""), answer: f"{OPEN}{ANSWER}{CLOSE}"}
    )
    demonstrations = [
        Demonstration(
            inputs={name: demo.get(name, "") for name in program.inputs},
            answer=demo.get(answer, ""),
            asked=asked["content"],
            said=said["content"],
        )
        for demo, asked, said in zip(given, shown[::2], shown[1::2], strict=True)
    ]
    decoding = start.decoding.model_dump() | {"constrained": False}
    if steps:
        decoding["max_tokens"] = max(REASONED, start.decoding.max_tokens or 0)
    return Candidate(
        model=start.model,
        adapter=start.adapter,
        system=as_template(str(system["content"])),
        user=as_template(str(user["content"])),
        answer=as_template(reply[reply.rindex(f"[[ ## {answer} ## ]]") :]),
        demonstrations=tuple(demonstrations),
        decoding=Decoding.model_validate(decoding),
        note=note,
    )


def as_template(text: str) -> str:
    """Return text as a template in which the marked names are fields.

    Raises: CandidateError if it holds double braces of its own.
    """
    if "{{" in text:
        raise CandidateError(
            f"the program's texts hold {{{{, which a template reads as a field: {text[max(0, text.index('{{') - 30) :][:80]!r}; write it otherwise"
        )
    return PLACE.sub(lambda found: f"{{{{{found[1]}}}}}", text).strip()


def dspy_program(task: Task, candidate: Candidate, example: Example) -> dict[str, str]:
    """Return the files of a candidate as a DSPy program: its state as DSPy saves it, and a script that loads it.

    The instructions are the candidate's system text, rendered; DSPy writes the messages around it in its own way.

    Raises: CandidateError if the system text depends on the input, or demonstrations do.
    """
    if "[[ ## " in candidate.system:
        raise CandidateError(
            f"candidate {candidate.id} was written by DSPy's own adapter, which would write around it once more; keep the program that it came from, or export --to openai"
        )
    request = Prompt(task, candidate).request(example)
    system = request.messages[0]["content"] if candidate.system else task.instructions
    if Template(candidate.system).names & set(task.input_names):
        raise CandidateError(
            f"candidate {candidate.id} has inputs in its system text, which DSPy's instructions cannot have; move them into user"
        )
    if candidate.nearest:
        raise CandidateError(
            f"candidate {candidate.id} chooses its demonstrations for each input; export one without `nearest`"
        )
    names = (*task.input_names, ANSWER)
    told = {field.name: field.description for field in task.inputs}
    state: dict[str, Json] = {
        "traces": [],
        "train": [],
        "demos": [
            {
                **one.inputs,
                ANSWER: one.answer if isinstance(one.answer, str) else json.dumps(one.answer),
            }
            for one in candidate.demonstrations
        ],
        "signature": {
            "instructions": system,
            "fields": [
                {
                    "prefix": f"{name.replace('_', ' ').title()}:",
                    "description": told.get(name) or f"${{{name}}}",
                }
                for name in names
            ],
        },
        "lm": None,
        "metadata": {"dependency_versions": {}},
    }
    script = (
        "import dspy\n\n"
        f'program = dspy.Predict("{", ".join(task.input_names)} -> {ANSWER}")\n'
        'program.load("program.json")\n'
    )
    return {
        "program.json": json.dumps(state, indent=2, ensure_ascii=False) + "\n",
        "program.py": script,
    }
