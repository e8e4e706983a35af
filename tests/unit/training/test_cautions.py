"""A fusion that its best part beats is told, with what to do."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from training.commands.cautions import caution_if_below_best


class Judged:
    """As much of an evaluation as the caution reads."""

    best_part = "ease"

    def __init__(self, difference: float, high: float) -> None:
        self.rows = {"fusion": {"ndcg@10": (0.21, 0.2, 0.22)}, "ease": {"ndcg@10": (0.25, 0.24, 0.26)}}
        self.paired = {"ndcg@10": {"difference": difference, "low": -0.06, "high": high, "p_value": 0.5}}


def said(difference: float, high: float) -> str:
    console = Console(width=80, record=True)
    judged: Any = Judged(difference, high)
    caution_if_below_best(console, judged, "shop")
    return console.export_text()


def test_a_fusion_below_its_best_part_is_one_line() -> None:
    assert said(-0.04, -0.02) == (
        "caution: the fusion's ndcg@10 0.2100 is below the 0.2500 of its best part, ease: -0.0400 (-0.0600 to "
        "-0.0200); train on more data, or see with `fusionrec ablate --data shop` what each part is worth\n"
    )


def test_what_may_be_chance_is_called_so() -> None:
    assert "(-0.0600 to +0.0100) (which may be chance);" in said(-0.04, 0.01)


@pytest.mark.parametrize("difference", [0.0, 0.01])
def test_a_fusion_that_is_as_good_goes_without(difference: float) -> None:
    assert said(difference, 0.02) == ""
