"""What every result carries: when, on which machine, by which code; and the README's tables."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import psutil

PACKAGES = ("numpy", "onnxruntime", "pydantic", "aws-lambda-powertools", "feast")


def facts() -> dict[str, Any]:
    """The commit (with `+` when files differ from it), the time and the machine."""
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": {
            "processor": _processor(),
            "n_cpus": os.cpu_count(),
            "memory_gib": round(psutil.virtual_memory().total / 1024**3, 1),
            "system": platform.platform(terse=True),
            "python": platform.python_version(),
            "load_average": [round(load, 2) for load in os.getloadavg()],
        },
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
    }


def _version(name: str) -> str:
    """Empty where it is not installed: not every benchmark needs every package."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _commit() -> str:
    """FUSIONREC_COMMIT tells it where the files lie without their repository."""
    try:
        head = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get("FUSIONREC_COMMIT", "unknown")
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def _processor() -> str:
    try:
        found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.processor()


def latencies(times_ms: Sequence[float]) -> dict[str, float]:
    """p50, p95, p99 and the mean, in ms."""
    p50, p95, p99 = np.percentile(times_ms, [50, 95, 99]).tolist()
    return {
        "p50_ms": round(p50, 3),
        "p95_ms": round(p95, 3),
        "p99_ms": round(p99, 3),
        "mean_ms": round(float(np.mean(times_ms)), 3),
        "n_requests": len(times_ms),
    }


def write_result(path: Path, result: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".tmp")
    scratch.write_text(json.dumps(result, indent=2) + "\n")
    scratch.replace(path)


def replace_between(path: Path, name: str, text: str) -> bool:
    """Put the text between `<!-- name:begin -->` and `<!-- name:end -->`; False when the file lacks them."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    content = path.read_text() if path.is_file() else ""
    if begin not in content or end not in content:
        return False
    before, _, rest = content.partition(begin)
    after = rest.partition(end)[2]
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}")
    return True
