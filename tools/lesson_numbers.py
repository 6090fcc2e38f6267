"""Numbers in the prose of a lesson: each is printed by a cell, or is marked with where it is from.

A number in digits is found when it stands, as a whole number, in the source or the text output of a
code cell of the same section: one above it, or one that follows at once. Beneath `## What you saw`
every code cell of the lesson counts. 393,216 is 393216, and 0.50 is 0.5; 44 is not 43.7. Any other
number has a mark after it, with three words between them at most and no other number:

    20<!-- = 28 - 8 --> of 40    an expression whose value rounds to the number. What stands in it
                                 is found as above, or is one of CONSTANTS
    0.31<!-- cell 02-17 -->      it stands in that cell
    15.6 bits<!-- fact -->       from elsewhere; the sentence or the cell names its source

Not looked at: code, links, headings, minutes, numbers of lists, names such as 'lesson 3', 'GPT-2',
'Llama 3', '7B', '4-bit', 'Su et al. 2021', the guesses that a **Predict:** offers in a question,
the title cell, exercises, quiz, and what to read.

Timings stand nowhere in prose: they differ from machine to machine. A number of seconds that stands
in the source is a setting, and may.
"""

import ast
import itertools
import math
import operator
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from html import unescape

from nbformat import NotebookNode

from tools.lesson import CODE_SPAN, EXERCISE, FENCE, MARK, PREDICT, Section, blanked, sections

UNREAD = ("Exercises", "Quiz", "Read more")
# What an expression may hold without being printed: halves, bits in a byte, percent, kilo, kibi.
CONSTANTS = {1, 2, 8, 100, 1000, 1024}

DIGITS = r"(?>\d{1,3}(?:[,_]\d{3})+(?!\d)|\d+(?:_\d+)*|(?=\.\d))(?>\.\d+)?(?>[eE][-+]?\d{1,3}\b)?"
SIGN = r"(?:(?<![\w.,)\]])[-−+])?"
# In code and outputs. Not after a letter: float32 is a name.
PRINTED = re.compile(rf"(?<![\w.]){SIGN}{DIGITS}")
# In prose. GPT-2, top-5 and 7B are names too, and 2nd is a place.
QUOTED = re.compile(
    rf"(?<![\w.])(?<![A-Za-z]-){SIGN}{DIGITS}(?:/{DIGITS})?(?!(?:st|nd|rd|th|[BMK])\b)", re.A
)

COMMENT = re.compile(r"<!--\s*(.*?)\s*-->", re.S)
AFTER_A_NUMBER = re.compile(r"[^\s<\d]*(?:\s+[^\s<\d]+){0,3}\s*" + COMMENT.pattern, re.S)
IS_MARK = re.compile(r"=|cell\b|fact\b")
NOT_PROSE = [
    FENCE,
    CODE_SPAN,
    re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\([^)]*\)"),
    re.compile(r"https?://\S+"),
    re.compile(r"</?[A-Za-z][^>]*>|&#?\w+;"),
    re.compile(r"^#+ .*$", re.M),
    MARK,
    re.compile(r"^[ \t]*\d+[.)] ", re.M),
    re.compile(r"\d+-bit\b"),
    re.compile(r"\b(?:Gemma|Hermes|Llama|Mistral|Phi|Qwen|SmolLM)\s?\d+(?:\.\d+)?(?:'s)?\b"),
    re.compile(r"\bet al\.,? (?:19|20)\d\d\b|\((?:[^\W\d][\w.&-]* ){1,4}(?:19|20)\d\d\)"),
    re.compile(r"\b(?:lesson|section|exercise|question)s?\s\d+(?:(?:,| and| or| to)\s\d+)*", re.I),
]

PREDICTION = re.compile(rf"{re.escape(PREDICT)}.*?(?=\n\s*\n|\Z)", re.S)
# From the end of a sentence, or the beginning, to a question mark; 0.5 ends no sentence.
QUESTION = re.compile(r"(?<=[.?!:*])(?:[^.?!:]|[.!:](?!\s))*\?")

UNIT = r"(?:s|ms|µs|ns|min|(?:milli|micro)?seconds?|minutes?|hours?)"
TIMING = re.compile(rf"({DIGITS})[ \u00a0-]?{UNIT}\b")
DECADE = re.compile(r"\d{3}0s")
COUNT = r"(?:\d[\d.,]*|two|three|four|five|six|seven|eight|nine|ten|a hundred)"
FASTER = re.compile(
    rf"\b(?:twice|half|{COUNT}\s?(?:times|x|×))\s+(?:as\s(?:fast|slow|quick)|faster|slower|quicker)",
    re.I,
)


@dataclass(frozen=True)
class Quote:
    """A number that a sentence quotes."""

    text: str  # as it is written: 43.7, -3.4, 393,216, 1/2
    mark: str  # what the mark after it says; "" without one
    around: str  # the words about it, for a report


def value(text: str) -> Decimal:
    """Return a number as it is written in prose, code or output as a Decimal."""
    return Decimal(re.sub("[,_]", "", text).replace("−", "-"))


def parts(text: str) -> list[Decimal]:
    """Return the numbers of a quote: two of 1/2, one of any other."""
    return [value(part) for part in text.split("/")]


def printed(text: str) -> set[Decimal]:
    """Return all numbers in code or in an output."""
    return {value(found[0]) for found in PRINTED.finditer(text)}


def visible(html: str) -> str:
    """Return what a page shows as text: no tags, no styles, no scripts."""
    shown = re.sub(r"<(style|script)\b.*?</\1>", " ", html, flags=re.S | re.I)
    return unescape(re.sub(r"<[^>]*>", " ", shown))


def outputs(cell: NotebookNode) -> str:
    """Return the text of a cell's outputs: what was printed, shown, or said by an error."""
    texts = []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        texts += [output.get("text", ""), output.get("evalue", ""), data.get("text/plain", "")]
        texts += [visible(data.get("text/html", "")), *output.get("traceback", [])]
    return "\n".join(texts)


def in_cells(cells: Iterable[NotebookNode]) -> set[Decimal]:
    """Return all numbers in the source and the outputs of code cells."""
    return printed("\n".join(f"{cell.source}\n{outputs(cell)}" for cell in cells))


def holds(numbers: set[Decimal], one: Decimal) -> bool:
    """Tell whether a number is there. Without a sign it may have any: 'lower by 3.4' for -3.4."""
    return one in numbers or (one >= 0 and -one in numbers)


def prose(text: str) -> str:
    """Return markdown with spaces for all that quotes nothing; each word stays in its place."""
    for pattern in NOT_PROSE:
        text = blanked(text, pattern)
    return PREDICTION.sub(lambda found: without_guesses(found[0]), text)


def without_guesses(prediction: str) -> str:
    """Blank the questions of a prediction: what one may choose from claims nothing."""
    return blanked(prediction, QUESTION)


def quotes(text: str) -> Iterator[Quote]:
    """Yield the numbers that a piece of markdown quotes, each with its mark."""
    read = prose(text)
    for found in QUOTED.finditer(blanked(read, COMMENT)):
        after = AFTER_A_NUMBER.match(read, found.end())
        is_mark = after and IS_MARK.match(after[1])
        around = COMMENT.sub("", text[max(0, found.start() - 30) : found.end() + 20])
        yield Quote(found[0], after[1] if is_mark else "", " ".join(around.split()))


def stray_marks(text: str) -> list[str]:
    """Return the marks that do not stand right after a number that is looked at."""
    marks = [found[1] for found in COMMENT.finditer(prose(text))]
    used = [quote.mark for quote in quotes(text) if quote.mark]
    for mark in used:
        marks.remove(mark)
    return [mark for mark in marks if IS_MARK.match(mark)]


OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
FUNCTIONS = {"log2": math.log2, "round": round}


def evaluate(expression: str) -> tuple[float, set[float]]:
    """Return the value of an expression of numbers, and the numbers in it.

    Numbers, + - * / **, parentheses, log2 and round; raises ValueError for anything else.
    """
    numbers = set()

    def walk(node: ast.AST) -> float:
        match node:
            case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
                numbers.add(float(number))
                return float(number)
            case ast.BinOp() | ast.UnaryOp() if type(node.op) in OPERATORS:
                operands = (
                    [node.left, node.right] if isinstance(node, ast.BinOp) else [node.operand]
                )
                return OPERATORS[type(node.op)](*map(walk, operands))
            case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if (
                name in FUNCTIONS
            ):
                return float(FUNCTIONS[name](walk(argument)))
        raise ValueError(f"{ast.unparse(node)!r} is more than arithmetic")

    try:
        worth = walk(ast.parse(re.sub(r"(?<=\d),(?=\d{3})", "", expression), mode="eval").body)
    except (SyntaxError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"{expression!r} has no value: {error}") from None
    if isinstance(worth, complex):
        raise ValueError(f"{expression!r} is no real number")
    return worth, numbers


def tolerance(text: str) -> Decimal:
    """Return by how much a number as written may differ from what was rounded to it.

    Half of its last digit; of 40,000 that is the last before the noughts, but the second at least.
    """
    digits = re.sub("[-−+,_]", "", text)
    if "." in digits or "/" in digits:
        places = 9 if "/" in digits else len(digits.partition(".")[2])
        return Decimal(10) ** -places / 2
    noughts = len(digits) - len(digits.rstrip("0"))
    return Decimal(10) ** max(0, min(noughts, len(digits) - 2)) / 2


def about_expression(quote: Quote, expression: str, near: set[Decimal]) -> str | None:
    """Return what is wrong with the expression after a number, or None."""
    try:
        worth, numbers = evaluate(expression)
    except ValueError as error:
        return f"{error}"
    missing = [n for n in sorted(numbers - CONSTANTS) if not holds(near, Decimal(repr(n)))]
    if missing:
        shown = ", ".join(f"{n:g}" for n in missing)
        return f"no cell above it in the section has {shown}"
    written = parts(quote.text)
    wanted = written[0] / written[1] if len(written) == 2 else written[0]
    if abs(Decimal(repr(worth)) - wanted) > tolerance(quote.text) * Decimal("1.000001"):
        return f"the expression gives {worth:g}"
    return None


def about_quote(quote: Quote, near: set[Decimal], cells: dict[str, NotebookNode]) -> str | None:
    """Return what is wrong with a number in prose, or None.

    near: the numbers in the cells that count; cells: all code cells of the lesson by their ids.
    """
    if quote.mark.startswith("="):
        return about_expression(quote, quote.mark[1:].strip(), near)
    if quote.mark.startswith("fact"):
        return None
    if quote.mark.startswith("cell"):
        name = quote.mark.removeprefix("cell").strip()
        if name not in cells:
            return f"there is no code cell {name}"
        numbers, where = in_cells([cells[name]]), f"cell {name}"
    else:
        numbers, where = near, "no mark, and no cell of the section above it"
    if all(holds(numbers, part) for part in parts(quote.text)):
        return None
    return f"{where} has it" if where.startswith("no") else f"{where} has it not"


def near(section: Section, place: int, notebook: NotebookNode) -> list[NotebookNode]:
    """Return the code cells whose numbers the piece of markdown at `place` may quote."""
    if section.title == "What you saw":
        return [cell for cell in notebook.cells if cell.cell_type == "code"]
    above = [piece.cell for piece in section.pieces[:place] if piece.is_code]
    below = itertools.takewhile(lambda piece: piece.is_code, section.pieces[place + 1 :])
    return above + [piece.cell for piece in below]


def number_faults(notebook: NotebookNode) -> Iterator[str]:
    """Yield a sentence for each number in the prose of a lesson that is nowhere to be found."""
    cells = {cell.id: cell for cell in notebook.cells if cell.cell_type == "code"}
    for section in sections(notebook):
        for place, piece in enumerate(section.pieces):
            if piece.is_code or piece.number == 0 or section.title in UNREAD:
                continue
            numbers = in_cells(near(section, place, notebook))
            for quote in quotes(piece.text):
                if wrong := about_quote(quote, numbers, cells):
                    yield f"cell {piece.cell.id}: {quote.text} in '{quote.around}': {wrong}"
            for mark in stray_marks(piece.text):
                yield f"cell {piece.cell.id}: <!-- {mark} --> belongs to no number that is read"


def timing_faults(notebook: NotebookNode) -> Iterator[str]:
    """Yield a sentence for each timing in the prose of a lesson, and each 'twice as fast'."""
    for section in sections(notebook):
        settings = printed("\n".join(cell.source for cell in section.code))
        for piece in section.pieces:
            if not piece.is_code and piece.number > 0:
                for said in timings(piece.text, settings):
                    yield f"cell {piece.cell.id}: a timing in prose: '{said}'"


def timings(text: str, settings: set[Decimal]) -> Iterator[str]:
    """Yield what a piece of markdown says about how long something took.

    settings: numbers in the source, of which a sentence may say that they are seconds.
    """
    read = blanked(prose(blanked(text, EXERCISE)), COMMENT)
    for found in TIMING.finditer(read):
        is_fact = re.match(r"\s*<!--\s*fact", text[found.end(1) :])
        if not (DECADE.fullmatch(found[0]) or is_fact or holds(settings, value(found[1]))):
            yield found[0]
    yield from (found[0] for found in FASTER.finditer(read))
