"""Feast's online rows without the Feast SDK: its own protobufs and key encoding, our feature spec for the types.

`import feast` costs seconds and half a gigabyte; these few modules of the same package cost milliseconds. In a
function only they are installed (infra/lean_feast.txt); beside the full SDK they are loaded past its `__init__`.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from types import ModuleType
from typing import Any, Final, NamedTuple

import mmh3

from fusionrec.feature_spec import DType, FeatureView, Value
from fusionrec.ports import Row, default_row

KEY_VERSION: Final = 3  # entity_key_serialization_version of feature_store.yaml
_MODULES: Final = (
    "feast.protos.feast.types.Value_pb2",
    "feast.protos.feast.types.EntityKey_pb2",
    "feast.infra.key_encoding_utils",
)


class _Feast(NamedTuple):
    values: Any
    keys: Any
    encoding: Any


def _load() -> _Feast:
    if "feast" in sys.modules:
        return _Feast(*(importlib.import_module(name) for name in _MODULES))
    spec = importlib.util.find_spec("feast")
    if spec is None or spec.submodule_search_locations is None:
        raise ImportError("feast's protobuf modules are not installed; see infra/lean_feast.txt")
    package = ModuleType("feast")
    package.__path__ = list(spec.submodule_search_locations)
    before = set(sys.modules)
    sys.modules["feast"] = package
    try:
        return _Feast(*(importlib.import_module(name) for name in _MODULES))
    finally:
        # The stand-in goes, and its packages with it, so that a later `import feast` gets the real ones.
        for name in set(sys.modules) - before:
            if name.split(".")[0] == "feast" and name not in _MODULES[:2]:
                del sys.modules[name]


_feast: Final = _load()

_FIELDS: Final[dict[DType, str]] = {
    "int64": "int64_val",
    "float32": "float_val",
    "string": "string_val",
    "int64_list": "int64_list_val",
    "float32_list": "float_list_val",
    "string_list": "string_list_val",
}


def entity_key(view: FeatureView, key: str) -> Any:
    """Feast's protobuf of an entity's key."""
    return _feast.keys.EntityKey(join_keys=[view.join_key], entity_values=[_feast.values.Value(string_val=key)])


def entity_id(view: FeatureView, key: str) -> str:
    """The partition key of an entity's row in Feast's DynamoDB tables."""
    encoded = _feast.encoding.serialize_entity_key(entity_key(view, key), entity_key_serialization_version=KEY_VERSION)
    return mmh3.hash_bytes(encoded).hex()


def encode_proto(dtype: DType, value: Value) -> Any:
    """A plain value as Feast's Value."""
    proto = _feast.values.Value()
    if dtype.endswith("_list"):
        getattr(proto, _FIELDS[dtype]).val.extend(value)  # extending by nothing, too, makes it a value that is there
    else:
        setattr(proto, _FIELDS[dtype], value)
    return proto


def encode_value(dtype: DType, value: Value) -> bytes:
    encoded: bytes = encode_proto(dtype, value).SerializeToString()
    return encoded


def decode_proto(proto: Any, default: Value) -> Value:
    """A Feast Value as plain Python; the default where it holds null."""
    name = proto.WhichOneof("val")
    if name is None or name == "null_val":
        return default
    value = getattr(proto, name)
    if name.endswith("_list_val"):
        return list(value.val)
    plain: Value = value
    return plain


def encode_protos(view: FeatureView, row: Row) -> dict[str, Any]:
    """Raises KeyError for a row that lacks a feature: a partial row would overwrite a whole one."""
    return {feature.name: encode_proto(feature.dtype, row[feature.name]) for feature in view.features}


def encode_row(view: FeatureView, row: Row) -> dict[str, bytes]:
    """Raises as `encode_protos` does."""
    return {name: proto.SerializeToString() for name, proto in encode_protos(view, row).items()}


def decode_protos(view: FeatureView, values: Mapping[str, Any]) -> Row:
    """Features that the stored row lacks, from before they were added, get their defaults."""
    row = dict(default_row(view))
    for feature in view.features:
        if feature.name in values:
            row[feature.name] = decode_proto(values[feature.name], feature.default)
    return row


def decode_row(view: FeatureView, values: Mapping[str, bytes]) -> Row:
    """As `decode_protos`."""
    parse = _feast.values.Value.FromString
    return decode_protos(view, {name: parse(value) for name, value in values.items()})


def event_timestamp(event_at: int) -> str:
    """Feast's text of a row's time (ms since 1970 UTC); texts order as the times do."""
    return str(datetime.fromtimestamp(event_at / 1000, UTC))


def parse_event_timestamp(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)
