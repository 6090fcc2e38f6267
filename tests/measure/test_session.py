"""`python -m llmcourse measure`: a table, JSON that is read back, Ctrl-C, what cannot be run."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from llmcourse import __main__ as cli
from llmcourse.measure import report, session
from llmcourse.measure.figure import Figure
from llmcourse.measure.settings import CALLED, LOADED, parse
from tests.support.toy_models import save_three_colours, save_unlike_the_course

FEW = {"prompt_tokens": 4, "new_tokens": 3, "rounds": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "colours"
    folder.mkdir()
    save_three_colours(folder)
    return str(folder)


@pytest.fixture(autouse=True)
def quick_bandwidth(monkeypatch):
    read = session.read_bandwidth
    monkeypatch.setattr(session, "read_bandwidth", lambda where: read(where, size=10**7, rounds=3))


@pytest.fixture(scope="module")
def made(folder):
    said = []
    made = session.measure(
        [folder], ["float32", "bfloat16+static"], rows=[1, 2], **FEW, say=said.append
    )
    assert any("round 2 of 2" in line for line in said)
    return made


def test_each_setting_and_size_has_a_line(made):
    assert [(one.setting, one.rows) for one in made.results] == [
        ("float32", 1),
        ("float32", 2),
        ("bfloat16+static", 1),
        ("bfloat16+static", 2),
    ]
    assert all(len(one.decode.values) == 2 for one in made.results)
    assert all(len(one.between_ms.values) == 4 for one in made.results)
    full, half = made.results[0], made.results[2]
    assert half.memory.weights < full.memory.weights
    assert made.fraction(full) == pytest.approx(full.speed / made.limit(full))
    assert "1.00x" in repr(made) and "of the limit" in repr(made)


def test_the_table_says_what_was_asked_of_it(made, folder):
    table = made.table()
    wanted = {"between (p99)", "tokens/s", "with prompts", "weights", "cache", "activations"}
    assert wanted <= set(table.headers)
    assert "model" not in table.headers and folder in table.caption, "one model is named once"
    slowest = made.results[0].slowest_between_ms
    assert slowest == max(made.results[0].between_ms.values), "of so few the last is the 99th"


def test_speeds_are_compared_round_by_round(made):
    base, other = made.results[0], made.results[1]
    beside = made.beside(other).values
    assert made.beside(base).values == (1.0, 1.0)
    assert beside == pytest.approx(
        [2 * mine / one for mine, one in zip(other.decode.values, base.decode.values, strict=True)]
    )


def test_the_cache_is_that_of_the_setting(made):
    dynamic, static = made.results[0], made.results[2]
    tokens = FEW["prompt_tokens"] + FEW["new_tokens"] - 1
    assert static.memory.cache * FEW["prompt_tokens"] * 2 == dynamic.memory.cache * tokens
    assert static.reads.cache == static.memory.cache, "it has one size all along"
    assert dynamic.reads.cache > dynamic.memory.cache, "which grows"


def test_few_rounds_say_nothing_about_noise(made):
    assert "fewer than 3 rounds" in made.noise and made.noise in repr(made)


@pytest.mark.parametrize(("wide", "noisy"), [(0.01, False), (0.5, True)])
def test_a_noisy_machine_gets_a_word(made, wide, noisy):
    figure = Figure((1 - wide, 1.0, 1 + wide), "tokens/s")
    results = tuple(replace(one, decode=figure) for one in made.results)
    quiet = Figure((10.0, 10.0, 10.0), "GB/s")
    said = replace(made, results=results, bandwidth=quiet).noise
    assert ("noisy" in said) == noisy


def test_experts_that_nobody_counts_are_mentioned(made):
    one = made.results[0]
    unknown = replace(made, results=(replace(one, reads=replace(one.reads, all_experts=True)),))
    assert "how many experts" in repr(unknown) and "how many experts" not in repr(made)


def test_a_draft_that_is_right_counts_for_several_tokens(folder):
    made = session.measure([folder], ["lookup"], prompt_tokens=12, new_tokens=24, rounds=1)
    (one,) = made.results
    steps = len(one.between_ms.values)
    assert one.reads.tokens == pytest.approx(23 / steps, rel=0.2) and one.reads.tokens >= 1


def test_json_is_read_back_whole(made, tmp_path):
    file = tmp_path / "m.json"
    file.write_text(made.to_json(), encoding="utf-8")
    assert report.read(file) == made
    plain = json.loads(made.to_json())
    assert plain["schema"] == report.SCHEMA
    one = plain["results"][0]
    assert one["p99_ms"] == made.results[0].slowest_between_ms
    assert one["bytes_per_token"] == made.results[0].reads.per_token
    assert len(one["throughput"]["values"]) == 2
    assert plain["results"][0]["fraction_of_limit"] == pytest.approx(made.fraction(made.results[0]))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "no report"),
        ("[]", "no report"),
        ("{}", "no report"),
        ('{"schema": 0}', "schema 0"),
        ('{"schema": 1}', "no whole report"),
        ('{"schema": 1, "bandwidth": 3}', "no whole report"),
    ],
)
def test_a_file_that_is_no_report_is_refused(text, words, tmp_path):
    file = tmp_path / "m.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=words):
        report.read(file)


def test_several_reports_make_one_table_the_fastest_first(made):
    table = report.leaderboard([made, made])
    speeds = [float(line[3].replace(",", "")) for line in table.rows]
    assert len(speeds) == 8 and speeds == sorted(speeds, reverse=True)


def test_a_picture_is_drawn(made, tmp_path):
    report.save_picture(made, tmp_path / "m.png")
    assert (tmp_path / "m.png").read_bytes().startswith(b"\x89PNG")


def test_without_a_cache_none_is_counted(folder):
    made = session.measure([folder], ["no-cache", "float32"], **FEW)
    none, some = (one.memory.cache for one in made.results)
    assert none == 0 < some


def test_what_cannot_be_run_is_named_and_the_rest_is_measured(folder):
    made = session.measure([folder, folder + "/none"], ["float32"], **FEW)
    assert len(made.results) == 1
    ((name, why),) = made.failed.items()
    assert "none" in name and "no folder" in why and "could not be run" in repr(made)


def test_a_setting_that_fails_when_it_runs_is_named(folder, monkeypatch):
    monkeypatch.setitem(CALLED, "static", {"cache_implementation": "no such"})
    made = session.measure([folder], ["float32", "static"], **FEW)
    assert [one.setting for one in made.results] == ["float32"] and "static" in str(made.failed)


def test_ctrl_c_keeps_whole_rounds(folder, monkeypatch):
    once, calls = session.pace, []

    def interrupted(*arguments, **keywords):
        calls.append(1)
        if len(calls) == 4:  # a warm-up and two rounds before
            raise KeyboardInterrupt
        return once(*arguments, **keywords)

    monkeypatch.setattr(session, "pace", interrupted)
    made = session.measure([folder], ["float32"], **FEW | {"rounds": 9})
    assert not made.complete and len(made.results[0].decode.values) == 2
    assert "Interrupted" in repr(made)


def test_ctrl_c_in_a_round_keeps_what_was_run(folder, monkeypatch):
    once, calls = session.pace, []

    def interrupted(*arguments, **keywords):
        calls.append(1)
        if len(calls) == 6:  # two warm-ups, a round, and the first of another
            raise KeyboardInterrupt
        return once(*arguments, **keywords)

    monkeypatch.setattr(session, "pace", interrupted)
    made = session.measure([folder], ["float32", "no-cache"], **FEW | {"rounds": 9})
    assert sorted(len(one.decode.values) for one in made.results) == [1, 2]
    assert all(len(made.beside(one).values) == 1 for one in made.results)


def test_ctrl_c_before_anything_was_measured_ends_it(folder, monkeypatch):
    def interrupted(*arguments, **keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr(session, "pace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        session.measure([folder], ["float32"], **FEW)


@pytest.mark.parametrize(
    ("name", "words"),
    [("fast", "no setting"), ("float32+bfloat16", "twice"), ("static+static", "twice"), ("", "no")],
)
def test_a_setting_that_is_not_known_is_refused(name, words):
    with pytest.raises(ValueError, match=words):
        parse(name)


def test_settings_join():
    setting = parse("no-cache+bfloat16")
    assert (setting.loaded, setting.called) == (LOADED["bfloat16"], CALLED["no-cache"])
    assert parse("lookup").loaded == LOADED["float32"]


@pytest.mark.parametrize("wrong", [{"rows": [0]}, {"new_tokens": 1}, {"rounds": 0}, {"rows": []}])
def test_too_little_is_refused(folder, wrong):
    with pytest.raises(ValueError, match="at least") as caught:
        session.measure([folder], ["float32"], **FEW | wrong)
    assert next(iter(wrong)) in str(caught.value)


def test_a_device_that_is_not_there_is_refused_before_anything_is_measured(folder):
    said = []
    with pytest.raises(ValueError, match="device='cuda:99'"):
        session.measure([folder], ["float32"], **FEW, device="cuda:99", say=said.append)
    assert not said


@pytest.mark.skipif(torch.cuda.is_available() or torch.backends.mps.is_available(), reason="a GPU")
def test_any_device_is_the_cpu_where_there_is_no_other(folder):
    made = session.measure([folder], ["float32"], **FEW, device="auto")
    assert made.machine["device"] == "cpu" and made.results


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    """A folder with another architecture, no chat template, and 512 learned positions."""
    folder = tmp_path_factory.mktemp("models") / "gpt2"
    save_unlike_the_course(folder, "red blue green " * 50)
    return str(folder)


def test_a_text_that_is_too_long_for_the_model_is_said_with_the_way_out(gpt2):
    made = session.measure([gpt2], ["float32"], prompt_tokens=510, new_tokens=4, rounds=1)
    assert not made.results
    (why,) = made.failed.values()
    assert "at most 512 tokens" in why and "--prompt-tokens" in why


# From a terminal


def run(*arguments: str) -> list[str]:
    few = ["--prompt-tokens", "4", "--new-tokens", "3", "--rounds", "2"]
    return ["measure", *arguments, *few]


def test_the_command_writes_table_json_and_picture(folder, tmp_path, capsys):
    files = {"--json": tmp_path / "m.json", "--picture": tmp_path / "m.png"}
    options = [str(part) for pair in files.items() for part in pair]
    assert cli.main(run(folder, "--settings", "float32", *options)) == 0
    told = capsys.readouterr()
    assert "tokens/s" in told.out and "round 2 of 2" in told.err
    assert all(file.stat().st_size for file in files.values())
    assert cli.main(["measure", "--compare", str(files["--json"])]) == 0
    assert "1 result of 1 report" in capsys.readouterr().out


def test_a_model_unlike_the_courses_is_measured(gpt2, capsys):
    assert cli.main(run(gpt2, "--settings", "float32,static,lookup")) == 0
    assert "of the limit" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--picture", "m.bmp"], "must end in .png"),
        (["--json", "."], "it is a folder"),
        (["--compare", "m.json", "--json", "x"], "m.json"),
        (["--device", "tpu"], "device='tpu'"),
    ],
)
def test_what_cannot_be_done_is_one_line_before_anything_is_measured(options, words, capsys):
    assert cli.main(["measure", *options]) == 1
    told = capsys.readouterr()
    assert words in told.err and "warming" not in told.err and told.err.count("\n") == 1


def test_comparing_measures_no_model(folder, capsys):
    assert cli.main(["measure", folder, "--compare", "m.json"]) == 1
    assert "leave out MODEL" in capsys.readouterr().err


def test_rows_that_are_no_numbers_are_one_line(capsys):
    with pytest.raises(SystemExit):
        cli.main(["measure", "--rows", "many"])
    assert "'many' is no list of numbers" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_takes_nothing_from_the_table(folder, monkeypatch, capsys):
    monkeypatch.setattr(report, "save_picture", lambda *_: (_ for _ in ()).throw(OSError("full")))
    assert cli.main(run(folder, "--settings", "float32", "--picture", "m.png")) == 1
    told = capsys.readouterr()
    assert "of the limit" in told.out and "full" in told.err


def test_the_status_is_one_where_a_setting_could_not_be_run(folder, capsys):
    assert cli.main(run(folder, folder + "x", "--settings", "float32")) == 1
    assert "could not be run" in capsys.readouterr().out


def test_a_folder_that_is_not_there_is_said_before_anything_is_measured(tmp_path, capsys):
    assert cli.main(run("--json", str(tmp_path / "none" / "m.json"))) == 1
    told = capsys.readouterr()
    assert "folder does not exist" in told.err and "warming" not in told.err


def test_a_wrong_setting_is_one_line(folder, capsys):
    assert cli.main(run(folder, "--settings", "fast")) == 1
    assert "is no setting" in capsys.readouterr().err


def test_the_help_names_every_setting():
    command = [sys.executable, "-m", "llmcourse", "measure", "--help"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for name in (*LOADED, *CALLED):
        assert name in said
