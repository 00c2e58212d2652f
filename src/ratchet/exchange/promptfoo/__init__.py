"""promptfoo's suites: a configuration as a task, and a candidate as a configuration.

What has no equal is named where it stands, and the rest comes in.
"""

from ratchet.exchange.promptfoo.export import promptfoo_files
from ratchet.exchange.promptfoo.suite import Suite, read_suite

__all__ = ["Suite", "promptfoo_files", "read_suite"]
