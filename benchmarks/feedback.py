"""Feedback under load: `python -m benchmarks.feedback [--quick]` writes benchmarks/results/feedback.json.

consumer  events a second of one core through the consumer's own code: messages parsed, rows read, folded, written, to a
          store in memory, and to the local store (Feast's SDK on SQLite); counts of what is trending, too
faults    a run in which consumers are killed, stores throttle and time out, and events come twice and shuffled; every
          row is compared with a sorted replay
cold      the built consumer under Lambda's runtime: from nothing to its first batch, a warm batch, and one that fails
          because the stores are silent or away; what the queue's times are set from
visible   time from the 202 to the first recommendation that knows of the event, through a local server
ease      an update of EASE for the users who did something, against fitting it anew
ingesting recommendations at a steady rate, with and without events coming in beside them
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

import numpy as np
import scipy.sparse as sp
from rich.console import Console

from benchmarks.facts import facts, write_result
from benchmarks.feedback_consumer import consumer_cases
from benchmarks.feedback_server import call, ingesting, server, visible
from benchmarks.feedback_world import CLOCK, Faults, World, history, replayed
from benchmarks.serving_world import random_world, user_ids
from fusionrec.absorb import Absorber, Consumer, Delivery
from fusionrec.adapters.memory import MemoryCounts, MemoryDeadLetters, MemoryFeatures, MemoryLinks, MemorySink
from fusionrec.messages import to_message
from fusionrec.ports import Interaction

RESULTS: Final = Path("benchmarks/results")
BATCH: Final = 10


def consumer_rate(n_events: int, features: Any, counts: Any) -> dict[str, Any]:
    """Events a second of CPU time, batches of ten as Lambda gets them; each user's rows fill up to their full length.

    A batch holds the next ten events of the shop, so mostly those of several users: nothing is gained by grouping.
    """
    events = [m for m in history(Random(7), n_events, max(n_events // 100, 1)) if isinstance(m, Interaction)]
    events.sort(key=lambda event: event.sent_at)
    batches = [
        [
            Delivery(str(place + n), to_message(event), event.group)
            for n, event in enumerate(events[place : place + BATCH])
        ]
        for place in range(0, len(events), BATCH)
    ]
    consumer = Consumer(Absorber(features, features, CLOCK, MemoryLinks(), counts), MemorySink(), MemoryDeadLetters())
    wall, cpu = time.perf_counter(), time.process_time()
    for batch in batches:
        if consumer.consume(batch):
            raise RuntimeError("a batch failed though nothing was wrong")
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {
        "n_events": len(events),
        "events_per_cpu_s": round(len(events) / cpu),
        "events_per_wall_s": round(len(events) / wall),
        "cpu_us_per_event": round(cpu / len(events) * 1e6, 1),
    }


def fault_run(n_events: int) -> dict[str, Any]:
    """Raises RuntimeError when a row differs from what a sorted replay gives."""
    random = Random(11)
    messages = history(random, n_events, max(n_events // 80, 1), linked=0.1)
    expected = replayed(messages)
    world = World(Faults(random), duplicates=0.05)
    random.shuffle(messages)
    world.queue.put(messages)
    n_queued = sum(len(held) for held in world.queue.groups.values())
    world.faults.kill, world.faults.unavailable = 0.002, 0.01
    wall, cpu = time.perf_counter(), time.process_time()
    world.run()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    different = [key for key, row in expected.items() if world.row(key) != row]
    held = set(world.features._rows["user_session"])
    if different or held != set(expected):
        raise RuntimeError(f"{len(different)} rows differ from a sorted replay; {len(held ^ set(expected))} too many")
    n_acts = sum(isinstance(message, Interaction) for message in messages)
    return {
        "n_events": n_acts,
        "n_lost": 0,
        "n_rows_compared": len(expected),
        "n_messages": n_queued,
        "n_deliveries": world.queue.n_delivered,
        "n_consumers_killed": world.n_killed,
        "n_faults": world.faults.n_faults,
        "n_redriven_dead_letters": world.n_redriven,
        "events_per_cpu_s": round(n_acts / cpu),
        "wall_s": round(wall, 1),
    }


def incremental(n_items: int, n_users: int, n_changed: int) -> dict[str, Any]:
    """EASE for the users who did something against EASE fitted anew, in CPU time; and how far the two are apart."""
    from training.feedback.incremental import EasePrecision  # noqa: PLC0415 - torch, by way of the models

    rng = np.random.default_rng(0)
    seen = sp.random(n_users, n_items, 20 / n_items, "csr", np.float32, rng, lambda n: np.ones(n, np.float32))
    more = sp.random(n_changed, n_items, 5 / n_items, "csr", np.float32, rng, lambda n: np.ones(n, np.float32))
    new = (seen[:n_changed] + more).sign().tocsr()
    model = EasePrecision.fit(seen, 200.0)
    started = time.process_time()
    model.update(seen[:n_changed], new)
    update_s = time.process_time() - started
    started = time.process_time()
    anew = EasePrecision.fit(sp.vstack([new, seen[n_changed:]]).tocsr(), 200.0)
    fit_s = time.process_time() - started
    return {
        "n_items": n_items,
        "n_users": n_users,
        "n_changed_users": n_changed,
        "update_cpu_s": round(update_s, 3),
        "fit_cpu_s": round(fit_s, 3),
        "times_cheaper": round(fit_s / update_s, 1),
        "greatest_difference": float(np.abs(model.weights() - anew.weights()).max()),
    }


def in_memory_cases(quick: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "consumer_in_memory", consumer_rate(5_000 if quick else 100_000, MemoryFeatures(CLOCK), MemoryCounts())
    yield "incremental_ease", incremental(*((500, 2_000, 20) if quick else (4_000, 20_000, 100)))
    yield "faults", fault_run(5_000 if quick else 200_000)


def sqlite_rate(folder: Path, n_events: int) -> dict[str, Any]:
    from fusionrec.adapters.feast_local import open_local_store  # noqa: PLC0415 - seconds of import
    from fusionrec.adapters.feast_sdk import SdkFeatures  # noqa: PLC0415
    from fusionrec.adapters.sqlite_counts import SqliteCounts  # noqa: PLC0415

    counts = SqliteCounts(folder / "log" / "item-counts.db")
    return consumer_rate(n_events, SdkFeatures(open_local_store(folder), CLOCK).for_update(), counts)


def server_cases(quick: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Over a random shop, in a server of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-") as home:
        folder = random_world(Path(home), 1_000 if quick else 5_000)
        yield "consumer_sqlite", sqlite_rate(folder, 200 if quick else 2_000)
        ends = datetime.fromisoformat(json.loads((folder / "dataset.json").read_text())["cutoffs"]["data_end"])
        shift = ends - datetime.now(UTC) + timedelta(seconds=1)

        def now() -> datetime:
            return datetime.now(UTC) + shift

        with server(folder) as base:
            call(f"{base}/v1/recommendations", {"userId": user_ids()[0], "budgetMs": 10_000})  # warm
            yield "visible", visible(base, now, 20 if quick else 200)
            yield "ingesting", ingesting(base, now, *((2, 10.0, 2.0) if quick else (20, 10.0, 2.0)))


CASES: Final = {"memory": in_memory_cases, "server": server_cases, "built": consumer_cases}


def measure(cases: list[str], quick: bool, path: Path, console: Console) -> dict[str, Any]:
    """Each case is written as soon as it is measured, with the machine as it was; other cases of the file stay."""
    logging.getLogger("fusionrec").setLevel(logging.CRITICAL + 1)  # each injected fault is logged as an error
    result: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    command = f"python -m benchmarks.feedback{' --quick' if quick else ''}"
    for name in cases:
        for case, measured in CASES[name](quick):
            console.print(f"done: {case}")
            result[case] = {**measured, **facts(), "command": command}
            write_result(path, result)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="some seconds, for CI; writes feedback-quick.json")
    parser.add_argument("--only", choices=CASES, help="memory: consumer, ease, faults; built: cold; server: others")
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))
    path = RESULTS / ("feedback-quick.json" if given.quick else "feedback.json")
    result = measure([given.only] if given.only else [*CASES], given.quick, path, Console(stderr=True))
    print(json.dumps({case: _short(measured) for case, measured in result.items()}, indent=2))


def _short(measured: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in measured.items() if name not in ("packages", "machine")}


if __name__ == "__main__":
    main()
