"""The judges that a task's metric names: candidates of the task "grade this", with the champion of that task where it has a ladder."""

from collections.abc import Mapping, Sequence

from ratchet.answer import starting_candidate, with_model
from ratchet.core import Candidate, Json, Task
from ratchet.core.errors import MetricError, did_you_mean
from ratchet.levers import CandidateNames
from ratchet.metrics import (
    RAG_METRICS,
    Assertions,
    Judged,
    JudgedAssertions,
    JudgeMetric,
    Metric,
    RagMetric,
    grading_task,
    make_metric,
)
from ratchet.metrics.registry import ASSERTIONS, JUDGED, max_failed_share
from ratchet.models import start_temperature
from ratchet.store import Workspace, find_candidate, load_steps

__all__ = ["judge_metric", "judge_named", "judge_names", "metric_of", "rag_metric"]

ASKING = ("judge", "graders", "embedding")
"""Options of the metric `assertions` that name models."""
OPTIONS = ("rubric", "scale", "reference", "task", "judges", "repeats")


def judge_metric(task: Task, workspace: Workspace | None = None) -> JudgeMetric:
    """Return the metric of a task whose answers are graded by models.

    The options are `rubric` (with `scale` and `reference`), or `task`, the name of a grading task in the workspace; `judges`, by
    default the grading task's champion or the task's teacher; and `repeats`.

    Raises: MetricError if an option is unknown, or no judge is named.
    """
    options = task.metric.options
    for name in sorted(options.keys() - set(OPTIONS)):
        raise MetricError(
            f"metric 'judge' has no option {name!r}; its options are {', '.join(OPTIONS)}.{did_you_mean(name, OPTIONS)}"
        )
    names = judge_names(task)
    own = options.get("task")
    if own is not None:
        if workspace is None:
            raise MetricError(
                f"metric 'judge': task {own!r} is looked for in a workspace, and this is none"
            )
        grading = workspace.load_task(str(own))
    else:
        if not names:
            raise MetricError(
                "metric 'judge' needs a model: name it in metric.options.judges, or set models.teacher of the task"
            )
        grading = grading_task(
            task,
            rubric=str(options.get("rubric", "")),
            scale=options.get("scale", "pass_fail"),
            reference=bool(options.get("reference", True)),
            model=names[0],
        )
    judges = [judge_named(name, grading, workspace) for name in names or ["champion"]]
    return JudgeMetric(grading, judges, repeats=int(options.get("repeats", 1)))


def judge_names(task: Task) -> list[str]:
    """Return the judges that a task's metric names; else its teacher, unless the grading task is one of the workspace."""
    named: Json = task.metric.options.get("judges", [])
    names = [named] if isinstance(named, str) else list(named)
    if not names and "task" not in task.metric.options and task.models.teacher:
        return [task.models.teacher]
    return [str(name) for name in names]


def judge_named(name: str, grading: Task, workspace: Workspace | None) -> Candidate:
    """Return the judge of a name: `champion`, `start`, a candidate's id, a file or its stem, or a model's name.

    Files are looked for in the workspace and in the folder of the grading task.
    """
    endpoints = workspace.settings.endpoints if workspace else {}
    temperature = start_temperature(grading.models.student, endpoints)
    start = starting_candidate(grading, temperature=temperature)
    if name == "start":
        return start
    if name == "champion":
        return champion(grading, start, workspace)
    if workspace is not None and is_name_of_candidate(name, grading, workspace):
        names = CandidateNames(
            task=grading,
            engine=workspace.database,
            root=workspace.root,
            start=lambda: start,
            champion=lambda: champion(grading, start, workspace),
        )
        return names.find(name)
    return with_model(start, name, temperature=start_temperature(name, endpoints)).changed(
        note=name
    )


def is_name_of_candidate(name: str, grading: Task, workspace: Workspace) -> bool:
    """Return whether a judge's name means a candidate and no model: an id, a file, or a stem of one."""
    if name.startswith("c_") or name.endswith((".yaml", ".yml")):
        return True
    folders = (workspace.root, workspace.root / "tasks" / grading.name)
    return any(
        (folder / f"{name}{end}").is_file() for folder in folders for end in (".yaml", ".yml")
    )


def rag_metric(task: Task, name: str, options: Mapping[str, Json]) -> RagMetric:
    """Return one of the four metrics of answers that stand on passages; its judge is named, or the task's teacher.

    Raises: MetricError if an option is unknown, or nobody judges.
    """
    known = ("judge", "embedding")
    for option in sorted(options.keys() - set(known)):
        raise MetricError(
            f"metric {name!r} has no option {option!r}; its options are {', '.join(known)}.{did_you_mean(option, known)}"
        )
    judge = options.get("judge") or task.models.teacher
    if not judge:
        raise MetricError(
            f"metric {name!r} needs a judge: name a model in metric.options.judge, or set models.teacher of the task"
        )
    return RagMetric(name, str(judge), embedding=str(options.get("embedding", "local:minilm")))


def _judged_assertions(task: Task, workspace: Workspace | None) -> JudgedAssertions:
    """Return the metric of a task some of whose assertions ask models; `judge: teacher` is the task's teacher.

    Without a teacher the task can be looked at and exported; nothing is asked before a judge is named.

    Raises: MetricError if an option is unknown.
    """
    options = dict(task.metric.options)
    known = ("functions", "max_failed_share", *ASKING)
    for option in sorted(options.keys() - set(known)):
        raise MetricError(
            f"metric 'assertions' has no option {option!r}; its options are {', '.join(known)}.{did_you_mean(option, known)}"
        )
    judge = options.get("judge")
    if judge == "teacher":
        judge = task.models.teacher or ""
    graders = options.get("graders") or {}
    if not isinstance(graders, dict) or not all(isinstance(one, dict) for one in graders.values()):
        raise MetricError(f"metric 'assertions': graders are objects by name; got {graders!r}")
    root = workspace.root if workspace else None
    plain = Assertions(functions=options.get("functions") or (), root=root)
    metric = JudgedAssertions(
        plain, task, judge=judge, graders=graders, embedding=options.get("embedding")
    )
    metric.max_failed_share = max_failed_share(task.metric)
    return metric


def champion(grading: Task, start: Candidate, workspace: Workspace | None) -> Candidate:
    kept: Sequence[str] = []
    if workspace is not None:
        kept = [s.candidate_id for s in load_steps(workspace.database, grading.name) if s.kept]
    if not kept or workspace is None:
        return start
    return find_candidate(workspace.database, kept[-1])


def metric_of(task: Task, workspace: Workspace | None) -> Metric | Judged:
    """Return the metric that a task names, with its judges where it has some."""
    if task.metric.name == JUDGED:
        return judge_metric(task, workspace)
    if task.metric.name == ASSERTIONS and set(ASKING) & task.metric.options.keys():
        return _judged_assertions(task, workspace)
    if task.metric.name in RAG_METRICS:
        return rag_metric(task, task.metric.name, task.metric.options)
    return make_metric(task.metric, root=workspace.root if workspace else None, form=task.answer)
