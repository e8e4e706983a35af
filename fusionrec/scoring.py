"""One ONNX Runtime session for the fused graph."""

from __future__ import annotations

import os
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fusionrec.bundle.manifest import Manifest
from fusionrec.errors import BundleError, BundleMismatchError, VocabularyError
from fusionrec.transforms import ModelInput

INPUTS: Final = ("history_items", "history_events", "history_age_days", "eligible")
# TensorFloat-32, CUDA's default for products, moves scores by .09 and items past each other, and is no faster here.
PROVIDERS: Final[tuple[tuple[str, dict[str, str]], ...]] = (
    ("CUDAExecutionProvider", {"use_tf32": "0"}),
    ("CPUExecutionProvider", {}),
)
OUTPUTS: Final = ("items", "scores", "contributions", "base")


@dataclass(frozen=True, slots=True)
class Ranking:
    """The best eligible items of one user, best first; K entries, fewer where fewer were eligible.

    items:         int64 (K,), vocabulary indices
    scores:        float32 (K,)
    contributions: float32 (K, P), in the order of `parts`; base + their sum is the score
    """

    items: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    contributions: npt.NDArray[np.float32]
    base: float
    parts: tuple[str, ...]


def session_options(threads: int = 1, *, optimised: bool) -> Any:
    """How a ranker's graph is opened on the processor. optimised: as its manifest says."""
    import onnxruntime as ort  # noqa: PLC0415 - 0.3 s, which only a process that ranks pays

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if optimised:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    # Spinning threads would burn the CPU share that a function pays for between two requests.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


class Scorer:
    """Runs the graph; one session serves concurrent requests."""

    def __init__(self, session: Any, manifest: Manifest) -> None:
        self._session = session
        self.manifest = manifest

    @classmethod
    def open(cls, path: Path, manifest: Manifest, threads: int = 1) -> Scorer:
        """Raises BundleMismatchError when the graph cannot be loaded or has other inputs or outputs."""
        import onnxruntime as ort  # noqa: PLC0415 - as above

        options = session_options(threads, optimised=manifest.optimised)
        available = ort.get_available_providers()
        try:
            if "CUDAExecutionProvider" in available:
                with redirect_stdout(StringIO()):  # it prints what it misses; `on_gpu` tells if the graph runs there
                    ort.preload_dlls()  # CUDA's libraries from their pip packages, where the system has none
                # What was optimised for every machine may still be made of the GPU's own operators.
                options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
            providers = [provider for provider in PROVIDERS if provider[0] in available]
            session = ort.InferenceSession(os.fspath(path), options, providers=providers)
        except Exception as error:  # onnxruntime raises a dozen unrelated types for a graph it cannot load
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise BundleMismatchError(f"{path.name} cannot be loaded ({first}); export the bundle again") from error
        for kind, expected, found in (
            ("inputs", INPUTS, session.get_inputs()),
            ("outputs", OUTPUTS, session.get_outputs()),
        ):
            names = {node.name for node in found}
            if names != set(expected):
                raise BundleMismatchError(
                    f"{path.name} has {kind} {sorted(names)}, this code needs {sorted(expected)}; export it again"
                )
        return cls(session, manifest)

    def top(self, inputs: ModelInput, eligible: npt.NDArray[np.bool_]) -> Ranking:
        """Rank for one user.

        inputs:   batch of one
        eligible: bool (n_items + 1,)
        raises:   VocabularyError if an index or the mask does not fit the catalogue, BundleError for scores of NaN
        """
        return self.top_of_each(inputs, eligible[None, :])[0]

    def top_of_each(self, inputs: ModelInput, eligible: npt.NDArray[np.bool_]) -> list[Ranking]:
        """Rank for B users in one run; `top` says what is raised.

        eligible: bool (B, n_items + 1)
        """
        if eligible.shape[1] != self.manifest.n_items + 1:
            raise VocabularyError(f"mask of {eligible.shape[1]} rows for {self.manifest.n_items} items")
        if inputs.history_items.max(initial=0) > self.manifest.n_items or inputs.history_items.min(initial=0) < 0:
            raise VocabularyError(f"history holds an index outside 0..{self.manifest.n_items}")
        feed = {**inputs._asdict(), "eligible": eligible}
        items, scores, contributions, base = self._session.run(list(OUTPUTS), feed)
        if np.isnan(scores).any():  # taken for "not eligible" it would be an empty slate, and nobody would notice
            raise BundleError("the graph gave scores that are no numbers; train and export the bundle again")
        n_found = np.isfinite(scores).sum(axis=1).tolist()
        return [
            Ranking(items[row, :n], scores[row, :n], contributions[row, :n], float(base[row]), self.manifest.parts)
            for row, n in enumerate(n_found)
        ]

    @property
    def on_gpu(self) -> bool:
        """Does the graph really run on CUDA? Where that fails to start, onnxruntime falls back to the CPU."""
        return "CUDAExecutionProvider" in self._session.get_providers()


def by_popularity(popularity: npt.NDArray[np.float32], eligible: npt.NDArray[np.bool_], n_results: int) -> Ranking:
    """The fallback: the most popular eligible items; needs no graph and no user."""
    scores = np.where(eligible, popularity, -np.inf).astype(np.float32)
    scores[0] = -np.inf
    n_results = min(n_results, int(eligible[1:].sum()))
    best = np.argpartition(-scores, max(n_results - 1, 0))[:n_results]
    items = best[np.argsort(-scores[best], kind="stable")].astype(np.int64)
    return Ranking(items, scores[items], scores[items][:, None], 0.0, ("popularity",))
