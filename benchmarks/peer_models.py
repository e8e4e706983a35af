"""One model of a library from PyPI, fitted and asked in a process of its own: `peer_models.py MODEL FOLDER`.

Runs in the environment `.tools/peers`, which has nothing of this project: plain arrays come in and go out.

in:  FOLDER/arrays.npz with fit_users, fit_items and history_users, history_items, int64, users oldest first, items from
     1; FOLDER/case.json with n_users, n_items, mask (leave out what stands in the history), n_results, epochs, length
out: FOLDER/MODEL.npy, int64 (n_users, n_results), best first, 0 = nothing; FOLDER/MODEL.json with settings and costs
"""

from __future__ import annotations

import json
import resource
import sys
import time
import warnings
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp


@dataclass(frozen=True)
class Case:
    """What is learnt from and what is asked for: see the module's docstring."""

    n_users: int
    n_items: int
    mask: bool
    n_results: int
    epochs: int
    length: int
    fit_users: np.ndarray
    fit_items: np.ndarray
    history_users: np.ndarray
    history_items: np.ndarray

    @classmethod
    def read(cls, folder: Path) -> Case:
        return cls(**json.loads((folder / "case.json").read_text()), **np.load(folder / "arrays.npz"))


class RecTools:
    """A model of RecTools. It takes the histories as a second data set with the same ids."""

    def __init__(self, case: Case, model: str, settings: dict[str, Any]) -> None:
        self.case, self.settings = case, settings
        self.model = getattr(import_module("rectools.models"), model)(**settings)
        self.dataset = import_module("rectools.dataset")

    def fit(self) -> None:
        self.model.fit(self._dataset(self.case.fit_users, self.case.fit_items))

    def recommend(self) -> np.ndarray:
        case = self.case
        table = self.model.recommend(
            users=np.unique(case.history_users),
            dataset=self._dataset(case.history_users, case.history_items),
            k=case.n_results,
            filter_viewed=case.mask,
            on_unsupported_targets="ignore",
        )
        slates = np.zeros((case.n_users, case.n_results), np.int64)
        slates[table["user_id"], table["rank"] - 1] = table["item_id"]
        return slates

    def _dataset(self, users: np.ndarray, items: np.ndarray) -> Any:
        moments = pd.Timestamp("2000-01-01") + pd.to_timedelta(np.arange(len(users)), unit="min")
        frame = pd.DataFrame({"user_id": users, "item_id": items, "weight": 1.0, "datetime": moments})
        frame = frame.drop_duplicates(["user_id", "item_id"], keep="last")
        users_known = self.dataset.IdMap.from_values(np.arange(self.case.n_users))
        items_known = self.dataset.IdMap.from_values(np.arange(1, self.case.n_items + 1))
        interactions = self.dataset.Interactions.from_raw(frame, users_known, items_known)
        return self.dataset.Dataset(users_known, items_known, interactions)


def sasrec(case: Case) -> RecTools:
    """RecTools' own defaults (softmax over the catalogue, 256 factors, 2 blocks, batches of 128, rate .001), but for

    epochs: the default of 3 is far from convergence, and their guide stops early instead; here a number that is given
    session_max_len: as long as the histories need, at most the default of 100: the rest would be padding, at full cost
    """
    settings = {"epochs": case.epochs, "session_max_len": case.length}
    return RecTools(case, "SASRecModel", settings | {"deterministic": True})


def ease(case: Case) -> RecTools:
    """RecTools' default ridge of 500."""
    return RecTools(case, "EASEModel", {"regularization": 500.0})


class Als:
    """implicit's ALS as its tutorial fits it: BM25 weights, 64 factors, regularisation .05, alpha 2; then fold-in."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.bm25 = {"K1": 100, "B": 0.8}
        chosen = {"factors": 64, "regularization": 0.05, "alpha": 2.0}
        self.settings = chosen | {"bm25": self.bm25}
        self.model = import_module("implicit.als").AlternatingLeastSquares(**chosen, random_state=0)
        self.weight = import_module("implicit.nearest_neighbours").bm25_weight

    def fit(self) -> None:
        self.model.fit(self._weighted(self.case.fit_users, self.case.fit_items), show_progress=False)

    def recommend(self) -> np.ndarray:
        case, rows = self.case, np.unique(self.case.history_users)
        histories = self._weighted(case.history_users, case.history_items)
        slates = np.zeros((case.n_users, case.n_results), np.int64)
        for chunk in np.array_split(rows, max(1, len(rows) // 500)):
            found, scores = self.model.recommend(
                chunk, histories[chunk], N=case.n_results, recalculate_user=True, filter_already_liked_items=case.mask
            )
            slates[chunk] = np.where(scores > np.finfo(np.float32).min, found + 1, 0)
        return slates

    def _weighted(self, users: np.ndarray, items: np.ndarray) -> Any:
        shape = self.case.n_items, self.case.n_users
        by_item = sp.csr_matrix((np.ones(len(users)), (items - 1, users)), shape=shape)
        return self.weight(by_item, **self.bm25).T.tocsr()


class ItemKnn:
    """LensKit's item-kNN with 20 neighbours, the default and the number of its guide, for implicit feedback."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.settings = {"max_nbrs": 20, "feedback": "implicit"}
        self.data, self.ask = import_module("lenskit.data"), import_module("lenskit").recommend
        scorer = import_module("lenskit.knn").ItemKNNScorer(**self.settings)
        self.pipeline = import_module("lenskit.pipeline").topn_pipeline(scorer)

    def fit(self) -> None:
        frame = pd.DataFrame({"user_id": self.case.fit_users, "item_id": self.case.fit_items})
        self.pipeline.train(self.data.from_interactions_df(frame.drop_duplicates()))

    def recommend(self) -> np.ndarray:
        case = self.case
        slates = np.zeros((case.n_users, case.n_results), np.int64)
        starts = np.flatnonzero(np.r_[True, np.diff(case.history_users) != 0])
        known = np.unique(case.fit_items)  # it refuses to be asked with items that it has not seen
        for items, user in zip(np.split(case.history_items, starts[1:]), case.history_users[starts], strict=True):
            had = np.unique(items)
            told = self.data.ItemList(item_ids=had[np.isin(had, known)])
            query = self.data.RecQuery(user_id=int(user), history_items=told)
            found = self.ask(self.pipeline, query, case.n_results + (len(had) if case.mask else 0)).ids()
            kept = found[~np.isin(found, had)] if case.mask else found
            slates[user, : min(len(kept), case.n_results)] = kept[: case.n_results]
        return slates


MODELS = {"rectools-sasrec": sasrec, "rectools-ease": ease, "implicit-als": Als, "lenskit-itemknn": ItemKnn}


def main() -> None:
    warnings.simplefilter("ignore")
    name, folder, only_fit = sys.argv[1], Path(sys.argv[2]), sys.argv[3:] == ["--only-fit"]
    model = MODELS[name](Case.read(folder))
    wall, cpu = time.perf_counter(), time.process_time()
    model.fit()
    costs = {"fit_seconds": time.perf_counter() - wall, "fit_cpu_seconds": time.process_time() - cpu}
    costs["fit_peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if not only_fit:
        wall = time.perf_counter()
        np.save(folder / f"{name}.npy", model.recommend())
        costs["recommend_seconds"] = time.perf_counter() - wall
    (folder / f"{name}.json").write_text(json.dumps({"settings": model.settings, **costs}))


if __name__ == "__main__":
    main()
