"""`sockproxy bench run --server --client --figure`: programs that nobody has prepared."""

from __future__ import annotations

import json
import signal
import time

import pytest

from tests.support.bench import bench, samples, start_bench

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.tools("nft")]

ECHO = "socat TCP-LISTEN:$port,bind=$address,reuseaddr,fork SYSTEM:cat"
CLIENT = 'sh -c "echo hello | socat - TCP:$address:$port >/dev/null; echo rate: 12.5"'
FIGURE = "rate: ([0-9.]+)"
NETPERF = "netperf -P 0 -H $address -p 12865 -t TCP_RR -l $seconds -- -P ,$port -k THROUGHPUT"
REAL = {
    "netperf": ("netserver -4 -D -L $address -p 12865", NETPERF, "THROUGHPUT=(.*)", "--ready",
                "12865"),
    "iperf3": ("iperf3 -s -B $address -p $port", "iperf3 -J -c $address -p $port -t $seconds",
               "$.end.sum_received.bits_per_second", "--each-second",
               "$.intervals[*].sum.bits_per_second"),
    "redis-benchmark": ("redis-server --bind $address --port $port --save ''",
                        "redis-benchmark -h $address -p $port --csv -t get -n 5000",
                        '"GET","([0-9.]+)"', "--port", "6400"),
    "wrk": ("python3 -m http.server -b $address -d $folder $port",
            "wrk -c 2 -t 1 -d ${seconds}s http://$address:$port/", r"Requests/sec: +([0-9.]+)"),
}  # fmt: skip


def run(server, client, figure, *options, systems=("relay",)):
    chosen = [word for system in systems for word in ("--system", system)]
    given = ("--server", server, "--client", client, "--figure", figure)
    return bench("run", *given, "--rounds", 1, "--json", *chosen, *options)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("netperf", marks=pytest.mark.tools("netperf", "netserver")),
        pytest.param("iperf3", marks=pytest.mark.tools("iperf3")),
        pytest.param("redis-benchmark", marks=pytest.mark.tools("redis-server", "redis-benchmark")),
        pytest.param("wrk", marks=pytest.mark.tools("wrk")),
    ],
)
def test_a_real_program(name):
    server, client, figure, *options = REAL[name]
    done = run(
        server, client, figure, *options, "--unit", "things", systems=("relay", "bypass-all")
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    (case,) = document["cases"]
    assert case["tool"] == name
    assert case["commands"]["server"].split()[0] == server.split()[0]
    assert document["metrics"][case["headline"]]["title"] == "things"
    for system in ("plain", "relay", "bypass-all"):
        (sample,) = samples(document, case["key"], system)
        assert sample["values"][case["headline"]] > 10
        assert sample["cpu"]["client"] > 0
        assert sample["raw"]
        assert len(sample.get("each_second", ())) == (1 if name == "iperf3" else 0)
        if system == "relay":
            assert sample["carried"]["pumped"] > 1000
    headlines = [each for each in document["summary"] if each["metric"] == case["headline"]]
    assert sorted(headlines[1]["ratios"]) == ["plain"]


@pytest.mark.tools("socat")
def test_a_tool_of_a_file(tmp_path):
    (tmp_path / "tool.toml").write_text(
        f"title = 'Echo'\nserver = {ECHO.split()}\nfigure = '{FIGURE}'\nunit = 'per day'\n"
        "client = ['sh', '-c', '''echo $size | socat - TCP:$address:$port >/dev/null;"
        " echo rate: 0.0125''']\nless_is_better = true\n"
    )
    scenario = tmp_path / "mine.toml"
    scenario.write_text(
        "title = 'x'\nrounds = 1\n[[case]]\ntool = 'tool.toml'\nsize = ['1KiB', '2KiB']\n"
        "systems = ['plain']\n"
    )
    done = bench("run", scenario)
    assert done.returncode == 0, done.stderr
    assert "1. Echo, 1 KiB; loopback, all on one CPU" in done.stdout
    assert "per day: median" in done.stdout
    assert "0.01250" in done.stdout


@pytest.mark.tools("socat")
@pytest.mark.parametrize(
    ("server", "client", "figure", "words"),
    [
        (ECHO, CLIENT, "none: (.*)", "matches nothing that was printed; it printed rate: 12.5"),
        (ECHO, CLIENT, "([a-z]+):", "'rate' is not a number"),
        (ECHO, CLIENT, "$.rate", "no JSON"),
        ("sleep 1000", CLIENT, FIGURE, "does not listen on port 7070"),
        ("sh -c 'echo no licence >&2; exit 3'", CLIENT, FIGURE, "exit 3: no licence"),
        ("true", CLIENT, FIGURE, "have it stay in the foreground"),
        (f"sh -c '{ECHO} & sleep 0.2'", CLIENT, FIGURE, "have it stay in the foreground"),
        (ECHO, "sh -c 'sleep 1000; echo $port'", FIGURE, "no end after"),
        (ECHO, "sh -c 'echo broken $port >&2; exit 7'", FIGURE, "exit 7: broken"),
        (ECHO, "sh -c 'yes $port'", FIGURE, "wrote more than 64 MiB"),
        (ECHO, "sh -c 'head -c 20000000 /dev/zero; echo $port'", FIGURE, "more than 16 MiB"),
        (ECHO, "sh -c 'sleep 1000 & echo rate: 1 $port'", "rate: (.*)", "'1 7070' is not a number"),
    ],
    ids=["no-match", "no-number", "no-json", "never-listens", "cannot-start", "ends",
         "forks", "hangs", "fails", "talks", "prints-much", "leaves-a-child"],
)  # fmt: skip
def test_commands_that_misbehave(server, client, figure, words):
    """What is left behind is seen by the check around every test."""
    done = run(server, client, figure, "--timeout", "1s")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (last,) = json.loads(done.stdout)["failures"]
    assert words in last["why"]
    assert words in done.stderr.splitlines()[-1]
    assert last["round"] == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--server", "true"), "--client is missing"),
        (("--unit", "x"), "--server is missing"),
        (("quick", "--server", "a", "--client", "echo $port", "--figure", "(a)"), "no a;"),
        (("quick", "--server", "true", "--client", "echo $port", "--figure", "(a)"), "exclude"),
        (("--server", "true", "--client", "echo $port", "--figure", "(a)(b)"), "has 2 groups"),
        (("--server", "true", "--client", "echo $port", "--figure", "$["), "JSONPath '$['"),
        (("--server", "true", "--client", "echo", "--figure", "(a)"), "the client has no $port"),
        (("--server", "true", "--client", "echo $x", "--figure", "(a)"), "there is no $x"),
        ((), "no scenario"),
    ],
)
def test_commands_that_are_wrong(options, words):
    done = bench("run", *options)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.tools("socat")
def test_ctrl_c(tmp_path):
    output = tmp_path / "result.json"
    client = f'{CLIENT[:-1]}; sleep 1"'
    given = ("--server", ECHO, "--client", client, "--figure", FIGURE, "--system", "relay")
    with start_bench("run", *given, "--rounds", 50, "--output", output) as process:
        for line in process.stderr:
            if " left: " in line:
                break
        time.sleep(0.3)  # amidst a run
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGINT
    assert "interrupted" in errors
    assert "Traceback" not in errors
    document = json.loads(output.read_text())
    assert document["samples"]
    assert not document["complete"]
