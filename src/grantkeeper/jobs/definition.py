"""What a job is, as its author writes it down: a function, the scopes it needs, and how it may be run."""

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import ModuleType
from typing import Any, Final, Generic, ParamSpec, TypeVar, get_type_hints

import msgspec

from grantkeeper.errors import InvalidRequest
from grantkeeper.jobs.calendar import Calendar
from grantkeeper.protocol.scopes import normalised

P = ParamSpec("P")
R = TypeVar("R")

ATTEMPTS: Final = 8
KEEP: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Definition:
    """
    A job.

    Attributes:
        name: By which it is asked for; unchanged over releases.
        function: Async or plain; a plain one runs in a thread.
        parameters: A record of what the function takes after the context.
        scopes: What its tokens open, and no more.
        per_grant: How many run at once for one grant; ``None``: any number.
        attempts: How often a step is tried that fails by itself; what is outside may be away for longer.
        keep: How long the row of one that ended is kept.
        calendar: When it is begun for every grant that has the scopes; ``None``: only when asked for.
    """

    name: str
    function: Callable[..., Any]
    parameters: type[msgspec.Struct]
    scopes: frozenset[str] = frozenset()
    per_grant: int | None = 1
    attempts: int = ATTEMPTS
    keep: timedelta = KEEP
    calendar: Calendar | None = None
    schema: Mapping[str, Any] = field(default_factory=dict)

    @property
    def plain(self) -> bool:
        """Whether the function blocks."""
        return not inspect.iscoroutinefunction(self.function)

    def read(self, parameters: bytes) -> dict[str, Any]:
        """
        The arguments in *parameters*, a JSON object.

        Raises:
            InvalidRequest: They are not what the function takes.
        """
        try:
            found = msgspec.json.decode(parameters, type=self.parameters)
        except msgspec.MsgspecError as error:
            # A validation error names fields and types; of malformed JSON nothing is repeated.
            told = str(error) if isinstance(error, msgspec.ValidationError) else "it is not JSON"
            raise InvalidRequest(f"the parameters are not those of the job {self.name}: {told}") from error
        return {name: getattr(found, name) for name in self.parameters.__struct_fields__}

    def write(self, arguments: Mapping[str, Any]) -> bytes:
        """
        *arguments* as a JSON object that `read` takes.

        Raises:
            InvalidRequest: They are not what the function takes.
        """
        encoded = msgspec.json.encode(dict(arguments))
        self.read(encoded)
        return encoded


class Job(Generic[P, R]):
    """
    A function that is a job; made by `job`. Called, it is the function it was.

    Attributes:
        definition: What was written down.
    """

    def __init__(self, function: Callable[P, R], definition: Definition) -> None:
        self.definition = definition
        self._function = function
        self.__doc__ = function.__doc__
        self.__name__ = definition.name

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<job {self.definition.name}>"


def job(
    *,
    scopes: Collection[str] = (),
    name: str | None = None,
    per_grant: int | None = 1,
    attempts: int = ATTEMPTS,
    keep: timedelta = KEEP,
    every: str | None = None,
    cron: str | None = None,
    timezone: str = "UTC",
) -> Callable[[Callable[P, R]], Job[P, R]]:
    """
    Make a function a job: ``async def work(ctx: JobContext, album: str, count: int = 3)``.

    Its parameters, beside the context, come as JSON and are checked against their annotations.

    Args:
        scopes: What it needs of the user; its tokens open nothing else.
        name: Under which it is asked for; default the function's own.
        per_grant: How many run at once for one grant, of all jobs that say the same; ``None``: any number.
        attempts: How often a step is tried that fails by itself; what is outside may be away for longer.
        keep: How long what is known of one that ended is kept.
        every: ``hour``, ``day`` or ``week``: begun for every user who granted the scopes.
        cron: The same at the times of a crontab line, such as ``0 3 * * *``.
        timezone: Of *cron* and *every*, such as ``Europe/Zurich``.

    Raises:
        ValueError: Something of this makes no sense.
        TypeError: The function is none that can be a job.
    """

    def decorate(function: Callable[P, R]) -> Job[P, R]:
        parameters = _parameters(function)
        try:
            calendar = Calendar.of(every=every, cron=cron, timezone=timezone)
        except ValueError as error:
            raise ValueError(f"the job {name or function.__name__}: {error}") from error
        needed = [each.name for each in msgspec.structs.fields(parameters) if each.required]
        if calendar is not None and needed:
            raise ValueError(f"nobody gives a scheduled job its {needed[0]}: let it have a default")
        return Job(
            function,
            Definition(
                name=name or function.__name__,
                function=function,
                parameters=parameters,
                scopes=normalised(scopes) if scopes else frozenset(),
                per_grant=per_grant,
                attempts=attempts,
                keep=keep,
                calendar=calendar,
                schema=msgspec.json.schema(parameters),
            ),
        )

    if attempts < 1 or (per_grant is not None and per_grant < 1):
        raise ValueError("attempts and per_grant are 1 or more")
    return decorate


def _parameters(function: Callable[..., Any]) -> type[msgspec.Struct]:
    """A record of what *function* takes after its first argument, the context."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{function.__name__}: a job returns; it does not yield")
    named = list(inspect.signature(function).parameters.values())
    if not named:
        raise TypeError(f"{function.__name__} takes no context; write def {function.__name__}(ctx, …)")
    hints = get_type_hints(function)
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for each in named[1:]:
        if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD, each.POSITIONAL_ONLY):
            raise TypeError(f"{function.__name__}: a job's parameters have names; {each} has none")
        kind = hints.get(each.name, Any)
        fields.append(
            (each.name, kind) if each.default is each.empty else (each.name, kind, _default(each.default))
        )
    return msgspec.defstruct(
        f"{function.__name__}_parameters", fields, forbid_unknown_fields=True, kw_only=True
    )


def _default(value: Any) -> Any:
    """A default as msgspec takes it: what can be changed is made anew each time."""
    if isinstance(value, list | dict | set):
        return msgspec.field(default_factory=lambda: type(value)(value))
    return value


def collected(module: ModuleType) -> dict[str, Definition]:
    """
    The jobs that *module* has, by name, wherever they were written.

    Raises:
        ValueError: Two of them have one name, or there is none.
    """
    found = by_name(each.definition for each in vars(module).values() if isinstance(each, Job))
    if not found:
        raise ValueError(f"{module.__name__} has no jobs; decorate a function with @grantkeeper.job(…)")
    return found


def by_name(definitions: Iterable[Definition]) -> dict[str, Definition]:
    """
    *definitions* by name.

    Raises:
        ValueError: Two different ones have one name.
    """
    found: dict[str, Definition] = {}
    for each in definitions:
        if found.setdefault(each.name, each) is not each:
            raise ValueError(f"two jobs have the name {each.name}")
    return found
