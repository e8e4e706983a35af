"""`fusionrec update` on a small shop: trained on its first weeks, then told of more."""

from __future__ import annotations

import json
import shutil
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from typer.testing import CliRunner

from fusionrec.bundle.catalogue import Catalogue
from fusionrec.errors import DataError
from training import publish, update_state
from training.cli import app
from training.data import sync
from training.data.dataset import Dataset
from training.data.prepare import Options, prepare
from training.data.sources.frame import Inputs
from training.data.sources.registry import source_named
from training.evaluate import Evaluation, evaluate
from training.fine_tuning import FineTuneConfig, one_epoch
from training.fusion.ranker import FusedRanker
from training.interactions import Requests
from training.loop import LoopConfig
from training.models.attention import Attention, AttentionConfig
from training.models.ease import Ease, EaseConfig
from training.models.popularity import Popularity
from training.models.protocol import Run
from training.models.transitions import Transitions, TransitionsConfig
from training.protocols import Past, temporal
from training.publish import GateError
from training.recipe import Recipe
from training.stages import Stages
from training.update import Job, Tested, Updated, require_no_loss, update
from training.update_source import Source

pytestmark = pytest.mark.slow
N_USERS, N_ITEMS = 44, 30
START = datetime(2026, 3, 1, tzinfo=UTC)
FEW_PARTS = Recipe(  # the export of all ten takes a minute
    transitions=TransitionsConfig(),
    attention=AttentionConfig(dim=16, n_layers=1, max_length=20, loop=LoopConfig(n_epochs=5, learning_rate=1e-2)),
    stacker=None,
)


def csv(days: int, later: bool = False) -> str:
    """Shoppers walk through the even or the odd items. later: with an item that is new, without i05 and without u3"""
    rng, lines = np.random.default_rng(0), ["userId,itemId,eventType,sentAt"]
    for user in range(N_USERS):
        place, first = int(rng.integers(0, N_ITEMS // 2)), 60 if user >= N_USERS - 4 else 0
        for n in range(25):
            place = (place + int(rng.integers(1, 3))) % (N_ITEMS // 2)
            at = START + timedelta(days=first + 4 * n, hours=user % 24, minutes=int(rng.integers(0, 60)))
            item = "fresh" if later and n == 17 and user % 5 == 0 else f"i{2 * place + user % 2:02d}"
            if at < START + timedelta(days=days) and not (later and (user == 3 or item == "i05")):
                lines.append(f"u{user},{item},purchase,{at:%Y-%m-%dT%H:%M:%SZ}")
    return "\n".join(lines) + "\n"


def prepared(home: Path, text: str) -> Dataset:
    (home / "events.csv").write_text(text)
    inputs = Inputs(home=home, events=home / "events.csv", items=None, users=None)
    dataset = prepare(source_named("csv"), inputs, "shop", Options(), lambda _: None)[0]
    progress = sync.Progress.load(dataset)
    sync.compute(dataset, progress, lambda *_: None)
    sync.apply(dataset, progress, lambda *_: None)
    return Dataset.open(dataset.folder)


@dataclass(frozen=True)
class Shop:
    home: Path

    @property
    def folder(self) -> Path:
        return self.home / "shop"

    @property
    def bundles(self) -> Path:
        return self.folder / "bundles"

    def run(self, *words: str) -> str:
        done = CliRunner().invoke(app, [*words, "--data", str(self.folder)], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return " ".join(done.output.split())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    shop = Shop(tmp_path_factory.mktemp("home"))
    prepared(shop.home, csv(60))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recipe, "for_split", classmethod(lambda *_: FEW_PARTS))
        shop.run("train", "--device", "cpu")
    return shop


@pytest.fixture(scope="module")
def later(trained: Shop, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Prepared again, with three weeks more."""
    shop = Shop(Path(shutil.copytree(trained.home, tmp_path_factory.mktemp("later") / "home")))
    prepared(shop.home, csv(80, later=True))
    return shop


@pytest.fixture
def shop(later: Shop, tmp_path: Path) -> Shop:
    return Shop(Path(shutil.copytree(later.home, tmp_path / "home")))


def scores(part: Ease | Transitions) -> np.ndarray:
    """Of every item alone, as a history."""
    items = torch.arange(1, part.n_items + 1)[:, None]
    with torch.inference_mode():
        return part(items, torch.full_like(items, 4), torch.zeros(items.shape)).numpy()


def equal_to_fits(fitted: update_state.Fitted) -> None:
    for kind in (Ease, Transitions):
        found = next(part for part in fitted.parts if isinstance(part, kind))
        anew = kind(found.n_items, found.config).fit(fitted.data, fitted.data_end_ms)
        assert scores(found) == pytest.approx(scores(anew), abs=1e-5), kind.name


def test_the_served_model_follows_twice(shop: Shop) -> None:
    before = publish.pointer(shop.bundles)
    output = shop.run("update", "--test-days", "7", "--device", "cpu")
    assert "4 of them new, 1 gone" in output
    assert "unknown to the model and wait for the next `fusionrec train --data shop`: fresh" in output
    assert "1 items of the model are no longer in the data and stay in it until then" in output
    assert publish.pointer(shop.bundles) == before, "promoted without being asked"
    assert "promoted:" in shop.run("update", "--test-days", "7", "--promote", "--device", "cpu")
    first = publish.pointer(shop.bundles)
    assert first != before
    assert len(list(shop.bundles.glob("*/manifest.json"))) == 2, "the same update was exported twice"
    dataset = Dataset.open(shop.folder)
    manifest = publish.check(shop.bundles, first)
    assert manifest.data_hash == dataset.data_hash
    assert manifest.data_cutoff == dataset.cutoffs.data_end.isoformat()
    assert manifest.n_items == N_ITEMS
    catalogues = [Catalogue.load(shop.bundles / name / "catalogue") for name in (before, first)]
    assert {each.text("name", each.index("i05")) for each in catalogues} == {"Item i05"}
    old, new = (update_state.load(dataset, version).fitted for version in (before, first))
    assert "u3" in old.user_ids
    assert "u3" not in new.user_ids
    for was, now in zip(old.parts, new.parts, strict=True):
        same = all(torch.equal(a, b) for a, b in zip(was.state_dict().values(), now.state_dict().values(), strict=True))
        assert same == (now.name not in ("popularity", "ease", "transitions")), now.name
    equal_to_fits(new)
    assert "nothing to do" in shop.run("update", "--device", "cpu")

    assert (shop.folder / update_state.FOLDER / first / "precision.npy").is_file()
    dataset = prepared(shop.home, csv(95, later=True))
    shop.run("update", "--promote", "--device", "cpu")
    last = update_state.load(dataset, publish.pointer(shop.bundles))
    assert last.fitted.n_updates == 2
    equal_to_fits(last.fitted)
    kept = {path.name for path in (shop.folder / update_state.FOLDER).iterdir()}
    assert kept == {first, publish.pointer(shop.bundles)}, "only what is served and the way back is kept"


def stages(dataset: Dataset) -> Stages:
    return Stages(dataset.folder / "work", lambda *_: None, Run())


def job(shop: Shop, test_days: float | None = None, tuning: FineTuneConfig | None = None) -> Job:
    dataset = Dataset.open(shop.folder)
    source = Source.read(dataset, shop.bundles)
    assert source is not None
    return Job(source, stages(dataset), source.tail_ms(test_days), tuning)


def test_what_judges_was_not_learnt_from(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts that are renewed for the test know nothing of the tail, and the model before is asked the same."""
    asked = job(shop, test_days=6.0)
    data, tail_ms = asked.source.prepared.data, asked.tail_ms
    known = data.prefix(data.ends_before(tail_ms))
    assert len(known) < len(data)
    judged: list[FusedRanker] = []

    def spy(ranker: FusedRanker, *arguments: Any, **options: Any) -> Evaluation:
        judged.append(ranker)
        return evaluate(ranker, *arguments, **options)

    monkeypatch.setattr("training.update.evaluate", spy)
    tested = asked.test()
    (ranker,) = judged
    for kind in (Ease, Transitions, Popularity):
        found = ranker.part(kind)
        anew = kind(found.n_items, found.config).fit(known, tail_ms)
        assert scores(found) == pytest.approx(scores(anew), abs=1e-5), kind.name
    requests = temporal(data, tail_ms, tail_ms, int(data.sent_at.max()) + 1).test
    assert tested.evaluation.n_users == len(requests.users) > 10
    assert tested.gain["after"] == pytest.approx(tested.evaluation.rows["fusion"]["ndcg@10"][0], abs=0.02)


def test_fine_tuning_moves_attention_and_continues_after_a_kill(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    tuning = FineTuneConfig(rate=1.0)
    monkeypatch.setattr("training.update.choose_epochs", lambda *_: 2)
    epochs: list[int] = []

    def killed(*arguments: Any) -> Attention:
        epochs.append(arguments[4])
        if len(epochs) == 2:
            raise KeyboardInterrupt
        return one_epoch(*arguments)

    monkeypatch.setattr("training.fine_tuning.one_epoch", killed)
    with pytest.raises(KeyboardInterrupt):
        job(shop, tuning=tuning).test()
    again = job(shop, tuning=tuning)
    assert again.test().n_epochs == 2
    assert epochs == [0, 1, 1], "the first epoch was done again"
    data = again.source.prepared.data
    ranker = again._ranker(Past(data, int(data.sent_at.max()) + 1, data_requests()), 2, "")
    assert epochs == [0, 1, 1, 0, 1]
    before = next(part for part in again.source.state.fitted.parts if isinstance(part, Attention))
    assert not torch.equal(ranker.part(Attention).item.weight, before.item.weight)


def data_requests() -> Requests:
    return Requests(*(np.zeros(0, np.int64) for _ in range(4)))


def test_where_it_is_not_possible_it_says_what_to_do(shop: Shop) -> None:
    dataset, version = Dataset.open(shop.folder), publish.pointer(shop.bundles)
    state = shop.folder / update_state.FOLDER / version

    def refused(match: str, **options: Any) -> None:
        with pytest.raises(DataError, match=match):
            update(dataset, stages(dataset), **options)

    refused("days reach back to what the model has learnt from; new are the last", test_days=25.0)
    search = shop.folder / "search" / "best-ease.json"
    search.parent.mkdir()
    search.write_text(json.dumps({"in_use": True, "settings": {"l2": 7.0}}))
    refused("the settings in use changed since bundle .* run `fusionrec train --data shop`")
    search.unlink()
    told = (state / "state.json").read_text()
    (state / "state.json").write_text(told.replace(json.loads(told)["conditions"]["code"], "0"))
    refused("the code of the parts or the fusion changed since")
    (state / "state.json").write_text("{")
    refused("is damaged .*; run `fusionrec train --data shop`")
    (state / "state.json").write_text(told)
    (state / "model.pt").write_bytes(b"broken")
    refused("cannot be read .*; run `fusionrec train --data shop`")
    shutil.rmtree(state)
    refused("nothing is kept from which bundle .*; run `fusionrec train --data shop`")
    (shop.bundles / "current").unlink()
    refused("no model is promoted that could be updated; run `fusionrec train")


def test_contents_in_the_gram_are_refused(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = Dataset.open(shop.folder)
    state = update_state.load(dataset, publish.pointer(shop.bundles))
    next(part for part in state.fitted.parts if isinstance(part, Ease)).config = EaseConfig(content=10.0)
    monkeypatch.setattr(update_state, "load", lambda *_: state)
    assert Source.read(dataset, shop.bundles) is not None, "this catalogue has no words"
    with_words = sp.csr_matrix(np.eye(N_ITEMS + 1, dtype=np.float32))
    monkeypatch.setattr("training.aligned._content", lambda *_: with_words)
    with pytest.raises(DataError, match=r"EASE has contents in its gram .*content = 10.* run `fusionrec train"):
        Source.read(dataset, shop.bundles)


def test_data_that_do_not_end_later_are_not_an_update(trained: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    state = update_state.load(Dataset.open(trained.folder), publish.pointer(trained.bundles))
    monkeypatch.setattr(update_state, "load", lambda *_: replace(state, data_hash="other"))
    with pytest.raises(DataError, match="other data, not newer ones"):
        Source.read(Dataset.open(trained.folder), trained.bundles)


def test_a_training_leaves_what_an_update_needs_also_beside_a_bundle_that_is_there(
    trained: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Recipe, "for_split", classmethod(lambda *_: FEW_PARTS))
    shop = Shop(Path(shutil.copytree(trained.home, tmp_path / "home")))
    shutil.rmtree(shop.folder / update_state.FOLDER)
    shop.run("train", "--device", "cpu")
    assert len(list(shop.bundles.glob("*/manifest.json"))) == 1
    kept = update_state.load(Dataset.open(shop.folder), publish.pointer(shop.bundles))
    assert len(kept.fitted.user_ids) == kept.fitted.data.n_users == N_USERS - 4


@pytest.mark.parametrize(("high", "refused"), [(-0.05, True), (0.01, False)])
def test_an_update_that_is_worse_by_more_than_chance_is_not_served(high: float, refused: bool) -> None:
    gain = {"before": 0.3, "after": 0.2, "difference": -0.1, "low": -0.15, "high": high, "p_value": 0.01}
    done = Updated(Path("shop/bundles/v2"), "v1", Tested(None, gain, 0), None, START, anew=False)  # type: ignore[arg-type]
    told = r"0\.2000 on the new events is less than 0\.3000 .* run `fusionrec train --data shop`"
    with pytest.raises(GateError, match=told) if refused else nullcontext():
        require_no_loss(done)
