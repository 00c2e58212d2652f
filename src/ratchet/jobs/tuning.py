"""A fine-tuning job from start to end: read the files, train, name the adapter, write down what happened.

It is a plain function: it can be run at once, or by a worker that was handed it by the queue. Killed at any moment and run
again, it goes on from the last checkpoint.
"""

import json
import logging
import shutil
import time
from pathlib import Path
from typing import Any, get_args

import sqlalchemy as sa

from ratchet.core import Json
from ratchet.core.errors import RatchetError, StoreError, TuningError, UnknownModelError
from ratchet.jobs.adapters import copy_adapter
from ratchet.jobs.takes import Takes
from ratchet.models import local_folder
from ratchet.store import Workspace
from ratchet.store.adapters import (
    NamedAdapter,
    delete_adapter,
    find_adapter,
    list_adapters,
    name_adapter,
    size_of,
)
from ratchet.store.jobs import ENDED, Job, add_event, change_job, find_job
from ratchet.store.uploads import find_file, keep_file
from ratchet.tuning import (
    Launch,
    Listener,
    Row,
    TrainingData,
    TuningProgress,
    TuningResult,
    TuningSettings,
    TuningStopped,
    Weights,
    adapter_id,
    check_rows,
    read_file,
    train_on,
)

__all__ = [
    "CHECKPOINTS",
    "base_of",
    "checkpoints_of",
    "name_of",
    "run_tuning",
    "settings_of",
    "shown_settings",
]

MOST = 1e6
CHECKPOINTS = 3
"""So many checkpoints of a job can be asked for as models, where they are adapters: all weights of each would fill the disk."""
LOOK_S = 1.0
"""So often a run looks whether it was cancelled or paused."""
EVENTS = 100
"""About so many steps of a run are written down, whatever their number."""
log = logging.getLogger("ratchet.jobs")


def base_of(engine: sa.Engine, root: Path, model: str) -> tuple[str, str | None]:
    """Return the base model's name, and the adapter to go on from where `model` is a fine-tune with one.

    Raises: UnknownModelError if it is neither a local model nor a named adapter.
    """
    adapter = find_adapter(engine, model)
    if adapter:
        return adapter.base, adapter.adapter or None
    if not model.startswith("local:"):
        raise UnknownModelError(
            f"{model!r} cannot be fine-tuned here: name a local model, as local:nano, or a fine-tune of one"
        )
    local_folder(model, root, confined=True)  # names of jobs come from strangers
    return model, None


def settings_of(asked: dict[str, Json], width: int | None = None) -> TuningSettings:
    """Return how a job trains; what the request leaves to "auto" keeps its default.

    Raises: TuningError naming the hyperparameter.
    """
    method = asked.get("method") or {}
    kind = method.get("type", "supervised")
    if kind not in ("supervised", "dpo"):
        raise TuningError(f"method.type must be supervised or dpo, not {kind!r}")
    given = given_in(asked, kind)
    chosen = {name: value for name, value in given.items() if value not in (None, "auto")}
    fields: dict[str, Json] = {"method": kind, "seed": asked.get("seed") or 0}
    factor = 1.0
    for name, value in chosen.items():
        if name == "weights":
            if value not in get_args(Weights):  # OpenAI's API leaves it open
                raise TuningError(
                    f"hyperparameters.weights must be one of {', '.join(get_args(Weights))}, not {value!r}"
                )
            fields["weights"] = value
            continue
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not 0 < value < MOST or (name == "batch_size" and value < 1):
            raise TuningError(
                f"hyperparameters.{name} must be a number above 0 or 'auto', not {value!r}"
            )
        if name == "n_epochs":
            fields["epochs"] = float(value)
        elif name == "batch_size":
            fields["batch"] = int(value)
        elif name == "beta" and kind == "dpo":
            fields["beta"] = float(value)
        elif name == "learning_rate_multiplier":
            factor = float(value)
        else:
            raise TuningError(
                f"hyperparameters.{name} is unknown; there are n_epochs, batch_size, learning_rate_multiplier, weights and, for dpo, beta"
            )
    if kind == "dpo":  # a tenth: it moves away from what was learnt, not towards it
        factor *= 0.1
    settings = TuningSettings(**fields)
    if factor != 1.0 and width:
        settings = settings.model_copy(update={"learning_rate": settings.rate(width) * factor})
    return settings


def given_in(asked: dict[str, Json], kind: str) -> dict[str, Json]:
    """Return the hyperparameters of a request, from where they used to be and where they are now.

    Raises: TuningError if there is something else in these places.
    """
    method = (asked.get("method") or {}).get(kind) or {}
    found: dict[str, Json] = {}
    for place in (
        asked.get("hyperparameters"),
        method.get("hyperparameters") if isinstance(method, dict) else method,
    ):
        if place is not None and not isinstance(place, dict):
            raise TuningError(f"hyperparameters must be an object, not {place!r}")
        found |= place or {}
    return found


def shown_settings(asked: dict[str, Json]) -> dict[str, Json]:
    """Return the hyperparameters of a job in the API's words."""
    settings = settings_of(asked)
    given = given_in(asked, settings.method)
    shown: dict[str, Json] = {
        "n_epochs": settings.epochs if settings.epochs % 1 else int(settings.epochs),
        "batch_size": settings.batch,
        "learning_rate_multiplier": given.get("learning_rate_multiplier") or "auto",
    }
    if settings.weights != "lora":
        shown["weights"] = settings.weights
    return shown | ({"beta": settings.beta} if settings.method == "dpo" else {})


def name_of(job: Job, base: str) -> str:
    """Return what the model that a job makes is called."""
    model = job.asked["model"]  # of a fine-tune of a fine-tune the first base is told
    first = model.split(":")[1] if model.startswith("ft:") else base.removeprefix("local:")
    return f"ft:{first.rpartition('/')[-1]}:{job.asked.get('suffix') or 'ratchet'}:{job.id[-8:]}"


def run_tuning(workspace: Workspace, job_id: str) -> None:
    """Run a job to its end, or until it is cancelled or paused; what goes wrong is written down, never raised."""
    engine = workspace.database
    job = find_job(engine, job_id)
    if job is None or job.status in ENDED or job.status == "paused":
        return
    takes = Takes(workspace, job_id, job.runs)
    try:
        takes.begin()
        _Run(workspace, job, takes).go()
    except TuningStopped as stopped:
        note(engine, job_id, f"The job {stopped}")
    except RatchetError as error:
        fail(engine, job_id, type(error).__name__, str(error))
    except Exception as error:
        log.exception("job %s failed", job_id)
        fail(engine, job_id, "server_error", f"the training failed: {error}")
    takes.end()  # unless the process is gone by then


def note(engine: sa.Engine, job_id: str, message: str, **more: Any) -> None:
    """Write down what happened; where that cannot be written the training goes on."""
    try:
        add_event(engine, job_id, message, **more)
    except StoreError:
        log.exception("an event of job %s is lost: %s", job_id, message)


def fail(engine: sa.Engine, job_id: str, code: str, message: str) -> None:
    error = {"error": {"code": code, "message": message, "param": None}}
    if change_job(engine, job_id, "failed", outcome=error):
        add_event(engine, job_id, message, level="error")


class _Run:
    """One run of a job."""

    def __init__(self, workspace: Workspace, job: Job, takes: Takes) -> None:
        self._workspace, self._job, self._engine = workspace, job, workspace.database
        self._takes = takes
        self._looked_at, self._is_over = 0.0, False
        self._metrics = ["step,train_loss,valid_loss"]

    def go(self) -> None:
        """Read the files, train, and tell."""
        asked, job_id = self._job.asked, self._job.id
        base, start = base_of(self._engine, self._workspace.root, asked["model"])
        folder = local_folder(base, self._workspace.root)
        settings = settings_of(asked, width_of(folder))
        rows = self._rows(asked["training_file"], settings)
        held = (
            self._rows(asked["validation_file"], settings) if asked.get("validation_file") else []
        )
        report = check_rows(enumerate(rows, 1), validation=held)
        if report.overlap:
            raise TuningError(
                f"{len(report.overlap)} rows of the training file stand in the validation file too (first: row {report.overlap[0]}); remove them from one of the two"
            )
        if report.duplicates:
            note(
                self._engine,
                job_id,
                f"{len(report.duplicates)} rows of the training file stand in it more than once",
                level="warn",
            )
        data = TrainingData(
            base=base,
            rows=rows,
            validation=held,
            start=start,
            provenance={"job": job_id, "training_file": asked["training_file"]},
        )
        if not change_job(
            self._engine, job_id, "running", only=("validating_files", "queued", "running")
        ):
            return
        note(
            self._engine, job_id, f"Training on {len(rows)} rows begins, {settings.epochs:g} epochs"
        )
        name = name_of(self._job, base)
        result = train_on(
            Launch.of(self._workspace.settings.tune),
            folder,
            data,
            settings,
            adapters=self._workspace.adapters,
            listener=Listener(
                watch=self._tell,
                should_stop=self._should_stop,
                keep_checkpoint=None
                if settings.weights == "full"
                else lambda step, loss, at: self._keep(
                    name, base, step, loss, at, adapter_id(data, settings)
                ),
            ),
        )
        self._name(name, base, result, all_weights=settings.weights == "full")

    def _rows(self, file_id: str, settings: TuningSettings) -> list[Row]:
        upload = find_file(self._engine, file_id)
        if upload is None:
            raise TuningError(
                f"the file {file_id!r} was deleted; upload it again, and make a new job"
            )
        return read_file(self._workspace.uploads / upload.id, settings.method)

    def _should_stop(self) -> bool:
        if not self._is_over and time.monotonic() - self._looked_at > LOOK_S:
            self._looked_at = time.monotonic()
            job = find_job(self._engine, self._job.id)
            self._is_over = job is None or job.status != "running"
        return self._is_over

    def _tell(self, progress: TuningProgress) -> None:
        self._takes.reached(progress.step)
        losses = {"train_loss": progress.loss, "valid_loss": progress.validation_loss}
        known = {name: round(value, 5) for name, value in losses.items() if value is not None}
        self._metrics.append(
            f"{progress.step},{known.get('train_loss', '')},{known.get('valid_loss', '')}"
        )
        if progress.validation_loss is None and progress.step % max(1, progress.steps // EVENTS):
            return
        if not known:
            return
        told = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in known.items())
        data = {"step": progress.step, "total_steps": progress.steps, **known}
        note(
            self._engine, self._job.id, f"Step {progress.step}/{progress.steps}: {told}", data=data
        )

    def _keep(self, name: str, base: str, step: int, loss: float, at: Path, adapter: str) -> None:
        """Keep a checkpoint as an adapter of its own, and let go of the oldest."""
        kept = f"{adapter}_step{step}"
        copy_adapter(at, self._workspace.adapters / kept)
        name_adapter(
            self._engine,
            f"{name}:ckpt-step-{step}",
            adapter=kept,
            base=base,
            source=f"{self._job.id} step {step} valid_loss {loss:.5f}",
            size=size_of(self._workspace.adapters / kept),
        )
        for old in checkpoints_of(self._engine, name)[CHECKPOINTS:]:
            delete_adapter(self._engine, old.name)
            shutil.rmtree(self._workspace.adapters / old.adapter, ignore_errors=True)

    def _name(self, name: str, base: str, result: TuningResult, *, all_weights: bool) -> None:
        source = self._workspace.adapters / result.adapter
        if all_weights:
            base = f"local:{source.relative_to(self._workspace.root).as_posix()}"
        name_adapter(
            self._engine,
            name,
            adapter="" if all_weights else result.adapter,
            base=base,
            source=self._job.id,
            size=size_of(source),
        )
        metrics = keep_file(
            self._engine,
            self._workspace.uploads,
            ["\n".join(self._metrics).encode()],
            name=f"{self._job.id}.csv",
            purpose="fine-tune-results",
            largest=2**30,
        )
        outcome = {
            "fine_tuned_model": name,
            "trained_tokens": result.tokens,
            "result_files": [metrics.id],
            "seconds": result.seconds,
        }
        if change_job(self._engine, self._job.id, "succeeded", outcome=outcome):
            note(self._engine, self._job.id, f"New fine-tuned model: {name}")


def checkpoints_of(engine: sa.Engine, name: str) -> list[NamedAdapter]:
    """Return the checkpoints that are kept of a fine-tune, the latest first."""
    found = [one for one in list_adapters(engine) if one.name.startswith(f"{name}:ckpt-step-")]
    return sorted(found, key=lambda one: -int(one.name.rsplit("-", 1)[1]))


def width_of(folder: Path) -> int | None:
    """Return the width of a model, from its configuration."""
    width = json.loads((folder / "config.json").read_text("utf-8")).get("hidden_size")
    return int(width) if width else None
