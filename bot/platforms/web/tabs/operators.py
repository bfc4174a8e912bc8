"""The operators' tab: what runs, what waits, how it went, and why an answer is as it is."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from bot.platforms.web.findings import in_language
from bot.platforms.web.look import Look
from bot.platforms.web.tabs.frames import frame
from bot.platforms.web.tabs.sight import Sight
from bot.platforms.web.tabs.trends import SPANS, Point, points
from bot.platforms.web.words import words_of

if TYPE_CHECKING:
    from gradio import Blocks
    from pandas import DataFrame

NOW_EVERY_S, PLOTS_EVERY_S = 2.0, 10.0
COLORS = {"answered": "#5b8c2a", "not_found": "#c9a227", "unserved": "#b4452c"}
TIMES = {"median": "#2f6f9f", "slow": "#b4452c"}


class OperatorsPage:
    """What the tab shows, in one language."""

    def __init__(self, sight: Sight, look: Look, language: str) -> None:
        self._sight = sight
        self._look = look
        self._language = language
        self.words = words_of(language)

    async def now(self) -> str:
        """Programs, engines, the queue, and what is wrong."""
        found = await self._sight.now()
        problems = [
            {**one, **{name: in_language(one[name], self._language) for name in ("says", "cure")}}
            for one in found["problems"]
        ]
        return self._look.part("now.html", self._language, **{**found, "problems": problems})

    async def questions(self) -> str:
        """The last questions, each with why it ended so."""
        try:
            seen = await self._sight.last_questions()
        except RedisError:
            return self._look.part("said_part.html", self._language, sentence=self.words["no_redis"])
        return self._look.part("questions.html", self._language, seen=seen)

    async def plots(self, span: str) -> tuple[DataFrame, DataFrame, DataFrame]:
        """How questions ended, what share was answered, and how long answers took."""
        try:
            found = points(await self._sight.ended(), span, time.time())
        except RedisError:
            found = points([], span, time.time())
        return self._outcomes(found), self._shares(found), self._times(found)

    def _outcomes(self, found: list[Point]) -> DataFrame:
        words = {name: self.words[f"trend_{name}"] for name in COLORS}
        return frame(
            ["at", "count", "how"],
            ([_moment(one), getattr(one, name), word] for one in found for name, word in words.items()),
        )

    def _shares(self, found: list[Point]) -> DataFrame:
        return frame(["at", "share"], ([_moment(one), 100 * (one.answered_share or 0.0)] for one in found))

    def _times(self, found: list[Point]) -> DataFrame:
        return frame(
            ["at", "seconds", "which"],
            (
                [_moment(point), value, self.words[f"time_{name}"]]
                for point in found
                for name, value in (("median", point.median_s), ("slow", point.slow_s))
                if value is not None
            ),
        )


def build(sight: Sight, look: Look, language: str) -> Blocks:
    """The tab in a language."""
    import gradio

    page = OperatorsPage(sight, look, language)
    words = page.words
    with gradio.Blocks(title=f"{words['tab_operators']} · Fennel", analytics_enabled=False, fill_width=True) as blocks:
        now = gradio.HTML(elem_id="now")
        spans = [(words[f"span_{span}"], span) for span in SPANS]
        span = gradio.Radio(spans, value="day", show_label=False, container=False, elem_id="span")
        with gradio.Row(elem_id="operator-plots"):
            plots = [_outcomes_plot(words), _shares_plot(words), _times_plot(words)]
        gradio.HTML(
            look.part("heading.html", language, title=words["last_questions"], hint=words["last_questions_hint"])
        )
        table = gradio.HTML(elem_id="questions")
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
        often, seldom = gradio.Timer(NOW_EVERY_S), gradio.Timer(PLOTS_EVERY_S)
        for event in (blocks.load, often.tick):
            event(page.now, None, now, **quiet)
            event(page.questions, None, table, **quiet)
        for event in (blocks.load, seldom.tick):
            event(page.plots, span, plots, **quiet)
        span.change(page.plots, span, plots, **quiet)
    return blocks


_PLOT: dict[str, Any] = {"x": "at", "x_title": " ", "color_title": " ", "height": 240, "min_width": 300}


def _outcomes_plot(words: Any) -> Any:
    import gradio

    colors = {words[f"trend_{name}"]: color for name, color in COLORS.items()}
    return gradio.BarPlot(y="count", color="how", color_map=colors, y_title=" ", title=words["plot_outcomes"], **_PLOT)


def _shares_plot(words: Any) -> Any:
    import gradio

    return gradio.BarPlot(y="share", y_lim=[0, 100], y_title="%", title=words["plot_share"], **_PLOT)


def _times_plot(words: Any) -> Any:
    import gradio

    # Dots, as a line would join times between which nobody asked.
    colors = {words[f"time_{name}"]: color for name, color in TIMES.items()}
    return gradio.ScatterPlot(
        y="seconds", color="which", color_map=colors, y_title="s", title=words["plot_time"], **_PLOT
    )


def _moment(point: Point) -> datetime:
    return datetime.fromtimestamp(point.at_s)  # the server's hours, as in its logs
