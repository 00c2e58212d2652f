"""Metrics by name: every one that is listed can be made, and a mistake is named."""

from pathlib import Path

import pytest

from ratchet.core import Example, Json, MetricSpec
from ratchet.core.errors import MetricError
from ratchet.metrics import METRICS, FunctionMetric, NumberError, make_metric


@pytest.mark.parametrize("name", METRICS)
def test_every_listed_metric_is_made(name: str) -> None:
    """A name without options gives the metric with its defaults, always of the same id."""
    first, second = make_metric(MetricSpec(name=name)), make_metric(MetricSpec(name=name))

    assert isinstance(first, METRICS[name])
    assert first.id == second.id


def test_options_reach_the_metric() -> None:
    """Options are those of the metric, and part of its id."""
    made = make_metric(MetricSpec(name="number", options={"error": "relative", "zero_at": 2}))

    assert made.id == NumberError(error="relative", zero_at=2).id
    assert made.id != NumberError().id


def test_a_function_is_found_from_the_root(tmp_path: Path) -> None:
    """A user's function is named by a path from the workspace's folder."""
    (tmp_path / "mine.py").write_text("def score(inputs, reference, answer):\n    return 0.5\n")

    made = make_metric(
        MetricSpec(name="function", options={"path": "mine.py:score"}), root=tmp_path
    )

    assert isinstance(made, FunctionMetric)
    assert made.score(Example(inputs={}, reference=1), 1).value == 0.5


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "lable",
            {},
            r"unknown metric 'lable'; there are exact, .*function\. Did you mean 'label'",
        ),
        ("exact", {"loose": True}, "metric 'exact': .*unexpected keyword argument 'loose'"),
        ("number", {"error": "cubic"}, "got 'cubic'"),
        ("number", {"zero_at": "x"}, "metric 'number': "),
        ("spans", {"near": 3}, "metric 'spans': "),
        (
            "spans",
            {"near": ["A", "B"]},
            r"near wants pairs .* as in \[\['A', 'B'\]\]; got 'A' by itself",
        ),
        ("function", {"path": "m.py:f", "pth": "x"}, "no option 'pth'.*Did you mean 'path'"),
        ("function", {}, r"metric\.options\.path is file\.py:function"),
    ],
)
def test_a_mistake_in_a_metric_is_named(
    name: str, options: dict[str, Json], message: str, tmp_path: Path
) -> None:
    """An unknown name or option is an error that names it and what there is."""
    with pytest.raises(MetricError, match=message):
        make_metric(MetricSpec(name=name, options=options), root=tmp_path)
