"""The model that is being served: loaded once, exchanged whole when another bundle was promoted."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from fusionrec.bundle.loader import Bundle, load_bundle
from fusionrec.errors import BundleMismatchError, BundleTamperedError, FusionrecError
from fusionrec.observability import logger
from fusionrec.ports import BundleStore
from fusionrec.scoring import Scorer


@dataclass(frozen=True, slots=True)
class Model:
    """A verified bundle and its running graph; without scorer the graph could not be loaded."""

    bundle: Bundle
    scorer: Scorer | None


class ActiveModel:
    """Hands out the model; a request keeps the one it got, so an exchange never mixes two versions."""

    def __init__(
        self, store: BundleStore, check_every_s: float = 60.0, threads: int = 1, *, with_graph: bool = True
    ) -> None:
        """with_graph: False for functions that need the catalogue only; opening a graph costs time and memory."""
        self._with_graph = with_graph
        self._store, self._check_every_s, self._threads = store, check_every_s, threads
        self._model: Model | None = None
        self._refused = ""  # a promoted version that cannot be served: it is not fetched again while it is promoted
        self._checked_at = 0.0
        self._lock = threading.Lock()

    def current(self) -> Model:
        """Raises BundleError while there is nothing to serve; afterwards a failed exchange keeps the old model."""
        model = self._model
        if model is not None and time.monotonic() - self._checked_at < self._check_every_s:
            return model
        with self._lock:
            if self._model is None or time.monotonic() - self._checked_at >= self._check_every_s:
                self._model = self._refresh(self._model)
                self._checked_at = time.monotonic()
            return self._model

    def _refresh(self, model: Model | None) -> Model:
        version = ""
        try:
            if model is not None:
                version = self._store.promoted()
                if version in (model.bundle.manifest.model_version, self._refused):
                    return model
            self._refused = ""
            bundle = load_bundle(self._store.fetch(version or None))
        except FusionrecError as error:
            if model is None:
                raise
            if isinstance(error, BundleTamperedError | BundleMismatchError):  # what is missing or away may still come
                self._refused = version
            logger.error("promoted bundle refused, serving the previous one", extra={"detail": str(error)})
            return model
        if not self._with_graph:
            return Model(bundle, None)
        try:
            return Model(bundle, Scorer.open(bundle.ranker, bundle.manifest, self._threads))
        except BundleMismatchError as error:
            if model is not None:
                self._refused = version
                logger.error("promoted graph refused, serving the previous bundle", extra={"detail": str(error)})
                return model
            logger.error("graph refused, serving by popularity", extra={"detail": str(error)})
            return Model(bundle, None)
