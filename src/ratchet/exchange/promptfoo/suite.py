"""A promptfoo configuration as a task: prompts become candidates, providers models, tests examples, and assertions their references.

What has no equal here is named with its place and left out: assertions in JavaScript, prompts that are code, and templates with
more of Nunjucks than fields. Rubrics ask a judge, `similar` an embedding, and Python is written as functions beside the task.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from ratchet.core import (
    AnswerForm,
    Candidate,
    Decoding,
    Demonstration,
    Example,
    InputField,
    Json,
    MetricSpec,
    Roles,
    Task,
)
from ratchet.core.errors import DataError
from ratchet.exchange.losses import Losses
from ratchet.exchange.promptfoo.assertions import AssertionReader
from ratchet.exchange.promptfoo.files import CODE, load_structure, resolve_references
from ratchet.exchange.promptfoo.nunjucks import (
    field_names,
    fill_fields,
    look_up,
    our_template,
    plain_value,
)
from ratchet.exchange.promptfoo.prompts import SuitePrompt, read_prompts
from ratchet.exchange.promptfoo.providers import Endpoint, Provider, read_provider, read_providers
from ratchet.exchange.promptfoo.tests import SuiteTest, read_tests

__all__ = ["Suite", "read_suite"]

_READ = ("prompts", "providers", "targets", "tests", "scenarios", "defaultTest", "description")
_HARMLESS = (
    "outputPath",
    "sharing",
    "tags",
    "metadata",
    "commandLineOptions",
    "$schema",
    "assertionTemplates",
    "writeLatestResults",
)
"""Parts that change nothing of what is asked and scored."""
_RESERVED = ("instructions", "labels", "schema", "absent", "passages", "this")
"""Names that templates of ours have for themselves."""
_TEACHER = "teacher"
_EMBEDDING = "local:minilm"


@dataclass
class Suite:
    """What a configuration holds."""

    task: Task
    examples: list[Example]
    candidates: list[Candidate]
    """One a prompt, on the first provider."""
    models: list[str]
    """All providers, as `<endpoint>/<model>`."""
    losses: Losses = field(default_factory=Losses)
    """What has no equal here."""
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    """What the models need in `ratchet.toml`."""
    files: dict[str, str] = field(default_factory=dict)
    """Functions that assertions call: paths from the workspace's folder, and texts."""
    needs_judge: bool = False
    """Whether rubrics wait for a judge that nobody has named yet."""

    @property
    def left_out(self) -> Counter[str]:
        """Return what has no equal here, and how often it stands there."""
        return self.losses.count()


def read_suite(path: Path, name: str, *, judge: str | None = None) -> Suite:
    """Return the suite of a `promptfooconfig.yaml`.

    Args:
        path: The file; `file://` in it is meant from its folder.
        name: What the task is called.
        judge: The model that reads rubrics; by default the one that the configuration names for grading.
    Raises: DataError if it cannot be read, or holds no prompt or no test with an assertion.
    """
    if path.suffix in CODE:
        raise DataError(
            f"{path} is code, and is not run; write what it makes into a file in YAML or JSON"
        )
    body = load_structure(path)
    if not isinstance(body, dict) or "prompts" not in body:
        raise DataError(f"{path} is no promptfoo configuration: it has no prompts")
    return _SuiteReader(path, name, judge).read(resolve_references(body, body))


class _SuiteReader:
    def __init__(self, path: Path, name: str, judge: str | None) -> None:
        self._path, self._name, self._named_judge = path, name, judge
        self._losses = Losses()
        self._assertions = AssertionReader(path.parent, name, self._losses)

    def read(self, body: dict[str, Json]) -> Suite:
        """Return the suite of a configuration's body.

        Raises: DataError if there is no prompt, or no test with an assertion.
        """
        for part in sorted(set(body) - {*_READ, *_HARMLESS}):
            if body[part]:
                self._losses.add(part)
        prompts = read_prompts(body["prompts"], self._path.parent, self._losses)
        if not prompts:
            raise DataError(f"{self._path}: none of the prompts can be read ({self._losses})")
        tests = read_tests(body, self._path.parent, self._losses)
        references = {number: self._reference(test) for number, test in enumerate(tests)}
        scored = [(test, references[k]) for k, test in enumerate(tests) if references[k]]
        if not scored:
            raise DataError(
                f"{self._path}: there is no test with an assertion that can be read ({self._losses})"
            )
        providers = self._providers(body)
        return self._suite(body, prompts, scored, providers)

    def _reference(self, test: SuiteTest) -> list[dict[str, Json]]:
        reference = [
            converted
            for given in test.assertions
            for converted in self._assertions.convert(given, test.values, test.where)
        ]
        if not reference:
            self._losses.add("test without an assertion that can be read", test.where)
        return reference

    def _providers(self, body: dict[str, Json]) -> list[Provider]:
        given = body.get("providers") or body.get("targets")
        providers = read_providers(given, self._path.parent, self._losses)
        for provider in providers[1:]:
            if provider.decoding != providers[0].decoding:
                self._losses.add(
                    "settings of another provider than the first", f"provider {provider.model!r}"
                )
        return providers

    def _suite(
        self,
        body: dict[str, Json],
        prompts: list[SuitePrompt],
        scored: list[tuple[SuiteTest, list[dict[str, Json]]]],
        providers: list[Provider],
    ) -> Suite:
        tests = [test for test, _ in scored]
        names = _input_names(prompts, tests)
        inputs = list(names.values())
        affixes = self._affixes(prompts, tests, inputs)
        inputs += affixes.values()
        is_exact = all(_is_plain_text(reference) for _, reference in scored)
        judge = self._judge(tests, providers)
        examples = [
            Example(
                inputs={
                    **{ours: self._input(test, theirs) for theirs, ours in names.items()},
                    **{
                        ours: fill_fields(getattr(test, which), test.values)
                        for which, ours in affixes.items()
                    },
                },
                reference=reference[0]["value"] if is_exact else reference,
                source=f"{self._path.name}:{test.where}",
                name=test.description or None,
            )
            for test, reference in scored
        ]
        models = list(dict.fromkeys(provider.model for provider in providers)) or ["local:nano"]
        task = Task(
            name=self._name,
            instructions=self._instructions(body.get("description")),
            inputs=tuple(InputField(name=one) for one in inputs),
            answer=AnswerForm(),
            metric=self._metric(is_exact=is_exact),
            models=Roles(student=models[0], teacher=judge),
        )
        decoding = providers[0].decoding if providers else Decoding()
        candidates = [
            _candidate(prompt, names, inputs, affixes, models[0], decoding) for prompt in prompts
        ]
        return Suite(
            task=task,
            examples=examples,
            candidates=candidates,
            models=models,
            losses=self._losses,
            endpoints={provider.name: provider.endpoint for provider in providers},
            files=self._assertions.files,
            needs_judge=self._assertions.asks_judge and judge is None,
        )

    def _input(self, test: SuiteTest, path: str) -> Json:
        """Return what a test gives a field of a prompt; nothing where it gives nothing."""
        value = look_up(test.values, path)
        if not isinstance(value, str):
            value = plain_value(value)
        if isinstance(value, dict | list):
            self._losses.add(
                f"an object as the value of {path!r} (here its JSON is sent; promptfoo writes [object Object] of it)",
                test.where,
            )
        return "" if value is None else value

    def _instructions(self, description: Json) -> str:
        text = str(description or "Answer the message.")
        if "{{" in text:
            self._losses.add("braces in the description")
            return text.replace("{{", "{ {")
        return text

    def _affixes(
        self, prompts: list[SuitePrompt], tests: list[SuiteTest], inputs: list[str]
    ) -> dict[str, str]:
        """Return our input fields for what tests put before and behind a prompt, where some do."""
        affixes: dict[str, str] = {}
        for which in ("prefix", "suffix"):
            places = [test.where for test in tests if getattr(test, which)]
            if not places:
                continue
            if any(prompt.is_chat for prompt in prompts):
                self._losses.add(f"{which} of a test, before a prompt that is a chat")
            name = which
            while name in inputs:
                name += "_"
            affixes[which] = name
        return affixes

    def _judge(self, tests: list[SuiteTest], providers: list[Provider]) -> str | None:
        """Return the model that reads rubrics; of several that are named, the first."""
        if not self._assertions.asks_judge:
            return None
        if self._named_judge:
            return self._named_judge
        known = {provider.model for provider in providers}
        named: list[str] = []
        for given in [*self._assertions.graders, *(test.grader for test in tests)]:
            grader = given.get("text", given) if isinstance(given, dict) else given
            if not isinstance(grader, str | dict):
                continue
            provider = read_provider(grader, Losses())
            if provider is not None and provider.model not in named:
                named.append(provider.model)
        if len(named) > 1:
            self._losses.add(f"other models that grade than {named[0]}")
        return named[0] if named else next(iter(known & set(named)), None)

    def _metric(self, *, is_exact: bool) -> MetricSpec:
        if is_exact:
            return MetricSpec(name="exact")
        options: dict[str, Json] = {}
        if self._assertions.files:
            options["functions"] = sorted(self._assertions.files)
        if self._assertions.asks_judge:
            options["judge"] = _TEACHER
        if self._assertions.asks_embedding:
            options["embedding"] = _EMBEDDING
        return MetricSpec(name="assertions", options=options)


def _is_plain_text(reference: list[dict[str, Json]]) -> bool:
    """Return whether a text alone is wanted, so that it can be shown and taught as an answer."""
    return (
        len(reference) == 1
        and reference[0].keys() == {"type", "value"}
        and reference[0]["type"] == "equals"
        and isinstance(reference[0]["value"], str)
        and reference[0]["value"] == reference[0]["value"].strip() != ""
    )


def _input_names(prompts: list[SuitePrompt], tests: list[SuiteTest]) -> dict[str, str]:
    """Return our names of the variables that prompts use; of all, where they use none."""
    used = [name for p in prompts for m in p.messages for name in field_names(m["content"])] or [
        name for test in tests for name in test.values
    ]
    names: dict[str, str] = {}
    for name in dict.fromkeys(used or ["input"]):
        ours = re.sub(r"\W+", "_", name).rstrip("_") or "_"
        if not (ours[:1].isalpha() or ours.startswith("_")) or not ours.isidentifier():
            ours = f"_{ours}"
        while ours in _RESERVED or ours in names.values():
            ours += "_"
        names[name] = ours
    return names


def _candidate(
    prompt: SuitePrompt,
    names: Mapping[str, str],
    inputs: list[str],
    affixes: Mapping[str, str],
    model: str,
    decoding: Decoding,
) -> Candidate:
    """Return the candidate that sends a prompt; turns before the last are demonstrations as they were written."""
    system = [m["content"] for m in prompt.messages if m["role"] == "system"]
    *turns, last = [m["content"] for m in prompt.messages if m["role"] != "system"]
    user = our_template(last, names)
    if not prompt.is_chat:
        before, behind = (
            f"{{{{{affixes[which]}}}}}" if which in affixes else ""
            for which in ("prefix", "suffix")
        )
        user = f"{before}{user}{behind}"
    demonstrations = tuple(
        Demonstration(inputs=dict.fromkeys(inputs, ""), answer=said, asked=asked, said=said)
        for asked, said in zip(turns[::2], turns[1::2], strict=True)
    )
    try:
        return Candidate(
            model=model,
            system=our_template("\n\n".join(system), names),
            user=user,
            demonstrations=demonstrations,
            decoding=decoding,
            note=prompt.label,
        )
    except ValidationError as error:
        raise DataError(f"prompt {prompt.label!r}: {error.errors()[0]['msg']}") from error
