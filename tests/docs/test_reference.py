"""The reference pages: written from the code's tables, and nothing in those tables is silent."""

import importlib.util
import re
from pathlib import Path

import pytest
from cyclopts import App

from grantkeeper.cli.main import app as command_line
from grantkeeper.errors import ERRORS, ApiError, GrantkeeperError
from grantkeeper.lifecycle import REMEDIES, TRANSITIONS, Event
from grantkeeper.model import GrantState, Reason
from grantkeeper.server.routes import ROUTES
from grantkeeper.settings import SETTINGS
from grantkeeper.settings_clients import CLIENT_SETTINGS

DOCS = Path(__file__).parent.parent.parent / "docs"


def _tables():
    spec = importlib.util.spec_from_file_location("reference_tables", DOCS / "reference_tables.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TABLES = _tables()
PAGES = {page.relative_to(DOCS).as_posix(): page.read_text("utf-8") for page in DOCS.rglob("*.md")}


def rows(table: str) -> list[list[str]]:
    """The cells of a Markdown table, without its head."""
    lines = table.splitlines()[2:]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]


def test_every_table_stands_in_a_page():
    """
    A table that no page asks for documents nothing.
    """
    asked = {name for text in PAGES.values() for name in TABLES.PLACE.findall(text)}

    assert set(TABLES.TABLES) == asked


@pytest.mark.parametrize("page", sorted(name for name, text in PAGES.items() if TABLES.PLACE.search(text)))
def test_a_page_is_filled(page: str):
    """
    No place is left where a table belongs.
    """
    filled = TABLES.filled(PAGES[page])

    assert "<!-- table:" not in filled
    assert len(PAGES[page]) < len(filled)


def test_an_unknown_table_is_refused():
    """
    A misspelt name stops the build instead of leaving a hole in the page.
    """
    with pytest.raises(KeyError):
        TABLES.filled("<!-- table: erors -->")


ERROR_ROWS = {
    row[0].strip("`"): row
    for line in TABLES.errors().splitlines()
    if line.startswith("| `")
    for row in rows(f"\n\n{line}")
}


@pytest.mark.parametrize("code", sorted(ERRORS))
def test_every_error_says_what_it_means_and_what_helps(code: str):
    """
    A person who meets the code finds a sentence and an advice.
    """
    meaning, _, helps = ERROR_ROWS[code][3].partition(" *")

    assert meaning.endswith(".")
    assert helps.endswith(".*")
    assert TABLES.summary(ERRORS[code]) != TABLES.summary(GrantkeeperError)


def test_every_error_that_http_answers_with_has_its_status():
    """
    Only an error that stops the start, or a command or a job alone meets, never reaches HTTP.
    """
    of_jobs = {kind.code for kind in ApiError.__subclasses__()}

    assert {"settings_invalid", "backup_refused"} | of_jobs == {
        code for code, row in ERROR_ROWS.items() if not row[1]
    }


def test_every_step_of_a_grant_is_in_the_table():
    """
    Every pair of state and event is printed, with its target or as never.
    """
    table = rows(TABLES.states())

    assert [f"`{state}`" for state in GrantState] == [row[0] for row in table]
    for row, steps in zip(table, TRANSITIONS.values(), strict=True):
        assert [f"`{steps[event]}`" if event in steps else "never" for event in Event] == row[1:]


def test_every_reason_names_a_remedy():
    """
    Each reason that a grant can give is listed with what helps.
    """
    assert set(Reason) == set(REMEDIES)
    assert {f"`{reason}`" for reason in Reason} == {row[0] for row in rows(TABLES.reasons())}


def test_a_cell_cannot_break_its_table():
    """
    Bars, line breaks and what looks like a tag stay inside their cell.
    """
    row = TABLES.table(["x", "y", "z"], [["a|b", "c\nd", "<key> `<key>`"]]).splitlines()[2]

    assert "| a\\|b | c d | &lt;key> `<key>` |" == row


def test_every_module_of_the_house_is_listed():
    """
    The explanation of the house names each module with what it answers for.
    """
    listed = TABLES.house()

    assert "| `grantkeeper.lifecycle` | What may happen to a grant" in listed
    assert all(row[1] for row in rows(listed))


def test_every_setting_is_documented():
    """
    Each setting and each key of a client's table is listed with a sentence.
    """
    settings, keys = rows(TABLES.settings()), rows(TABLES.client_settings())

    assert [f"`{setting.environment}`" for setting in SETTINGS] == [row[0] for row in settings]
    assert [f"`{key.name}`" for key in CLIENT_SETTINGS] == [row[0] for row in keys]
    assert all(row[-1].endswith((".", ".*")) for row in [*settings, *keys])


def commands_of(app: App, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], App]:
    """Every command below *app* by its words."""
    found = {}
    for name in app:
        if name.startswith("-"):
            continue
        below = commands_of(app[name], (*path, name))
        found.update(below or {(*path, name): app[name]})
    return found


@pytest.mark.parametrize("words", sorted(commands_of(command_line)), ids=" ".join)
def test_every_command_is_documented(words: tuple[str, ...]):
    """
    Each command has its section, says what it does and what each argument means.
    """
    section = re.split(r"^#+ ", TABLES.commands(), flags=re.MULTILINE)
    text = next(part for part in section if part.startswith(f"grantkeeper {' '.join(words)}\n"))
    _, _, said = text.partition("```console\n")
    meaning = said.partition("```")[2].split("**")[0].strip()
    arguments = re.findall(r"^\* .*", said, re.MULTILINE)

    assert meaning.endswith(".")
    assert [] == [line for line in arguments if not re.match(r"\* `[^`]+`: \w", line)]


def test_every_call_of_the_service_is_documented():
    """
    Each row of the table of routes has its section.
    """
    page = TABLES.http()

    assert [] == [one.name for one in ROUTES if f"\n## `{one.method} {one.path}`\n" not in f"\n{page}"]
    assert "| `code` | string | required |" in page
