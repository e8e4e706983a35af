"""The local Feast store of one data set: SQLite on-line, DuckDB off-line, below `<dataset>/feast/`.

Slow to import (the Feast SDK); local serving and training use it, functions never do.
"""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from string import Template
from typing import Any, Final

import yaml
from feast import FeatureStore, RepoConfig

from fusionrec.errors import StoreUnavailableError

REPOSITORY: Final = Path(__file__).resolve().parents[2] / "feature_repo"
LOCAL_YAML: Final = REPOSITORY / "feature_store.local.yaml"


def local_config(dataset_dir: Path) -> RepoConfig:
    """`feature_store.local.yaml` with the paths of this data set. Raises StoreUnavailableError when it is missing."""
    try:
        text = LOCAL_YAML.read_text()
    except OSError as error:
        raise StoreUnavailableError(
            "user_features", f"no {LOCAL_YAML.name} ({error.strerror}); run in a checkout"
        ) from None
    folder = dataset_dir.resolve()
    paths = {"FUSIONREC_HOME": str(folder.parent), "FUSIONREC_DATASET": folder.name}
    config: dict[str, Any] = yaml.safe_load(Template(text).substitute(paths))
    return without_advice(RepoConfig(**config, repo_path=REPOSITORY))


def without_advice(config: RepoConfig) -> RepoConfig:
    """The same, with the settings of its registry: Feast makes them when it first needs them, and advises then.

    It says, once a store, that serving while materializing needs no setting with a registry file; measured, reads are
    refused without it.
    """
    advisor = logging.getLogger("feast.repo_config")
    level = advisor.level
    advisor.setLevel(logging.ERROR)
    try:
        _ = config.registry
    finally:
        advisor.setLevel(level)
    return config


def open_local_store(dataset_dir: Path) -> FeatureStore:
    """The store that `fusionrec features sync` filled. Raises StoreUnavailableError when it did not."""
    if not (dataset_dir / "feast" / "registry.db").is_file():
        raise StoreUnavailableError(
            "user_features",
            f"no feature store in {dataset_dir / 'feast'}; run `fusionrec features sync --data {dataset_dir.name}`",
        )
    write_ahead(dataset_dir / "feast" / "online.db")
    return FeatureStore(config=local_config(dataset_dir))


def write_ahead(database: Path) -> None:
    """Have SQLite append what is written, from now on: a write costs half, and readers need not wait for it.

    A missing file stays missing, so that `sync` sees it.
    """
    if not database.is_file() or not database.stat().st_size:
        return
    with suppress(sqlite3.Error), closing(sqlite3.connect(database)) as connection:  # where it cannot, all stays
        connection.execute("pragma journal_mode = wal")
