"""Files, fine-tuning jobs and adapters, in the shapes of OpenAI's API; chat passes beside it (`app`).

Nothing is trained here: a job is put into the queue, and a worker takes it from there.
"""

import logging
from collections.abc import Callable, Iterator
from tempfile import TemporaryFile
from typing import IO, Annotated, Any, BinaryIO, Literal, Protocol

from fastapi import FastAPI, File, Form, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from ratchet.core import Json
from ratchet.core.errors import DataError, RatchetError, StoreError, TuningError, UsageError
from ratchet.gateway.shapes import Problem, problem_of
from ratchet.jobs.adapters import add_adapter, remove_adapter
from ratchet.jobs.arriving import LARGEST as LARGEST_ADAPTER
from ratchet.jobs.arriving import fetched, unpacked
from ratchet.jobs.leaving import pack
from ratchet.jobs.tuning import base_of, checkpoints_of, name_of, settings_of, shown_settings
from ratchet.store import Workspace
from ratchet.store.adapters import NamedAdapter, find_adapter, list_adapters
from ratchet.store.jobs import (
    Job,
    JobEvent,
    add_event,
    add_job,
    change_job,
    find_job,
    job_events_of,
    list_jobs,
)
from ratchet.store.uploads import Upload, delete_file, find_file, keep_file, list_files
from ratchet.tuning import read_rows
from ratchet.tuning.format import Fault

__all__ = ["JobQueue", "platform_app"]

LARGEST = 512 * 2**20
"""Bytes of an uploaded file."""
PART = 2**20
PURPOSES = ("fine-tune", "batch", "evals", "user_data", "assistants")
PAGE = 20
log = logging.getLogger("ratchet.gateway")


class JobQueue(Protocol):
    """What takes jobs to where they are run."""

    def put(self, job_id: str, run: int) -> None:
        """Put a job in."""
        ...


class JobAsked(BaseModel):
    """The body of a request for a fine-tuning job."""

    model_config = ConfigDict(extra="forbid")
    model: str
    training_file: str
    validation_file: str | None = None
    hyperparameters: dict[str, Json] | None = None
    method: dict[str, Json] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    suffix: (
        Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")] | None
    ) = None
    metadata: dict[str, str] | None = None
    integrations: list[Json] | None = None


def platform_app(workspace: Workspace, queue: JobQueue) -> FastAPI:
    """Return the application.

    Args:
        workspace: Where files, jobs and adapters are kept.
        queue: Where jobs go to be run.
    """
    app = FastAPI(title="Ratchet", docs_url=None, redoc_url=None, openapi_url=None)
    _Files(workspace).add_to(app)
    _Jobs(workspace, queue).add_to(app)
    _Models(workspace).add_to(app)
    app.add_exception_handler(Exception, told)
    for kind in (Problem, RatchetError, OSError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, told)
    return app


async def told(_request: Request, error: Exception) -> Response:
    """Return an error in OpenAI's shape."""
    problem = problem_in(error)
    if problem.status == 500:
        log.error("request failed", exc_info=error)
    return Response(problem.body(), problem.status, media_type="application/json")


def problem_in(error: Exception) -> Problem:
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body")
        return Problem(400, f"{where or 'the body'}: {first['msg']}", param=where or None)
    if isinstance(error, HTTPException):
        return Problem(error.status_code, str(error.detail))
    if isinstance(error, DataError | TuningError | UsageError):
        return Problem(400, str(error))
    if isinstance(error, StoreError | OSError):
        return Problem(507, f"the server cannot store it: {error}", kind="server_error")
    return problem_of(error)


def page_of(
    items: list[Any], shown: Callable[[Any], dict[str, Json]], after: str | None, limit: int
) -> dict[str, Json]:
    """Return a page of a list, as cursors of the API have it."""
    rows = [shown(item) for item in items]
    if after is not None:
        place = next((k for k, row in enumerate(rows) if row["id"] == after), None)
        if place is None:
            raise Problem(404, f"there is no {after!r} in this list to go on from", param="after")
        rows = rows[place + 1 :]
    cut = rows[:limit]
    return {
        "object": "list",
        "data": cut,
        "first_id": cut[0]["id"] if cut else None,
        "last_id": cut[-1]["id"] if cut else None,
        "has_more": len(rows) > len(cut),
    }


Limit = Annotated[int, Field(ge=1, le=10_000)]


class _Files:
    """`/v1/files`."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace, self._engine = workspace, workspace.database

    def add_to(self, app: FastAPI) -> None:
        app.post("/v1/files")(self.upload)
        app.get("/v1/files")(self.list)
        app.get("/v1/files/{file_id}")(self.show)
        app.get("/v1/files/{file_id}/content")(self.content)
        app.delete("/v1/files/{file_id}")(self.delete)

    def upload(
        self, file: Annotated[UploadFile, File()], purpose: Annotated[str, Form()]
    ) -> dict[str, Json]:
        if purpose not in PURPOSES:
            raise Problem(
                400,
                f"'purpose' must be one of {', '.join(PURPOSES)}, not {purpose!r}",
                param="purpose",
            )
        if purpose == "fine-tune":
            first_fault(file.file)
        kept = keep_file(
            self._engine,
            self._workspace.uploads,
            parts_of(file.file),
            name=file.filename or "upload",
            purpose=purpose,
            largest=LARGEST,
        )
        return shown_file(kept)

    def list(
        self,
        purpose: str | None = None,
        after: str | None = None,
        limit: Limit = 10_000,
        order: Literal["asc", "desc"] = "desc",
    ) -> dict[str, Json]:
        found = list_files(self._engine, purpose=purpose)
        return page_of(found if order == "desc" else found[::-1], shown_file, after, limit)

    def show(self, file_id: str) -> dict[str, Json]:
        return shown_file(self._found(file_id))

    def content(self, file_id: str) -> FileResponse:
        found = self._found(file_id)
        return FileResponse(
            self._workspace.uploads / found.id, media_type="application/octet-stream"
        )

    def delete(self, file_id: str) -> dict[str, Json]:
        delete_file(self._engine, self._workspace.uploads, self._found(file_id).id)
        return {"id": file_id, "object": "file", "deleted": True}

    def _found(self, file_id: str) -> Upload:
        found = find_file(self._engine, file_id)
        if found is None:
            raise Problem(404, f"there is no file {file_id!r}", param="file_id", code="not_found")
        return found


def first_fault(file: BinaryIO) -> None:
    """Look at the first line: a file that is no training file at all is refused at once; the rest is read by the job."""
    kinds: tuple[Literal["supervised", "dpo"], ...] = ("supervised", "dpo")
    firsts = []
    for kind in kinds:
        file.seek(0)
        firsts.append(next((row for _, row in read_rows(file, kind)), None))
    file.seek(0)
    faults = [row for row in firsts if isinstance(row, Fault)]
    if firsts[0] is None:
        raise Problem(400, "the file holds no rows", param="file")
    if len(faults) == len(kinds):
        raise Problem(
            400,
            f"the file is no training file: {faults[0]}",
            param="file",
            code="invalid_file_format",
        )


def parts_of(file: BinaryIO | IO[bytes]) -> Iterator[bytes]:
    while part := file.read(PART):
        yield part


def sent(file: IO[bytes]) -> Iterator[bytes]:
    """Yield a file from its start, and close it."""
    with file:
        file.seek(0)
        yield from parts_of(file)


def shown_file(file: Upload) -> dict[str, Json]:
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": int(file.at),
        "filename": file.name,
        "purpose": file.purpose,
        "status": "processed",
    }


class _Jobs:
    """`/v1/fine_tuning/jobs`."""

    def __init__(self, workspace: Workspace, queue: JobQueue) -> None:
        self._workspace, self._engine, self._queue = workspace, workspace.database, queue

    def add_to(self, app: FastAPI) -> None:
        app.post("/v1/fine_tuning/jobs")(self.create)
        app.get("/v1/fine_tuning/jobs")(self.list)
        app.get("/v1/fine_tuning/jobs/{job_id}")(self.show)
        app.get("/v1/fine_tuning/jobs/{job_id}/events")(self.events)
        app.get("/v1/fine_tuning/jobs/{job_id}/checkpoints")(self.checkpoints)
        app.post("/v1/fine_tuning/jobs/{job_id}/cancel")(self.cancel)
        app.post("/v1/fine_tuning/jobs/{job_id}/pause")(self.pause)
        app.post("/v1/fine_tuning/jobs/{job_id}/resume")(self.resume)

    def create(self, asked: JobAsked) -> dict[str, Json]:
        if asked.integrations:
            raise Problem(
                400,
                "'integrations' are not supported by this server; leave them out",
                param="integrations",
            )
        body = asked.model_dump(exclude_none=True)
        for name in ("training_file", "validation_file"):
            if name in body:
                self._check_file(body[name], name)
        base_of(self._engine, self._workspace.root, asked.model)
        settings_of(body)
        job = add_job(self._engine, body)
        add_event(self._engine, job.id, f"Created fine-tuning job: {job.id}")
        self._queue.put(job.id, job.runs)
        change_job(self._engine, job.id, "queued", only=("validating_files",))
        return self.show(job.id)

    def _check_file(self, file_id: str, param: str) -> None:
        found = find_file(self._engine, file_id)
        if found is None:
            raise Problem(
                400,
                f"there is no file {file_id!r}; upload it first",
                param=param,
                code="file_not_found",
            )
        if found.purpose != "fine-tune":
            raise Problem(
                400,
                f"the file {file_id!r} was uploaded for {found.purpose!r}; upload it with the purpose 'fine-tune'",
                param=param,
                code="invalid_file_purpose",
            )

    def list(
        self, request: Request, after: str | None = None, limit: Limit = PAGE
    ) -> dict[str, Json]:
        jobs = list_jobs(self._engine)
        if request.query_params.get("metadata") == "null":  # the SDK's word for: without any
            jobs = [job for job in jobs if not job.asked.get("metadata")]
        for name, value in request.query_params.items():
            if name.startswith("metadata[") and name.endswith("]"):
                key = name.removeprefix("metadata[").removesuffix("]")
                jobs = [job for job in jobs if (job.asked.get("metadata") or {}).get(key) == value]
        return page_of(jobs, self._shown, after, limit)

    def show(self, job_id: str) -> dict[str, Json]:
        return self._shown(self._found(job_id))

    def events(self, job_id: str, after: str | None = None, limit: Limit = PAGE) -> dict[str, Json]:
        self._found(job_id)
        return page_of(job_events_of(self._engine, job_id), shown_event, after, limit)

    def checkpoints(
        self, job_id: str, after: str | None = None, limit: Limit = 10
    ) -> dict[str, Json]:
        job = self._found(job_id)
        base, _ = base_of(self._engine, self._workspace.root, job.asked["model"])
        kept = checkpoints_of(self._engine, name_of(job, base))
        return page_of(kept, lambda one: shown_checkpoint(job, one), after, limit)

    def cancel(self, job_id: str) -> dict[str, Json]:
        return self._turn(
            job_id, "cancelled", "cancelled", "validating_files", "queued", "running", "paused"
        )

    def pause(self, job_id: str) -> dict[str, Json]:
        return self._turn(job_id, "paused", "paused", "validating_files", "queued", "running")

    def resume(self, job_id: str) -> dict[str, Json]:
        job = self._found(job_id)
        if not change_job(self._engine, job_id, "queued", only=("paused",), again=True):
            raise Problem(
                400,
                f"the job is {job.status}, and only a paused one can be resumed",
                code="invalid_state",
            )
        add_event(self._engine, job_id, "The job was resumed")
        self._queue.put(job_id, job.runs + 1)
        return self.show(job_id)

    def _turn(
        self, job_id: str, to: Literal["cancelled", "paused"], word: str, *where: str
    ) -> dict[str, Json]:
        job = self._found(job_id)
        if job.status not in where or not change_job(self._engine, job_id, to):
            raise Problem(
                400, f"the job is {job.status}, and cannot be {word} any more", code="invalid_state"
            )
        add_event(self._engine, job_id, f"The job was {word}")
        return self.show(job_id)

    def _found(self, job_id: str) -> Job:
        found = find_job(self._engine, job_id)
        if found is None:
            raise Problem(
                404, f"there is no fine-tuning job {job_id!r}", param="job_id", code="not_found"
            )
        return found

    def _shown(self, job: Job) -> dict[str, Json]:
        asked, settings = job.asked, shown_settings(job.asked)
        kind = (asked.get("method") or {}).get("type", "supervised")
        return {
            "id": job.id,
            "object": "fine_tuning.job",
            "created_at": int(job.at),
            "finished_at": int(job.finished_at) if job.finished_at else None,
            "model": asked["model"],
            "fine_tuned_model": job.outcome.get("fine_tuned_model"),
            "status": job.status,
            "training_file": asked["training_file"],
            "validation_file": asked.get("validation_file"),
            "hyperparameters": settings,
            "method": {"type": kind, kind: {"hyperparameters": settings}},
            "organization_id": "ratchet",
            "result_files": job.outcome.get("result_files", []),
            "trained_tokens": job.outcome.get("trained_tokens"),
            "error": job.outcome.get("error"),
            "seed": asked.get("seed") or 0,
            "estimated_finish": None,
            "integrations": [],
            "metadata": asked.get("metadata"),
            "user_provided_suffix": asked.get("suffix"),
        }


def shown_event(event: JobEvent) -> dict[str, Json]:
    return {
        "id": f"ftevent-{event.job_id.removeprefix('ftjob-')}-{event.number}",
        "object": "fine_tuning.job.event",
        "created_at": int(event.at),
        "level": event.level,
        "message": event.message,
        "type": event.kind,
        "data": event.data,
    }


def shown_checkpoint(job: Job, kept: NamedAdapter) -> dict[str, Json]:
    _, _, step, _, loss = kept.source.split()
    return {
        "id": f"ftckpt-{job.id.removeprefix('ftjob-')}-{step}",
        "object": "fine_tuning.job.checkpoint",
        "created_at": int(kept.at),
        "fine_tuned_model_checkpoint": kept.name,
        "fine_tuning_job_id": job.id,
        "step_number": int(step),
        "metrics": {"step": float(step), "valid_loss": float(loss)},
    }


def shown_adapter(one: NamedAdapter) -> dict[str, Json]:
    return {
        "id": one.name,
        "object": "adapter",
        "base": one.base,
        "bytes": one.bytes,
        "created_at": int(one.at),
        "source": one.source,
    }


class AdapterAsked(BaseModel):
    """The body of a request to take an adapter from an address."""

    model_config = ConfigDict(extra="forbid")
    name: str
    url: str
    base: str = "local:nano"


class _Models:
    """`/v1/adapters`, and `DELETE /v1/models/…`: only fine-tunes can be deleted."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace, self._engine = workspace, workspace.database

    def add_to(self, app: FastAPI) -> None:
        app.delete("/v1/models/{name:path}")(self.delete)
        app.get("/v1/adapters")(self.list)
        app.post("/v1/adapters")(self.upload)
        app.post("/v1/adapters/fetch")(self.fetch)
        app.get("/v1/adapters/{name}/content")(self.content)
        app.delete("/v1/adapters/{name}")(self.delete)

    def list(self) -> dict[str, Json]:
        return {
            "object": "list",
            "data": [shown_adapter(one) for one in list_adapters(self._engine)],
        }

    def upload(
        self,
        file: Annotated[UploadFile, File()],
        name: Annotated[str, Form()],
        base: Annotated[str, Form()] = "local:nano",
    ) -> dict[str, Json]:
        if (file.size or 0) > LARGEST_ADAPTER:
            raise Problem(
                413, f"the file is larger than {LARGEST_ADAPTER // 2**20} MB", param="file"
            )
        named = file.filename or "the file"
        with unpacked(file.file, named, self._workspace.adapters) as folder:
            made = add_adapter(self._workspace, name, base, folder, source=f"upload {named}")
        return shown_adapter(made)

    def fetch(self, asked: AdapterAsked) -> dict[str, Json]:
        with fetched(asked.url, self._workspace.adapters) as folder:
            made = add_adapter(self._workspace, asked.name, asked.base, folder, source=asked.url)
        return shown_adapter(made)

    def content(self, name: str) -> StreamingResponse:
        self._found(name)
        file = TemporaryFile(dir=self._workspace.adapters)  # noqa: SIM115 - closed, and gone, once it is sent
        try:
            pack(self._workspace, name, file)
        except BaseException:
            file.close()
            raise
        size = {"content-length": str(file.tell())}
        return StreamingResponse(sent(file), media_type="application/gzip", headers=size)

    def delete(self, name: str) -> dict[str, Json]:
        self._found(name)
        remove_adapter(self._workspace, name)
        return {"id": name, "object": "model", "deleted": True}

    def _found(self, name: str) -> NamedAdapter:
        found = find_adapter(self._engine, name)
        if found is None:
            raise Problem(
                404, f"there is no fine-tune {name!r}", param="model", code="model_not_found"
            )
        return found
