"""What a job is, as its author writes it down."""

import json
from types import ModuleType
from typing import Any

import pytest

from grantkeeper import JobContext, PlainJobContext, job
from grantkeeper.errors import InvalidRequest
from grantkeeper.jobs.definition import by_name, collected


@job(scopes=["email", "https://www.googleapis.com/auth/drive.file"])
async def improve(
    ctx: JobContext,
    photo: str,
    strength: float = 0.5,
    tags: list[str] = [],  # noqa: B006 - made anew for each run
    *,
    dry: bool = False,
) -> str:
    """Make it better."""
    return f"{photo} {strength}"


def read(parameters: dict[str, Any]) -> dict[str, Any]:
    return improve.definition.read(json.dumps(parameters).encode())


def test_a_job_is_still_the_function() -> None:
    """
    So that its author can test it alone; name and words are the function's.
    """

    @job(name="other name")
    def plain(ctx: PlainJobContext) -> int:
        """Says so."""
        return 7

    assert 7 == plain(None)  # type: ignore[arg-type]
    assert ("other name", "Says so.") == (plain.definition.name, plain.__doc__)
    assert [True, False] == [each.definition.plain for each in (plain, improve)]


def test_scopes_are_as_google_writes_them() -> None:
    """
    Short names too, as the grant has them: else the job would wait for ever for what is there.
    """
    assert {
        "https://www.googleapis.com/auth/userinfo.email",
        "https://www.googleapis.com/auth/drive.file",
    } == improve.definition.scopes


def test_parameters_come_as_they_are_annotated() -> None:
    """
    With their defaults; the context is none of them.
    """
    assert {"photo": "p", "strength": 0.5, "tags": [], "dry": False} == read({"photo": "p"})
    assert {"photo": "p", "strength": 1.0, "tags": ["a"], "dry": True} == read(
        {"photo": "p", "strength": 1, "tags": ["a"], "dry": True}
    )


def test_a_default_is_nobody_elses() -> None:
    """
    A list that one run changes is whole for the next.
    """
    read({"photo": "p"})["tags"].append("changed")

    assert [] == read({"photo": "p"})["tags"]


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({}, "photo"),
        ({"photo": 7}, "photo"),
        ({"photo": "p", "strenght": 1}, "strenght"),
        ({"photo": "p", "tags": ["a", 2]}, "tags"),
        ({"photo": "p", "dry": "yes"}, "dry"),
    ],
)
def test_what_does_not_fit_is_named(parameters: dict[str, Any], named: str) -> None:
    """
    The sentence names the job and the field, and not what was given.
    """
    with pytest.raises(InvalidRequest, match=f"of the job improve: .*{named}"):
        read(parameters)
    with pytest.raises(InvalidRequest):
        improve.definition.write(parameters)


@pytest.mark.parametrize("parameters", [b"", b"{", b"[]", b'"p"', b"null"])
def test_only_an_object_is_read(parameters: bytes) -> None:
    """
    Whatever else stands in the row.
    """
    with pytest.raises(InvalidRequest):
        improve.definition.read(parameters)


def test_the_schema_says_what_is_needed() -> None:
    """
    As JSON Schema, for those who ask and have no Python.
    """
    (schema,) = improve.definition.schema["$defs"].values()

    assert ["photo"] == schema["required"]
    assert schema["additionalProperties"] is False
    assert {"photo", "strength", "tags", "dry"} == set(schema["properties"])


def refused(function: Any, **how: Any) -> str:
    with pytest.raises((TypeError, ValueError)) as caught:
        job(**how)(function)
    return str(caught.value)


def test_what_cannot_be_a_job_is_refused_when_it_is_written() -> None:
    """
    At import, where the author looks; not in the night.
    """

    def nothing() -> None: ...
    def many(ctx: Any, *photos: str) -> None: ...
    def any_name(ctx: Any, **photos: str) -> None: ...
    def nameless(ctx: Any, photo: str, /) -> None: ...
    def yields(ctx: Any) -> Any:
        yield 1

    async def yields_too(ctx: Any) -> Any:
        yield 1

    def odd(ctx: Any, photo: type) -> None: ...
    def needs(ctx: Any, photo: str) -> None: ...

    assert "takes no context" in refused(nothing)
    assert "have names" in refused(many)
    assert "have names" in refused(any_name)
    assert "have names" in refused(nameless)
    assert "does not yield" in refused(yields)
    assert "does not yield" in refused(yields_too)
    assert refused(odd)
    assert "photo" in refused(needs, every="day")


@pytest.mark.parametrize(
    "how",
    [
        {"attempts": 0},
        {"per_grant": 0},
        {"every": "day", "cron": "0 3 * * *"},
        {"every": "fortnight"},
        {"cron": "0 3 * *"},
        {"cron": "0 0 3 * * *"},
        {"every": "day", "timezone": "Mars/Olympus"},
        {"every": "day", "timezone": "../../etc/passwd"},
    ],
)
def test_settings_that_make_no_sense_are_refused(how: dict[str, Any]) -> None:
    """
    Also at import.
    """

    def work(ctx: Any) -> None: ...

    assert refused(work, **how)


def test_two_jobs_of_one_name_are_refused() -> None:
    """
    The same one twice is one: modules import from each other.
    """

    @job(name="improve")
    def another(ctx: PlainJobContext) -> None: ...

    assert {"improve": improve.definition} == by_name([improve.definition, improve.definition])
    with pytest.raises(ValueError, match="improve"):
        by_name([improve.definition, another.definition])


def test_a_modules_jobs_are_found() -> None:
    """
    Also those that it imported; a module without any is a mistake.
    """
    module = ModuleType("photos")
    with pytest.raises(ValueError, match="photos has no jobs"):
        collected(module)
    module.improve = improve  # type: ignore[attr-defined]
    module.same = improve  # type: ignore[attr-defined]

    assert {"improve": improve.definition} == collected(module)
