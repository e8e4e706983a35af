"""The description of the whole API, merged from the handlers; as a program, writes it to the path it is given."""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

from aws_lambda_powertools.event_handler.openapi.merge import OpenAPIMerge

from functions.events.app import app as events
from functions.items.app import app as items
from functions.recommend.app import app as recommend
from functions.users.app import app as users
from fusionrec import __version__
from fusionrec.contracts.problems import MEDIA_TYPE, Problem

ABOUT = "Recommendations for online shops. Errors are problem details (RFC 9457); `code` is stable."


@cache
def document() -> str:
    """OpenAPI 3.1 as JSON text, the same for the same code."""
    merge = OpenAPIMerge(title="fusionrec", version=__version__, description=ABOUT, on_conflict="error")
    for app in (recommend, items, users, events):
        merge.add_schema(json.loads(app.get_openapi_json_schema()))
    merged = merge.get_openapi_schema()
    schemas = merged["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):  # Powertools' own error bodies, which we never send
        schemas.pop(name, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs"))
    schemas["Problem"] = problem
    for operations in merged["paths"].values():
        for operation in operations.values():
            _describe_errors(operation)
    return json.dumps(merged, indent=2, sort_keys=True) + "\n"


def _describe_errors(operation: dict[str, Any]) -> None:
    operation["responses"].pop("422", None)
    operation["responses"]["default"] = {
        "description": "What went wrong, for people and, by `code`, for programs",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(document())
