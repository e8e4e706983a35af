"""Updates against fits: `python -m benchmarks.update [--quick] [--data NAME …]` writes benchmarks/results/update.json.

equality     EASE and transitions brought up to date for 10, 100 and 1,000 users whose last fifth is new, against a fit
             on everything: how far the weights are apart, NDCG@10 of both on the test window, seconds
fine_tuning  attention on a temporal split, several origins: left as it is, fine-tuned on the new events, and trained
             anew; NDCG@10 with paired intervals over users, seconds of CPU

--quick takes a random shop and some seconds, and writes update-quick.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console

from benchmarks.facts import facts, write_result
from benchmarks.update_case import Case, Clock, ndcg, prepared_case, random_case
from fusionrec.feature_spec import DAY_MS
from training import metrics
from training.feedback.incremental import EaseUpkeep, TransitionCounts, only
from training.fine_tuning import FineTuneConfig, choose_epochs, fine_tune
from training.interactions import Interactions
from training.models.attention import Attention
from training.models.ease import Ease
from training.models.protocol import Part
from training.models.sparse_rows import Rows
from training.models.transitions import Transitions, TransitionsConfig
from training.protocols import temporal
from training.recipe import Recipe

RESULTS: Final = Path("benchmarks/results")
SIZES: Final = (10, 100, 1000)
DATA: Final = ("movielens-100k", "completejourney")
TUNINGS: Final = {"fine-tuned": FineTuneConfig(), "fine-tuned, rate 0.1": FineTuneConfig(rate=0.1)}
N_ORIGINS: Final = 2
WINDOW_DAYS: Final = 21.0
NEW_SHARE: Final = 0.2  # of a changed user's events


def equality(case: Case, n_changed: int) -> dict[str, Any]:
    """Both parts after an update for that many users, beside a fit on everything before the test window."""
    after = case.data.prefix(case.data.ends_before(int(case.cut.test.now_ms[0])))
    before = earlier(after, n_changed)
    recipe = Recipe.for_split(case.cut)
    ease_config = replace(recipe.ease, content=0.0)
    followed = replace(recipe.transitions or TransitionsConfig(fading=ease_config.fading), n_alike=0)
    changed = np.diff(before.offsets) < np.diff(after.offsets)
    ease, counts = EaseUpkeep.fit(before, ease_config), TransitionCounts.fit(before, followed)

    def ease_step() -> Part:
        case_told["updated"] = ease.advance(before, after)
        return ease.part(after.n_items)

    def counts_step() -> Part:
        counts.advance(only(before, changed), only(after, changed))
        return counts.part(after.n_items, None)

    case_told: dict[str, Any] = {}
    told = {
        "ease": beside(case, ease_step, lambda: Ease(after.n_items, ease_config).fit(after, 0)),
        "transitions": beside(case, counts_step, lambda: Transitions(after.n_items, followed).fit(after, 0)),
    }
    exact = EaseUpkeep.fit(after, ease_config)
    gap = (
        float(np.abs(exact.model.weights() - ease.model.weights()).max()) if len(exact.head) == len(ease.head) else None
    )
    return {
        "n_changed_users": int(changed.sum()),
        "n_users": after.n_users,
        "n_items_of_ease": len(ease.head),
        "ease_by_woodbury": case_told["updated"],
        "greatest_difference_of_precise_weights": gap,
        **told,
    }


def earlier(data: Interactions, n_users: int) -> Interactions:
    """Some users, drawn at random, without the last fifth of what they did."""
    lengths = np.diff(data.offsets)
    able = np.flatnonzero(lengths >= 2)
    drawn = np.random.default_rng(n_users).permutation(able)[:n_users]
    ends = data.offsets[1:].copy()
    ends[drawn] -= np.maximum(np.round(NEW_SHARE * lengths[drawn]).astype(np.int64), 1)
    return data.prefix(ends)


def beside(case: Case, step: Callable[[], Part], fit: Callable[[], Part]) -> dict[str, Any]:
    with Clock() as of_step:
        stepped = step()
    with Clock() as of_fit:
        fitted = fit()
    ours, theirs = (ndcg(case.data, case.cut.test, part, case.seen) for part in (stepped, fitted))
    return {
        "greatest_difference_of_weights": greatest_difference(stepped, fitted),
        "greatest_weight": float(fitted.weights.abs().max()),
        "ndcg@10_updated": round(float(ours.mean()), 6),
        "ndcg@10_fitted": round(float(theirs.mean()), 6),
        "update_s": round(of_step.seconds, 3),
        "fit_s": round(of_fit.seconds, 3),
        "update_cpu_s": round(of_step.cpu_s, 3),
        "fit_cpu_s": round(of_fit.cpu_s, 3),
        "times_cheaper_cpu": round(of_fit.cpu_s / of_step.cpu_s, 1),
    }


def greatest_difference(one: Rows, other: Rows) -> float:
    """Over all pairs; a weight that only one of them kept counts as its size."""
    worst = 0.0
    for item in np.flatnonzero((one.row_of > 0).numpy() | (other.row_of > 0).numpy()).tolist():
        rows = []
        for part in (one, other):
            row = np.zeros(one.n_items + 1)
            np.add.at(row, part.neighbours[part.row_of[item]].numpy(), part.weights[part.row_of[item]].numpy())
            rows.append(row)
        worst = max(worst, float(np.abs(rows[0] - rows[1]).max()))
    return worst


def fine_tuning(case: Case, configs: Mapping[str, FineTuneConfig], n_origins: int, days: float) -> dict[str, Any]:
    """At each origin: trained before it, new events for `days`, judged on the `days` after these."""
    values: dict[str, list[metrics.FloatArray]] = {}
    cpu: dict[str, float] = {}
    epochs: dict[str, list[int]] = {name: [] for name in configs}
    for origin in range(n_origins):
        now = case.end_ms - round((origin + 1) * days * DAY_MS)
        since, end = now - round(days * DAY_MS), now + round(days * DAY_MS)
        data, cut = case.data, temporal(case.data, since, now, end)
        old, known = data.prefix(data.ends_before(since)), data.prefix(data.ends_before(now))
        settings = Recipe.for_split(cut).attention
        with Clock() as clock:
            models = {"as it was": Attention(data.n_items, settings).fit(old, since)}
        times = {"first training": clock.cpu_s}
        with Clock() as clock:
            models["trained anew"] = Attention(data.n_items, settings).fit(known, now)
        times["trained anew"] = clock.cpu_s
        for name, config in configs.items():
            with Clock() as clock:
                n_epochs = choose_epochs(models["as it was"], known, since, config, case.seen)
                models[name] = fine_tune(models["as it was"], known, since, config, n_epochs)
            times[name] = clock.cpu_s
            epochs[name].append(n_epochs)
        for name, seconds in times.items():
            cpu[name] = round(cpu.get(name, 0.0) + seconds, 2)
        for name, model in models.items():
            values.setdefault(name, []).append(ndcg(data, cut.test, model, case.seen))
    return {
        "window_days": days,
        "n_origins": n_origins,
        "settings": {name: repr(config) for name, config in configs.items()},
        "epochs_chosen": epochs,
        "cpu_s": cpu,
        **compared({name: np.concatenate(each) for name, each in values.items()}, list(configs)),
    }


def compared(values: Mapping[str, metrics.FloatArray], tuned: list[str]) -> dict[str, Any]:
    """Users of all origins together; pairs are the same user at the same origin. tuned: names of fine-tuned ones"""
    weights = metrics.resample_weights(len(values["as it was"]))
    pairs = [(name, "as it was") for name in (*tuned, "trained anew")]
    pairs += [(name, "trained anew") for name in tuned]
    return {
        "n_requests": len(values["as it was"]),
        "ndcg@10": {
            name: dict(zip(("mean", "low", "high"), metrics.interval(each, weights), strict=True))
            for name, each in values.items()
        },
        "paired": {f"{a} minus {b}": dict(metrics.paired_test(values[a], values[b], weights)) for a, b in pairs},
    }


def cases(quick: bool, names: list[str], only_case: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for case in [random_case()] if quick else map(prepared_case, names):
        if only_case in ("", "equality"):
            for n in (5, 40) if quick else SIZES:
                yield f"equality, {case.name}, {n} users", {**case.facts, **equality(case, n)}
        if only_case in ("", "fine_tuning") and (quick or case.name == "movielens-100k"):
            n_origins = 1 if quick else N_ORIGINS
            yield f"fine_tuning, {case.name}", {**case.facts, **fine_tuning(case, TUNINGS, n_origins, WINDOW_DAYS)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a random shop, some seconds; writes update-quick.json")
    parser.add_argument("--data", nargs="+", default=list(DATA), help="prepared data sets")
    parser.add_argument("--only", default="", choices=("equality", "fine_tuning"))
    given = parser.parse_args()
    path = RESULTS / ("update-quick.json" if given.quick else "update.json")
    result: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    console, command = Console(stderr=True), f"python -m benchmarks.update{' --quick' if given.quick else ''}"
    for name, measured in cases(given.quick, given.data, given.only):
        console.print(f"done: {name}")
        result[name] = {**measured, **facts(), "command": command}
        write_result(path, result)
        print(json.dumps({name: measured}, indent=1))


if __name__ == "__main__":
    main()
