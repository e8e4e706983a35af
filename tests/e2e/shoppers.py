"""A Cognito user pool with shoppers in it, and what their browsers do to get a token."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import botocore.session

ORIGIN = "https://shop.example.com"
CALLBACK = f"{ORIGIN}/signed-in"
READS, WRITES = "fusionrec/recs:read", "fusionrec/events:write"
PASSWORD = "Correct-horse-9"


@dataclass(frozen=True)
class UserPool:
    """A pool with the API's scopes, and the shop's page as its client: public, by code and PKCE."""

    endpoint: str
    id: str
    arn: str
    client_id: str

    def sign_up(self, name: str) -> str:
        """The new shopper's `sub`."""
        cognito, who = _cognito(), {"UserPoolId": self.id, "Username": name}
        user = cognito.admin_create_user(**who, MessageAction="SUPPRESS")["User"]
        cognito.admin_set_user_password(**who, Password=PASSWORD, Permanent=True)
        return next(str(each["Value"]) for each in user["Attributes"] if each["Name"] == "sub")

    def token(self, name: str, *scopes: str) -> str:
        """An access token as a page gets it: the pool's own sign-in page, a code, and the code for a token."""
        verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {"client_id": self.client_id, "redirect_uri": CALLBACK, "response_type": "code"}
        asked |= {"scope": " ".join(scopes), "code_challenge": challenge, "code_challenge_method": "S256"}
        location, _ = self._post("/login", {**asked, "username": name, "password": PASSWORD})
        grant = {"grant_type": "authorization_code", "client_id": self.client_id, "redirect_uri": CALLBACK}
        grant |= {"code": parse_qs(urlsplit(location).query)["code"][0], "code_verifier": verifier}
        return str(json.loads(self._post("/oauth2/token", grant)[1])["access_token"])

    def sdk_tokens(self, name: str) -> dict[str, str]:
        """What a sign-in by the SDK gives: an ID token, and an access token without the API's scopes."""
        given = {"USERNAME": name, "PASSWORD": PASSWORD}
        answer = _cognito().initiate_auth(ClientId=self.client_id, AuthFlow="USER_PASSWORD_AUTH", AuthParameters=given)[
            "AuthenticationResult"
        ]
        return {"ID": str(answer["IdToken"]), "access": str(answer["AccessToken"])}

    def _post(self, path: str, form: Mapping[str, str]) -> tuple[str, bytes]:
        """Where it sends the browser, not followed, and the body."""
        connection = http.client.HTTPConnection(urlsplit(self.endpoint).netloc, timeout=30)
        connection.request("POST", path, urlencode(form), {"content-type": "application/x-www-form-urlencoded"})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        assert answer.status in (200, 302), (answer.status, body)
        return answer.getheader("location", ""), body


def open_pool(endpoint: str) -> UserPool:
    cognito = _cognito()
    pool = cognito.create_user_pool(PoolName="shoppers")["UserPool"]
    scopes = [{"ScopeName": each.split("/")[1], "ScopeDescription": each} for each in (READS, WRITES)]
    cognito.create_resource_server(UserPoolId=pool["Id"], Identifier="fusionrec", Name="fusionrec", Scopes=scopes)
    client = cognito.create_user_pool_client(
        UserPoolId=pool["Id"],
        ClientName="page",
        AllowedOAuthFlowsUserPoolClient=True,
        AllowedOAuthFlows=["code"],
        AllowedOAuthScopes=["openid", READS, WRITES],
        CallbackURLs=[CALLBACK],
        ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
    )["UserPoolClient"]
    return UserPool(endpoint, pool["Id"], pool["Arn"], client["ClientId"])


def _cognito() -> Any:
    return botocore.session.get_session().create_client("cognito-idp")
