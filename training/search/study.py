"""One part's search: trials in a journal below the data set, as long as the budget lasts; a later run goes on.

Trials are drawn by a tree-structured Parzen estimator, starting from the settings in use. Where a part learns in
epochs, a trial that lags behind the median of the others at a quarter, half or three quarters of its training is
given up. The test window is never looked at.

source: Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization", NeurIPS; Akiba et al. 2019,
        arXiv:1907.10902 (Optuna)
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from training.best_settings import with_values
from training.interactions import Interactions
from training.models.protocol import QUIET, Run
from training.search.objective import Judge
from training.search.spaces import Searchable
from training.stages import key_of

_QUARTERS: Final = 4
CHECKED: Final = "on_checking_users"
SECONDS: Final = "seconds"
_CONFIG: Final = "config"  # key of the whole config of a trial
Told = Callable[["Standing"], None]


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a search is."""

    n_trials: int
    seconds: float
    best: float | None
    default: float | None


@dataclass(frozen=True, slots=True)
class Search:
    """What is searched, and on what."""

    part: str
    what: Searchable
    default: Any  # the part's config in use
    data: Interactions  # to fit on
    now_ms: int
    judge: Judge
    key: str  # trials of another key are not comparable
    seed: int = 0
    clock: Callable[[], float] = field(default=time.monotonic)


def open_study(search: Search, journal: Path) -> optuna.Study:
    """The study of this part and key in the journal, new or continued; the settings in use are tried first."""
    journal.parent.mkdir(parents=True, exist_ok=True)
    with _quiet():
        study = optuna.create_study(
            storage=_storage(journal),
            study_name=_name(search),
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
        )
        n_before = len(study.get_trials(deepcopy=False))  # or a continued search would draw the first trials again
        study.sampler = optuna.samplers.TPESampler(seed=search.seed + n_before, multivariate=True)
    if not _tried(search, study, (TrialState.COMPLETE, TrialState.WAITING)):
        study.enqueue_trial(search.what.values_of(search.default), user_attrs={_CONFIG: key_of(search.default)})
    return study


def known_study(search: Search, journal: Path) -> optuna.Study | None:
    """The study as earlier runs left it; None where none of them finished the settings in use."""
    if not journal.exists():
        return None
    with _quiet(), suppress(KeyError):  # trials of other data or code are not comparable
        study = optuna.load_study(storage=_storage(journal), study_name=_name(search))
        return study if default_trial(search, study) else None
    return None


def climb(search: Search, study: optuna.Study, seconds: float, run: Run = QUIET, tell: Told = lambda _: None) -> None:
    """Trials until the time is up; one that is cut off is done first by the next run. Finishes at least one."""
    started = search.clock()
    while not finished(study) or search.clock() - started < seconds:
        trial = study.ask()
        spare = started + seconds if finished(study) else float("inf")
        try:
            _try(search, study, trial, spare, run)
        except optuna.TrialPruned:
            study.tell(trial, state=TrialState.PRUNED)
        except BaseException as error:  # Ctrl-C too: what was begun is begun again
            study.tell(trial, state=TrialState.FAIL)
            study.enqueue_trial(trial.params, user_attrs=trial.user_attrs)
            if not isinstance(error, _OutOfTimeError):
                raise
        tell(_standing(search, study, search.clock() - started))


class _OutOfTimeError(Exception):
    """The budget ended within a trial."""


def _try(search: Search, study: optuna.Study, trial: optuna.Trial, deadline: float, run: Run) -> None:
    values = search.what.suggest(trial)
    in_use = trial.user_attrs.get(_CONFIG) == key_of(search.default)  # also where the space does not reach them
    config = search.default if in_use else with_values(search.default, values)
    trial.set_user_attr(_CONFIG, key_of(config))
    part, passed = search.what.part(search.data.n_items, config), 0

    def after_epoch(share: float) -> None:
        nonlocal passed
        if search.clock() > deadline:
            raise _OutOfTimeError
        if passed < int(share * _QUARTERS) < _QUARTERS:
            passed = int(share * _QUARTERS)
            trial.report(float(search.judge.on_choosing(part).mean()), passed)
            if trial.should_prune():
                raise optuna.TrialPruned

    started = search.clock()
    curves = replace(
        run,
        after_epoch=after_epoch,
        record=lambda name, value, step: run.record(f"trial-{trial.number}/{name}", value, step),
    )
    part.fit(search.data, search.now_ms, curves)
    trial.set_user_attr(SECONDS, round(search.clock() - started, 2))
    trial.set_user_attr(CHECKED, np.round(search.judge.on_checking(part.eval()), 6).tolist())
    value = float(search.judge.on_choosing(part).mean())
    run.record("ndcg@10", value, trial.number)
    study.tell(trial, value)


def finished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def default_trial(search: Search, study: optuna.Study) -> optuna.trial.FrozenTrial | None:
    """The finished trial of the settings in use."""
    return next(iter(_tried(search, study, (TrialState.COMPLETE,))), None)


def _tried(search: Search, study: optuna.Study, states: tuple[TrialState, ...]) -> list[optuna.trial.FrozenTrial]:
    wanted = key_of(search.default)
    return [each for each in study.get_trials(deepcopy=False, states=states) if each.user_attrs.get(_CONFIG) == wanted]


def _name(search: Search) -> str:
    return f"{search.part}-{search.key}"


def _storage(journal: Path) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(journal)))


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna tells of every trial, and calls half of what is used here an experiment."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def _standing(search: Search, study: optuna.Study, seconds: float) -> Standing:
    done, default = finished(study), default_trial(search, study)
    best = study.best_value if done else None
    return Standing(len(study.get_trials(deepcopy=False)), seconds, best, default.value if default else None)
