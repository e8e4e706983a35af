"""`python -m benchmarks.quality [DATASET]`: judge parts and fusion, keep the result, and write the README's table.

Runs `fusionrec evaluate` (reusing stages that are fitted already) and writes benchmarks/results/quality-<name>.json;
with --ids-only or --ties-shuffled, the file's name ends in that.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.facts import replace_between

RESULTS: Final = Path("benchmarks/results")
METRICS: Final = ("hr@10", "ndcg@10", "mrr@10", "coverage@10")
DEMO: Final = "completejourney"  # the data set of the README's table


def table(result: Mapping[str, Any]) -> str:
    """Markdown: a row a model, each number with its interval, and the paired test below."""
    lines = ["| model | HR@10 | NDCG@10 | MRR@10 | coverage@10 |", "|---|---|---|---|---|"]
    for model, row in result["models"].items():
        name = f"**{model}**" if model == "fusion" else model
        lines.append(f"| {name} | {' | '.join(_cell(row[metric]) for metric in METRICS)} |")
    paired = result["fusion_minus_best_part"]["ndcg@10"]
    lines += [
        "",
        f"Fusion minus its best part ({result['best_part']}), NDCG@10, paired over {result['n_users']:,} users: "
        f"{paired['difference']:+.4f} (95 % interval {paired['low']:+.4f} to {paired['high']:+.4f}).",
    ]
    return "\n".join(lines)


def _cell(value: Mapping[str, float]) -> str:
    if "low" not in value:
        return f"{value['mean']:.3f}"
    return f"{value['mean']:.3f} ({value['low']:.3f}–{value['high']:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", nargs="?", default=DEMO)
    parser.add_argument("--ids-only", action="store_true", help="no words, attributes and categories")
    parser.add_argument("--encoder", action="store_true", help="with the texts' meaning")
    parser.add_argument("--ties-shuffled", action="store_true", help="ties in random order")
    parser.add_argument("--protocol", default="", help="default: what suits the data; another one is part of the name")
    parser.add_argument("--labels", default="", help="what the fusion learns from; part of the file's name")
    parser.add_argument("--seen", default="", help="keep or mask what users had; part of the file's name")
    options = parser.parse_args()
    dataset = options.dataset
    suffix = "-ids-only" * options.ids_only + "-encoder" * options.encoder + "-ties-shuffled" * options.ties_shuffled
    choices = {name: getattr(options, name) for name in ("protocol", "labels", "seen")}
    suffix += "".join(f"-{chosen}" for chosen in choices.values() if chosen)
    out = RESULTS / f"quality-{dataset}{suffix}.json"
    command = [sys.executable, "-m", "training", "evaluate", "--data", dataset, "--out", str(out)]
    command += (
        ["--ids-only"] * options.ids_only
        + ["--encoder"] * options.encoder
        + ["--ties", "shuffled"] * options.ties_shuffled
    )
    for name, chosen in choices.items():
        command += [f"--{name}", chosen] if chosen else []
    if status := subprocess.run(command, check=False).returncode:
        sys.exit(status)
    if dataset == DEMO and not suffix:
        replace_between(Path("README.md"), "quality-table", table(json.loads(out.read_text())))


if __name__ == "__main__":
    main()
