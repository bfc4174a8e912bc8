"""The knowledge tab: documents in, in step with their places, a look at what a question finds, and the threshold."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bot.platforms.web.look import Look
from bot.platforms.web.tabs.frames import frame
from bot.platforms.web.tabs.kb_command import KbCommand, Result, Step
from bot.platforms.web.tabs.uploads import DOCUMENTS, QUESTIONS, UploadError, place_documents, remove_sent, safe_name
from bot.platforms.web.words import words_of
from config.environment import CHECKOUT
from config.settings import Settings

if TYPE_CHECKING:
    from gradio import Blocks
    from pandas import DataFrame

DEFAULT_BASE = "default"
SHOWN_HITS = 5
HOUR_S = 3_600
PRECISIONS = (0.5, 0.99, 0.9)
"""The least, the most, and the usual share of answers that have to be right."""
_BASE = re.compile(r"[\w-]{1,64}")
Sent = Sequence[str] | str | None
Changed = AsyncIterator[str]


class KnowledgePage:
    """What the tab shows and does, in one language."""

    def __init__(self, settings: Settings, commands: KbCommand, look: Look, language: str) -> None:
        self._settings = settings
        self._commands = commands
        self._look = look
        self._language = language
        self._incoming = settings.home / "web" / "incoming"
        self.words = words_of(language)

    # --- documents

    async def documents(self, base: str) -> str:
        """The documents of a base."""
        found = await self._commands.look("list", "--base", _base(base))
        return self._part("documents.html", result=found)

    async def bases(self) -> list[str]:
        """The bases that there are, the usual one first."""
        found = await self._commands.look("list")
        others = [name for name in found.body.get("bases", {}) if name != DEFAULT_BASE]
        return [DEFAULT_BASE, *sorted(others)]

    async def add(self, sent: Sent, base: str) -> Changed:
        """Add what was sent."""
        files = _files(sent)
        if not files:
            yield self._said(self.words["nothing_sent"])
            return
        try:
            placed = place_documents(files, self._settings, _base(base))
        except UploadError as error:
            yield self._said(f"{error}.")
            return
        finally:
            remove_sent(files, self._incoming)
        # People are shown the name alone, and no path of this machine.
        names = [file.name for file in placed]
        async for html in self._change("add", "--base", _base(base), "--", *names, folder=placed[0].parent):
            yield html

    async def sync(self) -> Changed:
        """Bring in what has changed in every folder and repository that was synced before."""
        async for html in self._change("sync"):
            yield html

    async def remove(self, source: str, base: str) -> Changed:
        """Remove a document, by its source."""
        if not source.strip():
            yield self._said(self.words["nothing_named"])
            return
        async for html in self._change("remove", "--base", _base(base), "--", source.strip()):
            yield html

    async def _change(self, *arguments: str, folder: Path = CHECKOUT) -> Changed:
        yield self._part("progress.html", step=Step(self.words["beginning"], 0, 0))
        async for step in self._commands.change(*arguments, folder=folder):
            if isinstance(step, Step):
                yield self._part("progress.html", step=step)
            else:
                yield self._part("changed.html", result=step)

    # --- search

    async def search(self, query: str, base: str) -> Changed:
        """What a question finds, and what the gate makes of it."""
        if not query.strip():
            yield self._said(self.words["nothing_asked"])
            return
        yield self._part("progress.html", step=Step(self.words["searching"], 0, 0))
        found = await self._commands.look(
            "search", "--base", _base(base), "--limit", str(SHOWN_HITS), "--", query.strip()
        )
        yield self._part("hits.html", result=found)

    # --- threshold

    async def curve(self, good: Sent, bad: Sent, precision: float, base: str, *, keeps: bool) -> AsyncIterator[Any]:
        """The threshold that these questions teach, with its curve; `keeps`: workers go by it from now on."""
        files = [*_files(good), *_files(bad)]
        if len(files) != 2:
            yield self._said(self.words["nothing_sent"]), self._no_curve(), self._no_curve()
            return
        try:
            for file in files:
                safe_name(file, QUESTIONS)
        except UploadError as error:
            yield self._said(f"{error}."), self._no_curve(), self._no_curve()
            return
        what = ("tune", "--base", _base(base), "--precision", f"{precision:.3f}", *(() if keeps else ("--dry-run",)))
        async for step in self._commands.change(*what, "--good", files[0], "--bad", files[1]):
            if isinstance(step, Step):
                yield self._part("progress.html", step=step), self._no_curve(), self._no_curve()
            else:
                yield self._part("tuned.html", result=step, keeps=keeps), self._over_threshold(step), self._trade(step)

    def _over_threshold(self, result: Result) -> DataFrame:
        return frame(
            ["score", "share", "what"],
            (
                [point["score"], 100 * point[name], self.words[name]]
                for point in result.body.get("curve", ())
                for name in ("precision", "recall")
            ),
        )

    def _trade(self, result: Result) -> DataFrame:
        points = result.body.get("curve", ())
        return frame(["recall", "precision"], ([100 * one["recall"], 100 * one["precision"]] for one in points))

    def _no_curve(self) -> Any:
        import gradio

        return gradio.skip()

    def _said(self, sentence: str) -> str:
        return self._part("said_part.html", sentence=sentence)

    def _part(self, template: str, **values: Any) -> str:
        return self._look.part(template, self._language, **values)


def build(settings: Settings, commands: KbCommand, look: Look, language: str) -> Blocks:
    """The tab in a language."""
    import gradio

    page = KnowledgePage(settings, commands, look, language)
    words = page.words
    with gradio.Blocks(
        title=f"{words['tab_knowledge']} · Fennel", analytics_enabled=False, delete_cache=(HOUR_S, HOUR_S)
    ) as blocks:
        with gradio.Row():
            base = gradio.Dropdown([DEFAULT_BASE], value=DEFAULT_BASE, label=words["base"], allow_custom_value=True)
        with gradio.Tab(words["part_documents"]):
            _documents_part(page, base, blocks)
        with gradio.Tab(words["part_search"]):
            _search_part(page, base)
        with gradio.Tab(words["part_threshold"]):
            _threshold_part(page, base)
    return blocks


_PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


def _documents_part(page: KnowledgePage, base: Any, blocks: Any) -> None:
    import gradio

    words = page.words
    sent = gradio.File(file_count="multiple", file_types=list(DOCUMENTS), label=words["upload"], elem_id="upload")
    with gradio.Row():
        add = gradio.Button(words["add"], variant="primary", elem_id="add")
        sync = gradio.Button(words["sync"], elem_id="sync")
    done = gradio.HTML(elem_id="changed")
    listed = gradio.HTML(elem_id="documents")
    with gradio.Row():
        source = gradio.Textbox(label=words["remove_label"], placeholder=words["remove_hint"], scale=4)
        remove = gradio.Button(words["remove"], variant="stop", scale=1, elem_id="remove")

    async def bases() -> Any:
        return gradio.Dropdown(choices=await page.bases())

    blocks.load(bases, None, base, **_PRIVATE)
    blocks.load(page.documents, base, listed, **_PRIVATE)
    base.change(page.documents, base, listed, **_PRIVATE)
    for button, act, inputs in (
        (add, page.add, [sent, base]),
        (sync, page.sync, None),
        (remove, page.remove, [source, base]),
    ):
        acted = button.click(act, inputs, done, concurrency_limit=None, **_PRIVATE)
        acted.then(page.documents, base, listed, **_PRIVATE)
        if button is add:
            acted.then(lambda: None, None, sent, **_PRIVATE)


def _search_part(page: KnowledgePage, base: Any) -> None:
    import gradio

    words = page.words
    with gradio.Row(equal_height=True):
        query = gradio.Textbox(label=words["question"], placeholder=words["question_hint"], scale=5, elem_id="query")
        search = gradio.Button(words["search"], variant="primary", scale=1, elem_id="search")
    hits = gradio.HTML(elem_id="hits")
    for event in (search.click, query.submit):
        event(page.search, [query, base], hits, concurrency_limit=2, **_PRIVATE)


def _threshold_part(page: KnowledgePage, base: Any) -> None:
    import gradio

    words, (least, most, usual) = page.words, PRECISIONS
    gradio.Markdown(words["threshold_hint"])
    with gradio.Row():
        kinds = list(QUESTIONS)
        good = gradio.File(file_types=kinds, label=words["good_questions"], height=120, elem_id="good")
        bad = gradio.File(file_types=kinds, label=words["bad_questions"], height=120, elem_id="bad")
    precision = gradio.Slider(least, most, value=usual, step=0.01, label=words["precision_wanted"])
    with gradio.Row():
        draw = gradio.Button(words["draw"], variant="primary", elem_id="draw")
        keep = gradio.Button(words["keep"], elem_id="keep")
    told = gradio.HTML(elem_id="tuned")
    with gradio.Row(elem_id="curves"):
        plots = [_share_plot(words), _trade_plot(words)]

    async def draw_it(*inputs: Any) -> AsyncIterator[Any]:
        async for shown in page.curve(*inputs, keeps=False):
            yield shown

    async def keep_it(*inputs: Any) -> AsyncIterator[Any]:
        async for shown in page.curve(*inputs, keeps=True):
            yield shown

    for button, act in ((draw, draw_it), (keep, keep_it)):
        button.click(act, [good, bad, precision, base], [told, *plots], concurrency_limit=None, **_PRIVATE)


_PLOT: dict[str, Any] = {"y_lim": [0, 100], "height": 300, "min_width": 300}


def _share_plot(words: Any) -> Any:
    import gradio

    colors = {words["precision"]: "#5b8c2a", words["recall"]: "#2f6f9f"}
    axes = {"x": "score", "y": "share", "color": "what", "x_title": words["threshold"], "y_title": "%"}
    return gradio.LinePlot(**axes, color_map=colors, color_title=" ", title=words["curve_title"], **_PLOT)


def _trade_plot(words: Any) -> Any:
    import gradio

    axes = {"x": "recall", "y": "precision", "x_title": words["recall"], "y_title": words["precision"]}
    return gradio.LinePlot(**axes, title=words["trade_title"], **_PLOT)


def _files(sent: Sent) -> list[str]:
    """Where the server has put what was sent."""
    return [sent] if isinstance(sent, str) else list(sent or ())


def _base(name: str) -> str:
    """The base's name, or the usual one for what is none."""
    return name if isinstance(name, str) and _BASE.fullmatch(name) and not name.startswith("-") else DEFAULT_BASE
