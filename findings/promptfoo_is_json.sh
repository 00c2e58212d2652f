#!/usr/bin/env bash
# promptfoo looks for an inline schema's `$ref` in the whole configuration, and says 19.99 is no
# multiple of 0.01.
# Expected: "#" is the root of the schema, inline as in a file of its own; two decimals are a
# multiple of 0.01.
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

schema='{"type": "array", "items": {"$ref": "#/$defs/n"}, "$defs": {"n": {"type": "integer"}}}'
echo "$schema" >schema.json
configure() {
  printf 'prompts: ["{{answer}}"]\nproviders: [echo]\ntests:\n'
  printf -- '  - {vars: {answer: "[1]"}, assert: [{type: is-json, value: %s}]}\n' "$1"
}
configure "$schema" >inline.yaml
configure '"file://schema.json"' >file.yaml
configure "${schema/\#/\#\/tests\/0\/assert\/0\/value}" >path.yaml

echo "promptfoo $(promptfoo --version)"
echo "Refused inline; accepted in a file, or with the path from the configuration's root:"
if evaluate inline.yaml; then
  echo "changed: the inline schema works"
  exit 1
fi
grep -o -m1 'Missing $ref pointer "#/$defs/n"' inline.yaml.log
evaluate file.yaml
evaluate path.yaml
echo "  the file passes, and so does $(grep -o '"$ref": "[^"]*"' path.yaml)"

cat >prices.yaml <<'YAML'
prompts: ["{{answer}}"]
providers: [echo]
defaultTest: {assert: [{type: is-json, value: {type: number, multipleOf: 0.01}}]}
tests:
  - vars: {answer: "19.98"}
  - vars: {answer: "19.99"}
YAML
evaluate prices.yaml || true # a failed test is an exit code other than 0
echo "Prices against multipleOf 0.01:"
node -e '
  const { results } = JSON.parse(require("fs").readFileSync("prices.json", "utf8")).results;
  results.sort((a, b) => a.testIdx - b.testIdx);
  const seen = results.map((result) => [result.response.output, result.success]);
  console.log(`  ${JSON.stringify(seen)}`);
  if (seen[0][1] !== true || seen[1][1] !== false) { console.log("changed"); process.exit(1); }'
