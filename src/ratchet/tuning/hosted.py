"""Fine-tuning by someone else: files, jobs and events through the official `openai` SDK, against any base URL, our own server's too.

The job's id is kept beside the workspace's files as soon as there is one, so that a run that was killed follows the same job
again, and nothing is paid for twice.
"""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ratchet.core import Json, Record, content_id
from ratchet.core.errors import AccessError, TuningError
from ratchet.store import EndpointSettings, write_text
from ratchet.tuning.conversation import Preference, Row
from ratchet.tuning.format import write_rows
from ratchet.tuning.settings import TuningProgress, TuningSettings

if TYPE_CHECKING:
    import openai

__all__ = ["HostedRun", "estimated_tokens", "train_hosted"]

POLL_S = 2.0
SLOWEST_POLL_S = 30.0
CHARACTERS_A_TOKEN = 4
ENDED = ("succeeded", "failed", "cancelled")


class HostedRun(Record):
    """What came out of a hosted run, or how far it is."""

    job: str
    model: str | None = None
    """The name of the fine-tuned model, once there is one."""
    tokens: int = 0
    seconds: float = 0.0


def estimated_tokens(rows: Sequence[Row]) -> int:
    """Return about how many tokens rows have: the provider's tokenizer is unknown, four characters a token is usual for English."""
    return sum(len(str(row.plain())) for row in rows) // CHARACTERS_A_TOKEN


def train_hosted(
    endpoint: EndpointSettings,
    model: str,
    rows: Sequence[Row],
    settings: TuningSettings,
    *,
    folder: Path,
    watch: Callable[[TuningProgress], None] | None = None,
    poll_s: float = POLL_S,
) -> HostedRun:
    """Upload, start and follow a job to its end, or find one that ended before.

    Args:
        endpoint: Where.
        model: The base model's name there.
        rows: What it is trained on; a share of them, as the settings say, is uploaded as the validation file.
        settings: Epochs, batch and method; what belongs to a LoRA of our own is the provider's business.
        folder: Keeps the uploaded files and the job's id.
        watch: Called with the losses that the provider tells of.
        poll_s: Seconds between two looks at the job; it grows while nothing happens.
    Raises: TuningError with the provider's reason if the job fails; AccessError if the key is missing or refused.
    """
    import openai  # the extra 'hosted'

    name = content_id(
        "h", [endpoint.base_url, model, [row.plain() for row in rows], settings.plain()]
    )
    kept = folder / f"{name}.json"
    run = recalled(kept)
    if run and run.model:
        return run
    client = opened(endpoint)
    try:
        if run is None:
            run = HostedRun(job=started(client, model, rows, settings, folder / name))
            write_text(kept, run.model_dump_json())
        run = followed(client, run, watch, poll_s)
    except openai.AuthenticationError as error:
        raise AccessError(
            f"{endpoint.base_url}: the key in {endpoint.key_env} was refused: {error.message}"
        ) from error
    except openai.APIStatusError as error:
        raise TuningError(f"{endpoint.base_url} refused: {error.message}") from error
    except openai.APIConnectionError as error:
        job = f"; the job {run.job} goes on there, run this again to follow it" if run else ""
        raise TuningError(f"{endpoint.base_url} does not answer{job}") from error
    except TuningError:
        kept.unlink(missing_ok=True)  # a failed job is not followed again
        raise
    finally:
        client.close()
    write_text(kept, run.model_dump_json())
    return run


def recalled(path: Path) -> HostedRun | None:
    """Return what is kept of a run, or None."""
    try:
        return HostedRun.model_validate_json(path.read_text("utf-8"))
    except (FileNotFoundError, ValidationError):
        return None


def opened(endpoint: EndpointSettings) -> "openai.OpenAI":
    import openai  # the extra 'hosted'

    key = os.environ.get(endpoint.key_env, "").strip() if endpoint.key_env else "none"
    if not key:
        raise AccessError(
            f"{endpoint.base_url}: the environment has no {endpoint.key_env}; set it to the endpoint's key: export {endpoint.key_env}=…"
        )
    return openai.OpenAI(
        base_url=endpoint.base_url,
        api_key=key,
        timeout=endpoint.timeout_s,
        max_retries=endpoint.retries,
    )


def started(
    client: "openai.OpenAI", model: str, rows: Sequence[Row], settings: TuningSettings, place: Path
) -> str:
    """Upload the rows, start the job, and return its id."""
    held = max(1, round(len(rows) * settings.validation)) if len(rows) > 20 else 0
    files: dict[str, str] = {}
    for part, chosen in (("training_file", rows[held:]), ("validation_file", rows[:held])):
        if chosen:
            path = place.with_name(f"{place.name}.{part}.jsonl")
            write_rows(path, chosen)
            with path.open("rb") as file:
                files[part] = client.files.create(file=(path.name, file), purpose="fine-tune").id
    parameters: dict[str, Json] = {
        "n_epochs": max(1, round(settings.epochs)),
        "batch_size": settings.batch,
    }
    if settings.method == "dpo":
        parameters["beta"] = settings.beta
    kind = "dpo" if isinstance(rows[0], Preference) else "supervised"
    job = client.fine_tuning.jobs.create(
        model=model,
        seed=settings.seed,
        method={"type": kind, kind: {"hyperparameters": parameters}},  # type: ignore[arg-type]  # one of its shapes
        **files,  # type: ignore[arg-type]
    )
    return job.id


def followed(
    client: "openai.OpenAI",
    run: HostedRun,
    watch: Callable[[TuningProgress], None] | None,
    poll_s: float,
) -> HostedRun:
    """Wait until the job has ended, handing on what it tells."""
    seen, began = set[str](), time.monotonic()
    while True:
        job = client.fine_tuning.jobs.retrieve(run.job)
        for event in reversed(client.fine_tuning.jobs.list_events(run.job, limit=100).data):
            if event.id not in seen and watch and isinstance(event.data, dict):
                tell(watch, event.data)
            seen.add(event.id)
        if job.status in ENDED:
            break
        time.sleep(min(SLOWEST_POLL_S, poll_s + (time.monotonic() - began) / 50))
    if job.status != "succeeded" or job.fine_tuned_model is None:
        reason = job.error.message if job.error and job.error.message else "no reason was given"
        raise TuningError(f"the job {job.id} {job.status}: {reason}")
    seconds = float((job.finished_at or 0) - job.created_at) if job.finished_at else 0.0
    return HostedRun(
        job=job.id, model=job.fine_tuned_model, tokens=job.trained_tokens or 0, seconds=seconds
    )


def tell(watch: Callable[[TuningProgress], None], data: dict[str, Json]) -> None:
    step = data.get("step")
    if isinstance(step, int):
        watch(
            TuningProgress(
                step=step,
                steps=int(data.get("total_steps") or step),
                loss=data.get("train_loss"),
                validation_loss=data.get("valid_loss"),
            )
        )
