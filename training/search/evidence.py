"""From a study to settings with their evidence."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import optuna
from optuna.trial import TrialState

from fusionrec.errors import FusionrecError
from training import metrics
from training.search.objective import METRIC
from training.search.study import CHECKED, SECONDS, Search, default_trial, finished


def evidence(search: Search, study: optuna.Study) -> dict[str, Any]:
    """The best settings of a study, what they are worth, and against what.

    `better` is True when, on users that had no say in the choice, the 95 % interval of the gain over the settings in
    use lies above zero.

    raises: FusionrecError when no trial was finished
    """
    if not finished(study):
        raise FusionrecError("no trial was finished; run the same command with more --minutes")
    best, default = study.best_trial, default_trial(search, study)
    if default is None:
        raise FusionrecError("the default settings were not tried; run the same command with more --minutes")
    ours, theirs = (np.array(trial.user_attrs[CHECKED]) for trial in (best, default))
    weights = metrics.resample_weights(len(ours), seed=search.seed)
    gain = metrics.paired_test(ours, theirs, weights)
    states = [trial.state for trial in study.get_trials(deepcopy=False)]
    return {
        "part": search.part,
        "settings": dict(best.params),
        "better": best.number != default.number and gain["low"] > 0,
        "metric": f"{METRIC} on validation requests, seen items {search.judge.seen}",
        "chosen_on": {"n_users": len(search.judge.choosing.users), "best": best.value, "default": default.value},
        "checked_on": {
            "n_users": len(ours),
            "best": _named(metrics.interval(ours, weights)),
            "default": _named(metrics.interval(theirs, weights)),
            "best_minus_default": dict(gain),
        },
        "fit_seconds": {"best": best.user_attrs[SECONDS], "default": default.user_attrs[SECONDS]},
        "n_trials": {"finished": states.count(TrialState.COMPLETE), "given_up": states.count(TrialState.PRUNED)},
        "seed": search.seed,
        "key": search.key,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _named(values: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip(("mean", "low", "high"), values, strict=True))
