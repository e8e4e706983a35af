"""The fitted weights and the topics' words as one ONNX graph, with a card that says what they were made of.

Sentiment: each hash picks a row of the weights (its remainder by the number of buckets); the rows' sum over the root of
their number, plus the bias, through a softmax. Topics: hashes are compared whole, so no other word is taken for one of
the lexicon's; each term counts once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fusionrec.text.scoring import CARD, GRAPH, NAMED_TOPICS, SENTIMENTS, TOPICS, VERSION
from training.text.model import Linear
from training.text.topics import table

OPSET: Final = 18
# Operator, inputs, output, attributes: from `features` to `sentiment`, then to `topics`.
NODES: Final[Sequence[tuple[str, list[str], str, dict[str, int]]]] = (
    ("Equal", ["features", "padding"], "is_padding", {}),
    ("Not", ["is_padding"], "is_feature", {}),
    ("Cast", ["is_feature"], "present", {"to": TensorProto.FLOAT}),
    ("ReduceSum", ["present", "length_axis"], "counted", {"keepdims": 1}),
    ("Max", ["counted", "one"], "n_features", {}),
    ("Sqrt", ["n_features"], "root", {}),
    ("Mod", ["features", "n_buckets"], "buckets", {}),
    ("Gather", ["weights", "buckets"], "small_rows", {"axis": 0}),
    ("Cast", ["small_rows"], "rows", {"to": TensorProto.FLOAT}),
    ("Unsqueeze", ["present", "last_axis"], "mask", {}),
    ("Mul", ["rows", "mask"], "kept_rows", {}),
    ("ReduceSum", ["kept_rows", "length_axis"], "sums", {"keepdims": 0}),
    ("Div", ["sums", "root"], "means", {}),
    ("Add", ["means", "bias"], "logits", {}),
    ("Softmax", ["logits"], "sentiment", {"axis": 1}),
    ("Unsqueeze", ["features", "last_axis"], "columns", {}),
    ("Equal", ["columns", "terms"], "matches", {}),
    ("Cast", ["matches"], "match_bytes", {"to": TensorProto.UINT8}),
    ("ReduceMax", ["match_bytes", "length_axis"], "found_bytes", {"keepdims": 0}),
    ("Cast", ["found_bytes"], "found", {"to": TensorProto.FLOAT}),
    ("MatMul", ["found", "membership"], "topics", {}),
)


def export(model: Linear, folder: Path, card: Mapping[str, Any]) -> Path:
    """Writes sentiment.onnx and model.json, each by rename; the card last, since it holds the graph's sha256."""
    graph = graph_of(model).SerializeToString(deterministic=True)
    folder.mkdir(parents=True, exist_ok=True)
    facts = {
        "version": VERSION,
        "sha256": hashlib.sha256(graph).hexdigest(),
        "sentiments": SENTIMENTS,
        "topics": TOPICS,
        **card,
    }
    for name, content in ((GRAPH, graph), (CARD, (json.dumps(facts, indent=2) + "\n").encode())):
        scratch = folder / f".{name}.tmp"
        scratch.write_bytes(content)
        scratch.replace(folder / name)
    return folder / GRAPH


def graph_of(model: Linear) -> onnx.ModelProto:
    """Input `features` int64 (B, L), 0 = padding; outputs `sentiment` float32 (B, 3), `topics` float32 (B, 6)."""
    n_buckets = len(model.weights)
    hashes, membership = table()
    constants = {
        "weights": model.weights.astype(np.float16),  # half the file; a logit changes in its fourth digit
        "bias": model.bias.astype(np.float32),
        "n_buckets": np.array(n_buckets, np.int64),
        "padding": np.array(0, np.int64),
        "one": np.array(1.0, np.float32),
        "length_axis": np.array([1], np.int64),
        "last_axis": np.array([2], np.int64),
        "terms": hashes[None, None, :],
        "membership": membership,
    }
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, [output], **attributes) for kind, inputs, output, attributes in NODES],
        "text",
        [helper.make_tensor_value_info("features", TensorProto.INT64, ["B", "L"])],
        [
            helper.make_tensor_value_info("sentiment", TensorProto.FLOAT, ["B", len(SENTIMENTS)]),
            helper.make_tensor_value_info("topics", TensorProto.FLOAT, ["B", len(NAMED_TOPICS)]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="fusionrec")
    made.ir_version = 10
    onnx.checker.check_model(made)
    return made
