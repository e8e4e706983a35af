"""What updates of items cost: `python -m benchmarks.items`; writes benchmarks/results/items.json.

One random shop; recommendations (the use case, CPU time), warm, with 0, 100 and 5,000 updates in the log (a tenth of
them new items), in turns within one process so that the machine's other work meets all alike: the ratio is what
counts. And how long it takes from the answer to PUT until the slate of another container, asked in a row, has the item.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.facts import facts, latencies, write_result

COUNTS: Final = (0, 100, 5000)
NEW_SHARE: Final = 10  # one in so many updates is of a new item
N_RESULTS: Final = 20
CHECK_EVERY_S: Final = 2.0  # as in the template


def fill(folder: Path, n_updates: int, catalogue: Any) -> float:
    """A log of so many updates; seconds of CPU that writing took."""
    from fusionrec.adapters.memory import MemoryObjects  # noqa: PLC0415
    from fusionrec.item_log import ItemLog, ItemUpdate  # noqa: PLC0415

    objects = MemoryObjects()
    log = ItemLog(objects)
    started = time.process_time()
    for n in range(n_updates):
        known = 1 + n % catalogue.n_items
        names = ("name", "category", "department", "brand", "description")
        told: dict[str, Any] = {name: catalogue.text(name, known) for name in names}
        told |= {"price_cents": 100 + n, "attributes": tuple(catalogue.texts("attributes", known))}
        item_id = f"new-{n}" if n % NEW_SHARE == 0 else catalogue.item_id(known)
        log.append(ItemUpdate(item_id, n, told if n % NEW_SHARE == 0 else {"price_cents": 100 + n}))
    spent = time.process_time() - started
    folder.mkdir(parents=True)
    for name, body in objects.bodies.items():
        (folder / name).write_bytes(body)
    return spent


def container(bundles: Path, items: Path, check_every_s: float) -> Any:
    """A recommender with a model of its own, as in a container."""
    from fusionrec.active_model import ActiveModel  # noqa: PLC0415
    from fusionrec.adapters.item_objects import FolderObjects  # noqa: PLC0415
    from fusionrec.adapters.local_files import FolderBundles  # noqa: PLC0415
    from fusionrec.adapters.memory import FixedClock, MemoryFeatures, MemorySlates  # noqa: PLC0415
    from fusionrec.item_log import ItemLog  # noqa: PLC0415
    from fusionrec.live_items import LiveItems  # noqa: PLC0415
    from fusionrec.recommend import Recommender  # noqa: PLC0415
    from training.shop import NOW  # noqa: PLC0415 - torch

    clock = FixedClock(NOW)
    models = ActiveModel(FolderBundles(bundles), items=LiveItems(ItemLog(FolderObjects(items)), check_every_s))
    return Recommender(MemoryFeatures(clock), models, MemorySlates(), clock)


def request(recent: list[str]) -> Any:
    from fusionrec.contracts.recommendations import RecommendationRequest  # noqa: PLC0415

    return RecommendationRequest.model_validate({"recentItemIds": recent, "numResults": N_RESULTS, "budgetMs": 10_000})


def measure(home: Path, n_items: int, n_requests: int) -> dict[str, Any]:
    import numpy as np  # noqa: PLC0415

    from fusionrec.bundle.loader import load_bundle  # noqa: PLC0415
    from training.shop import write_random_bundle  # noqa: PLC0415

    bundle = load_bundle(write_random_bundle(home / "bundles" / "v1", n_items))
    (home / "bundles" / "current").write_text("v1\n")
    rng = np.random.default_rng(0)
    asked = [request([f"item-{n:02d}" for n in rng.integers(1, n_items, 50).tolist()]) for _ in range(40)]
    cases: dict[int, Any] = {}
    result: dict[str, Any] = {"n_items": n_items, "updates": {}}
    for count in COUNTS:
        written = fill(home / f"items-{count}", count, bundle.catalogue)
        cases[count] = container(home / "bundles", home / f"items-{count}", CHECK_EVERY_S)
        cases[count].recommend(asked[0])  # loads the model
        model = cases[count].models
        started = time.process_time()
        model._items.of(load_bundle(home / "bundles" / "v1"))  # what a cold start adds
        result["updates"][str(count)] = {
            "write_ms_of_cpu_each": round(1000 * written / max(count, 1), 3),
            "read_and_lay_ms_of_cpu": round(1000 * (time.process_time() - started), 1),
        }
        cases[count] = container(home / "bundles", home / f"items-{count}", CHECK_EVERY_S)
    times: dict[int, list[float]] = {count: [] for count in COUNTS}
    for turn in range(-20, n_requests):
        for count, use_case in cases.items():
            started = time.thread_time()
            use_case.recommend(asked[turn % len(asked)])
            if turn >= 0:
                times[count].append(1000 * (time.thread_time() - started))
    for count in COUNTS:
        row = result["updates"][str(count)]
        row["recommend_cpu"] = latencies(times[count])
        row["ratio_p50"] = round(row["recommend_cpu"]["p50_ms"] / latencies(times[0])["p50_ms"], 3)
    result["put_to_slate"] = put_to_slate(home, asked[0])
    return result


def put_to_slate(home: Path, about: Any) -> dict[str, Any]:
    """From the answer to PUT until another container, polling every 2 s and asked all the time, shows the item."""
    from fusionrec.active_model import ActiveModel  # noqa: PLC0415
    from fusionrec.adapters.clock import SystemClock  # noqa: PLC0415
    from fusionrec.adapters.item_objects import FolderObjects  # noqa: PLC0415
    from fusionrec.adapters.local_files import FolderBundles  # noqa: PLC0415
    from fusionrec.contracts.items import ItemAttributes  # noqa: PLC0415
    from fusionrec.item_log import ItemLog  # noqa: PLC0415
    from fusionrec.live_items import LiveItems  # noqa: PLC0415
    from fusionrec.upsert import ItemWriter  # noqa: PLC0415

    live = LiveItems(ItemLog(FolderObjects(home / "items-0")), CHECK_EVERY_S)
    writer = ItemWriter(
        live.log, ActiveModel(FolderBundles(home / "bundles"), with_graph=False, items=live), SystemClock()
    )
    reader = container(home / "bundles", home / "items-0", CHECK_EVERY_S)
    wanted = about.model_copy(update={"num_results": 100})
    given = ItemAttributes.model_validate(attributes_that_place(reader, writer, wanted))
    waits, puts = [], []
    for n in range(5):
        started = time.perf_counter()
        writer.put(f"fresh-{n}", given)
        told = time.perf_counter()
        puts.append(told - started)
        while f"fresh-{n}" not in [item.item_id for item in reader.recommend(wanted).item_list]:
            if time.perf_counter() - told > 60:
                raise RuntimeError("the item was on no slate within a minute")
            time.sleep(0.05)
        waits.append(time.perf_counter() - told)
    return {
        "check_every_s": CHECK_EVERY_S,
        "seconds": [round(wait, 2) for wait in waits],
        "put_ms": [round(1000 * put, 1) for put in puts],
    }


def attributes_that_place(reader: Any, writer: Any, wanted: Any) -> dict[str, Any]:
    """Those of an item on the slate with which a new item gets onto it, too: a random shop has many of the same words,
    and what is like all of them stands where they do on average."""
    from fusionrec.contracts.items import ItemAttributes  # noqa: PLC0415

    catalogue = reader.models.current().bundle.catalogue
    told: dict[str, dict[str, Any]] = {}
    for n, item in enumerate(reader.recommend(wanted).item_list):
        index = catalogue.index(item.item_id)
        texts = {
            name: catalogue.text(name, index) for name in ("name", "category", "department", "brand", "description")
        }
        told[f"trial-{n}"] = {**texts, "attributes": catalogue.texts("attributes", index)}
        writer.put(f"trial-{n}", ItemAttributes.model_validate(told[f"trial-{n}"]))
    time.sleep(CHECK_EVERY_S + 0.5)
    shown = [item.item_id for item in reader.recommend(wanted).item_list if item.item_id in told]
    if not shown:
        raise RuntimeError("no new item gets onto this slate; choose another random shop")
    return told[shown[0]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small shop and few requests")
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    n_items, n_requests = (2_000, 100) if given.quick else (12_000, 1_000)
    with tempfile.TemporaryDirectory(prefix="bench-items-") as home:
        result = {**facts(), **measure(Path(home), n_items, n_requests)}
    write_result(Path("benchmarks/results") / ("items-quick.json" if given.quick else "items.json"), result)
    print(json.dumps({"updates": result["updates"], "put_to_slate": result["put_to_slate"]}, indent=1))


if __name__ == "__main__":
    main()
