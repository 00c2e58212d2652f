#!/usr/bin/env bash
# genai-prices prices a call of OpenAI's /v1/decisions as a chat call: its own provider for them
# is never reached by address.
# Expected: the provider `openai-decisions`, which the data has, is chosen by the address that
# decisions are asked at.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check genai-prices==0.2.3

"$folder/venv/bin/python" - <<'PYTHON'
from genai_prices import Usage, __version__, calc_price

MODEL, ADDRESS = "gpt-6-luna", "https://api.openai.com/v1/decisions"
usage = Usage(input_tokens=100_000, cache_read_tokens=90_000, output_tokens=1_000)
by_address = calc_price(usage, MODEL, provider_api_url=ADDRESS)
by_id = calc_price(usage, MODEL, provider_id="openai-decisions")

print("genai-prices", __version__)
print(f"One call of {MODEL}, 100k tokens in (90k of them cached), 1k out, asked at {ADDRESS}:")
for how, price in (("by address", by_address), ("by provider id", by_id)):
    print(f"  {how}: provider {price.provider.id!r}, input ${price.input_price}, "
          f"output ${price.output_price}, total ${price.total_price}")
if by_address.provider.id != "openai" or by_id.provider.id != "openai-decisions":
    raise SystemExit("changed: another provider is chosen")
if by_address.total_price >= by_id.total_price:
    raise SystemExit("changed: the price by address is not too low")
PYTHON
