"""The recipe follows from properties of the data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fusionrec.feature_spec import EVENT_CODES
from training.content import rare_terms
from training.interactions import Interactions
from training.protocols import leave_one_out, temporal
from training.recipe import Recipe, repeats_matter
from training.shop import NOW_MS, two_taste_shop


@pytest.fixture(scope="module")
def rare() -> Interactions:
    """14 users and 10 items with words: four interactions a user, so fewer than six an item."""
    words = rare_terms([set(), *({"sweet" if item <= 5 else "salty"} for item in range(1, 11))], max_share=0.6)
    return replace(two_taste_shop().interactions, content=words)


@pytest.fixture(scope="module")
def frequent(rare: Interactions) -> Interactions:
    """The same histories ten times over."""
    return replace(
        rare,
        offsets=rare.offsets * 10,
        items=np.repeat(rare.items, 10),
        events=np.repeat(rare.events, 10),
        sent_at=np.repeat(rare.sent_at, 10),
        sessions=np.repeat(rare.sessions, 10),
    )


CHEAP = ("item_knn", "als", "graph")  # views of who had what, where items are rare and no words speak for them


def names(data: Interactions) -> list[str]:
    return [part.name for part in Recipe.for_split(leave_one_out(data)).parts(data.n_items)]


def test_rare_items_get_transitions_and_content(rare: Interactions) -> None:
    assert names(rare) == ["popularity", "ease", "transitions", "slist", "content", "graph", "two_tower"]
    recipe = Recipe.for_split(leave_one_out(rare))
    assert recipe.ease.content > 0
    assert recipe.transitions is not None
    assert recipe.slist is not None
    assert recipe.slist.content > 0
    assert recipe.transitions.n_alike > 0


def test_for_a_window_attention_and_cheap_views_stay_beside_words(rare: Interactions) -> None:
    window = temporal(rare, NOW_MS - 10**8, NOW_MS, NOW_MS + 1)
    recipe = Recipe.for_split(window)
    assert {"attention", "content", *CHEAP} < {part.name for part in recipe.parts(10)}
    assert recipe.ease.content > 0


def test_without_words_content_stays_off(rare: Interactions) -> None:
    mute = replace(rare, content=None)
    assert names(mute) == ["popularity", "ease", "transitions", "slist", "attention", *CHEAP, "two_tower"]
    assert Recipe.for_split(leave_one_out(mute)).ease.content == 0


def test_the_encoder_joins_where_its_vectors_were_asked_for(rare: Interactions, frequent: Interactions) -> None:
    vectors = np.eye(11, 4, dtype=np.float32)
    assert "encoder" in names(replace(rare, vectors=vectors))
    assert "encoder" in names(replace(frequent, vectors=vectors))
    assert "encoder" not in names(rare)
    cut = leave_one_out(replace(rare, vectors=vectors))
    assert "encoder" in [part.name for part in Recipe.for_split(cut).with_everything(cut).parts(10)]


def test_frequent_items_speak_for_themselves(frequent: Interactions) -> None:
    assert names(frequent) == ["popularity", "ease", "transitions", "slist", "content", "attention", "two_tower"]
    assert Recipe.for_split(leave_one_out(frequent)).ease.content == 0


def test_a_window_where_nobody_comes_back_misses_slist_and_towers(rare: Interactions, frequent: Interactions) -> None:
    habits = temporal(frequent, NOW_MS - 10**8, NOW_MS, NOW_MS + 1)
    assert [part.name for part in Recipe.for_split(habits).parts(10)] == ["popularity", "ease", "attention"]
    many_users = [rare.offsets[:-1] + number * len(rare) for number in range(10)]
    once_each = replace(
        rare,
        offsets=np.concatenate([*many_users, [10 * len(rare)]]),
        items=np.tile(rare.items, 10),
        events=np.tile(rare.events, 10),
        sent_at=np.tile(rare.sent_at, 10),
        sessions=np.tile(rare.sessions, 10),
    )
    window = temporal(once_each, NOW_MS - 10**8, NOW_MS, NOW_MS + 1)
    assert [part.name for part in Recipe.for_split(window).parts(10)] == [
        "popularity", "ease", "slist", "attention", "two_tower",
    ]  # fmt: skip


def test_to_remove_an_item_is_not_to_come_back_to_it(rare: Interactions) -> None:
    assert not repeats_matter(rare)
    twice = {name: np.repeat(getattr(rare, name), 2) for name in ("items", "events", "sent_at", "sessions")}
    again = replace(rare, offsets=rare.offsets * 2, **twice)
    assert repeats_matter(again)
    events = again.events.copy()
    events[1::2] = EVENT_CODES["removal"]
    assert not repeats_matter(replace(again, events=events))


def test_everything_is_every_kind_of_part_and_one_can_be_left_out(rare: Interactions) -> None:
    cut = leave_one_out(rare)
    every = Recipe.for_split(cut).with_everything(cut)
    names = [part.name for part in every.parts(10)]
    assert len(set(names)) == 11
    assert {"als", "graph", "two_tower", "item_knn", "frequency"} < set(names)
    assert "als" not in [part.name for part in replace(every, als=None).parts(10)]


def test_one_next_item_depends_on_the_last_ones_a_window_on_many(rare: Interactions) -> None:
    window = temporal(rare, NOW_MS - 10**8, NOW_MS, NOW_MS + 1)
    one, many = Recipe.for_split(leave_one_out(rare)), Recipe.for_split(window)
    assert one.ease.fading.half_life_steps < 5 < many.ease.fading.half_life_steps
