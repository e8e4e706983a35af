from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fusionrec.errors import BadInputError
from fusionrec.settings import Settings


def test_variables_become_typed_fields_and_others_are_not_read() -> None:
    settings = Settings.from_env(
        {"FUSIONREC_ONNX_THREADS": "2", "FUSIONREC_CLOCK_STARTS_AT": "2026-03-01T01:00:00+01:00", "HOME": "/"}
    )
    assert settings.onnx_threads == 2
    assert settings.clock_starts_at == datetime(2026, 3, 1, tzinfo=UTC)
    assert Settings.from_env({}) == Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FUSIONREC_ONNX_THREADS", "0"),
        ("FUSIONREC_STORE", "redis"),
        ("FUSIONREC_CLOCK_STARTS_AT", "2026-03-01T00:00:00"),  # whose midnight?
    ],
)
def test_a_bad_value_is_refused_with_the_variable_named(name: str, value: str) -> None:
    with pytest.raises(BadInputError, match=value) as refused:
        Settings.from_env({name: value})
    assert refused.value.pointer == name
