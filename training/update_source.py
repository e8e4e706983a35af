"""The model that is served, what it was fitted on, and a newer preparation of the same data as the model sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from fusionrec.bundle.catalogue import Catalogue
from fusionrec.errors import DataError
from fusionrec.feature_spec import DAY_MS
from training import publish, update_state
from training.aligned import Aligned
from training.data.dataset import Dataset
from training.export import BundleParts
from training.feedback.incremental import changed_users
from training.interactions import Vocabulary
from training.models.ease import Ease
from training.train import Prepared
from training.update_state import State

_LONGEST_TAIL_DAYS: Final = 28.0


@dataclass(frozen=True, slots=True)
class News:
    """What a preparation adds to a model, and what of it the model cannot take in."""

    n_new_events: int  # of items that it knows
    n_changed_users: int
    n_new_users: int
    n_gone_users: int
    unknown: Mapping[str, int]  # item → events left out
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """The model that is served, and the newer data as it sees them."""

    state: State
    prepared: Prepared  # the model's vocabulary
    aligned: Aligned

    @classmethod
    def read(cls, dataset: Dataset, bundles: Path) -> Self | None:
        """None: the model has seen these data. Raises DataError, with the remedy."""
        version, remedy = publish.pointer(bundles), f"run `fusionrec train --data {dataset.folder.name}`"
        if not version:
            raise DataError(f"no model is promoted that could be updated; {remedy} first", pointer=str(bundles))
        if not dataset.has_times:
            raise DataError(f"the data have no times, so what is new cannot be told; {remedy}")
        state = update_state.load(dataset, version)
        if state.data_hash == dataset.data_hash:
            return None
        fitted = state.fitted
        ends, until = dataset.cutoffs.data_end, datetime.fromtimestamp(fitted.data_end_ms / 1000, UTC)
        if ends <= until:
            raise DataError(
                f"these events end at {ends:%Y-%m-%d %H:%M}, and bundle {version} has seen all until "
                f"{until:%Y-%m-%d %H:%M}: other data, not newer ones; {remedy}"
            )
        aligned = Aligned.of(fitted.data, fitted.user_ids, fitted.item_ids, dataset)
        content = next((part.config.content for part in fitted.parts if isinstance(part, Ease)), 0.0)
        if content and aligned.after.content is not None:
            raise DataError(
                f"EASE has contents in its gram (ease.content = {content:g}), which change as a whole with the "
                f"catalogue; {remedy}"
            )
        return cls(state, Prepared(dataset, aligned.after, Vocabulary(fitted.item_ids)), aligned)

    @property
    def news(self) -> News:
        before, after = self.aligned.before, self.aligned.after
        changed = int(changed_users(before, after).sum())
        n_new = int((after.sent_at >= self.state.fitted.data_end_ms).sum())
        told = self.aligned
        return News(n_new, changed, told.n_new_users, told.n_gone_users, told.unknown, told.missing)

    def tail_ms(self, test_days: float | None) -> int:
        """Where the tail begins; by default the second half of the new time, at most 28 days. Raises DataError."""
        start, end = self.state.fitted.data_end_ms, end_ms(self.prepared.dataset)
        longest = (end - start) / DAY_MS
        days = min(longest / 2, _LONGEST_TAIL_DAYS) if test_days is None else test_days
        if days >= longest:
            raise DataError(
                f"{days:g} days reach back to what the model has learnt from; new are the last {longest:.3g} days",
                pointer="--test-days",
            )
        return end - round(days * DAY_MS)


def end_ms(dataset: Dataset) -> int:
    """Just after the last event, ms since 1970 UTC."""
    return round(dataset.cutoffs.data_end.timestamp() * 1000)


def with_missing(parts: BundleParts, missing: Sequence[str], before: Path) -> BundleParts:
    """Items that the data no longer list keep the columns that the bundle before has."""
    if not missing:
        return parts
    old = Catalogue.load(before / "catalogue")
    columns: dict[str, Any] = {
        name: column.copy() if isinstance(column, np.ndarray) else list(column)
        for name, column in parts.columns.items()
    }
    index = {item: place for place, item in enumerate(parts.item_ids)}
    for item in missing:
        place, row = index[item], old.index(item)
        for name, column in columns.items():
            if isinstance(column, np.ndarray):
                column[place] = old.numbers(name)[row]
            elif column and isinstance(column[0], str):
                column[place] = old.text(name, row)
            else:
                column[place] = old.texts(name, row)
    return replace(parts, columns=columns)
