"""The environment, read once, as one frozen value.

Read without pydantic, which the queue's consumer needs for nothing else: it was three fifths of its imports.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from fusionrec.errors import BadInputError

N = TypeVar("N", int, float)

_FLAGS: Final = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}


def _one_of(*names: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in names:
            raise ValueError(f"is to be one of {', '.join(names)}")
        return text

    return read


def _number(kind: Callable[[str], N], low: N, high: N | None = None) -> Callable[[str], N]:
    bounds = f"of at least {low}" if high is None else f"from {low} to {high}"
    wanted = f"is to be a {'whole ' if kind is int else ''}number {bounds}"

    def read(text: str) -> N:
        try:
            value = kind(text)
        except ValueError:
            raise ValueError(wanted) from None
        if not (low <= value and (high is None or value <= high)):  # so that nan is refused
            raise ValueError(wanted)
        return value

    return read


def _moment(text: str) -> datetime:
    with suppress(ValueError):
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment
    raise ValueError("is to be a moment with its offset, such as 2026-03-01T00:00:00Z")


def _flag(text: str) -> bool:
    if text.lower() not in _FLAGS:
        raise ValueError("is to be true or false")
    return _FLAGS[text.lower()]


# How the text of a variable becomes a value; where none is named, it is the value.
_READERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "home": Path,
    "store": _one_of("local", "dynamodb"),
    "onnx_threads": _number(int, 1, 16),
    "bundle_check_s": _number(float, 0.0),
    "item_check_s": _number(float, 0.0),
    "clock_starts_at": _moment,
    "open_access": _flag,
}


@dataclass(frozen=True, slots=True)
class Settings:
    """Every field is the variable FUSIONREC_<NAME>; `template.yaml` sets the same names."""

    home: Path = Path("data")  # folder of prepared data sets, local stores and bundles
    dataset: str = "completejourney"  # that local serving uses
    store: Literal["local", "dynamodb"] = "local"  # of user features
    table_prefix: str = "fusionrec"  # DynamoDB tables are <prefix>.<view>
    bundle_uri: str = ""  # s3://bucket/prefix, or a folder; empty = <home>/<dataset>/bundles
    item_uri: str = ""  # of the item log: s3://bucket/prefix, or a folder; empty = <home>/<dataset>/items
    event_queue_url: str = ""  # SQS FIFO queue of accepted events
    dead_letter_queue_url: str = ""  # SQS FIFO queue of messages that were given up
    event_stream: str = ""  # Firehose stream of the raw event log
    slate_stream: str = ""  # Firehose stream of served slates
    text_queue_url: str = ""  # SQS queue of texts to be scored
    text_model: str = ""  # s3://bucket/prefix of a text model, or a folder; empty = the shipped one
    onnx_threads: int = 1  # of one ranking
    bundle_check_s: float = 60.0  # how often to ask if another bundle was promoted
    item_check_s: float = 2.0  # how often to ask if items changed
    clock_starts_at: datetime | None = None  # replay: the process's start; unset = the true time
    open_access: bool = False  # local development only: requests need no identity

    @property
    def dataset_dir(self) -> Path:
        return self.home / self.dataset

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Settings:
        """Raises BadInputError that names the variable."""
        env = os.environ if env is None else env
        given = {}
        for each in fields(cls):
            name = variable(each.name)
            if name in env:
                try:
                    given[each.name] = _READERS.get(each.name, str)(env[name])
                except ValueError as error:
                    raise BadInputError(f"{name}={env[name]!r} {error}") from None  # a log shows no pointer
        return cls(**given)


def variable(name: str) -> str:
    """The variable of a field."""
    return f"FUSIONREC_{name.upper()}"
