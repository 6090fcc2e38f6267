"""Draft and verify, round by round: what was proposed, what of it was kept, and what it saved."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from llmcourse.assist import Round
from llmcourse.show import Table, percent, token_text
from llmcourse.views.frame import (
    BLUE_TINT,
    BORDER,
    GREEN_TINT,
    GREY_TINT,
    ORANGE_TINT,
    chip,
    framed,
    header,
    look,
)

_MOST_CHIPS = 24  # tokens of one draft that are shown
_BAR = 40  # blocks of the longer bar
_ACCEPTED = look(GREEN_TINT)
_REJECTED = look(ORANGE_TINT, f"1px dashed {BORDER}") + "text-decoration:line-through;"
_UNUSED = look(GREY_TINT, f"1px dotted {BORDER}")
_OWN = look(BLUE_TINT, f"2px solid {BORDER}")


@dataclass(frozen=True)
class Verdict:
    """One round: the draft's tokens as text, parted by what became of them, and the model's own.

    unused: the end of a draft that was right so far when the text ended. own: the big model's
    token behind the accepted ones; none where the text ended before it.
    """

    accepted: tuple[str, ...]
    rejected: tuple[str, ...]
    unused: tuple[str, ...]
    own: tuple[str, ...]

    @property
    def gained(self) -> int:
        """How many tokens the text grew by."""
        return len(self.accepted) + len(self.own)


@dataclass(frozen=True, eq=False)
class Drafts:
    """The rounds of assisted decoding or prompt lookup; `most` of them are shown.

    first: the number of the first of them. reason: why the text ended, None if it did not.
    """

    verdicts: Sequence[Verdict]
    most: int
    first: int
    reason: str | None

    @property
    def tokens(self) -> int:
        """How many new tokens all rounds gave, and so how many passes plain decoding takes."""
        return sum(verdict.gained for verdict in self.verdicts)

    @property
    def caption(self) -> str:
        """The saving, in words."""
        passes, tokens = len(self.verdicts), self.tokens
        kept = sum(len(verdict.accepted) for verdict in self.verdicts)
        parts = [(each.accepted, each.rejected, each.unused) for each in self.verdicts]
        drafted = sum(len(part) for each in parts for part in each)
        share = f" ({percent(kept / drafted)})" if drafted else ""
        return (
            f"Drafts: {_count(tokens, 'token')} in {_count(passes, 'forward pass')} of the big "
            f"model, {tokens / passes:.2f} tokens a pass. Plain decoding takes "
            f"{_count(tokens, 'pass')}, so {tokens - passes:,} were saved. Of "
            f"{_count(drafted, 'drafted token')}, {kept:,} were accepted{share}."
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """How to read the rounds, and what is left out of them."""
        notes = [
            "A round is one forward pass, which reads the whole draft. ✓ accepted: the big model "
            "agrees. ✗ rejected, struck through: from its first disagreement on. + the big model's "
            "own token, right behind the accepted ones."
        ]
        if any(verdict.unused for verdict in self.verdicts):
            notes.append("– unused: the text had ended before.")
        if self.reason is not None:
            sentence = getattr(self.reason, "sentence", "")
            notes.append(f"Stopped by {self.reason}{': ' if sentence else '.'}{sentence}")
        left_out = len(self.verdicts) - self.most
        if left_out > 0:
            notes.append(f"{left_out:,} more rounds are left out.")
        return tuple(notes)

    def _bars(self) -> list[tuple[str, str]]:
        """Return a line for each way of decoding: its name, and its passes as blocks."""
        passes = {"with drafts": len(self.verdicts), "plain decoding": self.tokens}
        longest = max(passes.values())
        unit = min(1, _BAR / longest)
        return [
            (name, f"{'▇' * max(1, round(unit * count))} {_count(count, 'pass')}")
            for name, count in passes.items()
        ]

    def __repr__(self) -> str:
        headers = ("round", "✓ accepted", "✗ rejected", "+ own", "new")
        rows = []
        for number, verdict in enumerate(self.verdicts[: self.most], start=self.first):
            told = [" ".join(cell) or "–" for cell in _marked(verdict)]
            rows.append([str(number), *told, str(verdict.gained)])
        table = Table(self.caption, headers, rows)
        bars = [f"{name:14}  {bar}" for name, bar in self._bars()]
        return "\n".join([repr(table), *self.notes, *bars])

    def _repr_html_(self) -> str:
        names = ("round", "✓ accepted", "✗ rejected", "+ the model's own", "new tokens")
        body = "".join(
            self._row(number, verdict)
            for number, verdict in enumerate(self.verdicts[: self.most], start=self.first)
        )
        rounds = framed(self.caption, f"<tr>{''.join(map(header, names))}</tr>", body, self.notes)
        cell = '<td style="text-align:left;font-family:monospace">{}</td>'
        lines = "".join(
            f"<tr>{header(name, 'row')}{cell.format(bar)}</tr>" for name, bar in self._bars()
        )
        head = f"<tr>{header('decoding')}{header('forward passes of the big model')}</tr>"
        return rounds + framed("The saving", head, lines)

    def _row(self, number: int, verdict: Verdict) -> str:
        accepted, lost, own = _marked(verdict)
        style = _UNUSED if verdict.unused else _REJECTED
        cells = [_chips(accepted, _ACCEPTED), _chips(lost, style), _chips(own, _OWN)]
        td = '<td style="text-align:left;padding:1px 6px;vertical-align:top">{}</td>'
        filled = "".join(td.format(cell) for cell in [*cells, str(verdict.gained)])
        return f"<tr>{header(str(number), 'row')}{filled}</tr>"


def _marked(verdict: Verdict) -> tuple[list[str], list[str], list[str]]:
    """Return the tokens of a round with their signs: accepted, lost, own."""
    lost = [f"✗{text}" for text in verdict.rejected] + [f"–{text}" for text in verdict.unused]
    parts = [f"✓{text}" for text in verdict.accepted], lost, [f"+{text}" for text in verdict.own]
    return tuple(map(_cut, parts))


def _cut(texts: list[str]) -> list[str]:
    more = len(texts) - _MOST_CHIPS
    return [*texts[:_MOST_CHIPS], f"and {more} more"] if more > 0 else texts


def _chips(texts: list[str], style: str) -> str:
    return "".join(chip(text, style) for text in texts) or "–"


def _count(number: int, noun: str) -> str:
    plural = noun if number == 1 else noun + ("es" if noun.endswith("s") else "s")
    return f"{number:,} {plural}"


def drafts(tokenizer, rounds: Iterable[Round], most: int = 30) -> Drafts:
    """Show the rounds of assisted decoding or prompt lookup, and what the drafts saved.

    rounds: what `llmcourse.steps` yields with `assistant_model` or `prompt_lookup_num_tokens`.
    most: how many rounds are shown, the first ones; all are counted. Raises TypeError for the steps
    of another way of decoding, ValueError where there are none.
    """
    if most < 1:
        raise ValueError(f"most={most}: pass how many rounds to show, 1 or more.")
    verdicts, first, one = [], 0, None
    for one in rounds:
        if not isinstance(one, Round):
            raise TypeError(
                f"rounds holds a {type(one).__name__}; pass what llmcourse.steps yields with "
                "assistant_model=... or prompt_lookup_num_tokens=..."
            )
        first = one.index if not verdicts else first
        verdicts.append(_judged(tokenizer, one))
    if one is None:
        raise ValueError("rounds is empty; pass what llmcourse.steps yields, a new one each time.")
    return Drafts(verdicts, most, first, one.stop_reasons[0])


def _judged(tokenizer, one: Round) -> Verdict:
    draft, chosen = one.proposed.tolist(), one.chosen[0].tolist()
    own = chosen[one.accepted :]
    parts = (
        draft[: one.accepted],
        one.rejected.tolist() if own else [],
        [] if own else one.rejected.tolist(),
        own,
    )
    return Verdict(*(tuple(token_text(tokenizer, token) for token in part) for part in parts))
