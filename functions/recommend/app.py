"""POST /v1/recommendations: one ranked slate. Also health, and the description of the whole API."""

from __future__ import annotations

import os

from aws_lambda_powertools.event_handler import Response, content_types
from aws_lambda_powertools.metrics import MetricUnit

from functions import http, wiring
from fusionrec.contracts.recommendations import RecommendationRequest, Recommendations
from fusionrec.errors import FusionrecError
from fusionrec.observability import logger, metrics
from fusionrec.stages import Stages

app = http.resolver(
    {"/v1/recommendations": "POST", "/health/live": "GET", "/health/ready": "GET", "/openapi.json": "GET"}
)


@app.post("/v1/recommendations", tags=["recommendations"], summary="One ranked slate")
def recommend(request: RecommendationRequest) -> Response[Recommendations]:
    stages = Stages()
    request = request.model_copy(update={"user_id": http.acting_user(app, request.user_id)})
    slate = wiring.recommender().recommend(request, stages)
    metrics.add_metric("Degraded", MetricUnit.Count, int(bool(slate.degraded)))
    return Response(200, content_types.APPLICATION_JSON, slate, headers={"Server-Timing": stages.server_timing})


@app.get("/health/live", tags=["operations"], summary="The process answers")
def live() -> dict[str, str]:
    return {"status": "live"}


@app.get("/health/ready", tags=["operations"], summary="A verified model is loaded; 503 until then")
def ready() -> dict[str, str]:
    model = wiring.models().current()
    return {"status": "ready", "modelVersion": model.bundle.manifest.model_version}


@app.get("/openapi.json", include_in_schema=False)
def openapi() -> Response[str]:
    from functions.openapi import document  # another fifth of a second of imports, for the rare caller who asks

    return Response(200, content_types.APPLICATION_JSON, document())


handler = http.handler(app)

if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    # Loading belongs to the init phase, whose outcome SnapStart keeps; without a bundle each request says so.
    try:
        wiring.recommender().models.current()
    except FusionrecError as error:  # also a bucket that is away: a function that fails here cannot even be published
        logger.error("started without a bundle", extra={"detail": str(error)})
