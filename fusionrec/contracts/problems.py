"""Errors on the wire: RFC 9457 problem details, `application/problem+json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from pydantic import Field

from fusionrec.contracts.base import Answer, to_camel
from fusionrec.contracts.recommendations import PLANNED_FIELDS

OBJECT_WANTED: Final = "Input should be a JSON object"
MEDIA_TYPE: Final = "application/problem+json"


class FieldProblem(Answer):
    pointer: str = Field(description="JSON pointer into the body, or `?name` for a query parameter")
    detail: str


class Problem(Answer):
    type: str = Field(description="about:blank, or a URI of this kind of problem")
    title: str
    status: int
    detail: str
    instance: str = Field(description="the path that was asked for")
    code: str = Field(description="stable, for programs")
    request_id: str
    errors: tuple[FieldProblem, ...] = ()


def problem(status: int, code: str, detail: str, *, instance: str = "", request_id: str = "",
            errors: Sequence[FieldProblem] = ()) -> Problem:  # fmt: skip
    return Problem(
        type="about:blank",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=instance,
        code=code,
        request_id=request_id,
        errors=tuple(errors),
    )


def field_problem(error: Mapping[str, Any]) -> FieldProblem:
    """One row from one pydantic error; the location starts with body, query or path where a resolver added it."""
    where, *path = [*error["loc"]] or [""]
    if where == "query":
        pointer = "?" + "/".join(map(str, path))
    else:
        if where == "path":  # our functions' arguments; the caller knows the path's own names
            path = [to_camel(str(part)) for part in path]
        path = path if where in ("body", "path") else [where, *path] if where else []
        pointer = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
    return FieldProblem(pointer=pointer, detail=_detail(error))


def _detail(error: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        if str(error["loc"][-1]) in PLANNED_FIELDS:
            return "not supported yet; leave it out"
        return "unknown field; remove it or correct its name"
    if error["type"] in ("model_type", "model_attributes_type"):
        return OBJECT_WANTED  # pydantic's own words name the class
    if error["type"] == "missing" and tuple(error["loc"]) == ("body",):
        return OBJECT_WANTED  # there is no body, or it is null
    text = str(error["msg"])
    value = error.get("input")
    if error["type"] != "missing" and isinstance(value, str | int | float | bool):
        shown = repr(value)
        return f"{text}; got {shown if len(shown) <= 60 else shown[:57] + '...'}"
    return text
