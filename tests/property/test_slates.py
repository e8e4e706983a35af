"""Slates: no repeats, nothing ineligible, full when possible, independent of the order of what is excluded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fusionrec.adapters.memory import FixedClock, MemoryFeatures, MemorySlates
from fusionrec.contracts.recommendations import RecommendationRequest
from fusionrec.reranking.diversity import spread
from tests.suites.serving import NOW, active_model, recommender

ITEMS = [f"item-{number:02d}" for number in range(1, 11)]


@pytest.fixture(scope="module")
def model(toy_bundle):
    return active_model(toy_bundle)


requests = st.fixed_dictionaries(
    {
        "recentItemIds": st.lists(st.sampled_from([*ITEMS, "gone"]), max_size=12),
        "excludeItemIds": st.lists(st.sampled_from([*ITEMS, "gone"]), max_size=12),
        "numResults": st.integers(1, 20),
        "diversity": st.sampled_from([0.0, 0.3, 1.0]),
        "scenario": st.sampled_from(["home", "product", "cart", "email"]),
    },
    optional={"itemId": st.sampled_from(ITEMS)},
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests, st.randoms(use_true_random=False))
def test_a_slate_is_whole_and_clean(model, fields, random) -> None:
    use_case = recommender(model, MemoryFeatures(FixedClock(NOW)), MemorySlates())
    answer = use_case.recommend(RecommendationRequest.model_validate(fields))
    shown = [item.item_id for item in answer.item_list]
    barred = {*fields["excludeItemIds"], fields.get("itemId")}
    assert len(set(shown)) == len(shown)
    assert not barred & set(shown)
    assert len(shown) == min(fields["numResults"], len(set(ITEMS) - barred))
    shuffled = [*fields["excludeItemIds"], *fields["excludeItemIds"]]
    random.shuffle(shuffled)
    again = use_case.recommend(RecommendationRequest.model_validate({**fields, "excludeItemIds": shuffled}))
    assert [item.item_id for item in again.item_list] == shown


@given(
    st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=40),
    st.floats(0, 1),
    st.integers(1, 50),
    st.randoms(use_true_random=False),
)
def test_spreading_keeps_the_best_first_and_repeats_nothing(values, weight, n_results, random) -> None:
    scores = np.sort(np.array(values, np.float32))[::-1]
    kinds = np.array([[random.randint(0, 4) for _ in range(2)] for _ in values], np.int32)
    chosen = spread(scores, kinds, weight, n_results)
    assert len(set(chosen.tolist())) == len(chosen) == min(n_results, len(values))
    if weight < 1:
        assert chosen[0] == 0
    if weight == 0:
        assert chosen.tolist() == list(range(len(chosen)))
