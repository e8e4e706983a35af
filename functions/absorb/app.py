"""The queue's consumer: accepted events become the users' live features. Failed messages are delivered again."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit

from functions import wiring
from fusionrec.errors import BadInputError, StoreUnavailableError
from fusionrec.messages import from_message
from fusionrec.observability import logger, metrics, tracer
from fusionrec.ports import Interaction


@logger.inject_lambda_context(clear_state=True)
@tracer.capture_lambda_handler(capture_response=False)
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """One read and one write a user; a user whose write fails fails alone, with all its messages of this batch."""
    failed: list[str] = []
    by_user: dict[str, list[tuple[str, Interaction]]] = {}
    for record in event["Records"]:
        try:
            interaction = from_message(record["body"])
        except BadInputError as error:
            logger.error("message refused", extra={"message_id": record["messageId"], "detail": str(error)})
            failed.append(record["messageId"])
        else:
            by_user.setdefault(interaction.user_id, []).append((record["messageId"], interaction))
    for user_id, messages in by_user.items():
        try:
            wiring.absorber().absorb(user_id, [interaction for _, interaction in messages])
        except StoreUnavailableError as error:
            logger.error("events not absorbed", extra={"n_events": len(messages), "detail": str(error)})
        except Exception:  # what is wrong with one user's row or events must not hold up the other users
            logger.exception("events not absorbed", extra={"n_events": len(messages)})
        else:
            continue
        failed.extend(message_id for message_id, _ in messages)
    metrics.add_metric("EventsAbsorbed", MetricUnit.Count, len(event["Records"]) - len(failed))
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}
