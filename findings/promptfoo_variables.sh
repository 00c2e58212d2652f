#!/usr/bin/env bash
# promptfoo sends a YAML date as "[object Object]", and nothing of `vars: file://…`; a prompt that
# ends in 19.99 is a file name.
# Expected: the date as it is written; the file's values, as `vars: values.yaml` gives them; a
# prompt that is a sentence.
# Installs about 700 npm packages.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export PROMPTFOO_CONFIG_DIR="$folder/home" PROMPTFOO_DISABLE_TELEMETRY=1 PROMPTFOO_DISABLE_UPDATE=1
npm install --silent --no-audit --no-fund --prefix "$folder" promptfoo@0.121.20
promptfoo() { "$folder/node_modules/.bin/promptfoo" "$@"; }
evaluate() {
  promptfoo eval -c "$1" -o "${1%.yaml}.json" --no-cache --no-table --no-progress-bar >"$1.log" 2>&1
}

printf 'city: Oslo\n' >values.yaml
cat >variables.yaml <<'YAML'
prompts: ["Weather in {{city}} on {{day}}?"]
providers: [echo]
tests:
  - vars: {city: Oslo, day: 2026-12-01}
  - vars: {city: Oslo, day: "2026-12-01"}
  - vars: file://values.yaml
  - vars: values.yaml
YAML
configure() { printf 'prompts: ["%s"]\nproviders: [echo]\ntests: [{vars: {x: 1}}]\n' "$1"; }
configure "Add 5 % to 19.99" >price.yaml
configure "Add 5 % to 19.99, please" >sentence.yaml

evaluate variables.yaml
echo "promptfoo $(promptfoo --version)"
echo "Sent for an unquoted date, a quoted date, vars: file://values.yaml, vars: values.yaml:"
node -e '
  const { results } = JSON.parse(require("fs").readFileSync("variables.json", "utf8")).results;
  results.sort((a, b) => a.testIdx - b.testIdx);
  const sent = results.map((result) => result.response.output);
  sent.forEach((text) => console.log(`  ${JSON.stringify(text)}`));
  const seen = ["Oslo on [object Object]", "Oslo on 2026-12-01", " on ", "Oslo on "];
  const same = seen.every((text, index) => sent[index] === `Weather in ${text}?`);
  if (!same) { console.log("changed"); process.exit(1); }'

echo "A prompt that ends in a price, and the same with a word behind it:"
if evaluate price.yaml; then
  echo "changed: it is taken for a prompt"
  exit 1
fi
grep -m1 '^Error: There are no prompts in' price.yaml.log
evaluate sentence.yaml
grep -om1 '"raw": "Add 5 % to 19.99, please"' sentence.json
