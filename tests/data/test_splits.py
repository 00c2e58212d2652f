"""Splits are near their shares, seeded, independent of order, and nothing that belongs together straddles them."""

from collections import Counter
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratchet.core import Example, SplitSpec
from ratchet.data import find_leaks, good_rows, split_examples, word_grams

SHARES = st.sampled_from([(0.6, 0.2, 0.2), (0.8, 0.1, 0.1), (0.34, 0.33, 0.33), (0.1, 0.1, 0.8)])


def example(text: str, group: str | None = None) -> Example:
    return Example(inputs={"text": text}, reference="x", group=group)


def different(count: int) -> list[Example]:
    """Return examples that share no run of words."""
    return [example(f"one{n} two{n} three{n} four{n}") for n in range(count)]


def by_id(examples: list[Example]) -> dict[str, str | None]:
    return {e.id: e.split for e in examples}


@given(st.integers(10, 300), SHARES, st.integers(0, 5))
@settings(max_examples=15)
def test_single_examples_fill_the_shares_to_one(
    count: int, shares: tuple[float, float, float], seed: int
) -> None:
    """Where nothing belongs together, each split is within two examples of its share."""
    spec = SplitSpec(train=shares[0], dev=shares[1], test=shares[2], seed=seed)

    sizes = Counter(e.split for e in split_examples(different(count), spec))

    for name in ("train", "dev", "test"):
        assert abs(sizes[name] - getattr(spec, name) * count) <= 2


@given(st.lists(st.integers(0, 25), min_size=60, max_size=150), st.integers(0, 3))
@settings(max_examples=15)
def test_no_group_straddles(groups: list[int], seed: int) -> None:
    """All examples of a group stand in one split."""
    examples = [
        example(f"one{n} two{n} three{n}", group=f"g{group}") for n, group in enumerate(groups)
    ]
    if len(set(groups)) < 3:
        return

    placed = split_examples(examples, SplitSpec(seed=seed))

    assert [e.id for e in placed] == [e.id for e in examples]
    for group in {e.group for e in placed}:
        assert len({e.split for e in placed if e.group == group}) == 1
    assert find_leaks(placed) == []


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=7), min_size=10, max_size=40))
@settings(max_examples=30)
def test_no_near_duplicate_straddles(words: list[list[str]]) -> None:
    """Two texts of a Jaccard similarity of at least 0.8 stand in one split, by the slow definition too."""
    examples = [*different(3), *(example(" ".join(w)) for w in words)]

    placed = split_examples(examples, SplitSpec())

    for a, b in combinations(placed, 2):
        first, second = (word_grams(str(e.inputs["text"])) for e in (a, b))
        if 5 * len(first & second) >= 4 * len(first | second):
            assert a.split == b.split
    assert find_leaks(placed) == []


def test_groups_of_unequal_size_fill_the_shares() -> None:
    """Sizes stay near the shares when groups differ much in size."""
    examples = [
        example(f"one{g}x{n} two{g}x{n} three{g}x{n}", group=f"g{g}")
        for g in range(60)
        for n in range(1 + g % 7)
    ]

    sizes = Counter(e.split for e in split_examples(examples, SplitSpec()))

    total = len(examples)
    assert abs(sizes["train"] / total - 0.6) < 0.03
    assert abs(sizes["dev"] / total - 0.2) < 0.03


@given(st.randoms(use_true_random=False))
@settings(max_examples=10)
def test_the_order_of_examples_makes_no_difference(random: Random) -> None:
    """The same examples in another order get the same splits."""
    examples = [
        *different(40),
        *(example(f"pair {n % 5} of twins, {n}", f"g{n % 5}") for n in range(20)),
    ]
    shuffled = random.sample(examples, len(examples))

    assert by_id(split_examples(shuffled, SplitSpec())) == by_id(
        split_examples(examples, SplitSpec())
    )


def test_the_seed_decides() -> None:
    """One seed gives one division, another seed another."""
    first, again, other = (
        by_id(split_examples(different(60), SplitSpec(seed=seed))) for seed in (1, 1, 2)
    )

    assert first == again
    assert first != other


def test_known_examples_keep_their_split() -> None:
    """New examples join the split of their group or twin, and never move what was divided before."""
    known = split_examples(
        [*different(30), example("the very same words again and again", "g")], SplitSpec()
    )
    home = known[-1].split
    fresh = [
        example("The very same words, again and again!"),
        example("nothing alike here", "g"),
        *(example(f"new{n} fresh{n} other{n}") for n in range(30)),
    ]

    placed = split_examples(fresh, SplitSpec(seed=9), known=known)

    assert [e.id for e in placed] == [e.id for e in fresh]
    assert placed[0].split == placed[1].split == home
    assert find_leaks([*known, *placed]) == []
    sizes = Counter(e.split for e in [*known, *placed])
    assert abs(sizes["train"] - 0.6 * 63) <= 2


@pytest.mark.parametrize("count", [1, 2, 10])
def test_too_few_groups_stand_in_dev(count: int) -> None:
    """Examples that are all alike, and one alone, cannot be divided: they can be measured, all in dev."""
    alike = [example("all the same words"), example("All the same words!")] * 5

    placed = split_examples(alike[:count], SplitSpec())

    assert {e.split for e in placed} == {"dev"}


@pytest.mark.parametrize("count", [5, 20, 200])
@pytest.mark.parametrize("prompts", [1, 3])
def test_a_long_shared_prompt_is_not_the_example(count: int, prompts: int) -> None:
    """Examples inside of the same long prompt, or of a few, are divided by what is their own."""
    shared = [" ".join(f"part{n}of{p}" for n in range(200)) for p in range(prompts)]
    examples = [example(f"{shared[n % prompts]} Question: {n}") for n in range(count * prompts)]

    placed = split_examples(examples, SplitSpec())

    sizes = Counter(e.split for e in placed)
    assert min(sizes.values()) >= len(placed) // 6
    assert find_leaks(placed) == []


def test_copies_inside_a_long_shared_prompt_stay_together() -> None:
    """Near-duplicates are found behind the prompt that all share."""
    shared = " ".join(f"part{n}" for n in range(200))
    body = " ".join(f"word{n}" for n in range(40))
    examples = [example(f"{shared} {body} {n}") for n in range(3)]
    examples += [example(f"{shared} other{n} words{n} here{n}") for n in range(40)]

    placed = split_examples(examples, SplitSpec())

    assert len({e.split for e in placed[:3]}) == 1


def test_leaks_are_found() -> None:
    """Twins and members of a group in different splits are named; those in one split are not."""
    train, test = {"split": "train"}, {"split": "test"}
    one = example("what is the price of this").model_copy(update=train)
    twin = example("What is the price of THIS?").model_copy(update=test)
    member = example("a b c d", "g").model_copy(update=train)
    other = example("e f g h", "g").model_copy(update=test)
    near = example("What is the price of this!").model_copy(update=train)

    leaks = find_leaks([one, twin, member, other, near])

    found = {frozenset((leak.first.id, leak.second.id)) for leak in leaks}
    assert found == {
        frozenset((one.id, twin.id)),
        frozenset((twin.id, near.id)),
        frozenset((member.id, other.id)),
    }


def test_real_questions_are_divided_without_leaks(shared: Callable[[str], Path]) -> None:
    """Banking77's ten thousand questions, many of them alike, fill the shares and leak nothing."""
    rows = good_rows(shared("banking77/train.csv"))
    examples = [
        Example(inputs={"text": row.values["text"]}, reference=row.values["category"])
        for row in rows
    ]

    placed = split_examples(examples, SplitSpec())

    sizes = Counter(e.split for e in placed)
    assert abs(sizes["train"] / len(placed) - 0.6) < 0.005
    assert abs(sizes["test"] / len(placed) - 0.2) < 0.005
    assert find_leaks(placed) == []
