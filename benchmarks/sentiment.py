"""The text model on reviews that it never saw: `python -m benchmarks.sentiment` writes results/sentiment.json.

model     accuracy, F1 and AUC of the model as it is shipped, with intervals, beside the lexicon VADER in the same run
topics    how often a topic that the lexicon of words finds is right, on texts read by hand; and how many are missed
cost      CPU time of a text, size of the model
surge     false alarms under an unchanging share of negative texts, and how soon a surge is found, by simulation
"""

from __future__ import annotations

import csv
import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

import numpy as np
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from benchmarks.facts import facts, write_result
from fusionrec.feature_spec import DAY_MS
from fusionrec.settings import Settings
from fusionrec.surge import Vote, fold, no_votes, surges
from fusionrec.text.scoring import GRAPH, OTHER, PACKAGED, TextScore, TextScorer
from training.text.corpus import Rated, load
from training.text.evaluation import difference, measured

RESULT: Final = Path("benchmarks/results/sentiment.json")
READ_BY_HAND: Final = Path(__file__).parent / "topics_held_out.csv"
CLEAR_COMPOUND: Final = 0.05  # VADER's own thresholds for its compound score
START_MS: Final = 1_760_000_000_000


def sentiment(texts: Sequence[Rated], scores: Sequence[TextScore]) -> dict[str, Any]:
    probabilities = np.array([score.probabilities for score in scores])
    analyser = SentimentIntensityAnalyzer()
    compound = np.array([analyser.polarity_scores(text.text)["compound"] for text in texts])
    by_lexicon = np.where(compound <= -CLEAR_COMPOUND, 0, np.where(compound >= CLEAR_COMPOUND, 2, 1))
    ours = probabilities.argmax(axis=1)
    labels = Counter(text.label for text in texts)
    return {
        "n_texts": len(texts),
        "n_reviews": len({text.review for text in texts}),
        "n_negative_neutral_positive": [labels[0], labels[1], labels[2]],
        "model": measured(texts, ours, probabilities[:, 0]),
        "lexicon_vader": measured(texts, by_lexicon, -compound),
        "macro_f1_gain_over_lexicon": difference(texts, ours, by_lexicon),
    }


def topics(texts: Sequence[Rated], scores: Sequence[TextScore]) -> dict[str, Any]:
    """Precision where a topic was found; and what share of `other` has a topic after all."""
    found = {text.text_id: score.topics for text, score in zip(texts, scores, strict=True)}
    right, said, missed, n_other = Counter[str](), Counter[str](), 0, 0
    with READ_BY_HAND.open() as file:
        for row in csv.DictReader(file):
            true = set(filter(None, row["topics"].split("|")))
            if found[row["text_id"]] == (OTHER,):
                n_other, missed = n_other + 1, missed + bool(true)
            else:
                said.update(found[row["text_id"]])
                right.update(true & set(found[row["text_id"]]))
    return {
        "precision": {name: round(right[name] / said[name], 3) for name in sorted(said)},
        "n_said": dict(sorted(said.items())),
        "precision_of_all": round(right.total() / said.total(), 3),
        "n_read_as_other": n_other,
        "share_of_other_with_a_topic": round(missed / n_other, 3),
        "share_of_texts_with_a_topic": round(sum(t != (OTHER,) for t in found.values()) / len(found), 3),
    }


def cost(texts: Sequence[Rated]) -> dict[str, Any]:
    scorer = TextScorer.open()
    started = time.process_time()
    for text in texts:
        scorer.score([text.text])
    each = (time.process_time() - started) / len(texts)
    return {
        "cpu_us_per_text": round(each * 1e6, 1),
        "mean_chars": round(float(np.mean([len(text.text) for text in texts]))),
        "model_kib": round((PACKAGED / GRAPH).stat().st_size / 1024, 1),
    }


def simulated(seed: int, per_day: float, share: float, surge_share: float | None) -> list[Vote]:
    """120 days of texts of different users; a surge, if any, is the last 3 days."""
    random = Random(seed)
    votes, day = [], 0.0
    while (day := day + random.expovariate(per_day)) < 120:
        now = surge_share if surge_share is not None and day >= 117 else share
        at = START_MS + int(day * DAY_MS)
        votes.append(Vote(at, f"e{len(votes)}", f"u{len(votes)}", random.random() < now, OTHER))
    return votes


def surge_rule(n_runs: int) -> dict[str, Any]:
    rows = {}
    for per_day in (1, 5, 20):
        false = sum(len(surges(fold(no_votes(), simulated(n, per_day, 0.2, None)))) for n in range(n_runs))
        found, hours = 0, []
        for n in range(n_runs):
            told = [
                s for s in surges(fold(no_votes(), simulated(n, per_day, 0.2, 0.7))) if s.at >= START_MS + 117 * DAY_MS
            ]
            found += bool(told)
            hours += [(told[0].at - START_MS - 117 * DAY_MS) / 3_600_000] if told else []
        rows[f"{per_day} texts a day"] = {
            "false_alarms_per_item_and_year": round(false / (n_runs * 100 / 365), 4),  # the window holds 100 days
            "surges_found": round(found / n_runs, 3),
            "median_hours_to_alarm": round(float(np.median(hours)), 1) if hours else None,
        }
    return {"share_before": 0.2, "share_in_surge": 0.7, "n_runs": n_runs, **rows}


def main() -> None:
    texts = load(Settings.from_env().home / "downloads").held_out
    scores = TextScorer.open().score([text.text for text in texts])
    result = {
        "sentiment": sentiment(texts, scores),
        "topics": topics(texts, scores),
        "cost": cost(texts),
        "surge": surge_rule(400),
        "shipped": json.loads((PACKAGED / "model.json").read_text()),
        **facts(),
        "command": "python -m benchmarks.sentiment",
    }
    write_result(RESULT, result)
    print(json.dumps({name: result[name] for name in ("sentiment", "topics", "cost", "surge")}, indent=2))


if __name__ == "__main__":
    main()
