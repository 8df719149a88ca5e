"""Pictures in the order in which they fit examples, or words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sle_gan.errors import UserError

_SHRINKAGE = 0.7


def rank_by_likeness(features: np.ndarray, examples: np.ndarray) -> np.ndarray:
    """How much each picture is like the examples: float (N,), at most 1.

    The mean cosine to the examples, after what varies much in the whole set is made to count for less (whitening by
    a covariance that is shrunk towards a sphere).

    Args:
        features: float (N, D), of the set. examples: float (M, D), M > 0.
    """
    mean = features.mean(0, dtype=np.float64)
    away = features - mean
    size = away.shape[1]
    covariance = away.T @ away / max(1, len(away) - 1)
    sphere = max(float(np.trace(covariance)) / size, 1e-12)
    shrunk = (1 - _SHRINKAGE) * covariance + _SHRINKAGE * sphere * np.eye(size)
    whitening = np.linalg.cholesky(np.linalg.inv(shrunk))
    return (_units(away @ whitening) @ _units((examples - mean) @ whitening).T).mean(1)


def rank_by_texts(images: np.ndarray, texts: np.ndarray, wanted: Sequence[bool]) -> np.ndarray:
    """How well each picture fits what is wanted and not the rest: float (N,), -2 to 2.

    The mean cosine to the texts that are wanted, less the mean cosine to those that are not.

    Args:
        images: embeddings (N, D). texts: (T, D). wanted: for each text.
    """
    cosines = _units(images) @ _units(texts).T
    wants = np.array(wanted, bool)
    score = cosines[:, wants].mean(1)
    return score - cosines[:, ~wants].mean(1) if (~wants).any() else score


def _units(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors, np.float64)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def split_texts(texts: Sequence[str]) -> tuple[list[str], list[bool]]:
    """Texts without the minus sign that stands before what is not wanted, and whether each is wanted.

    Raises:
        UserError: for an empty one, or where nothing is wanted.
    """
    words = [text.strip() for text in texts]
    wanted = [not word.startswith("-") for word in words]
    bare = [word.removeprefix("-").strip() for word in words]
    if not all(bare):
        raise UserError(
            '--text is empty; expected words such as "one butterfly", or "-a drawing" for what is not wanted'
        )
    if not any(wanted):
        raise UserError(
            f"--text {texts[0]!r}: say also what is wanted, as in --text 'one butterfly' --text '-a drawing'"
        )
    return bare, wanted
