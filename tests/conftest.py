"""Fixtures that several folders share. Slow ones are made once."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from filelock import FileLock


def pytest_configure() -> None:
    """What is started in the background, as CI may be, ignores Ctrl-C, and so would all that tests start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def toy_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real bundle of the two-taste shop: items `item-01` … `item-10`; never write into it.

    Its export takes ten seconds and more: all workers of a run share one.
    """
    from training.shop import write_toy_bundle  # noqa: PLC0415 - only tests that need it pay for torch

    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "toy"
    with FileLock(f"{folder}.lock"):
        return folder if folder.exists() else write_toy_bundle(folder)
