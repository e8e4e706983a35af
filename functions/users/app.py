"""GET /v1/users/{userId}/profile: what is known of a user, in a marketer's words."""

from __future__ import annotations

from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Path

from functions import http, wiring
from fusionrec.contracts.base import UserId
from fusionrec.contracts.users import UserProfile

app = http.resolver({"/v1/users/<user_id>/profile": "GET"})


@app.get("/v1/users/<user_id>/profile", tags=["users"], summary="Interests, activity, spending, recent events")
def profile(user_id: Annotated[UserId, Path()]) -> UserProfile:
    http.refuse_unknown_query(app, ())
    http.acting_user(app, user_id)
    return wiring.profiles().profile(user_id)


handler = http.handler(app)
