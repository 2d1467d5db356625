"""The Python examples of the documentation, each page in one new process, and the API page."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import petseg

DOCS = Path(__file__).parents[1] / "docs"
TUTORIALS = sorted((DOCS / "tutorials").glob("*.md"))
PAGES = [*TUTORIALS, DOCS / "api.md", DOCS / "class_imbalance.md"]


def test_there_are_tutorials():
    assert len(TUTORIALS) == 8


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_of_a_page_run_in_order(page, tmp_path):
    blocks = re.findall(
        r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    assert blocks
    script = tmp_path / f"{page.stem}.py"
    script.write_text("\n".join(blocks), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script.name], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("name", petseg.__all__)
def test_the_api_page_has_an_example_for_each_public_name(name):
    sections = re.split(r"^(?=::: |## )", (DOCS / "api.md").read_text("utf-8"), flags=re.MULTILINE)
    (section,) = (part for part in sections if part.startswith(f"::: petseg.{name}\n"))
    assert re.search(rf"```py(thon)?\n.*\b{name}\b", section, re.DOTALL), section
