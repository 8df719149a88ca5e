"""The page: a heading with the model, and a tab for each thing that can be done with it."""

from __future__ import annotations

import functools
import html
import inspect
import threading
from collections.abc import Callable, Iterator
from typing import Any

from sle_gan.errors import UserError, printable
from sle_gan.studio.actions import Actions
from sle_gan.studio.runs import Runs

TITLE = "SLE-GAN studio"
CSS = """
.gradio-container { width: 100%; max-width: 1200px !important; margin: 0 auto !important; box-sizing: border-box; }
.sheet, .curves { overflow-x: auto !important; max-width: 100%; }
.sheet .image-container { min-width: 560px; }
.curves .image-container { min-width: 1000px; }
.large img { width: 100% !important; height: 100% !important; object-fit: contain; }
@media (max-width: 640px) {
  .gradio-container { padding: 8px !important; }
  .gradio-container .gap { gap: 8px; }
}
"""
_NOTE_SECONDS = 20


def make_theme() -> Any:
    """gradio's own, with the fonts of the visitor's system: others are fetched from a server."""
    import gradio as gr

    return gr.themes.Default(  # pyright: ignore[reportPrivateImportUsage]
        primary_hue="emerald",
        font=["ui-sans-serif", "system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )


class Page:
    """What the tabs share.

    Attributes:
        actions, runs: what they do.
        model: the dropdown with the generators, or None where there is none.
        blocks: gradio's.
    """

    def __init__(self, blocks: Any, actions: Actions, runs: Runs, ready: threading.Event):
        self.blocks, self.actions, self.runs = blocks, actions, runs
        self.model: Any = None
        self._ready = ready

    def on(self, triggers: Any, function: Callable[..., Any], inputs: Any, outputs: Any, **options: Any) -> Any:
        """Calls a function when something happens; what a visitor did wrong is told in a note."""
        import gradio as gr

        return gr.on(triggers, self._told(function), inputs, outputs, api_visibility="private", **options)

    def _told(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, waiting for the engine, and with errors as notes that gradio shows."""
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def going_on(*arguments: Any) -> Iterator[Any]:
                with _notes():
                    self._ready.wait()
                    yield from function(*arguments)

            return going_on

        @functools.wraps(function)
        def once(*arguments: Any) -> Any:
            with _notes():
                self._ready.wait()
                return function(*arguments)

        return once


class _notes:
    """Within it, a user's mistake is a note on the page, which gradio takes for HTML."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        import gradio as gr

        if isinstance(error, MemoryError):
            error = UserError("there is not enough memory for this")
        if isinstance(error, UserError):
            text = html.escape(printable(str(error)))
            raise gr.Error(text, duration=_NOTE_SECONDS, print_exception=False) from None


def make_page(actions: Actions, runs: Runs, ready: threading.Event) -> Any:
    """The page as gradio's Blocks; its functions wait until `ready`."""
    import gradio as gr

    from sle_gan.studio import tabs, tabs_photos, tabs_runs

    with gr.Blocks(title=TITLE, analytics_enabled=False) as blocks:
        page = Page(blocks, actions, runs, ready)
        gr.Markdown(f"# {TITLE}")
        _add_model(page)
        with gr.Tabs():
            for name, add, is_shown in (
                ("Create", tabs.add_create, page.model is not None),
                ("Mix", tabs.add_mix, page.model is not None),
                ("Directions", tabs.add_directions, page.model is not None),
                ("Walk", tabs.add_walk, page.model is not None),
                ("Find", tabs_photos.add_find, page.model is not None),
                ("Translate", tabs_photos.add_translate, bool(actions.shelf.translators())),
                ("Runs", tabs_runs.add_runs, bool(runs.names()) or actions.shelf.runs is not None),
            ):
                if is_shown:
                    with gr.Tab(name, id=name.lower()) as tab:
                        add(page, tab)
    return blocks


def _add_model(page: Page) -> None:
    """The dropdown, and a line about the model that is chosen."""
    import gradio as gr

    shelf = page.actions.shelf
    names = shelf.generators()
    if not names and shelf.runs is None:
        return
    page.model = gr.Dropdown(
        names, value=names[0] if names else None, label="Model", interactive=True, elem_id="model",
        visible=len(names) != 1 or shelf.runs is not None,
    )  # fmt: skip
    line = gr.Markdown(elem_id="about")

    def again(name: str | None) -> tuple[Any, str]:
        """The list as it is now: a run may have begun or ended meanwhile."""
        now = shelf.generators()
        name = name if name in now else (now[0] if now else None)
        about = page.actions.describe(name) if name else "No run has exported a generator yet."
        return gr.Dropdown(choices=now, value=name), about

    page.on([page.blocks.load, page.model.input], again, page.model, [page.model, line],
            show_progress="hidden")  # fmt: skip
