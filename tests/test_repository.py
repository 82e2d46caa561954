"""Holds the repository to its promises: what is packed, what is locked, what a file may not say."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
LOCKS = ("run.txt", "test.txt", "tools.txt")


def tracked() -> list[Path]:
    """Every file that is or would be committed; without git, every file that is not made."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode == 0:
        return [ROOT / name for name in sorted(listed.stdout.split("\0")) if name and (ROOT / name).is_file()]
    made = {".build", ".venv", "venv", ".git", "__pycache__", "node_modules"}
    return [path for path in sorted(ROOT.rglob("*")) if path.is_file() and not made & {*path.parts}]


def text_files() -> list[tuple[Path, str]]:
    found = []
    for path in tracked():
        try:
            found.append((path.relative_to(ROOT), path.read_text("utf-8")))
        except UnicodeDecodeError:
            continue
    return found


TEXTS = text_files()


def lines_that_say(pattern: str) -> list[str]:
    wanted = re.compile(pattern)
    return [
        f"{path}:{number}: {line.strip()[:120]}"
        for path, text in TEXTS
        for number, line in enumerate(text.splitlines(), 1)
        if wanted.search(line)
    ]


# -- what a file may not say --------------------------------------------------------------------


def test_an_environment_made_as_the_pages_say_is_no_part_of_the_repository():
    """
    Whoever follows them in a clone has nothing to commit.
    """
    made = {name for _, text in TEXTS for name in re.findall(r"^python3 -m venv (\S+)", text, re.MULTILINE)}

    assert made
    assert set() == {f"{name}/" for name in made} - set((ROOT / ".gitignore").read_text("utf-8").split())


def test_no_file_names_a_package_registry():
    """
    Which mirror packages come from is the machine's affair, not the repository's.
    """
    # Spelled in halves, or this file would name them.
    hosts = "|".join(a + re.escape(b) for a, b in [
        ("py", "pi.org"), ("python", "hosted.org"), ("npm", "js.org"), ("npm", "js.com"),
        ("deb.", "debian.org"), ("yarn", "pkg.com"),
    ])  # fmt: skip

    assert [] == lines_that_say(hosts)


def test_no_file_names_a_path_of_the_machine_it_was_written_on():
    """
    The repository works wherever it is cloned.
    """
    assert [] == lines_that_say(r"(^|[^A-Za-z0-9_.$})/-])/(work|fa" + r"rm|root)/")


def test_nothing_is_left_half_done():
    """
    What is missing is said in words to the person who asks, not in a mark.
    """
    marks = r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b"

    assert [] == [line for line in lines_that_say(marks) if ".py:" in line or ".md:" in line]


def test_no_test_is_skipped():
    """
    A test that does not run proves nothing.
    """
    ways = r"pytest\.(skip|xfail|importorskip)\(|mark\.(skip|skipif|xfail)\b|unittest\.skip"
    here = Path(__file__).relative_to(ROOT)

    assert [] == [line for line in lines_that_say(ways) if not line.startswith((f"{here}:", "docs/"))]


def test_every_module_says_what_it_answers_for():
    """
    A module's docstring begins with one sentence, and a module stays short enough to hold one idea.
    """
    silent = [
        str(path)
        for path, text in TEXTS
        if path.is_relative_to("src")
        and path.suffix == ".py"
        and text.strip()
        and not re.match(r"\S.*[.:;]", ast.get_docstring(ast.parse(text, str(path))) or "", re.DOTALL)
    ]
    long = [
        f"{path} has {text.count(chr(10))} lines"
        for path, text in TEXTS
        if path.is_relative_to("src") and path.suffix == ".py" and text.count("\n") > 500
    ]

    assert ([], []) == (silent, long)


def test_every_relative_link_leads_somewhere():
    """
    A page names only files that exist.
    """
    dead = [
        f"{path}: {target}"
        for path, text in TEXTS
        if path.suffix == ".md"
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text)
        if not (ROOT / path.parent / target).exists()
    ]

    assert [] == dead


# -- what is locked -----------------------------------------------------------------------------


def name_of(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def locked(lock: str) -> dict[str, list[str]]:
    """The pins of a lock file: package to its versions (markers may allow several)."""
    pins: dict[str, list[str]] = {}
    for line in (ROOT / "requirements" / lock).read_text("utf-8").splitlines():
        if found := re.match(r"([a-z0-9.-]+)(?:\[[a-z0-9,-]+\])?==([^ ;]+)", line):
            pins.setdefault(found[1], []).append(found[2])
    return pins


def wanted(*, extras: tuple[str, ...] = (), groups: tuple[str, ...] = ()) -> set[str]:
    project = PROJECT["project"]
    lists = [
        *(project["optional-dependencies"][extra] for extra in extras),
        *(PROJECT["dependency-groups"][group] for group in groups),
    ]
    return {name_of(one) for some in lists for one in some} - {"grantkeeper"}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_versions_and_hashes_and_nothing_else(lock: str):
    """
    No index, no host, no path, no package from a repository: any mirror serves.
    """
    strange = []
    entries = re.split(r"\n(?=\S)", (ROOT / "requirements" / lock).read_text("utf-8").strip())
    for entry in entries:
        head, *hashes = [part.strip() for part in re.split(r"\s*\\\n", entry)]
        pinned = re.fullmatch(
            r"[a-z0-9][a-z0-9.-]*(\[[a-z0-9,-]+\])?==[a-z0-9.+!]+"
            r"( ; [a-z_]+ [^/:@]+)?",
            head,
        )
        if (
            not pinned
            or not hashes
            or not all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", h) for h in hashes)
        ):
            strange.append(head)

    assert [] == strange


def test_the_run_lock_holds_the_product_and_its_demo():
    """
    What `make demo` installs is resolved, direct dependencies first.
    """
    product = {name_of(one) for one in PROJECT["project"]["dependencies"]}

    assert set() == (product | wanted(extras=("demo",))) - set(locked("run.txt"))


def test_a_service_without_workers_can_check_parameters():
    """
    It takes jobs with none of the extras installed, and reads the schemas that workers have announced.
    """
    assert "jsonschema" in {name_of(one) for one in PROJECT["project"]["dependencies"]}


def test_the_test_lock_holds_everything():
    """
    One resolution covers the product, its extras and the tools.
    """
    product = {name_of(one) for one in PROJECT["project"]["dependencies"]}
    extras = tuple(PROJECT["project"]["optional-dependencies"])
    groups = tuple(PROJECT["dependency-groups"])

    assert set() == (product | wanted(extras=extras, groups=groups)) - set(locked("test.txt"))


@pytest.mark.parametrize("lock", ["run.txt", "tools.txt"])
def test_what_is_tested_is_what_runs(lock: str):
    """
    The smaller locks pin no version that the test lock does not pin.
    """
    tested = locked("test.txt")

    assert {} == {name: pins for name, pins in locked(lock).items() if set(pins) - set(tested.get(name, []))}


def test_the_installed_versions_are_the_locked_ones():
    """
    The suite judges the product with the packages that the lock names.
    """
    pins = locked("test.txt")
    installed = {
        name: distribution(name).version for name in map(name_of, PROJECT["project"]["dependencies"])
    }

    assert {} == {name: found for name, found in installed.items() if found not in pins[name]}


# -- what is packed -----------------------------------------------------------------------------


def test_the_wheel_holds_every_file_of_the_package():
    """
    Modules, statements, pages, their styles and scripts, and the mark that says "typed".
    """
    sources = {
        PurePosixPath(path.relative_to(ROOT / "src"))
        for path in tracked()
        if path.is_relative_to(ROOT / "src") and path.suffix != ".pyc"
    }
    packed = {
        PurePosixPath(path) for path in distribution("grantkeeper").files or () if path.suffix != ".pyc"
    }
    kinds = {path.suffix for path in packed}

    assert PurePosixPath("grantkeeper/py.typed") in packed
    assert {".py", ".sql", ".html"} <= kinds
    assert set() == sources - packed


def test_the_wheel_brings_its_licence_and_entry_points():
    """
    Apache-2.0, one command, one pytest plugin.
    """
    found = distribution("grantkeeper")
    entry_points = {(point.group, point.name, point.value) for point in found.entry_points}

    assert "Apache-2.0" == found.metadata["License-Expression"]
    assert {
        ("console_scripts", "grantkeeper", "grantkeeper.cli.main:main"),
        ("pytest11", "grantkeeper", "grantkeeper.testing.plugin"),
    } == entry_points


def test_the_version_is_one():
    """
    The package and its metadata say the same.
    """
    import grantkeeper

    assert grantkeeper.__version__ == distribution("grantkeeper").version


def test_every_entry_point_loads():
    """
    What an entry point names is there.
    """
    for point in distribution("grantkeeper").entry_points:
        assert point.load() is not None


def test_the_python_that_runs_is_supported():
    """
    The suite says nothing about an interpreter that the package refuses.
    """
    floor = re.fullmatch(r">=(\d+)\.(\d+)", PROJECT["project"]["requires-python"])
    assert floor

    assert sys.version_info[:2] >= (int(floor[1]), int(floor[2]))


# -- the chores ---------------------------------------------------------------------------------


def test_help_names_every_chore():
    """
    `make help` lists every word that CONTRIBUTING.md explains, and the other way round.
    """
    said = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    offered = set(re.findall(r"^  make ([a-z]+) ", said, re.MULTILINE))
    explained = set(
        re.findall(r"^\| `make ([a-z]+)` \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    )

    assert offered - {"help", "clean"} == explained
    assert {
        "demo",
        "test",
        "coverage",
        "check",
        "bench",
        "race",
        "chaos",
        "docs",
        "lock",
        "clean",
        "help",
    } == offered


@pytest.mark.parametrize(
    "script", [".ci/run", *(f"tools/{name}" for name in ("bootstrap", "install", "test"))]
)
def test_scripts_can_be_run_and_parse(script: str):
    """
    Each has its run bit and is a script its shell can read.
    """
    path = ROOT / script
    shell = path.read_text().splitlines()[0].split("/")[-1].split()[-1]

    assert path.stat().st_mode & 0o111
    assert 0 == subprocess.run([shell, "-n", str(path)], check=False).returncode


def test_the_licence_is_apache_2():
    """
    The whole standard text, not a mention of it.
    """
    text = (ROOT / "LICENSE").read_text()

    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_every_changelog_fragment_is_of_a_known_kind():
    """
    towncrier would silently leave out a fragment that it cannot place.
    """
    kinds = "|".join(kind["directory"] for kind in PROJECT["tool"]["towncrier"]["type"])
    odd = [
        path.name
        for path in sorted((ROOT / "changelog.d").iterdir())
        if path.name not in ("README.md", "template.md.jinja")
        and not (
            re.fullmatch(rf"(\d+|\+[a-z0-9-]+)\.({kinds})(\.\d+)?\.md", path.name)
            and path.read_text().strip()
        )
    ]

    assert [] == odd


@pytest.mark.parametrize("kind", ["tutorial", "how-to", "reference", "explanation", "decisions"])
def test_each_kind_of_documentation_has_pages(kind: str):
    """
    A kind without a page is a promise.
    """
    assert [page for page in (ROOT / "docs" / kind).glob("*.md") if page.name != "index.md"]
