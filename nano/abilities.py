"""What the small model practises: one function an ability, each writing one chat whose last answer is the target.

A chat is what an OpenAI client would send: messages, and tools where the ability uses them. Labels, key names, tool names
and formats are random, so that only the instruction, the schema or the demonstrations in the prompt tell the answer.
The task of the demo (personal data with the tool `redact` and the keys `string` and `pii_type`) is never among them.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from nano.sentences import sentence
from nano.words import (
    ANIMALS,
    COLOURS,
    FRUITS,
    KINDS,
    MADE_UP_LABELS,
    PRODUCTS,
    WORDS,
    digits,
    made_up,
    person,
    some_words,
    word,
)

__all__ = ["ABILITIES", "HELD_OUT_KEYS", "Chat", "draw"]

HELD_OUT_KEYS = frozenset(
    {"string", "pii_type", "redact", "fields", "quantity", "vendor", "origin", "due_by", "remark"}
)
"""Key and tool names that no training text may use: the tests of schemas never seen are written with them."""


@dataclass(frozen=True, kw_only=True)
class Chat:
    """One practice chat; the last message is the answer."""

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] = field(default_factory=list)

    @property
    def answer(self) -> dict[str, Any]:
        """Return the message that the model must produce."""
        return self.messages[-1]


def compact(value: object) -> str:
    """Return JSON without spaces, the form that the model writes."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def turns(
    question: str, answer: str, *, system: str = "", shots: list[tuple[str, str]] | None = None
) -> Chat:
    messages = [{"role": "system", "content": system}] if system else []
    for asked, answered in [*(shots or []), (question, answer)]:
        messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    return Chat(messages=messages)


def key(rng: Random) -> str:
    """Return a key name: a word, two words, or letters that spell nothing."""
    shape = rng.random()
    name = (
        rng.choice(WORDS)
        if shape < 0.4
        else f"{rng.choice(WORDS)}_{rng.choice(WORDS)}"
        if shape < 0.65
        else made_up(rng)
    )
    return key(rng) if name in HELD_OUT_KEYS else name


def distinct(rng: Random, make: Callable[[Random], str], count: int) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < count:
        found[make(rng)] = None
    return list(found)


def thing(rng: Random) -> str:
    return KINDS[rng.choice(list(KINDS))](rng)


# --- copying and looking up -------------------------------------------------------------------------------------------


def copy(rng: Random) -> Chat:
    """Repeat a text exactly."""
    text = rng.choice(
        [
            some_words(rng, rng.randint(2, 12)),
            " ".join(thing(rng) for _ in range(rng.randint(1, 4))),
        ]
    )
    asked = rng.choice(
        ["Repeat: {}", "Copy this text exactly: {}", "Say this again: {}", "Echo the text. {}"]
    )
    return turns(asked.format(text), text)


def record(rng: Random, low: int = 2, high: int = 6) -> dict[str, str]:
    kinds = rng.sample(list(KINDS), rng.randint(low, high))
    names = [kind if rng.random() < 0.4 else key(rng) for kind in kinds]
    return {name: KINDS[kind](rng) for name, kind in zip(names, kinds, strict=True)}


def written(rng: Random, fields: dict[str, str]) -> str:
    between, sign = rng.choice(["; ", "\n", ", ", " | "]), rng.choice([": ", "=", " is ", " - "])
    return between.join(f"{name}{sign}{value}" for name, value in fields.items())


def lookup(rng: Random) -> Chat:
    """Find the value of a key in a record; say none where the key is missing."""
    fields = record(rng)
    name = rng.choice(list(fields))
    if rng.random() < 0.2:
        name, answer = key(rng), "none"
        asked = f"What is the {name}? Say none if it is missing."
        answer = fields.get(name, answer)
    else:
        answer = fields[name]
        asked = rng.choice(
            [
                "What is the {}?",
                "Give me the {}.",
                "{}?",
                "Extract the {}.",
                "Find the {} in the text.",
            ]
        )
        asked = asked.format(name)
    parts = [written(rng, fields), asked]
    rng.shuffle(parts)
    return turns("\n".join(parts), answer)


RELATIONS: tuple[tuple[str, str, str], ...] = (
    ("likes", "What does {} like?", "fruit"),
    ("lives in", "Where does {} live?", "city"),
    ("works for", "Who does {} work for?", "company"),
    ("owns a", "What does {} own?", "product"),
    ("works as a", "What is the job of {}?", "occupation"),
    ("can be called on", "What is the number of {}?", "telephone"),
    ("writes from", "What is the address of {}?", "mail"),
    ("was born on", "When was {} born?", "date"),
    ("paid", "How much did {} pay?", "price"),
    ("is afraid of the", "What is {} afraid of?", "animal"),
)


def fact(rng: Random) -> tuple[str, str, str, str]:
    """Return subject, sentence, question and answer of one made-up fact, of a person or of a made-up thing."""
    if rng.random() < 0.6:
        subject, (verb, asked, kind) = person(rng), rng.choice(RELATIONS)
        value = KINDS[kind](rng)
        return subject, f"{subject} {verb} {value}.", asked.format(subject), value
    subject, attribute, value = f"{word(rng)} {word(rng)}", word(rng), thing(rng)
    sentence = rng.choice(
        ["The {a} of the {s} is {v}.", "For the {s}, the {a} is {v}.", "{v} is the {a} of the {s}."]
    )
    asked = rng.choice(
        ["What is the {a} of the {s}?", "Tell me the {a} of the {s}.", "The {s}: which {a}?"]
    )
    return (
        subject,
        sentence.format(a=attribute, s=subject, v=value),
        asked.format(a=attribute, s=subject),
        value,
    )


def aside(rng: Random) -> str:
    return filler(rng) if rng.random() < 0.3 else sentence(rng)[0]


def facts(rng: Random) -> Chat:
    """Answer from passages among distractors; say that it is not in the text where it is not."""
    found = [fact(rng) for _ in range(rng.randint(1, 6))]
    _, _, asked, answer = rng.choice(found)
    if rng.random() < 0.2:
        _, _, asked, _ = fact(rng)
        answer = "not in the text"
    sentences = [
        stated if rng.random() < 0.8 else f"{stated} {aside(rng)}" for _, stated, _, _ in found
    ]
    text = rng.choice([" ", "\n", "\n- "]).join(sentences)
    form = rng.choice(
        [
            "Context: {c}\nQuestion: {q}",
            "{c}\n{q}",
            "Use the text to answer.\n{c}\n{q}",
            "Question: {q}\nContext: {c}",
            "{q}\n\n{c}",
        ]
    )
    return turns(form.format(c=text, q=asked), answer)


# --- schemas and tools ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wanted:
    """A value that a schema asks for: as it stands in the text, as JSON, and its type."""

    text: str
    value: Any
    type: dict[str, Any]

    @property
    def signature(self) -> str:
        """Return the type in short, as the chat template writes it too."""
        if "enum" in self.type:
            return "|".join(self.type["enum"])
        return f"[{self.type['items']['type']}]" if "items" in self.type else str(self.type["type"])


def drawn_type(rng: Random) -> Wanted:
    """Return a value of some JSON type: half of them strings, else a number, a truth, one of a list, or a list."""
    shape = rng.random()
    if shape < 0.5:
        text = thing(rng)
        return Wanted(text, text, {"type": "string"})
    if shape < 0.68:
        number = rng.randint(0, 10 ** rng.randint(1, 5))
        return Wanted(str(number), number, {"type": "integer"})
    if shape < 0.76:
        number = round(rng.uniform(-20, 10 ** rng.randint(1, 4)), rng.randint(1, 2))
        return Wanted(str(number), number, {"type": "number"})
    if shape < 0.84:
        truth = rng.random() < 0.5
        return Wanted(
            rng.choice(["yes", "true"] if truth else ["no", "false"]), truth, {"type": "boolean"}
        )
    if shape < 0.93:
        choices = distinct(rng, word, rng.randint(2, 4))
        chosen = rng.choice(choices)
        return Wanted(chosen, chosen, {"enum": choices})
    several = [thing(rng) for _ in range(rng.randint(1, 3))]
    return Wanted(" and ".join(several), several, {"type": "array", "items": {"type": "string"}})


def wishes(rng: Random, low: int, high: int) -> dict[str, Wanted]:
    return {name: drawn_type(rng) for name in distinct(rng, key, rng.randint(low, high))}


def some(rng: Random, fields: dict[str, Wanted], most: int) -> dict[str, Wanted]:
    return {
        name: fields[name]
        for name in rng.sample(list(fields), rng.randint(1, min(most, len(fields))))
    }


def schema(rng: Random) -> Chat:
    """Write a JSON object with the keys, and of the types, that the prompt names, from a record."""
    fields = wishes(rng, 2, 5)
    chosen = some(rng, fields, 4)
    renamed = {name: key(rng) if rng.random() < 0.2 else name for name in chosen}
    typed = rng.random() < 0.5 or not all(isinstance(field.value, str) for field in chosen.values())
    listed = ", ".join(
        (name if renamed[name] == name else f"{renamed[name]} (the {name})")
        + (f": {field.signature}" if typed else "")
        for name, field in chosen.items()
    )
    asked = rng.choice(
        [
            "Return a JSON object with {}.",
            "Answer as JSON with the keys {}.",
            "JSON, keys: {}",
            "Give {} as a JSON object.",
        ]
        if not typed
        else [
            "Answer as JSON: {{{}}}",
            "Answer as JSON like {{{}}}.",
            "JSON {{{}}}",
            "Return {{{}}}",
        ]
    ).format(listed)
    answer = compact({renamed[name]: field.value for name, field in chosen.items()})
    text = written(rng, {name: field.text for name, field in fields.items()})
    if rng.random() < 0.5:
        return turns(text, answer, system=asked)
    parts = [text, asked]
    rng.shuffle(parts)
    return turns("\n".join(parts), answer)


def tool_definition(name: str, properties: dict[str, Any]) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def calling(
    asked: str,
    tool: dict[str, Any],
    arguments: object,
    *,
    system: str,
    shots: list[tuple[str, object]],
) -> Chat:
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    for text, given in [*shots, (asked, arguments)]:
        call = {
            "type": "function",
            "function": {"name": tool["function"]["name"], "arguments": compact(given)},
        }
        messages += [
            {"role": "user", "content": text},
            {"role": "assistant", "content": "", "tool_calls": [call]},
        ]
    return Chat(messages=messages, tools=[tool])


def tool(rng: Random) -> Chat:
    """Call the tool in the prompt with arguments found in the message."""
    fields = wishes(rng, 2, 5)
    chosen = some(rng, fields, 3)
    definition = tool_definition(key(rng), {name: field.type for name, field in chosen.items()})
    system = rng.choice(["", "Call the tool.", "Use the tool with what the message says."])
    return calling(
        written(rng, {name: field.text for name, field in fields.items()}),
        definition,
        {name: field.value for name, field in chosen.items()},
        system=system,
        shots=[],
    )


# --- extraction -------------------------------------------------------------------------------------------------------

LEADS = (
    "",
    "",
    "",
    "hi ,",
    "hello",
    "please",
    "note that",
    "ok ,",
    "by the way ,",
    "as agreed",
    "dear team ,",
    "sorry ,",
    "well ,",
    "and",
)
CLUES: dict[str, tuple[str, ...]] = {
    "person": (
        "my name is {}",
        "{} asked for it",
        "this is {}",
        "i spoke with {}",
        "{} will come",
        "regards , {}",
        "ask {} about it",
        "signed by {}",
        "{} and i",
        "our colleague {}",
        "thanks , {}",
        "{} has left",
        "{}'s order",
    ),
    "mail": (
        "write to {}",
        "my address is {}",
        "send it to {}",
        "mail {}",
        "from {}",
        "cc {}",
        "reply to {}",
    ),
    "telephone": (
        "call {}",
        "my number is {}",
        "reach me on {}",
        "text {}",
        "ring {} today",
        "fax {}",
    ),
    "card number": (
        "card {}",
        "i paid with {}",
        "charge {}",
        "the card ending {}",
        "visa {}",
        "billed to {}",
    ),
    "host": ("from {}", "the server {}", "login from {}", "block {}", "ping {}", "host {} is down"),
    "occupation": (
        "i work as a {}",
        "our {}",
        "she is a {}",
        "they hired a {}",
        "the new {}",
        "{} wanted",
        "job : {}",
    ),
    "city": ("in {}", "from {}", "near {}", "moved to {}", "the {} office"),
    "company": ("at {}", "we left {}", "{} has called", "bought by {}", "the {} account"),
    "date": ("on {}", "by {}", "since {}", "due {}", "before {}"),
    "price": ("it costs {}", "for {}", "i paid {}", "{} too much"),
}


def filler(rng: Random) -> str:
    """Return a sentence with nothing in it to find."""
    text = some_words(rng, rng.randint(2, 8))
    return (text.capitalize() if rng.random() < 0.7 else text) + rng.choice(
        [".", ".", "?", "!", ""]
    )


def mention(rng: Random, kind: str, value: str) -> str:
    """Return a sentence that mentions `value`, with a clue to its kind about half of the time."""
    clue = (
        rng.choice(CLUES.get(kind, ("the {}", "{}")))
        if rng.random() < 0.6
        else rng.choice(["{}", "the {}", "{} ,", f"{kind} {{}}"])
    )
    before = " ".join(filter(None, [rng.choice(LEADS), some_words(rng, rng.randrange(5))]))
    after = some_words(rng, rng.randrange(6))
    text = " ".join(filter(None, [before, clue, after])).replace(" ,", ",").replace(" :", ":")
    text = text[:1].upper() + text[1:] if rng.random() < 0.7 else text
    wrapped = (
        value if rng.random() < 0.85 else rng.choice(["({})", '"{}"', "<{}>", "{}:"]).format(value)
    )
    return text.replace("{}", wrapped) + rng.choice([".", ".", ".", "?", "!", "", ";"])


def message(rng: Random, kinds: list[str]) -> tuple[str, list[tuple[str, str]]]:
    """Return a message and the things in it as (text, kind), in order, each once."""
    found: dict[tuple[str, str], None] = {}
    sentences = []
    english = rng.random() < 0.85
    for _ in range(rng.choice((1, 1, 2, 2, 3))):
        if english:
            text, things = sentence(rng, rng.choice(kinds) if rng.random() < 0.7 else "")
            found.update(dict.fromkeys(things))
            sentences.append(text)
            continue
        if rng.random() < 0.25:
            sentences.append(filler(rng))
            continue
        kind = rng.choice(kinds)
        value = KINDS[kind](rng)
        found[(value, kind)] = None
        sentences.append(mention(rng, kind, value))
    return rng.choice([" ", " ", "\n"]).join(sentences), list(found)


Answerer = Callable[[list[tuple[str, str]]], Any]


def extract(rng: Random) -> Chat:
    """Find the things of the named kinds in a message, in the format that the prompt gives or its demonstrations show."""
    usual = list(MADE_UP_LABELS)
    kinds = (
        rng.sample(usual, rng.choice((2, 3, 4, 5, 5, 6, 6, 6)))
        if rng.random() < 0.65
        else rng.sample(list(KINDS), rng.randint(2, 5))
    )
    wanted = [kind for kind in kinds if rng.random() < 0.85] or kinds[:1]
    count = 0 if rng.random() < 0.7 else rng.randint(1, 3)
    labels = {kind: label(rng, kind, shown=count > 0) for kind in wanted}
    if len(set(labels.values())) < len(labels):
        return extract(rng)
    first, second = distinct(rng, key, 2)

    def answer(found: list[tuple[str, str]]) -> list[dict[str, str]]:
        return [{first: text, second: labels[kind]} for text, kind in found if kind in wanted]

    texts = [message(rng, kinds) for _ in range(count + 1)]
    (asked, found), shots = texts[-1], texts[:-1]
    listed = ", ".join(labels.values())
    ask = rng.choice(
        [
            "Find the {} in the text.",
            "Extract {}.",
            "List every {}.",
            "Mark these: {}.",
            "Find what is listed. Kinds: {}.",
        ]
    )
    if rng.random() < 0.55:
        return extract_by_tool(
            rng,
            [(text, answer(things)) for text, things in texts],
            ask.format(listed),
            (first, second, list(labels.values())),
        )
    write: Answerer = answer
    if rng.random() < 0.25:
        write = lambda things: [text for text, kind in things if kind in wanted]
        form = rng.choice(["Reply with a JSON list.", "Answer as a JSON list of strings."])
    else:
        form = rng.choice(
            [
                'Reply with a JSON list of {{"{}", "{}"}}.',
                'Answer as JSON list with keys "{}" and "{}".',
                'Format: [{{"{}": ..., "{}": ...}}]',
            ]
        ).format(first, second)
    system = (
        f"{ask.format(listed)} {form}"
        if not shots or rng.random() < 0.5
        else "Do as in the examples."
    )
    return turns(
        asked,
        compact(write(found)),
        system=system,
        shots=[(text, compact(write(things))) for text, things in shots],
    )


def label(rng: Random, kind: str, *, shown: bool) -> str:
    if shown and rng.random() < 0.3:
        return key(rng)
    return rng.choice(MADE_UP_LABELS.get(kind, (kind,))).replace(" ", rng.choice([" ", "_", "_"]))


def extract_by_tool(
    rng: Random,
    texts: list[tuple[str, list[dict[str, str]]]],
    ask: str,
    names: tuple[str, str, list[str]],
) -> Chat:
    """Ask for the same by a tool; `names` are the two keys of an item and the labels."""
    name, argument = distinct(rng, key, 2)
    first, second, listed = names
    item = {
        "type": "object",
        "properties": {first: {"type": "string"}, second: {"enum": listed}},
        "required": [first, second],
    }
    definition = tool_definition(name, {argument: {"type": "array", "items": item}})
    system = rng.choice(
        ["", ask, ask, f"{ask} Call {name}.", "Call the tool with all that you find."]
    )
    (asked, found), shots = texts[-1], [(text, {argument: things}) for text, things in texts[:-1]]
    return calling(asked, definition, {argument: found}, system=system, shots=list(shots))


# --- labels, demonstrations, instructions -----------------------------------------------------------------------------

GROUPS: dict[str, list[str]] = {
    "colour": COLOURS,
    "animal": ANIMALS,
    "fruit": FRUITS,
    "product": PRODUCTS,
}


def labels(rng: Random) -> Chat:
    """Label an input; what each label means only the demonstrations, or the instruction, tell."""
    kinds = rng.sample(list(KINDS), rng.randint(2, 4))
    names = distinct(
        rng,
        lambda r: r.choice([r.choice(WORDS), made_up(r), r.choice("ABCDEFGH"), digits(r, 1)]),
        len(kinds),
    )
    meaning = dict(zip(kinds, names, strict=True))
    wrap = (
        (lambda text: text)
        if rng.random() < 0.5
        else (lambda text: f"{word(rng)} {text} {word(rng)}")
    )
    asked = rng.choice(kinds)
    question = wrap(KINDS[asked](rng))
    if rng.random() < 0.35:
        rule = ", ".join(
            rng.choice([f"{name} for a {kind}", f"a {kind} is {name}"])
            for kind, name in meaning.items()
        )
        return turns(
            question,
            meaning[asked],
            system=rng.choice(["Label the text: {}.", "Classify. {}.", "Answer {}."]).format(rule),
        )
    shown = [kind for kind in kinds for _ in range(rng.randint(1, 3))]
    rng.shuffle(shown)
    shots = [(wrap(KINDS[kind](rng)), meaning[kind]) for kind in shown]
    system = rng.choice(
        ["", "Classify the text.", "Give the label.", f"Labels: {', '.join(names)}."]
    )
    return in_a_row(rng, shots, question, meaning[asked], system)


def in_a_row(
    rng: Random, shots: list[tuple[str, str]], question: str, answer: str, system: str
) -> Chat:
    """Show demonstrations as earlier turns, or as lines of one message."""
    if rng.random() < 0.6:
        return turns(question, answer, system=system, shots=shots)
    sign = rng.choice([" -> ", " => ", ": ", "\nAnswer: "])
    lines = [f"{asked}{sign}{answered}" for asked, answered in shots]
    return turns("\n".join([*lines, question + sign.rstrip()]), answer, system=system)


def operation(rng: Random) -> tuple[str, Callable[[list[str]], str]]:
    """Return an instruction and what it does to a list of words."""
    mark = rng.choice(
        ["<{}>", "[{}]", "*{}*", '"{}"', "({})", "answer: {}", "{}!", "{} ok", "= {}"]
    )
    extra = word(rng)
    choices: list[tuple[str, Callable[[list[str]], str]]] = [
        ("Give the first word.", lambda w: w[0]),
        ("Give the last word.", lambda w: w[-1]),
        ("Give the second word.", lambda w: w[1]),
        ("Write the words in reverse order.", lambda w: " ".join(reversed(w))),
        ("Put commas between the words.", ", ".join),
        ("Write one word a line.", "\n".join),
        ("Write a JSON list of the words.", compact),
        ("Leave out the first word.", lambda w: " ".join(w[1:])),
        ("Leave out the last word.", lambda w: " ".join(w[:-1])),
        (f"Write {extra} after the words.", lambda w: " ".join([*w, extra])),
        (f"Always answer {extra}.", lambda _: extra),
        (f"Write the words like this: {mark.format('...')}", lambda w: mark.format(" ".join(w))),
        ("Say the text twice.", lambda w: " ".join(w + w)),
        ("How many words?", lambda w: str(len(w))),
    ]
    return rng.choice(choices)


def instruct(rng: Random) -> Chat:
    """Do to a list of words what the instruction says."""
    asked, apply = operation(rng)
    words = [word(rng) for _ in range(rng.randint(2, 6))]
    if rng.random() < 0.5:
        return turns(" ".join(words), apply(words), system=asked)
    return turns(f"{asked} {' '.join(words)}", apply(words))


def demos(rng: Random) -> Chat:
    """Do to the input what two to six demonstrations show, with no instruction that says it."""
    if rng.random() < 0.5:
        _, apply = operation(rng)
        texts = [[word(rng) for _ in range(rng.randint(2, 5))] for _ in range(rng.randint(3, 7))]
        pairs = [(" ".join(words), apply(words)) for words in texts]
    else:
        names = distinct(rng, key, rng.randint(2, 4))
        kinds = rng.sample(list(KINDS), len(names))
        wanted, mark = (
            rng.choice(names),
            rng.choice(["{}", "{}", "<{}>", "{} it is", f'{{{{"{key(rng)}":"{{}}"}}}}']),
        )
        records = [
            {name: KINDS[kind](rng) for name, kind in zip(names, kinds, strict=True)}
            for _ in range(rng.randint(3, 6))
        ]
        state = rng.getstate()
        pairs = []
        for fields in records:
            rng.setstate(state)
            pairs.append((written(rng, fields), mark.format(fields[wanted])))
    (question, answer), shots = pairs[-1], pairs[:-1]
    return in_a_row(rng, shots, question, answer, rng.choice(["", "", "Do as in the examples."]))


def compare(rng: Random) -> Chat:
    """Compare two or three numbers as the instruction says."""
    numbers = [str(rng.randint(1, 999)) for _ in range(rng.randint(2, 3))]
    largest = rng.random() < 0.5
    answer = (max if largest else min)(numbers, key=int)
    asked = rng.choice(["Which is the {}?", "Give the {} number.", "The {}?"]).format(
        "largest" if largest else "smallest"
    )
    return turns(f"{' '.join(numbers)}\n{asked}", answer)


ABILITIES: dict[str, tuple[Callable[[Random], Chat], float]] = {
    "copy": (copy, 0.02),
    "lookup": (lookup, 0.05),
    "facts": (facts, 0.09),
    "schema": (schema, 0.07),
    "tool": (tool, 0.04),
    "extract": (extract, 0.54),
    "labels": (labels, 0.07),
    "demos": (demos, 0.07),
    "instruct": (instruct, 0.04),
    "compare": (compare, 0.01),
}
"""Each ability with its share of the mixture; the shares sum to one."""


def draw(rng: Random, *, copying: float = 0.0) -> Chat:
    """Return one chat of the mixture; with probability `copying` a plain copying exercise instead."""
    if rng.random() < copying:
        return copy(rng)
    makers, shares = zip(*ABILITIES.values(), strict=True)
    maker: Callable[[Random], Chat] = rng.choices(makers, shares)[0]
    return maker(rng)
