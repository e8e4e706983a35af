"""A search over a small shop: it finds what is better, goes on where it ended, and says how sure it is."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import optuna
import pytest
import torch
from optuna.trial import TrialState
from torch import Tensor

from fusionrec.errors import BadInputError, DataError, FusionrecError
from training.best_settings import best_file, best_settings, with_values, write_best
from training.data.dataset import Cutoffs, Dataset
from training.interactions import Interactions, Requests
from training.loop import LoopConfig
from training.models.attention import AttentionConfig
from training.models.ease import EaseConfig
from training.models.protocol import QUIET, Part, Run
from training.search.evidence import evidence
from training.search.objective import Judge
from training.search.spaces import PARTS, Range, Searchable, searchable
from training.search.study import CHECKED, Search, climb, finished, open_study
from training.shop import NOW_MS, two_taste_shop, with_answers


@dataclass(frozen=True)
class ShiftConfig:
    shift: float = 3.0
    n_epochs: int = 0


class Shift(Part):
    """Scores the item that is `shift` places above the user's oldest: right at the user's taste and at shift 0."""

    name: ClassVar[str] = "shift"
    told: ClassVar[list[float]] = []

    def __init__(self, n_items: int, config: ShiftConfig) -> None:
        super().__init__()
        self.n_items, self.config = n_items, config

    def fit(self, data: Interactions, now_ms: int, run: Run = QUIET) -> Self:
        self.told.append(self.config.shift)
        for epoch in range(self.config.n_epochs):
            run.record("loss", 1.0, epoch)
            run.after_epoch((epoch + 1) / self.config.n_epochs)
        return self

    def forward(self, history_items: Tensor, history_events: Tensor, history_age_days: Tensor) -> Tensor:
        places = torch.arange(self.n_items + 1, dtype=torch.float32)
        centre = torch.where(history_items.amax(dim=1) <= self.n_items // 2, 3.0, 3.0 + self.n_items // 2)
        return -(places[None, :] - centre[:, None] - self.config.shift).abs()


@pytest.fixture(autouse=True)
def fresh() -> None:
    Shift.told.clear()


class Clock:
    """Each look at the time takes a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def a_search(**fields: object) -> Search:
    data = with_answers(two_taste_shop(users=40, items=20))
    ends = data.offsets[1:]
    requests = Requests(np.arange(40), ends - 1, ends, np.full(40, NOW_MS))
    judge = Judge.of(data, requests, "mask", n_users=15, seed=0)
    what = Searchable(Shift, ShiftConfig, {"shift": Range(-5.0, 5.0)})
    search = Search("shift", what, ShiftConfig(), data.prefix(ends - 1), NOW_MS, judge, "k", clock=Clock())
    return replace(search, **fields)


def test_the_two_halves_share_no_user_and_the_metric_is_ndcg() -> None:
    """Shift 0 puts the withheld item, one of five near the middle of a taste of ten, among the first; 5 does not."""
    judge = a_search().judge
    assert not set(judge.choosing.users) & set(judge.checking.users)
    assert len(judge.choosing.users) == len(judge.checking.users) == 15
    near, far = (judge.on_choosing(Shift(20, ShiftConfig(shift))) for shift in (1.0, 5.0))
    assert near.shape == (15,)
    assert near.mean() > far.mean()
    ranked_first = [
        int(3 + 1 + 10 * (judge.data.items[end] > 10)) == judge.data.items[end] for end in judge.choosing.ends
    ]
    assert (near[ranked_first] == 1.0).all()


def test_a_search_starts_with_what_is_in_use_and_finds_better(tmp_path: Path) -> None:
    search = a_search()
    study = open_study(search, tmp_path / "search" / "shift.journal")
    climb(search, study, seconds=60)
    assert Shift.told[0] == 3.0
    assert len(Shift.told) == len(finished(study)) > 5
    found = evidence(search, study)
    assert abs(found["settings"]["shift"]) < 3.0
    assert found["chosen_on"]["best"] > found["chosen_on"]["default"]
    assert found["checked_on"]["best_minus_default"]["difference"] == pytest.approx(
        found["checked_on"]["best"]["mean"] - found["checked_on"]["default"]["mean"], abs=1e-5
    )
    assert found["better"] is (found["checked_on"]["best_minus_default"]["low"] > 0)
    json.dumps(found)


def test_a_second_run_goes_on_and_does_not_repeat_itself(tmp_path: Path) -> None:
    for _ in range(2):
        climb(a_search(), open_study(a_search(), tmp_path / "journal"), seconds=12)
    assert len(set(Shift.told)) == len(Shift.told) > 4
    assert len(finished(open_study(a_search(), tmp_path / "journal"))) == len(Shift.told)
    other = open_study(a_search(key="other data"), tmp_path / "journal")
    assert not finished(other)


def test_settings_that_came_into_use_since_are_the_new_bar(tmp_path: Path) -> None:
    climb(a_search(), open_study(a_search(), tmp_path / "journal"), seconds=12)
    adopted = a_search(default=ShiftConfig(shift=0.5))
    study = open_study(adopted, tmp_path / "journal")
    climb(adopted, study, seconds=4)
    assert 0.5 in Shift.told
    assert evidence(adopted, study)["chosen_on"]["default"] == pytest.approx(
        float(adopted.judge.on_choosing(Shift(20, ShiftConfig(0.5))).mean())
    )


def test_an_interrupted_trial_is_done_first_by_the_next_run(tmp_path: Path) -> None:
    search = a_search(default=ShiftConfig(n_epochs=4))

    def stop(name: str, value: float, step: int) -> None:
        if name.startswith("trial-2/"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        climb(search, open_study(search, tmp_path / "journal"), 60, Run(record=stop))
    broken = Shift.told[-1]
    study = open_study(search, tmp_path / "journal")
    assert len(finished(study)) == 2
    climb(search, study, seconds=4)
    assert Shift.told[3] == pytest.approx(broken)


def test_the_budget_ends_a_trial_in_the_middle(tmp_path: Path) -> None:
    search = a_search(default=ShiftConfig(n_epochs=400))
    study = open_study(search, tmp_path / "journal")
    climb(search, study, seconds=1.0)
    assert len(finished(study)) == 1, "the first is finished, however long it takes"
    climb(search, study, seconds=100.0)
    states = [trial.state for trial in study.trials]
    assert states[-1] == TrialState.WAITING, "it will be the first of the next run"
    assert states[-2] == TrialState.FAIL


def test_a_trial_that_lags_behind_is_given_up(tmp_path: Path) -> None:
    search = a_search(default=ShiftConfig(shift=0.0, n_epochs=8))
    study = open_study(search, tmp_path / "journal")
    for shift in (0.1, 0.2, -0.1, -0.2):
        study.enqueue_trial({"shift": shift})
    study.enqueue_trial({"shift": 5.0})
    climb(search, study, seconds=80)
    by_shift = {round(trial.params["shift"], 2): trial for trial in study.trials if "shift" in trial.params}
    assert by_shift[5.0].state == TrialState.PRUNED
    assert list(by_shift[5.0].intermediate_values) == [1]
    assert list(by_shift[0.1].intermediate_values) == [1, 2, 3]


def test_without_a_finished_trial_there_is_no_evidence(tmp_path: Path) -> None:
    with pytest.raises(FusionrecError, match="more --minutes"):
        evidence(a_search(), open_study(a_search(), tmp_path / "journal"))


@pytest.mark.parametrize("name", PARTS)
def test_every_space_fits_its_config_and_holds_its_defaults(name: str) -> None:
    what = PARTS[name]
    config = what.config()
    assert what.values_of(config).keys() == what.space.keys()
    trial = optuna.create_study().ask()
    changed = with_values(config, what.suggest(trial))
    assert changed != config
    assert with_values(config, what.values_of(config)) == config
    what.part(12, changed)


def test_an_unknown_part_is_named_with_those_that_are_known() -> None:
    with pytest.raises(BadInputError, match="ease, transitions"):
        searchable("eaze")
    assert "content" not in searchable("ease", has_content=False).space


def toy(folder: Path) -> Dataset:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return Dataset(folder, "toy", "csv", True, "", Cutoffs(moment, moment, moment), {}, "", {})


def test_settings_found_are_used_only_when_in_use(tmp_path: Path) -> None:
    default, dataset = AttentionConfig(loop=LoopConfig(n_epochs=3)), toy(tmp_path)
    assert best_settings(dataset, "attention", default) == default
    found = {"settings": {"dim": 96, "loop.learning_rate": 0.01}, "in_use": True}
    write_best(best_file(dataset, "attention"), found)
    best = best_settings(dataset, "attention", default)
    assert best == replace(default, dim=96, loop=LoopConfig(n_epochs=3, learning_rate=0.01))
    write_best(best_file(dataset, "attention"), {**found, "in_use": False})
    assert best_settings(dataset, "attention", default) == default


BROKEN = (
    "{",
    "[]",
    '{"in_use": true}',
    '{"settings": {"gone": 1}, "in_use": true}',
    '{"settings": {"l2.x": 1}, "in_use": true}',
)


@pytest.mark.parametrize("text", BROKEN)
def test_a_file_that_cannot_be_used_is_refused_with_the_remedy(tmp_path: Path, text: str) -> None:
    path = best_file(toy(tmp_path), "ease")
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(DataError, match="--part ease") as caught:
        best_settings(toy(tmp_path), "ease", EaseConfig())
    assert caught.value.pointer == str(path)


def test_what_is_checked_is_the_other_half(tmp_path: Path) -> None:
    search = a_search()
    study = open_study(search, tmp_path / "journal")
    climb(search, study, seconds=20)
    differ = []
    for trial in finished(study):
        part = Shift(20, ShiftConfig(trial.params["shift"]))
        checked, chosen = search.judge.on_checking(part), search.judge.on_choosing(part)
        assert trial.user_attrs[CHECKED] == pytest.approx(checked.tolist(), abs=1e-5)
        assert trial.value == pytest.approx(chosen.mean())
        differ.append(checked.tolist() != chosen.tolist())
    assert any(differ)


def test_settings_in_use_are_tried_as_they_are_also_beyond_the_space(tmp_path: Path) -> None:
    search = a_search(default=ShiftConfig(shift=7.5))
    climb(search, open_study(search, tmp_path / "journal"), seconds=1)
    assert Shift.told == [7.5]


def test_opening_a_study_twice_queues_the_settings_in_use_once(tmp_path: Path) -> None:
    for _ in range(2):
        study = open_study(a_search(), tmp_path / "journal")
    assert [trial.state for trial in study.trials] == [TrialState.WAITING]


def test_trials_that_were_given_up_are_counted(tmp_path: Path) -> None:
    search = a_search(default=ShiftConfig(shift=0.0, n_epochs=8))
    study = open_study(search, tmp_path / "journal")
    for shift in (0.1, 0.2, -0.1, -0.2, 5.0):
        study.enqueue_trial({"shift": shift})
    climb(search, study, seconds=80)
    states = [trial.state for trial in study.trials]
    counted = {"finished": states.count(TrialState.COMPLETE), "given_up": states.count(TrialState.PRUNED)}
    assert evidence(search, study)["n_trials"] == counted
    assert counted["given_up"] >= 1


def test_seen_items_and_padding_are_no_answer() -> None:
    """Scores that fall with the index: padding would come first, and with `keep` the history does."""
    judge = a_search().judge
    masked, kept = judge.on_choosing(Falling(20)), replace(judge, seen="keep").on_choosing(Falling(20))
    lower = judge.choosing.users < 20  # whose taste are the items 1 to 10: the one that they lack is what is left
    assert lower.any()
    assert (masked[lower] == 1.0).all()
    assert kept[lower].mean() < 0.9


class Falling(Part):
    name: ClassVar[str] = "falling"

    def __init__(self, n_items: int) -> None:
        super().__init__()
        self.n_items = n_items

    def fit(self, data: Interactions, now_ms: int, run: Run = QUIET) -> Self:
        return self

    def forward(self, history_items: Tensor, history_events: Tensor, history_age_days: Tensor) -> Tensor:
        return -torch.arange(self.n_items + 1.0).expand(len(history_items), -1)
