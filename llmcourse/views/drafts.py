"""Draft and verify, round by round: what was proposed, what of it was kept, and what it saved."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from llmcourse.decoding.speculative import Round
from llmcourse.show import Table, percent, printable, token_text
from llmcourse.views._chart import BLUE
from llmcourse.views._frame import (
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
_REJECTED = look(ORANGE_TINT, f"1px dashed {BORDER}")
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
    """The rounds of assisted decoding or prompt lookup, the first of which are shown.

    verdicts: those that are shown; first: the number of the first of them. passes: forward passes
    of the big model, one a round. tokens: new tokens that all rounds gave, and so the passes that
    plain decoding takes. drafted, accepted: tokens in all. reason: why the text ended, or None.
    """

    verdicts: Sequence[Verdict]
    first: int
    passes: int
    tokens: int
    drafted: int
    accepted: int
    reason: str | None

    @property
    def caption(self) -> str:
        """The saving, in words."""
        share = f" ({percent(self.accepted / self.drafted)})" if self.drafted else ""
        return (
            f"Drafts: {_count(self.tokens, 'token')} in {_count(self.passes, 'forward pass')} of "
            f"the big model, {self.tokens / self.passes:.2f} tokens a pass. Plain decoding takes "
            f"{_count(self.tokens, 'pass')}, so {self.tokens - self.passes:,} were saved. Of "
            f"{_count(self.drafted, 'drafted token')}, {self.accepted:,} were accepted{share}."
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """How to read the rounds, and what is left out of them."""
        notes = [
            "A round is one forward pass, which reads the whole draft. ✓ accepted: the big model "
            "agrees. ✗ rejected, dashed: from its first disagreement on. + the big model's "
            "own token, right behind the accepted ones."
        ]
        if any(verdict.unused for verdict in self.verdicts):
            notes.append("– unused: the text had ended before.")
        if self.reason is not None:
            sentence = printable(getattr(self.reason, "sentence", ""))
            notes.append(
                f"Stopped by {printable(self.reason)}{': ' if sentence else '.'}{sentence}"
            )
        left_out = self.passes - len(self.verdicts)
        if left_out > 0:
            notes.append(f"{left_out:,} more rounds are left out.")
        return tuple(notes)

    @property
    def _passes(self) -> dict[str, int]:
        return {"with drafts": self.passes, "plain decoding": self.tokens}

    def __repr__(self) -> str:
        headers = ("round", "✓ accepted", "✗ rejected", "+ own", "new")
        rows = []
        for number, verdict in enumerate(self.verdicts, start=self.first):
            told = [
                " ".join(f"{sign}{text}" for text in texts) or "–"
                for sign, texts in _marked(verdict)
            ]
            rows.append([str(number), *told, str(verdict.gained)])
        table = Table(self.caption, headers, rows)
        unit = _BAR / max(_BAR, *self._passes.values())
        bars = [
            f"{name:14}  {'█' * max(1, round(unit * count))} {_count(count, 'pass')}"
            for name, count in self._passes.items()
        ]
        return "\n".join([repr(table), *self.notes, *bars])

    def _repr_html_(self) -> str:
        names = ("round", "✓ accepted", "✗ rejected", "+ the model's own", "new tokens")
        body = "".join(
            self._row(number, verdict)
            for number, verdict in enumerate(self.verdicts, start=self.first)
        )
        rounds = framed(self.caption, f"<tr>{''.join(map(header, names))}</tr>", body, self.notes)
        head = f"<tr>{header('decoding')}{header('forward passes of the big model')}</tr>"
        longest = max(self._passes.values())
        lines = "".join(
            f"<tr>{header(name, 'row')}{_bar(count, longest)}</tr>"
            for name, count in self._passes.items()
        )
        return rounds + framed("The saving", head, lines)

    def _row(self, number: int, verdict: Verdict) -> str:
        lost = _UNUSED if verdict.unused else _REJECTED
        cells = [
            "".join(chip(sign, text, style) for text in texts) or "–"
            for (sign, texts), style in zip(_marked(verdict), (_ACCEPTED, lost, _OWN), strict=True)
        ]
        td = '<td style="text-align:left;padding:2px 6px;vertical-align:top">{}</td>'
        filled = "".join(td.format(cell) for cell in [*cells, str(verdict.gained)])
        return f"<tr>{header(str(number), 'row')}{filled}</tr>"


def _marked(verdict: Verdict) -> list[tuple[str, list[str]]]:
    """Return the tokens of a round with their sign: accepted, lost, own."""
    lost = ("–", verdict.unused) if verdict.unused else ("✗", verdict.rejected)
    return [
        (sign, _cut(texts)) for sign, texts in (("✓", verdict.accepted), lost, ("+", verdict.own))
    ]


def _cut(texts: Sequence[str]) -> list[str]:
    more = len(texts) - _MOST_CHIPS
    return [*texts[:_MOST_CHIPS], f"… {more:,} more"] if more > 0 else list(texts)


def _bar(count: int, longest: int) -> str:
    """Return a cell with a bar and its number in words beside it."""
    style = f"display:inline-block;background:{BLUE};width:{18 * count / longest:.1f}em;height:1em"
    cell = "text-align:left;padding:2px 6px;white-space:nowrap;vertical-align:top"
    return f'<td style="{cell}"><span style="{style}"></span> {_count(count, "pass")}</td>'


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
    verdicts, first, one, counts = [], 0, None, []
    for one in rounds:
        if not isinstance(one, Round):
            raise TypeError(
                f"rounds holds a {type(one).__name__}; pass what llmcourse.steps yields with "
                "assistant_model=... or prompt_lookup_num_tokens=..."
            )
        first = one.index if not verdicts else first
        counts.append((one.chosen.shape[1], len(one.proposed), one.accepted))
        if len(verdicts) < most:
            verdicts.append(_judged(tokenizer, one))
    if one is None:
        raise ValueError("rounds is empty; pass what llmcourse.steps yields, a new one each time.")
    return Drafts(
        verdicts, first, len(counts), *map(sum, zip(*counts, strict=True)), one.stop_reasons[0]
    )


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
