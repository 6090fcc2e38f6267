"""A run on a toy model: killed and resumed, with a model that is not there, in two processes."""

import json
import subprocess
import sys

import pytest

from llmcourse import __main__ as cli
from llmcourse.leaderboard import plan, read, run, session
from llmcourse.leaderboard.session import journal_of
from llmcourse.measure import session as measuring
from llmcourse.quality import Item
from tests.support.toy_models import save_three_colours

SETTINGS = ["float32", "bfloat16"]
CHOICES = [
    Item(f"c{n:02}", "chosen", "red blue " * (n % 5 + 1), ("green", "red", "blue"), n % 3)
    for n in range(40)
]
TEXTS = [Item(f"w{n}", "written", "red " * (n + 1), answer=("blue",)) for n in range(3)]
ITEMS = [*TEXTS, *CHOICES]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "colours"
    folder.mkdir()
    save_three_colours(folder)
    return str(folder)


@pytest.fixture
def items_file(tmp_path):
    file = tmp_path / "mine.jsonl"
    lines = [
        {"id": one.id, "kind": one.kind, "prompt": one.prompt}
        | ({"choices": one.choices, "answer": one.answer} if one.choices else {"answer": ["blue"]})
        for one in ITEMS
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(file)


@pytest.fixture
def quick_bandwidth(monkeypatch):
    read_bandwidth = measuring.read_bandwidth
    monkeypatch.setattr(
        measuring, "read_bandwidth", lambda where: read_bandwidth(where, size=10**7, rounds=3)
    )


def rights(board):
    return {one.setting: [each["right"] for each in one.answers] for one in board.standings}


def test_a_board_has_each_items_answer_in_the_order_of_the_items_and_is_written(
    folder, tmp_path, quick_bandwidth
):
    file = tmp_path / "board.json"
    board = run([folder], SETTINGS, items=ITEMS, rounds=2, file=file)
    assert [one.setting for one in board.standings] == SETTINGS
    for one in board.standings:
        assert [each["id"] for each in one.answers] == [item.id for item in ITEMS]
        assert board.speed(one).median > 0 and board.memory(one) > 0
    assert read(file) == board
    assert not journal_of(file).exists()


def test_a_run_that_died_goes_on_where_it_was_and_finds_the_same(folder, tmp_path, monkeypatch):
    file = tmp_path / "board.json"
    whole = run([folder], SETTINGS, items=ITEMS, rounds=0)
    asked, answers = [], session.answers

    def dies_at_the_third(entry, model, tokenizer, chunk, by):
        asked.append((entry.key, chunk.name))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return answers(entry, model, tokenizer, chunk, by)

    monkeypatch.setattr(session, "answers", dies_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        run([folder], SETTINGS, items=ITEMS, rounds=0, file=file)
    assert not file.exists() and journal_of(file).exists()
    resumed = run([folder], SETTINGS, items=ITEMS, rounds=0, file=file)
    assert asked[2] == asked[3]  # the part that was cut off is done again, those before are not
    assert len(asked) == 1 + 2 * 4
    assert rights(resumed) == rights(whole)


def test_a_journal_of_other_items_is_refused(folder, tmp_path, monkeypatch):
    file = tmp_path / "board.json"
    monkeypatch.setattr(session, "answers", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run([folder], ["float32"], items=ITEMS, rounds=0, file=file)
    with pytest.raises(ValueError, match="items differs"):
        run([folder], ["float32"], items=ITEMS[1:], rounds=0, file=file)


def interrupted(*_):
    raise KeyboardInterrupt


def test_a_model_whose_files_changed_is_never_mixed_with_what_it_was(folder, tmp_path, monkeypatch):
    file = tmp_path / "board.json"
    answers, calls = session.answers, []

    def once(*given):
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return answers(*given)

    monkeypatch.setattr(session, "answers", once)
    with pytest.raises(KeyboardInterrupt):
        run([folder], ["float32"], items=ITEMS, rounds=0, file=file)
    monkeypatch.setattr(session, "fingerprint", lambda model: "another")
    board = run([folder], ["float32"], items=ITEMS, rounds=0, file=file)
    assert not board.standings
    (why,) = board.failed.values()
    assert "are not those of the run that was begun" in why


def test_a_model_that_is_not_there_fails_alone(folder, tmp_path):
    missing = str(tmp_path / "missing")
    board = run([missing, folder], ["float32"], items=ITEMS, rounds=0)
    assert [one.model for one in board.standings] == [folder]
    assert list(board.failed) == [f"{missing}, float32"]


def test_a_template_that_is_not_there_fails_its_entry_alone(folder):
    board = run([folder], ["float32", "template"], items=ITEMS, rounds=0)
    assert [one.setting for one in board.standings] == ["float32"]
    assert "no chat template" in board.failed[f"{folder}, template"]


def test_samples_are_the_same_each_time_and_not_the_greedy_text(folder):
    names = ["float32", "float32+sampling"]
    one, other = (run([folder], names, items=TEXTS, rounds=0) for _ in range(2))
    written = [[each["written"] for each in one.answers] for one in one.standings]
    assert written == [[each["written"] for each in two.answers] for two in other.standings]
    assert written[0] != written[1]


def test_what_it_costs_is_counted_from_the_items(folder):
    found = plan([folder], SETTINGS, items=ITEMS)
    words = sum(len(item.choices) * (len(item.prompt.split()) + 1) for item in CHOICES)
    words += sum(len(item.prompt.split()) for item in TEXTS)
    assert (found.entries, found.items) == (2, 43)
    assert found.read == 2 * words
    assert found.written == 2 * 3 * 48
    assert str(found).startswith("2 entries x 43 items: ")


def test_nothing_to_run_a_setting_twice_and_a_measure_that_is_not_known_are_refused(folder):
    with pytest.raises(ValueError, match="at least one"):
        run([folder], [])
    with pytest.raises(ValueError, match="named twice"):
        run([folder], ["float32", "float32"])
    with pytest.raises(ValueError, match="by='words'"):
        run([folder], ["float32"], by="words")
    with pytest.raises(ValueError, match="items=0"):
        run([folder], ["float32"], items_per_kind=0)


def test_in_a_terminal_it_prints_the_table_and_merges_files(
    folder, items_file, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    common = ["leaderboard", folder, "--from", items_file, "--rounds", "0", "--items", "3"]
    for setting in SETTINGS:
        asked = [*common, "--settings", setting, "--json", f"{setting}.json"]
        assert cli.main(asked) == 0
    seen = capsys.readouterr()
    assert "6 items" in seen.out and "1 entry x 6 items" in seen.err
    assert cli.main(["leaderboard", "--merge", "float32.json", "bfloat16.json"]) == 0
    assert "bfloat16" in capsys.readouterr().out
    assert cli.main([*common, "--plan", "--settings", "float32"]) == 0
    assert "1 entry x 6 items" in capsys.readouterr().out
    assert not (tmp_path / "leaderboard.json").exists()
    assert cli.main(["leaderboard", "--picture", "board.doc"]) == 1


@pytest.mark.slow
def test_two_processes_find_what_one_finds(folder, items_file, tmp_path):
    boards = []
    for count in (1, 2):
        file = tmp_path / f"{count}.json"
        launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(count)]
        launch += ["--standalone", "-m", "llmcourse", "leaderboard", folder]
        launch += ["--settings", "float32,float32+sampling", "--from", items_file]
        launch += ["--rounds", "0", "--json", str(file)]
        done = subprocess.run(launch, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("in brackets") == 1  # one process prints
        boards.append(read(file))
    one, two = boards
    assert [each.answers for each in one.standings] == [each.answers for each in two.standings]


@pytest.mark.slow
def test_who_has_left_holds_no_threads_of_the_group(folder, tmp_path):
    """A thread of it that frees a tensor while the interpreter ends takes the process with it."""
    script = tmp_path / "leave.py"
    script.write_text(
        "import sys, weakref\n"
        "import torch.distributed\n"
        "import llmcourse\n"
        "from llmcourse.leaderboard.processes import Processes\n"
        "processes = Processes()\n"
        "group = weakref.ref(torch.distributed.group.WORLD)\n"
        "llmcourse.load(sys.argv[1])\n"
        "found = processes.each([1, 2, 3], lambda one: 2 * one)\n"
        "processes.leave()\n"
        "assert found == [(2, ''), (4, ''), (6, '')]\n"
        "assert group() is None\n"
    )
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    launch += ["--standalone", str(script), folder]
    done = subprocess.run(launch, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
