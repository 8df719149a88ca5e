"""report.html: what was found, rule by rule, to look at."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sle_gan.curation import page
from sle_gan.curation.decide import ORDER, SCORES, TITLES, Decision
from sle_gan.curation.gather import Gathered
from sle_gan.curation.histogram import histogram
from sle_gan.curation.rules import Ranking, Rules
from sle_gan.curation.shapes import Shape, recommend_shape
from sle_gan.curation.thumbnails import thumbnails
from sle_gan.errors import counted
from sle_gan.storage.atomic import atomic_path

_PER_RULE = 36
_GROUPS = 40
_PER_GROUP = 6
_PER_KIND = 9
_RANKED = 24
_LISTED = 40
_HELP = {field.name: field.metadata["help"] for field in dataclasses.fields(Rules)}


class _Shown(NamedTuple):
    """A picture on the page."""

    number: int
    caption: str
    kept: bool = False


class _Part(NamedTuple):
    """A section: its head, HTML above its pictures, and rows of pictures with HTML titles."""

    anchor: str
    title: str
    count: str
    above: str
    rows: list[tuple[str, list[_Shown]]]
    grouped: bool = False


def write_report(
    path: str | Path, gathered: Gathered, decision: Decision, ranking: Ranking | None = None, kept_in: str | None = None
) -> None:
    """Writes the page, with everything that it shows in it; a picture costs 5 kB.

    kept_in: where the kept set was put, if it was.
    """
    parts = [_copies(gathered, decision), *(_rule(gathered, decision, name) for name in ORDER if name in _HELP)]
    if ranking is not None:
        parts.append(_ranked(gathered, decision, ranking))
    parts += [_kinds(gathered, decision), _balance(gathered, decision)]
    parts = [part for part in parts if part is not None]
    names = {gathered.names[shown.number] for part in parts for _, row in part.rows for shown in row}
    uris = thumbnails(gathered.source, names)
    shape = recommend_shape(gathered.column("width"), gathered.column("height"))
    body = [_top(gathered, decision, kept_in), _summary(gathered, decision, parts), _shape(shape)]
    body += [_drawn(part, gathered, uris) for part in parts]
    if gathered.unreadable or gathered.source.left_out:
        body.append(_unread(gathered))
    document = page.page(f"{Path(gathered.source.where).name}: pictures looked through", "\n".join(body))
    with atomic_path(path) as temporary:
        temporary.write_text(document, encoding="utf-8")


def _top(gathered: Gathered, decision: Decision, kept_in: str | None) -> str:
    looked, kept = len(gathered.names) + len(gathered.unreadable), int(decision.kept.sum())
    numbers = [("looked at", looked), ("kept", kept), ("dropped", len(gathered.names) - kept)]
    numbers.append(("not readable", len(gathered.unreadable)))
    cells = "".join(f"<div><b>{count:,}</b>{name}</div>" for name, count in numbers)
    where = f" The kept ones are in <code>{page.text(kept_in)}</code>." if kept_in else ""
    return (
        f"<h1>Pictures looked through</h1><p class='soft'><code>{page.text(gathered.source.where)}</code> &mdash; "
        f"nothing there was changed.{where} All numbers are in pictures.csv beside this page.</p>"
        f'<div class="numbers">{cells}</div>'
    )


def _summary(gathered: Gathered, decision: Decision, parts: list[_Part]) -> str:
    anchors = {part.anchor for part in parts}
    counts = {name: len(decision.dropped_by(name)) for name in ORDER}
    most = max([*counts.values(), 1])
    rows = []
    for name, count in counts.items():
        if count:
            anchor = "copies" if name in ("exact", "near") else name
            label = page.text(TITLES[name])
            label = f'<a href="#{anchor}">{label}</a>' if anchor in anchors else label
            rows.append((label, count / most, f"{count:,}", ""))
    body = page.bars(rows) if rows else "<p>Every picture was kept.</p>"
    for name, count in counts.items():
        if 2 * count > len(gathered.names) and name in _HELP:
            flag = "--" + name.replace("_", "-")
            body += (
                f"<p><b>{page.text(TITLES[name])}</b> dropped more than half of the set: this number is not right for "
                f"such pictures. Give another one with {page.flag(flag)}, or {page.flag(flag + ' off')}.</p>"
            )
    return page.section("Why pictures were dropped", counted(sum(counts.values()), "picture"), body)


def _shape(shape: Shape) -> str:
    order = sorted(shape.kept, key=lambda name: -shape.kept[name])[:6]
    if "1:1" not in order:
        order.append("1:1")
    rows = [
        (page.text(name), shape.kept[name], f"{shape.kept[name]:.0%}", "best" if name == shape.name else "in")
        for name in order
    ]
    words = (
        "Squares suit this set: no other shape keeps more than 2 % more."
        if shape.name == "1:1"
        else f"A cut to {shape.name} ({page.flag('sle-gan train --aspect ' + shape.name)}) keeps "
        f"{shape.kept[shape.name]:.0%} of the surface on average, a square {shape.kept['1:1']:.0%}."
    )
    return page.section("Shape", f"recommended: <b>{shape.name}</b>", f"<p>{words}</p>" + page.bars(rows), "shape")


def _rule(gathered: Gathered, decision: Decision, name: str) -> _Part | None:
    """The section of a rule with a number: its histogram, and what it dropped, the clearest cases first."""
    score, form, above = SCORES[name]
    values = decision.scores.get(score)
    if name == "near" or values is None or not np.isfinite(values).any():
        return None
    threshold = decision.thresholds.get(name)
    dropped = sorted(decision.dropped_by(name), key=lambda number: -values[number] if above else values[number])
    flag = "--" + name.replace("_", "-")
    state = page.flag(f"{flag} {threshold:g}" if threshold is not None else f"{flag} off")
    intro = f"<p class='soft'>{state} {page.text(_HELP[name])}</p>" + histogram(values, threshold, above, form)
    shown = [_Shown(number, f"{values[number]:{form}} {gathered.names[number]}") for number in dropped[:_PER_RULE]]
    rows = [("", shown)]
    if dropped:
        # What was only just kept says whether the number is right.
        later = ("", *ORDER[ORDER.index(name) + 1 :])
        near = [number for number, rule in enumerate(decision.rule) if rule in later and np.isfinite(values[number])]
        near.sort(key=lambda number: -values[number] if above else values[number])
        next_ones = [_Shown(number, f"{values[number]:{form}} {gathered.names[number]}") for number in near[:9]]
        rows.append(("Only just kept", next_ones))
    return _Part(name, TITLES[name].capitalize(), _dropped(len(dropped), _PER_RULE), intro, rows)


def _dropped(count: int, shown: int) -> str:
    more = f", {shown} shown" if count > shown else ""
    return f"<b>{count:,}</b> dropped{more}" if count else "none dropped"


def _copies(gathered: Gathered, decision: Decision) -> _Part:
    values, threshold = decision.scores["near"], decision.thresholds.get("near")
    state = page.flag(f"--near {threshold:g}" if threshold is not None else "--near off")
    intro = (
        f"<p class='soft'>{state} {page.text(_HELP['near'])}; of each group the largest picture is kept, with a green "
        "frame. The histogram shows how near the nearest other picture is, once exact copies are gone.</p>"
        + histogram(values, threshold, True, ".2f")
    )
    groups = sorted(decision.groups, key=lambda members: -len(members))[:_GROUPS]
    rows = []
    for members in groups:
        kept = [number for number in members if not decision.rule[number]]
        shown = [*kept, *(number for number in members if number not in kept)][:_PER_GROUP]
        rows.append(
            ("", [_Shown(number, _copy_caption(gathered, decision, number), number in kept) for number in shown])
        )
    exact, near = (len(decision.dropped_by(name)) for name in ("exact", "near"))
    count = f"<b>{exact:,}</b> exact, <b>{near:,}</b> near, in {counted(len(decision.groups), 'group')}"
    if len(decision.groups) > _GROUPS:
        count += f", {_GROUPS} shown"
    return _Part("copies", "Copies", count, intro, rows, grouped=True)


def _copy_caption(gathered: Gathered, decision: Decision, number: int) -> str:
    measures = gathered.measures[number]
    return f"{decision.rule[number] or 'kept'} {measures.width}x{measures.height} {gathered.names[number]}"


def _ranked(gathered: Gathered, decision: Decision, ranking: Ranking) -> _Part:
    scores, threshold = decision.scores["score"], decision.thresholds.get("score")
    in_order = np.argsort(-scores, kind="stable")
    kept = [number for number in in_order if decision.rule[number] in ("", "balance")]
    out = [number for number in in_order if decision.rule[number] == "score"]

    def shown(numbers: list[int]) -> list[_Shown]:
        return [_Shown(number, f"{scores[number]:.3f} {gathered.names[number]}") for number in numbers]

    rows = [("The first", shown(kept[:_RANKED]))]
    if out:
        rows += [("The last that were kept", shown(kept[_RANKED:][-12:])), ("The next, not kept", shown(out[:12]))]
        rows.append(("The last", shown(out[12:][-12:])))
    intro = f"<p class='soft'>{page.text(ranking.what)}</p>" + histogram(scores, threshold, False, ".3f")
    return _Part("score", "Ranked", _dropped(len(out), len(out)), intro, [row for row in rows if row[1]])


def _kinds(gathered: Gathered, decision: Decision) -> _Part | None:
    rows = []
    present = decision.cluster[decision.cluster >= 0]
    if not len(present):
        return None
    sizes = np.bincount(present)
    for kind, size in enumerate(sizes):
        members = np.flatnonzero(decision.cluster == kind)
        chosen = members[np.linspace(0, len(members) - 1, min(_PER_KIND, len(members))).round().astype(int)]
        title = f"Kind {kind + 1}: {counted(int(size), 'picture')}, {size / len(present):.0%}"
        rows.append((title, [_Shown(number, gathered.names[number]) for number in chosen]))
    intro = (
        "<p class='soft'>How the kept pictures fall into kinds by their features. "
        f"{page.flag('--clusters N')} says how many; {page.flag('--balance X')} lets no kind have more than X times "
        "the median.</p>"
    )
    if sizes[0] > 3 * np.median(sizes):
        share = f"{sizes[0] / len(present):.0%}"
        intro += f"<p>The largest kind has {share} of all: {page.flag('--balance 2')} would even that.</p>"
    return _Part("kinds", "Kinds", counted(len(sizes), "kind"), intro, rows)


def _balance(gathered: Gathered, decision: Decision) -> _Part | None:
    dropped = decision.dropped_by("balance")
    if not dropped:
        return None
    shown = [_Shown(n, f"kind {decision.cluster[n] + 1} {gathered.names[n]}") for n in dropped[:_PER_RULE]]
    intro = "<p class='soft'>Of kinds that had too many, these resemble others that were kept.</p>"
    return _Part("balance", "More than its share", _dropped(len(dropped), _PER_RULE), intro, [("", shown)])


def _drawn(part: _Part, gathered: Gathered, uris: dict[str, str]) -> str:
    rows = []
    for title, row in part.rows:
        figures = "".join(
            page.figure(uris[gathered.names[shown.number]], gathered.names[shown.number], shown.caption, shown.kept)
            for shown in row
            if gathered.names[shown.number] in uris
        )
        if figures:
            head = f"<h3>{page.text(title)}</h3>" if title else ""
            rows.append(f'{head}<div class="pictures{" group" if part.grouped else ""}">{figures}</div>')
    body = f'<div class="groups">{"".join(rows)}</div>' if part.grouped else "".join(rows)
    return page.section(part.title, part.count, part.above + body, part.anchor)


def _unread(gathered: Gathered) -> str:
    files = [*gathered.unreadable, *gathered.source.left_out]
    items = "".join(f"<li>{page.text(str(file))}</li>" for file in files[:_LISTED])
    more = f"<p class='soft'>and {len(files) - _LISTED:,} more, in pictures.csv</p>" if len(files) > _LISTED else ""
    return page.section("Not read", counted(len(files), "file"), f"<ul>{items}</ul>{more}", "unread")
