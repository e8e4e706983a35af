"""The consumer of texts: reviews and comments are scored, and a surge of negative ones raises an alarm.

A function and a queue of its own: the model's 0.3 s of import, a slow score or a failing alarm hold up no session, and
texts have their own tries and their own dead letters.
"""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit

from functions import wiring
from fusionrec.errors import BadInputError, FusionrecError
from fusionrec.messages import from_message
from fusionrec.observability import logger, metrics
from fusionrec.ports import Interaction


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """A batch of SQS records; the answer names those that are to come again. One failing text fails alone."""
    failed: list[str] = []
    n_scored = 0
    for record in event["Records"]:
        try:
            message = from_message(record["body"])
            n_scored += wiring.text_feedback().absorb([message] if isinstance(message, Interaction) else [])
        except BadInputError as error:  # never will be readable: the queue's own rule puts it away
            logger.error("text not readable", extra={"message_id": record["messageId"], "detail": str(error)})
            failed.append(record["messageId"])
        except FusionrecError as error:
            logger.error("text not scored", extra={"message_id": record["messageId"], "detail": str(error)})
            failed.append(record["messageId"])
        except Exception:  # what is wrong with one text must not bring the others again
            logger.exception("text not scored", extra={"message_id": record["messageId"]})
            failed.append(record["messageId"])
    metrics.add_metric("TextsScored", MetricUnit.Count, n_scored)
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}
