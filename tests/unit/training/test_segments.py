"""Who stands in which segment."""

from __future__ import annotations

import numpy as np

from training.interactions import Interactions, Requests
from training.segments import item_classes, segments


def of_lengths(lengths: list[int], items: list[int]) -> tuple[Interactions, Requests]:
    """Users with histories of these lengths, each followed by its item."""
    sizes = np.array(lengths) + 1
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    every = np.full(sizes.sum(), 1)
    every[offsets[1:] - 1] = items
    zeros = np.zeros(len(every), np.int64)
    data = Interactions(9, offsets, every, zeros + 1, zeros, zeros)
    return data, Requests(np.arange(len(sizes)), offsets[1:] - 1, offsets[1:], np.zeros(len(sizes), np.int64))


def test_bands_and_classes_hold_their_requests() -> None:
    data, requests = of_lengths([0, 1, 5, 6, 20, 21, 300], [1, 2, 3, 1, 2, 3, 3])
    relevant = [requests.relevant(data, row) for row in range(7)]
    cuts = segments(data, requests, relevant, np.array([0, 10, 3, 0, 3, 2, 1, 1, 0, 0]))
    found = {(cut.kind, cut.name): cut.rows.tolist() for cut in cuts}
    assert found == {
        ("history", "none"): [0],
        ("history", "1-5"): [1, 2],
        ("history", "6-20"): [3, 4],
        ("history", "more"): [5, 6],
        ("target", "popular"): [0, 3],
        ("target", "tail"): [1, 4],
        ("target", "cold"): [2, 5, 6],
    }


def test_a_request_counts_in_each_target_segment_with_its_items_there_only() -> None:
    data, requests = of_lengths([2], [1])
    cuts = segments(data, requests, [np.array([1, 2, 3])], np.array([0, 10, 3, 0]))
    kept = {cut.name: [items.tolist() for items in cut.relevant] for cut in cuts if cut.kind == "target"}
    assert kept == {"popular": [[1]], "tail": [[2]], "cold": [[3]]}


def test_popular_items_gather_half_of_all_interactions() -> None:
    events = np.array([0, 40, 30, 20, 10, 0])
    assert item_classes(events).tolist() == [0, 2, 2, 1, 1, 0]


def test_a_segment_without_requests_is_left_out() -> None:
    data, requests = of_lengths([3, 4], [1, 1])
    cuts = segments(data, requests, [np.array([1])] * 2, np.array([0, 10, 3, 0]))
    assert [(cut.kind, cut.name) for cut in cuts] == [("history", "1-5"), ("target", "popular")]
