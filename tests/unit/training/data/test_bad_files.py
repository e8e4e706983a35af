"""A file that cannot be used gives one clear line, never a stack trace, and earlier output stays as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fusionrec.bundle.manifest import hash_files
from training import cli

Shop = Any


def no_such_file(shop: Shop) -> Path:
    return Path(shop.folder / "nowhere" / "events.csv")


def a_folder(shop: Shop) -> Path:
    return Path(shop.folder)


def empty(shop: Shop) -> Path:
    return Path(shop.write("empty.csv", ""))


def only_a_header(shop: Shop) -> Path:
    return Path(shop.events(base=False))


def without_a_column(shop: Shop) -> Path:
    return Path(shop.write("events.csv", "userId,item,eventType,sentAt\nu1,i1,view,2026-03-01T10:00:00Z\n"))


def with_a_column_twice(shop: Shop) -> Path:
    return Path(shop.write("events.csv", "userId,itemId,eventType,sentAt,itemId\nu1,i1,view,2026-03-01T10:00:00Z,i2\n"))


def with_a_blank_first_line(shop: Shop) -> Path:
    return Path(shop.events(header="\nuserId,itemId,eventType,sentAt,eventValue,sessionId,priceCents,discountCents"))


def with_spaces_for_a_header(shop: Shop) -> Path:
    return Path(shop.events(header="  ", base=False))


def not_text(shop: Shop) -> Path:
    path = Path(shop.folder / "events.csv")
    path.write_bytes(b"userId,itemId,eventType,sentAt\nu\xff1,i1,view,2026-03-01T10:00:00Z\n")
    return path


def another_format(shop: Shop) -> Path:
    return Path(shop.write("events.xlsx", "PK"))


def all_lines_bad(shop: Shop) -> Path:
    return Path(shop.events("u1,i1,gaze,2026-03-05T10:00:00Z,,,,", base=False))


def parquet(shop: Shop) -> Path:
    path = Path(shop.folder / "events.parquet")
    pq.write_table(pa.table({"userId": ["u1"] * 5000, "itemId": [f"i{n}" for n in range(5000)]}), path)
    return path


def truncated_parquet(shop: Shop) -> Path:
    path = parquet(shop)
    path.write_bytes(path.read_bytes()[:-500])
    return path


def parquet_with_a_hole(shop: Shop) -> Path:
    path = parquet(shop)
    content = bytearray(path.read_bytes())
    content[40:4000] = bytes(3960)
    path.write_bytes(bytes(content))
    return path


CASES: list[tuple[Callable[[Shop], Path], str]] = [
    (no_such_file, "is not there"),
    (a_folder, "is a folder"),
    (empty, "is empty"),
    (only_a_header, "holds no events"),
    (without_a_column, "lacks the column itemId; found userId, item, eventType, sentAt"),
    (with_a_column_twice, "names itemId twice"),
    (with_a_blank_first_line, "events.csv:1: the first line is blank; it should name the columns"),
    (with_spaces_for_a_header, "events.csv:1: the first line is blank"),
    (not_text, "is not UTF-8 text"),
    (another_format, "is neither .csv, .tsv (also .gz) nor .parquet"),
    (all_lines_bad, "no valid event is left"),
    (parquet, "lacks the column eventType, sentAt; found userId, itemId"),
    (truncated_parquet, "cannot be read"),
    (parquet_with_a_hole, "cannot be read"),
]


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shop: Shop
) -> Callable[..., tuple[int, str]]:
    """Run the command line; exit code and stderr."""
    monkeypatch.setenv("FUSIONREC_HOME", str(shop.home))

    def command(*words: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["fusionrec", *words])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        return int(exit_.value.code or 0), capsys.readouterr().err

    return command


@pytest.mark.parametrize(("broken", "message"), CASES, ids=[case[0].__name__ for case in CASES])
def test_one_clear_line_and_earlier_output_untouched(shop: Shop, run: Any, broken: Any, message: str) -> None:
    earlier = shop.prepare(shop.events())
    before = hash_files(shop.home)
    path = broken(shop)
    code, said = run("data", "prepare", "--source", "csv", "--events", str(path), "--name", earlier.name)
    assert code == 2
    assert said.startswith("error: ")
    assert said.count("\n") == 1, said
    assert message in said
    if broken is not all_lines_bad:
        assert path.name in said
    assert hash_files(shop.home) == before
    assert [path.name for path in shop.home.iterdir()] == [earlier.name]  # nor is anything left over


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--source", "fax"], "no source 'fax'; choose one of completejourney, movielens-100k, amazon-sequences, csv"),
        (["--source", "csv"], "--events: give a CSV or Parquet file"),
        (["--source", "amazon-sequences"], "--path: give --path"),
        (["--source", "amazon-sequences", "--path", "nowhere"], "nowhere: is not there"),
        (["--source", "csv", "--name", "../other"], "'../other' is no name for a data set"),
    ],
)
def test_usage_errors_name_the_option(run: Any, words: list[str], message: str) -> None:
    code, said = run("data", "prepare", *words)
    assert code == 2
    assert message in " ".join(said.split())


def test_when_nothing_is_left_the_rules_and_the_first_line_are_told(shop: Shop, run: Any) -> None:
    line = "u1,i1,gaze,2026-03-05T10:00:00Z,,,,"
    events = shop.events("u1,,view,2026-03-05T10:00:00Z,,,,", line, line, base=False)
    code, said = run("data", "prepare", "--source", "csv", "--events", str(events))
    assert code == 2
    assert "no valid event is left: unknown-event-type rejected 2, missing-item rejected 1; the first: " in said
    assert "events.csv:3: eventType 'gaze' (not one of view, " in said


def test_when_no_line_can_be_read_the_first_is_told(shop: Shop, run: Any) -> None:
    events = shop.write("events.csv", "userId,itemId,eventType,sentAt\nu1,i1,view,2026-03-05T10:00:00Z,more,more\n")
    code, said = run("data", "prepare", "--source", "csv", "--events", str(events))
    assert code == 2
    assert "events.csv: holds no events: malformed-line rejected 1; the first: events.csv:2" in said


def test_when_everyone_is_rare_the_rule_is_told(shop: Shop, run: Any) -> None:
    words = ["--events", str(shop.events()), "--min-user-events", "1000"]
    code, said = run("data", "prepare", "--source", "csv", *words)
    assert code == 2
    assert "every event was rejected: rare-user rejected 60; the first: events.csv:2: userId 'u0' (fewer than" in said


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt(), RuntimeError("Query interrupted")])
def test_an_interrupt_says_that_the_command_continues(
    run: Any, monkeypatch: pytest.MonkeyPatch, interrupt: BaseException
) -> None:
    def interrupted(*_: Any) -> None:
        raise interrupt

    monkeypatch.setattr("training.data.sources.registry.source_named", interrupted)
    code, said = run("data", "prepare", "--source", "csv")
    assert code == 130
    assert said.strip() == "interrupted; run the same command again to continue"


@pytest.mark.parametrize(("words", "code"), [(["--help"], 0), (["no-such-command"], 2), (["data", "prepare"], 2)])
def test_exit_codes_of_help_and_wrong_usage(run: Any, words: list[str], code: int) -> None:
    assert run(*words)[0] == code


def test_items_and_users_files_are_checked_too(shop: Shop, run: Any) -> None:
    events, items = shop.events(), shop.write("items.csv", "id,name\ni1,Tea\n")
    code, said = run("data", "prepare", "--source", "csv", "--events", str(events), "--items", str(items))
    assert code == 2
    assert "items.csv:1: lacks the column itemId; found id, name" in said


def test_commands_on_data_that_is_not_prepared(run: Any) -> None:
    for words in (["data", "report", "shop"], ["features", "sync", "--data", "shop"]):
        code, said = run(*words)
        assert code == 2
        assert "run `fusionrec data prepare` first" in said
        assert "shop" in said
