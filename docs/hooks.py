"""What MkDocs does not do by itself: pages made from the program, files from outside docs/, the order of the pages.

* `commands.md` is made from the parsers of `sle_gan.cli`, `api.md` from `sle_gan.__all__`: a new command, flag or
  name is there at the next build.
* CONTRIBUTING.md and others of the repository are pages of the site too. Links between files are written as they
  work in the repository (`../art/demo.png`, `docs/faq.md`) and translated here.
* `ORDER` is the order of the pages. One that does not exist is left out; one that it does not name comes last.
"""

from __future__ import annotations

import logging
import posixpath
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "docs")]

from mkdocs.structure.files import File, Files  # noqa: E402
from reference import api_page, commands_page  # noqa: E402

LOG = logging.getLogger("mkdocs.hooks.docs")  # what it warns of ends a strict build

ORDER: dict[str, list[str]] = {
    "Start": ["index.md", "quick_start.md", "faq.md"],
    "Use it": [
        "your_pictures.md", "training.md", "generating.md", "exploring.md", "studio.md", "metrics.md",
        "weights.md", "sharing.md", "labels_and_shapes.md", "labels.md", "shapes.md", "search.md", "recipes.md",
    ],
    "The GANs": ["projected.md", "dcgan.md", "cyclegan.md", "lightweight.md", "differences.md"],
    "Machines": ["speed.md", "gpu.md", "many_devices.md", "benchmarks.md"],
    "Reference": ["commands.md", "api.md", "file_formats.md"],
    "The project": ["contributing.md", "changelog.md", "security.md"],
}  # fmt: skip
# Pages of the site that lie elsewhere in the repository.
ELSEWHERE = {
    "benchmarks/README.md": "benchmarks.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    **{
        f"examples/{readme.parent.name}/README.md": f"example_{readme.parent.name}.md"
        for readme in sorted((REPOSITORY / "examples").glob("*/README.md"))
    },
}
# Folders with pictures that pages show; the site has them under the same names.
PICTURES = ("art", "examples")
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".gif"}
EXAMPLES = sorted(name for name in ELSEWHERE.values() if name.startswith("example_"))
GENERATED = {"commands.md": commands_page, "api.md": api_page}
LINK = re.compile(r"(!?)\[([^][]*)\]\(([^()\s]+)\)")
FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: Any) -> Files:
    """Adds the generated pages, those from elsewhere in the repository, and the pictures in art/."""
    for name, make in GENERATED.items():
        files.append(File.generated(config, name, content=make()))
    for source, name in ELSEWHERE.items():
        files.append(File.generated(config, name, content=(REPOSITORY / source).read_text(encoding="utf-8")))
    for picture in sorted(path for folder in PICTURES for path in (REPOSITORY / folder).rglob("*")):
        if picture.suffix in SUFFIXES:
            name = picture.relative_to(REPOSITORY).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(picture)))
    config.nav = ordered({file.src_uri for file in files.documentation_pages()})
    return files


def ordered(pages: set[str]) -> list[dict[str, list[str]]]:
    """The navigation: `ORDER` without what is missing, and "More" with what it does not name."""
    known = {page for section in ORDER.values() for page in section}
    sections = {title: [page for page in section if page in pages] for title, section in ORDER.items()}
    sections["Examples"] = [page for page in EXAMPLES if page in pages]
    sections["More"] = sorted(pages - known - {*EXAMPLES})
    return [{title: section} for title, section in sections.items() if section]


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Translates the links between files of the repository; code blocks stay as they are."""
    place = {name: source for source, name in ELSEWHERE.items()}.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    parts, end = [], 0
    for fence in FENCE.finditer(markdown):
        parts += [_translated(markdown[end : fence.start()], place), fence.group()]
        end = fence.end()
    return "".join([*parts, _translated(markdown[end:], place)])


def _translated(text: str, place: str) -> str:
    def replaced(found: re.Match[str]) -> str:
        mark, label, link = found.groups()
        target = site_link(link, place)
        return label if target is None else f"{mark}[{label}]({target})"

    return LINK.sub(replaced, text)


def site_link(link: str, place: str) -> str | None:
    """A link as the site has it, which is flat; None for a file of the repository that is no part of it.

    Args:
        link: as it stands in a file.
        place: that file's path in the repository.
    """
    parts = urlsplit(link)
    if parts.scheme or link.startswith("//"):
        if parts.scheme not in ("https", "mailto") or (parts.scheme == "https" and "." not in parts.netloc):
            LOG.warning("%s: %s is no link that a reader could follow", place, link)
        return link
    if not parts.path:
        return link
    target = posixpath.normpath(posixpath.join(posixpath.dirname(place), parts.path))
    anchor = f"#{parts.fragment}" if parts.fragment else ""
    if target in ELSEWHERE:
        return ELSEWHERE[target] + anchor
    if target == "README.md":
        return "index.md" + anchor
    if target.startswith(tuple(f"{folder}/" for folder in PICTURES)) and Path(target).suffix in SUFFIXES:
        return target
    if target.startswith("docs/"):
        return target.removeprefix("docs/") + anchor
    if not (REPOSITORY / target).exists():
        LOG.warning("%s: there is no %s", place, link)
    return None
