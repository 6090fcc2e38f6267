"""What a script did with the text of an output: a few lines of it, that are really run."""

import sys
import traceback
from functools import partial

import torch

from llmcourse.doctor import instrument
from llmcourse.doctor.case import Decoded, complete
from llmcourse.doctor.followed.provenance import Texts, origin_of
from tests.doctor.corpus.calls import (
    Call,
    byte_level,
    chat,
    either,
    model_for,
    sentencepiece,
    tensors,
)
from tests.doctor.corpus.calls import rendered as render

SCRIPT = "a_script.py"
IMPORTS = "import ast, json, re\n"
_SKIP = {"skip_special_tokens": True}


def uses_of(script: str, case, texts: list[Decoded], runs: bool = False, **names) -> list:
    """Return what the lines of a script do with `text`, and with `texts`, where it is run."""
    looked: list = []
    failures: list[Exception] = []
    follows = Texts(looked.append, failures.append)
    follows.begin()
    for one in texts:
        follows.decoded(origin_of(case, one, runs), case)
    names |= {"text": texts[0].text, "texts": [one.text for one in texts]}
    code = instrument.compiled((IMPORTS + script).encode(), SCRIPT)
    ended_at = set()
    try:
        exec(code, names)
    except Exception:
        trace = traceback.walk_tb(sys.exc_info()[2])
        ended_at = {(frame.f_code.co_filename, line) for frame, line in trace}
    finally:
        instrument.follow(None)
    follows.look(frozenset(ended_at))
    assert not failures, failures
    return [use for one in looked for use in one.uses]


def read_by(
    script: str, prompt: str = "Q: 2 + 2?\nA:", new: str = " 4", whole: bool = False, **options
) -> Call:
    """Return a call whose answer is read by a script; whole: with its prompt.

    options: kind, of the tokenizer; runs: whether a criterion reads it while the call runs;
    special: whether its special tokens are kept.
    """
    kind, runs = options.get("kind", "byte level"), options.get("runs", False)
    if kind == "chatml":
        model, tokenizer = chat("chatml")
        prompt = render(
            tokenizer, [{"role": "user", "content": prompt}], add_generation_prompt=True
        )
    else:
        tokenizer = (sentencepiece if kind == "sentencepiece" else byte_level)()
        model = model_for(tokenizer, settings={}, max_position_embeddings=1024)
    inputs = tensors(tokenizer, prompt)
    length = inputs["input_ids"].shape[1]
    if kind == "sentencepiece":
        added = tokenizer(prompt + new).input_ids[length:]
    else:
        added = tokenizer(new, add_special_tokens=False).input_ids
    output = torch.cat([inputs["input_ids"], torch.tensor([added])], dim=1)
    call = {"max_new_tokens": options.get("room", 100)}
    if "end" in options:
        call["eos_token_id"] = tokenizer(options["end"], add_special_tokens=False).input_ids[-1]
    case = complete(model, tokenizer, inputs, call)
    case.output, case.prompt = output, prompt
    ids = output[0, 0 if whole else length :].tolist()
    skip = {} if options.get("special") else _SKIP
    text = tokenizer.decode(ids, **skip)
    one = Decoded(ids, skip, text, tokenizer=tokenizer)
    uses = uses_of(script, case, [one], runs, prompt=prompt, tokenizer=tokenizer)
    return Call(model, tokenizer, inputs, call, {"output": output, "uses": uses})


def _read(code: str | None, name: str, script: str, *text: str, **options) -> None:
    """Register an answer that a script reads: the prompt and what is new, or what is new."""
    given = dict(zip(("prompt", "new")[-len(text) :] if text else (), text, strict=True))
    either(code, f"read: {name}", partial(read_by, script, **given, **options))


_TOGETHER = {"whole": True}
_CHAT = {"whole": True, "kind": "chatml"}
_SHOTS = "Q: 1 + 1?\nAnswer: 2\nQ: 2 + 2?\nAnswer:"
_CODE = "def add(a, b):\n"

for _code, _name, _script, *_text in (
    ("cut-at-minus-one", "a stop that is not there", "a = text[: text.find('###')]", " Rome."),
    (None, "a stop that is there", "a = text[: text.find('###')]", " Rome.###"),
    (
        None,
        "a stop that is looked for first",
        "at = text.find('###')\na = text[:at] if at >= 0 else text",
        " Rome.",
    ),
    (
        "cut-at-minus-one",
        "the last part of one",
        "a = ''.join(re.split('(\\ndef|\\nclass)', text)[:-2])",
        "    return a + b\n",
    ),
    ("cut-at-minus-one", "all lines but the last", "a = text.splitlines()[:-1]", " Rome is"),
    (None, "two lines but the last", "a = text.splitlines()[:-1]", " Rome.\nIt is"),
    (
        "first-line-empty",
        "a fence's first line",
        "a = text.split('\\n')[0]",
        "```python\nx = 1\n```",
    ),
    (
        "first-line-empty",
        "a fence before a function",
        "a = text.split('def ')[0]",
        "```python\ndef f():\n    pass",
    ),
    (
        None,
        "a fence that is taken off",
        "lines = text.split('\\n')\nif lines[0].startswith('```'):\n    lines = lines[1:-1]",
        "```python\nx = 1\n```",
    ),
    ("mark-read-as-pattern", "marks joined", "a = re.split('<|im_end|>|###', text)[0]", " 4 < 5"),
    (
        "mark-read-as-pattern",
        "a mark in a function",
        "def clean(text, stops):\n    return re.compile('|'.join(stops)).sub('', text)\n"
        "a = clean(text, ['[/INST]'])",
        " In Istanbul",
    ),
    (None, "marks escaped", "a = re.split(re.escape('<|im_end|>') + '|###', text)[0]", " 4 < 5"),
    (None, "one of some letters", "a = re.search('[ABCD]', text)", " A"),
    (
        "compared-with-its-space",
        "a label with its space",
        "gold = '#### 27'.split('####')[1]\na = text.strip() == gold",
        " 27",
    ),
    (None, "labels with and without", "a = text.strip() in (' A', 'A')", " B"),
    (
        "json-cut-at-first-brace",
        "a call with brackets in a text",
        "a = re.search(r'CALL: (\\w+)\\((.*?)\\)', text)",
        "CALL: write(path=b, content=hello (again))",
    ),
    (
        None,
        "a call without",
        "a = re.search(r'CALL: (\\w+)\\((.*?)\\)', text)",
        "CALL: write(path=b, content=hello)",
    ),
    ("first-line-empty", "a line end first", "a = text.split('\\n')[0]", "\nRome\n"),
    ("first-line-empty", "the lines", "lines = text.splitlines()\na = lines[0]", "\nRome\n"),
    (None, "stripped first", "a = text.strip().split('\\n')[0]", "\nRome\n"),
    (None, "no line at all", "a = text.split('\\n')[0]", " Rome"),
    ("strip-takes-characters", "a word stripped", "a = text.lstrip('Answer: ')", "Answer: never"),
    (None, "a word that is all", "a = text.strip('Answer: ')", "Answer: Rom"),
    (None, "points stripped", "a = text.strip(' .!\\n')", " Rome.\n"),
    ("continuation-stripped", "code", "print(prompt + text.strip())", _CODE, "    return a + b"),
    ("continuation-stripped", "words", "a = f'{prompt}{text.strip()}'", "It is", " Rome"),
    (None, "a space between", "a = f'{prompt} {text.strip()}'", "It is", " Rome"),
    (None, "put behind it whole", "a = prompt + text", _CODE, "    return a + b"),
    ("label-inside-words", "no in know", "a = 'no' in text.lower()", " I know it."),
    ("label-inside-words", "a letter", "a = re.search('[A-D]', text)[0]", " (Because it is)"),
    (None, "a sign of a script without spaces", "a = '好' in text", " 你好吗"),
    (None, "compared with itself, stripped", "a = text != text.strip()", " Yes\n"),
    (None, "a line with two numbers", "a = re.search('[0-9] .*[0-9]', text)", "1 is\nnot 2"),
    (
        None,
        "an opening mark that may be missing",
        "a = re.sub('(<think>)?.*?</think>', '', text, flags=re.S)",
        "Two.\n</think>\n4",
    ),
    (None, "no alone", "a = 'no' in text.lower()", " no, I know it."),
    (None, "a form of the word", "a = 'apple' in text", " Two apples."),
    (
        "pattern-stops-at-line-end",
        "tags over lines",
        "a = re.search('<a>(.*)</a>', text)",
        "<a>\n4\n</a>",
    ),
    (
        "pattern-stops-at-line-end",
        "a compiled pattern",
        "class P:\n    tag = re.compile('<a>(.*)</a>')\na = P().tag.findall(text)",
        "<a>\n4\n</a>",
    ),
    (None, "with DOTALL", "a = re.search('<a>(.*)</a>', text, re.DOTALL)", "<a>\n4\n</a>"),
    (
        None,
        "another pattern after it",
        "a = re.search('<a>(.*)</a>', text) or re.search('<a>([^<]*)</a>', text)",
        "<a>\n4\n</a>",
    ),
    ("answer-form-assumed", "a sentence for a number", "a = int(text)", " The answer is 42."),
    ("answer-form-assumed", "words and JSON", "a = json.loads(text)", 'Here: {"a": 1}'),
    ("answer-form-assumed", "a label and more", "a = text == 'Yes'", "Yes, it is."),
    (None, "a number", "a = int(text)", " 42\n"),
    (
        None,
        "a number with a second way to read it",
        "try:\n    a = int(text)\nexcept ValueError:\n    a = int(re.search('[0-9]+', text)[0])",
        " It is 42.",
    ),
    ("compared-with-its-space", "a label", "a = text == 'Yes'", " Yes"),
    ("compared-with-its-space", "labels", "a = {'Yes': 1}.get(text, 0)", " Yes"),
    ("compared-with-its-space", "a look-up", "a = {'Yes': 1}[text]", "Yes\n"),
    ("compared-with-its-space", "among them", "a = text in ('Yes', 'No')", " Yes"),
    ("case-not-folded", "a label in small letters", "a = text.strip() == 'yes'", " Yes"),
    (None, "both spellings", "a = text.strip() == 'yes' or text.strip() == 'Yes'", " Yes"),
    (None, "an answer that is wrong", "a = text.strip() == 'no'", " yes"),
    (None, "stripped and folded", "a = text.strip().lower() == 'yes'", " Yes"),
    (
        "json-cut-at-first-brace",
        "a lazy pattern",
        "a = json.loads(re.search('{.*?}', text, re.S).group())",
        'So: {"a": {"b": 1}, "c": 2}',
    ),
    (
        "quotes-made-json",
        "an apostrophe",
        """a = json.loads(text.replace("'", '"'))""",
        """{'a': "it's"}""",
    ),
    (None, "quotes without one", """a = json.loads(text.replace("'", '"'))""", "{'a': 'b'}"),
    (
        "number-with-commas",
        "thousands",
        "a = float(re.findall('[0-9,]+', text)[-1])",
        " It costs 1,200",
    ),
    ("number-with-commas", "a last point", "a = text.split('is ')[1] == '10'", " It is 10."),
    (
        "number-with-commas",
        "one of two groups",
        "found = re.findall(r'(-?[$0-9.,]{2,})|(-?[0-9]+)', text)[-1]\n"
        "a = [one for one in found if one][0].strip() == '1200'",
        " It costs $1,200.",
    ),
    (None, "another number", "a = text.split('is ')[1] == '10'", " It is 100."),
    (
        "compared-with-its-space",
        "a label with its space, and a number found",
        "gold = '#### 27'.split('####')[1]\na = re.search('is (.+)', text)[1].strip() == gold",
        " It is 27",
    ),
    (
        "number-without-digit",
        "a point",
        "a = float(re.findall('[0-9.,]+', text)[-1])",
        " 72, all of it, in all...",
    ),
    ("json-in-a-fence", "a fence", "a = json.loads(text)", '```json\n{"a": 1}\n```'),
    (
        None,
        "a fence, and what is in it",
        "try:\n    a = json.loads(text)\nexcept ValueError:\n"
        "    a = json.loads(re.search('```json(.*)```', text, re.S)[1])",
        '```json\n{"a": 1}\n```',
    ),
    (
        "thinking-half-marked",
        "a mark that this model never writes",
        "a = (text, '') if text.count('</think>') == 0 else text.split('</think>')",
        "Paris.",
    ),
    (None, "cut at a mark where there is one", "a = text.split('</think>')[-1]", "Paris."),
    (
        "thinking-half-marked",
        "the pair of marks",
        "a = re.sub('<think>.*?</think>', '', text, flags=re.S)",
        "Two and two.\n</think>\n4",
    ),
    (
        "base-model-never-ends",
        "a rule between the examples that is no stop word",
        "a = [text.find(word) for word in ('\\nclass', '\\n\\n')]",
        "one\n=====\ntwo\n=====\nthree\n=====\n",
        "four\n=====\nfive\n\nsix",
    ),
    (
        "base-model-never-ends",
        "an example's first words that are no stop word",
        "def cut(text, words):\n    for word in words:\n        text = text.split(word)[0]\n"
        "    return text\na = cut(text, ['\\n\\n', '###'])",
        "Q: 1?\nA: 1\nQ: 2?\nA: 2\nQ: 3?\nA:",
        " 3\nQ: 4?\nA: 4",
    ),
    (
        None,
        "an example's first words that are one",
        "a = text.split('###')[0].split('Q:')[0]",
        "Q: 1?\nA: 1\nQ: 2?\nA: 2\nQ: 3?\nA:",
        " 3\nQ: 4?\nA: 4",
    ),
    (
        None,
        "a line's end that comes first",
        "a = text.split('\\n')[0]",
        "Q: 1?\nA: 1\nQ: 2?\nA: 2\nQ: 3?\nA:",
        " 3\nQ: 4?\nA: 4",
    ),
):
    _read(_code, _name, _script, *_text)

for _code, _name, _script, *_text in (
    (
        "found-in-the-prompt",
        "a number of the question",
        "a = re.findall('[0-9]+', text)[0]",
        "12 apples, 3 gone?\nA:",
        " 9",
    ),
    (
        "found-in-the-prompt",
        "a number that no answer has",
        "a = re.search('[0-9]+', text).group()",
        "12 apples, 3 gone?\nA:",
        " nine",
    ),
    (None, "the last number", "a = re.findall('[0-9]+', text)[-1]", "12 apples?\nA:", " 9"),
    (
        "found-in-the-prompt",
        "an example's answer",
        "a = text.split('Answer:')[1]",
        _SHOTS,
        " 4",
    ),
    ("found-in-the-prompt", "a word", "a = 'yes' in text", "Say yes or no.\nA:", " no"),
    (
        "found-in-the-prompt",
        "an example of JSON",
        "a = text[text.find('{') :]",
        'As {"a": "..."}, please.\nA: ',
        '{"a": "Rome"}',
    ),
    (None, "words of all", "a = text.split()[0], text.split('\\n')[0]"),
    (None, "its question looked for", "a = 'Q: 2 + 2?\\nA:' in text"),
    (None, "behind its mark", "a = text.split('Answer:')[1]", "Q: 2 + 2?\nAnswer:", " 4"),
    (None, "behind its last mark", "a = text.split('Answer:')[-1]", _SHOTS, " 4"),
    (None, "a mark that is there", "a = text.split('A:')[-1] if 'A:' in text else text"),
    (None, "a pattern from its mark on", "a = re.search('A: (.*)', text)[1]"),
    (
        "split-by-a-mark",
        "a mark that the model wrote too",
        "a = text.split('Answer:')[-1]",
        _SHOTS,
        " 4\nQ: 3 + 3?\nAnswer: 6",
    ),
    ("prompt-in-output", "behind its prompt", "a = prompt + text", _CODE, "    return a"),
    ("prompt-in-output", "compared", "a = text == '4'"),
    ("prompt-in-output", "as JSON", "a = json.loads(text)", "JSON, please.\n", '{"a": 1}'),
    (
        "prompt-in-output",
        "a message",
        "class Chat:\n    messages = []\n"
        "Chat().messages.append({'role': 'assistant', 'content': text})",
    ),
    (None, "cut by its characters, which fit", "a = text[len(prompt) :]"),
    (None, "replaced, and there", "a = text.replace(prompt, '')"),
):
    _read(_code, f"{_name}, whole", _script, *_text, **_TOGETHER)

for _code, _name, _script, *_text in (
    ("prompt-cut-by-characters", "its length", "a = text[len(prompt) :]", "Hi", "Good day."),
    (
        "prompt-cut-by-characters",
        "a function of its length",
        "def cut(text, n):\n    return text[n:]\na = cut(text, len(prompt))",
        "Hi",
        "Good day.",
    ),
    ("prompt-cut-by-characters", "replaced", "a = text.replace(prompt, '')", "Hi", "Good day."),
    (
        "split-by-a-mark",
        "a mark that was skipped",
        "a = text.split('<|im_start|>assistant')[-1]",
        "Hi",
        "Good day.",
    ),
    (
        "split-by-a-mark",
        "a mark that was skipped, and no second part",
        "a = text.split('<|im_start|>assistant')[1]",
        "Hi",
        "Good day.",
    ),
    (None, "an end that was skipped", "a = text.split('<|im_end|>')[0]", "Hi", "Good day."),
    (
        None,
        "cut at its length",
        "a = text[len(tokenizer.decode(tokenizer(prompt).input_ids, skip_special_tokens=True)) :]",
        "Hi",
        "Good day.",
    ),
):
    _read(_code, f"{_name}, of a chat", _script, *_text, **_CHAT)

_read("prompt-cut-twice", "cut by its prompt", "a = text[len(prompt) :]", _SHOTS, " 4" * 40)
_read(
    "first-space-dropped",
    "code by itself",
    "a = prompt + text",
    "it",
    " is so",
    kind="sentencepiece",
)
_read(None, "a line by itself", "print(text)", "it", " is so", kind="sentencepiece")
_LINE = {"end": "\n"}
_LOOKS = "a = re.search('answer is ([0-9]+)', text)"
_read("stopped-at-a-blank-line", "an answer after a line's end", _LOOKS, " Two.\n", **_LINE)
_read(None, "a letter that the line lacks", "a = re.search('[A-D]$', text)", " Two.\n", **_LINE)
_read(None, "what is found before a line's end", "a = re.search('[0-9]+', text)", " 4\n", **_LINE)
_read(
    None,
    "what is found at the second try",
    _LOOKS + " or re.search('Two', text)",
    " Two.\n",
    **_LINE,
)

_RUNS = {"whole": True, "runs": True}
_read("stop-reads-the-prompt", "a stop", "a = 'Q:' in text", **_RUNS)
_read(None, "a stop that is counted", "a = text.count('Q:') > prompt.count('Q:')", **_RUNS)
_read(None, "a stop that is new", "a = 'Q:' in text", "Q: 2 + 2?\nA:", " 4\nQ: 3", **_RUNS)

for _code, _name, _script in (
    ("end-token-in-text", "an expression up to the end", "a = re.match('[a-z]+$', text)"),
    ("end-token-in-text", "a list", "a = json.loads(text)"),
    (None, "an expression for its part", "a = re.match('[a-z[]+', text)"),
):
    _new = ("[1]" if "json" in _script else "word") + "</s>"
    _read(_code, f"{_name}, with its end", _script, _new, special=True)
