"""The benchmarks run: each part in its short form, and what it leaves behind. No figure is judged."""

import json
from collections.abc import Iterator
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from bench import postgres
from bench.__main__ import BY_NAME, PARTS, main, measure, report
from bench.figures import Aim, Figure, ratios, shown
from bench.load import Load, run, send
from bench.sizes import SHORT, WHOLE
from tests.postgres import PostgresServer

# The load generator and the figures about processes read what only Linux has.
pytestmark = [pytest.mark.processes, pytest.mark.slow]

COMPARED = {
    "bare": {"requests, ours / bare", "p99, ours / bare"},
    "usual": {"requests, ours / usual"},
    "library": {"ours over google-auth's own"},
    "memory": {"at rest"},
    "start": {"import grantkeeper", "grantkeeper --help"},
    "scale": {"uncached p50, 600 / 60", "cached p50, 600 / 60"},
    "nodes": set(),
    "uncached": set(),
    "redeem": set(),
    "storm": {"refreshes for each grant, grantkeeper, asked 4 times at once, 1 process"},
    "writes": set(),
    "stored": {
        "uncached: p50, 600 / 60",
        "uncached, pages in memory: p50, 600 / 60",
        "cached: p50, 600 / 60",
    },
    "jobs": {
        "SQLite, 1 worker: jobs, ours / engine alone",
        "PostgreSQL, 1 worker: jobs, ours / engine alone",
    },
}
"""The figures of each part for which something is wanted."""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One PostgreSQL for all parts, with the settings of the measurement."""
    with postgres.server(SHORT) as started:
        yield started


@pytest.fixture
def one_server(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that asks for a server of its own gets databases of its own, on the common one."""
    monkeypatch.setattr(postgres, "server", lambda sizes: nullcontext(server))


@pytest.mark.usefixtures("one_server")
@pytest.mark.parametrize("name", PARTS)
def test_a_part_measures_what_it_promises(name: str) -> None:
    """
    Every part leaves positive figures, and an aim on those that the plan names.
    """
    (part,) = measure([name], SHORT, tell=lambda text: None)

    assert name == part.name
    assert COMPARED[name] == {figure.what for figure in part.figures if figure.aim is not None}
    for figure in part.figures:
        assert figure.rounds
        # A difference may be negative: then ours was the faster. What was weighed may be nothing, and
        # processor time is counted in hundredths of a second.
        weighed = name == "writes" or figure.unit in ("µs of CPU each", "cores busy")
        assert figure.median > 0 or "over" in figure.what or (weighed and figure.median == 0), figure
    assert part.title in report([part], SHORT)
    if name == "storm":
        # Counted by the issuer and not timed: it holds on the slowest machine.
        assert 1.0 == part.figures[0].median


def test_the_command_writes_rounds_and_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    One part by its name, told on standard output, in the JSON file and in the page.
    """
    rounds, page = tmp_path / "rounds.json", tmp_path / "new" / "bench.md"

    assert 0 == main(["library", "--short", "--json", str(rounds), "--report", str(page)])

    record = json.loads(rounds.read_text(encoding="utf-8"))
    assert ["library"] == list(record)
    assert {"what", "unit", "median", "rounds", "aim", "met"} == record["library"][0].keys()
    assert "google.oauth2.credentials" in capsys.readouterr().out
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# ") and "| ours over google-auth's own |" in text
    assert str(tmp_path) not in text


def test_ten_million_grants_are_measured_only_when_they_are_named() -> None:
    """
    The part that fills a disk for many minutes is the one that ``make bench`` leaves out.
    """
    assert {"stored-large"} == BY_NAME.keys() - PARTS.keys()
    assert (10_000, 1_000_000, 10_000_000) == (WHOLE.small, WHOLE.large, WHOLE.huge)


def test_a_load_goes_to_all_processes_and_keeps_answers_in_order(refusing: str) -> None:
    """
    Connections go around the addresses, and what is kept is in the order of the requests.
    """
    load = Load(
        urls=[refusing.replace("127.0.0.1", "localhost"), refusing],
        bodies=["1", "2", "3", "4"],
        headers={},
        connections=2,
        seconds=None,
        keep=True,
    )

    outcome = run(load)

    assert (4, ["ok"] * 4) == (outcome.answers, outcome.kept)
    assert "503" in outcome.refusal


def test_an_unknown_part_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    """
    A part that does not exist is refused with the names of those that do.
    """
    with pytest.raises(SystemExit) as caught:
        main(["speed"])

    assert 2 == caught.value.code
    assert "library" in capsys.readouterr().err


class Refusing(BaseHTTPRequestHandler):
    """Answers 200 and 503 in turns, over one connection."""

    protocol_version = "HTTP/1.1"
    asked = 0

    def do_POST(self) -> None:
        """Answer."""
        self.rfile.read(int(self.headers["Content-Length"]))
        Refusing.asked += 1
        self.send_response(200 if Refusing.asked % 2 else 503)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def refusing() -> Iterator[str]:
    """The address of a server that refuses every second request."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_a_load_with_refusals_measures_nothing(refusing: str) -> None:
    """
    Answers other than 200 are an error and not a fast result.
    """
    load = Load(urls=[refusing], bodies=["a", "b", "c", "d"], headers={}, connections=1, seconds=None)

    with pytest.raises(RuntimeError, match="2 of 4 answers were not 200"):
        send(load)


def test_a_figure_tells_median_spread_and_aim() -> None:
    """
    The middle of the rounds is what is compared with the aim.
    """
    figure = Figure.of("ratio", "", [3.0, 0.5, 0.75], Aim(least=0.7))

    assert ["ratio", "0.75", "0.50 – 3.00", "≥ 0.70", "yes"] == figure.cells()
    assert Figure.of("time", "ms", [251.0], Aim(most=250)).met is False
    assert Figure.of("time", "ms", [251.0]).met is None


def test_ratios_are_made_round_by_round() -> None:
    """
    A slow round of the machine slows both of its halves.
    """
    assert [2.0, 2.0] == ratios([10.0, 4.0], [5.0, 2.0])


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.5, "0.50"), (12.34, "12.3"), (99.96, "100.0"), (12345.6, "12,346")]
)
def test_numbers_show_what_matters(value: float, text: str) -> None:
    """
    Three digits, and thousands apart.
    """
    assert text == shown(value)
