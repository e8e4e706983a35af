"""Keeps a bundle's items up to date with the item log, without a deployment and without a restart."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import Final

from fusionrec.bundle.catalogue import Catalogue
from fusionrec.bundle.live import LiveCatalogue
from fusionrec.bundle.loader import Bundle
from fusionrec.errors import StoreUnavailableError
from fusionrec.fresh import Fresh
from fusionrec.item_log import STORE, ItemLog
from fusionrec.observability import logger

RETRY_S: Final = 30.0  # after the log did not answer: each try costs a request its timeout


@dataclass(frozen=True, slots=True)
class Items:
    """A bundle with the updates laid over it, the new items' places, and what is missing of them."""

    bundle: Bundle
    fresh: Fresh
    missing: tuple[str, ...] = ()


class LiveItems:
    """Polls the log at most every `check_every_s`; hands out the same value until something changed."""

    def __init__(self, log: ItemLog, check_every_s: float) -> None:
        self.log, self._check_every_s = log, check_every_s
        self._due_at = 0.0
        self._base: Bundle | None = None
        self._items: Items | None = None
        self._lock = threading.RLock()

    @property
    def is_due(self) -> bool:
        return time.monotonic() >= self._due_at

    def of(self, base: Bundle, *, at_once: bool = False) -> Items:
        """This bundle's items as of the last poll. at_once: poll, whether it is time or not."""
        with self._lock:
            items, changed = self._items, set[str]()
            if items is None or self._base is not base:
                items, changed = self._begin(base), set(self.log.items)
            if at_once or self.is_due:
                items = replace(items, missing=self._poll())
            changed |= self.log.changes()
            if changed:
                items = self._laid_over(base, items, changed)
            self._base, self._items = base, items
            return items

    def _begin(self, base: Bundle) -> Items:
        """Another bundle: what it holds already is dropped, what it lacks is read again."""
        self.log.rebase(base.manifest.items_through)
        if self.log.through == 0:
            self._due_at = 0.0
        return Items(base, Fresh.none(base.n_items), self._items.missing if self._items else ())

    def _poll(self) -> tuple[str, ...]:
        """What is missing afterwards."""
        now = time.monotonic()
        try:
            self._due_at = now + (self._check_every_s if self.log.poll() else 0.0)
        except StoreUnavailableError as error:
            logger.error("items not brought up to date", extra={"detail": str(error)})
            self._due_at = now + max(RETRY_S, self._check_every_s)
            return (STORE,)
        return ()

    def _laid_over(self, base: Bundle, items: Items, changed: set[str]) -> Items:
        before: Catalogue = items.bundle.catalogue
        if not isinstance(before, LiveCatalogue):
            before = LiveCatalogue(base.catalogue, base.manifest.items_through)
        updates = {item_id: self.log.items[item_id] for item_id in sorted(changed) if item_id in self.log.items}
        catalogue = before.with_updates(updates)
        fresh = items.fresh.with_items(base.content, catalogue, catalogue.find(list(updates)).tolist())
        return Items(replace(base, catalogue=catalogue), fresh, items.missing)
