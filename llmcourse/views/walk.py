"""A walk through generation: the text so far, the next token's candidates, the branches."""

from llmcourse import html
from llmcourse.decoding import walk as engine
from llmcourse.html import BLUE, GREY
from llmcourse.show import in_words, percent, plural, quoted, readable, token_text

_SHOWN = 60  # tokens of the prompt, and of the new text
_BAR = 110  # pixels that stand for 100%
_LOOKS = {
    "forced": html.tinted(html.YELLOW_TINT, "2px dashed", "black"),
    "drawn": html.tinted(html.BLUE_TINT),
    "likeliest": html.tinted(html.GREY_TINT, "1px dotted"),
}


class Walk(engine.Walk):
    """`llmcourse.decoding.walk.Walk`, which also draws itself in a notebook."""

    def _repr_html_(self) -> str:
        return page(self)


def page(walk, note: str = "") -> str:
    """Return a walk as HTML. note: what just happened, in words; all of it is escaped."""
    return html.noted(note, _text(walk) + _ahead(walk) + _branches(walk))


def _text(walk) -> str:
    """The prompt and each new token with its probability; what was forced has a dashed border."""
    parts = [("Prompt", _prompt(walk)), (_counted(walk.picks), _new(walk.picks))]
    if walk.stop:
        parts.append(("Ended", html.escape(readable(walk.stop.sentence))))
    return "".join(_part(name, content) for name, content in parts)


def _part(name: str, content: str) -> str:
    return f'<div style="margin:4px 0;overflow-wrap:anywhere"><b>{name}:</b> {content}</div>'


def _prompt(walk) -> str:
    shown = walk.prompt[-_SHOWN:]
    text = html.escape("".join(token_text(walk.tokenizer, token) for token in shown))
    return _before(len(walk.prompt), "earlier token") + _mono(text)


def _new(picks) -> str:
    chips = "".join(map(_chip, picks[-_SHOWN:])) or "no new tokens yet"
    return _before(len(picks), "earlier one") + _mono(chips)


def _before(many: int, what: str) -> str:
    return f"({plural(many - _SHOWN, what)}) " if many > _SHOWN else ""


def _mono(content: str) -> str:
    return f'<span style="{html.MONO}">{content}</span>'


def _counted(picks) -> str:
    """Return how many new tokens there are, and how many of each kind."""
    counts = {kind: sum(pick.how == kind for pick in picks) for kind in _LOOKS}
    kinds = ", ".join(f"{many} {kind}" for kind, many in counts.items() if many)
    return f"{plural(len(picks), 'new token')} ({kinds})" if picks else "So far"


def _chip(pick) -> str:
    forced = pick.how == "forced"
    under = [percent(pick.raw), "forced"] if forced else [percent(pick.p)]
    return html.chip(pick.text, _LOOKS[pick.how], *under)


def _ahead(walk) -> str:
    if walk.stop:
        return ""
    try:
        return _candidates(walk)
    except Exception as error:
        words = "The next token's distribution cannot be shown."
        return f'<div style="margin:4px 0"><b>{words}</b> {html.escape(in_words(error))}</div>'


def _candidates(walk) -> str:
    table = walk.next_tokens()
    caption = f"{table.caption}: {_likeliest(walk)}"
    return html.table(caption, table.headers, [_row(*line) for line in table.rows])


def _likeliest(walk, top: int = 3) -> str:
    """Return the likeliest next tokens in words."""
    candidates = walk.distribution().candidates(top)
    return ", ".join(
        f"{quoted(token_text(walk.tokenizer, token))} {percent(p)}"
        for token, _, p in candidates
        if p
    )


def _row(place: str, token: str, number: str, raw: str, after: str) -> str:
    shares = ((raw, GREY), (after, BLUE))
    bars = [html.cell(html.escape(share) + _bar(share, color)) for share, color in shares]
    name = html.header(html.escape(token), "row", html.MONO)
    return html.row([html.cell(place), name, html.cell(number), *bars])


def _bar(share: str, color: str) -> str:
    """Return the bar of a share in words; none of `<0.1%` and of what was dropped."""
    number = share.removesuffix("%")
    return html.bar(float(number) / 100, color, _BAR) if number.replace(".", "").isdigit() else ""


def _branches(walk) -> str:
    return walk.compare()._repr_html_() if len(walk.branches) > 1 else ""
