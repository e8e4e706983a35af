"""Orders and dropped files pass the same intake as the API's events."""

from __future__ import annotations

import csv

import pytest

from fusionrec.adapters.memory import FixedClock, MemoryFeatures, MemoryLog, MemorySink
from fusionrec.errors import BadInputError, DataError
from fusionrec.ingest import Ingester
from fusionrec.sources import ingest_drop, ingest_order, rejected_csv
from tests.suites.serving import NOW, active_model

ORDER = {
    "orderId": "o1", "userId": "u", "placedAt": NOW.isoformat(),
    "lines": [{"itemId": "item-01", "quantity": 2}, {"itemId": "gone"}, {"itemId": "item-02"}],
}  # fmt: skip
HEADER = "userId,sessionId,eventId,eventType,itemId,eventValue,sentAt,impression,text\n"
AT = NOW.isoformat()


@pytest.fixture(scope="module")
def model(toy_bundle):
    return active_model(toy_bundle)


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def ingester(sink, log, model) -> Ingester:
    clock = FixedClock(NOW)
    return Ingester(sink, log, MemoryFeatures(clock), model, clock)


def test_an_order_is_a_purchase_of_each_line(ingester, sink) -> None:
    answer = ingest_order(ingester, ORDER)
    assert (answer.accepted, [(row.index, row.code) for row in answer.rejected]) == (2, [(1, "unknown-item")])
    assert [(e.event_id, e.item_id, e.event_value, e.event_type) for e in sink.taken] == [
        ("order:o1:1", "item-01", 2.0, "purchase"), ("order:o1:3", "item-02", 1.0, "purchase"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "pointer"),
    [({"lines": []}, "/lines"), ({"userId": None}, "/userId"), ({"lines": [{"quantity": 1}]}, "/lines/0/itemId"),
     ({"placedAt": "yesterday"}, "/placedAt"), ({"colour": "red"}, "/colour")],
)  # fmt: skip
def test_a_bad_order_names_its_field(ingester, change, pointer) -> None:
    with pytest.raises(BadInputError) as caught:
        ingest_order(ingester, {**ORDER, **change})
    assert caught.value.pointer == pointer


def test_each_row_of_a_file_is_judged_alone(ingester, sink, log) -> None:
    lines = [
        HEADER,
        f"u,s,e1,view,item-01,,{AT},,\n",
        f'u,s,e2,rating,item-02,4.5,{AT},,"good, but\n',
        'late"\n',
        f"u,s,e3,view,gone,,{AT},,\n",
        f"u,s,e4,view,item-01,many,{AT},,\n",
        f",v,e5,view,item-03,,{AT},,\n",
        f"w,,e6,impression,,,{AT},item-01|item-02,\n",
        f",,e7,view,item-01,,{AT},,\n",
        f"u,s,e1,view,item-01,,{AT},,\n",
        f"u,s,e8,view,item-01,,{AT},,,more\n",
    ]
    report = ingest_drop(ingester, lines)
    assert (report.n_accepted, report.n_duplicates) == (5, 0)  # e1 again: another call, which its features will absorb
    assert [(line, code) for line, code, _ in report.rejected] == [
        (5, "unknown-item"), (6, "invalid"), (9, "invalid"), (11, "invalid"),
    ]  # fmt: skip
    assert "'many'" in report.rejected[1][2]
    assert [event.user_id for event in log.events] == ["u", "u", "session:v", "w", "u"]
    assert log.events[1].text == "good, but\nlate"
    assert log.events[3].impression == ("item-01", "item-02")
    written = list(csv.reader(rejected_csv(report)))
    assert written[0] == ["line", "code", "detail"]
    assert written[1][:2] == ["5", "unknown-item"]


def test_a_long_file_goes_in_calls_of_a_hundred(ingester, sink, monkeypatch) -> None:
    sizes = []
    ingest = Ingester.ingest
    monkeypatch.setattr(
        Ingester, "ingest", lambda self, request: (sizes.append(len(request.event_list)), ingest(self, request))[1]
    )
    rows = (f"u{n // 250},s,e{n},view,item-01,,{AT},,\n" for n in range(500))
    assert ingest_drop(ingester, [HEADER, *rows]).n_accepted == 500
    assert sizes == [100, 100, 50] * 2


@pytest.mark.parametrize(
    ("header", "pointer"),
    [("userId,eventId,eventType,sentAt,colour\n", "colour"), ("userId,eventId,eventType\n", "sentAt"),
     ("eventId,eventType,sentAt\n", "userId"), ("", "eventId")],
)  # fmt: skip
def test_a_header_that_does_not_fit_is_refused(ingester, sink, header, pointer) -> None:
    with pytest.raises(DataError) as caught:
        ingest_drop(ingester, [header, "x\n"] if header else [])
    assert caught.value.pointer == pointer
    assert sink.taken == []
