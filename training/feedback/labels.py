"""Feedback as labels: one row for each item that was shown or acted on, joined to the slate that was served.

label    the weights of what was done with it, added up and cut at `max_label`; a removal counts against it. 0 for an
         item that was on display and not touched: the implicit "no".
position where it stood, from 0; null when it is not known (an act that no slate led to)
exposure how likely it was examined there: (1 / (1 + position)) ** eta, 1 without a position. Relevance estimated from
         clicks is unbiased when each counts 1 / exposure.
         source: Joachims, Swaminathan & Schnabel 2017, "Unbiased Learning-to-Rank with Biased Feedback", WSDM,
         arXiv:1608.04468, eq. 5 (propensity-weighted risk) and sec. 6.1 (this form of the examination propensity)
weight   1 / exposure, cut at `max_weight` (clipping trades a little bias for much variance; ibid.), for rows with a
         positive label; 1 for others, which are no evidence of examination
propensity the logged chance that the policy chose this item for this place; 1 when nothing was drawn at random

eta is estimated from the log where there is enough of it (`estimate_eta`), else the configured value is taken.

What was rendered is what the client reports: an `impression` event, or the field impression of an act. A slate that no
client reported as seen gives rows for what was acted on only; items below the fold are not taken for refused ones.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from fusionrec.ports import IMPRESSION
from training.feedback.exposure import Exposure, exposure_of
from training.feedback.log import Gathered, Log, Report, Window, gather, records

GAP_MS: Final = 30 * 60_000  # a longer silence is no dwelling; as in data/sessions.py


@dataclass(frozen=True, slots=True)
class LabelConfig:
    """How much each act says. A rating counts from its middle: five stars for, one against."""

    view: float = 0.1
    click: float = 0.2
    cart: float = 0.6
    purchase: float = 1.0
    removal: float = -1.0
    rating: float = 0.25  # a star above or below three
    dwell: float = 0.2  # half a minute or more on the page of an item; less counts in proportion
    dwell_full_s: float = 30.0
    max_label: float = 2.0
    eta: float = 1.0  # strength of the position bias when it cannot be estimated
    max_weight: float = 10.0
    min_touches: int = 200  # of items seen at several places, for eta to be estimated
    attribution_hours: float = 24.0  # a later act on the same item still belongs to the slate that led to it


@dataclass(frozen=True, slots=True)
class Labelled:
    n_rows: int
    n_untouched: int  # rows of items that were on display and not touched
    exposure: Exposure
    gathered: Gathered


SLATES: Final = pa.schema(
    [
        ("recommendation_id", pa.string()),
        ("served_at", pa.int64()),
        ("model_version", pa.string()),
        ("scenario", pa.string()),
        ("item_ids", pa.list_(pa.string())),
        ("scores", pa.list_(pa.float64())),
        ("propensities", pa.list_(pa.float64())),
    ]
)

# One event counts once, however often it was logged; an anonymous one is that of the first who logged in within its
# session. Dwelling is the time to the same session's next event, or what the client measured (properties.dwellMs).
_EVENTS: Final = """
create table events as select * from (
  select *, row_number() over (partition by user_id, event_id order by sent_at, received_at) as copy
  from read_parquet($parts)
) where copy = 1;
create table persons as
  select session_id, min_by(user_id, sent_at) as person from events
  where not starts_with(user_id, 'session:') group by session_id;
create table told as
  select coalesce(case when starts_with(events.user_id, 'session:') then persons.person end, events.user_id) as user_id,
    events.session_id, item_id, event_type, sent_at, event_value, recommendation_id, impression, event_id,
    coalesce(try_cast(properties['dwellMs'] as double),
      lead(sent_at) over (partition by events.session_id order by sent_at, event_id) - sent_at) as dwell_ms
  from events left join persons using (session_id);
create table acts as
  select * exclude (led_by, led_at) replace (
    case when recommendation_id = '' and event_type <> $impression and sent_at - led_at <= $attribution
      then led_by else recommendation_id end as recommendation_id)
  from (select *,
      last_value(nullif(recommendation_id, '') ignore nulls) over earlier as led_by,
      last_value(case when recommendation_id <> '' then sent_at end ignore nulls) over earlier as led_at
    from told
    window earlier as (partition by user_id, item_id order by sent_at, event_id
      rows between unbounded preceding and current row));
"""

_NO_EVENTS: Final = """
create table acts (user_id varchar, session_id varchar, item_id varchar, event_type varchar, sent_at bigint,
  event_value double, recommendation_id varchar, impression varchar[], event_id varchar, dwell_ms double);
"""

# Places: of the impression that names the item, else of the slate that was served.
_SHOWN: Final = """
create table displays as
  select user_id, session_id, recommendation_id, sent_at, event_id, item_id as acted_on,
    unnest(impression) as item_id, generate_subscripts(impression, 1) - 1 as position
  from acts where len(impression) > 0;
create table slate_items as
  select recommendation_id, served_at, model_version, scenario, unnest(item_ids) as item_id,
    generate_subscripts(item_ids, 1) - 1 as position, unnest(scores) as score, unnest(propensities) as propensity
  from slates;
create table shown as
  select user_id, case when recommendation_id = '' then 'display:' || event_id else recommendation_id end as slate,
    any_value(session_id) as session_id, recommendation_id, item_id, min(position) as position, min(sent_at) as shown_at
  from displays group by 1, 2, recommendation_id, item_id;
"""

_DONE: Final = """
create table done as
  select user_id, session_id, item_id, min(sent_at) as acted_at,
    case when recommendation_id <> '' then recommendation_id
         when len(impression) > 0 then 'display:' || event_id else '' end as slate, recommendation_id,
    sum(case event_type when 'view' then $view when 'click' then $click when 'cart' then $cart
      when 'purchase' then $purchase when 'removal' then $removal
      when 'rating' then $rating * (event_value - 3) else 0 end) as label,
    sum(case when event_type in ('view', 'click') and dwell_ms between 0 and $gap
      then $dwell * least(dwell_ms / 1000 / $full, 1) else 0 end) as dwell_label,
    sum(case when event_type in ('view', 'click') and dwell_ms between 0 and $gap then dwell_ms / 1000 end) as dwell_s,
    list(distinct event_type order by event_type) as event_types
  from acts where event_type <> $impression group by all;
"""

_LABELS: Final = """
create table labels as
  select coalesce(done.user_id, shown.user_id) as user_id, coalesce(done.session_id, shown.session_id) as session_id,
    coalesce(done.item_id, shown.item_id) as item_id,
    nullif(coalesce(done.recommendation_id, shown.recommendation_id), '') as recommendation_id,
    make_timestamp(coalesce(shown.shown_at, slate_items.served_at, done.acted_at) * 1000) as shown_at,
    make_timestamp(done.acted_at * 1000) as acted_at, coalesce(done.event_types, []) as event_types,
    greatest(least(coalesce(done.label + done.dwell_label, 0), $max_label), -$max_label) as label, done.dwell_s,
    coalesce(shown.position, slate_items.position) as position, shown.item_id is not null as was_rendered,
    slate_items.score, coalesce(slate_items.propensity, 1.0) as propensity, slate_items.model_version,
    slate_items.scenario
  from done full join shown
    on done.user_id = shown.user_id and done.item_id = shown.item_id and done.slate = shown.slate and done.slate <> ''
  left join slate_items
    on slate_items.recommendation_id = coalesce(done.recommendation_id, shown.recommendation_id)
    and slate_items.item_id = coalesce(done.item_id, shown.item_id);
"""


def make_labels(
    events: Log, slates: Log, window: Window, config: LabelConfig, folder: Path, report: Report
) -> Labelled:
    """Write `<folder>/labels.parquet` and `labels.json`, what they were made of. Raises DataError."""
    scratch = folder / ".gathered"
    gathered = gather(events, window, scratch, report)
    served = _served(slates, window)
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.register("slates", served)
        parts = "[" + ", ".join("'" + str(part).replace("'", "''") + "'" for part in gathered.parts) + "]"
        report("labels", 0, 2)
        values = asdict(config) | {"gap": GAP_MS, "full": config.dwell_full_s, "impression": f"'{IMPRESSION}'"}
        values |= {"attribution": round(config.attribution_hours * 3_600_000), "parts": parts}
        for statement in (_EVENTS if gathered.parts else _NO_EVENTS, _SHOWN, _DONE, _LABELS):
            connection.execute(_filled(statement, values))
        report("labels", 1, 2)
        columns = "user_id, shown_at, recommendation_id, position, item_id"
        table = connection.sql(f"select * from labels order by {columns}").to_arrow_table()  # noqa: S608
    table, exposure = exposure_of(table, config.eta, config.max_weight, config.min_touches)
    _write(table, folder, {"config": asdict(config), "exposure": asdict(exposure), "n_rows": len(table)})
    report("labels", 2, 2)
    n_untouched = table["acted_at"].null_count
    shutil.rmtree(scratch)
    return Labelled(len(table), n_untouched, exposure, gathered)


def _served(log: Log, window: Window) -> pa.Table:
    """Slates of the window and of the two days before it, which may have been seen in it."""
    rows = []
    start = window.start - timedelta(days=2) if window.start else None
    for file in log.files(Window(start, window.end)) if log.exists() else ():
        for _, slate in records(log.read(file)):
            if isinstance(slate, dict) and "recommendation_id" in slate:
                request = slate.get("request") or {}
                rows.append({**{name: slate.get(name) for name in SLATES.names}, "scenario": request.get("scenario")})
    return pa.Table.from_pylist(rows, schema=SLATES)


def _filled(statement: str, values: dict[str, Any]) -> str:
    for name in sorted(values, key=len, reverse=True):
        statement = statement.replace(f"${name}", str(values[name]))
    return statement


def _write(table: pa.Table, folder: Path, about: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / "labels.parquet.tmp"
    pq.write_table(table, unfinished, compression="zstd")
    unfinished.replace(folder / "labels.parquet")
    text = folder / "labels.json.tmp"
    text.write_text(json.dumps(about, indent=2) + "\n")
    text.replace(folder / "labels.json")
