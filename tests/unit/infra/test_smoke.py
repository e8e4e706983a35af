"""What the smoke test takes for a working API, and what it says of one that does not work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest

from infra import smoke as command
from infra.smoke import Api, Outcome, SmokeError, smoke

SLATE = {"recommendationId": "r1", "itemList": [{"itemId": "item-01"}], "asOfEventId": None, "degraded": []}


class Shop:
    """Answers with these slates in turn, the last for ever; an event of the caller's is known from `known_from` on."""

    def __init__(self, *slates: Mapping[str, Any], known_from: int = 2, accepted: int = 1) -> None:
        self.slates, self.known_from, self.accepted = slates, known_from, accepted
        self.n_asked, self.event_id = 0, ""

    def call(self, method: str, path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        if path == "/v1/events":
            self.event_id = body["eventList"][0]["eventId"]
            return 202, {"accepted": self.accepted}
        self.n_asked += 1
        slate = dict(self.slates[min(self.n_asked, len(self.slates)) - 1])
        if self.event_id and self.n_asked >= self.known_from:
            slate["asOfEventId"] = self.event_id
        return 200, slate


class Clock:
    """Time passes by sleeping alone."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(command, "time", clock)
    return clock


def test_it_waits_for_whole_slates() -> None:
    late = {**SLATE, "degraded": ["ranker"]}
    shop = Shop(late, SLATE, late, late, SLATE, known_from=4)
    outcome = smoke(cast(Api, shop), "user-01", patience_s=30.0)
    assert outcome.before["asOfEventId"] is None
    assert outcome.after["asOfEventId"].startswith("smoke-")
    assert outcome.before["degraded"] == outcome.after["degraded"] == []
    assert shop.n_asked == 5
    assert outcome.absorbed_s == pytest.approx(0.2)  # known from the fourth slate on, whole with the fifth


@pytest.mark.parametrize(
    ("words", "in_environment", "token", "user"),
    [
        (["--url", "http://shop"], "", "", "smoke-test"),
        (["--url", "http://shop", "--user", "ann"], "secret", "", "ann"),
        (["--url", "http://shop"], "secret", "secret", None),
        (["--url", "http://shop", "--token", "other"], "secret", "other", None),
        (["--stack", "shop"], "secret", "", "smoke-test"),
    ],
)
def test_whose_events_are_sent(
    monkeypatch: pytest.MonkeyPatch, words: list[str], in_environment: str, token: str, user: str | None
) -> None:
    called: list[tuple[str, str | None]] = []

    def record(api: Api, user_id: str | None) -> Outcome:
        called.append((api.token, user_id))
        return Outcome(SLATE, {**SLATE, "modelVersion": "v1"}, 0.1)

    monkeypatch.setattr(command, "smoke", record)
    monkeypatch.setattr(command, "api_of_stack", lambda _: Api("http://stack", sign=True))
    monkeypatch.setenv("FUSIONREC_TOKEN", in_environment)
    monkeypatch.setattr("sys.argv", ["smoke", *words])
    command.main()
    assert called == [(token, user)]


@pytest.mark.parametrize(
    ("shop", "told"),
    [
        (Shop({**SLATE, "degraded": ["user_session", "ranker"]}), r"first slate: degraded \(user_session, ranker\)"),
        (Shop(SLATE, {**SLATE, "degraded": ["ranker"]}), r"next slate: degraded \(ranker\)"),
        (Shop(SLATE, known_from=99), "next slate: does not know event smoke-"),
        (Shop({**SLATE, "itemList": []}), "first slate: no items"),
        (Shop(SLATE, accepted=0), "event: not accepted"),
    ],
)
def test_what_does_not_work_is_said(shop: Shop, told: str) -> None:
    with pytest.raises(SmokeError, match=told):
        smoke(cast(Api, shop), "user-01", patience_s=0.3)
