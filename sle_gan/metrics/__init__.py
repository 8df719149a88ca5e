"""Metrics people can trust: FID, KID, MiFID, precision and recall, with their protocol.

Features to numbers is pure numpy; `sle_gan.features` has the networks that make features.
"""

from sle_gan.metrics.frechet import StreamingMoments, frechet_distance, frechet_distance_from_moments
from sle_gan.metrics.images import ImageFolder
from sle_gan.metrics.kernel import KernelDistance, kernel_distance
from sle_gan.metrics.memorization import memorization_distance, memorization_informed_distance
from sle_gan.metrics.neighbours import Neighbours, find_neighbours
from sle_gan.metrics.precision_recall import PrecisionRecall, precision_recall
from sle_gan.metrics.scoring import METRICS, Scorer, Scores, compute_scores
from sle_gan.metrics.statistics import FeatureStatistics, collect_statistics

__all__ = [
    "METRICS",
    "FeatureStatistics",
    "ImageFolder",
    "KernelDistance",
    "Neighbours",
    "PrecisionRecall",
    "Scorer",
    "Scores",
    "StreamingMoments",
    "collect_statistics",
    "compute_scores",
    "find_neighbours",
    "frechet_distance",
    "frechet_distance_from_moments",
    "kernel_distance",
    "memorization_distance",
    "memorization_informed_distance",
    "precision_recall",
]
