from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from moto import mock_aws

from functions import wiring
from functions.local_gateway import LocalContext
from functions.sources.app import handler
from fusionrec.adapters.memory import FixedClock
from fusionrec.adapters.s3_drops import S3Drops
from fusionrec.errors import BadInputError, DataError
from tests.suites.serving import NOW

EVENTS = Path("events")


def example(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return event


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        client = botocore.session.get_session().create_client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="drops")
        monkeypatch.setattr(wiring, "drops", lambda: S3Drops(client))
        yield client


def items_of(world, user_id: str) -> Any:
    return world.users.read(user_id, FixedClock(NOW).deadline(10)).session["item_ids"]


def test_an_order_becomes_features(world) -> None:
    order = example("order-placed")
    order["detail"]["placedAt"] = NOW.isoformat()
    assert handler(order, LocalContext("r")) == {"accepted": 2, "duplicates": 0, "rejected": 0}
    assert items_of(world, "user-01") == ["item-01", "item-02"]
    assert handler(order, LocalContext("r"))["duplicates"] == 2


def test_a_dropped_file_becomes_features_and_its_bad_lines_a_report(world, s3) -> None:
    text = "\ufeffuserId,eventId,eventType,itemId,sentAt\r\n"
    text += f"u,e1,view,item-01,{NOW.isoformat()}\r\nu,e2,view,gone,{NOW.isoformat()}\r\n"
    s3.put_object(Bucket="drops", Key="drops/2026-01-01.csv", Body=text.encode())
    answer = handler(example("file-dropped"), LocalContext("r"))
    assert answer == {"accepted": 1, "duplicates": 0, "rejected": 1, "report": "rejected/2026-01-01.csv.csv"}
    assert items_of(world, "u") == ["item-01"]
    report = s3.get_object(Bucket="drops", Key=answer["report"])["Body"].read().decode()
    assert '"3","unknown-item","the catalogue holds no item \'gone\'"' in report


def test_a_file_that_is_gone_or_no_text_is_said(world, s3) -> None:
    with pytest.raises(DataError, match="is not there"):
        handler(example("file-dropped"), LocalContext("r"))
    s3.put_object(Bucket="drops", Key="drops/2026-01-01.csv", Body=b"userId,eventId,eventType,sentAt\n\xff\n")
    with pytest.raises(DataError, match="line 2 is no UTF-8"):
        handler(example("file-dropped"), LocalContext("r"))


def test_an_event_of_another_kind_is_refused(world) -> None:
    with pytest.raises(BadInputError, match="no source of events"):
        handler({"detail-type": "OrderShipped", "detail": {}}, LocalContext("r"))
