"""Long work that survives a crash: a thin layer over functions that run without it."""

from ratchet.jobs.tuning import run_tuning

__all__ = ["run_tuning"]
