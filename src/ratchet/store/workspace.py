"""A workspace: a folder with `ratchet.toml`, `tasks/` and `.ratchet/` (database and files, never in git).

Settings come from `ratchet.toml`; `RATCHET_DATABASE` in the environment overrides the database URL. Keys are never here: an
endpoint names the environment variable that holds its key.
"""

import fcntl
import hashlib
import os
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Annotated, BinaryIO, Literal, get_args

import sqlalchemy as sa
import yaml
from pydantic import BaseModel, Field, ValidationError

from ratchet.core import Candidate, Effort, Record, Task
from ratchet.core.errors import (
    BusyError,
    CandidateError,
    StoreError,
    TaskError,
    UsageError,
    did_you_mean,
)
from ratchet.core.task import TASK_NAME
from ratchet.store.database import READS_ALONE, is_read_only, open_database
from ratchet.store.request_writer import take_over
from ratchet.store.unwritten import take_in_unwritten

__all__ = [
    "EndpointSettings",
    "NoticeSettings",
    "ServeSettings",
    "Settings",
    "Workspace",
    "create_workspace",
    "find_workspace",
    "write_text",
]

SETTINGS = """\
# Which models there are, and where trials are kept. Keys stay in the environment: an endpoint names the variable.

[models]
default = "local:nano"        # the student of a new task
# teacher = "openai/gpt-6.1-sol"

[endpoints.openai]
base_url = "https://api.openai.com/v1"
key_env = "OPENAI_API_KEY"
# concurrency = 64            # calls under way at once
# protocol = "responses"      # chat (the default), responses or messages (Anthropic's, the default at api.anthropic.com)
# models."my-model" = { temperature = false, efforts = ["low", "high"] }   # what a model takes, where nothing that is known says so
# price = { input = 0.40, output = 1.60, cached_input = 0.10, training = 3.00 }   # dollars a million tokens, where the built-in table has no price

# [endpoints.anthropic]
# base_url = "https://api.anthropic.com/v1"   # spoken to by Messages, Anthropic's own protocol
# key_env = "ANTHROPIC_API_KEY"

# [endpoints.mine]
# base_url = "http://127.0.0.1:8000/v1"

# [local]
# engine = "vllm"             # local models answer through vLLM, started where vllm_url names no server that runs
# vllm_url = "http://127.0.0.1:8000"
# vllm_args = ["--max-model-len", "8192"]
# weights = "float32"         # instead of "auto", which is bfloat16 where a model was saved in it and the processor is faster with it

# [search]
# server = "http://127.0.0.1:6333"   # Qdrant searches vectors, where knowledge outgrows this machine

# [tune]
# ask_above_usd = 1.0         # a fine-tune that would take more is asked about first
# ask_above_minutes = 60
# processes = 1               # so many train together, each on a GPU where there are some
# ray = "auto"                # spread over the machines of this Ray cluster; the workspace on storage that all of them see

# [serve]
# log = "durable"             # no reply ends before it is in the log; "fast" may lose the last twentieth of a second on a kill
# redact = ["secrets", "pii"] # blacked out in the log
# cache_s = 300               # the same request again gets the same reply
# fallbacks = { "openai/gpt-6.1-sol" = ["local:nano"] }

# [notice]                     # told when a fine-tuning job ends
# webhook = "https://example.org/hook"      # signed by the standard of webhooks; the secret is in a variable
# webhook_secret_env = "RATCHET_WEBHOOK_SECRET"
# email = "me@example.org"

[database]
# url = "postgresql+psycopg://user@host/ratchet"    # SQLite in .ratchet/ where this is not set
"""


class Price(Record):
    """Dollars a million tokens."""

    input: Annotated[float, Field(ge=0)]
    output: Annotated[float, Field(ge=0)]
    cached_input: Annotated[float, Field(ge=0)] | None = None
    """For each token of the prompt that is read from the provider's cache; None costs what `input` does."""
    cache_write: Annotated[float, Field(ge=0)] | None = None
    """For each token of the prompt that is written to it; None costs what `input` does."""
    training: Annotated[float, Field(ge=0)] | None = None
    """For each token of fine-tuning, counted once an epoch."""


class ModelCapabilities(Record):
    """What a model takes, where what is known of it is not so."""

    temperature: bool | None = None
    top_p: bool | None = None
    seed: bool | None = None
    logprobs: bool | None = None
    tools: bool | None = None
    reasoning: bool | None = None
    """Whether it thinks before it answers."""
    efforts: tuple[Effort, ...] | None = None
    structured: Literal["strict", "schema", "object", "none"] | None = None
    """How it can be made to answer in JSON: by a schema that it follows strictly, by a schema, as any object, not at all."""
    max_tokens_name: Literal["max_tokens", "max_completion_tokens"] | None = None
    tools_protocol: Literal["chat", "responses"] | None = None
    stop: bool | None = None
    penalties: bool | None = None
    images: bool | None = None
    stream_usage: bool | None = None
    default_effort: Effort | None = None
    sampling_needs_effort_none: bool | None = None
    tools_effort: Effort | None = None
    context_tokens: Annotated[int, Field(gt=0)] | None = None
    output_tokens: Annotated[int, Field(gt=0)] | None = None


class EndpointSettings(Record):
    """An endpoint: OpenAI-compatible, or one of the other protocols."""

    base_url: str
    protocol: Literal["chat", "responses", "messages"] | None = None
    """How it is spoken to; None is chat completions, and Messages at Anthropic's own address."""
    models: dict[str, ModelCapabilities] = {}
    """What some of its models take, by name."""
    key_env: str | None = None
    """The environment variable that holds the key; none where the endpoint needs no key."""
    concurrency: Annotated[int, Field(gt=0)] = 64
    timeout_s: Annotated[float, Field(gt=0)] = 120.0
    """The longest that one call may take, its retries included."""
    retries: Annotated[int, Field(ge=0)] = 5
    price: Price | None = None


class ModelSettings(Record):
    default: str = "local:nano"
    teacher: str | None = None


class LocalSettings(Record):
    """What runs the models of this machine."""

    engine: Literal["transformers", "vllm"] = "transformers"
    vllm_url: str | None = None
    """The address of a vLLM server that runs; without one a server is started for each model that is asked for."""
    vllm_args: tuple[str, ...] = ()
    """Further options of `vllm serve`."""
    weights: Literal["auto", "float32", "bfloat16"] = "auto"
    """What transformers' weights are held in to answer; auto is bfloat16 for models that were saved in it, where the processor
    multiplies it and the model gains by it."""
    load_timeout_s: Annotated[float, Field(gt=0)] = 600.0
    """How long a request waits for weights that are being loaded."""


class SearchSettings(Record):
    """Where vectors of knowledge bases are searched."""

    server: str | None = None
    """The URL of a Qdrant server, for knowledge that outgrows this machine; without one this machine searches."""
    key_env: str | None = None
    """The environment variable that holds the server's key."""


class DatabaseSettings(Record):
    url: str | None = None


class NoticeSettings(Record):
    """Who is told when long work is done."""

    webhook: str | None = None
    """An address that gets a signed POST."""
    webhook_secret_env: str | None = None
    """The environment variable that holds the secret of the signature."""
    email: str | None = None
    smtp: str = "localhost:25"
    sender: str = "ratchet@localhost"


class TuneSettings(Record):
    """What a fine-tune may take before it is asked about."""

    ask_above_usd: Annotated[float, Field(ge=0)] | None = 1.0
    ask_above_minutes: Annotated[float, Field(ge=0)] | None = 60.0
    processes: Annotated[int, Field(gt=0)] = 1
    """How many train together, each on a GPU where there are some."""
    ray: str | None = None
    """The address of a Ray cluster (auto, or host:port) that they are spread over; None is this machine."""


class ServeSettings(Record):
    """How the server behaves."""

    log: Literal["fast", "durable"] = "fast"
    """fast: a request is in a file before its reply ends, and in the log a moment later: a power cut loses the last moment, a kill nothing;
    durable: no reply ends before it is in the log."""
    redact: tuple[Literal["secrets", "pii"], ...] = ("secrets",)
    """What is blacked out before a request is logged."""
    cache_s: Annotated[float, Field(ge=0)] = 0.0
    """The same request again gets the same reply for so many seconds; 0 is never."""
    fallbacks: dict[str, tuple[str, ...]] = {}
    """Who answers when a model gives no reply, in order: only models that are named here ever stand in for another."""
    hosts: tuple[str, ...] = ()
    """Names under which the server answers beside localhost. Without any, a server that others can reach answers under every name."""
    header_timeout_s: Annotated[float, Field(gt=0)] = 10.0
    """How long a connection may take to send a request's headers."""
    body_timeout_s: Annotated[float, Field(gt=0)] = 30.0
    """How long a body may take; longer by what arrives at 10 KB a second."""
    write_timeout_s: Annotated[float, Field(gt=0)] = 60.0
    """How long a client may leave a reply unread."""
    max_connections: Annotated[int, Field(gt=0)] = 5000
    """Beyond so many the one that has been silent for the longest time is closed."""


class Settings(Record):
    """What `ratchet.toml` holds."""

    models: ModelSettings = ModelSettings()
    local: LocalSettings = LocalSettings()
    search: SearchSettings = SearchSettings()
    endpoints: dict[str, EndpointSettings] = {}
    database: DatabaseSettings = DatabaseSettings()
    notice: NoticeSettings = NoticeSettings()
    serve: ServeSettings = ServeSettings()
    tune: TuneSettings = TuneSettings()


class Workspace:
    """The files and the database of one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    @property
    def log_folder(self) -> Path:
        """Return the folder of requests that are not in the database: on their way there, or refused by it."""
        return self.files / "log"

    @property
    def files(self) -> Path:
        """Return the folder for large files: adapters, reports."""
        return self.root / ".ratchet"

    @property
    def adapters(self) -> Path:
        """Return the folder of LoRA adapters, one folder each."""
        return self.files / "adapters"

    @property
    def uploads(self) -> Path:
        """Return the folder of uploaded files."""
        return self.files / "files"

    @cached_property
    def settings(self) -> Settings:
        """Return what `ratchet.toml` says."""
        path = self.root / "ratchet.toml"
        try:
            return Settings.model_validate(tomllib.loads(path.read_text("utf-8")))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValidationError) as error:
            raise UsageError(f"{path}: {problems(error, Settings)}") from error

    @cached_property
    def database(self) -> sa.Engine:
        """Return the database, with its tables up to date, and what was left beside it by a killed server, and by runs that found no room."""
        url = os.environ.get("RATCHET_DATABASE") or self.settings.database.url
        if not url:
            with writable(self.files):
                self.files.mkdir(exist_ok=True)
            url = f"sqlite:///{self.files / 'ratchet.db'}"
        engine = open_database(url, folder=self.files)
        if not is_read_only(engine):
            take_over(engine, self.log_folder)
            take_in_unwritten(engine, self.files)
        return engine

    def check_writable(self) -> None:
        """Refuse work that writes where the workspace may only be read.

        Raises: StoreError if so.
        """
        with writable(self.files):
            self.files.mkdir(exist_ok=True)
        if not os.access(self.files, os.W_OK) or is_read_only(self.database):
            raise StoreError(f"cannot write in {self.files}. {READS_ALONE}")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the workspace for work that pays for answers; a second process is told so at once.

        Raises: BusyError if another process holds it.
        """
        self.check_writable()
        with writable(self.files):
            lock = (self.files / "lock").open("a+")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                lock.seek(0)
                raise BusyError(
                    f"another process ({lock.read().strip() or 'unknown'}) works on {self.root}: wait until it ends, or stop it; "
                    "reading commands (ladder, show, trials) work meanwhile"
                ) from error
            lock.truncate(0)
            lock.write(f"process {os.getpid()}")
            lock.flush()
            yield

    def task_path(self, name: str) -> Path:
        """Return where the task of that name is, or would be.

        Raises: TaskError if no task can have that name.
        """
        if not TASK_NAME.fullmatch(name):
            raise TaskError(
                f"a task's name is lower-case letters, digits, - and _, and begins with a letter or digit; got {name!r}"
            )
        return self.root / "tasks" / f"{name}.yaml"

    def task_names(self) -> list[str]:
        """Return the names of all tasks."""
        return sorted(path.stem for path in (self.root / "tasks").glob("*.yaml"))

    def load_task(self, name: str) -> Task:
        """Return a task from `tasks/`.

        Raises: TaskError if there is none of that name, or its file does not hold one.
        """
        path = self.task_path(name)
        if not path.is_file():
            known = self.task_names()
            listed = (
                f"there are: {', '.join(known)}.{did_you_mean(name, known)}"
                if known
                else "there is none yet; make one with: ratchet import FILE --task NAME"
            )
            raise TaskError(f"no task {name!r} in {path.parent}; {listed}")
        return load_task(path)

    def save_task(self, task: Task) -> Path:
        """Write a task's YAML file."""
        body = task.model_dump(mode="json", exclude_defaults=True)
        path = self.task_path(task.name)
        write_text(
            path, TASK_HEADER + yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=110)
        )
        return path


TASK_HEADER = """\
# A Ratchet task: edit it freely. instructions and inputs say what the model is told, answer which form it must have,
# metric how it is scored, splits how examples are divided (train, dev, test), margin how much loss still counts as none.
"""


def load_task(path: Path) -> Task:
    """Read a task from a YAML file."""
    body = read_yaml(path, TaskError)
    if "metric" not in body:
        raise TaskError(f"{path}: the task has no metric; add for example:\nmetric:\n  name: exact")
    try:
        task = Task.model_validate(body)
    except ValidationError as error:
        raise TaskError(f"{path}: {problems(error, Task)}") from error
    return with_check(task, path.parent.parent)


def with_check(task: Task, root: Path) -> Task:
    """Return a task that knows the content of its check: answers that were repaired by another one are others."""
    file = root / (task.answer.check or "").partition(":")[0]
    if task.answer.check is None or not file.is_file():
        return task
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    return task.model_copy(
        update={"answer": task.answer.model_copy(update={"check_digest": digest})}
    )


def load_candidate(path: Path, defaults: Mapping[str, object] | None = None) -> Candidate:
    """Read a candidate from a YAML file; parts that it leaves out come from `defaults`."""
    return candidate_of(read_yaml(path, CandidateError), path, defaults or {})


def candidate_of(
    body: Mapping[str, object], path: Path, defaults: Mapping[str, object]
) -> Candidate:
    """Return the candidate that the body of a file describes; parts that it leaves out come from `defaults`."""
    try:
        return Candidate.model_validate({**defaults, **body})
    except ValidationError as error:
        raise CandidateError(f"{path}: {problems(error, Candidate)}") from error


def candidate_text(candidate: Candidate) -> str:
    """Return a candidate as a YAML file that is read as the same one, whatever the task's defaults."""
    body = {
        **candidate.plain(),
        "system": candidate.system,
        "decoding": candidate.decoding.plain(),
        "note": candidate.note,
    }
    return str(yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=110))


class _UniqueKeyLoader(yaml.SafeLoader):
    """Reads YAML, and refuses a name that stands twice in one place: one of the two would count in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        """Return a mapping.

        Raises: YAMLError if a key is there twice.
        """
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else ""
            if name in seen and name != "<<":
                line = key.start_mark.line + 1
                raise yaml.YAMLError(f"{name[:80]!r} stands twice, the second time in line {line}")
            seen.add(name)
        return super().construct_mapping(node, deep=deep)


def read_yaml(path: Path, kind: type[TaskError]) -> dict[str, object]:
    try:
        body = yaml.load(path.read_text("utf-8"), Loader=_UniqueKeyLoader)  # noqa: S506 - derived from the safe loader
    except FileNotFoundError as error:
        raise kind(f"there is no file {path}") from error
    except (yaml.YAMLError, ValueError) as error:  # a number of thousands of digits is a ValueError
        raise kind(f"{path} is no YAML: {str(error)[:500]}") from error
    except RecursionError as error:
        raise kind(f"{path} is no YAML: it is nested too deep") from error
    if not isinstance(body, dict):
        raise kind(f"{path}: expected names and values, got {type(body).__name__}")
    return body


def problems(error: Exception, record: type[BaseModel]) -> str:
    """Return the problems of a record in one line, each with its place; an unknown name is told with those that there are.

    Args:
        error: What reading or checking it raised.
        record: The class that it should be one of.
    """
    if not isinstance(error, ValidationError):
        return str(error)
    sentences = []
    for item in error.errors(include_url=False):
        place = ".".join(str(part) for part in item["loc"])
        message = item["msg"]
        if item["type"] == "extra_forbidden":
            message = _explain_unknown(item["loc"], record)
        sentences.append(f"{place}: {message}" if place else message)
    return "; ".join(sentences)


def _explain_unknown(place: tuple[int | str, ...], record: type[BaseModel]) -> str:
    """Return what is said of a name that no field has, with the names that there are."""
    holder: type[BaseModel] | None = record
    for part in place[:-1]:
        field = holder.model_fields.get(str(part)) if holder else None
        if field is not None:
            holder = _record_in(field.annotation)
        # else the name of an entry in a table of records, such as an endpoint's
    names = sorted(holder.model_fields) if holder else []
    listed = f"; there are {', '.join(names)}." if names else "."
    return f"there is no field of this name{listed}{did_you_mean(str(place[-1]), names)}"


def _record_in(annotation: object) -> type[BaseModel] | None:
    """Return the first record that an annotation names, itself or within a list, a table or a choice."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_record_in(argument) for argument in get_args(annotation))
    return next((found for found in inner if found is not None), None)


def create_workspace(root: Path) -> Workspace:
    """Make a workspace in `root`; files that are there stay as they are."""
    with writable(root):
        (root / "tasks").mkdir(parents=True, exist_ok=True)
        (root / ".ratchet").mkdir(exist_ok=True)
        for path, text in ((root / "ratchet.toml", SETTINGS), (root / ".gitignore", ".ratchet/\n")):
            if not path.exists():
                write_text(path, text)
    return Workspace(root)


def find_workspace(start: Path) -> Workspace:
    """Return the workspace that `start` is in.

    Raises: UsageError if neither the folder nor one above it has a `ratchet.toml`.
    """
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / "ratchet.toml").is_file():
            return Workspace(folder)
    raise UsageError(
        f"{start.resolve()} is in no workspace (no ratchet.toml here or above); make one with: ratchet init"
    )


@contextmanager
def writable(path: Path) -> Iterator[None]:
    """Turn an operating-system error into a StoreError that names the place and the remedy."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror or error}. Free space, or check that you may write there."
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as file:
        file.write(content)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write, which takes the path's place once the block ends well."""
    with writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            with beside.open("wb") as file:
                yield file
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
