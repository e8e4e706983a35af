"""`python -m benchmarks.gpu [DATASET]`: training, fusion, evaluation and batch scoring on a GPU.

  whole  the run of `fusionrec evaluate --device cuda`: quality, and seconds of every stage; from nothing without --work
  graph  the exported graph in ONNX Runtime on the GPU and on this machine's CPU with all its cores (`onnxruntime-gpu`):
         requests a second, and how far scores differ, with products in full precision and in TensorFloat-32

Without a GPU it says so and ends with 2. Writes benchmarks/results/gpu-<name>.json; each piece as soon as it is there.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
import torch

from benchmarks.facts import facts, write_result
from fusionrec.errors import FusionrecError
from training.commands.train import open_dataset
from training.devices import Device, choose
from training.export import HISTORY_INPUTS, export_ranker
from training.interactions import Interactions, Requests
from training.models.protocol import Run
from training.stages import Stages
from training.train import Judged, Prepared, judge

RESULTS: Final = Path("benchmarks/results")
PIECES: Final = ("whole", "graph")
N_RANKED: Final = 1024  # requests
BATCHES: Final = (1, 64, 256)
METRICS: Final = ("hr@10", "ndcg@10")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", nargs="?", default="beauty")
    parser.add_argument("--only", nargs="*", choices=PIECES, default=list(PIECES))
    parser.add_argument("--work", type=Path, help="keep stages here, to continue; default: a folder that goes away")
    options = parser.parse_args()
    try:
        cuda = choose("cuda")
        dataset = open_dataset(options.dataset)
    except FusionrecError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    out = RESULTS / f"gpu-{options.dataset}.json"
    result: dict[str, Any] = {}
    with suppress(OSError):
        result = json.loads(out.read_text())
    result |= {"dataset": dataset.name, "data_hash": dataset.data_hash}
    with tempfile.TemporaryDirectory() as name:
        stages = Stages(options.work or Path(name), told, Run(device=cuda))
        prepared = Prepared.read(dataset)
        started = time.perf_counter()
        judged = judge(prepared, stages, prepared.protocol)
        seconds = time.perf_counter() - started
        pieces = {"whole": partial(whole, judged, stages, seconds), "graph": partial(graph, prepared, judged)}
        for piece in options.only:
            result[piece] = {**pieces[piece](), **machine(cuda)}
            write_result(out, result)
    print(json.dumps(result, indent=2))


def machine(cuda: Device) -> dict[str, Any]:
    gpu = {"gpu": torch.cuda.get_device_name(), "precision": cuda.precision}
    return {**facts(), **gpu, "torch": torch.__version__, "onnxruntime": onnxruntime.__version__}


def told(what: str, share: float) -> None:
    if share in {0.0, 1.0}:
        print(f"{time.strftime('%X')} {what}: {'begun' if share == 0.0 else 'done'}", flush=True)


def whole(judged: Judged, stages: Stages, seconds: float) -> dict[str, Any]:
    """seconds: of all, wall time."""
    rows = judged.evaluation.rows
    quality = {model: {metric: row[metric] for metric in METRICS} for model, row in rows.items()}
    paired = judged.evaluation.paired["ndcg@10"]
    costs = {name: asdict(cost) for name, cost in stages.costs.items()}
    return {"seconds": seconds, "stages": costs, "quality": quality, "paired": dict(paired)}


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def first_of(requests: Requests, n: int) -> Requests:
    """A random choice: the order of a file may tell something."""
    return requests.take(np.sort(np.random.default_rng(0).permutation(len(requests.users))[:n]))


def graph(prepared: Prepared, judged: Judged) -> dict[str, Any]:
    """Requests a second by provider and batch, and the largest difference of the scores of the first places."""
    data, asked = prepared.data, first_of(prepared.split(judged.protocol).test, N_RANKED)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "ranker.onnx"
        export_ranker(judged.ranker, path)
        found: dict[str, Any] = {"megabytes": path.stat().st_size / 1e6, "n_requests": len(asked.users)}
        full, tf32, cpu = open_session(path, True), open_session(path, True, tf32=True), open_session(path, False)
    if full.get_providers()[0] != "CUDAExecutionProvider":
        return found | {"cuda": "onnxruntime has no CUDA here, or it did not start"}
    sessions = {"CPU": cpu, "CUDA": full, "CUDA, TensorFloat-32": tf32}
    for size in BATCHES:
        places = np.arange(len(asked.users))
        feeds = [feed(asked, rows, data) for rows in np.split(places, range(size, len(places), size))]
        found[f"batch {size}"] = rates(sessions, feeds, len(places))
        print(size, found[f"batch {size}"], flush=True)
    return found


def rates(
    sessions: Mapping[str, onnxruntime.InferenceSession], feeds: list[Mapping[str, np.ndarray]], n_requests: int
) -> dict[str, Any]:
    """Of each session requests a second, as often as the CPU's, and by how much its scores differ from the CPU's."""
    expected = sessions["CPU"].run(None, feeds[0])[1]
    found: dict[str, Any] = {}
    for name, session in sessions.items():
        scores = session.run(None, feeds[0])[1]  # warms it up too
        a_second = n_requests / timed(partial(run_all, session, feeds))
        ratio = a_second / found["CPU"]["a_second"] if found else 1.0
        found[name] = {"a_second": a_second, "ratio": ratio, "difference": float(np.abs(scores - expected).max())}
    return found


def feed(requests: Requests, rows: np.ndarray, data: Interactions) -> Mapping[str, np.ndarray]:
    inputs = requests.inputs(data, rows)
    return {**dict(zip(HISTORY_INPUTS, inputs, strict=True)), "eligible": np.ones((len(rows), data.n_items + 1), bool)}


def run_all(session: onnxruntime.InferenceSession, feeds: list[Mapping[str, np.ndarray]]) -> None:
    for each in feeds:
        session.run(None, each)


def open_session(path: Path, on_gpu: bool, tf32: bool = False) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count() or 1
    options.log_severity_level = 3
    cuda = ("CUDAExecutionProvider", {"use_tf32": str(int(tf32))})
    return onnxruntime.InferenceSession(path, options, providers=[cuda if on_gpu else "CPUExecutionProvider"])


if __name__ == "__main__":
    main()
