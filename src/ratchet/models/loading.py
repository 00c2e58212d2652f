"""Loading weights: one model at a time.

transformers builds a model without memory first, by a switch that all threads share: a model that another thread builds meanwhile may be
left without its weights ("Cannot copy out of meta tensor").
"""

import threading

__all__ = ["LOADING"]

LOADING = threading.Lock()
"""Held by whoever calls `from_pretrained` for a model."""
