"""The package's scores beside lm-evaluation-harness: its tasks, and what was kept of a run."""

import json

import pytest
import yaml

from benchmarks.lm_eval_items import VARIANTS, Variant, compared, page, table, task_of, to_json
from benchmarks.readme import RESULTS
from llmcourse.quality import Answered, Likelihood, digest, read_items

FACTS = read_items(kinds=["facts"])
GRAMMAR = read_items(kinds=["grammar"])
ANSWERED = Answered(FACTS[0], tuple(Likelihood(-n - 1.0, 1, 5, 5, n == 0) for n in range(4)))
LINE = {
    "resps": [[[str(-n - 1.00001), str(n == 0)]] for n in range(4)],
    "acc": float(FACTS[0].answer == 0),
    "acc_norm": float(FACTS[0].answer == 0),
}


def test_a_task_is_yaml_that_says_what_the_package_does():
    task = yaml.safe_load(task_of("facts", FACTS, VARIANTS[0]))
    assert task["dataset_kwargs"] == {"data_files": {"test": "facts.jsonl"}}
    assert task["target_delimiter"] == " " and task["num_fewshot"] == 0
    assert yaml.safe_load(task_of("grammar", GRAMMAR, VARIANTS[0]))["target_delimiter"] == ""


def test_solved_items_stand_in_the_task_and_are_not_asked():
    three = Variant("three-shot", shots=3)
    task = yaml.safe_load(task_of("facts", FACTS, three))
    solved = [one["id"] for one in task["fewshot_config"]["samples"]]
    assert solved == [item.id for item in FACTS[:3]]
    assert not set(solved) & {item.id for item in three.asked(FACTS)}


def test_a_sentence_without_a_prompt_is_not_asked_in_a_chat():
    assert not Variant("chat", template=True).asked(GRAMMAR)


def test_one_item_is_compared_choice_by_choice():
    one = compared(ANSWERED, LINE, VARIANTS[0])
    assert one.apart == pytest.approx(1e-5)
    assert one.greedy_alike and one.right == one.right_theirs
    other = {**LINE, "resps": [[["-1.0", "False"]]] * 4}
    assert not compared(ANSWERED, other, VARIANTS[0]).greedy_alike


def test_the_table_has_a_line_for_each_way_to_ask_and_kind():
    found = [compared(ANSWERED, LINE, variant) for variant in VARIANTS]
    assert [row[0] for row in table(found).rows] == [variant.name for variant in VARIANTS]
    assert json.loads(to_json(found, {"facts": FACTS}))["compared"][0]["id"] == FACTS[0].id


@pytest.mark.parametrize("path", sorted(RESULTS.glob("lm-eval-*.json")), ids=lambda path: path.stem)
def test_what_is_kept_is_of_these_items_and_both_judge_alike(path):
    kept = json.loads(path.read_text(encoding="utf-8"))
    kinds = list(dict.fromkeys(one["kind"] for one in kept["compared"]))
    assert kept["items"] == digest(item for kind in kinds for item in read_items(kinds=[kind]))
    for one in kept["compared"]:
        apart = max(abs(a - b) for a, b in zip(one["ours"], one["theirs"], strict=True))
        assert apart < 1e-3 and one["greedy_alike"] and one["right"] == one["right_theirs"]
    assert "judged alike" in page(path)
