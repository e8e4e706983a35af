"""What a run was and how it went: parameters, data hash, commit, curves and metrics, one folder a run.

Below `data/<dataset>/runs/<run-id>/`: `run.json`, TensorBoard's event files, and where Weights & Biases is configured
(`WANDB_API_KEY`, or `WANDB_MODE=offline`) its files. A tracker that fails costs one line of warning, not the training;
`run.json` is written by ourselves, and an error there is an error.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

from rich.console import Console

from training.data.dataset import Dataset
from training.results import commit
from training.signals import leaving_at_sigterm
from training.stages import Report

DONE: Final = "done"
Warn = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a run when it starts."""

    run_id: str  # sortable, unique
    command: str  # such as `train`
    dataset: str
    data_hash: str
    commit: str
    started_at: str  # ISO 8601, UTC
    parameters: Mapping[str, Any]

    @classmethod
    def of(cls, command: str, dataset: Dataset, parameters: Mapping[str, Any]) -> Facts:
        now = datetime.now(UTC)
        run_id = f"{now:%Y%m%dT%H%M%SZ}-{command}-{secrets.token_hex(2)}"
        started_at = now.isoformat(timespec="seconds")
        return cls(run_id, command, dataset.name, dataset.data_hash, commit(), started_at, parameters)

    def as_json(self) -> dict[str, Any]:
        plain = {name: asdict(each) if is_dataclass(each) else each for name, each in self.parameters.items()}  # type: ignore[arg-type]
        return {**{name: getattr(self, name) for name in self.__slots__}, "parameters": plain}


class Tracker(Protocol):
    """Hears of one run; made when it starts."""

    def record(self, name: str, value: float, step: int) -> None:
        """One point of a curve."""

    def finish(self, status: str, metrics: Mapping[str, float]) -> None:
        """Called once, however the run ended: done, failed or interrupted."""


class RunFile:
    """`run.json`: there from the start with the status `running`, written again, by rename, when the run ends."""

    def __init__(self, path: Path, facts: Facts) -> None:
        self.path, self.facts = path, facts
        self.curves: dict[str, list[tuple[int, float]]] = {}

    def start(self) -> None:
        self._write({"status": "running"})

    def record(self, name: str, value: float, step: int) -> None:
        self.curves.setdefault(name, []).append((step, value))

    def finish(self, status: str, metrics: Mapping[str, float]) -> None:
        ended_at = datetime.now(UTC).isoformat(timespec="seconds")
        self._write({"status": status, "ended_at": ended_at, "metrics": dict(metrics), "curves": self.curves})

    def _write(self, how: Mapping[str, Any]) -> None:
        part = self.path.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps({**self.facts.as_json(), **how}, indent=1, default=str) + "\n")
        part.replace(self.path)


class TensorBoard:
    """Event files; `tensorboard --logdir data/<dataset>/runs` shows them."""

    def __init__(self, folder: Path, facts: Facts) -> None:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - takes half a second

        self.writer = SummaryWriter(str(folder), flush_secs=10)
        self.facts = facts

    def record(self, name: str, value: float, step: int) -> None:
        self.writer.add_scalar(name, value, step)

    def finish(self, status: str, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self.writer.add_scalar(f"metrics/{name}", value, 0)
        text = json.dumps({**self.facts.as_json(), "status": status}, indent=1, default=str)
        self.writer.add_text("run", f"    {text}".replace("\n", "\n    "))  # four spaces: shown as it stands
        self.writer.close()


class WeightsAndBiases:
    """A run of the project `fusionrec`, or `WANDB_PROJECT`; off-line runs are sent later by `wandb sync`."""

    def __init__(self, folder: Path, facts: Facts) -> None:
        import wandb  # noqa: PLC0415 - an extra that need not be installed

        self.facts = facts
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "fusionrec"),
            id=facts.run_id,
            name=facts.run_id,
            dir=folder,
            settings=wandb.Settings(silent=True, disable_git=True, x_disable_stats=True),
        )

    def record(self, name: str, value: float, step: int) -> None:
        self.run.log({name: value, "step": step})

    def finish(self, status: str, metrics: Mapping[str, float]) -> None:
        self.run.config.update(self.facts.as_json())  # type: ignore[no-untyped-call]
        self.run.summary.update({"status": status, **metrics})
        self.run.finish(exit_code=0 if status == DONE else 1)


def wandb_is_configured(env: Mapping[str, str]) -> bool:
    mode = env.get("WANDB_MODE", "")
    return mode == "offline" or (bool(env.get("WANDB_API_KEY")) and mode != "disabled")


@dataclass(slots=True)
class Guarded:
    """A tracker of others' making: when it fails it is left out, and says so once. Training is worth more."""

    name: str
    make: Callable[[], Tracker]
    warn: Warn
    tracker: Tracker | None = field(default=None, init=False)

    def start(self) -> None:
        self._do(lambda: setattr(self, "tracker", self.make()))

    def record(self, name: str, value: float, step: int) -> None:
        if self.tracker is not None:
            tracker = self.tracker
            self._do(lambda: tracker.record(name, value, step))

    def finish(self, status: str, metrics: Mapping[str, float]) -> None:
        if self.tracker is not None:
            tracker = self.tracker
            self._do(lambda: tracker.finish(status, metrics))

    def _do(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # whatever these libraries raise: no network, a full disk, a package that is missing
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            self.warn(f"{self.name} does not record this run any further: {first}")
            self.tracker = None


@dataclass(slots=True)
class TrackedRun:
    """All trackers of a run as one, and the metrics it will end with. It begins with its first work, so that a command
    that is refused leaves nothing, here or with Weights & Biases."""

    folder: Path
    trackers: list[RunFile | Guarded]
    parameters: dict[str, Any]
    metrics: dict[str, float] = field(default_factory=dict)
    begun: bool = field(default=False, init=False)

    def begin(self) -> None:
        if not self.begun:
            self.begun = True
            self.folder.mkdir(parents=True)
            for tracker in self.trackers:
                tracker.start()

    def hearing(self, report: Report) -> Report:
        """The report, and its first word begins the run."""

        def heard(what: str, share: float) -> None:
            self.begin()
            report(what, share)

        return heard

    def conclude(self, table: Mapping[str, Mapping[str, float]], **parameters: Any) -> None:
        """Metrics by model, and parameters that are known only now."""
        self.begin()
        self.metrics.update({f"{model}/{name}": value for model, row in table.items() for name, value in row.items()})
        self.parameters.update(parameters)

    def record(self, name: str, value: float, step: int) -> None:
        self.begin()
        for tracker in self.trackers:
            tracker.record(name, value, step)

    def finish(self, status: str) -> None:
        for tracker in self.trackers if self.begun else ():
            tracker.finish(status, self.metrics)


@contextmanager
def tracked(
    command: str, dataset: Dataset, parameters: Mapping[str, Any], env: Mapping[str, str] | None = None
) -> Iterator[TrackedRun]:
    """Record what happens inside, from the first work on. The run ends as done, failed or interrupted; the error goes
    on its way."""
    own = dict(parameters)
    facts = Facts.of(command, dataset, own)
    folder = dataset.folder / "runs" / facts.run_id
    run = TrackedRun(folder, _trackers(folder, facts, os.environ if env is None else env), own)
    status = "interrupted"  # what is no Exception: Ctrl-C, or the end of the process
    try:
        with leaving_at_sigterm():
            yield run
        status = DONE
    except Exception:
        status = "failed"
        raise
    finally:
        run.finish(status)


def _trackers(folder: Path, facts: Facts, env: Mapping[str, str]) -> list[RunFile | Guarded]:
    trackers: list[RunFile | Guarded] = [RunFile(folder / "run.json", facts)]
    trackers.append(Guarded("TensorBoard", lambda: TensorBoard(folder, facts), _warn))
    if wandb_is_configured(env):
        trackers.append(Guarded("Weights & Biases", lambda: WeightsAndBiases(folder, facts), _warn))
    return trackers


def _warn(line: str) -> None:
    Console(file=sys.stderr, highlight=False, soft_wrap=True).print(f"warning: {line}", style="yellow", markup=False)
