"""The database and the files of a workspace."""

from ratchet.store.database import open_database, open_passing_database
from ratchet.store.datasets import (
    Dataset,
    add_dataset,
    browse_examples,
    example_ids,
    latest_dataset,
    load_datasets,
    load_examples,
    stream_examples,
)
from ratchet.store.diagnoses import add_diagnosis, load_diagnoses
from ratchet.store.grades import add_grades, load_grades
from ratchet.store.history import add_command, load_commands
from ratchet.store.openings import add_opening, load_openings
from ratchet.store.races import race_start
from ratchet.store.releases import add_release, load_releases
from ratchet.store.steps import (
    add_step,
    clear_steps,
    finish_step,
    load_step_times,
    load_steps,
)
from ratchet.store.trials import (
    candidates_labelled,
    candidates_with_id,
    find_candidate,
    keep_candidate,
    load_trials,
    measured_candidates,
    read_trials,
)
from ratchet.store.workspace import (
    EndpointSettings,
    LocalSettings,
    NoticeSettings,
    SearchSettings,
    ServeSettings,
    Settings,
    TuneSettings,
    Workspace,
    candidate_of,
    candidate_text,
    create_workspace,
    find_workspace,
    load_candidate,
    load_task,
    read_yaml,
    write_bytes,
    write_text,
)
from ratchet.store.writer import TrialWriter

__all__ = [
    "Dataset",
    "EndpointSettings",
    "LocalSettings",
    "NoticeSettings",
    "SearchSettings",
    "ServeSettings",
    "Settings",
    "TrialWriter",
    "TuneSettings",
    "Workspace",
    "add_command",
    "add_dataset",
    "add_diagnosis",
    "add_grades",
    "add_opening",
    "add_release",
    "add_step",
    "browse_examples",
    "candidate_of",
    "candidate_text",
    "candidates_labelled",
    "candidates_with_id",
    "clear_steps",
    "create_workspace",
    "example_ids",
    "find_candidate",
    "find_workspace",
    "finish_step",
    "keep_candidate",
    "latest_dataset",
    "load_candidate",
    "load_commands",
    "load_datasets",
    "load_diagnoses",
    "load_examples",
    "load_grades",
    "load_openings",
    "load_releases",
    "load_step_times",
    "load_steps",
    "load_task",
    "load_trials",
    "measured_candidates",
    "open_database",
    "open_passing_database",
    "race_start",
    "read_trials",
    "read_yaml",
    "stream_examples",
    "write_bytes",
    "write_text",
]
