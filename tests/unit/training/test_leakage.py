"""Users do something else in the test window: all that is learnt and chosen before stays as it is, bit for bit.

Both protocols, each on data whose own it is: `temporal` where there are times, prices and words, leave-one-out where
there is nothing but the order of ids. So the two usual recipes take in all parts; words stand in for what a sentence
encoder makes of them, which takes seconds.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from torch import Tensor, nn

from tests.suites.shop_changed_in_test import N_ITEMS, N_USERS, with_times, without_times
from training import train
from training.background import Background
from training.evaluate import Evaluation
from training.fusion import stacker_fit
from training.fusion.candidates import EvidenceTable
from training.fusion.fit import FusionConfig
from training.fusion.stacker import StackerConfig
from training.fusion.stacker_fit import Choice, StackerFitConfig, choose_rounds
from training.interactions import Interactions
from training.loop import LoopConfig
from training.models.als import AlsConfig
from training.models.attention import AttentionConfig
from training.models.graph import GraphConfig
from training.models.moments import MomentsConfig
from training.models.two_tower import TwoTowerConfig
from training.protocols import Protocol, Split
from training.recipe import Recipe, repeats_matter
from training.search.objective import Judge
from training.search.prepared import search_of
from training.search.study import CHECKED, climb, default_trial, open_study
from training.stages import Stages
from training.train import Judged, Prepared, judge, usual_recipe

QUICK = LoopConfig(n_epochs=2)
STACKER = StackerFitConfig(StackerConfig(hidden=8, dim=4), n_members=2, n_rounds=1, n_steps=10, n_turns=2)


def reading_words(prepared: Prepared) -> Prepared:
    """With the words as what the encoder made of the items, where there are any."""
    words = prepared.data.content
    return replace(prepared, data=replace(prepared.data, vectors=None if words is None else words.toarray()))


class Pair(NamedTuple):
    """The same data, but for what users did in the test window."""

    plain: Prepared
    changed: Prepared

    @property
    def protocol(self) -> Protocol:
        return self.plain.protocol


@pytest.fixture(scope="module", params=["temporal", "leave-one-out"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    make = with_times if request.param == "temporal" else without_times
    read = [Prepared.read(make(tmp_path_factory.mktemp("home"), changed=it)) for it in (False, True)]
    plain, changed = map(reading_words, read)
    assert plain.protocol == changed.protocol == request.param
    return Pair(plain, changed)


def quick(prepared: Prepared, protocol: Protocol, cut: Split) -> Recipe:
    """The usual recipe with small parts, and few steps of both stages."""
    usual = usual_recipe(prepared, protocol, cut)
    attention = AttentionConfig(dim=8, n_layers=1, max_length=8, loop=QUICK)
    towers = TwoTowerConfig(dim=8, loop=QUICK, moments=MomentsConfig(n_negatives=16))
    return replace(
        usual,
        attention=usual.attention and attention,
        als=usual.als and AlsConfig(n_factors=8),
        graph=usual.graph and GraphConfig(n_factors=4),
        two_tower=usual.two_tower and towers,
        fusion=FusionConfig(n_steps=5),
        stacker=STACKER,
    )


def at_least_one(table: EvidenceTable, *others: object) -> Choice:
    """As it is chosen; but of so few users none may gain by a second stage, and there has to be one to look at."""
    chosen = choose_rounds(table, *others)
    return replace(chosen, n_rounds=max(chosen.n_rounds, 1))


class Look(NamedTuple):
    """What was judged, and what its slates were held against."""

    judged: list[Judged]
    backgrounds: list[Background]


@pytest.fixture(scope="module")
def look(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Look:
    measure, backgrounds = train.evaluate, []

    def measured(*asked: Any, background: Background, **options: Any) -> Evaluation:
        backgrounds.append(background)
        return measure(*asked, background=background, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "usual_recipe", quick)
        patch.setattr(train, "evaluate", measured)
        patch.setattr(stacker_fit, "choose_rounds", at_least_one)
        stages = [Stages(tmp_path_factory.mktemp("work"), lambda *_: None) for _ in pair]
        judged = [judge(each, own, each.protocol) for each, own in zip(pair, stages, strict=True)]
    return Look(judged, backgrounds)


@pytest.fixture(scope="module")
def judged(look: Look) -> list[Judged]:
    return look.judged


def tensors(module: nn.Module) -> dict[str, Tensor]:
    """All of them, also those that a state dict leaves out."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def assert_same(one: nn.Module, other: nn.Module) -> None:
    ours, theirs = tensors(one), tensors(other)
    assert ours
    assert ours.keys() == theirs.keys()
    assert [name for name, tensor in ours.items() if not torch.equal(tensor, theirs[name])] == []


def apart(prepared: Prepared) -> tuple[Interactions, Interactions]:
    """What was there before the test window, and what is in it."""
    data, asked = prepared.data, prepared.split(prepared.protocol).test
    in_test = np.zeros(len(data), bool)
    for begin, end in zip(asked.ends, asked.until, strict=True):
        in_test[begin:end] = True
    return data.where(~in_test), data.where(in_test)


def test_the_data_differ_in_the_test_window_alone(pair: Pair) -> None:
    """And there in all that a leak could carry: in counts, and in whether users come back to items."""
    (before, one), (same, other) = map(apart, pair)
    assert pair.plain.vocabulary == pair.changed.vocabulary
    assert pair.plain.dataset.cutoffs == pair.changed.dataset.cutoffs
    timed = pair.protocol == "temporal"
    for name in ("offsets", "items", "events", "sent_at", "sessions", *["prices"] * timed):
        assert_array_equal(getattr(before, name), getattr(same, name))
    assert len(one) >= 30
    assert (len(other) >= len(one) + 10) == timed
    for name in ("items", *["events", "sent_at", "prices"] * timed):
        ours, theirs = (getattr(each, name)[each.offsets[:-1][np.diff(each.offsets) > 0]] for each in (one, other))
        assert (ours != theirs).mean() > 0.9, name
    whole, changed = pair.plain.data, pair.changed.data
    assert (np.bincount(whole.items) != np.bincount(changed.items)).any()
    assert (repeats_matter(whole), repeats_matter(changed)) == (False, True)


class TestJudge:
    def test_the_recipe_and_what_is_seen_are_chosen_without_the_test(self, judged: list[Judged]) -> None:
        one, other = judged
        assert one.recipe == other.recipe
        assert one.evaluation.seen == other.evaluation.seen == "mask"

    def test_no_part_learns_from_it(self, judged: list[Judged]) -> None:
        one, other = judged
        assert one.ranker.part_names == other.ranker.part_names
        assert ("encoder" in one.ranker.part_names) == (one.protocol == "temporal")
        assert_same(one.ranker.parts, other.ranker.parts)

    def test_neither_stage_of_the_fusion_learns_from_it(self, judged: list[Judged]) -> None:
        one, other = (each.fused for each in judged)
        assert one.choice == other.choice
        assert_same(one.first, other.first)
        assert one.second is not None
        assert other.second is not None
        assert_same(one.second, other.second)

    def test_the_ranker_that_is_judged_knows_nothing_of_it(self, judged: list[Judged]) -> None:
        """The facts of items are in it."""
        one, other = judged
        assert one.ranker.second is not None
        assert "second.facts.table" in tensors(one.ranker)
        assert_same(one.ranker, other.ranker)

    def test_slates_are_held_against_what_was_before(self, pair: Pair, look: Look) -> None:
        """Novelty, popularity and what is a rare item would else count the very events that are to be found."""
        one, other = look.backgrounds
        fit = pair.plain.split(pair.protocol).fit
        assert one.n_events.sum() == len(fit)
        assert one.n_users == other.n_users == (np.diff(fit.offsets) > 0).sum()
        for name in ("n_holders", "n_events", "categories", "kinds"):
            assert_array_equal(getattr(one, name), getattr(other, name))
        assert_array_equal(one.vectors.toarray(), other.vectors.toarray())

    def test_before_it_both_answer_alike(self, pair: Pair, judged: list[Judged]) -> None:
        """Whatever else they may hold besides tensors."""
        answers = []
        for prepared, each in zip(pair, judged, strict=True):
            asked = prepared.split(pair.protocol).validation
            arrays = [torch.from_numpy(array) for array in asked.inputs(prepared.data, range(len(asked.users)))]
            with torch.inference_mode():
                answers.append(each.ranker(*arrays, torch.ones(len(asked.users), N_ITEMS + 1, dtype=torch.bool)))
        assert all(torch.equal(one, other) for one, other in zip(*answers, strict=True))

    def test_the_test_itself_tells_the_difference(self, judged: list[Judged]) -> None:
        """Or all of the above would be said of data that are the same."""
        one, other = (each.evaluation.means() for each in judged)
        assert one.keys() == other.keys()
        assert all(one[model] != other[model] for model in one)


PARTS = ("popularity", "ease", "transitions")


@pytest.mark.parametrize("part", PARTS)
def test_a_search_values_settings_without_the_test(pair: Pair, part: str, tmp_path: Path) -> None:
    found = []
    for name, prepared in zip(pair._fields, pair, strict=True):
        search = search_of(prepared, part, N_USERS, seed=0)
        study = open_study(search, tmp_path / name)
        climb(search, study, seconds=0)
        trial = default_trial(search, study)
        assert trial is not None
        found.append((search, trial.value, trial.user_attrs[CHECKED]))
    (one, *values), (other, *same) = found
    assert values == same
    assert (one.judge.seen, other.judge.seen) == ("mask", "mask")
    assert_same(*(each.what.part(N_ITEMS, each.default).fit(each.data, each.now_ms) for each in (one, other)))


@pytest.mark.parametrize("part", PARTS)
def test_the_same_search_would_tell_the_difference(pair: Pair, part: str) -> None:
    """Asked for the test window, or fitted on all there is, the same settings have other values."""
    on_test, on_all = [], []
    for prepared in pair:
        search, cut = search_of(prepared, part, N_USERS, seed=0), prepared.split(pair.protocol)
        fitted = search.what.part(N_ITEMS, search.default).fit(search.data, search.now_ms)
        on_test.append(Judge.of(prepared.data, cut.test, "mask", N_USERS, seed=0).on_choosing(fitted).mean())
        leaky = search.what.part(N_ITEMS, search.default).fit(prepared.data, search.now_ms)
        on_all.append(search.judge.on_choosing(leaky).mean())
    assert on_test[0] != on_test[1]
    assert on_all[0] != on_all[1]
