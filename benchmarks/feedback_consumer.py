"""The built consumer under Lambda's Runtime Interface Emulator: its cold start, its batches, and its worst ones.

The queue's visibility timeout and the function's own are set from these (docs/feedback.md): a message that failed is
seen again after the visibility timeout, and until then its user's later events wait behind it.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any, Final

from benchmarks.facts import latencies
from benchmarks.feedback_world import history
from benchmarks.serving_cold import dynamodb
from fusionrec.messages import to_message
from fusionrec.ports import Interaction
from infra import rie

ARTIFACT: Final = Path(".aws-sam/build/AbsorbFunction")
HANDLER: Final = "functions.absorb.app.handler"
BATCH: Final = 10
SILENT_S: Final = 60.0  # longer than any client waits


def consumer_cases(quick: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Nothing where the emulator or the artifact are missing, which is said."""
    try:
        rie.require_runtime(ARTIFACT)
    except rie.RuntimeUnavailableError as error:
        yield "cold", {"not_measured": str(error)}
        return
    yield "cold", built_consumer(*((2, 5) if quick else (10, 200)))


def built_consumer(n_starts: int, n_batches: int) -> dict[str, Any]:
    """Medians of n_starts, and the times of n_batches of ten events of several users."""
    batches = event_batches(max(n_batches, n_starts))
    with dynamodb() as store:
        env = {"FUSIONREC_STORE": "dynamodb", "AWS_ENDPOINT_URL": store}
        starts = [rie.cold_start(ARTIFACT, HANDLER, env, batch) for batch in batches[:n_starts]]
        if any(start.answer != {"batchItemFailures": []} for start in starts):
            raise RuntimeError(f"a batch failed though nothing was wrong: {starts[0].answer}")
        warm = batch_times(env, batches)
    with silent() as endpoint:
        slow = batch_times({**env, "AWS_ENDPOINT_URL": endpoint}, batches[:3], fails=True)
    refused = batch_times({**env, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, batches[:3], fails=True)
    return {
        "answered_ms": round(statistics.median(start.answered_ms for start in starts)),
        "all_answered_ms": [round(start.answered_ms) for start in starts],
        "cpu_s": round(statistics.median(start.cpu_s for start in starts), 3),
        "memory_mb": round(statistics.median(start.memory_mb for start in starts), 1),
        "warm_batch_of_10": latencies(warm),
        "batch_while_stores_say_nothing_ms": [round(ms) for ms in slow],
        "batch_while_stores_refuse_ms": [round(ms) for ms in refused],
    }


def event_batches(n_batches: int) -> list[dict[str, Any]]:
    """What Lambda hands to the consumer, of users who are logged in."""
    made = history(Random(5), 2 * BATCH * n_batches, max(n_batches, 6), anonymous=0.0, linked=0.0)
    acts = [message for message in made if isinstance(message, Interaction)][: BATCH * n_batches]
    records = [
        {
            "messageId": str(place),
            "body": to_message(act),
            "attributes": {"MessageGroupId": act.group, "ApproximateReceiveCount": "1"},
        }
        for place, act in enumerate(acts)
    ]
    return [{"Records": records[first : first + BATCH]} for first in range(0, len(records), BATCH)]


def batch_times(env: dict[str, str], batches: list[dict[str, Any]], *, fails: bool = False) -> list[float]:
    """ms of each batch after a first one. Raises RuntimeError when a batch does otherwise than `fails` says."""
    times = []
    with rie.running(ARTIFACT, HANDLER, env, timeout_s=120) as runtime:
        runtime.invoke(batches[0], timeout_s=120)
        for batch in batches:
            started = time.perf_counter()
            answer = runtime.invoke(batch, timeout_s=120)
            times.append((time.perf_counter() - started) * 1000)
            if bool(answer["batchItemFailures"]) != fails:
                raise RuntimeError(f"not what was expected of the batch: {answer}")
    return times


@contextmanager
def silent() -> Iterator[str]:
    """An endpoint that takes requests and does not answer, as stores do behind a broken network."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            over.wait(SILENT_S)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        over.set()
        server.shutdown()
        server.server_close()
