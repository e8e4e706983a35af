"""`python -m benchmarks.peers [DATASET]`: our parts and fusion beside models of libraries from PyPI, in one run.

All get the same interactions to fit on (leave-one-out: without each user's last two), the same histories (everything
before the last item), the same rule for seen items, and are judged by the same code on the same requests. The peers
know ids alone, so ours are there twice: from ids alone and with what the catalogue says. Each peer runs in a process of
its own, in the environment `.tools/peers` (`make .tools/peers/.ready`), at the settings that benchmarks/peer_models.py
gives with their sources. A peer that is done is kept, like our own stages, and not run again (but with --quick). Writes
benchmarks/results/peers-<name>.json and the table of docs/evaluation.md.

--quick: a few hundred users and their items, one epoch, peers only: a smoke test, written to peers-<name>-quick.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.facts import facts, replace_between, write_result
from training import metrics
from training.commands.train import open_dataset
from training.interactions import Interactions, Requests
from training.models.protocol import QUIET, Run
from training.protocols import Split, split
from training.recipe import repeats_matter
from training.stages import Stages, key_of, unheard
from training.train import Prepared
from training.variants import Variant

RESULTS: Final = Path("benchmarks/results")
PYTHON: Final = Path(".tools/peers/bin/python")
PEER_MODELS: Final = Path("benchmarks/peer_models.py")
VERSIONS: Final = Path("infra/constraints-peers.txt")
PEERS: Final = ("rectools-sasrec", "rectools-ease", "implicit-als", "lenskit-itemknn")
# implicit asks for BLAS on one thread, since it runs threads of its own.
ENVIRONMENT: Final = {"implicit-als": {"OPENBLAS_NUM_THREADS": "1"}}
METRICS: Final = ("hr@10", "ndcg@10")
QUICK_USERS: Final = 300
LONGEST: Final = 100  # RecTools' default length of a session
EPOCHS: Final = 3  # RecTools' default; 42 CPU-minutes for Beauty; not converged


def write_case(folder: Path, cut: Split, data: Interactions, mask: bool, epochs: int) -> None:
    """What benchmarks/peer_models.py reads."""
    lengths = np.diff(cut.fit.offsets)
    case = {
        "n_users": data.n_users,
        "n_items": data.n_items,
        "mask": mask,
        "n_results": max(metrics.CUTS),
        "epochs": epochs,
        "length": int(np.clip(np.quantile(lengths[lengths > 0], 0.99), 5, LONGEST)),
    }
    history = np.concatenate([np.arange(data.offsets[user], end) for user, end in zip(*cut.test[:2], strict=True)])
    np.savez(
        folder / "arrays.npz",
        fit_users=cut.fit.users,
        fit_items=cut.fit.items,
        history_users=data.users[history],
        history_items=data.items[history],
    )
    (folder / "case.json").write_text(json.dumps(case))


def peer_code() -> str:
    """Of what the peers are given and do: this file, that of their settings, and their versions."""
    return "".join(hashlib.sha256(path.read_bytes()).hexdigest() for path in (Path(__file__), PEER_MODELS, VERSIONS))


def run_peer(name: str, folder: Path) -> tuple[np.ndarray, dict[str, Any]]:
    """The slates of a peer, int64 (n_users, n_results), and its settings and costs. Ends the program if it fails."""
    found = fit_peer(name, folder)
    return np.load(folder / f"{name}.npy"), found


def fit_peer(name: str, folder: Path, *options: str) -> dict[str, Any]:
    """Its settings and costs; with the option `--only-fit` it answers nobody, which takes some of them minutes."""
    command = [str(PYTHON), str(PEER_MODELS), name, str(folder), *options]
    environment = {**os.environ, **ENVIRONMENT.get(name, {})}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr[-3000:]}")
    return {**json.loads((folder / f"{name}.json").read_text()), "measured_at": facts()["measured_at"]}


def _peer(name: str, folder: Path, _run: Run) -> tuple[np.ndarray, dict[str, Any]]:
    return run_peer(name, folder)


def judge(slates: np.ndarray, data: Interactions, requests: Requests) -> dict[str, dict[str, float]]:
    """Every metric with its interval, by the code that judges ours. slates: int64 (n_users, K)."""
    relevant = [requests.relevant(data, row) for row in range(len(requests.users))]
    hits = np.stack([np.isin(slate, items) for slate, items in zip(slates[requests.users], relevant, strict=True)])
    table = metrics.per_user(hits, np.array([len(items) for items in relevant], np.int64))
    weights = metrics.resample_weights(len(relevant))
    names = ("mean", "low", "high")
    return {name: dict(zip(names, metrics.interval(values, weights), strict=True)) for name, values in table.items()}


def ours(dataset: str, protocol: str, ids_only: bool, folder: Path) -> dict[str, Any]:
    """`fusionrec evaluate`, which keeps and reuses its stages; their costs are those of the run that did the work."""
    out = folder / f"ours-{ids_only}.json"
    command = [
        sys.executable,
        "-m",
        "training",
        "evaluate",
        "--data",
        dataset,
        "--protocol",
        protocol,
        "--out",
        str(out),
    ]
    if status := subprocess.run([*command, *(["--ids-only"] if ids_only else [])], check=False).returncode:
        sys.exit(status)
    return dict(json.loads(out.read_text()))


def rows_of_ours(result: Mapping[str, Any], label: str) -> list[dict[str, Any]]:
    """One row a model, with the costs of its own fit where it has one; of the fusion, those of all stages."""
    costs = result["costs"]
    rows = []
    for model, values in result["models"].items():
        own = [costs[model]] if model in costs else []
        if model == "fusion":
            own = [cost for name, cost in costs.items() if not name.startswith("test window")]
        rows.append(
            {
                "model": f"{model.replace('_', ' ')}, {label}",
                "metrics": {name: values[name] for name in metrics.NAMES},
                "fit_seconds": sum(cost["seconds"] for cost in own) if own else None,
                "fit_cpu_seconds": sum(cost["cpu_seconds"] for cost in own) if own else None,
                "fit_peak_mib": max(cost["peak_mib"] for cost in own) if own else None,
            }
        )
    return rows


def table(rows: Iterable[Mapping[str, Any]]) -> str:
    """Markdown, best NDCG@10 first."""
    lines = ["| Model | HR@10 | NDCG@10 | fit, s | fit, CPU s | peak, MiB |", "|---|---|---|---|---|---|"]
    for row in sorted(rows, key=lambda row: -row["metrics"]["ndcg@10"]["mean"]):
        cells = [
            f"{value['mean']:.4f} ({value['low']:.4f}–{value['high']:.4f})"
            for value in (row["metrics"][name] for name in METRICS)
        ]
        costs = [row[name] for name in ("fit_seconds", "fit_cpu_seconds", "fit_peak_mib")]
        lines.append(f"| {row['model']} | {' | '.join([*cells, *map(_cost, costs)])} |")
    return "\n".join(lines)


def _cost(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", nargs="?", default="beauty")
    parser.add_argument("--quick", action="store_true", help="a smoke test on a few users")
    parser.add_argument("--only", nargs="*", choices=PEERS, default=list(PEERS), help="these peers")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=f"of SASRec; default {EPOCHS}")
    options = parser.parse_args()
    if not PYTHON.exists():
        sys.exit(f"{PYTHON} is missing: run `make {PYTHON.parents[1]}/.ready`")
    prepared = Prepared.read(open_dataset(options.dataset), Variant(ids_only=True))
    protocol = prepared.protocol
    data = first_users(prepared.data, QUICK_USERS) if options.quick else prepared.data
    cut = split(data, protocol, prepared.dataset.cutoffs)
    mask = not repeats_matter(cut.fit)
    epochs = 1 if options.quick else options.epochs
    rows, stages = [], Stages(prepared.dataset.folder / "work", unheard)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_case(folder, cut, data, mask, epochs)
        for peer in options.only:
            key = key_of(prepared.key(protocol), mask, epochs, peer_code(), os.cpu_count())
            run = partial(_peer, peer, folder)
            slates, found = run(QUIET) if options.quick else stages.once(f"peer {peer}", key, run)
            rows.append({"model": peer, "metrics": judge(slates, data, cut.test), **found})
            print(table(rows[-1:]).splitlines()[-1], flush=True)
        if not options.quick:
            for ids_only, label in ((True, "ids only"), (False, "with the catalogue")):
                rows += rows_of_ours(ours(options.dataset, protocol, ids_only, folder), label)
    print(table(rows))
    result = {**facts(), "dataset": prepared.dataset.name, "data_hash": prepared.dataset.data_hash}
    result |= {"protocol": protocol, "seen": "mask" if mask else "keep", "n_requests": len(cut.test.users)}
    write_result(RESULTS / f"peers-{options.dataset}{'-quick' * options.quick}.json", result | {"rows": rows})
    if not options.quick:
        replace_between(Path("docs/evaluation.md"), f"peers-{options.dataset}", table(rows))


def first_users(data: Interactions, n_users: int) -> Interactions:
    """The first users and their items alone, renumbered."""
    offsets = data.offsets[: n_users + 1]
    kept = slice(0, int(offsets[-1]))
    items, places = np.unique(data.items[kept], return_inverse=True)
    columns = {name: getattr(data, name)[kept] for name in ("events", "sent_at", "sessions")}
    return replace(data, n_items=len(items), offsets=offsets, items=places + 1, content=None, **columns)


if __name__ == "__main__":
    main()
