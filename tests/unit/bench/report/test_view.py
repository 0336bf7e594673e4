"""What a report concludes and warns of."""

from __future__ import annotations

import re

from sockproxy.bench.report import markdown
from sockproxy.bench.report.view import build
from tests.support import bench_document as documents
from tests.support.bench_report import TROUBLE


def test_a_bypass_is_compared_with_plain_tcp():
    bypass, _ = build(documents.document()).questions
    assert len(bypass.answer) == 3
    wins, losses, costs = bypass.answer
    assert wins.startswith("sockproxy bypass is better in 2 of 4 cases (1.4")
    assert wins.endswith(", no difference in 1.")
    assert losses.startswith("Worse in 1: sockproxy bypass in netperf TCP_CRR, 64 B: 0.9")
    assert costs == "CPU time for the same work: less in 2, more in 1 and the same in 1 of 4."
    assert bypass.chart.series == ("sockproxy bypass",)
    assert [row.title.partition(".")[0] for row in bypass.chart.rows] == ["1", "2", "3", "4"]


def test_proxies_are_compared_with_the_best_other_one():
    document = documents.document(against=("plain",))
    _, proxies = build(document).questions
    wins, losses, best = proxies.answer
    # HAProxy is faster than Envoy, and nowhere in redis-get.
    assert best == "Of 3 cases the best other proxy is HAProxy in 3."
    assert wins.startswith("sockproxy splice is better in 2 of 3 cases (1.8")
    assert "sockproxy relay is better in 1 of 2 cases (1.1" in wins
    assert losses.startswith("Worse in 2: sockproxy splice in netperf TCP_CRR, 64 B: 0.79")
    ours = document["samples"]
    quotients = [
        next(
            one["values"]["gbit_per_s"] / other["values"]["gbit_per_s"]
            for one in ours
            for other in ours
            if (one["case"], one["system"], one["round"]) == ("iperf3-stream", "splice", number)
            and (other["case"], other["system"], other["round"])
            == ("iperf3-stream", "haproxy", number)
        )
        for number in range(1, 9)
    ]
    shown = proxies.chart.rows[0].cells[proxies.chart.series.index("sockproxy splice")]
    assert min(quotients) < shown.low < shown.ratio < shown.high < max(quotients)


def test_what_a_bypass_helps_is_no_other_proxy():
    figures = {"plain": 1e3, "splice": 8e2, "haproxy": 4e2, "envoy+bypass": 9e2}
    envoy = {"envoy+bypass": ("Envoy + bypass", ["envoy"], "1", {"bypassed": 1.0})}
    document = documents.document([documents.case("x", "x; y", figures)], systems=envoy)
    assert "HAProxy in 1" in build(document).questions[1].answer[-1]


def test_why_a_bypass_left_bytes_to_tcp_is_said_where_it_left_most():
    left = {"bypass": ("sockproxy bypass", None, None, {"bypassed": 0.3, "tcp": 0.7})}
    figures = {"plain": 1e3, "bypass": 1e3}
    document = documents.document([documents.case("x", "x; y", figures)], systems=left)
    bypassed = [each for each in document["samples"] if each["system"] == "bypass"]
    assert not build(document).sections[0].notes  # an older document, or no socket stayed plain
    for sample in bypassed[:2]:
        sample["left_plain"] = {"unproven": 2, "of a later version": 1}
    bypassed[2]["left_plain"] = {"no_gain": 100}
    (note,) = build(document).sections[0].notes
    assert note.startswith("sockproxy bypass left most bytes to TCP.")
    reasons = note.partition("plain: ")[2].split("; ")
    assert [each.split()[0] for each in reasons] == ["connections", "its", "of"]
    for sample in bypassed:
        sample["carried"] = {"bypassed": 6, "tcp": 4}
    assert not build(document).sections[0].notes


def test_less_may_be_better():
    figures = {"plain": 5.0, "bypass": 10.0}
    case = documents.case("x", "own; y", figures, headline="mean_us")
    document = documents.document([case], against=("plain",), noise_share=0.001)
    report = build(document)
    bypass, _ = report.questions
    assert "is better in its only case (0.5" in bypass.answer[0]
    assert bypass.chart.rows[0].cells[0].ratio > 1.9  # to the right, as what is better
    assert not report.sections[0].plot.more_is_better


def test_losses_are_named_worst_first():
    figures = {"plain": 1e3, "bypass": 1e3}
    cases = [
        documents.case(f"c{n}", f"load {n}; here", {**figures, "bypass": 1e3 * share})
        for n, share in enumerate((0.8, 0.5, 0.3, 0.6, 0.7))
    ]
    report = build(documents.document(cases, noise_share=0.001))
    wins, losses, costs = report.questions[0].answer
    assert wins == "sockproxy bypass is better in none of 5 cases."
    assert losses.startswith("Worse in 5: sockproxy bypass in load 2: ")
    assert re.findall(r"load (\d)", losses) == ["2", "1", "3"]
    assert losses.endswith("and 2 more.")
    assert "more in 5" in costs


def test_nothing_is_concluded_of_one_round():
    text = markdown.render(documents.document(rounds=1))
    assert "sockproxy bypass has too few rounds to tell" in text
    assert "better in" not in text
    assert "Nothing is found worse" not in text


def test_what_was_not_measured_is_said():
    for document in (documents.empty(), documents.document(rounds=0)):
        for question in build(document).questions:
            assert question.answer[0].startswith("Nothing was compared")
            assert question.chart is None


def test_the_matrix_has_all_systems_in_groups():
    matrix, other = build(documents.document()).matrices
    assert matrix.groups == (("direct", 2), ("sockproxy's proxies", 2), ("other proxies", 2))
    assert matrix.heads == ("Case", "AF_UNIX", "bypass", "relay", "splice", "HAProxy", "Envoy")
    assert all(len(row.cells) == 6 for row in matrix.rows)
    assert "relay" in other.caption
    (crr,) = [row for row in matrix.rows if "TCP_CRR" in row.title]
    assert crr.note.startswith("veth between two namespaces")
    assert next(cell for cell in crr.cells if cell.tone).text.endswith("\N{NO-BREAK SPACE}▼")


def test_incomplete_and_not_accelerated_are_warnings():
    document = documents.document(complete=False)
    document["systems"][3]["why_not"] = "no BPF here"
    warnings = build(document).warnings
    assert "Not complete" in warnings[0]
    assert warnings[1] == "sockproxy relay was not accelerated: no BPF here"


def test_the_matrix_tells_of_failures():
    (crr,) = [
        row
        for row in build(documents.document(**TROUBLE)).matrices[0].rows
        if "TCP_CRR" in row.title
    ]
    assert "failed" in [cell.text for cell in crr.cells]


def test_every_sample_is_drawn():
    ((mark, *_), *_) = [section.plot.marks for section in build(documents.document()).sections]
    assert len(mark.points) == 8
