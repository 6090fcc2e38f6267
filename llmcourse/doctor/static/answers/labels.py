"""How an answer is judged: a label looked for in it, compared with it, spelled in another case."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, NOTE, WARNING, Finding
from llmcourse.doctor.static.reading.answers import (
    LOOKS,
    answer_at,
    looked_for,
    prompt_of,
    texts_at,
)
from llmcourse.doctor.static.reading.following import parts_followed
from llmcourse.doctor.static.reading.patterns import searches
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import Source, is_string, name_of, owner_of
from llmcourse.doctor.subject import Subject

# Labels that stand in another word, which says the contrary.
_CONTRARY = {
    "accurate": "inaccurate",
    "acceptable": "unacceptable",
    "agree": "disagree",
    "appropriate": "inappropriate",
    "certain": "uncertain",
    "complete": "incomplete",
    "consistent": "inconsistent",
    "correct": "incorrect",
    "entailment": "not_entailment",
    "factual": "counterfactual",
    "fair": "unfair",
    "helpful": "unhelpful",
    "legal": "illegal",
    "likely": "unlikely",
    "possible": "impossible",
    "relevant": "irrelevant",
    "safe": "unsafe",
    "satisfied": "unsatisfied",
    "sufficient": "insufficient",
    "supported": "unsupported",
    "toxic": "non-toxic",
    "true": "untrue",
    "valid": "invalid",
}
_SMALL = ("yes", "no", "true", "false", "positive", "negative", "neutral")
_SHORT = {"no": "know, not or another", "ok": "looking or token", "on": "one", "he": "the"}
# A pattern of nothing but a choice of letters, or of yes and no.
_LETTERS = re.compile(
    r"^\(?(\?:|\?P<\w+>)?(\[[A-Za-z]+(-[A-Za-z])?\]|[A-Z](\|[A-Z])+)\)?(\[[^\]]*\]|\\.|\\s)?$"
)
_CLASS = re.compile(r"\[([^\]]*)\]")  # of characters, in a pattern
_NO_LITERAL = re.compile(r"\\.|\(\?P?<\w+>|\(\?[a-z:=!]+")
_YES_NO = re.compile(r"^\(?(\?:|\?P<\w+>)?(yes\|no|no\|yes)\)?$", re.IGNORECASE)
_COMPARES = ("startswith", "endswith", *LOOKS, "split", "partition", "removeprefix")


@in_the_source(
    "label-inside-words",
    severities=(WARNING,),
    how_sure="""
        Likely: only the source was read, where the label is short, or the contrary has it inside.
    """,
)
def label_inside_words(source: Source) -> Iterator[Finding]:
    """A label is looked for that other words hold too."""
    for node, labels, text in looked_for(source):
        label, inside = _one_inside(labels)
        if inside is None or text.many or _contrary_is_asked(source, node, label):
            continue
        yield found(
            "label-inside-words",
            WARNING,
            node,
            what=f"{source.words(node)[:80]} finds {label!r} inside other words too: {inside}.",
            why="It asks for a substring anywhere in the answer, not for a word.",
            fix=rf're.search(r"\b{re.escape(label)}\b", text)  # or compare the whole answer',
        )
    for one in searches(source):
        letters = _LETTERS.match(one.pattern) or _YES_NO.match(one.pattern)
        text = answer_at(source, one.text) if letters else None
        if text is None or text.many:
            continue
        bare = one.pattern.strip("()")
        yield found(
            "label-inside-words",
            WARNING,
            one.call,
            what=f"The pattern {one.pattern!r} finds its letters inside any word of the answer.",
            why="The A of 'Answer', or the no of 'know', is taken for the choice.",
            fix=rf'{source.words(one.call.func)}(r"\b({bare})\b", ...)',
        )


def _one_inside(labels: list[str]) -> tuple[str, str | None]:
    """Return a label that other words hold, or another of the labels, and what holds it."""
    for one in labels:
        longer = (two for two in labels if one.lower() in two.lower() and one != two)
        inside = _stands_inside(one) or next(longer, None)
        if inside is not None:
            return one, inside
    return labels[0], None


def _stands_inside(label: str) -> str | None:
    """Return words that hold a label without meaning it; None where there are none to speak of."""
    if len(label) == 1 and label.isalpha():
        return "any that has the letter"
    plain = label.lower()
    return _SHORT.get(plain) or _CONTRARY.get(plain)


def _contrary_is_asked(source: Source, node: ast.AST, label: str) -> bool:
    """Tell whether the same function has the contrary in a text above: it is asked about first."""
    contrary = _CONTRARY.get(label.lower())
    return contrary is not None and any(
        is_string(one)
        and one.lineno <= node.lineno
        and contrary in one.value.lower()
        and len(one.value) < 2 * len(contrary)
        for one in source.scopes[node].nodes
    )


@in_the_source(
    "case-never-matches",
    subject=Subject.READING,
    severities=(ERROR,),
    symptom="No answer is ever right.",
    cause="A text in small letters has no capital, so it never equals a label that has one.",
    fix="Spell the label in the same case.",
    example='is_yes = text.strip().lower() == "yes"',
    how_sure="Likely: only the source was read, where the answer was put into one case.",
)
def case_never_matches(source: Source) -> Iterator[Finding]:
    """A text in one case is compared with one in the other, or searched for it."""
    yield from _patterns_in_case(source)
    for node in list(source.scopes):
        text, labels = _compared(source, node)
        answer = answer_at(source, text) if labels else None
        if answer is None or not answer.case:
            continue
        wrong = [one for one in labels if one != getattr(one, answer.case)()]
        if len(wrong) < len(labels):
            continue
        yield found(
            "case-never-matches",
            ERROR,
            node,
            what=f"The answer went through {answer.case}(), and is compared with {wrong[0]!r}.",
            why="It is in one case then, and the label is not: they never match.",
            fix=f"{source.words(node)[:60]}  # with {getattr(wrong[0], answer.case)()!r}",
        )


def _patterns_in_case(source: Source) -> Iterator[Finding]:
    """Yield patterns with letters that a text in one case never has."""
    for one in searches(source):
        text = answer_at(source, one.text)
        wrong = _never_in_case(one.pattern, one.flags, text.case) if text and text.case else None
        if wrong is None or name_of(one.call) in ("sub", "subn"):
            continue
        yield found(
            "case-never-matches",
            ERROR,
            one.call,
            what=f"The answer went through {text.case}(), and the pattern has {wrong[:30]!r}.",
            why="The text has no letter of that case: the pattern finds nothing.",
            fix=f"{source.words(one.call.func)}(pattern, text, re.IGNORECASE)",
        )


def _never_in_case(pattern: str, flags: str, case: str) -> str | None:
    """Return letters of a pattern that a text in one case never has; None if there are none."""
    if "IGNORECASE" in flags or "re.I" in flags or "(?i" in pattern or "|" in pattern:
        return None
    plain = _NO_LITERAL.sub("", pattern)
    classes = [one for one in _CLASS.findall(plain) if one[:1] != "^" and one.isascii()]
    letters = [one for one in classes if any(map(str.isalpha, one))]
    literals = _CLASS.sub("", plain)
    for one in (literals, *letters):
        other = [char for char in one if char.isalpha() and char != getattr(char, case)()]
        mixed = one is not literals and any(char.isdigit() or char in "_," for char in one)
        same = [char for char in one if char.isalpha() and char == getattr(char, case)()]
        if other and not mixed and (one is literals or not same):
            return one
    return None


def _compared(source: Source, node: ast.AST) -> tuple[ast.AST, list[str]]:
    """Return the text that a place compares, and the labels that it is compared with."""
    if isinstance(node, ast.Compare) and len(node.comparators) == 1:
        left, right = node.left, node.comparators[0]
        if texts_at(source, right) and not texts_at(source, left):
            return left, texts_at(source, right)
        return right, texts_at(source, left)
    if name_of(node) in _COMPARES and node.args:
        return owner_of(node), texts_at(source, node.args[0])
    return node, []


@in_the_source(
    "case-not-folded",
    severities=(WARNING, NOTE),
    how_sure="""
        Likely: only the source was read. A warning where the prompt spells the label with a
        capital, else a note.
    """,
)
def case_not_folded(source: Source) -> Iterator[Finding]:
    """A label in small letters, and an answer as it was written."""
    for node in list(source.scopes):
        text, labels = _compared(source, node)
        if not labels or not all(one in _SMALL for one in labels):
            continue
        answer = answer_at(source, text)
        if answer is None or answer.case or answer.many or answer.has_prompt:
            continue
        prompt = prompt_of(source, answer)
        capital = labels[0].capitalize() in prompt and labels[0] not in prompt
        yield found(
            "case-not-folded",
            WARNING if capital else NOTE,
            node,
            what=f"{source.words(node)[:80]} compares the answer, capitals and all, with a label.",
            why=f"An answer that begins with {labels[0].capitalize()!r} does not match.",
            fix=f"{source.words(text)}.lower()",
        )


@in_the_source(
    "answer-compared-whole",
    subject=Subject.READING,
    severities=(WARNING, NOTE),
    symptom="An answer that reads right counts as wrong.",
    cause="""
        The first token of a continuation brings its space along, and a text that was decoded with
        its special tokens ends with the end token. Equal is only what has neither.
    """,
    fix="Leave special tokens out, and take white space off both ends.",
    example="""
        text = tokenizer.decode(new_ids, skip_special_tokens=True).strip()
        right = text == "Yes"
    """,
    how_sure="""
        Likely: only the source was read. A warning where the end token is left in the text, a note
        where nothing takes its white space away.
    """,
)
def answer_compared_whole(source: Source) -> Iterator[Finding]:
    """A decoded text is compared as it comes."""
    for node in list(source.scopes):
        equal = isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq)
        within = isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn)
        text, labels = _compared(source, node) if equal or within else (node, [])
        if not labels or (within and text is not node.left):
            continue
        answer = answer_at(source, text)
        if answer is None or answer.many or answer.stripped or answer.has_prompt:
            continue
        if not answer.is_decoded or any(label != label.strip() for label in labels):
            continue
        if any(isinstance(above, ast.Assert) for above in source.above(node)):
            continue  # a test, which knows its text
        if not any(source.is_generate(part) for part in parts_followed(source, answer.made)):
            continue
        yield found(
            "answer-compared-whole",
            NOTE if answer.skips else WARNING,
            node,
            what=f"{source.words(node)[:80]} compares the decoded text as it comes"
            + ("." if answer.skips else ", special tokens included."),
            why="A continuation begins with its space, or ends with a line's end: not equal then."
            if answer.skips
            else "An answer that has ended has the end token in it, and is not equal.",
            fix=f"{source.words(text)}.strip()"
            if answer.skips
            else "tokenizer.decode(ids, skip_special_tokens=True).strip()",
        )
