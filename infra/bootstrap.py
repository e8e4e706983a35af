"""Seed a deployed stack: upload a model bundle, then flip the pointer to it.

    python -m infra.bootstrap --bundle data/completejourney/bundles/VERSION --stack fusionrec

Running it again changes nothing; interrupted, it continues where it stopped. The manifest goes up after the files it
names and the pointer last, so that no reader ever sees half a bundle.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import botocore.session
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.progress import track

from fusionrec.bundle.manifest import FILE_NAME, read_manifest, verify
from fusionrec.errors import BadInputError, BundleError, FusionrecError

POINTER: Final = "current"


def stack_outputs(stack_name: str) -> dict[str, str]:
    """Outputs of a deployed stack. Raises BadInputError."""
    try:
        stacks = _client("cloudformation").describe_stacks(StackName=stack_name)["Stacks"]
    except ClientError as error:
        message = error.response["Error"]["Message"]
        raise BadInputError(f"{stack_name!r} cannot be read ({message}); deploy it first", pointer="--stack") from None
    return {output["OutputKey"]: output["OutputValue"] for output in stacks[0].get("Outputs", [])}


def publish(bundle: Path, uri: str, *, promote: bool = True) -> int:
    """Upload what is not there yet, then flip the pointer; returns how many files went up.

    uri: s3://bucket/prefix, as the functions' FUSIONREC_BUNDLE_URI
    raises: BundleError for a bundle that must not be served, BadInputError for a place that cannot be written
    """
    manifest = read_manifest(bundle)
    verify(bundle, manifest)
    place = urlsplit(uri)
    if place.scheme != "s3" or not place.netloc:
        raise BadInputError(f"{uri!r} is not s3://bucket/prefix", pointer="--uri")
    s3, prefix = _client("s3"), place.path.strip("/")
    folder = f"{prefix}/{manifest.model_version}".lstrip("/")
    try:
        published = _read(s3, place.netloc, f"{folder}/{FILE_NAME}")
        if published is not None and published != (bundle / FILE_NAME).read_bytes():
            raise BundleError(f"{uri} holds another bundle {manifest.model_version}; versions are never overwritten")
        n_sent = 0 if published is not None else _upload(s3, place.netloc, folder, bundle, manifest.files)
        if promote:
            pointer = f"{prefix}/{POINTER}".lstrip("/")
            s3.put_object(Bucket=place.netloc, Key=pointer, Body=f"{manifest.model_version}\n".encode())
    except (ClientError, BotoCoreError) as error:
        raise BadInputError(f"{uri} cannot be written: {error}", pointer="--uri") from None
    return n_sent


def _upload(s3: Any, bucket: str, folder: str, bundle: Path, files: dict[str, str]) -> int:
    """The files whose sha256 is not there yet, the manifest last."""
    n_sent = 0
    for name in track(sorted(files), "uploading", console=Console(stderr=True), transient=True):
        if _sha256(s3, bucket, f"{folder}/{name}") != files[name]:
            with (bundle / name).open("rb") as file:
                s3.put_object(Bucket=bucket, Key=f"{folder}/{name}", Body=file, Metadata={"sha256": files[name]})
            n_sent += 1
    s3.put_object(Bucket=bucket, Key=f"{folder}/{FILE_NAME}", Body=(bundle / FILE_NAME).read_bytes())
    return n_sent + 1


def _read(s3: Any, bucket: str, key: str) -> bytes | None:
    try:
        body: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except s3.exceptions.NoSuchKey:
        return None
    return body


def _sha256(s3: Any, bucket: str, key: str) -> str | None:
    """The hash that an earlier upload noted; None when there is no such object."""
    try:
        noted: str | None = s3.head_object(Bucket=bucket, Key=key)["Metadata"].get("sha256")
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchKey"):
            return None
        raise
    return noted


def _client(service: str) -> Any:
    return botocore.session.get_session().create_client(service)


def main() -> None:
    parser = argparse.ArgumentParser(description="Upload a model bundle to a deployed stack and promote it.")
    parser.add_argument("--bundle", type=Path, required=True, help="folder of one bundle, with its manifest.json")
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--stack", help="name of a deployed stack")
    place.add_argument("--uri", help="s3://bucket/prefix")
    parser.add_argument("--no-promote", action="store_true", help="upload only")
    given = parser.parse_args()
    try:
        uri = given.uri or stack_outputs(given.stack)["BundleUri"]
        n_sent = publish(given.bundle, uri, promote=not given.no_promote)
    except FusionrecError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, BadInputError) else 1)
    print(f"{n_sent} files uploaded to {uri}" + ("" if given.no_promote else f"; {given.bundle.name} is promoted"))


if __name__ == "__main__":
    main()
