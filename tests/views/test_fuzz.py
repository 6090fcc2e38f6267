"""Whatever a vocabulary, a prompt or a message holds, every view is inert, short and readable.

A new view is added to `VIEWS` with one line.
"""

import base64
import re
from functools import cache
from html.parser import HTMLParser

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import GenerationConfig, LogitsProcessorList

import llmcourse
from llmcourse import views
from llmcourse.chat import templates
from llmcourse.decoding.explain_rules import RuleEffect, RuleReport
from llmcourse.decoding.ingredients import Ingredients
from llmcourse.decoding.race import Race
from llmcourse.decoding.schedule import Turn
from llmcourse.decoding.stops import Reason
from llmcourse.show import Table, visible
from tests.support.chat_templates import CHATML, letters
from tests.support.families import build
from tests.support.toy_tokenizers import of_texts

LOST = "mark"  # stands at the start of each hostile text, and has to be found in what is shown
PIECES = [
    *("<script>alert(1)</script>", "</td></table>", "<img src=x onerror=alert(1)>", "<!--", "-->"),
    *("]]>", "<![CDATA[", "<style>*{}</style>", "<b", "&lt;b&gt;", "&#60;", "&", "'", '"', "`"),
    *('" onmouseover="alert(1)', "' style='x", "javascript:alert(1)", "$x^2$", "$$", "\\(y\\)"),
    *("\\[z\\]", "\\begin{x}", "\x00", "\x07", "\x1b[31m", "\r\n", "\x0b", "\x85", "\u2028"),
    *("\u202e", "\u2066", "\u200b", "\ufeff", "\u00ad", "\ue000", "\U000e0041", "\ufffe", "\u0301"),
    *("\u3164", "\u115f", "\u034f", "\u2800", "❤\ufe0f", "\U000e0100", "\U000e0fff"),
    *("你", "😀", "ﷺ", "Ġ", "▁", "<0xE2>", "\ud800", "\udfff", "x" * 10_000, "{{ 7 * 7 }}", "{}"),
    *("%s", "«", "»", "|", "<|im_end|>", "<|im_start|>", " ", "\n", "\t"),
]
hostile = st.lists(
    st.sampled_from(PIECES) | st.text(st.characters(codec="utf-8"), max_size=8), max_size=6
).map(lambda pieces: LOST + "".join(pieces))
every = settings(
    max_examples=5,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)

# Tags that a notebook keeps and that do nothing, with the attributes that each may have.
_TAGS = "div b p span small br table caption thead tbody tr th td img"
ALLOWED = {tag: {"style"} for tag in _TAGS.split()}
ALLOWED |= {"details": set(), "summary": {"style"}, "code": {"style"}, "s": set(), "wbr": set()}
ALLOWED["th"] |= {"scope", "colspan", "rowspan"}
ALLOWED["td"] |= {"colspan", "rowspan"}
ALLOWED["img"] |= {"alt", "src"}


class PythonTokenizer:
    """A tokenizer that is not Rust's: its tokens may hold lone surrogates."""

    all_special_ids, added_tokens_decoder = (), {}
    pad_token_id = eos_token_id = None

    def __init__(self, texts):
        self.texts = ["<unk>", *texts]

    def convert_ids_to_tokens(self, token):
        return self.texts[token] if token < len(self.texts) else None

    def __len__(self):
        return len(self.texts)

    def decode(self, row, **_):
        return "".join(self.texts[token] for token in row if token < len(self.texts))

    def batch_decode(self, rows, **_):
        return [self.decode(row) for row in rows]


def ids_of(tokenizer) -> torch.Tensor:
    return torch.arange(len(tokenizer))


def steps_of(tokenizer, why: str, rows: int = 1) -> list:
    ids = ids_of(tokenizer).repeat(rows, 1)
    logits = torch.linspace(2, 0, len(tokenizer)).repeat(rows, 1)
    reasons = (Reason(why, f"because of {why}"),) * rows
    done, best = torch.ones(rows, dtype=torch.bool), logits.softmax(-1)
    last = ids[:, -1]
    return [llmcourse.Step(0, ids, logits, logits, best, last, 1, done, reasons, 0.1)]


def run_of(tokenizer, **how) -> list:
    """Return real steps of a tiny model that speaks the tokenizer's vocabulary."""
    model = build("llama", vocab_size=max(6, len(tokenizer)), eos_token_id=None)
    ids = torch.arange(len(tokenizer)).repeat(2)[None]
    return list(llmcourse.steps(model, input_ids=ids, max_new_tokens=4, **how))


def race_of(tokenizer, why: str) -> Race:
    ids = ids_of(tokenizer)[None]
    half = torch.full(ids.shape, 0.5)
    same = (ids, ids.flip(1), half, half, False, False)
    return Race(*same, (Reason(why, f"because of {why}"),), 0.1, 0.1, tokenizer)


def ingredients_of(_, text: str) -> Ingredients:
    def rule(ids, scores):
        return scores

    rule.__name__ = text
    config = GenerationConfig(max_new_tokens=3, stop_strings=[text])
    made = LogitsProcessorList([rule])
    return Ingredients(torch.ones(1, 2).long(), made, [rule], config, {text: text}, None, {})


def report_of(tokenizer, text: str) -> RuleReport:
    shown = llmcourse.show.token_text(tokenizer, len(tokenizer) - 1)
    numbers = {name: 1 for name in RuleEffect.__dataclass_fields__}
    return RuleReport(0, 0, 1, shown, (RuleEffect(**numbers | {"name": visible(text)}),))


def chat_of(_, text: str) -> views.Chat:
    messages = [{"role": text, "content": text}, {"role": "user", "content": text}]
    return views.chat(_letters(), messages)


def refused_chat(_, text: str) -> views.Chat:
    refuse = "{{ raise_exception(messages[0].content) }}"
    return views.chat(_letters(), [{"role": text, "content": text}], chat_template=refuse)


def tool_call_of(_, text: str) -> views.ToolCall:
    made = {"name": text, "arguments": {text: text}}
    tool = {"type": "function", "function": {"name": text, "description": text}}
    messages = [
        {"role": "user", "content": text},
        {"role": "assistant", "content": text, "tool_calls": [{"id": text, "function": made}]},
        {"role": "tool", "name": text, "tool_call_id": text, "content": text},
    ]
    template = templates()["qwen 2.5 with tools"].text
    return views.tool_call(_letters(), messages, tools=[tool], chat_template=template)


def padding_of(_, text: str) -> views.Padding:
    texts = [text.encode(errors="replace").decode(), "b"]
    return views.padding(_letters(), texts)


def finished_of(tokenizer, text: str) -> views.Padding:
    """A batch that finished, in a hostile vocabulary; padding asks for Rust's tokenizer."""
    if isinstance(tokenizer, PythonTokenizer):
        tokenizer = of_texts([text])
    texts = ["\n".join(tokenizer.convert_ids_to_tokens([0, 0])), "<unk>"]
    ids = tokenizer(texts, padding=True, padding_side="left", return_tensors="pt").input_ids
    made = llmcourse.Step(
        0, ids, ids, ids, ids, torch.tensor([0, len(tokenizer) - 1]), 1,
        torch.tensor([False, True]), (None, Reason(text, text)), 0.1,
    )  # fmt: skip
    return views.padding(tokenizer, texts, [made])


def attention_of(tokenizer, text: str) -> views.Attention:
    ids = ids_of(tokenizer)
    weights = torch.ones(len(ids), len(ids)).tril()
    return views.attention(tokenizer, ids, weights / weights.sum(-1, keepdim=True), title=text)


@cache
def _letters():
    return letters(CHATML)


# Each view, made of a tokenizer with a hostile vocabulary (the last token is `text`) and of `text`.
VIEWS = {
    "tokens": lambda tokenizer, text: views.tokens(tokenizer, ids_of(tokenizer)),
    "likely": lambda tokenizer, text: views.likely(
        tokenizer, torch.linspace(0, 9, len(tokenizer)), title=text
    ),
    "surprise": lambda tokenizer, text: views.surprise(
        tokenizer, ids_of(tokenizer), torch.linspace(0, 9, len(tokenizer))
    ),
    "batch": lambda tokenizer, text: views.batch(tokenizer, ids_of(tokenizer)[None]),
    "trace": lambda tokenizer, text: views.trace(tokenizer, steps_of(tokenizer, text), title=text),
    "reading": lambda tokenizer, text: views.reading(3, 4),
    "schedule": lambda tokenizer, text: views.schedule(
        [Turn(0, (0, None), (3, 0), (3, 0), {0: 1}, ())]
    ),
    "chat": chat_of,
    "chat that is refused": refused_chat,
    "tool_call": tool_call_of,
    "padding": padding_of,
    "padding with ends": finished_of,
    "table": lambda tokenizer, text: Table(visible(text), [visible(text)], [[visible(text)]]),
    "race": race_of,
    "race in lanes": lambda tokenizer, text: views.race(race_of(tokenizer, text)),
    "next_token": lambda tokenizer, text: views.next_token(
        tokenizer, ids_of(tokenizer), torch.linspace(0, 9, len(tokenizer)), title=text
    ),
    "text_trace": lambda tokenizer, text: views.text_trace(
        tokenizer, ids_of(tokenizer)[-3:], steps_of(tokenizer, text)
    ),
    "strategies": lambda tokenizer, text: views.strategies(
        tokenizer, {text: steps_of(tokenizer, text)}
    ),
    "cache": lambda tokenizer, text: views.cache(run_of(tokenizer)),
    "beams": lambda tokenizer, text: views.beams(tokenizer, run_of(tokenizer, num_beams=2)),
    "drafts": lambda tokenizer, text: views.drafts(
        tokenizer, run_of(tokenizer, prompt_lookup_num_tokens=3)
    ),
    "attention": attention_of,
    "layers": lambda tokenizer, text: views.layers(
        tokenizer, torch.linspace(0, 9, len(tokenizer)).repeat(3, 1), title=text
    ),
    "ingredients": ingredients_of,
    "rule report": report_of,
}
WITHOUT_TEXT = (
    "reading",
    "cache",
    "beams",
    "drafts",
    "schedule",
)  # not of the text, or not of all tokens
RUST = ("padding with ends",)  # shows ? for half a character
DRAWN = ("likely", "surprise", "trace")  # by matplotlib, which takes its time
ONCE_IN_LETTERS = ("padding",)  # shows a token for each letter: m, a, r, k


class Page(HTMLParser):
    """Reads a page as a browser does: what it would act on, and the text that a reader gets."""

    def __init__(self, page: str):
        super().__init__()
        self.wrong, self.open, self.text = [], [], ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        if tag not in ALLOWED:
            self.wrong.append(f"<{tag}>")
        self.wrong += [f"{tag} {name}" for name, _ in attrs if name not in ALLOWED.get(tag, ())]
        given = dict(attrs)
        style = given.get("style", "").lower()
        self.wrong += [style for bad in ("url(", "expression", LOST) if bad in style]
        if "src" in given:
            kind, _, data = given["src"].partition(",")
            png = base64.b64decode(data, validate=True)
            if kind != "data:image/png;base64" or not png.startswith(b"\x89PNG"):
                self.wrong.append(given["src"][:60])
        self.text += given.get("alt", "")
        if tag not in ("br", "wbr", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> out of place")

    def handle_data(self, data):
        self.text += data.replace("\xa0", " ")  # a view's own; one in a text becomes \\u00a0

    def handle_comment(self, data):
        self.wrong.append("a comment")

    def handle_decl(self, decl):
        self.wrong.append("a declaration")

    unknown_decl = handle_pi = handle_decl


def check(name: str, shown, text: str) -> None:
    """Raise AssertionError unless a view is inert, short, printable and readable."""
    page, plain = shown._repr_html_(), repr(shown)
    read = Page(page)
    assert read.wrong == [] and read.open == []
    assert "$" not in page
    assert not re.search(r"<(?![a-z/])|&(?![a-z]+;|#)", page)  # such as a bare `<0.1%`
    assert len(page.encode()) < 300_000
    assert all(line.isprintable() for line in [*plain.splitlines(), *read.text.splitlines()])
    if name not in (*WITHOUT_TEXT, *ONCE_IN_LETTERS):
        # the beginning survives every cut: twelve characters of a text that a reader can see
        if name in RUST:
            text = text.encode(errors="replace").decode()
        start = visible(text, None)[:12]
        for form in (plain, read.text):
            assert _close(start) in _close(form)


def _close(text: str) -> str:
    """Return `text` without the marks of spaces: the chat view leaves a space between words."""
    return "".join(text.replace("·", "").replace("▁", "").split())


@pytest.mark.slow
@pytest.mark.parametrize("name", VIEWS)
@given(others=st.lists(hostile, max_size=3), text=hostile)
@every
def test_any_text_is_shown_inert_short_and_readable(name, others, text):
    known = text.encode(errors="replace").decode()
    texts = [other for other in others if other.encode(errors="replace").decode() != known]
    check(name, VIEWS[name](of_texts([*texts, text]), known), known)
    check(name, VIEWS[name](PythonTokenizer([*texts, text]), text), text)


@pytest.mark.parametrize("name", [name for name in VIEWS if name not in DRAWN + WITHOUT_TEXT])
def test_each_hostile_piece_is_shown_inert_short_and_readable(name):
    for text in (LOST + piece for piece in PIECES):
        check(name, VIEWS[name](PythonTokenizer([text]), text), text)


@pytest.mark.parametrize("name", DRAWN)
def test_a_vocabulary_of_hostile_pieces_is_drawn_inert_short_and_readable(name):
    texts = [LOST + piece for piece in PIECES]
    for some in (texts[:20], texts[20:40], texts[40:]):
        check(name, VIEWS[name](PythonTokenizer(some), some[-1]), some[-1])


@pytest.mark.parametrize("piece", PIECES, ids=range(len(PIECES)))
def test_a_table_of_raw_text_is_printable_too(piece):
    check("table", Table(LOST + piece, [piece], [[piece]]), LOST + piece)


def test_the_list_of_views_has_every_view():
    known = {name for name in views.__all__ if name[0].islower()}
    # tests/test_live.py, test_walk.py, test_conversation.py and the browser
    live = {"conversation", "explore", "replay", "stepper"}
    drawn_by_the_caller = {"chart"}
    assert known - VIEWS.keys() == live | drawn_by_the_caller
