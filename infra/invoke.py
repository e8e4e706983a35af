"""Run one example event in a built function, under the real Lambda runtime and without a container.

    python -m infra.invoke events/recommend.json --bundles data/completejourney/bundles

The stores of the cloud are not there, so an answer says that it is degraded.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from functions.local_gateway import ROUTES
from infra import rie

BUILT: Final = rie.ROOT / ".aws-sam" / "build"
TOY_VERSION: Final = "20260101T000000-toy"


def module_for(event: Mapping[str, Any]) -> str:
    """The handler's module for a gateway event or a queue's batch. Raises ValueError."""
    if "Records" in event:
        texts = str(event["Records"][0].get("eventSourceARN", "")).endswith("texts")
        return "functions.texts.app" if texts else "functions.absorb.app"
    for pattern, module in ROUTES:
        if re.fullmatch(pattern, str(event.get("path"))):
            return module
    raise ValueError(f"no function answers {event.get('path')!r}")


def write_toy_bundles(folder: Path) -> None:
    """The toy shop's bundle, promoted."""
    from training.shop import write_toy_bundle  # noqa: PLC0415 - torch takes seconds

    write_toy_bundle(folder / TOY_VERSION)
    (folder / "current").write_text(f"{TOY_VERSION}\n")


def invoke(event: Mapping[str, Any], bundles: Path) -> Any:
    """The function's answer. Raises RuntimeUnavailableError, ValueError."""
    module = module_for(event)
    name = module.split(".")[1].capitalize() + "Function"
    env = {"FUSIONREC_STORE": "dynamodb", "FUSIONREC_BUNDLE_URI": str(bundles.resolve())}
    env |= {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}  # nothing listens there
    with rie.running(BUILT / name, f"{module}.handler", env) as runtime:
        return runtime.invoke(event)


def main() -> None:
    parser = argparse.ArgumentParser(description="Run one example event in a built function, without a container.")
    parser.add_argument("event", type=Path, help="a file of events/")
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--bundles", type=Path, help="folder of bundles, with its pointer `current`")
    place.add_argument("--toy", action="store_true", help="make a toy bundle first")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bundles-") as folder:
        try:
            event = json.loads(given.event.read_text())
            if given.toy:
                write_toy_bundles(Path(folder))
            answer = invoke(event, given.bundles or Path(folder))
        except (OSError, ValueError, rie.RuntimeUnavailableError) as error:
            sys.exit(f"error: {error}")
    body = answer.get("body") if isinstance(answer, dict) else None
    print(json.dumps({**answer, "body": json.loads(body)} if body else answer, indent=2))


if __name__ == "__main__":
    main()
