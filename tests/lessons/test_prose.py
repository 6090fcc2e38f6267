"""The form of a lesson: folds, minutes, whose cell is whose, numbers; and each fault is found."""

import copy

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools import lesson, lesson_numbers, proofread

LESSONS = lesson.lessons()


@pytest.mark.parametrize("kind", proofread.FINDERS)
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_has_no_faults(path, kind):
    assert list(proofread.FINDERS[kind](lesson.read(path))) == []


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_leads_to_the_next_one(path):
    following = next((one for one in LESSONS if one > path), None)
    assert list(proofread.next_faults(lesson.read(path), following)) == []


# A small lesson without a fault


def markdown(text):
    return new_markdown_cell(text)


def code(source, printed="", **more):
    outputs = [new_output("stream", name="stdout", text=printed)] if printed else []
    return new_code_cell(source, outputs=outputs, **more)


QUESTION = "**Predict:** is it 10, 100 or 1,000?"
ANSWER = (
    "<details><summary>What was seen</summary>\n\n43.7, below 50.\n\n</details><p></p>\n\nOn we go."
)
STUB = '''def softmax(scores):
    """Return probabilities, (vocab,)."""
    raise NotImplementedError("Write this.")


forward_pass.check_softmax(softmax)'''
OURS = """# @title Our version: open it when yours is written
def our_softmax(scores):
    return scores.softmax(-1)


softmax = yours_or_ours(softmax, our_softmax)"""


def exercise(number):
    return [
        markdown(
            f"**{number}. Count.** *10 minutes · optional.* Count to 99.\n\n"
            "<details><summary>Hint</summary>\n\nOne.\n\n</details><p></p>\n\n"
            "<details><summary>Solution</summary>\n\n"
            f"```python\ncheck_{number}(count)\n```\n\n</details>"
        ),
        code(f"# Your turn: exercise {number}\ncheck_{number}(count)"),
    ]


def good():
    questions = "<p></p>\n\n".join(
        f"{n}. Why?\n\n<details><summary>Answer</summary>\n\nSo.\n\n</details>" for n in range(1, 5)
    )
    made = new_notebook(
        cells=[
            markdown("# 9. A lesson\n\n**Minutes:** 35. **Needs:** 2 GB of memory."),
            code("import llmcourse"),
            markdown(
                f"A claim.\n\n## 1. One\n\n*4 minutes · core*\n\nThe limit is 50.\n\n{QUESTION}"
            ),
            code("limit = 50", "43.7%"),
            markdown(ANSWER),
            markdown("## 2. Two\n\n*3 minutes · optional*\n\nWrite it."),
            code(STUB),
            code(OURS, metadata=copy.deepcopy(proofread.OURS)),
            markdown("## What you saw\n\n- 43.7"),
            markdown("## Exercises"),
            *exercise(1),
            *exercise(2),
            *exercise(3),
            markdown(f"## Quiz\n\n{questions}"),
            markdown(
                "## Read more\n\n- Adams 1979\n\n"
                "**Next:** [lesson 10](10_more.ipynb): what comes then"
            ),
        ]
    )
    for number, cell in enumerate(made.cells):
        cell.id = f"09-{number:02}"
    return made


def faults(notebook):
    following = lesson.ROOT / "notebooks" / "10_more.ipynb"
    found = [fault for find in proofread.FINDERS.values() for fault in find(notebook)]
    return [*found, *proofread.next_faults(notebook, following)]


def test_a_good_lesson_has_no_faults():
    assert faults(good()) == []


def test_the_last_lesson_leads_nowhere():
    notebook = good()
    notebook.cells[-1].source = "## Read more\n\nAll of it."
    assert list(proofread.next_faults(notebook, None)) == []


def replace(number, old, new):
    """A change to a lesson: in the source of one cell, what stands there becomes something else."""

    def change(notebook):
        assert old in notebook.cells[number].source
        notebook.cells[number].source = notebook.cells[number].source.replace(old, new)

    return change


def insert(number, cell):
    return lambda notebook: notebook.cells.insert(number, cell)


def remove(number):
    return lambda notebook: notebook.cells.pop(number)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        # folds
        (replace(4, "<details><summary>What was seen</summary>\n\n", ""), "does not begin"),
        (replace(4, "</summary>\n\n", "</summary>\n"), "does not begin"),
        (replace(4, "<details>", "So. <details>"), "does not begin"),
        (replace(4, "\n\n</details>", "</details>"), "no blank line"),
        (replace(4, "<p></p>", ""), "should end with </details><p></p>"),
        (replace(10, "<p></p>", ""), "should end with </details><p></p>"),
        (replace(2, QUESTION, QUESTION + "\n\nLook."), "not the last paragraph"),
        (replace(2, QUESTION, f"{QUESTION}\n\n{QUESTION}"), "not the last paragraph"),
        (insert(3, markdown("Look.")), "no code cell follows"),
        (remove(3), "no code cell follows"),
        (insert(4, markdown("Look.")), "does not begin"),
        # the order
        (replace(2, "## 1. One", "## One"), "should be '## 1. ...'"),
        (replace(5, "## 2. Two", "## 3. Two"), "should be '## 2. ...'"),
        (replace(2, "*4 minutes · core*\n\n", ""), "has no line"),
        (replace(2, "*4 minutes · core*", "*4 minutes*"), "has no line"),
        (replace(2, "core*\n\n", "core*\n"), "has no line"),
        (replace(2, "core", "optional"), "no section is core"),
        (replace(8, "What you saw", "Seen"), "should end with"),
        (replace(16, "## Quiz", "## 3. Quiz\n\n*3 minutes · core*"), "should end with"),
        # exercises
        (replace(12, "**2. Count.**", "### 2. Count"), "these do: [1, 3]"),
        (replace(12, "*10 minutes · optional.*", ""), "these do: [1, 3]"),
        (replace(13, "# Your turn: exercise 2", "# Your turn"), "these do: [1, 3]"),
        (replace(13, "check_2", "# check_2"), "cell 09-13: an exercise should end with its check"),
        (replace(13, "\ncheck_2(count)", ""), "an exercise should end with its check"),
        (replace(12, "check_2(count)", "print(count)"), "solution of exercise 2"),
        (replace(12, "check_2(count)", "'assert'"), "solution of exercise 2"),
        # the quiz, and what is next
        (replace(16, "1. Why?\n\n<details><summary>Answer", "1. <details><summary>Why"), "has 3"),
        (remove(16), "should end with"),
        (replace(17, "10_more", "11_more"), "[lesson 10](10_more.ipynb)"),
        (replace(17, "then", "then\n\nAnd so on."), "[lesson 10](10_more.ipynb)"),
        # whose cell
        (replace(6, "forward_pass.check", "# forward_pass.check"), "end with its check"),
        (insert(7, code("softmax(2)")), "the next code cell"),
        (replace(7, "# @title Our version: open", "# Ours: open"), "should begin with"),
        (replace(7, "softmax = yours_or_ours(softmax, our_softmax)", ""), "should end with"),
        (replace(7, "(softmax, our", "(our_softmax, our"), "should end with"),
        (lambda notebook: notebook.cells[7].metadata.pop("cellView"), "metadata"),
        (lambda notebook: notebook.cells[7].metadata.jupyter.update(source_hidden=False), "metad"),
        # numbers and timings
        (replace(4, "43.7", "44"), "44"),
        (replace(5, "Write it.", "Write 50 of it."), "50"),
        (replace(8, "43.7", "43.8"), "43.8"),
        (replace(4, "43.7,", "43.7<!-- cell 09-99 -->,"), "no code cell 09-99"),
        (replace(4, "43.7,", "43.7<!-- cell 09-06 -->,"), "cell 09-06 has it not"),
        (replace(5, "Write it.", "Write it<!-- fact -->."), "belongs to no"),
        (replace(4, "below 50.", "below 50 of a great many more<!-- fact -->."), "belongs to no"),
        (replace(4, "On we go.", "In 5 s we go on."), "a timing in prose: '5 s'"),
        (replace(4, "On we go.", "It is twice as fast."), "a timing in prose: 'twice as fast'"),
    ],
)
def test_a_fault_is_found(change, fault):
    notebook = good()
    change(notebook)
    found = faults(notebook)
    assert any(fault in one for one in found), found


def test_a_fault_names_cell_and_question():
    notebook = good()
    notebook.cells[4].source = "43.7."
    (fault,) = proofread.fold_faults(notebook)
    assert "cell 09-02" in fault and "cell 09-04" in fault and QUESTION in fault


def test_a_list_to_choose_from_belongs_to_the_question():
    notebook = good()
    replace(2, QUESTION, "**Predict:** which?\n\n- this\n- that")(notebook)
    assert faults(notebook) == []


def test_what_stands_in_a_code_fence_is_no_heading():
    notebook = good()
    notebook.cells[5].source += "\n\n```text\n## Not a heading\n```"
    assert faults(notebook) == []


@pytest.mark.parametrize(
    "solution",
    [
        "checks.check_it(count)\nprint(count)",
        "for x in range(3):\n    assert count(x)",
        "%time\nassert x",
    ],
)
def test_a_solution_may_check_itself_in_several_ways(solution):
    assert proofread.has_a_check(solution)


# Numbers


def numbers_of(text):
    return [quote.text for quote in lesson_numbers.quotes(text)]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("From 3 to 43.7, at 99%.", ["3", "43.7", "99"]),
        ("393,216 and 1,5 and 2.", ["393,216", "1", "5", "2"]),
        ("-3.4 and −0.5, 5-10, (+7)", ["-3.4", "−0.5", "5", "10", "+7"]),
        ("1/2 is half, and 17/32 more", ["1/2", "17/32"]),
        ("GPT-2, top-5, Qwen2.5, int8, a 7B model, SmolLM2-135M, the 2nd, 5.15.1", ["5.15"]),
        ("8-bit and 4 bits", ["4"]),
        ("Su et al. 2021, Xiao et al., 2023 (nostalgebraist 2020) (Su and Lu 2019)", []),
        ("Llama 3, Qwen 2.5's, Gemma 2 and 4", ["4"]),
        ("In May 2024 (of 2000)", ["2024"]),
        ("`x = 3` and ``a ` 4``\n\n```python\n5\n```\n\n~~~\n6\n~~~\n", []),
        ("[see 3](4.ipynb), ![a 5](6.png), <https://x.org/7>, https://x.org/8", []),
        ('<img width="600"> 3', ["3"]),
        ("# 3 things\n\n### 4 more\n\n5", ["5"]),
        ("*4 minutes · core*\n\n1. one\n2. 3\n", ["3"]),
        ("lesson 3, Lessons 3, 4 and 5, section 2 to 4, exercise 2; row 6", ["6"]),
        ("In 1e-5 of them", ["1e-5"]),
        ("&#8217; &nbsp; 3&times;4", ["3", "4"]),
        ("**Predict:** we took 20. Is it 10, 0.5 or 100? We saw 7.", ["20", "7"]),
        ("**Predict:** is it 10?\n\nIs it 20?", ["20"]),
        ("2 <!-- not a mark: 3 --> 4", ["2", "4"]),
    ],
)
def test_numbers_in_prose_are_told_from_names_and_code(text, numbers):
    assert numbers_of(text) == numbers


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("44<!-- = 43.7 -->", ["= 43.7"]),
        ("44% <!-- fact -->", ["fact"]),
        ("**44**<!-- cell 02-17 -->", ["cell 02-17"]),
        ("44 percent of all<!-- fact -->", ["fact"]),
        ("44 `tokens` were read.<!-- = 40 + 4 -->", ["= 40 + 4"]),
        ("44 percent of all of them<!-- fact -->", [""]),
        ("44 and 45 of them<!-- fact -->", ["", "fact"]),
        ("44<!-- fact --> of them<!-- fact -->", ["fact"]),
        ("44<!-- a remark -->", [""]),
        ("3 of 4<!-- fact -->", ["", "fact"]),
    ],
)
def test_a_mark_belongs_to_the_number_before_it(text, marks):
    assert [quote.mark for quote in lesson_numbers.quotes(text)] == marks


@pytest.mark.parametrize(
    ("prose", "source", "printed"),
    [
        ("393,216", "", "393216 numbers"),
        ("393,216", "393_216", ""),
        ("0.5", "p = 0.50", ""),
        ("3.4", "", "by -3.4"),
        ("-3.4", "", "lowest −3.4"),
        ("99%", "", "0.0 99%"),
        ("1/2", "", "1 of 2"),
        ("3", "x[-3:]", ""),
        ("1e-5", "", "0.00001"),
        ("44<!-- = 43.7 -->", "", "43.7"),
        ("8<!-- = 28 - 20 -->", "28 + 20", ""),
        ("46%<!-- = 100 * 13 / 28 -->", "", "13 28"),
        ("40,000<!-- = 2 ** 15.3 -->", "", "15.3"),
        ("1/4<!-- = 7 / 28 -->", "", "7 of 28"),
        ("3<!-- = log2(8) -->", "", ""),
        ("1.2<!-- = 1,234 / 1000 -->", "", "1,234"),
        ("-5<!-- = 20 - 25 -->", "", "20 25"),
    ],
)
def test_a_number_is_found_as_it_is_written_elsewhere(prose, source, printed):
    assert about(prose, source, printed) == []


@pytest.mark.parametrize(
    ("prose", "printed", "said"),
    [
        ("44", "43.7", "no cell of the section above it has it"),
        ("43", "43.7", "no cell of the section above it has it"),
        ("3", "float3 1.3 33", "no cell of the section above it has it"),
        ("-3.4", "3.4", "no cell of the section above it has it"),
        ("1/2", "1 of 3", "no cell of the section above it has it"),
        ("43<!-- = 43.7 -->", "43.7", "gives 43.7"),
        ("50,000<!-- = 2 ** 15.3 -->", "15.3", "gives"),
        ("9<!-- = 28 - 19 -->", "28", "has 19"),
        ("9<!-- = 9 -->", "28", "has 9"),
        ("8<!-- = 28 - x -->", "28", "more than arithmetic"),
        ("8<!-- = __import__('os') -->", "28", "more than arithmetic"),
        ("8<!-- = 28 - -->", "28", "no value"),
        ("8<!-- = 28 / 0 -->", "28 0", "no value"),
        ("8<!-- = 28 ** 28 ** 28 -->", "28", "no value"),
        ("8<!-- = (-8) ** 0.5 -->", "0.5", "no real number"),
        ("8<!-- = round(28, 8) -->", "28", "more than arithmetic"),
    ],
)
def test_a_number_that_is_not_there_is_named_with_the_reason(prose, printed, said):
    (fault,) = about(prose, "", printed)
    assert said in fault


def test_a_mark_in_a_question_is_no_fault():
    assert about("**Predict:** is it 10<!-- fact --> or 20?") == []


def about(prose, source="", printed=""):
    cells = [markdown("# 9. A"), markdown("## 1. B"), code(source, printed), markdown(prose)]
    return list(lesson_numbers.number_faults(new_notebook(cells=cells)))


def test_a_hash_that_reads_like_a_number_is_read_without_an_error():
    assert about("4", "", "4e999999999999999999 3e12ab 5e1_0") == []


def test_a_number_is_looked_for_above_in_its_section_and_in_what_follows_at_once():
    cells = [
        markdown("# 9. A"),
        markdown("## 1. B"),
        code("11"),
        markdown("11 22"),
        code("22"),
        code("33"),
        markdown("44"),
        code("44"),
        markdown("Look.\n\n## 2. C\n\nOf 55 here, and no 44."),
        code("55"),
    ]
    (fault,) = lesson_numbers.number_faults(new_notebook(cells=cells))
    assert "44 in" in fault


def test_what_a_page_shows_counts_and_its_styles_do_not():
    shown = new_output("display_data", data={"text/html": "<b style='width:7px'>43&nbsp;%</b>"})
    cell = new_code_cell("", outputs=[shown])
    assert {str(one) for one in lesson_numbers.in_cells([cell])} == {"43"}


@pytest.mark.parametrize(
    "text",
    [
        "It took 3 s.",
        "It took 0.5 seconds.",
        "about 12 ms a token",
        "12ms",
        "a 3-minute wait",
        "1,200 µs",
        "3 times as fast",
        "3.5x faster",
        "2× slower",
        "two times as slow",
        "twice as quickly",
        "half as fast",
    ],
)
def test_a_timing_in_prose_is_found(text):
    assert len(list(lesson_numbers.timings(text, set()))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "It is faster, and many times as long.",
        "in the 1990s",
        "3 steps, 4 minimal pairs, 5 summaries",
        "*4 minutes · core*",
        "**1. Count.** *10 minutes · optional.* Go.",
        "`time.sleep(3 s)`",
        "10<!-- fact --> seconds are what a person waits",
    ],
)
def test_what_is_no_timing_may_stand(text):
    assert list(lesson_numbers.timings(text, set())) == []


def test_a_number_of_seconds_that_stands_in_the_source_is_a_setting():
    settings = lesson_numbers.printed("time.sleep(0.5)")
    assert list(lesson_numbers.timings("It waits 0.5 seconds.", settings)) == []
