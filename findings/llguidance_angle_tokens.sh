#!/usr/bin/env bash
# llguidance takes an added token for a special one by its spelling <...>, whatever the tokenizer
# says of it.
# Expected: a token added with special=False is ordinary text, so that a grammar of that text
# accepts it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check llguidance==1.9.1 tokenizers==0.23.3

"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

from llguidance import LLMatcher, LLTokenizer
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
tokenizer.decoder = decoders.ByteLevel()
tokenizer.add_special_tokens(["</s>"])
tokenizer.add_tokens([AddedToken(text, special=False) for text in ("<br>", "[br]")])
guide = LLTokenizer(tokenizer.to_str())


def accepts(grammar: str, tokens: list[int]) -> bool:
    matcher = LLMatcher(guide, LLMatcher.grammar_from_lark(grammar))
    return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()


print("llguidance", version("llguidance"), "tokenizers", version("tokenizers"))
print("Of two tokens added alike with special=False, the one written <...> is special:")
angle, square = tokenizer.token_to_id("<br>"), tokenizer.token_to_id("[br]")
letters = [alphabet.index(letter) for letter in "<br>"]
seen = {
    "tokenizer writes '<br>' as one token": tokenizer.encode("<br>").ids == [angle],
    "is_special_token('<br>')": guide.is_special_token(angle),
    "is_special_token('[br]')": guide.is_special_token(square),
    'start: "[br]" accepts the token [br]': accepts('start: "[br]"', [square]),
    'start: "<br>" accepts the token <br>': accepts('start: "<br>"', [angle]),
    'start: "<br>" accepts its four letters': accepts('start: "<br>"', letters),
    "start: /.+/ accepts the token <br>": accepts("start: /.+/", [angle]),
    f"start: <[{angle}]> accepts the token <br>": accepts(f"start: <[{angle}]>", [angle]),
}
for what, answer in seen.items():
    print(f"  {what}: {answer}")
if list(seen.values()) != [True, True, False, True, False, True, False, True]:
    raise SystemExit("changed")
PYTHON
