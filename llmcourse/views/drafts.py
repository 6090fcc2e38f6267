"""Draft and verify, round by round: what was proposed, what of it was kept, and what it saved."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from llmcourse import html
from llmcourse.decoding.speculative import Round
from llmcourse.show import Table, percent, plural, printable, token_text

_MOST_CHIPS = 24  # tokens of one draft that are shown
_BAR = 40  # blocks of the longer bar in the text form
_WIDEST = 250  # pixels of the longer bar
_ACCEPTED = html.tinted(html.GREEN_TINT)
_REJECTED = html.tinted(html.ORANGE_TINT, "1px dashed")
_UNUSED = html.tinted(html.GREY_TINT, "1px dotted")
_OWN = html.tinted(html.BLUE_TINT, "2px solid")


@dataclass(frozen=True)
class Verdict:
    """One round: the draft's tokens as text, accepted or not, and the model's own."""

    accepted: tuple[str, ...]  # the big model agrees
    rejected: tuple[str, ...]  # from its first disagreement on
    unused: tuple[str, ...]  # the end of a draft that was right so far when the text ended
    own: tuple[str, ...]  # the big model's token behind the accepted ones, if the text went on

    @property
    def gained(self) -> int:
        """How many tokens the text grew by."""
        return len(self.accepted) + len(self.own)


@dataclass(frozen=True, eq=False)
class Drafts:
    """The rounds of assisted decoding or prompt lookup, the first of which are shown."""

    verdicts: Sequence[Verdict]  # of the rounds that are shown
    first: int  # the number of the first of them
    passes: int  # forward passes of the big model, one a round
    tokens: int  # new tokens that all rounds gave: as many passes as plain decoding takes
    drafted: int  # tokens in all
    accepted: int  # of them
    reason: str | None  # why the text ended, None if it did not

    @property
    def caption(self) -> str:
        """The saving, in words."""
        share = f" ({percent(self.accepted / self.drafted)})" if self.drafted else ""
        return (
            f"Drafts: {plural(self.tokens, 'token')} in {plural(self.passes, 'forward pass')} of "
            f"the big model, {self.tokens / self.passes:.2f} tokens a pass. Plain decoding takes "
            f"{plural(self.tokens, 'pass')}, so {self.tokens - self.passes:,} were saved. Of "
            f"{plural(self.drafted, 'drafted token')}, {self.accepted:,} were accepted{share}."
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
        rows = [
            [str(number), *map(_as_text, _marked(verdict)), str(verdict.gained)]
            for number, verdict in enumerate(self.verdicts, start=self.first)
        ]
        unit = _BAR / max(_BAR, *self._passes.values())
        bars = [
            f"{name:14}  {'█' * max(1, round(unit * count))} {plural(count, 'pass')}"
            for name, count in self._passes.items()
        ]
        return "\n".join([repr(Table(self.caption, headers, rows)), *self.notes, *bars])

    def _repr_html_(self) -> str:
        names = ("round", "✓ accepted", "✗ rejected", "+ the model's own", "new tokens")
        rounds = [
            _row(number, verdict) for number, verdict in enumerate(self.verdicts, start=self.first)
        ]
        longest = max(self._passes.values())
        passes = [_passes_row(name, count, longest) for name, count in self._passes.items()]
        return html.table(self.caption, names, rounds, notes=self.notes) + html.table(
            "The saving", ("decoding", "forward passes of the big model"), passes
        )


def _row(number: int, verdict: Verdict) -> str:
    looks = (_ACCEPTED, _UNUSED if verdict.unused else _REJECTED, _OWN)
    cells = []
    for (sign, texts), look in zip(_marked(verdict), looks, strict=True):
        # a space that does not break: sign and token stay together
        chips = "".join(html.chip(f"{sign}\u00a0{text}", look) for text in texts)
        cells.append(html.cell(chips or "–", html.MONO))
    return html.row([html.header(str(number), "row"), *cells, html.cell(str(verdict.gained))])


def _passes_row(name: str, count: int, longest: int) -> str:
    """Return a line with a number in words over its bar."""
    bar = html.bar(count / longest, html.BLUE, _WIDEST)
    return html.row([html.header(name, "row"), html.cell(plural(count, "pass") + bar)])


def _as_text(sign_and_texts: tuple[str, list[str]]) -> str:
    sign, texts = sign_and_texts
    return " ".join(f"{sign}{text}" for text in texts) or "–"


def _marked(verdict: Verdict) -> list[tuple[str, list[str]]]:
    """Return the tokens of a round with their sign: accepted, lost, own."""
    lost = ("–", verdict.unused) if verdict.unused else ("✗", verdict.rejected)
    return [
        (sign, _cut(texts)) for sign, texts in (("✓", verdict.accepted), lost, ("+", verdict.own))
    ]


def _cut(texts: Sequence[str]) -> list[str]:
    more = len(texts) - _MOST_CHIPS
    return [*texts[:_MOST_CHIPS], f"… {more:,} more"] if more > 0 else list(texts)


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
    tokens, drafted, accepted = map(sum, zip(*counts, strict=True))
    return Drafts(
        verdicts=verdicts,
        first=first,
        passes=len(counts),
        tokens=tokens,
        drafted=drafted,
        accepted=accepted,
        reason=one.stop_reasons[0],
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
