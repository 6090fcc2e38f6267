"""What may import what, as pyproject.toml says it: the contracts hold, and they can be broken."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"


def lint(folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", LINT], cwd=folder, capture_output=True, text=True)


def test_arrows_point_one_way():
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("decoding/loop.py", "from llmcourse.views import tokens"),
        ("doctor/report.py", "from llmcourse.views import tokens"),
        ("views/tokens.py", "from llmcourse.doctor import report"),
        ("models/load.py", "from llmcourse.show import plural"),
        ("checks/streaming.py", "from llmcourse.decoding import loop"),
        ("html.py", "from llmcourse.show import plural"),
        ("decoding/cache.py", "from llmcourse.decoding import loop"),
        ("doctor/pitfalls/inputs.py", "from llmcourse.doctor.pitfalls import outputs"),
        ("views/next_token.py", "from llmcourse.views.explore import Explore"),
    ],
    ids=lambda value: value.replace("/", "."),
)
def test_an_arrow_that_points_the_other_way_is_noticed(tmp_path, module, line):
    for path in (ROOT / "llmcourse").rglob("*.py"):
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    changed = tmp_path / "llmcourse" / module
    changed.write_text(f"{changed.read_text(encoding='utf-8')}\n{line}\n", encoding="utf-8")
    assert lint(tmp_path).returncode != 0


def test_every_module_says_in_its_first_line_what_it_is_for():
    for path in (ROOT / "llmcourse").rglob("*.py"):
        first = path.read_text(encoding="utf-8").split("\n", 1)[0]
        assert first.startswith('"""') and len(first) > 20, path
