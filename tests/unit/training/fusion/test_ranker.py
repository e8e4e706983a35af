"""The fused graph: mask before top-k, exact contributions, nothing changed by padding."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.testing import assert_allclose

from fusionrec.errors import BundleError
from fusionrec.transforms import ModelInput
from tests.suites.models import arrays, padded, shop_inputs
from training import export
from training.evaluate import FUSION, rank
from training.export import HISTORY_INPUTS, OUTPUTS, check_parity, check_size, export_ranker
from training.fusion.additive import AdditiveFusion, situation
from training.fusion.candidates import PartScores, union_of_first
from training.fusion.evidence import width_of, width_of_user
from training.fusion.facts import ItemFacts
from training.fusion.fit import FusionConfig, fit_fusion
from training.fusion.ranker import FusedRanker, SecondStage
from training.fusion.stacker import Ensemble, Stacker, StackerConfig
from training.interactions import Requests
from training.models.attention import Attention, AttentionConfig
from training.models.ease import Ease, EaseConfig
from training.models.popularity import Popularity
from training.shop import NOW_MS, Shop, two_taste_shop, with_answers


@pytest.fixture(scope="module")
def shop() -> Shop:
    return two_taste_shop()


@pytest.fixture(scope="module", params=["one stage", "two stages"])
def ranker(request: pytest.FixtureRequest, shop: Shop) -> FusedRanker:
    """K = 4 of 10 items, a gate that depends on the situation, bent shapes; a second stage with pairs of parts."""
    torch.manual_seed(1)
    data = shop.interactions
    attention = Attention(10, AttentionConfig(dim=8, n_layers=1, max_length=8)).eval()
    parts = [part.fit(data, NOW_MS) for part in (Popularity(10), Ease(10, EaseConfig(l2=1.0)))]
    fusion = AdditiveFusion(3)
    for parameter in fusion.parameters():
        torch.nn.init.uniform_(parameter, 0.1, 1.0)
    second = None
    if request.param == "two stages":
        stacker = Stacker(3, width_of([*parts, attention]), width_of_user(3), StackerConfig(hidden=6, dim=4))
        for parameter in stacker.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        second = SecondStage(Ensemble([stacker]), ItemFacts(10).fit(data, NOW_MS))
    return FusedRanker([*parts, attention], fusion, top_k=4, second=second).eval()


@pytest.fixture(scope="module")
def graph(ranker: FusedRanker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ranker") / "ranker.onnx"
    export_ranker(ranker, path)
    return path


def run(graph: Path, inputs: ModelInput, eligible: np.ndarray) -> tuple[np.ndarray, ...]:
    session = onnxruntime.InferenceSession(graph)
    return tuple(session.run(list(OUTPUTS), dict(zip((*HISTORY_INPUTS, "eligible"), (*inputs, eligible), strict=True))))


def test_graph_and_torch_agree_on_all_shapes_of_history(ranker: FusedRanker, graph: Path) -> None:
    assert check_parity(ranker, graph) <= 1e-4


@pytest.mark.parametrize("flaw", [float("nan"), 1.0])
def test_a_graph_that_differs_is_not_let_through(shop: Shop, graph: Path, ranker: FusedRanker, flaw: float) -> None:
    spoilt = copy.deepcopy(ranker)
    spoilt.part(Ease).weights += flaw
    with pytest.raises(BundleError, match="differs from torch"):
        check_parity(spoilt, graph)


def test_right_scores_at_the_wrong_items_are_not_let_through(ranker: FusedRanker, graph: Path, tmp_path: Path) -> None:
    backwards = onnx.helper.make_node("Gather", ["raw", "constant"], ["items"], axis=1)
    model = onnx.load(graph)
    for made in model.graph.node:
        for names in (made.input, made.output):
            names[:] = ["raw" if name == "items" else name for name in names]
    model.graph.node.append(backwards)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([3, 2, 1, 0]), "constant"))
    onnx.save(model, tmp_path / "spoilt.onnx")
    with pytest.raises(BundleError, match="differs from torch"):
        check_parity(ranker, tmp_path / "spoilt.onnx")


def test_a_graph_that_does_not_mask_is_not_let_through(ranker: FusedRanker, graph: Path, tmp_path: Path) -> None:
    open_to_all = onnx.helper.make_node("Or", ["eligible", "constant"], ["mask"])
    model = onnx.load(graph)
    for made in model.graph.node:
        made.input[:] = ["mask" if name == "eligible" else name for name in made.input]
    model.graph.node.insert(0, open_to_all)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), "constant"))
    onnx.save(model, tmp_path / "spoilt.onnx")
    with pytest.raises(BundleError, match="differs from torch"):
        check_parity(ranker, tmp_path / "spoilt.onnx")


def test_a_graph_that_no_function_can_hold_is_refused(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_size(graph)
    monkeypatch.setattr(export, "MAX_GRAPH_MB", graph.stat().st_size / 1e6 - 0.001)
    with pytest.raises(BundleError, match=r"at most .* fit into a function"):
        check_size(graph)


@pytest.mark.parametrize("batch", [1, 3, 14])
def test_contributions_and_base_make_the_score(graph: Path, batch: int) -> None:
    _, scores, contributions, base = run(graph, arrays(10, batch, 9), np.ones((batch, 11), bool))
    assert contributions.shape == (batch, 4, 3)
    assert_allclose(base[:, None] + contributions.sum(axis=2), scores, atol=1e-5)


def test_the_sum_holds_where_the_parts_stand_far_from_zero() -> None:
    """2,000 items of which a few stand out by hundreds: float32 has steps of 3e-5 there."""
    torch.manual_seed(3)
    parts, fusion = [Popularity(2_000) for _ in range(3)], AdditiveFusion(3)
    for part in parts:
        standing = torch.randn(2_001).mul_(0.01)
        standing[1:9] += 30.0 + torch.rand(8)
        part.log_new = part.log_popularity = standing
    with torch.no_grad():
        fusion.slopes[:, :, 0] = torch.tensor([15.1, 16.3, 14.7])  # of what stands in the history, too
    ranker = FusedRanker(parts, fusion, top_k=8).eval()
    history = (torch.tensor([[100, 101, 102, 103, 104]]), torch.full((1, 5), 4), torch.arange(5.0, 0.0, -1.0)[None])
    with torch.inference_mode():
        _, scores, contributions, base = ranker(*history, torch.ones(1, 2_001, dtype=torch.bool))
        first = ranker.first_stage(ranker.standardised(*history), history[0], history[2])
    assert float(first.max()) > 500.0
    total = base[:, None].double() + contributions.double().sum(dim=2)
    assert_allclose(total, scores.double(), atol=1e-5, rtol=0)


def test_the_mask_comes_before_top_k(graph: Path, shop: Shop) -> None:
    """With only the four worst items eligible, all four are returned, best first."""
    inputs = shop_inputs(shop)
    everything = np.ones((14, 11), bool)
    best = run(graph, inputs, everything)[0]
    eligible = everything.copy()
    np.put_along_axis(eligible, best, False, axis=1)
    items, scores, _, _ = run(graph, inputs, eligible)
    assert np.isfinite(scores).all()
    assert np.take_along_axis(eligible, items, axis=1).all()
    assert (np.diff(scores, axis=1) <= 0).all()


def test_too_few_eligible_items_end_in_minus_infinity(graph: Path, shop: Shop) -> None:
    eligible = np.zeros((14, 11), bool)
    eligible[:, [0, 2, 7]] = True  # 0 is padding: never an answer
    items, scores, _, _ = run(graph, shop_inputs(shop), eligible)
    assert np.isneginf(scores[:, 2:]).all()
    assert set(items[:, :2].ravel()) == {2, 7}


def test_padding_changes_nothing(graph: Path, shop: Shop) -> None:
    eligible = np.ones((14, 11), bool)
    found, expected = run(graph, padded(shop_inputs(shop), 5), eligible), run(graph, shop_inputs(shop), eligible)
    for one, other in zip(found[1:], expected[1:], strict=True):
        assert_allclose(one, other, atol=1e-5)


def test_scores_are_log_probabilities_of_the_catalogue(ranker: FusedRanker, shop: Shop) -> None:
    wide = FusedRanker(list(ranker.parts), ranker.fusion, top_k=10, second=ranker.second)
    tensors = [torch.from_numpy(array) for array in shop_inputs(shop)]
    with torch.inference_mode():
        _, scores, _, _ = wide(*tensors, torch.ones(14, 11, dtype=torch.bool))
    assert_allclose(torch.exp(scores).sum(dim=1), np.ones(14), rtol=1e-4)


def test_the_situation_tells_length_recency_repeats_and_nothing() -> None:
    items = torch.tensor([[0, 0, 0, 0], [0, 3, 3, 4]])
    ages = torch.tensor([[0.0, 0.0, 0.0, 0.0], [0.0, 9.0, 5.0, 2.0]])
    found = situation(items, ages)
    assert_allclose(found[0], [0.0, 0.0, 0.0, 1.0], atol=1e-6)
    assert_allclose(found[1], [np.log(4) / 5, np.log(3) / 5, 1 / 3, 0.0], rtol=1e-5)


def test_the_fusion_learns_which_part_to_trust() -> None:
    """Part 0 knows the answer after long histories, part 1 after short ones; part 2 is noise."""
    make = torch.Generator().manual_seed(0)
    relevant = torch.zeros(400, 20, dtype=torch.bool)
    relevant[torch.arange(400), torch.randint(0, 20, (400,), generator=make)] = True
    scores = torch.randn(400, 3, 20, generator=make)
    long = torch.arange(400) % 2
    scores[:, 0] += 3.0 * relevant * long[:, None]
    scores[:, 1] += 3.0 * relevant * (1 - long)[:, None]
    where = torch.stack([long.float(), *[torch.zeros(400)] * 3], dim=1)
    fusion = fit_fusion(PartScores(scores, relevant, where, torch.zeros(400, 20)), FusionConfig())
    strength = fusion(
        torch.full((2, 3, 1), 2.0), torch.tensor([[0.0, 0, 0, 0], [1.0, 0, 0, 0]]), torch.zeros(2, 1)
    ).squeeze(2)
    assert strength[1, 0] > strength[0, 0] + 0.5
    assert strength[0, 1] > strength[1, 1] + 0.5
    assert strength[:, 2].abs().max() < strength.max() / 4


def test_the_union_holds_the_first_items_of_every_part_once() -> None:
    scores = torch.tensor([[[9.0, 8.0, 1.0, 0.0, -1.0], [0.0, 1.0, 2.0, 8.0, 9.0]]])
    chosen = union_of_first(scores, 4)
    assert sorted(chosen[0].tolist()) == [0, 1, 3, 4]


def test_the_second_stage_orders_the_candidates_of_the_first(ranker: FusedRanker, shop: Shop) -> None:
    """The same four items, and together as probable as the first stage held them."""
    one = FusedRanker(list(ranker.parts), ranker.fusion, top_k=4).eval()
    tensors = [torch.from_numpy(array) for array in shop_inputs(shop)]
    everything = torch.ones(14, 11, dtype=torch.bool)
    with torch.inference_mode():
        first_items, first_scores, _, _ = one(*tensors, everything)
        items, scores, _, _ = ranker(*tensors, everything)
    assert_allclose(items.sort(dim=1).values, first_items.sort(dim=1).values)
    assert_allclose(scores.logsumexp(dim=1), first_scores.logsumexp(dim=1), atol=1e-5)
    assert (items != first_items).any() == (ranker.second is not None)


def test_evaluation_masks_seen_items_before_the_first_stage_chooses(ranker: FusedRanker, shop: Shop) -> None:
    data = with_answers(shop)
    users, ends = np.arange(data.n_users), data.offsets[1:]
    requests = Requests(users, ends - 1, ends, np.full(len(users), NOW_MS))
    found = rank(ranker, data, requests, seen="mask", seed=0).slates[FUSION]
    items, events, ages = (torch.from_numpy(array) for array in requests.inputs(data, users))
    eligible = torch.ones(len(users), data.n_items + 1, dtype=torch.bool).scatter(1, items, False)
    with torch.inference_mode():
        answered, _, _, _ = ranker(items, events, ages, eligible)
    assert_allclose(found[:, :4], answered)


def test_evaluation_ranks_the_candidates_as_the_answer_does(ranker: FusedRanker, shop: Shop) -> None:
    tensors = [torch.from_numpy(array) for array in shop_inputs(shop)]
    eligible = torch.ones(14, 11, dtype=torch.bool)
    eligible[:, 0] = False
    eligible[:, 3] = False
    with torch.inference_mode():
        items, scores, _, _ = ranker(*tensors, eligible)
        whole = ranker.catalogue(ranker.standardised(*tensors), tensors[0], tensors[2], eligible)
    ranked = whole.masked_fill(~eligible, -torch.inf).topk(4, dim=1)
    assert_allclose(ranked.indices, items)
    assert_allclose(ranked.values, scores, atol=1e-5)
