"""Evaluation results as JSON, with what is needed to know what they are about."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from training.data.dataset import Dataset
from training.train import Judged


def write_results(dataset: Dataset, judged: Judged, out: Path | None = None) -> list[Path]:
    """Write below the data set's `evaluation/`, and to `out` (a file, or a folder). Returns the paths."""
    name = f"{judged.protocol}-{judged.evaluation.seen}.json"
    paths = [dataset.folder / "evaluation" / name]
    if out is not None:
        paths.append(out / f"{dataset.name}-{name}" if out.is_dir() else out)
    text = json.dumps(as_json(dataset, judged), indent=1) + "\n"
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        part.write_text(text)
        part.replace(path)
    return paths


def as_json(dataset: Dataset, judged: Judged) -> dict[str, Any]:
    return {
        "dataset": dataset.name,
        "data_hash": dataset.data_hash,
        "commit": commit(),
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "protocol": judged.protocol,
        "recipe": repr(judged.recipe),
        "key": judged.key,
        **judged.evaluation.as_json(),
    }


def commit() -> str:
    """The checked-out commit, with `+` when files differ from it; '' outside a repository."""
    root = Path(__file__).parent
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
        changed = subprocess.run(["git", "status", "--porcelain"], cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")
