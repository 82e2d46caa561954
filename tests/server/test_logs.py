"""What is written about the service, and what never is."""

import io
import json
import logging

import pytest

from grantkeeper.server.logs import configure, embedded_log, failure

MARK = "GKMARK-secret"


def boom() -> None:
    local = MARK
    raise ValueError(local)


def caught() -> ValueError:
    try:
        boom()
    except ValueError as error:
        return error
    raise AssertionError


def test_json_lines_have_event_level_time_and_ids() -> None:
    """
    One object a line.
    """
    out = io.StringIO()
    configure("json", out).info("grant.refreshed", grant="g-1", attempt=2)
    line = json.loads(out.getvalue())

    assert ("grant.refreshed", "info", "g-1", 2) == (
        line["event"],
        line["level"],
        line["grant"],
        line["attempt"],
    )
    assert line["timestamp"].endswith("Z")


def test_a_person_gets_readable_lines() -> None:
    """
    Without colour where there is no terminal.
    """
    out = io.StringIO()
    configure("console", out).info("grant.refreshed", grant="g-1")

    assert "grant.refreshed" in out.getvalue()
    assert "grant=g-1" in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_without_a_word_a_file_gets_json() -> None:
    """
    A terminal would get readable lines.
    """
    out = io.StringIO()
    configure(None, out).info("x")

    assert "x" == json.loads(out.getvalue())["event"]


def test_debug_lines_are_not_written() -> None:
    """
    Probes come every second.
    """
    out = io.StringIO()
    configure("json", out).debug("request")

    assert "" == out.getvalue()


def test_a_librarys_warning_becomes_a_line_of_ours() -> None:
    """
    Of an exception its kind and place, and neither its text nor its values.
    """
    out = io.StringIO()
    configure("json", out)
    logging.getLogger("some.library").error("it broke", exc_info=caught())
    logging.getLogger("some.library").info("chatter")
    (line,) = out.getvalue().splitlines()
    told = json.loads(line)

    assert ("library.notice", "some.library", "it broke", "ValueError") == (
        told["event"],
        told["source"],
        told["text"],
        told["exception"],
    )
    assert MARK not in line


def test_configuring_again_does_not_double_lines() -> None:
    """
    Tests and embedders may do so.
    """
    first, second = io.StringIO(), io.StringIO()
    configure("json", first)
    configure("json", second)
    logging.getLogger("some.library").warning("once")

    assert (0, 1) == (len(first.getvalue().splitlines()), len(second.getvalue().splitlines()))


def test_an_unexpected_exception_is_placed_and_not_quoted() -> None:
    """
    File, line and function, innermost first.
    """
    told = failure(caught())

    assert "ValueError" == told["exception"]
    assert told["where"].startswith("test_logs.py:")
    assert MARK not in repr(told)


def test_an_embedded_app_logs_where_its_host_does(caplog: pytest.LogCaptureFixture) -> None:
    """
    To standard logging, under our name, at the host's level.
    """
    with caplog.at_level(logging.WARNING, "grantkeeper.server"):
        embedded_log().info("quiet")
        embedded_log().warning("loud", grant="g-1")

    assert [("grantkeeper.server", logging.WARNING)] == [(r.name, r.levelno) for r in caplog.records]
    assert "grant='g-1'" in caplog.text


def test_an_event_with_an_exception_says_where_it_was() -> None:
    """
    Its ids, and the exception's kind and way; not its text.
    """
    out = io.StringIO()
    configure("json", out)
    logging.getLogger("grantkeeper.jobs").warning(
        "words", extra={"event": "job.raised", "ids": {"job": "j-1"}}, exc_info=caught()
    )
    line = json.loads(out.getvalue())

    assert ("job.raised", "j-1", "ValueError") == (line["event"], line["job"], line["exception"])
    assert "boom < " in line["where"]
    assert MARK not in out.getvalue()


def test_what_a_jobs_author_says_is_not_lost() -> None:
    """
    Beside the ids of the job stands his own text.
    """
    out = io.StringIO()
    configure("json", out)
    logging.getLogger("grantkeeper.job").info(
        "sharpened %d", 3, extra={"event": "job.says", "ids": {"job": "j-1"}, "says": True}
    )
    line = json.loads(out.getvalue())

    assert ("job.says", "j-1", "sharpened 3") == (line["event"], line["job"], line["text"])
