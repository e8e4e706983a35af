"""`python -m benchmarks.peer_pairs [DATASET]`: a part of ours and the same model of a library, in turns.

As in `benchmarks.peers`: the same interactions, histories, rule for seen items and judging, from ids alone; one thread,
which OMP_NUM_THREADS=1 has to say before anything is imported.
But without fusion and SASRec, which take hours, so that both of a pair meet the same load. Each is fitted `--times`
times; the least CPU time counts. Writes benchmarks/results/peer-pairs-<name>.json and its table in docs/evaluation.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.facts import facts, replace_between, write_result
from benchmarks.peers import PYTHON, RESULTS, fit_peer, judge, run_peer, table, write_case
from training.commands.train import open_dataset
from training.evaluate import rank
from training.fusion.additive import AdditiveFusion
from training.fusion.ranker import FusedRanker
from training.interactions import Interactions
from training.models.als import Als
from training.models.ease import Ease
from training.models.item_knn import ItemKnn
from training.models.popularity import Popularity
from training.models.protocol import Part
from training.protocols import Split, split
from training.recipe import Recipe, repeats_matter
from training.train import Prepared
from training.variants import Variant

K: Final = 50
Maker = Callable[[int, Recipe], Part]
PAIRS: Final[dict[str, tuple[str, Maker]]] = {  # ours: theirs, and what makes ours
    "als": ("implicit-als", lambda n_items, recipe: Als(n_items, recipe.als)),
    "item_knn": ("lenskit-itemknn", lambda n_items, recipe: ItemKnn(n_items, recipe.item_knn)),
    "ease": ("rectools-ease", lambda n_items, recipe: Ease(n_items, recipe.ease)),
}


def fitted(name: str, cut: Split, recipe: Recipe) -> tuple[Part, dict[str, float]]:
    """The part as the recipe sets it, and what its fit took."""
    part = PAIRS[name][1](cut.fit.n_items, recipe)
    wall, cpu = time.perf_counter(), time.process_time()
    part.fit(cut.fit, cut.fit_now_ms)
    return part, {"fit_seconds": time.perf_counter() - wall, "fit_cpu_seconds": time.process_time() - cpu}


def slates_of(part: Part, cut: Split, data: Interactions, mask: bool) -> np.ndarray:
    """int64 (n_users, K), by the code that ranks in an evaluation."""
    popularity = Popularity(data.n_items).fit(cut.fit, cut.fit_now_ms)
    ranker = FusedRanker([popularity, part], AdditiveFusion(2), K).eval()
    found = rank(ranker, data, cut.test, seen="mask" if mask else "keep", seed=0).slates[part.name]
    slates = np.zeros((data.n_users, found.shape[1]), np.int64)
    slates[cut.test.users] = found
    return slates


def least(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The run that took the least CPU time, with what all of them took."""
    every = [round(run["fit_cpu_seconds"], 2) for run in runs]
    return {**min(runs, key=lambda run: run["fit_cpu_seconds"]), "all_fit_cpu_seconds": every}


def pair(
    own: str, folder: Path, cut: Split, data: Interactions, recipe: Recipe, mask: bool, times: int
) -> list[dict[str, Any]]:
    """Two rows: theirs and ours."""
    theirs, ours, peer = [], [], PAIRS[own][0]
    slates, found = run_peer(peer, folder)
    for _ in range(times - 1):
        theirs.append(fit_peer(peer, folder, "--only-fit"))
        ours.append(fitted(own, cut, recipe)[1])
    theirs.append(found)
    part, cost = fitted(own, cut, recipe)
    ours.append(cost)
    mine = slates_of(part, cut, data, mask)
    peak = {"fit_peak_mib": None}  # ours is fitted in the process that holds the data
    rows = [
        {"model": peer, "metrics": judge(slates, data, cut.test), **found, **least(theirs)},
        {"model": f"{own.replace('_', ' ')}, ours", "metrics": judge(mine, data, cut.test), **peak, **least(ours)},
    ]
    return [{"pair": own, **facts(), **row} for row in rows]


def kept(path: Path, about: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of earlier pairs, since each pair is written when it is done; none where they are of something else."""
    found = json.loads(path.read_text()) if path.exists() else {}
    return list(found["rows"]) if found and all(found[name] == told for name, told in about.items()) else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", nargs="?", default="beauty")
    parser.add_argument("--only", nargs="*", choices=PAIRS, default=list(PAIRS), help="these parts")
    parser.add_argument("--times", type=int, default=3, help="how often each is fitted; default 3")
    options = parser.parse_args()
    if os.environ.get("OMP_NUM_THREADS") != "1":
        sys.exit("run it with OMP_NUM_THREADS=1 in the environment: one thread each")
    if not PYTHON.exists():
        sys.exit(f"{PYTHON} is missing: run `make {PYTHON.parents[1]}/.ready`")
    prepared = Prepared.read(open_dataset(options.dataset), Variant(ids_only=True))
    data = prepared.data
    cut = split(data, prepared.protocol, prepared.dataset.cutoffs)
    mask, recipe = not repeats_matter(cut.fit), Recipe.for_split(cut).with_everything(cut)
    path = RESULTS / f"peer-pairs-{options.dataset}.json"
    about = {
        "dataset": prepared.dataset.name,
        "data_hash": prepared.dataset.data_hash,
        "protocol": prepared.protocol,
        "seen": "mask" if mask else "keep",
        "n_requests": len(cut.test.users),
    }
    rows = [row for row in kept(path, about) if row["pair"] not in options.only]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_case(folder, cut, data, mask, epochs=1)
        for own in options.only:
            rows += pair(own, folder, cut, data, recipe, mask, options.times)
            print(table(rows[-2:]), flush=True)
            write_result(path, about | {"rows": rows})
    replace_between(Path("docs/evaluation.md"), f"peer-pairs-{options.dataset}", table(rows))


if __name__ == "__main__":
    main()
