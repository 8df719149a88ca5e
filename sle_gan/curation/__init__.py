"""A set of pictures looked through before training: what is in it twice, broken, empty or of another kind.

`gather` reads a source once, `decide` applies rules to what was measured, `write_report` and `write_table` show it, and
`keep` puts the kept pictures together. Nothing here changes the pictures that it looks at.
"""

from sle_gan.curation.decide import Decision, decide
from sle_gan.curation.gather import Gathered, gather
from sle_gan.curation.keep import check_keep, keep
from sle_gan.curation.rank import rank_by_likeness, rank_by_texts
from sle_gan.curation.report import write_report
from sle_gan.curation.rules import Ranking, Rules
from sle_gan.curation.shapes import recommend_shape
from sle_gan.curation.table import write_table

__all__ = [
    "Decision",
    "Gathered",
    "Ranking",
    "Rules",
    "check_keep",
    "decide",
    "gather",
    "keep",
    "rank_by_likeness",
    "rank_by_texts",
    "recommend_shape",
    "write_report",
    "write_table",
]
