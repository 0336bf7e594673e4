"""What is counted, as samples for Prometheus."""

from __future__ import annotations

from functools import partial

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sockproxy.errors import SockproxyError
from sockproxy.proxy.control import metrics_report
from sockproxy.worker.classes import LIVES, SIZES
from tests.support.proxy_thread import Running, has_refused, host
from tests.support.scale import patience
from tests.support.scrape import scrape
from tests.support.sockets import eventually, receive


@pytest.fixture
def scraped(monkeypatch):
    """What is shown where these answer and those are seen: (name, labels) to the value."""

    def scrape_samples(answers, seen=()):
        text = scrape(monkeypatch, answers, seen)
        return {
            (sample.name.removeprefix("sockproxy_"), *sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    return scrape_samples


def of(sample, **labels):
    return (sample, *sorted(labels.items()))


def test_connections_are_counted_by_how_they_lived_and_ended(servers, scraped):
    gone = host(servers[1])
    servers[1].close()
    with Running([host(servers[0])], name="unit") as running, Running([gone]) as refusing:
        for _ in range(3):
            with running.connect() as client:
                upstream, _ = servers[0].accept()
                upstream.settimeout(patience(10))
                with upstream:
                    client.sendall(b"x" * 5000)
                    assert receive(upstream, 5000)
        eventually(lambda: running.proxy.clients.count == 0)
        with pytest.raises(ConnectionResetError), refusing.connect() as client:
            client.recv(1)
        has_refused(refusing, {"no upstream": 1})
        living = running.connect()
        eventually(lambda: running.proxy.worker.live == 1)
        answers = {
            name: {**metrics_report(each.proxy), "name": name}
            for name, each in (("one", running), ("two", refusing))
        }
        living.close()
    found = scraped(answers)
    assert found[of("up", kind="proxy", name="one")] == 1
    assert found[of("proxy_connections", proxy="one")] == 1
    assert found[of("proxy_connections_ended_total", proxy="one", outcome="finished")] == 3
    assert found[of("proxy_clients_refused_total", proxy="two", reason="no upstream")] == 1
    assert found[of("proxy_carried_bytes_total", proxy="one", way="pumped")] == 15_000
    assert found[of("proxy_connection_size_bytes_count", proxy="one")] == 3
    assert found[of("proxy_connection_size_bytes_sum", proxy="one")] == 15_000
    assert found[of("proxy_connection_size_bytes_bucket", proxy="one", le="1000.0")] == 0
    assert found[of("proxy_connection_size_bytes_bucket", proxy="one", le="10000.0")] == 3
    assert found[of("proxy_connection_duration_seconds_bucket", proxy="one", le="+Inf")] == 3
    assert 0 < found[of("proxy_connection_duration_seconds_sum", proxy="one")] < patience(30)
    address = str(host(servers[0]))
    there = {"proxy": "one", "service": "unit", "upstream": address}
    assert found[of("proxy_upstream_up", **there)] == 1
    assert found[of("proxy_upstream_chosen_total", **there)] == 4
    assert found[of("proxy_waiting_clients", proxy="one", service="unit")] == 0
    relayed = {"proxy": "one", "state": "pump", "reason": "relay asked for"}
    for direction in ("forward", "backward"):
        assert found[of("proxy_directions", direction=direction, **relayed)] == 1
    assert len(answers["one"]["lives"]) == len(LIVES) + 1
    assert len(answers["one"]["sizes"]) == len(SIZES) + 1


def test_one_that_does_not_answer_is_down(scraped):
    found = scraped({"gone": SockproxyError("no answer")})
    assert found[of("up", kind="proxy", name="gone")] == 0


def test_nothing_runs(scraped):
    found = scraped({})
    assert {name for name, *_ in found} == {"build_info", "scrape_duration_seconds"}


def test_reasons_without_end_are_the_others(servers):
    """There is room for so many, of which the last stands for all that came later."""
    with Running([host(servers[0])], workers=1) as running:
        worker, count = running.proxy.worker, 40
        clients = [running.connect() for _ in range(count)]
        eventually(lambda: worker.live == count)
        for number, row in enumerate(worker.read().live):
            worker.loop.call(partial(worker.first.abort, row.number, str(number)))
        eventually(lambda: worker.live == 0)
        outcomes = worker.tally().outcomes
        assert len(outcomes) == 24
        assert outcomes["others"] == count - 23
        assert sum(outcomes.values()) == count
        for each in clients:
            each.close()
