"""What a log says of stages: their ends, and before that the begin of those that take long."""

from __future__ import annotations

import io
import threading

import pytest
from rich.console import Console

from training.commands import console as shown


@pytest.fixture
def log() -> io.StringIO:
    return io.StringIO()


def test_a_long_stage_is_told_before_it_ends(log: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown, "LONG_S", 0.01)
    with shown.stage_display(Console(file=log)) as report:
        report("export", 0.0)
        for timer in timers():
            timer.join(30)
        assert log.getvalue() == "export …\n"
        report("export", 1.0)
    assert log.getvalue() == "export …\ndone: export\n"


def test_a_short_stage_is_told_once(log: io.StringIO) -> None:
    with shown.stage_display(Console(file=log)) as report:
        report("ease", 0.0)
        report("ease", 1.0)
        report("als (kept)", 1.0)
    assert log.getvalue() == "done: ease\ndone: als (kept)\n"


def test_a_stage_that_takes_minutes_is_told_of_again(log: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(shown, "monotonic", lambda: clock[0])
    with shown.stage_display(Console(file=log)) as report:
        for clock[0], share in ((0.0, 0.0), (59.0, 0.3), (61.0, 0.35), (62.0, 0.36), (130.0, 0.7), (140.0, 1.0)):
            report("second stage", share)
    assert log.getvalue() == "second stage 35% …\nsecond stage 70% …\ndone: second stage\n"


def test_an_interrupted_stage_is_not_told_afterwards(log: io.StringIO) -> None:
    def interrupted() -> None:
        with shown.stage_display(Console(file=log)) as report:
            report("export", 0.0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    for timer in timers():
        timer.join(1.0)  # less than what it would wait
    assert not timers()
    assert not log.getvalue()


def timers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
