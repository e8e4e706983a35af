from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from fusionrec.bundle.loader import load_bundle
from fusionrec.bundle.manifest import Manifest
from fusionrec.errors import BundleError, BundleMismatchError, VocabularyError
from fusionrec.scoring import Scorer, by_popularity, session_options
from fusionrec.transforms import model_input


@pytest.fixture(scope="module")
def bundle(toy_bundle: Path):
    return load_bundle(toy_bundle)


@pytest.fixture(scope="module")
def scorer(bundle) -> Scorer:
    return Scorer.open(bundle.ranker, bundle.manifest)


def history(*items: int):
    ones = np.ones(len(items), np.int64)
    return model_input([np.array(items, np.int64)], [4 * ones], [0 * ones], [86_400_000])


def test_the_mask_comes_before_top_k(scorer: Scorer) -> None:
    eligible = np.zeros(11, bool)
    eligible[[3, 8]] = True
    ranking = scorer.top(history(1, 2), eligible)
    assert sorted(ranking.items.tolist()) == [3, 8]
    assert np.all(np.diff(ranking.scores) <= 0)
    np.testing.assert_allclose(ranking.base + ranking.contributions.sum(axis=1), ranking.scores, atol=1e-5)


def test_an_empty_history_and_an_empty_mask_are_served(scorer: Scorer) -> None:
    everything = np.ones(11, bool)
    everything[0] = False
    assert len(scorer.top(history(), everything).items) == 10
    assert len(scorer.top(history(1), np.zeros(11, bool)).items) == 0


def test_indices_and_masks_that_do_not_fit_are_refused(scorer: Scorer) -> None:
    with pytest.raises(VocabularyError, match=r"outside 0\.\.10"):
        scorer.top(history(11), np.ones(11, bool))
    with pytest.raises(VocabularyError, match="mask of 10 rows for 10 items"):
        scorer.top(history(1), np.ones(10, bool))


def test_a_graph_that_cannot_be_loaded_is_refused(bundle, tmp_path: Path) -> None:
    path = tmp_path / "ranker.onnx"
    path.write_bytes(b"not a graph")
    with pytest.raises(BundleMismatchError, match=r"ranker\.onnx cannot be loaded"):
        Scorer.open(path, bundle.manifest)


def test_a_graph_without_its_weights_is_refused(bundle, tmp_path: Path) -> None:
    """Were they left out of a manifest, a request must not be what finds it."""
    shutil.copy(bundle.ranker, tmp_path)
    with pytest.raises(BundleMismatchError, match=r"ranker\.onnx cannot be loaded"):
        Scorer.open(tmp_path / "ranker.onnx", bundle.manifest)


def test_only_a_graph_that_was_optimised_is_opened_as_it_is() -> None:
    levels = ort.GraphOptimizationLevel
    assert session_options(optimised=True).graph_optimization_level == levels.ORT_DISABLE_ALL
    assert session_options(optimised=False).graph_optimization_level == levels.ORT_ENABLE_ALL
    assert not Manifest.model_fields["optimised"].default  # as in the bundles of before


def test_a_graph_with_other_inputs_is_refused(bundle, tmp_path: Path) -> None:
    graph = onnx.load(bundle.ranker)
    for node in graph.graph.node:
        node.input[:] = ["mask" if name == "eligible" else name for name in node.input]
    for value in graph.graph.input:
        value.name = "mask" if value.name == "eligible" else value.name
    path = tmp_path / "ranker.onnx"
    onnx.save(graph, path)
    with pytest.raises(BundleMismatchError, match=r"this code needs .*eligible"):
        Scorer.open(path, bundle.manifest)


def test_scores_that_are_no_numbers_are_an_error_not_an_empty_slate() -> None:
    class Broken:
        def run(self, names: list[str], feed: object) -> list[np.ndarray]:
            scores = np.full((1, 3), np.nan, np.float32)
            return [np.array([[1, 2, 3]]), scores, np.zeros((1, 3, 2), np.float32), np.zeros(1, np.float32)]

    scorer = Scorer(Broken(), SimpleNamespace(n_items=3, parts=("a", "b")))  # type: ignore[arg-type]
    with pytest.raises(BundleError, match="no numbers"):
        scorer.top(history(1), np.array([False, True, True, True]))


def test_the_fallback_ranks_by_popularity() -> None:
    popularity = np.array([9, 1, 5, 3, 5], np.float32)
    eligible = np.array([False, True, True, False, True])
    ranking = by_popularity(popularity, eligible, 2)
    assert ranking.items.tolist() == [2, 4]
    assert ranking.scores.tolist() == [5, 5]
    assert by_popularity(popularity, np.ones(5, bool), 1).items.tolist() == [2]  # never the padding
    assert by_popularity(popularity, np.zeros(5, bool), 2).items.tolist() == []
    assert by_popularity(popularity, eligible, 99).items.tolist() == [2, 4, 1]


def test_cuda_where_it_is_there_keeps_full_precision(bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime's default for products on newer GPUs has ten bits, which reorders slates."""
    asked = []

    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    monkeypatch.setattr(ort, "preload_dlls", lambda: None)
    real = ort.InferenceSession
    monkeypatch.setattr(
        ort,
        "InferenceSession",
        lambda path, options, providers: asked.append(providers) or real(path, options, ["CPUExecutionProvider"]),
    )
    assert not Scorer.open(bundle.ranker, bundle.manifest).on_gpu
    assert asked == [[("CUDAExecutionProvider", {"use_tf32": "0"}), ("CPUExecutionProvider", {})]]


@pytest.mark.parametrize(
    ("optimised", "cuda", "level"),
    [(True, False, "ORT_DISABLE_ALL"), (False, False, "ORT_ENABLE_ALL"), (True, True, "ORT_ENABLE_ALL")],
)
def test_a_graph_is_opened_as_its_manifest_says(
    bundle, monkeypatch: pytest.MonkeyPatch, optimised: bool, cuda: bool, level: str
) -> None:
    levels = []
    real, available = ort.InferenceSession, ["CUDAExecutionProvider"] * cuda + ["CPUExecutionProvider"]

    def opened(path: str, options: ort.SessionOptions, providers: object) -> ort.InferenceSession:
        levels.append(options.graph_optimization_level)
        return real(path, options, ["CPUExecutionProvider"])

    monkeypatch.setattr(ort, "get_available_providers", lambda: available)
    monkeypatch.setattr(ort, "preload_dlls", lambda: None)
    monkeypatch.setattr(ort, "InferenceSession", opened)
    Scorer.open(bundle.ranker, bundle.manifest.model_copy(update={"optimised": optimised}))
    assert levels == [getattr(ort.GraphOptimizationLevel, level)]
