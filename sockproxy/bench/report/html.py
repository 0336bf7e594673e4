"""A result, or what changed between two, as one HTML page, which needs nothing besides itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sockproxy.bench.report.chart import draw_chart
from sockproxy.bench.report.parts import Changes
from sockproxy.bench.report.plots import draw
from sockproxy.bench.report.timeline import draw_timeline
from sockproxy.bench.report.view import build
from sockproxy.bench.result.document import Document
from sockproxy.errors import Unsupported

__all__ = ["render", "render_changes"]

FOLDER = Path(__file__).parent


def render(document: Document) -> str:
    """The page of a result. Raises Unsupported where jinja2 or matplotlib is missing."""
    template = _template("page.html.j2")
    report = build(document)
    charts = {
        question.anchor: draw_chart(question.chart, question.anchor)
        for question in report.questions
        if question.chart
    }
    drawings = {
        section.anchor: draw(section.plot, section.anchor)
        for section in report.sections
        if section.plot
    }
    for section in report.sections:
        if section.timeline is not None:
            drawings[section.anchor].append(draw_timeline(section.timeline, section.anchor))
    page: str = template.render(report=report, drawings=drawings, charts=charts)
    return page


def render_changes(changes: Changes) -> str:
    """The page of what changed. Raises Unsupported where jinja2 or matplotlib is missing."""
    template = _template("changes.html.j2")
    charts = [draw_chart(chart, f"chart-{number}") for number, chart in enumerate(changes.charts)]
    page: str = template.render(changes=changes, charts=charts)
    return page


def _template(name: str) -> Any:
    """The template of that name beside this file; what it includes lies there too."""
    try:
        # Only here: they are an extra, and take half a second to load.
        import jinja2
        import matplotlib
    except ImportError:
        raise Unsupported("draw the report", hint="pip install 'sockproxy[report]'") from None
    del matplotlib
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
