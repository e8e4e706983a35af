"""The model that is being served: loaded once, exchanged whole when another bundle was promoted."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace

from fusionrec.bundle.loader import Bundle, load_bundle
from fusionrec.errors import BundleMismatchError, BundleTamperedError, FusionrecError
from fusionrec.fresh import Fresh
from fusionrec.live_items import LiveItems
from fusionrec.observability import logger
from fusionrec.ports import BundleStore
from fusionrec.scoring import Scorer


@dataclass(frozen=True, slots=True)
class Model:
    """A verified bundle and its running graph; without scorer the graph could not be loaded.

    The bundle's catalogue is as of the last look at the item log; `fresh` are the items that the graph does not know.
    """

    bundle: Bundle
    scorer: Scorer | None
    fresh: Fresh
    missing: tuple[str, ...] = ()  # `item_updates`, while their log does not answer


class ActiveModel:
    """Hands out the model; a request keeps the one it got, so an exchange never mixes two versions."""

    def __init__(
        self, store: BundleStore, check_every_s: float = 60.0, threads: int = 1, *,
        with_graph: bool = True, items: LiveItems | None = None,
    ) -> None:  # fmt: skip
        """with_graph: False for functions that need the catalogue only; opening a graph costs time and memory.

        items: what changed since the bundle was made; None: nothing does
        """
        self._with_graph, self._items = with_graph, items
        self._base: Bundle | None = None  # the bundle as it was loaded
        self._store, self._check_every_s, self._threads = store, check_every_s, threads
        self._model: Model | None = None
        self._refused = ""  # a promoted version that cannot be served: it is not fetched again while it is promoted
        self._checked_at = 0.0
        self._lock = threading.Lock()

    def current(self, *, items_at_once: bool = False) -> Model:
        """Raises BundleError while there is nothing to serve; afterwards a failed exchange keeps the old model.

        items_at_once: look at the item log, whether it is time or not
        """
        model = self._model
        if model is not None and not items_at_once and not self._is_due():
            return model
        with self._lock:
            if self._model is None or time.monotonic() - self._checked_at >= self._check_every_s:
                self._model = self._refresh(self._model)
                self._checked_at = time.monotonic()
            self._model = self._with_items(self._model, at_once=items_at_once)
            return self._model

    def _is_due(self) -> bool:
        if self._items is not None and self._items.is_due:
            return True
        return time.monotonic() - self._checked_at >= self._check_every_s

    def _with_items(self, model: Model, *, at_once: bool) -> Model:
        if self._items is None or self._base is None:
            return model
        items = self._items.of(self._base, at_once=at_once)
        if items.bundle is model.bundle and items.missing == model.missing:
            return model
        return replace(model, bundle=items.bundle, fresh=items.fresh, missing=items.missing)

    def _refresh(self, model: Model | None) -> Model:
        version = ""
        try:
            if model is not None:
                version = self._store.promoted()
                if version in (model.bundle.manifest.model_version, self._refused):
                    return model
            self._refused = ""
            bundle = self._load(version)
        except FusionrecError as error:
            if model is None:
                raise
            if isinstance(error, BundleTamperedError | BundleMismatchError):  # what is missing or away may still come
                self._refused = version
            logger.error("promoted bundle refused, serving the previous one", extra={"detail": str(error)})
            return model
        try:
            scorer = Scorer.open(bundle.ranker, bundle.manifest, self._threads) if self._with_graph else None
        except BundleMismatchError as error:
            if model is not None:
                self._refused = version
                logger.error("promoted graph refused, serving the previous bundle", extra={"detail": str(error)})
                return model
            logger.error("graph refused, serving by popularity", extra={"detail": str(error)})
            scorer = None
        self._base = bundle
        return Model(bundle, scorer, Fresh.none(bundle.n_items))

    def _load(self, version: str) -> Bundle:
        """Each byte is hashed here, once, and nowhere else on the way. Raises BundleError, StoreUnavailableError."""
        folder = self._store.fetch(version or None)
        try:
            return load_bundle(folder)
        except BundleTamperedError:
            self._store.discard(folder)
            raise
