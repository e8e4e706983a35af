"""POST /v1/events: feedback is checked and handed on; it becomes features within moments."""

from __future__ import annotations

from aws_lambda_powertools.event_handler import Response, content_types
from aws_lambda_powertools.metrics import MetricUnit

from functions import http, wiring
from fusionrec.contracts.events import EventsAnswer, EventsRequest
from fusionrec.observability import metrics

app = http.resolver({"/v1/events": "POST"})


@app.post("/v1/events", tags=["events"], summary="Up to 100 events of one user or session", status_code=202)
def ingest(request: EventsRequest) -> Response[EventsAnswer]:
    request = request.model_copy(update={"user_id": http.acting_user(app, request.user_id)})
    answer = wiring.ingester().ingest(request)
    metrics.add_metric("EventsAccepted", MetricUnit.Count, answer.accepted)
    metrics.add_metric("EventsRejected", MetricUnit.Count, len(answer.rejected))
    return Response(202, content_types.APPLICATION_JSON, answer)


handler = http.handler(app)
