"""Which pictures are kept, and why the others are not."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sle_gan.curation.copies import exact_groups, grouped, near_pairs
from sle_gan.curation.gather import Gathered
from sle_gan.curation.kinds import balanced, unlikeness
from sle_gan.curation.rules import Ranking, Rules
from sle_gan.features.clusters import clusters, default_clusters

TITLES = {field.name: field.metadata["title"] for field in dataclasses.fields(Rules)}
TITLES |= {"exact": "exact copy", "score": "ranked too low", "balance": "more than its share"}
# In the order in which they are applied; the first that fits is a picture's reason.
ORDER = (
    *("min_side", "max_aspect", "min_contrast", "min_structure", "min_sharpness"),
    *("exact", "near", "max_unlike", "score", "balance"),
)


@dataclass(frozen=True)
class Decision:
    """What was found for each of N pictures.

    rule: the name in `ORDER` of what dropped each, empty where it is kept. reason: the same in words, with numbers.
    group: of copies, numbered from 1; 0 for none. cluster: its kind, 0 the largest; -1 where it was dropped before.
    scores: float arrays (N,) by name; NaN where a picture was dropped before.
    groups: members of each group, the kept one first.
    thresholds: of scores by name of the rule, where there is one.
    """

    rule: list[str]
    reason: list[str]
    group: np.ndarray
    cluster: np.ndarray
    scores: dict[str, np.ndarray]
    groups: list[list[int]]
    thresholds: dict[str, float]

    @property
    def kept(self) -> np.ndarray:
        """bool (N,)."""
        return np.array([not rule for rule in self.rule], bool)

    def dropped_by(self, rule: str) -> list[int]:
        return [number for number, own in enumerate(self.rule) if own == rule]


# The score that each rule looks at, the measure's format, and whether it must not be above.
SCORES = {
    "min_side": ("side", ".0f", False),
    "max_aspect": ("aspect", ".2f", True),
    "min_contrast": ("contrast", ".0f", False),
    "min_structure": ("structure", ".2f", False),
    "min_sharpness": ("sharpness", ".2f", False),
    "near": ("near", ".2f", True),
    "max_unlike": ("unlike", ".1f", True),
    "score": ("score", ".3f", False),
}


def decide(
    gathered: Gathered,
    rules: Rules,
    ranking: Ranking | None = None,
    cluster_count: int | None = None,
    balance: float | None = None,
) -> Decision:
    """Applies the rules one after another: each looks at what those before have kept.

    Args:
        ranking: an order of all pictures, by text or likeness.
        cluster_count: how many kinds the kept pictures are split into; None for a number that goes with theirs.
        balance: how many times the median size of a kind its largest may have; None for as many as there are.
    """
    state = _State(gathered, rules)
    state.measure_rules()
    state.copies()
    state.unlike()
    if ranking is not None:
        state.rank(ranking)
    state.split(cluster_count, balance)
    return state.decision()


class _State:
    """The decision while it is made."""

    def __init__(self, gathered: Gathered, rules: Rules) -> None:
        count = len(gathered.names)
        width, height = gathered.column("width"), gathered.column("height")
        self._gathered, self._rules = gathered, rules
        self._rule, self._reason = [""] * count, [""] * count
        self._group, self._cluster = np.zeros(count, np.int64), np.full(count, -1)
        self._groups: list[list[int]] = []
        self._scores = {
            "side": np.minimum(width, height),
            "aspect": np.maximum(width, height) / np.minimum(width, height),
            **{name: gathered.column(name) for name in ("contrast", "structure", "sharpness")},
        }
        self._thresholds = {name: value for name, value in dataclasses.asdict(rules).items() if value is not None}

    def decision(self) -> Decision:
        return Decision(
            self._rule, self._reason, self._group, self._cluster, self._scores, self._groups, self._thresholds
        )

    def measure_rules(self) -> None:
        for name in ORDER[: ORDER.index("exact")]:
            self._apply(name)

    def copies(self) -> None:
        """Of each group of copies the largest picture stays; of equally large ones the one with the largest file."""
        left = self._left()
        contents = [self._gathered.measures[number].content for number in left]
        exact = [[int(left[i]) for i in group] for group in exact_groups(contents)]
        for members in exact:
            self._keep_one(members, "exact")
        left = self._left()
        threshold = self._rules.near
        pairs, nearness = near_pairs(
            self._gathered.features[left], self._gathered.hashes[left], 2.0 if threshold is None else threshold
        )
        self._spread("near", left, nearness)
        near = [[int(left[i]) for i in group] for group in grouped(pairs, len(left))]
        for members in near:
            self._keep_one(members, "near")
        links = [(group[0], other) for group in exact + near for other in group[1:]]
        for members in grouped(links, len(self._rule)):
            self._groups.append(sorted(members, key=lambda number: (bool(self._rule[number]), number)))
            self._group[members] = len(self._groups)

    def unlike(self) -> None:
        left = self._left()
        if len(left):
            self._spread("unlike", left, unlikeness(self._gathered.features[left]))
        self._apply("max_unlike")

    def rank(self, ranking: Ranking) -> None:
        left = self._left()
        self._scores["score"] = np.asarray(ranking.scores, np.float64)
        threshold = ranking.min_score
        if ranking.top is not None and ranking.top < len(left):
            order = left[np.argsort(-ranking.scores[left], kind="stable")]
            threshold = float(ranking.scores[order[ranking.top - 1]])
            for number in order[ranking.top :]:  # by place, for scores may be equal
                self._drop(int(number), "score", f"{TITLES['score']}: not among the first {ranking.top:,}")
        if threshold is not None:
            self._thresholds["score"] = threshold
        if ranking.min_score is not None:
            self._apply("score")

    def split(self, count: int | None, balance: float | None) -> None:
        left = self._left()
        if not len(left):
            return
        features = self._gathered.features[left]
        labels = clusters(features, count or default_clusters(len(left)))
        self._cluster[left] = labels
        if balance is not None:
            for number in left[~balanced(features, labels, balance)]:
                kind = self._cluster[number] + 1
                self._drop(int(number), "balance", f"{TITLES['balance']}: kind {kind} has more pictures than others")

    def _left(self) -> np.ndarray:
        return np.flatnonzero([not rule for rule in self._rule])

    def _spread(self, name: str, numbers: np.ndarray, values: np.ndarray) -> None:
        """Notes a score of some of the pictures."""
        self._scores[name] = np.full(len(self._rule), np.nan)
        self._scores[name][numbers] = values

    def _apply(self, rule: str) -> None:
        threshold = self._thresholds.get(rule)
        if threshold is None:
            return
        score, form, above = SCORES[rule]
        values = self._scores.get(score, np.zeros(0))
        for number in self._left():
            value = values[number]
            if value > threshold if above else value < threshold:
                sign = ">" if above else "<"
                self._drop(number, rule, f"{TITLES[rule]}: {score} {value:{form}} {sign} {threshold:g}")

    def _keep_one(self, members: Sequence[int], rule: str) -> None:
        measures, names = self._gathered.measures, self._gathered.names

        def goodness(number: int) -> tuple[int, int]:
            return measures[number].width * measures[number].height, measures[number].size

        best = max(members, key=lambda number: (goodness(number), -number))
        for number in members:
            if number != best:
                self._drop(number, rule, f"{TITLES[rule]} of {names[best]}")

    def _drop(self, number: int, rule: str, reason: str) -> None:
        self._rule[number], self._reason[number] = rule, reason
