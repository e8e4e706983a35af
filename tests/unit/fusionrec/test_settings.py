from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fusionrec.errors import BadInputError
from fusionrec.settings import _READERS, Settings


def test_variables_become_typed_fields_and_others_are_not_read() -> None:
    env = {"ONNX_THREADS": "2", "ITEM_CHECK_S": "0.5", "OPEN_ACCESS": "True", "STORE": "dynamodb", "HOME": "shop"}
    settings = Settings.from_env({**{f"FUSIONREC_{name}": value for name, value in env.items()}, "HOME": "/"})
    assert (settings.onnx_threads, settings.item_check_s, settings.open_access) == (2, 0.5, True)
    assert (settings.store, settings.home, settings.dataset_dir) == (
        "dynamodb",
        Path("shop"),
        Path("shop/completejourney"),
    )
    assert Settings.from_env({}) == Settings()


@pytest.mark.parametrize("value", ["2026-03-01T01:00:00+01:00", "2026-03-01T00:00:00Z"])
def test_a_moment_keeps_its_offset(value: str) -> None:
    settings = Settings.from_env({"FUSIONREC_CLOCK_STARTS_AT": value})
    assert settings.clock_starts_at == datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("FUSIONREC_ONNX_THREADS", "0", "whole number from 1 to 16"),
        ("FUSIONREC_ONNX_THREADS", "17", "whole number from 1 to 16"),
        ("FUSIONREC_ONNX_THREADS", "1.5", "whole number"),
        ("FUSIONREC_BUNDLE_CHECK_S", "-1", "number of at least 0"),
        ("FUSIONREC_ITEM_CHECK_S", "nan", "number of at least 0"),
        ("FUSIONREC_STORE", "redis", "one of local, dynamodb"),
        ("FUSIONREC_OPEN_ACCESS", "maybe", "true or false"),
        ("FUSIONREC_CLOCK_STARTS_AT", "2026-03-01T00:00:00", "with its offset"),  # whose midnight?
        ("FUSIONREC_CLOCK_STARTS_AT", "soon", "with its offset"),
    ],
)
def test_a_bad_value_is_refused_with_the_variable_named(name: str, value: str, told: str) -> None:
    with pytest.raises(BadInputError, match=f"{name}='{value}' is to be .*{told}") as refused:
        Settings.from_env({name: value})
    assert not refused.value.pointer  # or the command line would name the variable twice


def test_what_is_no_text_has_a_reader() -> None:
    assert {each.name for each in fields(Settings) if each.type != "str"} == set(_READERS)
