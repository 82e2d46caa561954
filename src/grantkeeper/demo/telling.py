"""How the story is told in a terminal: chapters, what happens, and whether it is as told."""

import time
from typing import Any


class NotAsTold(Exception):
    """A step of the story went another way than it should."""


class Teller:
    """Prints the story; colours are for those who can see them, and nothing depends on them."""

    def __init__(self, *, stderr: bool = False) -> None:
        from rich.console import Console

        width = min(Console(stderr=stderr).width, 96)
        self._console = Console(stderr=stderr, highlight=False, width=width)
        self._began = time.monotonic()
        self._chapter = 0
        self.steps = 0

    def title(self, text: str, under: str) -> None:
        """The first words."""
        self._console.print()
        self._console.print(f"[bold]{text}[/bold]")
        self._console.print(f"[dim]{under}[/dim]")

    def chapter(self, text: str) -> None:
        """A new part of the story."""
        self._chapter += 1
        self._console.print()
        self._console.print(f"[bold cyan]{self._chapter}. {text}[/bold cyan]")

    def tell(self, text: str) -> None:
        """What happens."""
        self._print(text)

    def show(self, name: str, value: object) -> None:
        """A thing to look at."""
        from rich.markup import escape

        self._print(f"[dim]{name:<14}[/dim] {escape(str(value))}", indent=5, hanging=15)

    def expect(self, text: str, actual: Any, expected: Any) -> None:
        """
        A step that must be as told.

        Raises:
            NotAsTold: It is not.
        """
        self.steps += 1
        if actual != expected:
            self._print(f"[bold red]✗[/bold red] {text}", hanging=2)
            raise NotAsTold(f"{text}: {actual!r} instead of {expected!r}")
        self._print(f"[green]✓[/green] {text}", hanging=2)

    def _print(self, markup: str, *, indent: int = 3, hanging: int = 0) -> None:
        """Print *markup* in lines that fit, all but the first moved in by *hanging* more."""
        from rich.text import Text

        text = Text.from_markup(markup)
        lines = text.wrap(self._console, self._console.width - indent - hanging)
        for number, line in enumerate(lines):
            line.rstrip()
            self._console.print(Text(" " * (indent + (hanging if number else 0))) + line)

    def end(self, text: str) -> None:
        """The last words."""
        self._console.print()
        self._console.print(f"[bold]{text}[/bold]")
        seconds = time.monotonic() - self._began
        self._console.print(f"[dim]{self.steps} steps were as told, in {seconds:.1f} seconds.[/dim]")
        self._console.print()
