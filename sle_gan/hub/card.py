"""The model card: a README.md for people, with a header that hubs read."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sle_gan.config import CONFIGS
from sle_gan.errors import UserError, counted, printable
from sle_gan.hub.model_files import GENERATOR, LIBRARY, SAMPLES
from sle_gan.hub.training_facts import TrainingFacts
from sle_gan.shapes import SQUARE, as_text, picture_shape

UNKNOWN_LICENSE = "unknown"
_FEW_IMAGES = 2048  # Inception's features have that many dimensions; fewer images bias the distance
_LISTED = 100  # classes
SAMPLE_ROWS = 24  # of classes in the sample grid
_COLOURS = {1: "grey", 3: "colour", 4: "colour and transparency"}


class Shared(NamedTuple):
    """What a card describes.

    Attributes:
        title: of the card.
        model: "slegan" and so on.
        architecture: of the generator.
        parameters: how many numbers each weights file holds, by its name, generators first.
        samples: how many pictures the sample grid shows; 0 for networks that translate pictures given to them.
        license: an identifier such as "cc-by-4.0", or `UNKNOWN_LICENSE`.
        repository: `user/name`, where that is known.
        training: None for weights whose training is not known.
    """

    title: str
    model: str
    architecture: Mapping[str, Any]
    parameters: Mapping[str, int]
    samples: int
    license: str
    repository: str | None
    training: TrainingFacts | None


def checked_license(license: str | None) -> str:
    """The identifier of a licence, or `UNKNOWN_LICENSE`. Raises a UserError for anything else."""
    if license is None:
        return UNKNOWN_LICENSE
    if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]{0,63}", license):
        raise UserError(f"--license {license!r} is no licence identifier; expected one such as cc-by-4.0, mit or other")
    return license


def make_card(shared: Shared) -> str:
    """The text of README.md."""
    shared = shared._replace(title=titled(shared.title))
    sections = [_header(shared), f"# {shared.title}\n", _introduction(shared)]
    sections += [_usage(shared), _training(shared), _quality(shared), _limitations(shared), _license(shared)]
    return "\n".join(sections)


def titled(name: str) -> str:
    """A folder's or repository's name as a title: one line that can be written as UTF-8."""
    try:
        name = os.fsencode(name).decode("utf-8", "replace")  # whatever encoding this process has for names
    except UnicodeEncodeError:
        name = re.sub("[\ud800-\udfff]", "\ufffd", name)
    return " ".join(name.split())


def _header(shared: Shared) -> str:
    """YAML. Values that somebody typed are quoted."""
    lines = [
        f"license: {quoted(shared.license)}",
        f"library_name: {LIBRARY}",
        f"pipeline_tag: {_task(shared)}",
        "tags:",
        *(f"- {tag}" for tag in dict.fromkeys((LIBRARY, shared.model, "gan", "keras", "few-shot"))),
    ]
    score = shared.training.score if shared.training else None
    if score:
        metric, name = _metric(score.extractor)
        lines += [
            "model-index:",
            f"- name: {quoted(shared.title)}",
            "  results:",
            "  - task:",
            f"      type: {_task(shared)}",
            "    dataset:",
            "      type: imagefolder",
            "      name: the training pictures",
            "    metrics:",
            f"    - type: {metric}",
            f"      name: {quoted(name)}",
            f"      value: {score.value:.4f}",
        ]
    return "\n".join(["---", *lines, "---", ""])


def quoted(text: str) -> str:
    """A double-quoted YAML scalar.

    Not JSON's: that writes what is beyond U+FFFF as two escapes, which YAML reads as two characters, and leaves in
    what YAML allows in no text.
    """
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return character if character.isprintable() else f"\\U{ord(character):08x}"


def _task(shared: Shared) -> str:
    return "unconditional-image-generation" if shared.samples else "image-to-image"


def _metric(extractor: str) -> tuple[str, str]:
    if extractor == "inception":
        return "fid", "FID"
    return f"frechet-distance-{extractor}", f"Fréchet distance, {extractor} features (not comparable with FID)"


def _introduction(shared: Shared) -> str:
    colours = _COLOURS.get(shared.architecture.get("channels", 3), "")
    kind = f"pictures{f' in {colours}' if colours else ''}"
    does = f"makes new {kind} of {as_text(*_size(shared))} pixels" if shared.samples else f"translates {kind}"
    lines = [f"This model {does}. Method: {_method(shared.model)}, in Keras 3.", ""]
    if shared.samples:
        lines += [
            f"![{counted(shared.samples, 'generated picture')}]({SAMPLES})",
            "",
            _caption(shared),
            "",
        ]
    if classes := shared.architecture.get("classes"):
        lines += _classes(classes, shared.architecture["class_pictures"])
    rows = [(f"`{name}`", _describe_file(name, shared)) for name in shared.parameters]
    return "\n".join([*lines, *_table(("file", "what"), rows), ""])


def _caption(shared: Shared) -> str:
    which = f"The pictures of seeds 0 to {shared.samples - 1}, unselected. "
    if count := len(shared.architecture.get("classes", ())):
        rows = min(count, SAMPLE_ROWS)
        which = f"A row for each of {'the' if rows == count else f'{rows} of the'} {count} classes, "
        which += f"seeds 0 to {shared.samples // rows - 1}, unselected. "
    return f"*{which}All are generated; none is a training picture.*"


def _classes(names: Sequence[str], pictures: Sequence[int]) -> list[str]:
    """What it was taught, with the names that `--class` takes."""
    listed = ", ".join(f"{_plain(name)} ({count:,})" for name, count in zip(names[:_LISTED], pictures))
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return [f"It was taught {counted(len(names), 'class', 'classes')} (training pictures): {listed}{more}.", ""]


def _plain(name: str) -> str:
    """A class's name, which somebody typed, as Markdown shows it: one line, without markup."""
    return re.sub(r"([\\`*_{}\[\]<>#|!&])", r"\\\1", " ".join(printable(name).split()))


def _method(model: str) -> str:
    """The method's name and paper; of a model that another version made, the name that it has there."""
    return CONFIGS[model].method if model in CONFIGS else model


def _size(shared: Shared) -> tuple[int, int]:
    """Height and width of the generated pictures; of a translator, of those that it was trained on."""
    names = ("output_resolution", "resolution", "image_size")
    sizes = [shared.architecture[name] for name in names if name in shared.architecture]
    if not sizes and shared.training:
        sizes = [shared.training.settings["resolution"]]
    return picture_shape(int(sizes[0]) if sizes else 0, shared.architecture.get("aspect", SQUARE))


def _describe_file(name: str, shared: Shared) -> str:
    kind = "generator" if name.startswith("generator") else "discriminator, to train on from"
    size = f"{shared.parameters[name] / 1e6:.1f} million numbers"
    step = shared.training and (shared.training.step if name == GENERATOR else shared.training.last_step)
    return f"the {kind}; {size}{_at(step)}"


def _at(step: int | None) -> str:
    return f", after step {step:,}" if step else ""


def _usage(shared: Shared) -> str:
    where = "`FOLDER` is where these files are"
    if not shared.samples:
        name = next(iter(shared.parameters))
        command = f"sle-gan translate --weights FOLDER/{name} --input photos --output-folder out"
        return f"## How to use it\n\n```\n{command}\n```\n\n{where}. {_SAFE}\n"
    model, (height, width) = shared.repository or "FOLDER", _size(shared)
    where = "" if shared.repository else f"{where}, or the name of their repository, `user/name`. "
    return f"""## How to use it

With SLE-GAN's command, `sle-gan`:

```
sle-gan generate --model {model} --count 16 --output-folder out
sle-gan generate --model {model} --count 25 --grid grid.png
{_class_lines(shared, model)}```

In Python:

```python
import sle_gan

generator = sle_gan.from_pretrained({json.dumps(model)})
for images in sle_gan.generate_images(generator, seeds=range(16)):
    ...  # uint8 arrays (b, {height}, {width}, {shared.architecture.get("channels", 3)})
```

{where}`--revision COMMIT` (`revision=`) pins a version. {_SAFE}
"""


def _class_lines(shared: Shared, model: str) -> str:
    """Commands for a class and for all of them."""
    if not shared.architecture.get("classes"):
        return ""
    start = f"sle-gan generate --model {model} --class"
    return f"{start} all --grid classes.png\n{start} 0 --output-folder out    # or the name of a class\n"


_SAFE = "The weights are plain HDF5 arrays: no code runs when they are loaded."


def _training(shared: Shared) -> str:
    facts = shared.training
    if facts is None:
        return "## Training\n\nNot known: this was shared from a weights file alone.\n"
    pictures = " and ".join(f"{count:,}" for count in facts.pictures or ())
    rows = [("training pictures", pictures or "not recorded")]
    batch = facts.settings.get("batch_size")
    if facts.step and batch:
        seen = f"{facts.step:,} of {counted(batch, 'image')}"
        if facts.pictures:
            seen += f" = {facts.step * batch / max(facts.pictures):,.1f} passes over the pictures"
        rows.append(("steps", seen))
    if facts.step_seconds is not None and facts.clock_seconds is not None:
        rows.append(
            (
                "wall time",
                f"{_duration(facts.step_seconds)} in training steps; {_duration(facts.clock_seconds)} by the clock, "
                "with measurements, saving and pauses",
            )
        )
    if facts.settings.get("diff_augment"):
        probability = facts.settings.get("augment_probability", 1.0)
        how = "" if probability == 1 else f", probability {probability}"
        rows.append(("augmentation", f"differentiable: {facts.settings.get('augment_policy', 'yes')}{how}"))
    start = "other weights, whose licence may bind these" if facts.from_weights else "random weights"
    rows.append(("started from", start))
    command = f"\nThe training's settings as a command:\n\n```\n{facts.command}\n```\n"
    return "\n".join(["## Training", "", *_table(("what", "how much"), rows), command])


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _quality(shared: Shared) -> str:
    score = shared.training.score if shared.training else None
    if score is None:
        return "## How good it is\n\nNo metric was measured on these weights.\n"
    row = (
        _metric(score.extractor)[1],
        f"{score.value:.2f}",
        f"{counted(score.count, 'generated picture')} against all {counted(score.real_count, 'training picture')}; "
        "none was held out",
    )
    return "\n".join(["## How good it is", "", *_table(("metric (lower is better)", "value", "protocol"), [row]), ""])


def _limitations(shared: Shared) -> str:
    facts = shared.training
    points = [
        "It makes pictures like its training pictures and knows nothing else; what they lack or over-represent, "
        "its pictures do too.",
        "A generator that was trained on few pictures may repeat parts of them. "
        "Compare with them before you publish pictures as new, above all where they show people.",
        f"It was made for {as_text(*_size(shared))} pixels and takes {_conditions(shared)}.",
    ]
    if facts and facts.score and facts.score.extractor != "inception":
        points.append(f"Its distance is in {facts.score.extractor} features: it does not compare with published FID.")
    if facts and facts.score and min(facts.score.count, facts.score.real_count) < _FEW_IMAGES:
        points.append(
            "So few images bias the distance upwards; it compares only with distances of the same counts and features."
        )
    points.append("The training pictures are not part of this repository.")
    return "\n".join(["## Limitations", "", *(f"- {point}" for point in points), ""])


def _conditions(shared: Shared) -> str:
    count = len(shared.architecture.get("classes", ()))
    return f"one of {counted(count, 'class', 'classes')}, but no text" if count else "no text, class or other condition"


def _license(shared: Shared) -> str:
    if shared.license == UNKNOWN_LICENSE:
        text = "None was given: ask the author before you use the weights or their pictures beyond looking at them."
    else:
        text = f"Of the weights, as their author states it: `{shared.license}`."
    return f"## Licence\n\n{text}\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines]
