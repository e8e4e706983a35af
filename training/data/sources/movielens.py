"""MovieLens 100k (GroupLens, 1998) out of the recbole wheel."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import ibis

from training.data.sources.frame import Defaults, Inputs, Raw, Source, complete
from training.data.sources.wheels import Wheel, fetch, unpacked

WHEEL: Final = Wheel(
    package="recbole",
    version="1.2.1",
    file_name="recbole-1.2.1-py3-none-any.whl",
    sha256="9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
)
MEMBERS: Final = tuple(f"recbole/dataset_example/ml-100k/ml-100k.{kind}" for kind in ("inter", "item", "user"))


def find(inputs: Inputs) -> dict[str, Path]:
    return {"wheel": fetch(WHEEL, inputs.home / "downloads")}


def read(con: Any, files: dict[str, Path]) -> Raw:
    with unpacked(files["wheel"], MEMBERS) as paths:
        ratings, films, people = (read_atomic(con, paths[Path(name).name]) for name in MEMBERS)
    return Raw(
        events=complete(
            ratings,
            file="ml-100k.inter",
            event_type="rating",
            sent_at=ratings.timestamp.cast("int64").as_timestamp("s"),
            event_value=ratings.rating,
        ),
        items=catalogue(films),
        users=viewers(people),
        columns={"sent_at": "timestamp", "event_value": "rating"},
    )


def read_atomic(con: Any, path: Path) -> Any:
    """RecBole's atomic file: tab-separated, `name:type` headers; the type is dropped, values stay text."""
    table = con.read_csv(path, delim="\t", header=True, all_varchar=True, quote="")
    table = table.rename({name.split(":")[0]: name for name in table.columns}).mutate(line=ibis.row_number() + 2)
    return con.create_table(f"atomic_{path.suffix[1:]}", table, temp=True)


def catalogue(films: Any) -> Any:
    genres = films["class"].fill_null("").split(" ").filter(lambda genre: genre != "")
    year = films.release_year.fill_null("")
    titled = ibis.ifelse(year == "", films.movie_title, films.movie_title + " (" + year + ")")
    decade = ibis.ifelse(year.length() == 4, ibis.array([ibis.literal("decade=") + year.substr(0, 3) + "0s"]), [])
    return films.select(
        item_id=films.item_id,
        name=titled,
        category=genres[0].fill_null(""),
        department=ibis.literal("Films"),
        brand=ibis.literal(""),
        description=films.movie_title + " " + films["class"].fill_null(""),
        attributes=genres.map(lambda genre: ibis.literal("genre=") + genre).concat(decade),
    )


def viewers(people: Any) -> Any:
    decade = (people.age.try_cast("int64") // 10 * 10).cast("string")
    return people.select(
        user_id=people.user_id,
        attributes=ibis.array(
            [
                ibis.literal("age=") + decade + "s",
                ibis.literal("gender=") + people.gender,
                ibis.literal("occupation=") + people.occupation,
            ]
        ).filter(lambda pair: pair.notnull()),
    )


SOURCE: Final = Source("movielens-100k", Defaults(), find, read)
