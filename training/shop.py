"""A small shop whose right answers are known, and bundles to serve in tests and benchmarks.

The shop is never square, so that a transposed matrix cannot pass.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch

from fusionrec.bundle.catalogue import Column
from fusionrec.feature_spec import DAY_MS, EVENT_CODES, ITEM_ATTRIBUTES, ITEM_STATS
from training.evaluate import evaluate
from training.export import N_NEIGHBOURS, BundleParts, write_bundle
from training.fusion.additive import AdditiveFusion
from training.fusion.evidence import width_of, width_of_user
from training.fusion.facts import ItemFacts
from training.fusion.ranker import FusedRanker, SecondStage
from training.fusion.stacker import Ensemble, Stacker, StackerConfig
from training.fusion.stacker_fit import StackerFitConfig
from training.interactions import Interactions, Requests
from training.loop import LoopConfig
from training.models.als import Als
from training.models.attention import Attention, AttentionConfig
from training.models.content import Content
from training.models.ease import Ease, EaseConfig
from training.models.graph import Graph, GraphConfig
from training.models.item_knn import ItemKnn
from training.models.popularity import Popularity, PopularityConfig
from training.models.protocol import Part
from training.models.slist import Slist
from training.models.sparse_rows import Rows
from training.models.transitions import Transitions, TransitionsConfig
from training.models.two_tower import TwoTower
from training.models.windows import WindowsConfig
from training.neighbours import Neighbours, nearest_by_vectors, strongest_weights

NOW: Final = datetime(2026, 11, 1, tzinfo=UTC)
NOW_MS: Final = int(NOW.timestamp() * 1000)
TOP_K: Final = 256
_WORDS: Final = ("oat", "rye", "fig", "plum", "mint", "leek", "kale", "pear", "bean", "corn", "lime", "date")
_DEPARTMENTS: Final = ("bakery", "fruit", "dairy", "drinks", "pantry", "household", "frozen", "garden")


class Shop(NamedTuple):
    """withheld: int64 (U,), the one item of the user's taste that the user has not had yet."""

    interactions: Interactions
    withheld: np.ndarray


def two_taste_shop(users: int = 14, items: int = 10) -> Shop:
    """Half of the users buy from the first half of the items, half from the second: all of it but one item, in turn.

    An item of a user's taste that it lacks is what a right model ranks first among the unseen.
    """
    bought, withheld, half = [], [], items // 2
    for user in range(users):
        taste = np.arange(1, half + 1) if user < users // 2 else np.arange(half + 1, items + 1)
        missing = taste[user % len(taste)]
        withheld.append(missing)
        bought.append(np.roll(taste[taste != missing], user))
    lengths = np.array([len(row) for row in bought])
    ages = np.concatenate([np.arange(n, 0, -1) for n in lengths])
    interactions = Interactions(
        n_items=items,
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        items=np.concatenate(bought),
        events=np.full(int(lengths.sum()), EVENT_CODES["purchase"]),
        sent_at=NOW_MS - ages * DAY_MS,
        sessions=np.concatenate([np.arange(n) for n in lengths]),
    )
    return Shop(interactions, np.array(withheld))


def toy_ranker(shop: Shop) -> FusedRanker:
    """The three parts, fitted on the shop within a second."""
    n_items = shop.interactions.n_items
    loop, windows = LoopConfig(n_epochs=60, learning_rate=1e-2), WindowsConfig(n_targets=3)
    parts = (
        Popularity(n_items, PopularityConfig()),
        Ease(n_items, EaseConfig(l2=1.0)),
        Attention(n_items, AttentionConfig(dim=16, n_layers=1, max_length=8, loop=loop, windows=windows)),
    )
    fitted = [part.fit(shop.interactions, NOW_MS) for part in parts]
    return FusedRanker(fitted, AdditiveFusion(len(parts)), TOP_K).eval()


def write_toy_bundle(folder: Path) -> Path:
    """A real, complete bundle of the two-taste shop: items `item-01` … `item-10`, in `folder` itself."""
    shop = two_taste_shop()
    ranker = toy_ranker(shop)
    parts = _bundle_parts(ranker, "toy", _learned_neighbours(ranker), _toy_metrics(shop, ranker))
    return write_bundle(folder, ranker, parts, created_at=NOW)


def random_ranker(n_items: int, seed: int = 0) -> FusedRanker:
    """A ranker with random weights, for timing: structure and size are those of the recipe where items are rare, the
    largest that there is: ten parts, two stages."""
    torch.manual_seed(seed)
    parts = _random_parts(n_items)
    facts = ItemFacts(n_items)
    facts.table = torch.rand(facts.table.shape)
    sizes = (len(parts), width_of(parts), width_of_user(len(parts)), StackerConfig())
    members = [Stacker(*sizes) for _ in range(StackerFitConfig().n_members)]
    for parameter in (parameter for member in members for parameter in member.parameters()):
        torch.nn.init.normal_(parameter, std=0.1)
    second = SecondStage(Ensemble(members), facts)
    return FusedRanker(parts, AdditiveFusion(len(parts)), TOP_K, second).eval()


def _random_parts(n_items: int) -> list[Part]:
    popularity = Popularity(n_items)
    popularity.log_new = popularity.log_popularity = torch.log_softmax(torch.randn(n_items + 1), dim=0)
    ease, slist, content, item_knn = Ease(n_items), Slist(n_items), Content(n_items), ItemKnn(n_items)
    transitions = Transitions(n_items, TransitionsConfig(n_alike=20, n_neighbours=256))
    graph, als = Graph(n_items, GraphConfig(n_factors=64)), Als(n_items)
    graph.heard, graph.told, als.vectors = (
        torch.randn(vectors.shape).mul_(0.05) for vectors in (graph.heard, graph.told, als.vectors)
    )
    sparse: tuple[tuple[Rows, int, int], ...] = (
        (ease, ease.config.n_neighbours, ease.config.max_items),
        (slist, slist.config.n_neighbours, slist.config.max_items),
        (transitions, transitions.config.n_neighbours, n_items),
        (transitions.successions, transitions.config.n_successors, n_items),
        *((rows, rows.config.n_neighbours, n_items) for rows in (content, item_knn, graph)),
    )
    for rows, n, at_most in sparse:
        head = torch.randperm(n_items)[:at_most].numpy() + 1
        rows.keep(head, torch.randint(1, n_items + 1, (len(head), n)), torch.randn(len(head), n).mul_(0.05))
    attention = Attention(n_items, AttentionConfig(max_items=n_items)).eval()
    two_tower = TwoTower(n_items).eval()
    two_tower.settle()
    return [popularity, ease, transitions, slist, content, attention, item_knn, als, graph, two_tower]


def write_random_bundle(folder: Path, n_items: int = 12_000, seed: int = 0) -> Path:
    """A bundle of the random ranker. Items are `item-01`, `item-02`, …"""
    ranker = random_ranker(n_items, seed)
    parts = _bundle_parts(ranker, "random", _random_neighbours(n_items, seed), {})
    return write_bundle(folder, ranker, parts, created_at=NOW)


def with_answers(shop: Shop) -> Interactions:
    """The shop's interactions, each user's followed by the withheld item, bought a day from now."""
    data = shop.interactions
    at = data.offsets[1:]
    return replace(
        data,
        offsets=data.offsets + np.arange(data.n_users + 1),
        items=np.insert(data.items, at, shop.withheld),
        events=np.insert(data.events, at, EVENT_CODES["purchase"]),
        sent_at=np.insert(data.sent_at, at, NOW_MS + DAY_MS),
        sessions=np.insert(data.sessions, at, data.sessions[at - 1] + 1),
    )


def _toy_metrics(shop: Shop, ranker: FusedRanker) -> dict[str, dict[str, float]]:
    """How well the withheld items are found, seen items masked."""
    data = with_answers(shop)
    users, ends = np.arange(data.n_users), data.offsets[1:]
    return evaluate(ranker, data, Requests(users, ends - 1, ends, np.full(len(users), NOW_MS)), seen="mask").means()


def _learned_neighbours(ranker: FusedRanker) -> dict[str, Neighbours]:
    attention, ease = ranker.part(Attention), ranker.part(Ease)
    return {
        "similar": nearest_by_vectors(attention.item.weight.detach().numpy(), N_NEIGHBOURS),
        "complement": strongest_weights(ease, N_NEIGHBOURS),
    }


def _random_neighbours(n_items: int, seed: int) -> dict[str, Neighbours]:
    rng = np.random.default_rng(seed)
    lists: dict[str, Neighbours] = {}
    for kind in ("similar", "complement"):
        items = rng.integers(1, n_items + 1, (n_items + 1, N_NEIGHBOURS)).astype(np.int32)
        items[0] = 0
        lists[kind] = (items, np.sort(rng.random(items.shape).astype(np.float32))[:, ::-1] * (items > 0))
    return lists


def _bundle_parts(
    ranker: FusedRanker, dataset: str, neighbours: dict[str, Neighbours], metrics: dict[str, dict[str, float]]
) -> BundleParts:
    n_items = ranker.n_items
    return BundleParts(
        item_ids=[f"item-{index:02d}" for index in range(1, n_items + 1)],
        columns=_columns(n_items, seed=0),
        neighbours=neighbours,
        popularity=ranker.part(Popularity).popularity,
        dataset=dataset,
        data_hash="0" * 64,
        data_cutoff=NOW.isoformat(),
        metrics=metrics,
    )


def _columns(n_items: int, seed: int) -> dict[str, Column]:
    """Every column of the two item views, with plausible values."""
    rng = np.random.default_rng(seed)
    departments = [
        _DEPARTMENTS[2 * index // max(n_items, 1) if n_items < 100 else index % 8] for index in range(n_items)
    ]
    words = [_WORDS[index % len(_WORDS)] for index in range(n_items)]
    columns: dict[str, Column] = {
        "name": [f"{word} {index}" for index, word in enumerate(words, start=1)],
        "category": [f"{department} {word}" for department, word in zip(departments, words, strict=True)],
        "department": departments,
        "brand": [f"brand {index % 7}" for index in range(n_items)],
        "description": [
            f"{word} from the {department} aisle" for department, word in zip(departments, words, strict=True)
        ],
        "attributes": [["size=small" if index % 2 else "size=large"] for index in range(n_items)],
    }
    price = rng.integers(50, 5000, n_items)
    for feature in ITEM_STATS.features:
        values = rng.integers(1, 500, n_items)
        columns[feature.name] = values.astype(np.float32) if feature.dtype == "float32" else values.astype(np.int64)
    columns["price_cents"], columns["mean_price_cents"] = price.astype(np.int64), price.astype(np.float32)
    columns["price_band"] = (1 + price * 5 // 5000).astype(np.int64)
    columns["trend"] = rng.normal(0.0, 0.5, n_items).astype(np.float32)
    columns["discount_share"] = rng.random(n_items).astype(np.float32)
    columns["first_event_at"] = NOW_MS - rng.integers(100, 300, n_items) * DAY_MS
    columns["last_event_at"] = NOW_MS - rng.integers(1, 50, n_items) * DAY_MS
    expected = {feature.name for view in (ITEM_ATTRIBUTES, ITEM_STATS) for feature in view.features}
    if set(columns) != expected:
        raise AssertionError(f"columns drifted from the feature spec: {sorted(set(columns) ^ expected)}")
    return columns
