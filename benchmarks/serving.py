"""How fast and how dear one recommendation is: `python -m benchmarks.serving`, all in one run on one machine.

Writes benchmarks/results/serving.json and the README's table. `--quick` is a small run that proves the benchmark
works; it writes to a file of its own and leaves the README alone.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final, cast

from rich.console import Console

from benchmarks.facts import facts, replace_between, write_result
from benchmarks.serving_cold import cold_starts
from benchmarks.serving_world import random_world, user_ids
from fusionrec.settings import Settings
from infra.rie import RuntimeUnavailableError

RESULTS: Final = Path("benchmarks/results")
SIZES: Final = (12_000, 100_000)
NAIVE_SIZE: Final = 12_000
MEMORY_GB: Final = 1769 / 1024  # template.yaml: one whole virtual CPU


def run_case(kind: str, folder: Path, users: list[str], n_requests: int) -> dict[str, Any]:
    """In a fresh process, so that memory is its own and nothing is warm but what it warms."""
    path = folder.parent / "users.json"
    path.write_text(json.dumps(users))
    command = [sys.executable, "-m", "benchmarks.serving_case", kind, str(folder), "--users", str(path)]
    done = subprocess.run([*command, "--requests", str(n_requests)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{kind} case failed: {done.stderr[-2000:]}")
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def export_parts(folder: Path, n_items: int) -> None:
    """What the naive way needs: a graph a model, and the vocabulary."""
    from fusionrec.bundle.catalogue import Catalogue  # noqa: PLC0415
    from training.export import export_part  # noqa: PLC0415 - torch
    from training.models.protocol import Part  # noqa: PLC0415
    from training.shop import random_ranker  # noqa: PLC0415

    (folder / "parts").mkdir()
    for part in random_ranker(n_items).parts:
        export_part(cast(Part, part), folder / "parts" / f"{part.name}.onnx")
    catalogue = Catalogue.load(folder / "bundles" / "v1" / "catalogue")
    ids = [catalogue.item_id(index) for index in range(1, n_items + 1)]
    (folder / "item_ids.json").write_text(json.dumps(ids))


def demo_case(home: Path, dataset: str, n_requests: int) -> dict[str, Any] | None:
    """The prepared and trained data set with its own users; None when it is not there. Its logs stay untouched."""
    source = (Settings.from_env().home / dataset).resolve()
    if not (source / "bundles" / "current").is_file() or not (source / "feast" / "online.db").is_file():
        return None
    folder = home / dataset
    folder.mkdir(parents=True)
    for name in ("bundles", "dataset.json"):
        (folder / name).symlink_to(source / name)
    shutil.copytree(source / "feast", folder / "feast")
    users = _users(source, 200)
    manifest = json.loads((source / "bundles" / (source / "bundles" / "current").read_text().strip() / "manifest.json")
                          .read_text())  # fmt: skip
    measured = run_case("handler", folder, users, n_requests)
    return {**measured, "dataset": dataset, "n_items": manifest["n_items"], "data_hash": manifest["data_hash"]}


def _users(folder: Path, n_users: int) -> list[str]:
    import duckdb  # noqa: PLC0415

    query = "select distinct user_id from read_parquet(?) order by hash(user_id) limit ?"
    rows = duckdb.execute(query, [str(folder / "events.parquet"), n_users]).fetchall()
    return [str(row[0]) for row in rows]


def cost(mean_ms: float, given: argparse.Namespace) -> dict[str, float]:
    """Lambda's price formula: requests, and GB-seconds of the duration rounded up to a ms. Nothing else is counted."""
    billed_ms = math.ceil(mean_ms + given.store_ms)
    gb_s = 1e6 * billed_ms / 1000 * MEMORY_GB
    return {
        "price_per_million_requests": given.price_request,
        "price_per_gb_s": given.price_gb_second,
        "assumed_store_ms": given.store_ms,
        "memory_gb": round(MEMORY_GB, 3),
        "billed_ms": billed_ms,
        "gb_s_per_million": round(gb_s, 1),
        "per_million_requests": round(given.price_request + gb_s * given.price_gb_second, 3),
    }


def measure_all(given: argparse.Namespace, console: Console, home: Path) -> dict[str, Any]:
    sizes, naive_size = ((2_000,), 2_000) if given.quick else (SIZES, NAIVE_SIZE)
    n_requests = 100 if given.quick else 2000
    result: dict[str, Any] = {**facts(), "handler": {}, "history_items": 50}
    console.print("demo catalogue")
    demo = None if given.quick else demo_case(home / "demo", given.dataset, n_requests)
    if demo is not None:
        result["handler"]["demo"] = demo
    folders = {}
    for n_items in sizes:
        console.print(f"{n_items:,} items")
        folders[n_items] = random_world(home / str(n_items), n_items)
        measured = run_case("handler", folders[n_items], user_ids(), n_requests)
        result["handler"][str(n_items)] = {**measured, "n_items": n_items}
    console.print("the naive way")
    result["naive"] = {**naive(folders[naive_size], naive_size, quick=given.quick), "n_items": naive_size}
    reference = result["handler"][str(naive_size)]
    result["times_faster_p50"] = round(result["naive"]["p50_ms"] / reference["p50_ms"], 1)
    result["cost"] = cost(reference["mean_ms"], given)
    console.print("cold start")
    n_starts = 2 if given.quick else 10
    try:
        result["cold_start"] = cold_starts(folders[naive_size] / "bundles", n_starts)
        if demo is not None:
            result["cold_start_of_demo"] = cold_starts(home / "demo" / given.dataset / "bundles", n_starts)
    except (RuntimeUnavailableError, ImportError) as error:
        result["cold_start"] = {"skipped": str(error)}
    return result


def naive(folder: Path, n_items: int, *, quick: bool) -> dict[str, Any]:
    """Its times, and the median of three first answers, each in a process of its own."""
    export_parts(folder, n_items)
    runs = [run_case("naive", folder, user_ids(), 1) for _ in range(2)]
    measured = run_case("naive", folder, user_ids(), 10 if quick else 100)
    firsts = [each["first_answer_ms"] for each in (*runs, measured)]
    return {**measured, "first_answer_ms": statistics.median(firsts), "all_first_answers_ms": firsts}


def table(result: dict[str, Any]) -> str:
    """The README's table."""
    lines = ["| What | p50 | p95 | p99 | memory |", "|---|---|---|---|---|"]
    names = {"demo": "demo catalogue"}
    for key, row in result["handler"].items():
        name = f"{names.get(key, 'random catalogue')}, {row['n_items']:,} items"
        lines.append(_row(f"whole handler, warm, {name}", row))
    naive = result["naive"]
    lines.append(_row(f"the naive way, {naive['n_items']:,} items", naive))
    cold, machine, costs = result["cold_start"], result["machine"], result["cost"]
    text = "\n".join(lines)
    if "skipped" not in cold:
        text += (
            f"\n\nCold start under the Runtime Interface Emulator, from process start to the answer, median of "
            f"{len(cold['all_answered_ms'])}: {_cold('random catalogue', cold)}"
        )
        if demo := result.get("cold_start_of_demo"):
            text += f"; {_cold('demo catalogue', demo)}"
        text += f". The naive way's first answer takes {naive['first_answer_ms']:,.0f} ms without the emulator."
    return text + (
        f"\n\n{result['times_faster_p50']} times faster than the naive way at p50. Lambda's price for a million "
        f"requests: {costs['per_million_requests']:.2f} USD ({costs['billed_ms']} ms billed, of which "
        f"{costs['assumed_store_ms']:g} ms are assumed for the store's round trip). Measured on {machine['n_cpus']} "
        f"CPUs ({machine['processor']}), load average {machine['load_average'][0]}, commit {result['commit']}; "
        "`make bench` repeats it."
    )


def _cold(name: str, cold: dict[str, Any]) -> str:
    return f"{name} {cold['answered_ms']:,} ms ({cold['cpu_s']} s of CPU, {cold['memory_mb']:.0f} MB)"


def _row(name: str, row: dict[str, Any]) -> str:
    times = " | ".join(f"{row[f'{p}_ms']:.2f} ms" for p in ("p50", "p95", "p99"))
    return f"| {name} | {times} | {row['memory_mb']:.0f} MB |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one small size, few requests")
    parser.add_argument("--dataset", default="completejourney", help="the demo's data set, when it is trained")
    parser.add_argument("--price-request", type=float, default=0.20, help="USD per million requests")
    parser.add_argument("--price-gb-second", type=float, default=0.0000166667, help="USD per GB-second")
    parser.add_argument("--store-ms", type=float, default=5.0, help="assumed round trip to DynamoDB, for the cost")
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="bench-") as home:
        result = measure_all(given, console, Path(home))
    write_result(RESULTS / ("serving-quick.json" if given.quick else "serving.json"), result)
    print(table(result))
    if not given.quick and not replace_between(Path("README.md"), "serving-benchmark", table(result)):
        console.print("README.md has no place for the table: <!-- serving-benchmark:begin/end -->")


if __name__ == "__main__":
    main()
