from pathlib import Path

from ratchet.jobs.queue import work

work(Path())
