"""The use case of PUT /v1/items/{itemId}: an item's new attributes into the log, from which every function reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from fusionrec.active_model import ActiveModel, Model
from fusionrec.catalogue_answers import item_metadata, scored_item
from fusionrec.contracts.items import ItemAttributes, UpsertedItem
from fusionrec.errors import BadInputError
from fusionrec.item_log import FIELDS, PRICE, TEXTS, Item, ItemLog, ItemUpdate, Value
from fusionrec.ports import Clock

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MAX_AHEAD: Final = timedelta(days=1)  # a shop's clock may be wrong by a time zone, not by more
N_ALIKE: Final = 5
_UNKNOWN: Final[Mapping[str, Value]] = {**dict.fromkeys(TEXTS, ""), "attributes": (), PRICE: 0}


@dataclass(frozen=True, slots=True)
class ItemWriter:
    log: ItemLog
    models: ActiveModel
    clock: Clock

    def put(self, item_id: str, given: ItemAttributes) -> tuple[UpsertedItem, bool]:
        """The item as it is afterwards, and whether nobody had told of it before. Sending it again changes nothing.

        raises: BadInputError, StoreUnavailableError (sending it again is safe), BundleError without a model
        """
        now = self.clock.now()
        if given.updated_at is not None and given.updated_at > now + MAX_AHEAD:
            ahead = f"{given.updated_at.isoformat()} lies more than a day ahead; it is {now.isoformat()} here"
            raise BadInputError(ahead, pointer="/updatedAt")
        before = self.models.current(items_at_once=True)
        if before.missing:  # there may be more to know of the item
            self.log.catch_up()
            before = self.models.current(items_at_once=True)
        known = bool(before.bundle.catalogue.index(item_id))
        update = ItemUpdate(item_id, _ms(given.updated_at or now), _fields(given), _ms(now))
        if not (given.updated_at and _is_settled(self.log.items.get(item_id, {}), update)):
            self.log.append(update)
        after = self.models.current(items_at_once=True)
        return _as_it_is(after, item_id, self.log.items.get(item_id, {})), not known


def _fields(given: ItemAttributes) -> dict[str, Value]:
    """The fields that were sent; null as the value of the unknown."""
    sent = given.model_fields_set & set(FIELDS)
    values = {name: getattr(given, name) for name in FIELDS if name in sent}
    return {name: _UNKNOWN[name] if value is None else value for name, value in values.items()}


def _is_settled(item: Item, update: ItemUpdate) -> bool:
    """Would the update change nothing, now or later? A newer value is there for each field, or the same one."""

    def settled(name: str, value: Value) -> bool:
        held = item.get(name)
        return held is not None and (
            held.updated_at > update.updated_at or (held.updated_at == update.updated_at and held.value == value)
        )

    return all(settled(name, value) for name, value in update.fields.items())


def _as_it_is(model: Model, item_id: str, item: Item) -> UpsertedItem:
    catalogue, n_items = model.bundle.catalogue, model.bundle.n_items
    index = catalogue.index(item_id)
    alike = model.fresh.neighbours(index) if index > n_items else ((), ())
    latest = max(stamped.updated_at for stamped in item.values())
    return UpsertedItem(
        item_id=item_id,
        metadata=item_metadata(catalogue, index),
        description=catalogue.text("description", index) or None,
        attributes=tuple(catalogue.texts("attributes", index)),
        available=catalogue.is_available(index),
        updated_at=EPOCH + timedelta(milliseconds=latest),
        in_model=index <= n_items,
        recommendable=catalogue.is_available(index) and (index <= n_items or bool(len(alike[0]))),
        like_items=tuple(
            scored_item(model.bundle, int(other), float(cosine)) for other, cosine in zip(*alike, strict=True)
        )[:N_ALIKE],
    )


def _ms(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(milliseconds=1)
