"""`manifest.json`: what a bundle holds, for whom it was made, and the sha256 of each of its files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from fusionrec.errors import BundleMismatchError, BundleMissingError, BundleTamperedError
from fusionrec.feature_spec import FEATURE_SERVICES, spec_hash

SCHEMA_VERSION: Final = 1
FILE_NAME: Final = "manifest.json"


class Manifest(BaseModel):
    """Schema version 1."""

    model_config = ConfigDict(frozen=True, extra="ignore")  # a later one may say more

    schema_version: int = SCHEMA_VERSION
    model_version: str  # also the bundle's folder name: sortable, unique
    created_at: str  # ISO 8601, UTC
    dataset: str
    data_hash: str  # sha256 of the prepared events
    data_cutoff: str  # ISO 8601: no later event was seen in training
    items_through: int = 0  # the last update of the item log that the catalogue holds; 0 = none
    items_log: str = ""  # sha256 of that update: in another log the number means something else; "" = not known
    feature_service: str
    feature_spec_hash: str
    vocabulary_hash: str
    n_items: int
    history_length: int  # longest history that the ranker was trained on
    optimised: bool = False  # the graph, as far as opening it would; False: a bundle of before that was done
    top_k: int  # length of the ranking that the graph returns
    parts: tuple[str, ...]  # order of the contributions
    metrics: dict[str, dict[str, float]]  # model → metric → value on the test window
    privacy: dict[str, float | str]  # ledger; {"mechanism": "none"} when training was not private
    files: dict[str, str]  # relative path → sha256


def sha256_of(path: Path) -> str:
    """Hex digest of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_files(folder: Path) -> dict[str, str]:
    """relative path → sha256 of every file below the folder but the manifest itself."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != FILE_NAME)
    return {p.relative_to(folder).as_posix(): sha256_of(p) for p in files}


def write_manifest(folder: Path, manifest: Manifest) -> None:
    (folder / FILE_NAME).write_text(manifest.model_dump_json(indent=2) + "\n")


def read_manifest(folder: Path) -> Manifest:
    """Read, but do not verify, the manifest. Raises BundleMissingError, BundleMismatchError."""
    path = folder / FILE_NAME
    try:
        fields = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise BundleMissingError(f"no {FILE_NAME} in {folder}; `fusionrec models list` shows those there are") from None
    except ValueError as error:
        raise BundleTamperedError(f"{path} is not JSON ({error}); fetch the bundle again") from None
    if not isinstance(fields, dict) or fields.get("schema_version") != SCHEMA_VERSION:
        found = fields.get("schema_version") if isinstance(fields, dict) else None
        raise BundleMismatchError(
            f"{path} has schema_version {found!r}, this code reads {SCHEMA_VERSION}; export the bundle again"
        )
    try:
        return Manifest.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = "/".join(str(part) for part in first["loc"])
        raise BundleMismatchError(f"{path}: {where}: {first['msg']}; export the bundle again") from None


def verify(folder: Path, manifest: Manifest) -> None:
    """Raises BundleMismatchError or BundleTamperedError, saying what differs."""
    if manifest.feature_service not in FEATURE_SERVICES:
        raise BundleMismatchError(
            f"bundle {manifest.model_version} was made for the feature service {manifest.feature_service!r}, this code "
            f"has {', '.join(FEATURE_SERVICES)}; train again or deploy the matching code"
        )
    expected = spec_hash(manifest.feature_service)
    if manifest.feature_spec_hash != expected:
        raise BundleMismatchError(
            f"bundle {manifest.model_version} was made for feature spec {manifest.feature_spec_hash} of "
            f"{manifest.feature_service}, this code has {expected}; train again or deploy the matching code"
        )
    for name, digest in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise BundleTamperedError(f"bundle {manifest.model_version} lacks {name}; fetch it again")
        if sha256_of(path) != digest:
            raise BundleTamperedError(
                f"{name} in bundle {manifest.model_version} differs from its sha256; fetch it again"
            )
