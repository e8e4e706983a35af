"""Dead letters back to where they came from: into the queue in the cloud, into the consumer itself locally.

A letter leaves only after it was taken again, so that a redrive that is interrupted loses none; one that is taken twice
changes nothing. What cannot be read never will be: such letters stay, and are shown, until somebody removes them.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fusionrec.errors import BadInputError, DataError
from fusionrec.messages import from_message
from fusionrec.ports import DeadLetters, EventSink

VISIBILITY_S: Final = 120  # while a batch is worked on
WAIT_S: Final = 2
UNKNOWN: Final = "unknown"  # the queue's own rule moved it, and gives no reason

Progress = Callable[[int], None]  # letters done


@dataclass(slots=True)
class Outcome:
    """How many letters went back and stayed, by reason; and one example of each that stayed."""

    returned: Counter[str] = field(default_factory=Counter)
    stayed: Counter[str] = field(default_factory=Counter)
    details: dict[str, str] = field(default_factory=dict)
    n_waiting: int = 0  # letters that were there at the beginning, about

    def stay(self, reason: str, detail: str) -> None:
        self.stayed[reason] += 1
        self.details.setdefault(reason, detail)

    @property
    def n_done(self) -> int:
        return self.returned.total() + self.stayed.total()


def is_readable(body: str) -> bool:
    try:
        from_message(body)
    except BadInputError:
        return False
    return True


def redrive_queue(sqs: Any, dead_url: str, queue_url: str, progress: Progress, *, only_list: bool = False) -> Outcome:
    """Receive, send, then delete; a letter that stays becomes visible again at the end.

    only_list: a look at the first letters of each group; a FIFO queue shows the later ones when those are gone
    """
    count = "ApproximateNumberOfMessages"
    waiting = sqs.get_queue_attributes(QueueUrl=dead_url, AttributeNames=[count])["Attributes"][count]
    outcome = Outcome(n_waiting=int(waiting))
    kept: dict[str, str] = {}  # message id → receipt of those that stay
    for letters in _received(sqs, dead_url, kept):
        for letter in letters:
            attributes = {name: value["StringValue"] for name, value in letter.get("MessageAttributes", {}).items()}
            reason, detail = attributes.get("reason", UNKNOWN), attributes.get("detail", "no reason was given")
            if only_list or not is_readable(letter["Body"]):
                outcome.stay(reason, detail)
                kept[letter["MessageId"]] = letter["ReceiptHandle"]
                continue
            sqs.send_message(
                QueueUrl=queue_url,
                MessageBody=letter["Body"],
                MessageGroupId=letter["Attributes"]["MessageGroupId"],
                MessageDeduplicationId=hashlib.sha256(f"redrive:{letter['MessageId']}".encode()).hexdigest(),
                MessageAttributes={"redrivenAfter": {"DataType": "String", "StringValue": reason}},
            )
            sqs.delete_message(QueueUrl=dead_url, ReceiptHandle=letter["ReceiptHandle"])
            outcome.returned[reason] += 1
            progress(outcome.n_done)
    for receipt in kept.values():
        sqs.change_message_visibility(QueueUrl=dead_url, ReceiptHandle=receipt, VisibilityTimeout=0)
    return outcome


def _received(sqs: Any, url: str, kept: dict[str, str]) -> Iterator[list[dict[str, Any]]]:
    """Batches of letters that were not seen before, until none is left."""
    while True:
        answer = sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=VISIBILITY_S, WaitTimeSeconds=WAIT_S,
            AttributeNames=["All"], MessageAttributeNames=["All"],
        )  # fmt: skip
        fresh = [letter for letter in answer.get("Messages", ()) if letter["MessageId"] not in kept]
        if not fresh:
            return
        yield fresh


def list_files(folder: Path) -> Outcome:
    """The local dead letters, all of them as staying."""
    outcome = Outcome()
    for path in sorted(folder.glob("*.jsonl*")):
        for letter in _letters(path):
            outcome.stay(letter["reason"], letter["detail"])
    return outcome


def redrive_files(folder: Path, sink: EventSink, dead_letters: DeadLetters, progress: Progress) -> Outcome:
    """Local dead letters. Each file is put aside first, so that a server may go on writing new ones.

    raises: StoreUnavailableError; letters that were not taken yet are found again by the next run
    """
    outcome = Outcome()
    for path in sorted(folder.glob("*.jsonl*")):
        aside = path if path.suffix == ".redriving" else _put_aside(path)
        for letter in _letters(aside):
            if is_readable(letter["body"]):
                sink.put([from_message(letter["body"])])
                outcome.returned[letter["reason"]] += 1
            else:
                dead_letters.put(letter["body"], letter["group"], letter["reason"], letter["detail"])
                outcome.stay(letter["reason"], letter["detail"])
            progress(outcome.n_done)
        aside.unlink()
    return outcome


def _letters(path: Path) -> Iterator[dict[str, str]]:
    """Raises DataError for a line that is no letter: it is not thrown away with the file."""
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        if line.strip():
            try:
                letter: dict[str, str] = json.loads(line)
                yield {name: str(letter[name]) for name in ("body", "group", "reason", "detail")}
            except (ValueError, KeyError, TypeError):
                raise DataError("is no dead letter; mend or remove the line", pointer=f"{path}:{number}") from None


def _put_aside(path: Path) -> Path:
    """Under a name of its own: what an earlier run left must not be overwritten."""
    return path.rename(f"{path}.{uuid.uuid4().hex}.redriving")
