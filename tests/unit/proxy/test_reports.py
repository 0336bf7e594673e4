"""What `status` and `connections` are told, by a thread that stops nobody."""

from __future__ import annotations

from sockproxy.proxy.control import status_report
from sockproxy.proxy.options import ProxyOptions, ServiceOptions
from sockproxy.proxy.pool import parse_upstreams
from sockproxy.proxy.proxy import Proxy
from tests.support.fake_kernel import FakeKernel
from tests.support.proxy_thread import LISTEN


class Asked:
    """A proxy that is not run, and in which something happens while its table is read."""

    def __init__(self, happens):
        options = ProxyOptions(
            (ServiceOptions((LISTEN,), parse_upstreams(["127.0.0.1:1"])),), "unit", relay=True
        )
        self.proxy = Proxy(options)
        self.proxy.open()
        worker = self.proxy.worker
        read = worker.sums_of_each

        def read_and_change():
            happens(worker)
            return read()

        worker.sums_of_each = read_and_change

    def __enter__(self):
        return self.proxy

    def __exit__(self, *_):
        self.proxy.close()


def test_a_kernel_and_why_there_is_none_fit_where_it_comes_while_one_asks():
    with Asked(lambda worker: worker.use(FakeKernel())) as proxy:
        report = status_report(proxy)
        assert (report["accelerated"], report["why_not"]) == (False, "relay asked for")
        del proxy.worker.sums_of_each
        report = status_report(proxy)
        assert (report["accelerated"], report["why_not"]) == (True, "")
