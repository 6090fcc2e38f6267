"""Following decoded texts through a script: what is heard of, and that nothing else changes."""

import ast
import contextlib
import io
import json
import traceback

import pytest

from llmcourse.__main__ import main
from llmcourse.doctor import instrument
from llmcourse.doctor.case import Origin
from llmcourse.doctor.followed.provenance import Texts, hear_streamer
from tests.doctor.corpus.scripts import read_by

# Asks of texts whatever is instrumented, and of other things by the same methods.
SCRIPT = '''
from __future__ import annotations

import json
import re
from dataclasses import dataclass


@dataclass
class Box:
    """A docstring: {text[0]}"""

    things: dict[str, list[int]]
    def get(self, name: str = "a"[0]) -> list[int]:
        return self.things.get(name, [])[:1] + [len(name)]


class Name(str):
    def split(self, mark=None):
        return f"{super().split(mark)!r:>20}|{self:<10}|{len(self) + 1:03d}"


text = " Yes, it is 42.\\n<end>\\n"
box = Box({"a": [1, 2, 3]})
print(text.strip().split("\\n")[0], text[1:4], text == " Yes", "it" in text, text.find("?"))
print(box.get(), box.get("b"), Box.__annotations__, Name("a b").split())
print(re.search("[0-9]+", text).group(), re.findall("[A-Z]", text), type(text), type(text[1:]))
print([word.lower() for word in text.split() if word != "it"], *text[:2], sep="-")
print({"role": "assistant", "content": text[:4] + "!"}, f"{text[1]}{box.get()}")
print((lambda one: one[0])(text))
box.things["a"][0] += 1
del box.things["a"][1]
match text[1:4]:
    case "Yes" if len(text) > 3:
        print("matched", box)
try:
    json.loads(text)
except ValueError as error:
    print(error)
async def later(): return text[0]
print(later.__name__, eval("len(text)"), sorted(locals())[-3:])
"a".join(1)
'''


def said(code, names) -> tuple[str, str]:
    """Return what a script prints, and the traceback with which it ends."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            exec(code, names)
        except TypeError:
            return out.getvalue(), traceback.format_exc().partition("a_script.py")[2]
    return out.getvalue(), ""


@pytest.mark.parametrize("follows", [False, True])
def test_a_script_prints_and_fails_as_it_did_before(follows):
    texts = Texts(lambda case: None, pytest.fail)
    names = {"__name__": "__main__"}
    plain = said(compile(SCRIPT, "a_script.py", "exec", dont_inherit=True), dict(names))
    if follows:
        texts.begin()
        texts.decoded(Origin("abc", [1], None, {}), None)
    try:
        assert said(instrument.compiled(SCRIPT.encode(), "a_script.py"), dict(names)) == plain
    finally:
        instrument.follow(None)
    assert "line 42" in plain[1] and "Yes, it is 42." in plain[0]


def test_lines_and_columns_of_the_source_stay_where_they_were():
    source = "a = 'x'\nb = (a.\n  split('y')[0]\n  + a)\n"
    tree = instrument.instrumented(ast.parse(source), "a_script.py")
    places = {(node.lineno, node.col_offset) for node in ast.walk(tree) if hasattr(node, "lineno")}
    assert places <= {
        (node.lineno, node.col_offset)
        for node in ast.walk(ast.parse(source))
        if hasattr(node, "lineno")
    }


@pytest.mark.parametrize("source", [b"a = ", b"\xff", b"return 1"])
def test_what_does_not_compile_fails_as_it_would(source):
    with pytest.raises(SyntaxError) as plain:
        compile(source, "a_script.py", "exec", dont_inherit=True)
    with pytest.raises(SyntaxError) as heard:
        instrument.compiled(source, "a_script.py")
    assert str(heard.value) == str(plain.value)


@pytest.mark.parametrize("word", ["import joblib", "torch.compile(model)", "import numba"])
def test_a_script_whose_code_is_read_or_sent_away_is_left_alone(word):
    code = instrument.compiled(f"{word}\na = b.split()\n".encode(), "a_script.py")
    assert not any("llmcourse" in name for name in code.co_names)


def test_a_text_is_followed_through_functions_classes_and_lists():
    script = """
class Reader:
    def __init__(self, text):
        self.kept = [text]
    def first(self):
        return cut(self.kept[0])
def cut(text, by="\\n"):
    return text.split(by)
answers = {"a": Reader(text).first()}
label = answers["a"][1].strip()
found = label == "no"
"""
    uses = read_by(script, new="I say\n yes \n").facts["uses"]
    names = [use.name for use in uses]
    assert names == ["str.split", "[]", "str.strip", "=="]
    last = uses[-1]
    assert (last.text, last.line, last.span) == ("yes", 12, (7, 10))
    assert [use.name for use in last.done] == ["str.split", "str.strip"]


def test_parts_are_known_by_where_they_stand():
    script = """
a = text[3:].lstrip()
b = re.search("b+", a)
c = b.group()[:]
d = re.findall("c(.)", text)
"""
    uses = read_by(script, new="xxx  abbbc1c2").facts["uses"]
    spans = {use.name: use.span for use in uses}
    assert spans["re.search"] == (5, 13)
    assert next(use for use in uses if use.line == 5 and use.name == "[:]").span == (6, 9)


def test_an_error_in_one_use_does_not_end_the_following_of_others():
    script = """
for sought in ("zz", "b"):
    try:
        a = text.index(sought)
    except ValueError:
        a = -2
other = "cab".index("b")
"""
    uses = read_by(script, new="abc").facts["uses"]
    assert [(use.ended, use.result) for use in uses] == [(False, None), (True, 1)]


def test_each_piece_of_a_stream_is_known_with_what_it_is_searched_for():
    looked = []
    texts = Texts(looked.append, pytest.fail)

    class Call:
        def later(self, streamed):
            return streamed

    call, told = Call(), []

    class Streamer:
        def on_finalized_text(self, text):
            told.append(text)

    hear_streamer(Streamer(), lambda text: texts.piece(text, call))
    hear_streamer(Streamer(), pytest.fail)  # it is heard once
    for piece in ("one ", "two ", "x"):
        Streamer().on_finalized_text(piece)
    try:
        texts.begin()
        code = b"for each in pieces:\n    a = 'two' in each\n    b = each.find('one')\n"
        exec(instrument.compiled(code, "a_script.py"), {"pieces": told})
    finally:
        instrument.follow(None)
    texts.look()
    (streamed,) = looked
    assert streamed.pieces == ["one ", "two ", "x"]
    assert [(number, mark, line) for number, mark, _, line in streamed.searches] == [
        *((0, "two", 2), (0, "one", 3), (1, "two", 2), (1, "one", 3)),
    ]


def test_what_is_remembered_is_bounded():
    looked = []
    texts = Texts(lambda case: looked.append(case), pytest.fail)

    class Call:
        def later(self, uses):
            return uses

    try:
        code = instrument.compiled(b"for _ in range(100): text.split()", "a_script.py")
        for number in range(500):
            origin = Origin(f"text {number}", [1], None, {})
            texts.begin()
            texts.decoded(origin, Call())
            if number in (0, 499):
                exec(code, {"text": origin.text})
        assert len(looked) == 1 and len(looked[0]) < 100
        texts.look()
        assert len(looked) == 2
    finally:
        instrument.follow(None)


LOADS = """\
from transformers import AutoModelForCausalLM, AutoTokenizer, LogitsProcessor, pipeline
import re
folder = {folder!r}
model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
tokenizer = AutoTokenizer.from_pretrained(folder)

class Says(LogitsProcessor):
    def __init__(self, text):
        self.ids = iter(tokenizer(text + "<|im_end|>").input_ids)

    def __call__(self, input_ids, scores):
        scores[:, next(self.ids)] = 1e4
        return scores

def ask(prompt, answer):
    inputs = tokenizer(prompt, return_tensors="pt")
    made = model.generate(**inputs, max_new_tokens=60, logits_processor=[Says(answer)])
    return inputs, made
"""
WHOLE = "_, made = ask('12 apples, 3 gone?\\nA:', ' 9')\nanswer = tokenizer.decode(made[0])\n"
SCRIPTS = {
    "a function": (
        "found-in-the-prompt",
        WHOLE
        + "def number(text):\n    return re.findall(r'\\d+', text)[0]\nprint(number(answer))\n",
    ),
    "a class": (
        "found-in-the-prompt",
        WHOLE + "class Reader:\n    pattern = re.compile(r'\\d+')\n    def __init__(self, text):\n"
        "        self.text = text\n    def read(self):\n"
        "        return self.pattern.search(self.text)\n"
        "print(Reader(answer).read()[0])\n",
    ),
    "a comprehension over a batch": (
        "compared-with-its-space",
        "inputs, made = ask('Yes or no?\\nA:', ' Yes')\n"
        "new = made[:, inputs.input_ids.shape[1] :]\n"
        "rows = tokenizer.batch_decode(new, skip_special_tokens=True)\n"
        "print(sum(row == 'Yes' for row in rows))\n",
    ),
    "a pipeline": (
        "compared-with-its-space",
        "pipe = pipeline('text-generation', model=model, tokenizer=tokenizer)\n"
        "made = pipe('Yes or no?\\nA:', max_new_tokens=9, logits_processor=[Says(' Yes')],\n"
        "            return_full_text=False)\n"
        "print({{'Yes': 1}}.get(made[0]['generated_text'], 0))\n",
    ),
    "a stream": (
        "stop-word-in-one-token",
        "from threading import Thread\nfrom transformers import TextIteratorStreamer\n"
        "def pieces():\n"
        "    streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, timeout=60)\n"
        "    options = dict(tokenizer('1 2', return_tensors='pt'), streamer=streamer,\n"
        "                   max_new_tokens=20, logits_processor=[Says(' one two three four')])\n"
        "    worker = Thread(target=model.generate, kwargs=options)\n"
        "    worker.start()\n    yield from streamer\n    worker.join()\n"
        "for piece in pieces():\n    if 'one two' in piece:\n        break\n",
    ),
    "a criterion": (
        "stop-reads-the-prompt",
        "from transformers import StoppingCriteria\n"
        "class Stop(StoppingCriteria):\n    word = 'Q:'\n"
        "    def __call__(self, ids, scores, **more):\n"
        "        return self.word in tokenizer.decode(ids[0])\n"
        "model.generate(**tokenizer('Q: 2 + 2?\\nA:', return_tensors='pt'), max_new_tokens=9,\n"
        "               stopping_criteria=[Stop()])\n",
    ),
}


def doctor(capfd, path) -> dict:
    main(["doctor", "--json", str(path)])
    return json.loads(capfd.readouterr().out)


@pytest.mark.needs_model
@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_told_what_its_text_was_asked_whichever_way(
    name, course_model, tmp_path, capfd
):
    code, lines = SCRIPTS[name]
    path = tmp_path / "script.py"
    lines = lines.replace("{{", "{").replace("}}", "}")
    path.write_text(LOADS.format(folder=course_model[0].name_or_path) + lines)
    said = doctor(capfd, path)
    assert not said["failures"] and not said["failed"] and not said["doctor_failed"]
    found = [one for one in said["findings"] if one["code"] == code and not one["source_only"]]
    assert len(found) == 1 and found[0]["confidence"] == "certain"
    assert found[0]["file"] == str(path)


@pytest.mark.needs_model
@pytest.mark.slow
def test_the_error_that_ends_a_script_is_told_by_the_object_it_is_about(
    course_model, tmp_path, capfd
):
    path = tmp_path / "script.py"
    path.write_text(
        LOADS.format(folder=course_model[0].name_or_path)
        + "pipe = pipeline('text-generation', model=model, tokenizer=tokenizer)\n"
        "def ask(llm):\n    return llm('Yes or no?', max_new_tokens=3).strip()\n"
        "print(ask(pipe))\n"
    )
    said = doctor(capfd, path)
    assert said["failed"] and not said["failures"] and not said["doctor_failed"]
    (found,) = (one for one in said["findings"] if one["code"] == "pipeline-lists-in-lists")
    assert found["file"] == str(path) and found["line"] == path.read_text().count("\n") - 1


@pytest.mark.slow
def test_a_notebooks_cells_are_followed_from_one_to_another(course_model, tmp_path, capfd):
    import nbformat

    folder = course_model[0].name_or_path
    cells = [LOADS.format(folder=folder), WHOLE, "re.search('[0-9]+', answer).group()"]
    path = tmp_path / "mine.ipynb"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(notebook, path)
    said = doctor(capfd, path)
    (found,) = [one for one in said["findings"] if one["code"] == "found-in-the-prompt"]
    assert found["file"].endswith("mine.ipynb:3") and found["line"] == 1
    assert not said["failures"] and not said["failed"]


def test_what_a_text_says_is_escaped_where_it_is_shown():
    from tests.doctor.test_diagnose import found_in

    made = read_by("a = text.split('\\n')[0]", new="\n\x1b[31m<b>red</b>\n")
    (found,) = [one for one in found_in(made) if one.code == "first-line-empty"]
    assert "\x1b" not in found.what
