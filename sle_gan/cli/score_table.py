"""What sle-gan evaluate prints of scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sle_gan.errors import counted

if TYPE_CHECKING:
    from sle_gan.metrics import Scores


def format_scores(scores: Scores, resize: str) -> str:
    """The table: numbers with their spread, then the protocol."""
    numbers, protocol = scores.metrics, scores.protocol
    rows = []
    if "fid" in numbers:
        spread = ""
        if "fid_bootstrap_std" in numbers:
            spread = f"+- {numbers['fid_bootstrap_std']:.4g} over {protocol['bootstrap']} bootstrap draws"
        name = "FID" if protocol["extractor"] == "inception" else f"Frechet ({protocol['extractor']})"
        rows.append((name, f"{numbers['fid']:.4f}", spread))
    if "kid" in numbers:
        rows.append(("KID x 1000", f"{1000 * numbers['kid']:.4f}", f"+- {1000 * numbers['kid_std']:.4g} over subsets"))
    if "mifid" in numbers:
        rows.append(
            (
                "MiFID",
                f"{numbers['mifid']:.6g}",
                f"memorization distance {numbers['memorization_distance']:.4f}",
            )
        )
    rows += [(name.capitalize(), f"{numbers[name]:.4f}", "") for name in ("precision", "recall") if name in numbers]
    rows.append(("", "", ""))
    rows.append(("extractor", protocol["version"], ""))
    rows.append(("resize", resize, ""))
    for side in ("real", "fake"):
        details = protocol[side]
        origin = ", ".join(f"{key} {details[key]}" for key in ("seeds", "drawn") if key in details)
        rows.append(
            (side, f"{counted(details['count'], 'image')}, {details['preparation']}", f"{details['source']} {origin}")
        )
    rows.append(("seed", str(protocol["seed"]), ""))
    width = max(len(name) for name, _, _ in rows) + 2
    return "\n".join(f"{name:{width}}{value:12}  {note}".rstrip() for name, value, note in rows)
