"""What Ctrl-C and SIGTERM may interrupt, and what not."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def leaving_at_sigterm() -> Iterator[None]:
    """SIGTERM ends the process as an exit does, so that what is open is closed; by default it would just be gone."""

    def leave(number: int, _: FrameType | None) -> None:
        sys.exit(128 + number)

    if not _heard_here():
        yield
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C and SIGTERM are heard at the end: for what must not be left half done, and takes no time."""
    if not _heard_here():
        yield
        return
    heard: list[int] = []
    ending = (signal.SIGINT, signal.SIGTERM)
    before = {each: signal.signal(each, lambda number, _: heard.append(number)) for each in ending}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        for number in heard:
            signal.raise_signal(number)


def _heard_here() -> bool:
    """Python runs handlers in the main thread alone."""
    return threading.current_thread() is threading.main_thread()
