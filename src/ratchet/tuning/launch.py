"""One run on several processes: those of this machine by `accelerate launch`, those of a cluster by Ray Train.

What is trained on is written to the run's folder, and every process runs `member` on it: the same function and settings as
one process alone. The folder must be on storage that all machines see. Progress comes back as lines of a file there, and a
request to stop is a file too, so that both ways work alike.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from ratchet.core import Record
from ratchet.core.errors import TuningError
from ratchet.store import TuneSettings, write_text
from ratchet.tuning.format import read_file, write_rows
from ratchet.tuning.settings import TuningProgress, TuningResult, TuningSettings
from ratchet.tuning.trainer import Listener
from ratchet.tuning.training import (
    RESULT,
    TrainingData,
    TuningStopped,
    adapter_id,
    train,
    whole_checkpoint,
)

__all__ = ["Launch", "member", "train_on"]

LOOK_S = 0.1
STOP_S = 300
"""So long workers of a cluster may take to their next step and a checkpoint."""
KEEP_S = 120
"""So long a process waits until the checkpoint that it told of is kept."""
PLAN, TOLD, STOP, LOG = "run.json", "progress.jsonl", "stop", "processes.log"


class Launch(Record):
    """Where a run is computed."""

    processes: Annotated[int, Field(gt=0)] = 1
    """How many train together; each takes a GPU where there are some. The settings' batch is shared among them."""
    ray: str | None = None
    """The address of a Ray cluster (auto, or host:port) whose machines the processes are spread over; None is this machine."""

    @classmethod
    def of(cls, settings: TuneSettings) -> "Launch":
        """Return what the workspace's settings say."""
        return cls(processes=settings.processes, ray=settings.ray)


def train_on(
    launch: Launch,
    base: Path,
    data: TrainingData,
    settings: TuningSettings,
    *,
    adapters: Path,
    listener: Listener | None = None,
) -> TuningResult:
    """Do as `train`, on the processes that `launch` names.

    Raises: TuningError also if the processes cannot share the batch, or one of them fails; TuningStopped as `train`.
    """
    if launch.processes == 1 and launch.ray is None:
        return train(base, data, settings, adapters=adapters, listener=listener)
    listener = listener or Listener()
    if listener.score is not None:
        raise TuningError(
            "the best checkpoint is chosen by score on one process alone; choose it by the loss, or set processes to 1"
        )
    if settings.batch % launch.processes:
        raise TuningError(
            f"{launch.processes} processes cannot share a batch of {settings.batch}; make it a multiple"
        )
    name = adapter_id(data, settings)
    folder, work = adapters / name, adapters / f"{name}.part"
    if not (folder / RESULT).is_file():
        whole_checkpoint(work)  # before there are several who would clear up
        plan = write_plan(work, base, data, settings, adapters)
        start = _Ray if launch.ray is not None else _Accelerate
        run = start(plan, launch)
        try:
            follow(run, work, listener)
        except TuningError:
            if not (
                folder / RESULT
            ).is_file():  # what ended badly after the work was done does not count
                raise
    return TuningResult.model_validate_json((folder / RESULT).read_text("utf-8"))


def write_plan(
    work: Path, base: Path, data: TrainingData, settings: TuningSettings, adapters: Path
) -> Path:
    """Write what a process needs to know."""
    work.mkdir(parents=True, exist_ok=True)
    for old in (TOLD, STOP):
        (work / old).unlink(missing_ok=True)
    write_rows(work / "rows.jsonl", data.rows)
    write_rows(work / "validation.jsonl", data.validation)
    plan = {
        "base": str(base.resolve()),
        "adapters": str(adapters.resolve()),
        "settings": settings.model_dump(mode="json"),
        "data": {"base": data.base, "start": data.start, "provenance": dict(data.provenance)},
        "has_validation": bool(data.validation),
    }
    write_text(work / PLAN, json.dumps(plan))
    return work / PLAN


def member(plan: Path) -> None:
    """Train as one of several processes, whose group is there or is made from the environment."""
    import torch
    from accelerate import PartialState

    work = plan.parent
    known = json.loads(plan.read_text("utf-8"))
    settings = TuningSettings.model_validate(known["settings"])
    first = PartialState(cpu=not torch.cuda.is_available()).is_main_process

    def tell(**line: Any) -> None:
        if first:
            with (work / TOLD).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    def keep(step: int, loss: float, at: Path) -> None:
        tell(checkpoint=str(at), step=step, loss=loss)
        until = time.monotonic() + KEEP_S
        while not (at / "kept").exists() and time.monotonic() < until:
            time.sleep(LOOK_S)

    try:
        train(
            Path(known["base"]),
            TrainingData(
                rows=read_file(work / "rows.jsonl", settings.method),
                validation=read_file(work / "validation.jsonl", settings.method)
                if known["has_validation"]
                else (),
                **known["data"],
            ),
            settings,
            adapters=Path(known["adapters"]),
            listener=Listener(
                watch=lambda progress: tell(progress=progress.model_dump()),
                should_stop=(work / STOP).exists,
                keep_checkpoint=keep,
            ),
        )
    except TuningStopped as stopped:
        tell(stopped=str(stopped))
    except TuningError as error:
        tell(error=str(error))


class _Accelerate:
    """Processes of this machine."""

    def __init__(self, plan: Path, launch: Launch) -> None:
        self._log = (plan.parent / LOG).open("wb")
        command = [
            *(sys.executable, "-P", "-m", "accelerate.commands.launch", "--multi_gpu"),
            *("--num_processes", str(launch.processes), "--num_machines", "1"),
            *("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"),
            *("--module", "ratchet.tuning.launch", str(plan)),
        ]
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"OMP_NUM_THREADS": threads(launch.processes)},
            start_new_session=True,
        )

    def is_over(self) -> bool:
        return self._process.poll() is not None

    def failure(self) -> str | None:
        """Return the last line that says something, where a process failed."""
        return last_words(Path(self._log.name)) if self._process.returncode else None

    def close(self) -> None:
        """End what still runs."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, 15)
        self._process.wait()
        self._log.close()


class _Ray:
    """Processes of a Ray cluster, a worker each."""

    def __init__(self, plan: Path, launch: Launch) -> None:
        try:
            import ray
            from ray.train import RunConfig, ScalingConfig
            from ray.train.torch import TorchTrainer
        except ImportError as missing:
            raise TuningError(
                f"training on a cluster needs the extra 'ray' ({missing}); install it with: pip install 'ratchet[ray]'"
            ) from missing
        import torch

        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
        if not ray.is_initialized():
            try:
                ray.init(address=launch.ray, log_to_driver=False, logging_level="ERROR")
            except ConnectionError as error:
                raise TuningError(
                    f"no Ray cluster answers at {launch.ray!r}; start one with: ray start --head"
                ) from error
        self._failure: str | None = None
        self._trainer = TorchTrainer(
            ray_member,
            train_loop_config={"plan": str(plan)},
            scaling_config=ScalingConfig(
                num_workers=launch.processes,
                use_gpu=torch.cuda.is_available(),
                placement_strategy="SPREAD",
            ),
            run_config=RunConfig(storage_path=str(plan.parent / "ray"), name="run"),
        )
        self._thread = threading.Thread(target=self._fit, name="ratchet-ray", daemon=True)
        self._thread.start()

    def _fit(self) -> None:
        try:
            self._trainer.fit()
        except Exception as error:  # noqa: BLE001 - told by `failure`
            self._failure = next(iter(reversed(str(error).strip().splitlines())), repr(error))

    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def failure(self) -> str | None:
        return self._failure

    def close(self) -> None:
        """Wait for the workers, which were told to stop where they were not done; those that never began are given up."""
        self._thread.join(timeout=STOP_S)
        if self._thread.is_alive():
            import ray

            ray.shutdown()


def ray_member(config: dict[str, str]) -> None:
    """Run on a worker of the cluster."""
    member(Path(config["plan"]))


def follow(run: "_Accelerate | _Ray", work: Path, listener: Listener) -> None:
    """Hand on what the processes tell until they are done.

    Raises: TuningStopped or TuningError as they say.
    """
    ends: dict[str, str] = {}
    try:
        lines = told(work / TOLD)
        while True:
            is_over = run.is_over()  # before the last look
            for line in lines:
                if line is None:
                    break
                if "progress" in line and listener.watch:
                    listener.watch(TuningProgress.model_validate(line["progress"]))
                elif "checkpoint" in line:
                    at = Path(line["checkpoint"])
                    if listener.keep_checkpoint:
                        listener.keep_checkpoint(line["step"], line["loss"], at)
                    (at / "kept").touch()
                ends |= {kind: line[kind] for kind in ("stopped", "error") if kind in line}
            if is_over:
                break
            if listener.should_stop and listener.should_stop():
                stop(work)
            time.sleep(LOOK_S)
    except BaseException:
        stop(work)
        raise
    finally:
        run.close()
    if "stopped" in ends:
        raise TuningStopped(ends["stopped"])
    problem = ends.get("error") or run.failure()
    if problem:
        raise TuningError(problem)


def stop(work: Path) -> None:
    """Ask the processes to stop; once the run is done its folder is gone, and there is nobody to ask."""
    with contextlib.suppress(FileNotFoundError):
        (work / STOP).touch()


def told(path: Path) -> Iterator[dict[str, Any] | None]:
    """Yield the lines of a file that is being written, and None each time that there is no further one yet."""
    at, rest = 0, ""
    while True:
        new = b""
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            file.seek(at)
            new = file.read()
        if new:
            at += len(new)
            *lines, rest = (rest + new.decode()).split("\n")
            yield from (json.loads(line) for line in lines)
        yield None


def last_words(log: Path) -> str:
    """Return the last line of a log that names an error, else its last."""
    if not log.is_file():
        return "a training process failed, and its words are gone"
    lines = [line for line in log.read_text("utf-8", errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "Error" in line and not line.startswith(" ")]
    return f"a training process failed: {(errors or lines or ['it said nothing'])[-1].strip()}; all that it said is in {log}"


def threads(processes: int) -> str:
    """Return how many threads each process may use."""
    return str(max(1, (os.cpu_count() or 1) // processes))


if __name__ == "__main__":
    member(Path(sys.argv[1]))
