"""Ties: what they are taken for, and that nothing else moves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fusionrec.errors import BadInputError
from training.interactions import Interactions, Vocabulary
from training.variants import Variant, random_pairs, rising, same_moment, shuffled

OFFSETS = np.array([0, 6, 6, 11, 400])  # one user has nothing


@pytest.fixture
def data() -> Interactions:
    rng = np.random.default_rng(0)
    n = OFFSETS[-1]
    days = np.sort(rng.integers(0, 3, n)) * 86_400_000
    return Interactions(50, OFFSETS, rng.integers(1, 51, n), rng.integers(1, 4, n), days, np.zeros(n, np.int64))


def runs(data: Interactions, joined: np.ndarray) -> list[list[int]]:
    cuts = np.flatnonzero(~joined)
    return [sorted(run.tolist()) for run in np.split(data.items, cuts[1:])]


def test_a_shuffle_keeps_users_runs_and_what_belongs_to_an_event(data: Interactions) -> None:
    marked = replace(data, events=data.items % 7)
    joined = same_moment(marked)
    mixed = shuffled(marked, joined, seed=1)
    assert runs(mixed, joined) == runs(marked, joined)
    assert (mixed.events == mixed.items % 7).all()
    assert (mixed.items != marked.items).any()
    assert mixed.sent_at is marked.sent_at
    assert not joined[OFFSETS[[0, 2, 3]]].any()  # no run reaches from one user into the next


def test_the_seed_decides_the_order(data: Interactions) -> None:
    joined = same_moment(data)
    once, again, other = (shuffled(data, joined, seed).items for seed in (3, 3, 4))
    assert (once == again).all()
    assert (once != other).any()


def test_events_of_one_moment_but_another_session_are_no_ties(data: Interactions) -> None:
    apart = replace(data, sessions=np.arange(len(data)))
    assert same_moment(data).any()
    assert not same_moment(apart).any()


def test_rising_runs_follow_the_catalogue_and_unknown_items_join_none(data: Interactions) -> None:
    few = replace(data, offsets=np.array([0, 6]), items=np.array([4, 5, 2, 3, 1, 6]))
    places = np.array([0, 10, 20, 30, 5, 40, 0])
    assert rising(few, places).tolist() == [False, True, False, True, False, False]


def test_a_quarter_of_neighbours_change_places_where_nothing_is_known(data: Interactions) -> None:
    items = np.tile(np.arange(1, 9), 5_000)
    many = replace(data, offsets=np.arange(0, 40_001, 8), items=items, events=items)
    mixed = shuffled(many, random_pairs(many, seed=0), seed=0).items.reshape(-1, 8)
    assert 0.24 < (np.diff(mixed, axis=1) < 0).mean() < 0.26
    assert (abs(mixed - np.arange(1, 9)) <= 1).all()


@pytest.mark.parametrize(
    ("has_times", "listed", "rule"),
    [
        (True, None, "same moment"),
        (False, ("b", "a"), "rising in the catalogue's order"),
        (False, None, "pairs of neighbours at random"),
    ],
)
def test_the_rule_follows_from_what_the_data_know(
    data: Interactions, has_times: bool, listed: tuple[str, ...] | None, rule: str
) -> None:
    vocabulary = Vocabulary(tuple(f"item-{number}" for number in range(50)))
    dataset = SimpleNamespace(catalogue_order=listed, folder=Path())
    read = replace(data, has_times=has_times)
    assert Variant(ties="shuffled").read(dataset, read, vocabulary)[1] == rule  # type: ignore[arg-type]
    assert Variant().read(dataset, read, vocabulary) == (read, "")  # type: ignore[arg-type]


def test_defaults_change_no_name_and_no_key() -> None:
    assert Variant(seed=5).suffix == ""
    assert Variant(seed=5).facts() == ()
    names = {Variant(ids_only, ties).suffix for ids_only in (False, True) for ties in ("file", "shuffled")}
    assert names == {"", "-ids-only", "-ties-shuffled", "-ids-only-ties-shuffled"}
    assert Variant(encoder=True, ties="shuffled").suffix == "-encoder-ties-shuffled"
    assert Variant(encoder=True).title == ", encoder"
    assert Variant(encoder=True).facts() != ()
    assert Variant(ties="shuffled").facts() != Variant(ties="shuffled", seed=1).facts() != ()


def test_ids_alone_have_no_texts_to_encode() -> None:
    with pytest.raises(BadInputError, match="ids-only"):
        Variant(ids_only=True, encoder=True)


def test_what_a_shop_serves_from_is_all_that_is_known_in_its_order() -> None:
    assert Variant(encoder=True).as_served
    assert not Variant(ids_only=True).as_served
    assert not Variant(ties="shuffled").as_served
