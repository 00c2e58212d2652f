"""Candidates that a user wrote down: files, patterns, texts and grids."""

import pytest

import ratchet
from ratchet.core.errors import CandidateError, UsageError
from ratchet.levers import PromptLever
from ratchet.store import candidate_text
from ratchet.testing import ScriptedModel

TASK = ratchet.Task(
    name="write",
    instructions="Reply.",
    inputs=(ratchet.InputField(name="text"),),
    metric=ratchet.MetricSpec(name="exact"),
    models=ratchet.Roles(student="m"),
)


def says(request):
    """Right only in one style and one tone."""
    system = request.messages[0]["content"]
    return "right" if "Gladwell" in system and "dry" in system else "wrong"


@pytest.fixture
def bench():
    """Return a workbench."""
    examples = [ratchet.Example(inputs={"text": f"t {n}"}, reference="right") for n in range(100)]
    return ratchet.Workbench.of(TASK, examples, models={"m": ScriptedModel(says, name="m")})


def test_a_grid_of_variables_is_raced(bench, tmp_path):
    """Each combination is a candidate, named by its values; the best is found."""
    (tmp_path / "styles.yaml").write_text(
        "system: Write like {{style}}, be {{tone}}. {{instructions}}\n"
        "variables:\n  style: [Gladwell, Tucker, Gladwell]\n  tone: [dry, warm]\n"
    )
    found = bench.variants([str(tmp_path / "*.yaml")])

    assert [one.note for one in found] == [
        f"styles: style={style}, tone={tone}"
        for style in ("Gladwell", "Tucker")
        for tone in ("dry", "warm")
    ]
    assert found[3].system == "Write like Tucker, be warm. {{instructions}}"
    bench.climb([PromptLever(found)])
    assert bench.champion().system == "Write like Gladwell, be dry. {{instructions}}"


def test_a_text_is_a_template(bench, tmp_path):
    """With an input field it is the user's message, else the system's."""
    (tmp_path / "a.txt").write_text("Be kind.\n")
    (tmp_path / "b.md").write_text("# Text\n{{text}}\n")

    kind, framed = bench.variants([str(tmp_path / "*")])

    assert (kind.system, kind.user, kind.note) == ("Be kind.", "{{text}}", "a")
    assert (framed.system, framed.user) == ("{{instructions}}", "# Text\n{{text}}")
    assert bench.candidate(str(tmp_path / "a.txt")) == kind


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("user: '{{txt}}'", r"x\.yaml: the template uses the field 'txt'.*Did you mean 'text'"),
        ("user: '{{text'", r"x\.yaml: template, line 1"),
        ("variables: {text: [a]}", "has the name of a field"),
        ("system: S\nvariables: {style: [a]}", "no template uses the variable 'style'"),
        ("system: '{{style}}'\nvariables: {style: a}", "needs a list of values"),
        ("system: '{{style}}'\nvariables: {style: []}", "needs a list of values"),
        ("system: '{{style}}'\nvariables: [style]", "names with lists of values"),
        (
            "system: '{{a}}{{b}}'\nvariables: {a: [%s], b: [%s]}" % ((",".join(map(str, range(40))),) * 2),
            "1,600 candidates, more than 1,000",
        ),
    ],
)  # fmt: skip
def test_a_grid_that_makes_no_sense_is_refused(bench, tmp_path, body, message):
    """Before anything is asked, with the file and the remedy."""
    (tmp_path / "x.yaml").write_text(body)
    with pytest.raises(CandidateError, match=message):
        bench.variants([str(tmp_path / "x.yaml")])


def test_what_matches_nothing_is_told(bench, tmp_path):
    """A pattern without a file, a file that is gone, and a grid where one candidate is meant."""
    with pytest.raises(UsageError, match="no file matches"):
        bench.variants([str(tmp_path / "*.yaml")])
    (tmp_path / "empty.md").write_text("\n")
    with pytest.raises(CandidateError, match="is empty"):
        bench.variants([str(tmp_path / "empty.md")])
    with pytest.raises(CandidateError, match="there is no file"):
        bench.candidate("gone.txt")
    (tmp_path / "grid.yaml").write_text("system: '{{s}}'\nvariables: {s: [a, b]}")
    with pytest.raises(CandidateError, match="is a grid of 2 candidates"):
        bench.candidate(str(tmp_path / "grid.yaml"))


def test_a_candidate_that_is_written_is_read_as_the_same(bench, tmp_path):
    """Also where a part is the record's default and the task's start has another."""
    whole = bench.start().changed(system="", decoding={"max_tokens": 512}, note="bare")
    (tmp_path / "bare.yaml").write_text(candidate_text(whole))

    read = bench.candidate(str(tmp_path / "bare.yaml"))

    assert (read.id, read.note) == (whole.id, "bare")


def test_a_file_is_tried_with_all_that_it_says(bench, tmp_path):
    """How a reply is read, its demonstrations and its decoding too, not its templates alone."""
    (tmp_path / "cot.yaml").write_text(
        'answer: "Answer: {{answer}}"\ndemonstrations: [{inputs: {text: a}, answer: right}]\ndecoding: {max_tokens: 9}\n'
    )
    (only,) = bench.variants([str(tmp_path / "cot.yaml")])

    steps = bench.climb([PromptLever([only])])

    tried = bench.candidate(steps[1].candidate_id)
    assert (tried.answer, len(tried.demonstrations), tried.decoding.max_tokens) == (
        "Answer: {{answer}}",
        1,
        9,
    )


def test_a_variable_may_stand_in_spaces_and_in_no_block(bench, tmp_path):
    """As fields may; a block about one is an error that says so."""
    (tmp_path / "a.yaml").write_text('system: "Be {{ style }}."\nvariables: {style: [kind]}')
    assert bench.variants([str(tmp_path / "a.yaml")])[0].system == "Be kind."
    (tmp_path / "a.yaml").write_text('system: "{{#if style}}x{{/if}}"\nvariables: {style: [kind]}')
    with pytest.raises(CandidateError, match="stands in a block"):
        bench.variants([str(tmp_path / "a.yaml")])
