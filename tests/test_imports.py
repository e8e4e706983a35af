"""What is heavy stays out of the functions: a cold start pays for every import."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    "torch",
    "pandas",
    "pyarrow",
    "scipy",
    "feast",
    "duckdb",
    "ibis",
    "boto3",
    "sqlalchemy",
    "aws_xray_sdk",
    "training",
)
HANDLERS = ("recommend", "items", "events", "absorb", "sources", "texts", "users")

# Builds the use cases too, as the first request does: that is where adapters are imported.
PROGRAM = """
import sys
from functions.{name} import app
from functions import wiring
{build}
print(" ".join(sys.modules))
"""
BUILD = {
    "recommend": "wiring.recommender()",
    "items": "wiring.catalogues()",
    "events": "wiring.ingester()",
    "absorb": "wiring.consumer(); wiring.texts(); assert not {'onnxruntime', 'numpy', 'pydantic'} & set(sys.modules)",
    "texts": "wiring.text_feedback().scorer()",
    "sources": "wiring.ingester(); wiring.drops()",
    "users": "wiring.profiles()",
}
CLOUD = {
    "FUSIONREC_STORE": "dynamodb",
    "FUSIONREC_BUNDLE_URI": "s3://models/bundles",
    "FUSIONREC_EVENT_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/1/events.fifo",
    "FUSIONREC_TEXT_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/1/texts",
    "FUSIONREC_DEAD_LETTER_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/1/dead.fifo",
    "FUSIONREC_EVENT_STREAM": "events",
    "FUSIONREC_SLATE_STREAM": "slates",
    "AWS_REGION": "eu-west-1",
}


@pytest.mark.parametrize("name", HANDLERS)
def test_a_function_imports_nothing_heavy(name: str) -> None:
    program = PROGRAM.format(name=name, build=BUILD[name])
    loaded = subprocess.run(
        [sys.executable, "-c", program], env=CLOUD, capture_output=True, text=True, check=True
    ).stdout
    roots = {module.split(".")[0] for module in loaded.split()}
    # Three modules of the feast package are meant: its protobufs and its key encoding.
    lean = {module for module in loaded.split() if module.startswith("feast")}
    assert lean <= {"feast.protos.feast.types.Value_pb2", "feast.protos.feast.types.EntityKey_pb2"}
    assert (roots - {"feast"}) & set(HEAVY) == set()


def test_recommend_starts_though_its_bucket_is_away() -> None:
    """An exception at import would keep the version from being published; each request says 503 instead."""
    away = {
        "AWS_LAMBDA_FUNCTION_NAME": "recommend",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_LAMBDA_LOG_LEVEL": "ERROR",
    }
    unreachable = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    program = "from functions.recommend import app; print('started')"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**CLOUD, **away, **unreachable},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "started"
    assert "started without a bundle" in done.stdout


def test_the_real_feast_still_imports_after_the_lean_part() -> None:
    program = "import fusionrec.adapters.feast_codec; import feast; print(feast.FeatureStore.__name__)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "FeatureStore"
