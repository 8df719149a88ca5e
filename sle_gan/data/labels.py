"""Which class each picture is of: its folder, or a line of a CSV or JSON file.

| what `--labels` says | the classes |
|---|---|
| `folders` | the names of the folders that the pictures are in, below what all of them share |
| `clusters`, `clusters:N` | groups of like pictures, which training finds by a pretrained network's features |
| `auto` | clusters, where a run can have them; `sle_gan.training.labels` says where |
| a .csv | two columns, a picture's name and its class; a first line such as `file,class` may head them |
| a .json | `{"a.jpg": "rose"}`, `{"rose": ["a.jpg"]}`, `[["a.jpg", "rose"]]`, or `dataset.json` of NVIDIA's tools |

A file is read from disk, else from the folder or archive with the pictures. Names are those within the source, with
forward slashes. Where no name in a file has a folder, it may name pictures by their last part.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from sle_gan.data.sources.base import PictureSource, shared_folders
from sle_gan.errors import UserError, counted, printable, shown
from sle_gan.storage.atomic import atomic_path
from sle_gan.storage.paths import reason

NONE, FOLDERS, CLUSTERS, AUTO = "none", "folders", "clusters", "auto"
SUFFIXES = (".csv", ".json")
FEW = 30  # pictures of a class
MOST_CLUSTERS = 1000
MOST_BYTES = 256 << 20
_HEADS = {"file", "filename", "file_name", "name", "path", "image", "picture"}


class Labels(NamedTuple):
    """The classes of a set.

    classes: their names; sorted, and where all are whole numbers, by number.
    of: the class of each picture by the picture's name, an index of `classes`.
    """

    classes: tuple[str, ...]
    of: dict[str, int]

    def indices(self, files: Sequence[str], where: str) -> np.ndarray:
        """The classes of the pictures in their order, int32 (N,).

        Raises:
            UserError: where none of a class's pictures is among them.
        """
        indices = np.array([self.of[file] for file in files], np.int32)
        counts = np.bincount(indices, minlength=len(self.classes))
        if not counts.all():
            missing = self.classes[int(np.argmin(counts))]
            raise UserError(f"the class {shown(missing)} has no pictures: none of its files in {where} can be used")
        return indices


def asks_for_clusters(spec: str) -> bool:
    """Whether the pictures are to be grouped by training, as no label says their classes."""
    return spec == AUTO or (spec.partition(":")[0] == CLUSTERS and not spec.lower().endswith(SUFFIXES))


def cluster_count(spec: str) -> int | None:
    """N of `clusters:N`; None of `clusters` and `auto`, where it goes with the number of pictures."""
    number = spec.partition(":")[2]
    return int(number) if number else None


def check_labels(spec: str) -> None:
    """What can be found out without the pictures: raises a UserError for what `read_labels` takes for nothing."""
    if asks_for_clusters(spec):
        _, colon, number = spec.partition(":")
        if colon and not (number.isdecimal() and len(number) < 9 and 2 <= int(number) <= MOST_CLUSTERS):
            raise UserError(f"--labels is {printable(spec)}; expected clusters:N with N from 2 to {MOST_CLUSTERS:,}")
    elif spec not in (NONE, FOLDERS) and not spec.lower().endswith(SUFFIXES):
        raise UserError(
            f"--labels is {printable(spec)}; expected none, auto, folders, clusters, or a .csv or .json file"
        )


def read_labels(spec: str, source: PictureSource) -> Labels:
    """The classes of a source's pictures.

    Args:
        spec: "folders", or the name of a .csv or .json file. Clusters are no labels of a source.

    Raises:
        UserError: for a picture without a class or with two, a class without pictures, a file that is not there, and
            where there are fewer than two classes.
    """
    check_labels(spec)
    what = f"--labels {printable(spec)}"
    if asks_for_clusters(spec):
        raise UserError(f"{what}: training finds them, and writes labels.csv into its run; give that file")
    named = _of_folders(source, what) if spec == FOLDERS else _of_file(spec, source, what)
    missing = [name for name in source.names if name not in named]
    if missing:
        raise UserError(f"{what}: {_some(missing, 'picture')} in {source.where} without a label; give each a class")
    classes = _sorted_classes(named.values())
    if len(classes) == 1:
        raise UserError(f"{what}: all pictures are of the class {shown(classes[0])}; leave --labels out for one class")
    index = {name: i for i, name in enumerate(classes)}
    return Labels(classes, {name: index[of] for name, of in named.items()})


def few_pictures(classes: Sequence[str], labels: np.ndarray) -> str | None:
    """One warning with the counts, where classes have few pictures."""
    counts = np.bincount(labels, minlength=len(classes))
    few = sorted((int(count), name) for name, count in zip(classes, counts) if count < FEW)
    if not few:
        return None
    listed = ", ".join(f"{shown(name, 40)} {count}" for count, name in few[:8]) + (", ..." if len(few) > 8 else "")
    return (
        f"{counted(len(few), 'class', 'classes')} of {len(classes)} with fewer than {FEW} pictures ({listed}); "
        "--balance-classes draws all classes evenly"
    )


def write_labels(path: Path, labels: Labels) -> None:
    """A .csv that `read_labels` and `read_written_labels` read."""
    with (
        atomic_path(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="surrogatepass") as file,
    ):
        lines = csv.writer(file)
        lines.writerow(("file", "class"))
        lines.writerows((name, labels.classes[index]) for name, index in labels.of.items())


def read_written_labels(path: Path) -> Labels:
    """What `write_labels` wrote.

    Raises:
        UserError: if it is none of that.
        OSError: if it cannot be read.
    """
    try:
        with path.open(newline="", encoding="utf-8", errors="surrogatepass") as file:
            _, *pairs = csv.reader(file, strict=True)  # names as they are: a backslash may be part of one
        named = dict(pairs)
    except (csv.Error, ValueError) as error:
        raise UserError(f"{path} is not the table of clusters that the run wrote ({error})") from error
    classes = _sorted_classes(named.values())
    index = {name: i for i, name in enumerate(classes)}
    return Labels(classes, {name: index[of] for name, of in named.items()})


def _of_folders(source: PictureSource, what: str) -> dict[str, str]:
    parts = {name: PurePosixPath(name).parts for name in source.names}
    top = shared_folders(list(parts.values()))
    loose = [name for name, each in parts.items() if len(each) < top + 2]
    if len(loose) == len(parts):
        raise UserError(f"{what}: {source.where} has no subfolders with pictures; make one for each class")
    if loose:
        raise UserError(f"{what}: {_some(loose, 'picture')} beside the classes' folders, so without a label")
    named = {name: each[top] for name, each in parts.items()}
    if source.folder:
        above = "/".join(next(iter(parts.values()))[:top])
        kept = {PurePosixPath(file.path).name for file in source.left_out}
        for folder in sorted((source.folder / above).iterdir()):
            plain = folder.is_dir() and not folder.name.startswith(".") and folder.name not in kept
            if plain and folder.name not in named.values():
                raise UserError(f"{what}: the class {printable(folder.name)} has no pictures: {folder} holds none")
    return named


def _of_file(spec: str, source: PictureSource, what: str) -> dict[str, str]:
    text = _content(spec, source, what)
    pairs, classes = _csv_pairs(text, what) if spec.lower().endswith(".csv") else _json_pairs(text, what)
    known = set(source.names)
    last = {} if any("/" in name for name, _ in pairs) else _by_last_part(source.names)
    named: dict[str, str] = {}
    absent: list[str] = []
    for name, of in pairs:
        found = name if name in known else last.get(name)
        if found is None:
            absent.append(name)
        elif named.setdefault(found, of) != of:
            raise UserError(f"{what}: {printable(found)} has two labels, {shown(named[found])} and {shown(of)}")
    if absent:
        raise UserError(f"{what}: labels for {_some(absent, 'file')} that {source.where} does not have")
    empty = sorted(set(classes) - set(named.values()))
    if empty:
        raise UserError(f"{what}: the class {shown(empty[0])} has no pictures")
    return named


def _content(spec: str, source: PictureSource, what: str) -> str:
    try:
        path = Path(spec)
        content = path.read_bytes() if path.is_file() and path.stat().st_size <= MOST_BYTES else source.table(spec)
    except (OSError, ValueError) as error:
        raise UserError(f"{what} cannot be read: {reason(error) if isinstance(error, OSError) else error}") from error
    if content is None:
        raise UserError(f"{what}: there is no such file, on disk or in {source.where}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{what} is no text in UTF-8 ({error.reason} at byte {error.start})") from error


def _csv_pairs(text: str, what: str) -> tuple[list[tuple[str, str]], list[str]]:
    pairs = []
    try:
        for number, row in enumerate(csv.reader(io.StringIO(text), strict=True), start=1):
            cells = [cell.strip() for cell in row]
            if not any(cells) or (number == 1 and cells[0].lower() in _HEADS):
                continue
            if len(cells) != 2 or not all(cells):
                raise UserError(f"{what}, line {number}: {shown(','.join(row))}; expected a file and its class")
            pairs.append((_slashed(cells[0]), cells[1]))
    except csv.Error as error:
        raise UserError(f"{what} is no CSV: {error}") from error
    if not pairs:
        raise UserError(f"{what} holds no labels; expected lines such as a.jpg,rose")
    return pairs, []


def _json_pairs(text: str, what: str) -> tuple[list[tuple[str, str]], list[str]]:
    """Names with their classes, and classes that are named by themselves."""
    repeated: list[str] = []

    def unique(items: list[tuple[str, Any]]) -> dict[str, Any]:
        # Later keys would silently win: a file with two labels.
        repeated.extend(name for name, count in Counter(key for key, _ in items).items() if count > 1)
        return dict(items)

    try:
        content = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{what} is no JSON ({shown(error, 100)})") from error
    if repeated:
        raise UserError(f"{what}: {shown(repeated[0])} is there twice; give each file one class")
    if isinstance(content, dict) and set(content) == {"labels"} and not isinstance(content["labels"], str):
        content = content["labels"]  # as NVIDIA's tools write it
    classes: list[str] = []
    if isinstance(content, dict) and content and all(isinstance(files, list) for files in content.values()):
        classes = list(content)
        items: Iterable[Any] = [(file, of) for of, files in content.items() for file in files]
    elif isinstance(content, dict):
        items = content.items()
    else:
        items = content if isinstance(content, list) else []
    pairs = [_pair(item, what) for item in items]
    if not pairs and not classes:
        raise UserError(f'{what} holds no labels; expected {{"a.jpg": "rose"}}, or dataset.json of NVIDIA\'s tools')
    numbers = {int(of) for _, of in pairs if of.isdecimal()}
    if numbers and len({of for _, of in pairs}) == len(numbers):
        # Numbers count classes: one that is left out is a class without pictures.
        classes += [str(i) for i in range(max(numbers)) if i not in numbers] if max(numbers) < 10 * len(pairs) else []
    return pairs, classes


def _pair(item: Any, what: str) -> tuple[str, str]:
    name, of = item if isinstance(item, (list, tuple)) and len(item) == 2 else (None, None)
    if not isinstance(name, str) or not name or isinstance(of, bool) or not isinstance(of, (str, int)) or of == "":
        raise UserError(f"{what}: {shown(repr(item))}; expected a file and one class, a name or a number")
    return _slashed(name), str(of)


def _slashed(name: str) -> str:
    return name.replace("\\", "/").removeprefix("./")


def _by_last_part(names: Iterable[str]) -> Mapping[str, str]:
    """Names by their last parts, where these say which."""
    parts = {name: PurePosixPath(name).name for name in names}
    counts = Counter(parts.values())
    return {part: name for name, part in parts.items() if counts[part] == 1}


def _sorted_classes(names: Iterable[str]) -> tuple[str, ...]:
    found = set(names)
    if all(name.isdecimal() for name in found):
        return tuple(sorted(found, key=lambda name: (int(name), name)))
    return tuple(sorted(found))


def _some(names: Sequence[str], what: str) -> str:
    """ "3 pictures (a.jpg, b.jpg, ...)" """
    return f"{counted(len(names), what)} ({', '.join(map(printable, names[:2]))}{', ...' if len(names) > 2 else ''})"
