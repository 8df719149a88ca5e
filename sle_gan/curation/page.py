"""A page that needs nothing but itself: no script, no font and no picture from elsewhere."""

from __future__ import annotations

import html

from sle_gan.errors import printable

# A browser that reads this makes no request, whatever a file is called.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

_STYLE = """
:root { --ink: #1d2430; --soft: #5d6879; --line: #dfe3ea; --paper: #ffffff; --ground: #f4f5f8; --in: #8fa3bf;
  --out: #d9622b; --good: #2f7d5b; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7eaf0; --soft: #a0a9b8; --line: #343b47; --paper: #1c2129;
  --ground: #14181e; --in: #5f7696; --out: #ee7d48; --good: #5fb88d; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 28px; line-height: 1.2; margin: 0 0 4px; }
h2 { font-size: 20px; margin: 0; }
p { margin: 6px 0; max-width: 75ch; }
.soft { color: var(--soft); }
section { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; padding: 18px 20px;
  margin-top: 18px; }
.head { display: flex; flex-wrap: wrap; gap: 4px 14px; align-items: baseline; justify-content: space-between; }
.count { color: var(--soft); font-variant-numeric: tabular-nums; }
.count b { color: var(--out); }
code { background: var(--ground); border-radius: 4px; padding: 1px 5px; font-size: 14px; overflow-wrap: anywhere; }
code.flag { white-space: nowrap; }
.numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(130px, 1fr)); gap: 12px; margin-top: 18px; }
.numbers div { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; padding: 12px 16px; }
.numbers b { display: block; font-size: 28px; line-height: 1.2; font-variant-numeric: tabular-nums; }
.bars { display: grid; grid-template-columns: max-content 1fr max-content; gap: 6px 12px; align-items: center;
  margin-top: 10px; }
.bars a { color: inherit; }
.bars i { display: block; height: 12px; border-radius: 3px; background: var(--out); min-width: 2px; }
.bars i.in { background: var(--in); } .bars i.best { background: var(--good); }
.bars span { font-variant-numeric: tabular-nums; text-align: right; }
svg.histogram { display: block; width: 100%; max-width: 720px; height: auto; margin: 10px 0 4px; }
svg rect.in { fill: var(--in); } svg rect.out { fill: var(--out); }
svg line.axis { stroke: var(--line); } svg line.cut { stroke: var(--out); stroke-width: 2; stroke-dasharray: 5 3; }
svg text { font: 14px system-ui, sans-serif; fill: var(--soft); } svg text.cut { fill: var(--out); font-weight: 600; }
.pictures { display: flex; flex-wrap: wrap; gap: 10px; margin-top: 10px; }
figure { margin: 0; max-width: 100%; }
figure img { display: block; height: 96px; width: auto; max-width: 100%; object-fit: cover; border-radius: 5px;
  background: var(--line); }
figcaption { font-size: 12px; line-height: 1.3; color: var(--soft); width: 0; min-width: 100%; white-space: nowrap;
  overflow: hidden; text-overflow: ellipsis; }
figure.kept img { outline: 3px solid var(--good); outline-offset: -3px; }
.group { border-left: 3px solid var(--line); padding-left: 10px; }
.groups { display: flex; flex-wrap: wrap; gap: 14px 26px; margin-top: 10px; }
.groups .pictures { margin-top: 0; }
h3 { font-size: 15px; margin: 16px 0 0; }
ul { padding-left: 20px; margin: 8px 0; } li { overflow-wrap: anywhere; }
@media (max-width: 600px) { main { padding: 18px 12px 40px; } section { padding: 14px 12px; }
  figure img { height: 76px; } svg text { font-size: 24px; } .numbers { grid-template-columns: 1fr 1fr; }
  h1 { font-size: 24px; } }
"""


def text(value: str) -> str:
    """Text of any origin, safe within a page."""
    return html.escape(value if value.isprintable() else printable(value))


def flag(words: str) -> str:
    """A flag of the command, with its value, as it is typed."""
    return f'<code class="flag">{text(words)}</code>'


def page(title: str, body: str) -> str:
    """A whole document around `body`, which is HTML."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def section(title: str, count: str, body: str, anchor: str = "") -> str:
    """title: text. count, body: HTML."""
    name = f' id="{anchor}"' if anchor else ""
    return (
        f'<section{name}><div class="head"><h2>{text(title)}</h2><div class="count">{count}</div></div>{body}</section>'
    )


def figure(uri: str, name: str, caption: str, kept: bool = False) -> str:
    """A picture with a line below it; the whole name appears under the pointer."""
    mark = ' class="kept"' if kept else ""
    return (
        f'<figure{mark} title="{text(name)}"><img src="{uri}" alt="{text(name)}">'
        f"<figcaption>{text(caption)}</figcaption></figure>"
    )


def bars(rows: list[tuple[str, float, str, str]]) -> str:
    """Rows of (HTML label, share of the longest 0..1, HTML at the end, class)."""
    body = "".join(
        f'<div>{label}</div><div><i class="{kind}" style="width:{100 * share:.1f}%"></i></div><span>{end}</span>'
        for label, share, end, kind in rows
    )
    return f'<div class="bars">{body}</div>'
