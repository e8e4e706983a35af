from datetime import datetime

import pytest

from fusionrec.adapters.clock import Countdown
from fusionrec.adapters.memory import FixedClock, MemoryFeatures
from fusionrec.errors import StoreUnavailableError
from fusionrec.feature_spec import FeatureView
from fusionrec.ports import Row
from tests.suites.feature_readers import SESSION, FeatureReaderSuite, NewestWinsSuite


class TestMemoryFeatures(FeatureReaderSuite, NewestWinsSuite):
    @pytest.fixture
    def features(self, clock: FixedClock) -> MemoryFeatures:
        return MemoryFeatures(clock)

    def put(self, features: MemoryFeatures, view: FeatureView, user_id: str, row: Row, event_at: datetime) -> None:
        features.put(view, user_id, row, int(event_at.timestamp() * 1000))

    def test_an_unreachable_view_is_named_and_refuses_writes(self, features: MemoryFeatures) -> None:
        features.unreachable.add("user_session")
        assert features.read("u1", Countdown(10)).missing == ("user_session",)
        with pytest.raises(StoreUnavailableError):
            features.write("u1", SESSION, 1)
