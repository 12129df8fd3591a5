"""The notebook of the examples runs, and what it ends its cells with shows itself."""

import ast
import json
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(source: str, names: dict) -> object:
    """Run a cell; gives the value of its last expression, which a notebook would show."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    return (
        None if last is None else eval(compile(ast.Expression(last.value), "cell", "eval"), names)
    )


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(monkeypatch):
    monkeypatch.chdir(EXAMPLES)
    notebook = json.loads((EXAMPLES / "photos_in_a_notebook.ipynb").read_text())
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] for cell in cells)
    names: dict = {}
    scorer, ranked, burst, explanation = [run("".join(cell["source"]), names) for cell in cells]
    assert repr(scorer).startswith("<Scorer of quality")
    page = burst._repr_html_()
    assert page.count("<img") == len(burst.photos)
    assert burst.verdict in page.replace("&#x27;", "'")
    assert all(burst.reason(place) in page for place in range(1, len(burst.photos)))
    assert len(ranked) == 5
    assert explanation._repr_html_().startswith('<img alt="" src="data:image/jpeg;base64,')
