from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from fusionrec.bundle.loader import load_bundle
from fusionrec.errors import BundleError
from training import export
from training.onnx_graph import LEAST_MAPPED_BYTES, optimise, weights_of


@pytest.mark.parametrize("ended", [KeyboardInterrupt(), OSError("no space left")])
def test_an_export_that_does_not_end_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: BaseException
) -> None:
    def begun(_: Any, path: Path) -> None:
        path.write_bytes(b"half a graph")
        raise ended

    monkeypatch.setattr(export, "export_ranker", begun)
    nothing: Any = None
    with pytest.raises(type(ended)):
        export.write_bundle(tmp_path / "bundles" / "v1", nothing, nothing)
    assert not list((tmp_path / "bundles").iterdir())


def test_what_a_killed_export_left_is_removed_a_day_later(tmp_path: Path) -> None:
    yesterday = time.time() - export.ABANDONED_S - 60
    for name, at in ((".old.part", yesterday), (".new.part", time.time()), ("v1", yesterday)):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (at, at))
    export.remove_abandoned(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".new.part", "v1"]


def test_a_ranker_is_optimised_once_and_for_all(toy_bundle: Path, tmp_path: Path) -> None:
    served = onnx.load(toy_bundle / "ranker.onnx")
    again = tmp_path / "ranker.onnx"
    onnx.save(served, again)  # in one file, as the exporter gives it
    optimise(again)
    assert len(onnx.load(again).graph.node) == len(served.graph.node)
    assert {node.domain for node in served.graph.node} <= {"", "ai.onnx"}
    assert load_bundle(toy_bundle).manifest.optimised


def test_large_arrays_lie_beside_the_graph(tmp_path: Path) -> None:
    path = tmp_path / "sum.onnx"
    of_a_page = np.arange(LEAST_MAPPED_BYTES, dtype=np.float32)
    write_graph(path, [onnx.helper.make_node("Add", ["x", "page"], ["y"])], {"page": of_a_page})
    optimise(path)
    assert weights_of(path).stat().st_size >= of_a_page.nbytes > path.stat().st_size
    session = onnxruntime.InferenceSession(path)
    assert (session.run(None, {"x": np.zeros_like(of_a_page)})[0] == of_a_page).all()


def test_weights_count_as_the_graph_when_its_size_is_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ranker.onnx"
    path.write_bytes(bytes(600))
    monkeypatch.setattr(export, "MAX_GRAPH_MB", 0.001)
    export.check_size(path)
    weights_of(path).write_bytes(bytes(600))
    with pytest.raises(BundleError, match="at most"):
        export.check_size(path)


def write_graph(path: Path, nodes: list[onnx.NodeProto], weights: Mapping[str, np.ndarray]) -> None:
    """From x to y, both of the weights' length, or 2."""
    size = max((len(weight) for weight in weights.values()), default=2)
    value = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [size]) for name in ("x", "y")]
    arrays = [onnx.numpy_helper.from_array(weight, name) for name, weight in weights.items()]
    graph = onnx.helper.make_graph(nodes, "graph", value[:1], value[1:], arrays)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10), path)


def test_optimising_takes_away_what_need_not_be_computed(tmp_path: Path) -> None:
    idle = [onnx.helper.make_node("Identity", ["x"], ["same"]), onnx.helper.make_node("Neg", ["same"], ["y"])]
    path = tmp_path / "idle.onnx"
    write_graph(path, idle, {})
    optimise(path)
    assert [node.op_type for node in onnx.load(path).graph.node] == ["Neg"]
    assert [file.name for file in tmp_path.iterdir()] == ["idle.onnx"]
