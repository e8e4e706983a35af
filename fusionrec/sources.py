"""Events that other systems bring: an order that was placed, a CSV file that was dropped; judged by the same intake."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Annotated, Any, Final

from pydantic import Field, StringConstraints, ValidationError

from fusionrec.contracts.base import ItemId, Request, SentAt, SessionId, UserId
from fusionrec.contracts.events import Event, EventsAnswer, EventsRequest
from fusionrec.contracts.problems import field_problem
from fusionrec.errors import BadInputError, DataError
from fusionrec.ingest import Ingester

A_CALL: Final = 100  # events that EventsRequest takes
MANY: Final = "|"  # between the items of an impression in one cell
OWNERS: Final = ("userId", "sessionId")
COLUMNS: Final = (*OWNERS, *(f.alias or name for name, f in Event.model_fields.items() if name != "properties"))
NEEDED: Final = ("eventId", "eventType", "sentAt")

Owner = tuple[str, str]  # user and session, as the cells say
Numbered = tuple[int, dict[str, Any]]  # line of the file, row


class OrderLine(Request):
    item_id: ItemId
    quantity: Annotated[float, Field(strict=True, gt=0, le=1e9, allow_inf_nan=False)] = 1.0


class OrderPlaced(Request):
    """The detail of an EventBridge event `OrderPlaced`. An order that is told twice counts once."""

    order_id: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    user_id: UserId
    session_id: SessionId | None = Field(None, description="the visit in which it was placed, when it is known")
    placed_at: SentAt
    lines: tuple[OrderLine, ...] = Field(min_length=1, max_length=A_CALL)


def ingest_order(ingester: Ingester, detail: Any) -> EventsAnswer:
    """A purchase for each line. Raises BadInputError, naming the field, and what `Ingester.ingest` raises."""
    try:
        order = OrderPlaced.model_validate(detail)
    except ValidationError as error:
        first = field_problem(error.errors(include_url=False)[0])
        raise BadInputError(f"not an order: {first.pointer}: {first.detail}", pointer=first.pointer) from None
    events = [
        {
            "eventId": f"order:{order.order_id}:{number}",
            "eventType": "purchase",
            "itemId": line.item_id,
            "eventValue": line.quantity,
            "sentAt": order.placed_at,
            "properties": {"orderId": order.order_id},
        }
        for number, line in enumerate(order.lines, start=1)
    ]
    session_id = order.session_id or f"order:{order.order_id}"
    request = {"userId": order.user_id, "sessionId": session_id, "eventList": events}
    return ingester.ingest(EventsRequest.model_validate(request))


@dataclass(slots=True)
class DropReport:
    """What became of a dropped file; `rejected` holds line, code and detail."""

    n_accepted: int = 0
    n_duplicates: int = 0
    rejected: list[tuple[int, str, str]] = field(default_factory=list)


def ingest_drop(ingester: Ingester, lines: Iterable[str]) -> DropReport:
    """A CSV with a header of the API's names (`COLUMNS`); empty cells are left out; each row is judged alone.

    A row without sessionId is a visit of its own user. An impression holds its items between `|`.

    raises: DataError for a header that does not fit, and what `Ingester.ingest` raises; dropping the file again is safe
    """
    rows = csv.DictReader(lines)
    _check_header(rows.fieldnames or [])
    report = DropReport()
    for (user_id, session_id), found in _calls(_numbered(rows)):
        try:
            request = EventsRequest.model_validate(_owner(user_id, session_id) | {"eventList": [e for _, e in found]})
        except ValidationError as error:
            told = field_problem(error.errors(include_url=False)[0])
            report.rejected += [(line, "invalid", f"{told.pointer}: {told.detail}") for line, _ in found]
            continue
        answer = ingester.ingest(request)
        report.n_accepted += answer.accepted
        report.n_duplicates += answer.duplicates
        report.rejected += [(found[row.index][0], row.code, row.detail) for row in answer.rejected]
    report.rejected.sort()
    return report


def _check_header(names: Iterable[str]) -> None:
    given = list(names)
    unknown = [name for name in given if name not in COLUMNS]
    if unknown:
        raise DataError(f"no such column; there are {', '.join(COLUMNS)}", pointer=unknown[0])
    missing = [name for name in NEEDED if name not in given] or ([] if {*OWNERS} & {*given} else [OWNERS[0]])
    if missing:
        raise DataError("the file lacks this column", pointer=missing[0])


def _numbered(rows: csv.DictReader[str]) -> Iterator[Numbered]:
    try:
        for row in rows:
            yield rows.line_num, row
    except csv.Error as error:
        raise DataError(f"is no CSV ({error})", pointer=f"line {rows.line_num}") from None


def _calls(rows: Iterator[Numbered]) -> Iterator[tuple[Owner, list[Numbered]]]:
    """Neighbouring rows of one owner together, as many as a call takes."""
    owner: Owner | None = None
    held: list[Numbered] = []
    for line, row in rows:
        whose = (row.pop("userId", "") or "", row.pop("sessionId", "") or "")
        if held and (whose != owner or len(held) == A_CALL):
            yield owner or ("", ""), held
            held = []
        owner = whose
        held.append((line, _event(row)))
    if held:
        yield owner or ("", ""), held


def _owner(user_id: str, session_id: str) -> dict[str, str]:
    named = {"userId": user_id} if user_id else {}
    return named | {"sessionId": session_id or (f"drop:{user_id}" if user_id else "")}


def _event(row: dict[Any, Any]) -> dict[str, Any]:
    """Cells as the wire model wants them; what is no number stays text, for the model to refuse by name."""
    event = {name: cell for name, cell in row.items() if name is not None and cell}
    if None in row:  # more cells than the header has names
        event["cells beyond the header"] = MANY.join(row[None])
    if "impression" in event:
        event["impression"] = event["impression"].split(MANY)
    with suppress(ValueError):
        event["eventValue"] = float(event.get("eventValue", 1.0))
    return event


def rejected_csv(report: DropReport) -> Iterator[str]:
    """Lines of a CSV: line, code, detail."""
    cells = chain([("line", "code", "detail")], islice(report.rejected, 100_000))
    return (",".join('"' + str(cell).replace('"', '""') + '"' for cell in row) + "\n" for row in cells)
