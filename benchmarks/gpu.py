"""`python -m benchmarks.gpu [DATASET]`: training, fusion, evaluation and batch scoring on a GPU beside the CPU.

  whole  the run of `fusionrec evaluate --device cuda` from nothing: quality, and seconds of every stage
  pairs  the same piece of work on the CPU, on all its cores, and on the GPU: one epoch of attention, one round of the
         second stage, ranking requests with everything
  graph  the exported graph in ONNX Runtime on both (`onnxruntime-gpu`): requests a second, and how far scores differ

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
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
import torch

from benchmarks.facts import facts, write_result
from fusionrec.errors import FusionrecError
from training.commands.train import open_dataset
from training.devices import CPU, Device, choose
from training.evaluate import rank
from training.export import HISTORY_INPUTS, export_ranker
from training.fusing import labelled
from training.fusion.candidates import tabulate
from training.fusion.facts import ItemFacts
from training.fusion.ranker import FusedRanker
from training.fusion.stacker_fit import StackerFitConfig, rounds
from training.interactions import Requests
from training.models.attention import Attention
from training.models.protocol import Run
from training.stages import Stages
from training.train import Judged, Prepared, judge

RESULTS: Final = Path("benchmarks/results")
PIECES: Final = ("whole", "pairs", "graph")
N_RANKED: Final = 1024  # requests
N_TABLE: Final = 4096
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
    result = {**facts(), "gpu": torch.cuda.get_device_name(), "precision": cuda.precision, "dataset": dataset.name}
    result |= {"torch": torch.__version__, "onnxruntime": onnxruntime.__version__}
    with suppress(OSError):
        result = {**json.loads(out.read_text()), **result}
    with tempfile.TemporaryDirectory() as name:
        stages = Stages(options.work or Path(name), told, Run(device=cuda))
        prepared = Prepared.read(dataset)
        started = time.perf_counter()
        judged = judge(prepared, stages, prepared.protocol)
        if "whole" in options.only:
            result["whole"] = whole(judged, stages, time.perf_counter() - started)
            write_result(out, result)
        for piece, measured in (
            ("pairs", partial(pairs, prepared, judged, stages, cuda)),
            ("graph", partial(graph, prepared, judged)),
        ):
            if piece in options.only:
                result[piece] = measured()
                write_result(out, result)
    print(json.dumps(result, indent=2))


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


def pairs(prepared: Prepared, judged: Judged, stages: Stages, cuda: Device) -> dict[str, Any]:
    """Seconds on the CPU and on the GPU, and their ratio. The GPU has been warmed up by what came before."""
    data, recipe = prepared.data, judged.recipe
    cut = prepared.split(judged.protocol)
    parts, past = labelled(stages, recipe, data, cut, prepared.key(judged.protocol))
    attention = next(part.config for part in parts if type(part) is Attention)
    one_epoch = replace(attention, loop=replace(attention.loop, n_epochs=1))
    asked, config = first_of(cut.test, N_RANKED), recipe.stacker or StackerFitConfig()
    ranker = FusedRanker(parts, judged.fused.first, recipe.top_k).eval()
    table = tabulate(ranker, ItemFacts(data.n_items).fit(past.fit, past.now_ms), data, first_of(past.requests, N_TABLE))

    def epoch(device: Device) -> None:
        Attention(data.n_items, one_epoch).fit(past.fit, past.now_ms, Run(device=device))

    def one_round(device: Device) -> None:
        list(rounds(table, config, 0, 1, device))

    def ranked(device: Device) -> None:
        with device.holding(judged.ranker):
            rank(judged.ranker, data, asked, seen="mask", seed=0)

    work = {"attention, one epoch": epoch, "second stage, one round": one_round, "ranking": ranked}
    return {
        "n_ranked": len(asked.users),
        "n_table": len(table.users),
        **{name: both(do, cuda) for name, do in work.items()},
    }


def both(work: Callable[[Device], None], cuda: Device) -> dict[str, float]:
    work(cuda)  # kernels are loaded when they are first used
    seconds = {"cpu": timed(lambda: work(CPU)), "cuda": timed(lambda: work(cuda))}
    print(seconds, flush=True)
    return seconds | {"ratio": seconds["cpu"] / seconds["cuda"]}


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
        sessions = {kind: open_session(path, kind) for kind in ("CPU", "CUDA")}
    running = {kind: session.get_providers()[0] for kind, session in sessions.items()}
    if running["CUDA"] != "CUDAExecutionProvider":
        return found | {"cuda": "onnxruntime has no CUDA here, or it did not start"}
    for size in BATCHES:
        feeds = [
            feed(asked, rows, data.n_items, data)
            for rows in np.array_split(np.arange(len(asked.users)), len(asked.users) // size)
        ]
        for session in sessions.values():
            session.run(None, feeds[0])
        speed = {kind: len(asked.users) / timed(partial(run_all, session, feeds)) for kind, session in sessions.items()}
        one, other = (session.run(None, feeds[0])[1] for session in sessions.values())
        found[f"batch {size}"] = {
            **speed,
            "ratio": speed["CUDA"] / speed["CPU"],
            "difference": float(np.abs(one - other).max()),
        }
        print(size, found[f"batch {size}"], flush=True)
    return found


def feed(requests: Requests, rows: np.ndarray, n_items: int, data: Any) -> Mapping[str, np.ndarray]:
    inputs = requests.inputs(data, rows)
    return {**dict(zip(HISTORY_INPUTS, inputs, strict=True)), "eligible": np.ones((len(rows), n_items + 1), bool)}


def run_all(session: onnxruntime.InferenceSession, feeds: list[Mapping[str, np.ndarray]]) -> None:
    for each in feeds:
        session.run(None, each)


def open_session(path: Path, kind: str, tf32: bool = False) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count() or 1
    options.log_severity_level = 3
    providers = [(f"{kind}ExecutionProvider", {"use_tf32": str(int(tf32))} if kind == "CUDA" else {})]
    return onnxruntime.InferenceSession(path, options, providers=providers)


if __name__ == "__main__":
    main()
