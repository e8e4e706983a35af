"""A search over a prepared data set: what to fit on, whom to ask for, what to start from."""

from __future__ import annotations

from fusionrec.errors import DataError
from training.best_settings import best_settings
from training.recipe import Recipe, repeats_matter
from training.search.objective import Judge
from training.search.spaces import searchable
from training.search.study import Search
from training.stages import code_hash, key_of
from training.train import Prepared


def search_of(prepared: Prepared, part: str, n_users: int, seed: int, *, from_defaults: bool = False) -> Search:
    """Starts from the settings in use; from_defaults: from those that the recipe has without any search.

    raises: BadInputError for a part that is not known, DataError for settings in use that cannot be read, or too few
            validation users
    """
    what = searchable(part, prepared.data.content is not None)
    cut = prepared.split(prepared.protocol)
    if len(cut.validation.users) == 1:
        raise DataError(
            "a single validation user; a search chooses on some users and checks on others",
            pointer=str(prepared.dataset.folder),
        )
    recipe = Recipe.for_split(cut)
    plain = getattr(recipe, part, None) or what.config()
    default = plain if from_defaults else best_settings(prepared.dataset, part, plain)
    judge = Judge.of(prepared.data, cut.validation, "keep" if repeats_matter(cut.fit) else "mask", n_users, seed)
    code = code_hash([what.part.__module__, "training.search.objective"])
    key = key_of(prepared.key(prepared.protocol), code, plain, dict(what.space), n_users, seed)
    return Search(part, what, default, cut.fit, cut.fit_now_ms, judge, key, seed)
