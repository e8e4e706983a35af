"""`fusionrec models` and what else opens bundles: what is shown of whole ones, and said of others."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fusionrec.bundle.manifest import FILE_NAME, Manifest, hash_files, write_manifest
from fusionrec.feature_spec import spec_hash
from tests.suites.small_shop import prepared_shop
from training import cli, evaluate, publish
from training.export import FEATURE_SERVICE

V1, V2, V3 = (f"2026030{day}T101112Z-0123456789ab" for day in (1, 2, 3))
Said = tuple[int, str, str]  # exit code, stdout, stderr


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_shop(tmp_path_factory.mktemp("home"))


@pytest.fixture
def shop(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set with two bundles that can be listed and verified, but for the graph that they lack."""
    monkeypatch.setenv("FUSIONREC_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    folder = Path(shutil.copytree(prepared, tmp_path / "shop"))
    for version in (V1, V2):
        write_bundle(folder / "bundles" / version)
    return folder


def write_bundle(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "popularity.npy").write_bytes(b"counts")
    manifest = Manifest(
        model_version=folder.name, created_at="2026-03-31T10:00:00Z", dataset="shop", data_hash="0" * 64,
        data_cutoff="2026-03-31T10:00:00Z", feature_service=FEATURE_SERVICE, history_length=50, top_k=256,
        feature_spec_hash=spec_hash(FEATURE_SERVICE), vocabulary_hash="0" * 16, n_items=1_234_567, parts=("ease",),
        metrics={"fusion": {"ndcg@10": 0.25}, "most_popular": {"ndcg@10": 0.125}}, privacy={"mechanism": "none"},
        files=hash_files(folder),
    )  # fmt: skip
    write_manifest(folder, manifest)


def point(shop: Path, current: str, previous: str = "") -> None:
    (shop / "bundles" / "current").write_text(f"{current}\n")
    if previous:
        (shop / "bundles" / "previous").write_text(f"{previous}\n")


@pytest.fixture
def fusionrec(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def command(*words: str) -> Said:
        monkeypatch.setattr("sys.argv", ["fusionrec", *words, "--data", "shop"])
        with pytest.raises(SystemExit) as exited:
            cli.main()
        said = capsys.readouterr()
        return int(exited.value.code or 0), said.out, said.err

    return command


def test_a_list_fits_into_80_columns(shop: Path, fusionrec: Callable[..., Said]) -> None:
    point(shop, V2, V1)
    code, out, err = fusionrec("models", "list")
    rows = [line.split() for line in out.splitlines() if line.startswith("2026")]
    assert rows == [
        [V1, "previous", "2026-03-31", "1,234,567", "0.2500", "0.1250"],
        [V2, "current", "2026-03-31", "1,234,567", "0.2500", "0.1250"],
    ]
    assert all(len(line) <= 80 for line in out.splitlines())
    assert (code, err) == (0, "")


def test_what_cannot_be_read_is_a_caution_beside_the_list(shop: Path, fusionrec: Callable[..., Said]) -> None:
    point(shop, V2, V1)
    (shop / "bundles" / V2 / FILE_NAME).write_text("{")
    code, out, err = fusionrec("models", "list")
    assert code == 0
    assert (V1 in out, V2 in out) == (True, False)
    assert err.startswith(f"caution: {V2} (current): ")
    assert "is not JSON (Expecting property name" in err
    assert f"; delete {shop / 'bundles' / V2} and run `fusionrec train --data shop`; until then" in err
    assert err.count("\n") == 1


def test_a_list_tells_when_what_is_promoted_is_not_there(shop: Path, fusionrec: Callable[..., Said]) -> None:
    point(shop, V3)
    code, out, err = fusionrec("models", "list")
    assert code == 0
    assert "current" not in out
    assert err == (
        f"caution: {shop / 'bundles' / 'current'} names '{V3}', and no such bundle is there, so nothing is served; "
        "`fusionrec models promote --data shop` serves the newest\n"
    )
    point(shop, V3, V1)
    assert fusionrec("models", "list")[2].endswith(f", `fusionrec models rollback --data shop` {V1}\n")


def test_where_no_bundle_is_left_a_training_makes_one(shop: Path, fusionrec: Callable[..., Said]) -> None:
    point(shop, V3)
    for version in (V1, V2):
        shutil.rmtree(shop / "bundles" / version)
    assert publish.astray(shop / "bundles").endswith("; nor is any other; run `fusionrec train --data shop`")


@pytest.mark.parametrize("junk", ["", ".", "..", "../../elsewhere"])
def test_a_pointer_that_names_no_bundle_is_told(shop: Path, fusionrec: Callable[..., Said], junk: str) -> None:
    point(shop, junk)
    assert f"names '{junk}', and no such bundle is there" in fusionrec("models", "list")[2]


@pytest.mark.parametrize("command", ["score", "serve"])
def test_what_is_promoted_and_gone_is_not_served(shop: Path, fusionrec: Callable[..., Said], command: str) -> None:
    point(shop, V3)
    code, _, err = fusionrec(command)
    assert code == 2
    assert f"names '{V3}', and no such bundle is there" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("words", [["score"], ["serve"], ["models", "verify", V2], ["models", "promote", V2]])
@pytest.mark.parametrize("damage", ["changed", "lost", "no manifest's JSON", "of a later schema"])
def test_what_is_damaged_has_a_remedy_on_this_machine(
    shop: Path, fusionrec: Callable[..., Said], words: list[str], damage: str
) -> None:
    point(shop, V2, V1)
    folder = shop / "bundles" / V2
    if damage == "changed":
        (folder / "popularity.npy").write_bytes(b"other counts")
    elif damage == "lost":
        (folder / "popularity.npy").unlink()
    else:
        (folder / FILE_NAME).write_text("{" if damage.startswith("no") else '{"schema_version": 9}')
    code, _, err = fusionrec(*words)
    assert code == 1
    remedy = f"delete {folder} and run `fusionrec train --data shop`"
    assert err.endswith(f"; {remedy}; until then `fusionrec models rollback --data shop` serves {V1}\n")
    assert "fetch" not in err
    assert "export" not in err


def test_the_way_back_is_to_what_is_there(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "check", publish.verified)
    bundles = shop / "bundles"
    point(shop, V3, V1)
    publish.promote(bundles, V2)
    assert (publish.pointer(bundles), publish.pointer(bundles, publish.PREVIOUS)) == (V2, V1)
    point(shop, V3, V1)
    assert publish.rollback(bundles) == V1
    with pytest.raises(publish.BundleError, match=f"nothing was promoted before {V1}"):
        publish.rollback(bundles)


def test_models_are_named_as_in_evaluations() -> None:
    assert (publish.FUSION, publish.BASELINE) == (evaluate.FUSION, evaluate.BASELINE)
