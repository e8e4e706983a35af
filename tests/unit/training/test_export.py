from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import onnx
import pytest

from fusionrec.bundle.loader import load_bundle
from training import export
from training.onnx_graph import optimise


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


def test_a_ranker_is_optimised_once_and_for_all(toy_bundle: Path, tmp_path: Path) -> None:
    served = onnx.load(toy_bundle / "ranker.onnx").graph
    again = shutil.copy(toy_bundle / "ranker.onnx", tmp_path / "ranker.onnx")
    optimise(Path(again))
    assert len(onnx.load(again).graph.node) == len(served.node)
    assert {node.domain for node in served.node} <= {"", "ai.onnx"}
    assert load_bundle(toy_bundle).manifest.optimised


def test_optimising_takes_away_what_need_not_be_computed(tmp_path: Path) -> None:
    value = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2]) for name in ("x", "y")]
    idle = [onnx.helper.make_node("Identity", ["x"], ["same"]), onnx.helper.make_node("Neg", ["same"], ["y"])]
    graph = onnx.helper.make_graph(idle, "idle", value[:1], value[1:])
    path = tmp_path / "idle.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10), path)
    optimise(path)
    assert [node.op_type for node in onnx.load(path).graph.node] == ["Neg"]
    assert [file.name for file in tmp_path.iterdir()] == ["idle.onnx"]
