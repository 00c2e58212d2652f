"""How likely each of several choices is as the answer to a prompt: prompt and choices in one pass, and no text is generated.

The choices are laid out behind the prompt as a tree of tokens, so that what they begin with in common is read once; each token
sees the prompt and its own ancestors alone. A model whose layers see in another way (a window, a state) reads each choice in a row
of its own: the same figures, for more work. A choice's score is the sum of its tokens' log-probabilities; how likely the answer is
to end there counts where another choice goes on from it, as elsewhere there is nothing to choose between.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from ratchet.core.errors import ReplyError, TaskError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["ChoicePrompt", "ChoiceScorer", "ChoiceTree", "build_tree"]

MAX_PASS_TOKENS = 8192
"""Of one pass, padding included."""
MAX_PASS_LOGITS = 2**26
"""Figures that one pass gives: a quarter of a gigabyte."""
MAX_TREE_TOKENS = 1024
"""Of the choices that are read behind one copy of the prompt."""
MAX_TREES = 32
"""Sets of choices whose trees are remembered."""
MAX_TREE_ERROR = {torch.float32: 0.02}
"""Nats by which a choice in a tree may differ from the same choice in a row of its own, for a model to be trusted with trees."""
MAX_COARSE_TREE_ERROR = 0.5
"""The same where numbers have eight binary digits."""
PROBE_CHOICES = 4
"""Choices that are read both ways before a model is trusted with trees."""


@dataclass(frozen=True, kw_only=True)
class ChoiceTree:
    """Choices behind one prompt, as the tokens that are read and what is looked up after them.

    A place is the index of a token in `tokens`, or -1 for the prompt's last token.
    """

    tokens: tuple[int, ...]
    """The tokens after which something is looked up, each after its parent."""
    parents: tuple[int, ...]
    """The place of the token before each of them."""
    steps: tuple[tuple[tuple[int, int], ...], ...]
    """Of each choice: its tokens, each with the place that it follows."""
    ends: tuple[int | None, ...]
    """Of each choice: the place at which it must end, where another choice goes on from there; else None."""

    @cached_property
    def depths(self) -> list[int]:
        """How many tokens of the tree stand before each of its tokens."""
        depths: list[int] = []
        for parent in self.parents:
            depths.append(0 if parent < 0 else depths[parent] + 1)
        return depths

    @cached_property
    def mask(self) -> torch.Tensor:
        """Which tokens of the tree each of them sees, itself and its ancestors: boolean, shape (tokens, tokens)."""
        mask = torch.eye(len(self.tokens), dtype=torch.bool)
        for place, parent in enumerate(self.parents):
            if parent >= 0:
                mask[place] |= mask[parent]
        return mask


@dataclass(frozen=True, kw_only=True)
class ChoicePrompt:
    """A prompt, and the choices of which one answers it."""

    ids: tuple[int, ...]
    choices: tuple[tuple[int, ...], ...]
    """The tokens of each."""
    adapter: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Row:
    """A row of a pass: a prompt with some of its choices."""

    prompt: int
    """The index of its `ChoicePrompt`."""
    ids: tuple[int, ...]
    tree: ChoiceTree
    places: tuple[int, ...]
    """Which of the prompt's choices the tree holds."""
    adapter: str | None

    def __len__(self) -> int:
        return len(self.ids) + len(self.tree.tokens)


def build_tree(choices: Sequence[tuple[int, ...]]) -> ChoiceTree:
    """Return the tree of choices that are given by their tokens.

    Raises: TaskError if one has no token, or two have the same.
    """
    kept: dict[tuple[int, ...], int] = {(): -1}
    tokens: list[int] = []
    parents: list[int] = []
    beginnings = {choice[:length] for choice in choices for length in range(1, len(choice))}
    for choice in choices:
        for length in range(1, len(choice) + 1):
            beginning = choice[:length]
            if beginning in beginnings and beginning not in kept:
                kept[beginning] = len(tokens)
                tokens.append(choice[length - 1])
                parents.append(kept[choice[: length - 1]])
    if not all(choices):
        raise TaskError("a choice is empty, so that the model cannot be asked how likely it is")
    if len(set(choices)) < len(choices):
        raise TaskError("two choices are the same tokens to this model; word them otherwise")
    return ChoiceTree(
        tokens=tuple(tokens),
        parents=tuple(parents),
        steps=tuple(
            tuple((kept[choice[:place]], token) for place, token in enumerate(choice))
            for choice in choices
        ),
        ends=tuple(kept.get(choice) for choice in choices),
    )


class ChoiceScorer:
    """Scores choices with the weights of one model.

    Args:
        model: A causal language model.
        ends: The tokens that end an answer.
        route: Told the adapters of the rows before each pass.
    """

    def __init__(
        self,
        model: "PreTrainedModel",
        *,
        ends: Collection[int],
        route: Callable[[Sequence[str | None]], None],
    ) -> None:
        self._model, self._ends, self._route = model, sorted(ends), route
        self._trees: OrderedDict[Any, list[tuple[tuple[int, ...], ChoiceTree]]] = OrderedDict()
        self.reads_trees: bool | None = None if sees_everything(model.config) else False
        """Whether trees give the figures of rows; None until it was tried."""

    def score(self, prompts: Sequence[ChoicePrompt]) -> list[list[float]]:
        """Return the log-probability of each choice of each prompt, in nats; they need not sum to one.

        Raises: ReplyError if the model gives no numbers; TaskError as `build_tree`.
        """
        if self.reads_trees is None and prompts:
            self.reads_trees = self._try_trees(prompts[0])
        return self._score(prompts, in_trees=bool(self.reads_trees))

    def _try_trees(self, prompt: ChoicePrompt) -> bool:
        """Return whether a few choices come out alike in a tree and in rows of their own."""
        few = ChoicePrompt(
            ids=prompt.ids, choices=prompt.choices[:PROBE_CHOICES], adapter=prompt.adapter
        )
        try:
            (treed,) = self._score([few], in_trees=True)
        except (RuntimeError, TypeError, ValueError, IndexError):
            return False  # this architecture does not take the mask of a tree
        (rowed,) = self._score([few], in_trees=False)
        limit = MAX_TREE_ERROR.get(self._model.dtype, MAX_COARSE_TREE_ERROR)
        return max(abs(a - b) for a, b in zip(treed, rowed, strict=True)) <= limit

    def _score(self, prompts: Sequence[ChoicePrompt], *, in_trees: bool) -> list[list[float]]:
        scores = [[0.0] * len(prompt.choices) for prompt in prompts]
        rows = [
            _Row(prompt=number, ids=prompt.ids, tree=tree, places=places, adapter=prompt.adapter)
            for number, prompt in enumerate(prompts)
            for places, tree in self._trees_of(prompt.choices, in_trees=in_trees)
        ]
        for group in self._groups(rows):
            for row, found in zip(group, self._pass(group, in_trees=in_trees), strict=True):
                for place, score in zip(row.places, found, strict=True):
                    scores[row.prompt][place] = score
        return scores

    def _trees_of(
        self, choices: tuple[tuple[int, ...], ...], *, in_trees: bool
    ) -> list[tuple[tuple[int, ...], ChoiceTree]]:
        """Return the trees that hold the choices, each with the choices' places; one a choice where the model reads no trees."""
        key = (choices, in_trees)
        if key not in self._trees:
            whole = build_tree(choices)
            most = MAX_TREE_TOKENS if in_trees else 0
            self._trees[key] = (
                [(tuple(range(len(choices))), whole)]
                if in_trees and len(whole.tokens) <= most
                else list(_parts(choices, whole, most))
            )
            if len(self._trees) > MAX_TREES:
                self._trees.popitem(last=False)
        self._trees.move_to_end(key)
        return self._trees[key]

    def _groups(self, rows: list[_Row]) -> Iterator[list[_Row]]:
        """Yield rows of like lengths together, as many as one pass holds."""
        vocabulary = int(self._model.config.get_text_config().vocab_size)
        group: list[_Row] = []
        for row in sorted(rows, key=lambda row: (len(row), row.adapter or "")):
            read = max((len(one.tree.tokens) for one in [*group, row]), default=0) + 1
            count = len(group) + 1
            is_full = count * len(row) > MAX_PASS_TOKENS or (
                count * read * vocabulary > MAX_PASS_LOGITS
            )
            if group and is_full:
                yield sorted(group, key=lambda row: row.adapter or "")
                group = []
            group.append(row)
        if group:
            yield sorted(group, key=lambda row: row.adapter or "")

    def _pass(self, rows: Sequence[_Row], *, in_trees: bool) -> list[list[float]]:
        """Return the score of each choice of each row, by one pass through the model."""
        device = self._model.device
        width, read = max(map(len, rows)), max(len(row.tree.tokens) for row in rows)
        ids = torch.zeros(len(rows), width, dtype=torch.long)
        positions = torch.zeros_like(ids)
        for line, row in enumerate(rows):
            begin, count = width - len(row), len(row.ids)
            ids[line, begin:] = torch.tensor([*row.ids, *row.tree.tokens])
            places = [*range(count), *(count + depth for depth in row.tree.depths)]
            positions[line, begin:] = torch.tensor(places)
        mask = _tree_mask(rows, width) if in_trees else _plain_mask(rows, width)
        self._route([row.adapter for row in rows])
        with torch.inference_mode():
            logits = self._model(
                input_ids=ids.to(device),
                attention_mask=mask.to(device),
                position_ids=positions.to(device),
                use_cache=False,
                logits_to_keep=read + 1,
            ).logits
            return [self._look_up(row, logits[line]) for line, row in enumerate(rows)]

    def _look_up(self, row: _Row, logits: torch.Tensor) -> list[float]:
        """Return the score of each choice of a row from `logits`, shape (places, vocabulary), the last place last."""
        read = len(row.tree.tokens) + 1
        shares = torch.log_softmax(logits[-read:].float(), -1)
        at = [(place + 1, token) for steps in row.tree.steps for place, token in steps]
        lines, tokens = torch.tensor(at, device=shares.device).T
        found = shares[lines, tokens].tolist()
        scores, begin = [], 0
        for steps, end in zip(row.tree.steps, row.tree.ends, strict=True):
            score = sum(found[begin : begin + len(steps)])
            begin += len(steps)
            if end is not None:
                score += float(shares[end + 1, self._ends].logsumexp(-1))
            scores.append(score)
        if any(score != score for score in scores):  # noqa: PLR0124 - what is no number equals nothing
            raise ReplyError(
                "the model gives no numbers for these choices (NaN); its weights, or its adapter's, are damaged",
                kind="no numbers",
            )
        return scores


def sees_everything(config: Any) -> bool:
    """Return whether every layer of a model attends to all that came before, so that a mask alone says what it sees."""
    text = config.get_text_config()
    kinds = set(getattr(text, "layer_types", None) or ["full_attention"])
    if kinds != {"full_attention"}:
        return False
    window = getattr(text, "sliding_window", None)
    return window is None or not getattr(text, "use_sliding_window", True)


def _parts(
    choices: Sequence[tuple[int, ...]], whole: ChoiceTree, most: int
) -> Iterator[tuple[tuple[int, ...], ChoiceTree]]:
    """Yield trees of some choices each, of about `most` tokens; at 0, one a choice."""
    part: list[int] = []
    taken = 0
    for place, choice in enumerate(choices):
        if part and taken + len(choice) > most:
            yield tuple(part), _part(choices, whole, part)
            part, taken = [], 0
        part.append(place)
        taken += len(choice)
    if part:
        yield tuple(part), _part(choices, whole, part)


def _part(
    choices: Sequence[tuple[int, ...]], whole: ChoiceTree, places: Sequence[int]
) -> ChoiceTree:
    """Return the tree of some choices; where one must end is as in the tree of all."""
    some = [choices[place] for place in places]
    must_end = {choices[place] for place in places if whole.ends[place] is not None}
    # a token after those that must end keeps their last one in the tree, to look the end up after it
    tree = build_tree([*some, *((*choice, -1) for choice in must_end)])
    count = len(some)
    return ChoiceTree(
        tokens=tree.tokens, parents=tree.parents, steps=tree.steps[:count], ends=tree.ends[:count]
    )


def _tree_mask(rows: Sequence[_Row], width: int) -> torch.Tensor:
    """Return who sees whom, shape (rows, 1, width, width); padding sees itself, as nothing may see nothing."""
    mask = torch.eye(width, dtype=torch.bool).repeat(len(rows), 1, 1)
    for line, row in enumerate(rows):
        begin = width - len(row)
        tree = width - len(row.tree.tokens)
        prompt = len(row.ids)
        mask[line, begin:tree, begin:tree] |= torch.ones(prompt, prompt, dtype=torch.bool).tril()
        mask[line, tree:, begin:tree] = True
        mask[line, tree:, tree:] = row.tree.mask
    return mask[:, None]


def _plain_mask(rows: Sequence[_Row], width: int) -> torch.Tensor:
    """Return where rows have tokens, shape (rows, width)."""
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for line, row in enumerate(rows):
        mask[line, width - len(row) :] = 1
    return mask
