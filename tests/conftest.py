"""Fixtures that several folders share. Slow ones are made once."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def toy_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real bundle of the two-taste shop: items `item-01` … `item-10`; never write into it."""
    from training.shop import write_toy_bundle  # noqa: PLC0415 - only tests that need it pay for torch

    return write_toy_bundle(tmp_path_factory.mktemp("bundles") / "toy")
