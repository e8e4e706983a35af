"""What cannot be used, such as a place to write to, is told in one line, before the work where that is possible."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.suites.small_shop import prepared_shop
from training import cli
from training.commands import train
from training.commands.places import require_writable


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The line of a command that ends with exit code 2."""

    def command(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["fusionrec", *words])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        said = capsys.readouterr().err
        assert exit_.value.code == 2, said
        assert said.count("\n") == 1, said
        return said.removesuffix("\n")

    return command


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FUSIONREC_HOME", str(tmp_path / "home"))
    return prepared_shop(tmp_path / "home")


@pytest.mark.parametrize("place", ["/proc/nobody/here", "a file", "a file/below"])
def test_a_home_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Callable[..., str], shop: Path, place: str
) -> None:
    (tmp_path / "a file").touch()
    home = tmp_path / place
    monkeypatch.setenv("FUSIONREC_HOME", str(home))
    said = told("data", "prepare", "--source", "csv", "--events", str(shop.parent / "shop.csv"))
    assert said.startswith(f"error: FUSIONREC_HOME: {home} cannot be written (")
    assert said.endswith("); choose another folder")


def test_a_home_that_is_a_file_holds_no_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Callable[..., str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FUSIONREC_HOME", str(tmp_path / "file"))
    assert "run `fusionrec data prepare` first" in told("train", "--data", "shop")


def test_a_refused_command_leaves_no_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Callable[..., str]
) -> None:
    monkeypatch.setenv("FUSIONREC_HOME", str(tmp_path / "new" / "home"))
    told("data", "prepare", "--source", "csv", "--events", str(tmp_path / "nowhere.csv"))
    assert not list(tmp_path.iterdir())


def test_commands_that_start_together_in_a_new_place(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        for number in range(50):
            folder = tmp_path / str(number) / "home"
            list(threads.map(require_writable, [folder] * 4, ["--out"] * 4))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["evaluate", "ablate", "score"])
def test_out_is_tried_before_the_work(shop: Path, told: Callable[..., str], command: str) -> None:
    said = told(command, "--data", shop.name, "--out", "/proc/nobody/here.parquet")
    assert said.startswith("error: --out: /proc/nobody cannot be written (")
    assert not (shop / "work").exists()


def test_a_bad_variable_is_named_once(monkeypatch: pytest.MonkeyPatch, told: Callable[..., str]) -> None:
    monkeypatch.setenv("FUSIONREC_STORE", "redis")
    assert told("models", "list") == "error: FUSIONREC_STORE='redis' is to be one of local, dynamodb"


def test_any_other_file_that_the_system_refuses_is_named(
    shop: Path, monkeypatch: pytest.MonkeyPatch, told: Callable[..., str]
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "runs/now")

    monkeypatch.setattr(train, "open_dataset", refuse)
    said = told("evaluate", "--data", shop.name)
    assert said == "error: runs/now: cannot be read or written (Permission denied); check the path and its rights"


def test_an_error_of_the_system_without_a_file_is_a_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(cli, "_run", refuse)
    with pytest.raises(OSError, match="Input/output"):
        cli.main()
