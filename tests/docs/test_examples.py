"""The examples in README, tutorial and how-to guides do what the pages say."""

import ast
import builtins
import os
import re
import shutil
from pathlib import Path

import pytest

from grantkeeper.testing.google import GoogleEmulator
from tests.docs.examples import LENT, OWN_EMULATOR, Reader, examples, google_played_by, reader_environment

ROOT = Path(__file__).parent.parent.parent
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs" / "tutorial").glob("*.md")),
    *sorted((ROOT / "docs" / "how-to").glob("*.md")),
]
LESSONS = sorted((ROOT / "docs" / "tutorial").glob("*.md"))
WITH_EXAMPLES = [page for page in PAGES if any(example.runs for example in examples(page))]


@pytest.fixture
def reader(tmp_path: Path, google_emulator: GoogleEmulator, monkeypatch: pytest.MonkeyPatch) -> Reader:
    """Someone in a directory that holds the client file alone, with the emulator as Google."""
    assert google_emulator.client_secret
    shutil.copy(google_emulator.client_secret, tmp_path / "client_secret.json")
    settings = google_played_by(google_emulator)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return Reader(tmp_path, google_emulator, {**reader_environment(tmp_path), **settings})


@pytest.fixture
def newcomer(tmp_path: Path, google_emulator: GoogleEmulator, monkeypatch: pytest.MonkeyPatch) -> Reader:
    """Someone in an empty directory, who has set nothing."""
    monkeypatch.chdir(tmp_path)
    return Reader(tmp_path, google_emulator, reader_environment(tmp_path))


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_examples_of_a_page_run(page: Path, request: pytest.FixtureRequest):
    """
    Done in order, in an empty directory, every block does what the page says.
    """
    own = OWN_EMULATOR in page.read_text("utf-8")
    reader: Reader = request.getfixturevalue("newcomer" if own else "reader")

    assert reader.read(page) == sum(example.runs for example in examples(page))


def missing(text: str) -> set[str]:
    """Names that a Python block uses and does not have of itself."""
    nodes = list(ast.walk(ast.parse(text)))
    used = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    made = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    made |= {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
    made |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    imports = [node for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom))]
    made |= {one.asname or one.name.partition(".")[0] for node in imports for one in node.names}
    return used - made - set(vars(builtins))


@pytest.mark.parametrize("page", LESSONS, ids=lambda page: page.name)
def test_a_lesson_can_be_done_by_hand(page: Path):
    """
    A newcomer has no runner: nothing is done unseen, lent by a fixture, or awaited outside a function.
    """
    assert "<!-- Unseen" not in page.read_text("utf-8")
    for example in examples(page):
        if example.language == "python":
            compile(example.text, str(example), "exec")
            assert set() == missing(example.text) & LENT, str(example)


@pytest.mark.parametrize("name", ["README.md", "docs/how-to/test-with-the-emulator.md"])
def test_the_first_test_of_a_page_is_a_whole_file(name: str):
    """
    It is copied into an empty directory: what it uses it imports, and its section has the keys made first.
    """
    page = ROOT / name
    first = next(example for example in examples(page) if "def test_" in example.text)
    before = page.read_text("utf-8").partition(first.text)[0]

    assert set() == missing(first.text)
    assert "grantkeeper init" in before.rpartition("\n## ")[2]


# -- the runner itself --------------------------------------------------------------------------


def page(place: Path, text: str) -> Path:
    written = place / "page.md"
    written.write_text(text, "utf-8")
    return written


def test_blocks_share_names_and_variables(tmp_path: Path, reader: Reader):
    """
    A later block uses what an earlier one made, in Python and in the shell.
    """
    text = """
```python
import asyncio
number = await asyncio.sleep(0, 41)
```

```sh
WORD=hello
```

```python
print(number + 1)
```

<!-- example: prints -->
```text
42
```

```sh
echo "{\\"said\\": \\"$WORD you\\", \\"count\\": 3}"
```

<!-- example: answers -->
```json
{"said": "hello …", "count": 7}
```
"""
    assert 4 == reader.read(page(tmp_path, text))


@pytest.mark.parametrize(
    "text",
    [
        "```python\nassert False\n```\n",
        "```sh\nfalse\n```\n",
        "```sh\nfalse | true\n```\n",
        "```sh\necho one\n```\n\n<!-- example: prints -->\n```text\ntwo\n```\n",
        '```sh\necho \'{"a": 1, "b": 2}\'\n```\n\n<!-- example: answers -->\n```json\n{"a": 1}\n```\n',
        '```sh\necho \'{"a": "x"}\'\n```\n\n<!-- example: answers -->\n```json\n{"a": "y…"}\n```\n',
        "<!-- example: stays: http://127.0.0.1:9/ -->\n```sh\nexit 1\n```\n",
    ],
)
def test_a_wrong_example_fails(tmp_path: Path, reader: Reader, text: str):
    """
    A page whose block fails, or prints something else, does not pass.
    """
    with pytest.raises(AssertionError):
        reader.read(page(tmp_path, text))


def test_a_block_can_be_left_out(tmp_path: Path, reader: Reader):
    """
    What needs a Google account says so and is not run.
    """
    text = "<!-- example: not run: needs an account at Google -->\n```sh\nexit 1\n```\n"

    assert 0 == reader.read(page(tmp_path, text))


def test_a_misspelt_mark_is_refused(tmp_path: Path):
    """
    A mark with a typing error would quietly change what is tested.
    """
    with pytest.raises(ValueError, match="no such example"):
        examples(page(tmp_path, "<!-- example: nor run: x -->\n```sh\ntrue\n```\n"))


def test_ports_are_replaced_and_servers_end_with_the_page(tmp_path: Path, reader: Reader):
    """
    A server on a fixed port of the page gets a free one, answers, and is gone afterwards.
    """
    text = """
<!-- example: stays: http://127.0.0.1:8000/ -->
```sh
echo $$ >pid
exec python -m http.server --bind 127.0.0.1 --directory . 8000
```
"""
    # The module takes its port by position, which no page's command does.
    text = text.replace(". 8000", '. "${AT##*:}"').replace("echo", "AT=127.0.0.1:8000\necho")
    reader.read(page(tmp_path, text))

    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_block_in_a_comment_runs_unseen(tmp_path: Path, reader: Reader):
    """
    What a page needs and its reader has already is done, and may carry a mark.
    """
    text = """
<!-- Unseen:
```sh
WORD=hello
```
example: not run: it would fail
```sh
exit 1
```
-->
```sh
test "$WORD" = hello
```
"""
    assert 2 == reader.read(page(tmp_path, text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_example_hides_from_the_runner(page: Path):
    """
    A block that is indented would look like an example and never run.
    """
    assert [] == re.findall(r"^[ \t>]+```(?:python|sh)\b", page.read_text("utf-8"), re.MULTILINE)


def test_a_bare_code_block_needs_no_runner(tmp_path: Path):
    """
    Blocks in other languages are shown and not run.
    """
    found = examples(page(tmp_path, "```toml\nx = 1\n```\n"))

    assert [False] == [example.runs for example in found]
