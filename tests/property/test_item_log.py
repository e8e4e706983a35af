"""Many writers, killed between any two steps: no acknowledged update is lost, and all readers end alike."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from math import inf
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionrec.adapters.item_objects import FolderObjects
from fusionrec.adapters.memory import MemoryObjects
from fusionrec.errors import StoreUnavailableError
from fusionrec.item_log import Item, ItemLog, ItemUpdate, Objects, decode, fold, segment

updates = st.lists(
    st.builds(
        ItemUpdate,
        st.sampled_from(["a", "b"]),
        st.integers(0, 3),
        st.dictionaries(st.sampled_from(["name", "brand", "price_cents"]), st.integers(0, 9), min_size=1),
    ),
    max_size=12,
)


@given(updates, st.randoms(use_true_random=False))
def test_the_state_does_not_depend_on_the_order_in_which_updates_are_taken(given_updates, random) -> None:
    numbered = list(enumerate(given_updates, start=1))
    expected: dict[str, Item] = {}
    for number, update in numbered:
        fold(expected, number, update)
    shuffled = [*numbered, *numbered[:4]]
    random.shuffle(shuffled)
    found: dict[str, Item] = {}
    for number, update in shuffled:
        fold(found, number, update)
    assert found == expected
    for item_id in expected:  # and it is what a sorted replay leaves
        replayed: dict[str, object] = {}
        for _, update in sorted(numbered, key=lambda pair: (pair[1].updated_at, pair[0])):
            if update.item_id == item_id:
                replayed |= update.fields
        assert {name: stamped.value for name, stamped in found[item_id].items()} == replayed


class Killed(Exception):  # noqa: N818 - not an error: the end of a process
    """The writer is dead: nothing after this runs."""


class FaultyObjects:
    """Kills, or loses the answer, before or after a call had its effect."""

    def __init__(self, objects: Objects, random: Random, kill: float) -> None:
        self.objects, self.random, self.kill = objects, random, kill

    def _step(self) -> None:
        drawn = self.random.random()
        if drawn < self.kill:
            raise Killed
        if drawn < 2 * self.kill:
            raise StoreUnavailableError("item_updates", "no answer")

    def get(self, name: str) -> bytes | None:
        self._step()
        return self.objects.get(name)

    def create(self, name: str, body: bytes) -> bool:
        self._step()
        created = self.objects.create(name, body)
        self._step()
        return created

    def replace(self, name: str, body: bytes) -> None:
        self._step()
        self.objects.replace(name, body)
        self._step()


def write(objects: Objects, writer: int, seed: int, n_updates: int) -> list[ItemUpdate]:
    """One writer's life, begun again after each death; what it was told is durable."""
    random = Random(seed * 1000 + writer)
    acknowledged: list[ItemUpdate] = []
    log = ItemLog(FaultyObjects(objects, random, kill=0.02))
    for n in range(n_updates):
        update = ItemUpdate(f"item-{random.randrange(6)}", n, {"price_cents": writer * 10_000 + n, "name": f"{writer}"})
        while True:
            try:
                log.append(update)
                acknowledged.append(update)
                break
            except Killed:
                log = ItemLog(FaultyObjects(objects, random, kill=0.02))  # a new process; it does not know of this one
                break
            except StoreUnavailableError:  # the client sends it again
                continue
    return acknowledged


def all_updates(objects: Objects) -> Iterator[ItemUpdate]:
    number = 1
    while (body := objects.get(segment(number))) is not None:
        yield decode(body)
        number += 1


@pytest.fixture(params=["memory", "folder"])
def objects(request, tmp_path) -> Objects:
    return MemoryObjects() if request.param == "memory" else FolderObjects(tmp_path / "items")


@pytest.mark.parametrize("seed", range(2))
def test_concurrent_writers_that_die_lose_nothing(objects, seed) -> None:
    n_writers, n_updates = 6, 12 if isinstance(objects, FolderObjects) else 60  # each write goes to the disk
    with ThreadPoolExecutor(n_writers) as threads:
        acknowledged = [
            update
            for told in threads.map(lambda writer: write(objects, writer, seed, n_updates), range(n_writers))
            for update in told
        ]
    logged = list(all_updates(objects))
    key = [(update.item_id, update.updated_at, tuple(sorted(update.fields.items()))) for update in logged]
    assert {(u.item_id, u.updated_at, tuple(sorted(u.fields.items()))) for u in acknowledged} <= set(key)
    assert len(acknowledged) > n_writers * n_updates * 0.3  # the faults did not keep everything out
    readers = [ItemLog(objects), ItemLog(objects, from_snapshot=False)]
    expected: dict[str, Item] = {}
    for number, update in enumerate(logged, start=1):
        fold(expected, number, update)
    for reader in readers:
        reader.catch_up(inf)
        assert reader.items == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=60), st.integers(0, 2**32))
def test_writers_that_take_turns_lose_nothing_and_readers_may_come_at_any_time(turns, seed) -> None:
    store = MemoryObjects()
    random = Random(seed)
    writers = [ItemLog(store) for _ in range(4)]
    early = ItemLog(store)
    for at, (writer, read) in enumerate(turns):
        writers[writer].append(ItemUpdate(f"item-{random.randrange(3)}", random.randrange(5), {"price_cents": at}))
        if read:
            early.poll()
    late = ItemLog(store)
    for reader in (early, late, *writers):
        reader.catch_up(inf)
    assert all(reader.items == late.items and reader.through == len(turns) for reader in (early, *writers))
