"""Whom the name of a judge means."""

from pathlib import Path

import pytest

import ratchet
from ratchet.core.errors import UsageError
from ratchet.ladder import judge_named
from ratchet.store import Workspace, create_workspace

GRADING = ratchet.Task(
    name="grading",
    instructions="Grade it.",
    inputs=(ratchet.InputField(name="answer"),),
    metric=ratchet.MetricSpec(name="exact"),
    models=ratchet.Roles(student="e/judge"),
)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Give a workspace with a judge in the grading task's folder."""
    made = create_workspace(tmp_path)
    folder = tmp_path / "tasks" / "grading"
    folder.mkdir()
    (folder / "strict.yaml").write_text('system: "Be strict. {{instructions}}"\n')
    (folder / "stricter.yaml").write_text("from: strict\nmodel: e/other\n")
    return made


def test_a_judge_goes_by_path_and_stem_and_may_start_from_another(workspace: Workspace) -> None:
    """The file in the grading task's folder, by any of its names."""
    names = ("strict", "strict.yaml", "tasks/grading/strict.yaml")

    judges = [judge_named(name, GRADING, workspace) for name in names]
    other = judge_named("stricter", GRADING, workspace)

    assert len({judge.id for judge in judges}) == 1
    assert judges[0].system == other.system == "Be strict. {{instructions}}"
    assert other.model == "e/other"


def test_what_names_no_file_is_a_model(workspace: Workspace) -> None:
    """A model's name stays one, with a workspace and without; an id that nothing has is an error."""
    assert judge_named("e/model", GRADING, workspace).model == "e/model"
    assert judge_named("strict", GRADING, None).model == "strict"
    with pytest.raises(UsageError, match="no candidate has the id 'c_0'"):
        judge_named("c_0", GRADING, workspace)
