import numpy as np

from fusionrec.reranking.diversity import spread


def arrays(scores, kinds):
    return np.array(scores, np.float32), np.array(kinds, np.int32).reshape(len(scores), -1)


def test_without_weight_scores_alone_decide() -> None:
    assert spread(*arrays([3, 2, 1], [1, 1, 2]), 0.0, 2).tolist() == [0, 1]


def test_a_worked_example() -> None:
    # relevance 1, 0.9, 0.5, 0; after the first of category 1 its others lose half of the weight 0.5:
    # 0.5·0.9 - 0.5·1/2 = 0.2 against 0.5·0.5 = 0.25, so the second category comes forward
    assert spread(*arrays([10, 9, 5, 0], [1, 1, 2, 1]), 0.5, 4).tolist() == [0, 2, 1, 3]


def test_unknown_categories_repeat_nothing() -> None:
    assert spread(*arrays([10, 5, 4.9, 0], [0, 0, 1, 1]), 0.5, 4).tolist() == [0, 1, 2, 3]


def test_of_several_kinds_the_mean_counts() -> None:
    # after the first, of kinds 1 and 2: the second repeats both, 1/2; the third one of two, 1/4; the fourth none
    kinds = [[1, 2], [2, 1], [1, 3], [4, 0], [5, 6]]
    # places at weight 0.5: 0.5·0.9 - 0.25 = 0.2 · 0.5·0.8 - 0.125 = 0.275 · 0.5·0.5 = 0.25
    assert spread(*arrays([10, 9, 8, 5, 0], kinds), 0.5, 2).tolist() == [0, 2]
    assert spread(*arrays([10, 9, 8, 5.6, 0], kinds), 0.5, 2).tolist() == [0, 3]


def test_equal_scores_keep_their_order() -> None:
    assert spread(*arrays([1, 1, 1], [1, 2, 1]), 0.5, 3).tolist() == [0, 1, 2]


def test_no_candidates() -> None:
    assert spread(np.zeros(0, np.float32), np.zeros((0, 1), np.int32), 0.5, 3).tolist() == []
