"""The description of the whole API, merged from the handlers; as a program, writes it to the path it is given."""

from __future__ import annotations

import json
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

from aws_lambda_powertools.event_handler.openapi.merge import OpenAPIMerge

from functions.catalogue.app import app as catalogue
from functions.events.app import app as events
from functions.items.app import app as items
from functions.recommend.app import app as recommend
from functions.users.app import app as users
from fusionrec import __version__
from fusionrec.contracts.base import to_camel
from fusionrec.contracts.problems import MEDIA_TYPE, Problem

POWERTOOLS_ERRORS = ("HTTPValidationError", "ValidationError", "ResponseValidationError")  # bodies we never send
ABOUT = "Recommendations for online shops. Errors are problem details (RFC 9457); `code` is stable."


@cache
def document() -> str:
    """OpenAPI 3.1 as JSON text, the same for the same code."""
    merge = OpenAPIMerge(title="fusionrec", version=__version__, description=ABOUT, on_conflict="error")
    for app in (recommend, items, catalogue, users, events):
        merge.add_schema(json.loads(app.get_openapi_json_schema()))
    merged = merge.get_openapi_schema()
    schemas = merged["components"]["schemas"]
    for name in POWERTOOLS_ERRORS:
        schemas.pop(name, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs"))
    schemas["Problem"] = problem
    merged["paths"] = {_camel_path(path): operations for path, operations in merged["paths"].items()}
    for operations in merged["paths"].values():
        for operation in operations.values():
            _describe(operation)
    described = {
        **merged,
        "components": _without_titles(merged["components"]),
        "paths": _without_titles(merged["paths"]),
    }
    return json.dumps(described, indent=2, sort_keys=True) + "\n"


def _camel_path(path: str) -> str:
    """`/v1/items/{item_id}/similar` → `/v1/items/{itemId}/similar`."""
    return re.sub(r"\{(\w+)\}", lambda found: "{" + to_camel(found[1]) + "}", path)


def _without_titles(schema: Any) -> Any:
    """Pydantic titles each field with its own name again."""
    if isinstance(schema, dict):
        return {
            name: _without_titles(value)
            for name, value in schema.items()
            if not (name == "title" and isinstance(value, str))
        }
    return [_without_titles(value) for value in schema] if isinstance(schema, list) else schema


def _describe(operation: dict[str, Any]) -> None:
    """Names as on the wire, and errors as problems."""
    operation["operationId"] = operation["operationId"].partition("_v1_")[0].partition("_health_")[0]
    for parameter in operation.get("parameters", ()):
        parameter["name"] = to_camel(parameter["name"])
    operation["responses"].pop("422", None)
    operation["responses"]["default"] = {
        "description": "What went wrong, for people and, by `code`, for programs",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(document())
