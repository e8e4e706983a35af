"""From a torch module to an ONNX graph without what does not pay."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import onnx_ir
import onnxruntime
import torch
from onnx_ir import passes
from onnx_ir.passes import common
from onnxscript.optimizer import fold_constants, inline
from torch import Tensor, nn

from fusionrec.errors import BundleError

LEAST_MAPPED_BYTES: Final = 4096  # a page; what is smaller stays in the graph


def export_module(
    module: nn.Module, path: Path, example: tuple[Tensor, ...], inputs: Sequence[str], outputs: Sequence[str]
) -> None:
    """A module as an ONNX graph, dynamic in batch and, but for `eligible`, the second dimension. Raises BundleError."""
    batch, length = torch.export.Dim("B"), torch.export.Dim("L")
    shapes: tuple[dict[int, Any], ...] = tuple(
        {0: batch} if name == "eligible" else {0: batch, 1: length} for name in inputs
    )
    module.eval()
    with _quiet():
        program = torch.onnx.export(
            module,
            example,
            dynamo=True,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=shapes,
            optimize=False,
            verbose=False,
        )
        if program is None:
            raise BundleError(f"torch could not export {type(module).__name__} to ONNX")
        _simplify(program.model)
    program.save(path, external_data=False)


def weights_of(path: Path) -> Path:
    """Where the large arrays of a graph lie: beside it, so that opening it maps them into memory and copies nothing."""
    return path.with_name(f"{path.name}.data")


def optimise(path: Path) -> None:
    """What onnxruntime does to a graph each time that it is opened, done once and for all, in place.

    Standard operators only, so that any later version and any machine can run it; its further, own operators made a
    ranker of ten parts 3 % faster. Opened without optimisation, and with its weights in a file of their own, this one
    is there in a tenth of the time, and answers as fast.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = os.fspath(path.with_suffix(".optimised"))
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", weights_of(path).name)
    options.add_session_config_entry(
        "session.optimized_model_external_initializers_min_size_in_bytes", str(LEAST_MAPPED_BYTES)
    )
    options.log_severity_level = 3
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    path.with_suffix(".optimised").replace(path)


def _simplify(model: onnx_ir.Model) -> None:
    """Constants and shared values once, dead nodes away, in place.

    The exporter's own optimisation also tries rewrite rules on every node: of a graph of ten parts they took 50 of 110
    CPU-seconds, and onnxruntime, which has rules of its own, loaded and answered no faster for them.
    """
    inline(model)
    fold_constants(model, onnx_shape_inference=True)
    passes.Sequential(
        common.RemoveUnusedNodesPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.DeduplicateInitializersPass(),
        common.CommonSubexpressionEliminationPass(),
        common.RemoveUnusedOpsetsPass(),
        common.OutputFixPass(),
        common.NameFixPass(),
    )(model)


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns of libraries that we do not use."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
