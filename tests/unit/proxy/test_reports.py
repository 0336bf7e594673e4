"""What `status` and `connections` are told, by a thread that stops nobody."""

from __future__ import annotations

from sockproxy.net.address import parse_host
from sockproxy.proxy.control import connections_report, status_report
from sockproxy.proxy.proxy import Proxy, ProxyOptions
from sockproxy.worker.table import Row
from tests.support.fake_kernel import FakeKernel
from tests.support.proxy_thread import LISTEN

ENDS = (("127.0.0.1", 1), ("127.0.0.1", 2))


class Asked:
    """A proxy that is not run, and in which something happens while its table is read."""

    def __init__(self, happens):
        options = ProxyOptions((LISTEN,), (parse_host("127.0.0.1:1"),), "unit", relay=True)
        self.proxy = Proxy(options)
        self.proxy.open()
        table = self.proxy.worker.table
        read = table.read

        def read_and_change():
            happens(self.proxy.worker)
            return read()

        table.read = read_and_change

    def __enter__(self):
        return self.proxy

    def __exit__(self, *_):
        self.proxy.close()


def test_a_kernel_and_why_there_is_none_fit_where_it_comes_while_one_asks():
    with Asked(lambda worker: worker.use(FakeKernel())) as proxy:
        report = status_report(proxy)
        assert (report["accelerated"], report["why_not"]) == (False, "relay asked for")
        del proxy.worker.table.read
        report = status_report(proxy)
        assert (report["accelerated"], report["why_not"]) == (True, "")


def test_who_ends_while_the_table_is_read_is_not_shown_as_a_connection():
    ended = Row(2, ENDS, ENDS)

    class Before(Row):
        """By the time that this one has been read, the next one has ended."""

        def stats(self, outcome=None):
            ended.end("finished")
            return super().stats(outcome)

    with Asked(lambda worker: None) as proxy:
        proxy.worker.table.add(Before(1, ENDS, ENDS))
        proxy.worker.table.add(ended)
        (pair,) = connections_report(proxy)["connections"]
        assert (pair["number"], pair["outcome"]) == (1, None)
