"""
Holds the imports of `grantkeeper` to the picture in docs/explanation/house.md.

The picture's rooms and floors stand here once more as a table, and a test compares the two.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "grantkeeper"
PICTURE = ROOT / "docs" / "explanation" / "house.md"

FLOORS = {
    3: (
        "cli",
        "demo",
        "server",
        "library",
        "testing",
        "settings",
        "settings_clients",
        "settings_values",
        "client_file",
    ),
    2: ("keeper", "issuer", "audit", "proxy", "jobs", "google", "adapters"),
    1: ("ports",),
    0: ("errors", "secret", "ids", "model", "lifecycle", "backoff", "protocol"),
}
GARDEN = "emulator"

FLOOR_OF = {room: floor for floor, rooms in FLOORS.items() for room in rooms}

NO_DOOR = ("adapters", ("keeper", "issuer", "audit", "proxy", "jobs", "google"))
"""One side of the second floor, and the other."""

GROUND_MAY_IMPORT = {
    "abc", "base64", "binascii", "bisect", "collections", "collections.abc", "contextlib", "dataclasses",
    "datetime", "email.utils", "enum", "functools", "hashlib", "hmac", "html", "ipaddress", "itertools",
    "json", "math", "operator", "re", "string", "types", "typing", "unicodedata", "urllib.parse", "uuid",
    # What computes and does nothing else.
    "cryptography", "joserfc", "msgspec",
}  # fmt: skip

ASKS_THE_WORLD = {
    ("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today"),
    ("uuid", "uuid1"), ("uuid", "uuid4"), ("uuid", "getnode"),
}  # fmt: skip
"""Calls that a module of the list above offers all the same."""


@dataclass(frozen=True)
class Import:
    """One import statement of ours."""

    module: str
    line: int
    target: str
    name: str = ""

    @property
    def source_room(self) -> str:
        return room(self.module)

    @property
    def target_room(self) -> str:
        return room(self.target)

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}"


def room(module: str) -> str:
    """The room a module of ours lives in; the front door, `grantkeeper` itself, is its own."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def modules() -> dict[str, Path]:
    """Every module of the package by its full name."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = ("grantkeeper", *path.relative_to(SOURCE).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports() -> Iterator[Import]:
    """Every import statement, the lazy ones inside functions included."""
    known = modules()
    for module, path in known.items():
        for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Import(module, node.lineno, alias.name)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{module}:{node.lineno} is a relative import; give the full name"
                assert node.module is not None
                for alias in node.names:
                    submodule = f"{node.module}.{alias.name}"
                    target = submodule if submodule in known else node.module
                    yield Import(module, node.lineno, target, alias.name)


def ours(found: Import) -> bool:
    return found.target == "grantkeeper" or found.target.startswith("grantkeeper.")


IMPORTS = list(imports())
HOUSE = [found for found in IMPORTS if ours(found) and found.source_room not in ("", GARDEN)]


def test_every_module_has_a_room():
    """
    A new room must be drawn before anyone moves in.
    """
    rooms = {room(module) for module in modules()} - {"", "__main__"}

    assert set() == rooms - set(FLOOR_OF) - {GARDEN}


def test_the_picture_shows_these_rooms():
    """
    The figure in the documentation and the table of this test are one picture.
    """
    figure = re.search(r"```text\n(.*?)```", PICTURE.read_text("utf-8"), re.DOTALL)
    assert figure
    drawn: dict[str, int] = {}
    floor = -1
    for line in figure[1].splitlines():
        # What a floor is for stands on the right, after a wide gap.
        line = re.sub(r"(?<=\S) {8,}[^ ].*", "", line)
        begin = re.match(r"\s+(\d)\s", line)
        floor = int(begin[1]) if begin else floor
        if line.strip().startswith(GARDEN):
            break
        for word in re.findall(r"[a-z_]+", line.replace("(no door)", "")):
            drawn[word] = floor

    assert drawn == FLOOR_OF


def test_imports_go_down_or_stay_in_the_room():
    """
    No floor knows of the one above it.
    """
    upward = [
        str(found)
        for found in HOUSE
        if found.target_room not in ("", GARDEN) and FLOOR_OF[found.target_room] > FLOOR_OF[found.source_room]
    ]

    assert [] == upward


def test_keepers_and_adapters_have_no_door():
    """
    Neither side of the second floor imports the other; the edges introduce them.
    """
    adapters, keepers = NO_DOOR
    through = [
        str(found)
        for found in HOUSE
        if (found.source_room == adapters and found.target_room in keepers)
        or (found.source_room in keepers and found.target_room == adapters)
    ]

    assert [] == through


def test_below_the_edges_nothing_uses_the_front_door():
    """
    `grantkeeper` itself picks adapters, so only an edge may import from it; the version is on the door.
    """
    knocking = [
        str(found)
        for found in HOUSE
        if found.target_room == "" and FLOOR_OF[found.source_room] < 3 and found.name != "__version__"
    ]

    assert [] == knocking


def test_the_emulator_imports_nothing_of_the_house():
    """
    One misreading of a specification must not hide on both sides.
    """
    into_the_house = [
        str(found)
        for found in IMPORTS
        if ours(found) and found.source_room == GARDEN and found.target_room != GARDEN
    ]

    assert [] == into_the_house


def test_only_the_edges_start_the_emulator():
    """
    No keeper, adapter or rule knows that there is an emulator.
    """
    visitors = [
        str(found) for found in HOUSE if found.target_room == GARDEN and FLOOR_OF[found.source_room] < 3
    ]

    assert [] == visitors


def test_the_ground_imports_no_clock_network_disk_or_dice():
    """
    What the ground floor imports can compute and nothing else.
    """
    allowed = GROUND_MAY_IMPORT
    foreign = [
        str(found)
        for found in IMPORTS
        if FLOOR_OF.get(found.source_room) == 0
        and not ours(found)
        and found.target not in allowed
        and found.target.split(".")[0] not in allowed
    ]

    assert [] == foreign


def test_the_ground_asks_nobody_for_the_time_or_a_file():
    """
    Not even through a module that it may import for its types.
    """
    asked = []
    for module, path in modules().items():
        if FLOOR_OF.get(room(module)) != 0:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                if (node.value.id, node.attr) in ASKS_THE_WORLD:
                    asked.append(f"{module}:{node.lineno} {node.value.id}.{node.attr}")
            elif isinstance(node, ast.Name) and node.id in ("open", "input", "print", "uuid4"):
                asked.append(f"{module}:{node.lineno} {node.id}")

    assert [] == asked


def test_the_ports_import_no_driver():
    """
    A port that named a driver's type would tie every adapter to it.
    """
    foreign = [
        str(found)
        for found in IMPORTS
        if found.source_room == "ports"
        and not ours(found)
        and found.target.split(".")[0] not in {*GROUND_MAY_IMPORT, "asyncio", "collections", "typing"}
    ]

    assert [] == foreign


def test_the_drivers_stay_with_the_adapters():
    """
    Only an adapter opens a database, seals a value or speaks HTTP to the issuer.
    """
    drivers = {"aiohttp", "apsw", "asyncpg", "sqlite3", "tink", "dbos"}
    strays = [
        str(found)
        for found in IMPORTS
        if found.target.split(".")[0] in drivers and FLOOR_OF.get(found.source_room) in (0, 1, 2)
        if found.source_room != "adapters"
    ]

    assert [] == strays


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("grantkeeper", ""),
        ("grantkeeper.errors", "errors"),
        ("grantkeeper.protocol.id_token", "protocol"),
        ("grantkeeper.emulator.world", "emulator"),
    ],
)
def test_room(module: str, expected: str):
    """
    A module lives in the room that its second name says.
    """
    assert expected == room(module)
