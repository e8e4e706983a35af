"""Where train ends and validation and test begin: by time, so that no model sees its own future."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from fusionrec.errors import DataError

# Data without times: a reader gives everyone's last event this moment and the ones before it a day less each, so that
# cut-offs by time become leave-one-out. An obviously made-up date.
LAST_EVENT: Final = datetime(2000, 1, 1, 12)  # noqa: DTZ001  naive UTC, as in the raw frame
DAY: Final = timedelta(days=1)
LONGEST_WINDOW_DAYS: Final = 28.0
SHARE_OF_SPAN: Final = 0.1  # a window of data that spans less than 280 days


@dataclass(frozen=True, slots=True)
class SplitOptions:
    """Days of the test and the validation window; None = 28, or a tenth of a shorter span."""

    test_days: float | None = None
    validation_days: float | None = None


def choose_cutoffs(events: Any, has_times: bool, options: SplitOptions) -> tuple[datetime, datetime, datetime]:
    """train_end, validation_end, data_end (naive UTC). events: at least one.

    Raises DataError when a window leaves nothing to train on.
    """
    span = events.aggregate(first=events.sent_at.min(), last=events.sent_at.max()).to_pyarrow().to_pylist()[0]
    if not has_times:
        return leave_one_out()
    first, last = span["first"].replace(tzinfo=None), span["last"].replace(tzinfo=None)
    data_end = last.replace(microsecond=0) + timedelta(seconds=1)
    usual = min(LONGEST_WINDOW_DAYS, (data_end - first) / DAY * SHARE_OF_SPAN)
    test = timedelta(days=usual if options.test_days is None else options.test_days)
    validation = timedelta(days=usual if options.validation_days is None else options.validation_days)
    train_end = data_end - test - validation
    if train_end <= first:
        raise DataError(
            f"windows of {test / DAY:.3g} (test) and {validation / DAY:.3g} days leave nothing to train on; events "
            f"span {first:%Y-%m-%d} to {last:%Y-%m-%d}; give smaller --test-days and --validation-days"
        )
    return train_end, data_end - test, data_end


def leave_one_out() -> tuple[datetime, datetime, datetime]:
    """Cut-offs that hold out everyone's last event (test) and the one before it (validation)."""
    half_day = timedelta(hours=12)
    return LAST_EVENT - 3 * half_day, LAST_EVENT - half_day, LAST_EVENT + timedelta(seconds=1)
