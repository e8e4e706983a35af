"""EventBridge `OrderPlaced` and S3 `Object Created`: other systems' events pass the same intake as the API's.

What raises here is tried twice more by Lambda, and then lies with its reason in the queue of failed sources.
"""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit

from functions import wiring
from fusionrec.errors import BadInputError
from fusionrec.observability import logger, metrics
from fusionrec.sources import ingest_drop, ingest_order, rejected_csv


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """What was taken of one event: accepted, duplicates, rejected."""
    kind, detail = event.get("detail-type"), event.get("detail") or {}
    if kind == "OrderPlaced":
        answer = order(detail)
    elif kind == "Object Created":
        answer = drop(detail)
    else:
        raise BadInputError(f"no source of events: {kind!r}", pointer="detail-type")
    metrics.add_metric("EventsAccepted", MetricUnit.Count, answer["accepted"])
    metrics.add_metric("EventsRejected", MetricUnit.Count, answer["rejected"])
    return answer


def order(detail: dict[str, Any]) -> dict[str, Any]:
    answer = ingest_order(wiring.ingester(), detail)
    for row in answer.rejected:  # a line of an item that the catalogue lacks, for one: the order's other lines count
        logger.error("order line rejected", extra={"line": row.index + 1, "code": row.code, "detail": row.detail})
    return {"accepted": answer.accepted, "duplicates": answer.duplicates, "rejected": len(answer.rejected)}


def drop(detail: dict[str, Any]) -> dict[str, Any]:
    try:
        bucket, key = detail["bucket"]["name"], detail["object"]["key"]
    except (KeyError, TypeError) as error:
        raise BadInputError(f"the event names no object: {error}", pointer="detail") from None
    report = ingest_drop(wiring.ingester(), wiring.drops().lines(bucket, key))
    answer: dict[str, Any] = {
        "accepted": report.n_accepted,
        "duplicates": report.n_duplicates,
        "rejected": len(report.rejected),
    }
    if report.rejected:
        answer["report"] = wiring.drops().report(bucket, key, rejected_csv(report))
    logger.info("file taken", extra={"key": key, **answer})
    return answer
