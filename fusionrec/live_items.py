"""Keeps a bundle's items up to date with the item log, without a deployment and without a restart."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import Final

from fusionrec.bundle.catalogue import Catalogue
from fusionrec.bundle.live import LiveCatalogue
from fusionrec.bundle.loader import Bundle
from fusionrec.bundle.manifest import Manifest
from fusionrec.errors import StoreUnavailableError
from fusionrec.fresh import Fresh
from fusionrec.item_log import STORE, ItemLog
from fusionrec.observability import logger

RETRY_S: Final = 30.0  # after the log did not answer: each try costs a request its timeout
AT_ONCE_RETRY_S: Final = 1.0  # the same for who has to know at once
AT_ONCE_EVERY_S: Final = 0.02  # less than the way from one answer to the next request: a long file costs no poll a row


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
        self._not_before = 0.0  # of polls at once
        self._held, self._is_told = 0, True  # the last update that the bundle holds; False: the log is to be asked
        self._base: Bundle | None = None
        self._items: Items | None = None
        self._lock = threading.RLock()

    @property
    def is_due(self) -> bool:
        return time.monotonic() >= self._due_at

    def of(self, base: Bundle, *, at_once: bool = False) -> Items:
        """This bundle's items as of the last poll. at_once: poll, unless that was done, or in vain, a moment ago."""
        with self._lock:
            items, changed = self._items, set[str]()
            if items is None or self._base is not base:
                items, changed = self._begin(base), set(self.log.items)
            held = self._held
            if self.is_due or (at_once and time.monotonic() >= self._not_before):
                items = replace(items, missing=self._poll(base))
            changed |= self.log.changes()
            if self._held != held:
                items, changed = Items(base, Fresh.none(base.n_items), items.missing), set(self.log.items)
            if changed:
                items = self._laid_over(base, items, changed)
            self._base, self._items = base, items
            return items

    def _begin(self, base: Bundle) -> Items:
        """Another bundle. Until the log has told what it holds, everything that the shop said is laid over it."""
        self._held, self._is_told = 0, base.manifest.items_through == 0
        if not self._is_told or self.log.through == 0:
            self._due_at = 0.0
        return Items(base, Fresh.none(base.n_items), self._items.missing if self._items else ())

    def _poll(self, base: Bundle) -> tuple[str, ...]:
        """What is missing afterwards: the log, where it is away or longer than a poll could read."""
        now = time.monotonic()
        self._not_before = now + AT_ONCE_EVERY_S
        try:
            if not self._is_told:
                self._held, self._is_told = self._held_by(base.manifest), True
            is_all = self.log.poll()
        except StoreUnavailableError as error:
            logger.error("items not brought up to date", extra={"detail": str(error)})
            self._due_at, self._not_before = now + max(RETRY_S, self._check_every_s), now + AT_ONCE_RETRY_S
            return (STORE,)
        self._due_at = now + (self._check_every_s if is_all else 0.0)
        return () if is_all else (STORE,)

    def _held_by(self, manifest: Manifest) -> int:
        """The last update of this log that the bundle holds; a number of another log says nothing of this one."""
        number = manifest.items_through
        if manifest.items_log and self.log.digest(number) == manifest.items_log:
            return number
        logger.warning("bundle is of another item log", extra={"model_version": manifest.model_version})
        return 0

    def _laid_over(self, base: Bundle, items: Items, changed: set[str]) -> Items:
        before: Catalogue = items.bundle.catalogue
        if not isinstance(before, LiveCatalogue):
            before = LiveCatalogue(base.catalogue, self._held)
        updates = {item_id: self.log.items[item_id] for item_id in sorted(changed) if item_id in self.log.items}
        catalogue = before.with_updates(updates)
        fresh = items.fresh.with_items(base.content, catalogue, catalogue.find(list(updates)).tolist())
        return Items(replace(base, catalogue=catalogue), fresh, items.missing)
