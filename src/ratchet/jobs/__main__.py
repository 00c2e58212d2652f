import sys
from pathlib import Path

from ratchet.jobs.queue import work

work(Path(), parent=int(sys.argv[1]) if len(sys.argv) > 1 else None)
