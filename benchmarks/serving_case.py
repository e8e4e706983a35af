"""One measurement in a process of its own: `python -m benchmarks.serving_case handler|naive FOLDER`. Prints JSON.

handler: the whole Lambda handler, from the API Gateway event to its answer, warm.
naive:   what one would write first. Feast SDK reads of the user and of 500 candidates, one ONNX session a model,
         scores normalised, added and sorted in Python.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.facts import latencies

WARM_UP: Final = 20
N_RESULTS: Final = 20


def measure(ask: Callable[[int], Any], n_requests: int) -> list[float]:
    """Wall ms of each request after warming up."""
    for turn in range(WARM_UP):
        ask(turn)
    times = []
    for turn in range(n_requests):
        started = time.perf_counter()
        ask(turn)
        times.append((time.perf_counter() - started) * 1000)
    return times


def handler_case(folder: Path, users: Sequence[str], n_requests: int) -> dict[str, Any]:
    os.environ.update(FUSIONREC_HOME=str(folder.parent), FUSIONREC_DATASET=folder.name)
    from functions.local_setup import configure  # noqa: PLC0415 - the environment comes before the handlers

    configure()
    from functions.local_gateway import LocalContext, proxy_event  # noqa: PLC0415
    from functions.recommend.app import handler  # noqa: PLC0415
    from fusionrec.observability import metrics  # noqa: PLC0415

    headers = {"content-type": "application/json"}
    events = [
        proxy_event("POST", "/v1/recommendations", "", headers, json.dumps(body).encode(), "bench")
        for body in ({"userId": user, "numResults": N_RESULTS, "budgetMs": 10_000} for user in users)
    ]
    stages: dict[str, list[float]] = {}
    handler(events[0], LocalContext("bench"))  # loads the model and the store; may come too late to be whole

    def ask(turn: int) -> None:
        answer = handler(events[turn % len(events)], LocalContext("bench"))
        if answer["statusCode"] != 200 or json.loads(answer["body"])["degraded"]:
            raise RuntimeError(f"not a whole answer: {answer['statusCode']} {answer['body'][:300]}")
        metrics.clear_metrics()
        for part in answer["multiValueHeaders"]["Server-Timing"][0].split(", "):
            name, _, ms = part.partition(";dur=")
            stages.setdefault(name, []).append(float(ms))

    times = measure(ask, n_requests)
    medians = {name: latencies(spent[-n_requests:])["p50_ms"] for name, spent in stages.items()}
    return {**latencies(times), "stages_p50_ms": medians, "memory_mb": memory_mb()}


def naive_case(folder: Path, users: Sequence[str], n_requests: int) -> dict[str, Any]:
    import numpy as np  # noqa: PLC0415
    import onnxruntime  # noqa: PLC0415

    from fusionrec.adapters.feast_local import open_local_store  # noqa: PLC0415
    from fusionrec.feature_spec import FEATURE_SERVICES  # noqa: PLC0415

    store = open_local_store(folder)
    candidates: list[str] = json.loads((folder / "candidates.json").read_text())
    sessions = [onnxruntime.InferenceSession(path) for path in sorted((folder / "parts").glob("*.onnx"))]
    references = {
        name: [f"{view.name}:{feature.name}" for view in views for feature in view.features]
        for name, views in FEATURE_SERVICES.items()
    }
    number = {item_id: index for index, item_id in enumerate(json.loads((folder / "item_ids.json").read_text()), 1)}

    def ask(turn: int) -> str:
        user = store.get_online_features(
            features=references["fused_ranker_v1"], entity_rows=[{"user_id": users[turn % len(users)]}],
            full_feature_names=True,
        ).to_dict()  # fmt: skip
        items = store.get_online_features(
            features=references["catalogue_v1"],
            entity_rows=[{"item_id": item_id} for item_id in candidates],
            full_feature_names=True,
        ).to_dict()
        history = [number[item_id] for item_id in user["user_profile__history_item_ids"][0]]
        feed = {
            "history_items": np.array([history], np.int64),
            "history_events": np.full((1, len(history)), 4, np.int64),
            "history_age_days": np.linspace(200, 1, len(history), dtype=np.float32)[None, :],
        }
        scores = [session.run(["scores"], feed)[0][0] for session in sessions]
        chosen = [[float(row[number[item]]) for item in candidates] for row in scores]
        return naive_answer(candidates, naive_fusion(chosen), items)

    ask(0)
    answered_ms = round((time.time() - psutil.Process().create_time()) * 1000)  # since the process was started
    return {**latencies(measure(ask, n_requests)), "memory_mb": memory_mb(), "first_answer_ms": answered_ms}


def naive_fusion(scores: Sequence[Sequence[float]]) -> list[float]:
    """The sum of each model's normalised scores of the candidates."""
    total = [0.0] * len(scores[0])
    for chosen in scores:
        mean = sum(chosen) / len(chosen)
        spread = math.sqrt(sum((score - mean) ** 2 for score in chosen) / len(chosen)) or 1.0
        total = [sum_ + (score - mean) / spread for sum_, score in zip(total, chosen, strict=True)]
    return total


def naive_answer(candidates: Sequence[str], total: Sequence[float], items: Mapping[str, Sequence[Any]]) -> str:
    """JSON of the best candidates."""
    ranked = sorted(range(len(candidates)), key=lambda place: -total[place])[:N_RESULTS]
    return json.dumps(
        [
            {
                "itemId": candidates[place],
                "score": total[place],
                "name": items["item_attributes__name"][place],
                "priceCents": items["item_stats__price_cents"][place],
            }
            for place in ranked
        ]
    )


def memory_mb() -> float:
    """Resident memory of this process, in units of 1024² bytes."""
    return round(psutil.Process().memory_info().rss / 1024**2, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("handler", "naive"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--users", type=Path, required=True, help="JSON list of user ids")
    parser.add_argument("--requests", type=int, default=1000)
    given = parser.parse_args()
    case = {"handler": handler_case, "naive": naive_case}[given.kind]
    print(json.dumps(case(given.folder.resolve(), json.loads(given.users.read_text()), given.requests)))


if __name__ == "__main__":
    main()
