"""A walk as static HTML: the text so far, the next token's candidates, the branches."""

from llmcourse.decoding import walk as engine
from llmcourse.show import escape, in_words, percent, readable, token_text
from llmcourse.views._chart import BLUE, GREY
from llmcourse.views._frame import noted

_SHOWN = 60  # tokens of the prompt, and of the new text
_BAR = 110  # pixels that stand for 100%
_CELL = "padding:2px 10px;text-align:left;border-bottom:1px solid #767676"
_CHIP = (
    "display:inline-block;vertical-align:top;margin:2px;padding:0 5px;text-align:center;color:#000;"
)
_LOOKS = {
    "forced": "background:#FBE3B5;border:2px dashed #000",
    "drawn": "background:#DCEBF7;border:1px solid #767676",
    "likeliest": "background:#EEEEEE;border:1px solid #767676",
}


class Walk(engine.Walk):
    """`llmcourse.decoding.walk.Walk`, which also draws itself in a notebook."""

    def _repr_html_(self) -> str:
        return page(self)


def page(walk, note: str = "") -> str:
    """Return a walk as HTML. note: what just happened, in words; all of it is escaped."""
    return noted(note, _text(walk) + _ahead(walk) + _branches(walk))


def told(walk, top: int = 3) -> str:
    """Return the likeliest next tokens in words."""
    shape = walk.distribution()
    likely = [
        f"{token_text(walk.tokenizer, token)} {percent(p)}"
        for token, _, p in shape.candidates(top)
        if p
    ]
    return ", ".join(likely)


def _text(walk) -> str:
    """The prompt and each new token with its probability; what was forced has a dashed border."""
    prompt, picks = walk.prompt[-_SHOWN:], walk.picks
    earlier = len(walk.prompt) - len(prompt)
    before = f"({earlier:,} earlier tokens) " if earlier else ""
    texts = escape("".join(token_text(walk.tokenizer, token) for token in prompt))
    chips = "".join(map(_chip, picks[-_SHOWN:])) or "no new tokens yet"
    left_out = len(picks) - _SHOWN
    dots = f"({left_out:,} earlier ones) " if left_out > 0 else ""
    kinds = ", ".join(
        f"{many} {kind}" for kind in _LOOKS if (many := sum(pick.how == kind for pick in picks))
    )
    head = f"{len(picks)} new tokens" + f" ({kinds})" * bool(kinds)
    line = 'style="margin:4px 0;overflow-wrap:anywhere"'
    why = escape(readable(walk.stop.sentence)) if walk.stop else ""
    end = f"<div {line}><b>Ended:</b> {why}</div>" if why else ""
    return (
        f'<div {line}><b>Prompt:</b> {before}<span style="font-family:monospace">{texts}</span>'
        f"</div><div {line}><b>{head}:</b> {dots}"
        f'<span style="font-family:monospace">{chips}</span></div>' + end
    )


def _chip(pick) -> str:
    word = "<br>forced" if pick.how == "forced" else ""
    small = f"<br><small>{percent(pick.raw if word else pick.p)}{word}</small>"
    return f'<span style="{_CHIP}{_LOOKS[pick.how]}">{escape(pick.text)}{small}</span>'


def _ahead(walk) -> str:
    if walk.stop:
        return ""
    try:
        return _candidates(walk)
    except Exception as error:
        words = "The next token's distribution cannot be shown."
        return f'<div style="margin:4px 0"><b>{words}</b> {escape(in_words(error))}</div>'


def _candidates(walk) -> str:
    table = walk.next_tokens()
    caption = f"{table.caption}: {told(walk)}"
    head = "".join(f'<th scope="col" style="{_CELL}">{escape(name)}</th>' for name in table.headers)
    body = "".join(_row(*row) for row in table.rows)
    return (
        '<table style="border-collapse:collapse;margin:8px 0"><caption style="caption-side:top;'
        f'text-align:left;font-weight:bold;padding:4px 0">{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _row(place: str, token: str, number: str, raw: str, after: str) -> str:
    bars = "".join(
        f'<td style="{_CELL};white-space:nowrap">{_bar(share, colour)}{escape(share)}</td>'
        for share, colour in ((raw, GREY), (after, BLUE))
    )
    name = f'<th scope="row" style="{_CELL};font-family:monospace">{escape(token)}</th>'
    return f'<tr><td style="{_CELL}">{place}</td>{name}<td style="{_CELL}">{number}</td>{bars}</tr>'


def _bar(share: str, colour: str) -> str:
    known = share.rstrip("%").replace(".", "", 1).isdigit()
    wide = round(_BAR * float(share.rstrip("%")) / 100) if known else 0
    look = f"display:inline-block;height:0.8em;margin-right:6px;width:{wide}px;background:{colour}"
    return f'<span style="{look}"></span>' if wide else ""


def _branches(walk) -> str:
    return walk.compare()._repr_html_() if len(walk.branches) > 1 else ""
