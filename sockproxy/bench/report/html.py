"""The report as one HTML page, which needs nothing besides itself."""

from __future__ import annotations

from pathlib import Path

from sockproxy.bench.report.chart import draw_chart
from sockproxy.bench.report.plots import draw
from sockproxy.bench.report.view import build
from sockproxy.bench.result.document import Document
from sockproxy.errors import Unsupported

__all__ = ["render"]

TEMPLATE = Path(__file__).with_name("page.html.j2")


def render(document: Document) -> str:
    """The page. Raises Unsupported where jinja2 or matplotlib is missing."""
    try:
        # Only here: they are an extra, and take half a second to load.
        import jinja2
        import matplotlib
    except ImportError:
        raise Unsupported("draw the report", hint="pip install 'sockproxy[report]'") from None
    del matplotlib
    report = build(document)
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    charts = {
        question.anchor: draw_chart(question.chart, question.anchor)
        for question in report.questions
        if question.chart
    }
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    drawings = {
        section.anchor: draw(section.plot, section.anchor)
        for section in report.sections
        if section.plot
    }
    return template.render(report=report, drawings=drawings, charts=charts)
