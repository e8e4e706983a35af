"""The request as one readable function: read → retrieve and fuse → re-rank → answer → log."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from fusionrec.active_model import ActiveModel, Model
from fusionrec.bundle.loader import Bundle
from fusionrec.catalogue_answers import item_metadata
from fusionrec.contracts.recommendations import RecommendationRequest, Recommendations, RecommendedItem
from fusionrec.errors import UnknownItemError
from fusionrec.filters.eligibility import SCENARIOS, hidden_items, mask, removed_items
from fusionrec.fresh import NEW
from fusionrec.observability import logger
from fusionrec.ports import Clock, Deadline, SlateLog, UserFeatures, UserState
from fusionrec.reasons import Reasons
from fusionrec.reranking.diversity import spread
from fusionrec.scoring import Ranking, by_popularity
from fusionrec.stages import Stages
from fusionrec.state_keys import state_key
from fusionrec.transforms import History, event_codes, merge_history, model_input

ANSWER_MS = 2.0  # kept back of the budget for reasons and writing the answer


@dataclass(frozen=True, slots=True)
class Shopper:
    """All that one request knows of whom it serves."""

    history: History
    indices: npt.NDArray[np.int64]  # of the history's items, new ones among them; 0 = not in the catalogue
    state: UserState


@dataclass(slots=True)
class Recommender:
    """The use case; holds no state of a request."""

    users: UserFeatures
    models: ActiveModel
    slates: SlateLog
    clock: Clock
    _rank_ms: float = field(default=0.0, init=False)  # moving mean of what ranking takes here

    def recommend(self, request: RecommendationRequest, stages: Stages | None = None) -> Recommendations:
        """One slate. A missing feature, a cold user or a dead store degrades the answer, and says so.

        raises: UnknownItemError for the page's item, BundleError when there is no bundle to serve
        """
        stages = stages or Stages()
        deadline = self.clock.deadline(request.budget_ms)
        now_ms = int(self.clock.now().timestamp() * 1000)
        with stages.stage("model"):
            model = self.models.current()
        with stages.stage("features"):
            shopper = self._read(request, model.bundle, deadline, now_ms)
        with stages.stage("eligible"):
            eligible = self._eligible(request, shopper, model.bundle, now_ms)
        with stages.stage("rank"):
            ranking, degraded = self._rank(model, shopper, eligible, now_ms, deadline, request.num_results)
        with stages.stage("rerank"):
            wanted = ranking.items if request.diversity else ranking.items[:0]  # kinds are read where they count
            kinds = model.bundle.catalogue.kinds_of(wanted)
            chosen = spread(ranking.scores, kinds, request.diversity, request.num_results)
        with stages.stage("answer"):
            answer = _answer(request, shopper, model, ranking, chosen, degraded)
        with stages.stage("log"):
            self._record(request, shopper, now_ms, answer)
        return answer

    def _read(self, request: RecommendationRequest, bundle: Bundle, deadline: Deadline, now_ms: int) -> Shopper:
        """The user's two rows and what the request itself says: the recent items, then the page's."""
        if request.item_id is not None and not bundle.catalogue.index(request.item_id):
            raise UnknownItemError(f"the catalogue holds no item {request.item_id!r}", pointer="/itemId")
        key = state_key(request.user_id, request.session_id)
        state = self.users.read(key, deadline) if key else UserState()
        length = bundle.manifest.history_length
        history = merge_history(state.profile, state.session, length)
        looking_at = (*request.recent_item_ids, *([request.item_id] if request.item_id else []))
        if looking_at:
            history = History(
                (*history.item_ids, *looking_at)[-length:],
                (*history.event_types, *["view"] * len(looking_at))[-length:],
                (*history.sent_at, *[now_ms] * len(looking_at))[-length:],
            )
        return Shopper(history, bundle.catalogue.find(history.item_ids), state)

    def _eligible(
        self, request: RecommendationRequest, shopper: Shopper, bundle: Bundle, now_ms: int
    ) -> npt.NDArray[np.bool_]:
        removed = shopper.state.session["removed_item_ids"]
        hidden = hidden_items(shopper.history, removed, SCENARIOS[request.scenario], now_ms)  # type: ignore[arg-type]
        hidden.update(request.exclude_item_ids)
        if request.item_id:
            hidden.add(request.item_id)
        catalogue = bundle.catalogue
        return mask(catalogue.n_rows - 1, [catalogue.find(list(hidden)), catalogue.unavailable])

    def _rank(
        self, model: Model, shopper: Shopper, eligible: npt.NDArray[np.bool_], now_ms: int, deadline: Deadline,
        n_results: int,
    ) -> tuple[Ranking, list[str]]:  # fmt: skip
        """By the fused graph; by popularity when it is broken or there is no time for it. New items join either.

        eligible: bool (n_rows,)
        """
        degraded = [*shopper.state.missing, *model.missing]
        known_to_graph = eligible[: model.bundle.n_items + 1]
        before = deadline.remaining_ms()
        if model.scorer is not None and before > self._rank_ms + ANSWER_MS:
            indices = model.fresh.stand_ins(shopper.indices)
            known = indices > 0
            codes = event_codes(shopper.history.event_types)[known]
            sent_at = np.array(shopper.history.sent_at, np.int64)[known]
            inputs = model_input([indices[known]], [codes], [sent_at], [now_ms])
            try:
                ranking = model.fresh.joined(model.scorer.top(inputs, known_to_graph), eligible)
            except Exception:  # whatever a broken graph raises, shoppers still get a slate
                logger.exception("ranking failed, answering by popularity")
            else:
                spent = before - deadline.remaining_ms()
                self._rank_ms = 0.9 * self._rank_ms + 0.1 * spent
                return ranking, degraded
        self._rank_ms *= 0.9  # so that one slow moment does not shut the graph out for good
        ranking = by_popularity(model.bundle.popularity, known_to_graph, max(n_results, 100))
        return model.fresh.joined(ranking, eligible), [*degraded, "ranker"]

    def _record(self, request: RecommendationRequest, shopper: Shopper, now_ms: int, answer: Recommendations) -> None:
        """Enough to make the same slate again, and to join it to its impressions."""
        record: dict[str, Any] = {
            "recommendation_id": answer.recommendation_id,
            "served_at": now_ms,
            "request": request.model_dump(by_alias=True, exclude_defaults=True),
            "model_version": answer.model_version,
            "as_of_event_id": answer.as_of_event_id,
            "history": {
                "item_ids": shopper.history.item_ids,
                "event_types": shopper.history.event_types,
                "sent_at": shopper.history.sent_at,
            },
            "removed_item_ids": shopper.state.session["removed_item_ids"],
            "degraded": answer.degraded,
            "item_ids": [item.item_id for item in answer.item_list],
            "scores": [item.score for item in answer.item_list],
            "propensities": [1.0] * len(answer.item_list),  # nothing is drawn at random: each slot was certain
        }
        try:
            self.slates.record(record)
        except Exception:  # a log that is away must not cost the shopper the answer
            logger.exception("slate not logged", extra={"recommendation_id": answer.recommendation_id})


def _answer(
    request: RecommendationRequest, shopper: Shopper, model: Model, ranking: Ranking,
    chosen: npt.NDArray[np.int64], degraded: Sequence[str],
) -> Recommendations:  # fmt: skip
    bundle = model.bundle
    removed = removed_items(shopper.history, shopper.state.session["removed_item_ids"])  # type: ignore[arg-type]
    reasons = Reasons(bundle, model.fresh, shopper.history, shopper.indices, removed)
    items = []
    for place in chosen.tolist():
        index = int(ranking.items[place])
        items.append(
            RecommendedItem(
                item_id=bundle.catalogue.item_id(index),
                score=float(ranking.scores[place]),
                reasons=reasons.of(ranking, place),
                contributions=_contributions(ranking, place, is_new=index > bundle.n_items)
                if request.explain
                else None,
                metadata=item_metadata(bundle.catalogue, index),
            )
        )
    return Recommendations(
        recommendation_id=str(uuid.uuid4()),
        item_list=tuple(items),
        model_version=bundle.manifest.model_version,
        as_of_event_id=str(shopper.state.session["last_event_id"]) or None,
        degraded=tuple(degraded),
    )


def _contributions(ranking: Ranking, place: int, *, is_new: bool) -> dict[str, float]:
    parts = dict(zip(ranking.parts, ranking.contributions[place].tolist(), strict=True))
    if not is_new:
        parts.pop(NEW, None)
    return {"base": ranking.base, **parts}
