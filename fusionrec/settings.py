"""The environment, read once, as one frozen model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from fusionrec.errors import BadInputError


class Settings(BaseModel):
    """Every field is the variable FUSIONREC_<NAME>; `template.yaml` sets the same names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path = Field(Path("data"), description="folder of prepared data sets, local stores and bundles")
    dataset: str = Field("completejourney", description="the data set that local serving uses")
    store: Literal["local", "dynamodb"] = Field("local", description="where user features are read and written")
    table_prefix: str = Field("fusionrec", description="DynamoDB tables are <prefix>.<view>")
    bundle_uri: str = Field("", description="s3://bucket/prefix, or a folder; empty = <home>/<dataset>/bundles")
    item_uri: str = Field(
        "", description="s3://bucket/prefix of the item log, or a folder; empty = <home>/<dataset>/items"
    )
    event_queue_url: str = Field("", description="SQS FIFO queue of accepted events")
    dead_letter_queue_url: str = Field("", description="SQS FIFO queue of messages that were given up")
    event_stream: str = Field("", description="Firehose stream of the raw event log")
    slate_stream: str = Field("", description="Firehose stream of served slates")
    text_queue_url: str = Field("", description="SQS queue of texts to be scored")
    text_model: str = Field("", description="s3://bucket/prefix of a text model, or a folder; empty = the shipped one")
    onnx_threads: int = Field(1, ge=1, le=16, description="threads of one ranking")
    bundle_check_s: float = Field(60.0, ge=0, description="how often to ask whether another bundle was promoted")
    item_check_s: float = Field(2.0, ge=0, description="how often to ask whether items changed")
    clock_starts_at: AwareDatetime | None = Field(
        None, description="replay: what the time was when the process started, with its offset; unset = the true time"
    )
    open_access: bool = Field(False, description="local development only: requests need no identity")

    @property
    def dataset_dir(self) -> Path:
        return self.home / self.dataset

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Settings:
        """Raises BadInputError that names the variable."""
        env = os.environ if env is None else env
        names = cls.model_fields
        given = {name: env[f"FUSIONREC_{name.upper()}"] for name in names if f"FUSIONREC_{name.upper()}" in env}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            first = error.errors()[0]
            name = f"FUSIONREC_{str(first['loc'][0]).upper()}"
            raise BadInputError(f"{name}={first['input']!r}: {first['msg']}", pointer=name) from None
