"""The re-ranker's weight buys diversity by categories or attributes; without both it changes nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training.background import Background
from training.evaluate import Evaluation, evaluate
from training.fusion.additive import AdditiveFusion
from training.fusion.ranker import FusedRanker
from training.interactions import Interactions, Requests
from training.models.ease import Ease, EaseConfig
from training.models.popularity import Popularity
from training.plots import trade_off_figure, write_svg
from training.shop import NOW_MS, two_taste_shop, with_answers
from training.tradeoff import N_REQUESTS, WEIGHTS, Point, trade_off


@pytest.fixture(scope="module")
def ranker() -> FusedRanker:
    """Two parts that are fitted in no time."""
    shop = two_taste_shop(users=26, items=24).interactions
    parts = [part.fit(shop, NOW_MS) for part in (Popularity(24), Ease(24, EaseConfig(l2=1.0)))]
    return FusedRanker(parts, AdditiveFusion(2), top_k=300).eval()


@pytest.fixture(scope="module")
def answers() -> tuple[Interactions, Requests]:
    data = with_answers(two_taste_shop(users=26, items=24))
    ends = data.offsets[1:]
    return data, Requests(np.arange(26), ends - 1, ends, np.full(26, NOW_MS))


@pytest.fixture(scope="module")
def background(answers: tuple[Interactions, Requests]) -> Background:
    data, requests = answers
    tastes = np.array([0, *([1] * 12), *([2] * 12)])
    return Background.of(data.prefix(requests.ends), tastes)


@pytest.fixture(scope="module")
def judged(ranker: FusedRanker, answers: tuple[Interactions, Requests]) -> Evaluation:
    return evaluate(ranker, *answers, seen="keep")


@pytest.fixture(scope="module")
def points(ranker: FusedRanker, answers: tuple[Interactions, Requests], background: Background) -> list[Point]:
    return trade_off(ranker, *answers, background)


def test_the_first_point_is_the_fusion_itself(points: list[Point], judged: Evaluation) -> None:
    assert [point.weight for point in points] == list(WEIGHTS)
    assert points[0].ndcg == pytest.approx(judged.rows["fusion"]["ndcg@10"])
    assert points[0].diversity == pytest.approx(judged.rows["fusion"]["diversity@10"])


def test_weight_buys_diversity_of_categories(points: list[Point]) -> None:
    assert points[-1].diversity[0] > points[0].diversity[0] + 0.1  # two tastes in one slate share no buyer


def test_without_categories_attributes_tell_the_kinds(
    ranker: FusedRanker, answers: tuple[Interactions, Requests], background: Background, points: list[Point]
) -> None:
    data, requests = answers
    alike = Background.of(data.prefix(requests.ends), None, background.kinds.repeat(2, axis=1))
    assert trade_off(ranker, *answers, alike) == points
    both = Background.of(data.prefix(requests.ends), background.categories, alike.kinds)
    assert both.kinds.tolist() == background.kinds.tolist(), "categories come first"


def test_without_both_every_weight_gives_the_same_slate(
    ranker: FusedRanker, answers: tuple[Interactions, Requests]
) -> None:
    data, requests = answers
    flat = trade_off(ranker, *answers, Background.of(data.prefix(requests.ends)))
    assert {point.ndcg for point in flat} == {flat[0].ndcg}


def test_requests_are_drawn_where_there_are_many(
    ranker: FusedRanker, answers: tuple[Interactions, Requests], background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert N_REQUESTS > 26
    monkeypatch.setattr("training.tradeoff.N_REQUESTS", 5)
    once, again = (trade_off(ranker, *answers, background, seed=1) for _ in range(2))
    assert once == again


def test_the_picture_names_every_model_and_is_the_same_twice(
    points: list[Point], judged: Evaluation, tmp_path: Path
) -> None:
    for name in ("a.svg", "b.svg"):
        write_svg(trade_off_figure(judged, points, "toy shop"), tmp_path / name)
    first = (tmp_path / "a.svg").read_text()
    assert first == (tmp_path / "b.svg").read_text()
    axes = trade_off_figure(judged, points, "toy shop").axes[0]
    labels = ", ".join(text.get_text() for text in axes.texts)
    assert all(model.replace("_", " ") in labels for model in judged.rows)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.svg", "b.svg"]  # no scratch file is left


def test_rounding_below_the_mean_does_not_spoil_the_picture(judged: Evaluation) -> None:
    """Where all users are alike, an end of the interval may lie beyond the mean by the last digit."""
    point = Point(0.0, (0.3, 0.3 + 1e-13, 0.3 - 1e-13), (0.5, 0.5, 0.5))
    assert trade_off_figure(judged, [point], "toy shop").axes


def test_seen_items_are_left_out_where_they_are_masked(
    ranker: FusedRanker, answers: tuple[Interactions, Requests], background: Background
) -> None:
    """Of a taste's twelve items eleven are in the history: what is left is the wanted one and the other taste."""
    masked = trade_off(ranker, *answers, background, seen="mask")
    judged = evaluate(ranker, *answers, seen="mask", background=background)
    assert masked[0].ndcg == pytest.approx(judged.rows["fusion"]["ndcg@10"])
    assert masked[0].ndcg[0] > 0.9
