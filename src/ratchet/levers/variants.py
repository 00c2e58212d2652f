"""Candidates that a user wrote down: YAML files, plain texts, and grids of variables, each a list of values to try.

    system: "Write like {{style}}. {{instructions}}"
    variables:
      style: [a friend, a lawyer]

What a file leaves out is the plain start's; with `from: champion`, or any other candidate's name, it is that candidate's.
"""

import glob
import math
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path

from ratchet.answer import Prompt, Template
from ratchet.answer.messages import TASK_FIELDS
from ratchet.core import Candidate, Json, Task
from ratchet.core.errors import CandidateError, TaskError, TemplateError, UsageError
from ratchet.store import candidate_of, read_yaml

__all__ = ["WRITTEN", "files_in", "labels_in", "matching", "only_candidate", "variants_in"]

TEXTS = (".txt", ".md")
WRITTEN = (".yaml", ".yml", *TEXTS)
"""What candidates are written in."""
MOST = 1000
"""Candidates of one grid."""


def matching(patterns: Iterable[str]) -> list[Path]:
    """Return the files that names or patterns (`prompts/*.md`) stand for, each once.

    Raises: UsageError if one stands for none.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        paths = sorted(Path(name) for name in glob.glob(pattern, recursive=True))  # noqa: PTH207 - patterns may be absolute
        files = [path for path in paths if path.is_file()]
        if not files:
            raise UsageError(
                f"no file matches {pattern!r} in {Path.cwd()}; name templates as prompts/*.yaml, in quotes"
            )
        found |= dict.fromkeys(files)
    return list(found)


def files_in(folder: Path | None) -> list[Path]:
    """Return the files of a folder that candidates may stand in, in the order of their names."""
    if folder is None or not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix in WRITTEN)


def only_candidate(candidates: Sequence[Candidate], path: Path, task: Task) -> Candidate:
    """Return the only candidate of a file.

    Raises: CandidateError if it holds several.
    """
    if len(candidates) > 1:
        labels = ", ".join(repr(one.note) for one in candidates[:3])
        raise CandidateError(
            f"{path} is a grid of {len(candidates)} candidates, and one is meant; name it by its label ({labels}, …) where the "
            f"file lies in tasks/{task.name}/, or try all with: ratchet try prompt {task.name} --templates {shlex.quote(str(path))}"
        )
    return candidates[0]


def labels_in(path: Path) -> list[str]:
    """Return the labels of a file's candidates without reading anything else: none where the file cannot be read."""
    if path.suffix in TEXTS:
        return [path.stem]
    try:
        body = read_yaml(path, CandidateError)
    except CandidateError:
        return []
    variables = body.get("variables")
    if variables is None:
        return [str(body.get("note", path.stem))]
    if not isinstance(variables, dict) or not all(isinstance(v, list) for v in variables.values()):
        return []
    if math.prod(len(values) for values in variables.values()) > MOST:
        return []
    grid = {
        str(name): [text(v) for v in dict.fromkeys(map(text, vs))] for name, vs in variables.items()
    }
    return [
        grid_label(path, dict(zip(grid, values, strict=True))) for values in product(*grid.values())
    ]


def variants_in(
    path: Path, task: Task, start: Candidate, find: Callable[[str], Candidate]
) -> list[Candidate]:
    """Return the candidates of a file; what it leaves out is `start`'s, or that of the candidate which its `from` names.

    A text is a template: the user's message where it has an input field of the task, else the system's. A YAML file with
    `variables` gives a candidate for each combination of their values.

    Args:
        path: The file.
        task: What the candidates do.
        start: The plainest candidate.
        find: Returns the candidate of a name, for `from`.
    Raises: CandidateError if the file is no candidate, or a variable is an input, not used, or without values.
    """
    if path.suffix in TEXTS:
        defaults = defaults_of(start, path)
        return [fitting(candidate_of(text_of(path, task), path, defaults), path, task)]
    body = dict(read_yaml(path, CandidateError))
    defaults = defaults_of(start, path)
    if "from" in body:
        defaults = inherited(body.pop("from"), path, find)
    variables = body.pop("variables", None)
    if variables is None:
        return [fitting(candidate_of(body, path, defaults), path, task)]
    grid = checked(variables, {**defaults, **body}, path, task)
    found = []
    for values in product(*grid.values()):
        chosen = dict(zip(grid, values, strict=True))
        filled = {
            part: put_in(str({**defaults, **body}[part]), chosen) for part in ("system", "user")
        }
        note = grid_label(path, chosen)
        one = candidate_of({**body, **filled, "note": note}, path, defaults)
        found.append(fitting(one, path, task))
    return found


def defaults_of(start: Candidate, path: Path) -> dict[str, object]:
    """Return what a file leaves out, where it names no other candidate to start from."""
    parts = ("model", "system", "user", "decoding")
    return {**{part: getattr(start, part) for part in parts}, "note": path.stem}


def inherited(name: object, path: Path, find: Callable[[str], Candidate]) -> dict[str, object]:
    """Return all parts of the candidate that a file starts from.

    Raises: CandidateError if there is none of that name.
    """
    if not isinstance(name, str):
        raise CandidateError(
            f"{path}: `from` names the candidate to start from, as `from: champion`; got {name!r}"
        )
    try:
        base = find(name)
    except UsageError as error:
        raise CandidateError(f"{path}: from: {error}") from error
    return {**{part: getattr(base, part) for part in Candidate.model_fields}, "note": path.stem}


def grid_label(path: Path, values: Mapping[str, str]) -> str:
    """Return what one candidate of a grid is called."""
    return f"{path.stem}: " + ", ".join(f"{name}={value}" for name, value in values.items())


def fitting(candidate: Candidate, path: Path, task: Task) -> Candidate:
    """Return a candidate that fits the task.

    Raises: CandidateError if its templates do not parse, or use fields that the task does not have.
    """
    try:
        Prompt(task, candidate)
    except TaskError as error:
        raise CandidateError(f"{path}: {error}") from error
    return candidate


def text_of(path: Path, task: Task) -> dict[str, object]:
    try:
        text = path.read_text("utf-8").strip()
        names = Template(text).names
    except FileNotFoundError as error:
        raise CandidateError(f"there is no file {path}") from error
    except (UnicodeDecodeError, TemplateError) as error:
        raise CandidateError(f"{path}: {error}") from error
    if not text:
        raise CandidateError(f"{path} is empty; write the template into it")
    return {"user" if names & set(task.input_names) else "system": text}


def checked(
    variables: object, parts: Mapping[str, object], path: Path, task: Task
) -> dict[str, list[str]]:
    """Return the values of each variable."""
    if not isinstance(variables, dict) or not variables:
        raise CandidateError(
            f"{path}: variables are names with lists of values, as `style: [terse, friendly]`; got {variables!r}"
        )
    used = Template(str(parts["system"])).names | Template(str(parts["user"])).names
    grid: dict[str, list[str]] = {}
    count = 1
    for name, values in variables.items():
        if name in (*task.input_names, *TASK_FIELDS):
            raise CandidateError(
                f"{path}: the variable {name!r} has the name of a field; rename the variable"
            )
        if name not in used:
            raise CandidateError(
                f"{path}: no template uses the variable {name!r}; write {{{{{name}}}}} into system or user, or take it out"
            )
        if re.search(
            rf"\{{\{{#\w+\s+{re.escape(str(name))}\b", f"{parts['system']}{parts['user']}"
        ):
            raise CandidateError(
                f"{path}: the variable {name!r} stands in a block; a variable is text that is put in, so write {{{{{name}}}}}"
            )
        if not isinstance(values, list) or not values:
            raise CandidateError(
                f"{path}: the variable {name!r} needs a list of values; got {values!r}"
            )
        grid[str(name)] = [text(value) for value in dict.fromkeys(map(text, values))]
        count *= len(grid[str(name)])
    if count > MOST:
        raise CandidateError(
            f"{path}: the variables give {count:,} candidates, more than {MOST:,}; take some values out"
        )
    return grid


def text(value: Json) -> str:
    return value if isinstance(value, str) else str(value)


def put_in(template: str, values: Mapping[str, str]) -> str:
    """Return a template with its variables filled in, and its fields as they were."""
    for name, value in values.items():
        place = rf"\{{\{{\s*{re.escape(name)}\s*\}}\}}"
        template = re.sub(place, value.replace("\\", r"\\"), template)
    return template
