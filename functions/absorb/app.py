"""The queue's consumer: accepted events become the users' live features. Failed messages are delivered again."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit

from functions import wiring
from fusionrec.absorb import Delivery
from fusionrec.hand_on import hand_on, readable
from fusionrec.observability import logger, metrics


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """A batch of SQS records; the answer names those that are to come again."""
    deliveries = [_delivery(record) for record in event["Records"]]
    failed = wiring.consumer().consume(deliveries)
    hand_on(wiring.texts(), readable([d.body for d in deliveries if d.message_id not in failed]))
    metrics.add_metric("EventsAbsorbed", MetricUnit.Count, len(event["Records"]) - len(failed))
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _delivery(record: dict[str, Any]) -> Delivery:
    attributes = record.get("attributes", {})
    return Delivery(
        message_id=record["messageId"],
        body=record["body"],
        group=attributes.get("MessageGroupId", ""),
        attempt=int(attributes.get("ApproximateReceiveCount", 1)),
    )
