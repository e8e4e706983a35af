"""Feedback through a server of its own: how soon an event is felt, and what taking events in costs the slates."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.facts import latencies
from benchmarks.serving_world import user_ids


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """A local server over the data set in a process of its own; its base URL."""
    env = {**os.environ, "FUSIONREC_HOME": str(folder.parent), "FUSIONREC_DATASET": folder.name}
    command = [sys.executable, "-m", "functions.local_server", "--port", "0", "--open"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        try:
            for line in process.stdout or ():
                listening = re.search(r"listening on (http://\S+)", line)
                if listening:
                    yield listening[1]
                    return
            raise RuntimeError(f"the server ended with {process.wait()}")
        finally:
            process.terminate()


def call(url: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        content: dict[str, Any] = json.loads(answer.read())
    return content


def event_body(user: str, item: str, at: datetime, n_events: int = 1) -> dict[str, Any]:
    events = [
        {"eventId": str(uuid.uuid4()), "eventType": "view", "itemId": item, "sentAt": at.isoformat()}
        for _ in range(n_events)
    ]
    return {"userId": user, "sessionId": f"bench-{user}", "eventList": events}


def visible(base: str, now: Callable[[], datetime], n_events: int) -> dict[str, Any]:
    """Ask again and again after each 202; the answer that names the event ends its time."""
    times, asked = [], 0
    for turn in range(n_events):
        user = user_ids()[turn % len(user_ids())]
        body = event_body(user, f"item-{1 + turn % 90:02d}", now())
        if call(f"{base}/v1/events", body)["accepted"] != 1:
            raise RuntimeError("the event was not accepted")
        started = time.perf_counter()
        while True:
            asked += 1
            answer = call(f"{base}/v1/recommendations", {"userId": user, "budgetMs": 10_000})
            if answer["asOfEventId"] == body["eventList"][0]["eventId"]:
                break
        times.append((time.perf_counter() - started) * 1000)
    return {**latencies(times), "max_ms": round(max(times), 1), "asked_per_event": round(asked / n_events, 2)}


def steady(seconds: float, rate: float, ask: Callable[[int], Any]) -> list[float]:
    """Ask at a fixed rate whatever the answers take (an open loop); ms from when each was due to its answer."""
    times: list[float] = []
    started = time.perf_counter()
    for turn in range(int(seconds * rate)):
        due = started + turn / rate
        time.sleep(max(0.0, due - time.perf_counter()))
        ask(turn)
        times.append((time.perf_counter() - due) * 1000)
    return times


def ingesting(base: str, now: Callable[[], datetime], seconds: float, rate: float, calls: float) -> dict[str, Any]:
    users = user_ids()

    def recommend(turn: int) -> None:
        call(f"{base}/v1/recommendations", {"userId": users[turn % len(users)], "budgetMs": 10_000})

    def ingest(turn: int) -> None:
        user = users[(turn * 7) % len(users)]
        call(f"{base}/v1/events", event_body(user, f"item-{1 + turn % 90:02d}", now(), n_events=10))

    alone = latencies(steady(seconds, rate, recommend))
    taken: list[float] = []
    beside = threading.Thread(target=lambda: taken.extend(steady(seconds, calls, ingest)))
    beside.start()
    loaded = latencies(steady(seconds, rate, recommend))
    beside.join()
    return {
        "recommendations_per_s": rate,
        "events_per_s": calls * 10,
        "recommend_alone": alone,
        "recommend_while_ingesting": loaded,
        "ingest_calls_of_10": latencies(taken),
    }
