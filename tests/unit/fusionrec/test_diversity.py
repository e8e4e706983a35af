import numpy as np

from fusionrec.reranking.diversity import spread


def arrays(scores, categories):
    return np.array(scores, np.float32), np.array(categories, np.int32)


def test_without_weight_scores_alone_decide() -> None:
    assert spread(*arrays([3, 2, 1], [1, 1, 2]), 0.0, 2).tolist() == [0, 1]


def test_a_worked_example() -> None:
    # relevance 1, 0.9, 0.5, 0; after the first of category 1 its others lose half of the weight 0.5:
    # 0.5·0.9 - 0.5·1/2 = 0.2 against 0.5·0.5 = 0.25, so the second category comes forward
    assert spread(*arrays([10, 9, 5, 0], [1, 1, 2, 1]), 0.5, 4).tolist() == [0, 2, 1, 3]


def test_unknown_categories_repeat_nothing() -> None:
    assert spread(*arrays([10, 5, 4.9, 0], [0, 0, 1, 1]), 0.5, 4).tolist() == [0, 1, 2, 3]


def test_equal_scores_keep_their_order() -> None:
    assert spread(*arrays([1, 1, 1], [1, 2, 1]), 0.5, 3).tolist() == [0, 1, 2]


def test_no_candidates() -> None:
    assert spread(*arrays([], []), 0.5, 3).tolist() == []
