"""The tables of the database.

    datasets     one row a version: an immutable list of examples of a task; below 0 while it is written
    examples     inputs and reference, by content id, with the split that a dataset gave them
    candidates   the plain data of every candidate that was ever measured
    trials       one row an answer: (candidate, task form, example, repeat); paid for once, never changed
    scores       what a metric said of an answer: the same key, and the metric; a new metric adds rows, pays nothing
    steps        the rungs of each task's ladder, with their verdicts
    openings     who looked at a test split when, for which champion, and what it showed
    races        which answers were there when a race began, so that a race that is run again goes the same way
    grades       what people said of answers: the key of the trial, and who
    releases     which candidate is served under a name, each promotion a row
    requests     what passed through the gateway: one row a request, its body apart
    bodies       requests and replies, compressed
    feedback     what was said of replies afterwards
    keys         who may ask the gateway: the hash of each key, never the key
    files        what was uploaded, by name and hash; the content lies in `files/` beside the database
    jobs         fine-tuning jobs: what was asked, how it stands, what came out
    job_events   what happened in a job, in order
    adapters     LoRA adapters that have a name, and the folder of each
    knowledge    one row a version of a knowledge base
    passages     pieces of documents, by content id; what did not change is stored once, and embedded once
    knowledge_passages  the passages of a version, in order
    capabilities what models turned out to take, where an endpoint said so itself
    vectors      what a passage means, as a model of embeddings says it

Values that are records are JSON text, written by us, so that both databases hold the same bytes. Migrations under
`migrations/versions` are numbered, append-only and never edited.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

__all__ = [
    "adapters",
    "bodies",
    "candidates",
    "capabilities",
    "choices",
    "datasets",
    "diagnoses",
    "edits",
    "examples",
    "feedback",
    "files",
    "grades",
    "job_events",
    "jobs",
    "keys",
    "metadata",
    "openings",
    "people",
    "races",
    "releases",
    "requests",
    "runs",
    "scores",
    "steps",
    "trials",
]

metadata = MetaData()

datasets = Table(
    "datasets",
    metadata,
    Column("id", String(20), primary_key=True),
    Column("task", String(200), nullable=False, index=True),
    Column("version", Integer, nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("source", Text, nullable=False),
    Column("rows", Integer, nullable=False),
    Index("datasets_by_version", "task", "version", unique=True),
)

examples = Table(
    "examples",
    metadata,
    Column(
        "dataset_id", String(20), ForeignKey("datasets.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("position", Integer, primary_key=True),
    Column("example_id", String(20), nullable=False),
    Column("split", String(5), nullable=False),
    Column("body", Text, nullable=False),
    Index("examples_by_split", "dataset_id", "split", "position"),
)

candidates = Table(
    "candidates",
    metadata,
    Column("id", String(20), primary_key=True),
    Column("created_at", String(32), nullable=False),
    Column("note", Text, nullable=False),
    Column("body", Text, nullable=False),
)

trials = Table(
    "trials",
    metadata,
    Column("candidate_id", String(20), primary_key=True),
    Column("task_id", String(20), primary_key=True),
    Column("example_id", String(20), primary_key=True),
    Column("repeat", Integer, primary_key=True),
    Column("output", Text, nullable=False),
    Column("answer", Text),
    Column("failure", String(20)),
    Column("prompt_tokens", Integer, nullable=False),
    Column("completion_tokens", Integer, nullable=False),
    Column("cost_usd", Float),
    Column("latency_s", Float, nullable=False),
    Column("passages", Text),
    Column("cached_tokens", Integer),
    Column("cache_write_tokens", Integer),
    Column("reasoning_tokens", Integer),
    Column("sent", Text),
    Column("probabilities", Text),
)

scores = Table(
    "scores",
    metadata,
    Column("candidate_id", String(20), primary_key=True),
    Column("task_id", String(20), primary_key=True),
    Column("example_id", String(20), primary_key=True),
    Column("repeat", Integer, primary_key=True),
    Column("metric_id", String(20), primary_key=True),
    Column("value", Float, nullable=False),
    Column("parts", Text, nullable=False),
    Column("feedback", Text, nullable=False),
)

steps = Table(
    "steps",
    metadata,
    Column("task", String(200), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("created_at", String(32), nullable=False),
    Column("body", Text, nullable=False),
)

diagnoses = Table(
    "diagnoses",
    metadata,
    Column("task", String(200), primary_key=True),
    Column("candidate_id", String(20), primary_key=True),
    Column("created_at", String(32), nullable=False),
    Column("body", Text, nullable=False),
)

openings = Table(
    "openings",
    metadata,
    Column("dataset_id", String(20), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("task", String(200), nullable=False),
    Column("candidate_id", String(20), nullable=False),
    Column("body", Text, nullable=False),
)

races = Table(
    "races",
    metadata,
    Column("id", String(20), primary_key=True),
    Column("task", String(200), nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("known", Text, nullable=False),
)

grades = Table(
    "grades",
    metadata,
    Column("candidate_id", String(20), primary_key=True),
    Column("task_id", String(20), primary_key=True),
    Column("example_id", String(20), primary_key=True),
    Column("repeat", Integer, primary_key=True),
    Column("who", String(200), primary_key=True),
    Column("value", Float, nullable=False),
    Column("grade", Text, nullable=False),
    Column("at", String(32), nullable=False),
)

releases = Table(
    "releases",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("at", String(32), nullable=False),
    Column("body", Text, nullable=False),
)

requests = Table(
    "requests",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("at", Float, nullable=False, index=True),
    Column("model", String(200), nullable=False, index=True),
    Column("candidate_id", String(20)),
    Column("status", Integer, nullable=False),
    Column("problem", Text),
    Column("streamed", Boolean, nullable=False),
    Column("end_user", String(200)),
    Column("prompt_tokens", Integer, nullable=False),
    Column("completion_tokens", Integer, nullable=False),
    Column("cost_usd", Float),
    Column("latency_s", Float, nullable=False),
    Column("key", String(200)),
)

bodies = Table(
    "bodies",
    metadata,
    Column("request_id", String(40), primary_key=True),
    Column("body", LargeBinary, nullable=False),
)

feedback = Table(
    "feedback",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("request_id", String(40), nullable=False, index=True),
    Column("at", Float, nullable=False),
    Column("body", Text, nullable=False),
)

keys = Table(
    "keys",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("scopes", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("revoked_at", Float),
    Column("requests_a_minute", Float),
    Column("usd_a_day", Float),
)

files = Table(
    "files",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("at", Float, nullable=False),
    Column("name", String(300), nullable=False),
    Column("purpose", String(40), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("at", Float, nullable=False),
    Column("status", String(20), nullable=False),
    Column("runs", Integer, nullable=False),
    Column("finished_at", Float),
    Column("asked", Text, nullable=False),
    Column("outcome", Text),
)

job_events = Table(
    "job_events",
    metadata,
    Column("job_id", String(40), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("level", String(10), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("message", Text, nullable=False),
    Column("data", Text, nullable=False),
)

adapters = Table(
    "adapters",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("adapter", String(80), nullable=False),
    Column("base", String(200), nullable=False),
    Column("at", Float, nullable=False),
    Column("source", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
)

knowledge = Table(
    "knowledge",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("id", String(20), nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("body", Text, nullable=False),
)

passages = Table(
    "passages",
    metadata,
    Column("id", String(20), primary_key=True),
    Column("body", Text, nullable=False),
)

knowledge_passages = Table(
    "knowledge_passages",
    metadata,
    Column("knowledge_id", String(20), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("passage_id", String(20), nullable=False),
)

vectors = Table(
    "vectors",
    metadata,
    Column("passage_id", String(20), primary_key=True),
    Column("embedding", String(200), primary_key=True),
    Column("vector", LargeBinary, nullable=False),
)

people = Table(
    "people",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("role", String(10), nullable=False),
    Column("digest", Text, nullable=False),
    Column("created_at", Float, nullable=False),
)

capabilities = Table(
    "capabilities",
    metadata,
    Column("base_url", String(400), primary_key=True),
    Column("model", String(400), primary_key=True),
    Column("field", String(40), primary_key=True),
    Column("value", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("learned_at", String(32), nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", String(20), primary_key=True),
    Column("task", String(200), nullable=False, index=True),
    Column("words", Text, nullable=False),
    Column("who", String(200), nullable=False),
    Column("state", String(12), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("ended_at", Float),
    Column("pid", Integer),
    Column("code", Integer),
    Column("place", String(400), nullable=False),
)

choices = Table(
    "choices",
    metadata,
    Column("task_id", String(20), primary_key=True),
    Column("example_id", String(20), primary_key=True),
    Column("first", String(20), primary_key=True),
    Column("second", String(20), primary_key=True),
    Column("who", String(200), primary_key=True),
    Column("result", Float, nullable=False),
    Column("at", Float, nullable=False),
)

edits = Table(
    "edits",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("task", String(200), nullable=False, index=True),
    Column("example_id", String(20), nullable=False),
    Column("what", String(12), nullable=False),
    Column("who", String(200), nullable=False),
    Column("at", Float, nullable=False),
    Column("body", Text, nullable=False),
    Column("version", Integer),
    sqlite_autoincrement=True,  # a number is never given twice
)
