"""Which protocols of evaluation a data set allows: each needs users to learn from and users to ask for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

# Interactions, but for removals, of a user whose last is left out for the test and the one before for validation.
MIN_HISTORY: Final = 3
# Of an outcome that one user in seven has, the 95 % bootstrap interval over users holds the truth in 53 of 100 draws of
# 5 users, in 79 of 10, in 92 of 20 and in 93 of 30; of one user it is a point.
FEW_USERS: Final = 30
REMEDIES: Final = {
    "temporal": "no user turned to an item in that window; prepare the data with other --test-days and "
    "--validation-days, or evaluate with --protocol leave-one-out",
    "leave-one-out": "it takes users with three interactions, and with four for one step before validation",
}

Allowed = dict[str, dict[str, Any]]


def allowed(events: Any, cutoffs: Sequence[Any], has_times: bool) -> Allowed:
    """Protocol → `n_users` by window, and `refused`: why not, empty where it can be asked for. The usual one is first.

    events: an Ibis table of prepared events; cutoffs: train_end, validation_end, data_end (aware)
    """
    train_end, validation_end, _ = cutoffs
    chosen = events.event_type != "removal"  # nobody is asked for what a user took away
    users = (
        events.mutate(chosen=chosen)
        .group_by("user_id")
        .agg(
            n=lambda t: t.chosen.sum(),
            train=lambda t: (t.sent_at < train_end).any(),
            validation=lambda t: (t.chosen & (t.sent_at >= train_end) & (t.sent_at < validation_end)).any(),
            test=lambda t: (t.chosen & (t.sent_at >= validation_end)).any(),
        )
    )
    counted = users.aggregate(
        train=users.train.sum(), validation=users.validation.sum(), test=users.test.sum(),
        long=(users.n >= MIN_HISTORY).sum(),
    )  # fmt: skip
    row = counted.to_pyarrow().to_pylist()[0]
    n_long = row.pop("long")
    left_out = _judged("leave-one-out", {"validation": n_long, "test": n_long})
    if not has_times:  # the cut-offs leave items out, too
        return {"leave-one-out": left_out}
    return {"temporal": _judged("temporal", row), "leave-one-out": left_out}


def refusal(protocol: str, window: str) -> str:
    """Why it cannot be asked for: nobody turned to an item in this window."""
    lacking = "nothing to learn from" if window == "train" else "no requests"
    return f"{lacking} ({window}): {REMEDIES[protocol]}"


def facts(found: Allowed) -> list[tuple[str, str]]:
    """One line a protocol, for people."""
    return [(f"evaluation, {name}", _told(protocol)) for name, protocol in found.items()]


def cautions(found: Allowed) -> list[str]:
    """What stands in the way of training, which takes the first protocol."""
    usual = next(iter(found.items()), None)
    if usual is None or not usual[1]["refused"]:
        return []
    return [f"`fusionrec train` will refuse these data ({usual[0]}): {usual[1]['refused']}"]


def caution_of(n_users: int) -> str:
    """What to keep in mind of a result on so few users; empty where they are enough."""
    if n_users >= FEW_USERS:
        return ""
    judged = "one user" if n_users == 1 else f"{n_users} users"
    return f"judged on {judged}; below {FEW_USERS} intervals are too narrow, and other users may turn the table around"


def _judged(name: str, n_users: dict[str, int]) -> dict[str, Any]:
    empty = next((window for window, n in n_users.items() if not n), "")
    return {"n_users": n_users, "refused": refusal(name, empty) if empty else ""}


def _told(protocol: dict[str, Any]) -> str:
    if protocol["refused"]:
        return f"not possible: {protocol['refused']}"
    n_test = protocol["n_users"]["test"]
    few = f"; fewer than {FEW_USERS} say little" if n_test < FEW_USERS else ""
    return f"{n_test:,} {'user' if n_test == 1 else 'users'} to judge on{few}"
