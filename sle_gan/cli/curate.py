"""`sle-gan curate`: a set of pictures looked through -> a report, a table and the pictures worth keeping."""

from __future__ import annotations

import argparse
import dataclasses
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sle_gan.cli.common import Parser, add_engine_flag, import_engine_to_compute, user_path
from sle_gan.curation.rank import split_texts
from sle_gan.curation.rules import Rules
from sle_gan.data.sources import PictureSource, check_image_column, check_source, open_source
from sle_gan.errors import UserError, counted
from sle_gan.features import EXTRACTORS
from sle_gan.shapes import SQUARE
from sle_gan.storage.paths import check_output_folder

if TYPE_CHECKING:
    from sle_gan.curation import Decision, Gathered, Ranking
    from sle_gan.features import FeatureExtractor

EXAMPLES = """\
examples:
  sle-gan curate --input photos --output-folder looked
  sle-gan curate --input photos.zip --output-folder looked --keep-in good
  sle-gan curate --input dataset:user/name --output-folder looked --min-side 256 --balance 2 --keep-in good
  sle-gan curate --input photos --output-folder looked --like examples --top 400 --keep-in good
  sle-gan curate --input photos --output-folder looked --text "one butterfly" --text "-a drawing" --top 400

Writes report.html and pictures.csv. The pictures themselves are never changed. Each number of a rule may be off.
"""


def make_parser() -> Parser:
    parser = Parser(
        prog="sle-gan curate",
        description="Look through pictures before training: copies, blurred, empty and foreign ones.",
        epilog=EXAMPLES,
    )
    parser.add_argument(
        "--input",
        type=user_path,
        required=True,
        metavar="SOURCE",
        help="folder, archive (.zip, .tar, .tar.gz), or dataset:user/name[@revision][:split]",
    )
    parser.add_argument("--image-column", metavar="NAME", help="of a dataset: that has several columns with images")
    parser.add_argument(
        "--output-folder", type=user_path, required=True, metavar="DIR", help="for report.html and pictures.csv"
    )
    parser.add_argument("--keep-in", type=user_path, metavar="DIR", help="a new folder for the kept pictures")
    parser.add_argument(
        "--keep-by",
        choices=("link", "copy"),
        default="link",
        help="what --keep-in gets; pictures in archives and datasets are always copied (default: %(default)s)",
    )
    _add_rules(parser.add_argument_group("rules: what is dropped"))
    _add_choice(parser.add_argument_group("choosing among the rest"))
    _add_networks(parser.add_argument_group("networks"))
    return parser


def _add_rules(group: Any) -> None:
    for field in dataclasses.fields(Rules):
        text = f"{field.metadata['title']}: {field.metadata['help']} (default {field.default:g})"
        flag = "--" + field.name.replace("_", "-")
        group.add_argument(flag, type=_number_or_off, default=field.default, metavar="X", help=text)


def _add_choice(group: Any) -> None:
    group.add_argument(
        "--text", action="append", metavar="WORDS", help="rank by what is in the pictures, by CLIP; -WORDS: what is not"
    )
    group.add_argument(
        "--like", type=user_path, metavar="SOURCE", help="rank by likeness to these few pictures, by their features"
    )
    group.add_argument("--top", type=int, metavar="N", help="with --text or --like: keep the first N")
    group.add_argument("--min-score", type=float, metavar="X", help="with --text or --like: keep from this score on")
    group.add_argument("--clusters", type=int, metavar="N", help="kinds to split the set into (default: by its size)")
    group.add_argument(
        "--balance", type=float, metavar="X", help="no kind may have more than X times the median (default: any number)"
    )


def _add_networks(group: Any) -> None:
    group.add_argument(
        "--features",
        choices=EXTRACTORS,
        default="efficientnet_lite0",
        help="network that sees near copies, foreign pictures, kinds and likeness (default: %(default)s)",
    )
    group.add_argument("--features-weights", type=user_path, metavar="PATH", help="file with that network's weights")
    group.add_argument(
        "--clip",
        default="clip_vit_base_patch32",
        metavar="PRESET",
        help="for --text: keras-hub's name of a CLIP, or a folder with one (default: %(default)s, a download)",
    )
    add_engine_flag(group)


def main(argv: list[str] | None = None) -> None:
    """Parses, checks what can be checked without a backend, looks through the pictures, writes."""
    options = make_parser().parse_args(argv)
    rules = Rules(**{field.name: getattr(options, field.name) for field in dataclasses.fields(Rules)})
    _check(options)
    source = open_source(options.input, options.image_column)
    examples = open_source(options.like, options.image_column) if options.like else None
    if options.keep_in:
        from sle_gan.curation.keep import check_keep

        check_keep("--keep-in", options.keep_in, source)
    import_engine_to_compute(options.engine)
    from sle_gan import curation
    from sle_gan.features import load_extractor

    ranker = _Ranker(options, examples)
    extractor = load_extractor(options.features, options.features_weights)
    gathered = curation.gather(source, extractor)
    ranking = ranker.ranking(gathered, extractor)
    decision = curation.decide(gathered, rules, ranking, options.clusters, options.balance)
    kept = curation.keep(gathered, decision, options.keep_in, options.keep_by == "link") if options.keep_in else None
    folder = Path(options.output_folder)
    folder.mkdir(parents=True, exist_ok=True)
    curation.write_table(folder / "pictures.csv", gathered, decision)
    curation.write_report(folder / "report.html", gathered, decision, ranking, options.keep_in)
    _tell(gathered, decision)
    if kept is not None:
        print(f"put {counted(kept, 'picture')} into {options.keep_in}")
    print(f"wrote {folder / 'report.html'} and pictures.csv beside it")


def _check(options: argparse.Namespace) -> None:
    """Raises a UserError for flags that do not go together, and places that cannot be read or written."""
    if options.text and options.like:
        raise UserError("--text and --like are two orders of the pictures; give one of them")
    ranked = bool(options.text or options.like)
    for flag, value, least in (("--top", options.top, 1), ("--clusters", options.clusters, 1)):
        if value is not None and value < least:
            raise UserError(f"{flag} {value}: expected at least {least}")
    for flag, value in (("--top", options.top), ("--min-score", options.min_score)):
        if value is not None and not ranked:
            raise UserError(f"{flag} {value:g} is of an order of the pictures; give --text or --like, too")
    if options.balance is not None and not options.balance > 0:
        raise UserError(f"--balance {options.balance:g}: expected a positive number, such as 2")
    if options.text:
        from sle_gan.features.clip import check_library

        split_texts(options.text)
        check_library()
    check_source("--input", options.input)
    if options.like:
        check_source("--like", options.like)
    check_image_column(options.image_column, [options.input, options.like or ""])
    check_output_folder("--output-folder", options.output_folder)


class _Ranker:
    """The order that --text or --like asks for; a CLIP that cannot be had is known before pictures are read."""

    def __init__(self, options: argparse.Namespace, examples: PictureSource | None) -> None:
        self._options, self._examples, self._model = options, examples, None
        if options.text:
            from sle_gan.features.clip import ClipModel

            self._words, self._wanted = split_texts(options.text)
            self._model = ClipModel(options.clip)

    def ranking(self, gathered: Gathered, extractor: FeatureExtractor) -> Ranking | None:
        from sle_gan import curation

        limits = (self._options.top, self._options.min_score)
        if self._examples is not None:
            examples = curation.gather(self._examples, extractor, "Examples")
            scores = curation.rank_by_likeness(gathered.features, examples.features)
            what = f"Likeness to {counted(len(examples.names), 'picture')} of {self._examples.where}: at most 1"
            return curation.Ranking(scores, what, *limits)
        if self._model is not None:
            images = curation.gather(gathered.source, self._model.image, "Reading for CLIP", gathered.names)
            scores = curation.rank_by_texts(images.features, self._model.texts(self._words), self._wanted)
            return curation.Ranking(scores, f"By words: {', '.join(map(repr, self._options.text))}", *limits)
        return None


def _tell(gathered: Gathered, decision: Decision) -> None:
    """The findings in a few lines."""
    from sle_gan.curation import recommend_shape
    from sle_gan.curation.decide import ORDER, TITLES

    looked = len(gathered.names) + len(gathered.unreadable)
    print(f"looked at {counted(looked, 'picture')}, kept {int(decision.kept.sum()):,}")
    counts = Counter(decision.rule)
    for name in ORDER:
        if counts[name]:
            print(f"  {counts[name]:6,} {TITLES[name]}")
    if gathered.unreadable:
        print(f"  {len(gathered.unreadable):6,} cannot be read, such as {gathered.unreadable[0]}")
    for file in gathered.source.left_out:
        print(f"  not looked at: {file}")
    shape = recommend_shape(gathered.column("width"), gathered.column("height"))
    way = "" if shape.name == SQUARE else f"; train with --aspect {shape.name}"
    kept = f"{shape.kept[shape.name]:.0%} of the surface, a square {shape.kept[SQUARE]:.0%}"
    print(f"shape: {shape.name} keeps {kept}{way}")


def _number_or_off(text: str) -> float | None:
    if text == "off":
        return None
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is no number, and not off") from None
