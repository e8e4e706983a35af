"""What was shown and done, joined to what was served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ibis
import pytest

from fusionrec.adapters.local_files import EventFiles, SlateFile
from fusionrec.ports import Interaction
from training.feedback.labels import LabelConfig, Labelled, make_labels
from training.feedback.log import Log, Window

AT = 1_792_000_000_000
SLATE = {
    "recommendation_id": "r1", "served_at": AT, "request": {"userId": "u", "scenario": "home"}, "model_version": "m1",
    "history": {"item_ids": ["x"]}, "item_ids": ["a", "b", "c", "d"], "scores": [4.0, 3.0, 2.0, 1.0],
    "propensities": [1.0, 0.5, 1.0, 1.0],
}  # fmt: skip


def event(event_id: str, event_type: str, item_id: str = "", *, seconds: int = 0, **fields: Any) -> Interaction:
    given = {"user_id": "u", "session_id": "s", **fields}
    at = AT + 1000 * seconds
    return Interaction(event_id=event_id, event_type=event_type, item_id=item_id, sent_at=at, received_at=at, **given)


def quiet(what: str, done: int, total: int) -> None: ...


class Made:
    def __init__(self, folder: Path, done: Labelled) -> None:
        self.done = done
        self.table = ibis.duckdb.connect().read_parquet(folder / "feedback" / "labels.parquet").to_pyarrow()
        self.rows = {(row["item_id"], row["recommendation_id"]): row for row in self.table.to_pylist()}


@pytest.fixture
def make(tmp_path: Path):
    def run(*events: Interaction, slates: tuple[Any, ...] = (SLATE,), **config: Any) -> Made:
        EventFiles(tmp_path / "events").append(events)
        for slate in slates:
            SlateFile(tmp_path / "slates").record(slate)
        logs = (Log.at(str(tmp_path / name)) for name in ("events", "slates"))
        done = make_labels(*logs, Window(), LabelConfig(**config), tmp_path / "feedback", quiet)
        return Made(tmp_path, done)

    return run


SEEN = event("i", "impression", impression=("a", "b", "c"), recommendation_id="r1", seconds=1)


def test_what_was_seen_and_not_touched_is_a_no_with_its_place(make) -> None:
    made = make(SEEN, event("c", "click", "b", recommendation_id="r1", seconds=5))
    assert [made.rows[item, "r1"]["position"] for item in "abc"] == [0, 1, 2]
    assert [round(made.rows[item, "r1"]["label"], 3) for item in "abc"] == [0.0, 0.2, 0.0]
    assert ("d", "r1") not in made.rows  # it was served, but nobody says that it was seen
    assert made.done.n_untouched == 2
    row = made.rows["b", "r1"]
    assert (row["model_version"], row["scenario"], row["score"], row["propensity"]) == ("m1", "home", 3.0, 0.5)
    assert row["exposure"] == pytest.approx(0.5)  # (1 + 1) ** -1
    assert row["weight"] == pytest.approx(2.0)
    assert made.rows["c", "r1"]["weight"] == 1.0


def test_acts_add_up_and_are_cut(make) -> None:
    made = make(
        SEEN,
        event("1", "click", "a", recommendation_id="r1", seconds=2),
        event("2", "cart", "a", recommendation_id="r1", seconds=3),
        event("3", "purchase", "a", recommendation_id="r1", seconds=4),
        event("4", "removal", "b", recommendation_id="r1", seconds=5),
        event("5", "rating", "c", event_value=5.0, recommendation_id="r1", seconds=6),
        dwell=0.0,
    )
    labels = {item: made.rows[item, "r1"]["label"] for item in "abc"}
    assert labels == {"a": pytest.approx(1.8), "b": -1.0, "c": 0.5}
    assert made.rows["a", "r1"]["event_types"] == ["cart", "click", "purchase"]


def test_an_event_that_was_logged_twice_counts_once(make) -> None:
    click = event("c", "click", "b", recommendation_id="r1", seconds=5)
    assert make(SEEN, click, SEEN, click).rows["b", "r1"]["label"] == pytest.approx(0.2)


def test_dwelling_is_the_time_to_the_next_event_or_what_the_client_measured(make) -> None:
    made = make(
        event("1", "view", "a", seconds=0),
        event("2", "view", "b", seconds=15),  # 15 s on a's page
        event("3", "view", "c", seconds=4000),  # an hour later: nobody dwelt on b's page for so long
        event("4", "view", "d", seconds=4001, properties={"dwellMs": "60000"}),
        view=0.0, click=0.0,
    )  # fmt: skip
    found = {item: (row["dwell_s"], row["label"]) for (item, _), row in made.rows.items()}
    assert found == {
        "a": (15.0, pytest.approx(0.1)), "b": (None, 0.0), "c": (1.0, pytest.approx(0.2 / 30)), "d": (60.0, 0.2),
    }  # fmt: skip


def test_a_purchase_without_the_slates_id_belongs_to_the_slate_that_led_to_it(make) -> None:
    made = make(
        SEEN,
        event("1", "click", "a", recommendation_id="r1", seconds=2),
        event("2", "purchase", "a", seconds=500),
        event("3", "purchase", "b", seconds=501),  # nobody clicked it: not the slate's doing
        event("4", "purchase", "a", seconds=3 * 24 * 3600),
        dwell=0.0,
    )
    assert made.rows["a", "r1"]["label"] == pytest.approx(1.2)
    assert made.rows["b", "r1"]["label"] == 0.0
    assert made.rows["b", None]["label"] == made.rows["a", None]["label"] == 1.0
    assert made.rows["a", None]["position"] is None
    assert made.rows["a", None]["exposure"] == 1.0


def test_an_act_may_carry_what_was_on_display(make) -> None:
    made = make(event("1", "click", "y", impression=("x", "y", "z")), slates=())
    assert [(made.rows[item, None]["position"], made.rows[item, None]["label"] > 0) for item in "xyz"] == [
        (0, False), (1, True), (2, False),
    ]  # fmt: skip


def test_anonymous_events_are_those_of_who_logged_in(make) -> None:
    made = make(
        event("1", "view", "a", user_id="session:s"),
        event("2", "view", "b", seconds=9),
        event("3", "view", "c", user_id="session:other", session_id="other"),
    )
    assert {item: row["user_id"] for (item, _), row in made.rows.items()} == {"a": "u", "b": "u", "c": "session:other"}


def test_the_estimate_replaces_the_setting_when_there_is_enough(make) -> None:
    shown = [
        event(f"i{n}", "impression", impression=tuple("abcdef"[n % 6 :] + "abcdef"[: n % 6]), user_id=f"u{n}",
              recommendation_id=f"r{n}")
        for n in range(600)
    ]  # fmt: skip
    clicks = [
        event(f"c{n}", "click", "abcdef"[n % 6], user_id=f"u{n}", recommendation_id=f"r{n}", seconds=1)
        for n in range(600)  # always what stands first
    ]
    made = make(*shown, *clicks, eta=0.3)
    assert made.done.exposure.estimated
    assert made.done.exposure.eta > 2
    assert not make(*shown[:5], *clicks[:5], eta=0.3, min_touches=10**6).done.exposure.estimated


def test_a_log_without_events_gives_an_empty_table(make, tmp_path: Path) -> None:
    (tmp_path / "events").mkdir()
    made = make(slates=())
    assert (made.done.n_rows, len(made.table)) == (0, 0)
    assert {"label", "position", "exposure", "weight", "propensity"} <= set(made.table.column_names)
