"""Pitfalls of choosing a token by hand, seen in a run: softmax, filters, penalties, the draw."""

from collections.abc import Iterator

import torch

from llmcourse.doctor.finding import CERTAIN, ERROR, LIKELY, WARNING, Finding
from llmcourse.doctor.followed.logits import Kind, Use
from llmcourse.doctor.followed.registry import in_a_run, seen

_MANY = 4  # a quarter of the vocabulary
_FEW = 5  # tokens; fewer of the likeliest may be banned for a reason
_SHARE = 0.001  # of the draws, that tokens get which were to be taken away
_NORMALIZES = ("softmax", "log_softmax")


@in_a_run(
    "over-the-wrong-axis",
    severities=(ERROR,),
    how_sure="Certain in a run: it was followed which axis has the tokens.",
)
def over_the_wrong_axis(use: Use) -> Iterator[Finding]:
    """A softmax over places or rows; an argmax over all places at once."""
    about, dim = use.about, use.arguments.get("dim")
    if about.kind not in (Kind.LOGITS, Kind.LOGPROBS, Kind.PROBS) or about.picked:
        return
    axes = [about.along(each) for each in range(use.given.dim())]
    if "token" not in axes or about.token is None:
        return
    shape = tuple(use.given.shape)
    if use.name in _NORMALIZES and isinstance(dim, int) and shape[dim] > 1:
        over = about.along(dim)
        if over == "token" or over is None:
            return
        what = f"`{use.name}` of logits {shape} goes over dimension {dim}, which has the {over}s"
    elif use.name == "argmax" and dim is None and {"place", "row"} & set(axes):
        what = f"`argmax` without `dim` searches all of {shape} at once, every place and row"
    else:
        return
    yield seen(
        "over-the-wrong-axis",
        ERROR,
        CERTAIN,
        what=f"{what}; the vocabulary is dimension {axes.index('token')}.",
        why="It compares places or rows with one another, not the tokens of one place.",
        fix="logits.softmax(dim=-1)  # and argmax(dim=-1): over the vocabulary",
    )


@in_a_run(
    "softmax-twice",
    severities=(WARNING,),
    how_sure="Certain in a run: what went in was followed from a softmax.",
)
def softmax_twice(use: Use) -> Iterator[Finding]:
    """A softmax, or a loss that does one, gets probabilities."""
    if use.about.kind != Kind.PROBS or use.about.picked:
        return
    if use.name not in (*_NORMALIZES, "cross_entropy"):
        return
    yield seen(
        "softmax-twice",
        WARNING,
        CERTAIN,
        what=f"`{use.name}` gets probabilities, and takes a second softmax of them.",
        why="Probabilities lie between 0 and 1: a second softmax makes them almost alike.",
        fix=f"F.{use.name}(logits, ...)  # the logits, as the model gave them",
    )


@in_a_run(
    "draw-from-logits",
    severities=(ERROR,),
    how_sure="Certain in a run: the numbers were followed from the model's logits.",
)
def draw_from_logits(use: Use) -> Iterator[Finding]:
    """`multinomial` gets numbers that no softmax has seen."""
    if use.name != "multinomial" or use.about.kind not in (Kind.LOGITS, Kind.LOGPROBS):
        return
    yield seen(
        "draw-from-logits",
        ERROR,
        CERTAIN,
        what=f"`torch.multinomial` draws from {use.about.kind}; it takes probabilities.",
        why="A number twice as large is drawn twice as often, and a negative one is an error.",
        fix="torch.multinomial(logits.softmax(-1), 1)",
    )


@in_a_run(
    "temperature-misapplied",
    severities=(WARNING,),
    how_sure="In a run it is certain that the draw stays as it was.",
)
def temperature_misapplied(use: Use) -> Iterator[Finding]:
    """Probabilities that were multiplied or divided by a number are drawn from."""
    if use.name == "multinomial" and use.about.kind == Kind.PROBS and use.about.scaled:
        yield seen(
            "temperature-misapplied",
            WARNING,
            CERTAIN,
            what="Probabilities were scaled by a number after the softmax, and drawn from.",
            why="All are scaled alike: a temperature there changes nothing about the draw.",
            fix="probabilities = (logits / temperature).softmax(-1)",
        )


@in_a_run(
    "place-taken-for-id",
    severities=(ERROR,),
    how_sure="""
        In a run the number was followed from the draw or the argmax to the ids: certain where the
        model was fed it, likely where it was joined to other numbers.
    """,
)
def place_taken_for_id(use: Use) -> Iterator[Finding]:
    """A place in a sorted or shortened list goes on as a token."""
    if use.about.kind != Kind.RANKS or use.name not in ("joined", "fed", "decoded"):
        return
    does = {"joined": "is joined to the ids", "fed": "is fed to the model"}
    yield seen(
        "place-taken-for-id",
        ERROR,
        LIKELY if use.name == "joined" else CERTAIN,
        what=(
            "A place in the sorted, or top-k, list "
            f"{does.get(use.name, 'is decoded')} as if it were a token's id."
        ),
        why="Place 0 is the likeliest token, whichever it is; id 0 is one certain token.",
        fix="token = indices.gather(-1, place)  # the id that stands at that place",
    )


@in_a_run(
    "removed-by-zero",
    severities=(ERROR, WARNING),
    how_sure="""
        Certain in a run: of the numbers that are drawn from, a quarter of the vocabulary or more is
        one and the same, and was not in the model's logits.
    """,
)
def removed_by_zero(use: Use) -> Iterator[Finding]:
    """Most tokens have one finite number, and are still drawn."""
    for weights, logits in _rows_drawn_from(use):
        common = weights.mode().values
        alike = weights == common
        many = int(alike.sum()) >= max(2, len(weights) // _MANY)
        if not many or float(common) == 0 or logits[alike].unique().numel() < 2:
            continue
        share = float(weights[alike].sum() / weights.sum())
        yield seen(
            "removed-by-zero",
            ERROR if share > _SHARE else WARNING,
            CERTAIN,
            what=(
                f"{int(alike.sum())} of {len(weights)} tokens have one and the same logit "
                f"before the softmax, and get {share:.2g} of the draws."
            ),
            why="A logit of 0, or another finite number, is no probability of 0: only -inf is.",
            fix='logits = logits.masked_fill(drop, float("-inf"))',
        )
        return


def _rows_drawn_from(use: Use) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield rows of what is drawn from, in the vocabulary's order, and the model's logits there."""
    about, last = use.about, use.about.source.last
    if use.name != "multinomial" or about.kind not in (Kind.PROBS, Kind.EXP) or last is None:
        return
    if not about.located or about.token is None or about.source.ids is None:
        return
    given = use.given.detach().float().cpu().reshape(-1, use.given.shape[-1])
    shape = (-1, use.given.shape[-1])
    token, row, place = (each.reshape(shape) for each in (about.token, about.row, about.place))
    for at in range(min(len(given), 8)):
        if int(place[at, 0]) != about.source.ids.shape[1] - 1:
            continue
        logits = last[int(row[at, 0])].cpu()
        weights = torch.zeros_like(logits).scatter(0, token[at], given[at])
        yield weights, logits


def _kept(weights: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Return which tokens can be drawn, and how many."""
    kept = weights > 0
    return kept, int(kept.sum())


@in_a_run(
    "filter-left-sorted",
    severities=(ERROR,),
    how_sure="""
        Certain in a run: what is left to draw from are the first ids of the vocabulary, or the
        last, as many as the filter keeps.
    """,
)
def filter_left_sorted(use: Use) -> Iterator[Finding]:
    """What is kept are the ids 0 to n - 1: ranks, not tokens."""
    for weights, logits in _rows_drawn_from(use):
        kept, many = _kept(weights)
        first, last = bool(kept[:many].all()), bool(kept[-many:].all())
        if many < 3 or many > len(kept) // 2 or not (first or last):
            continue
        if float(logits.softmax(-1)[kept].sum()) > 0.5:
            continue
        yield seen(
            "filter-left-sorted",
            ERROR,
            CERTAIN,
            what=(
                f"The filter keeps {many} tokens, and they are the "
                f"{'first' if first else 'last'} ids of the vocabulary."
            ),
            why="Its mask is in sorted order: the rank of a probability was taken for an id.",
            fix="drop = torch.zeros_like(drop).scatter(-1, indices, drop)  # before it is used",
        )
        return


@in_a_run(
    "top-k-misbuilt",
    severities=(WARNING,),
    how_sure="""
        Likely in a run: what is left is less likely than all that was removed, several tokens; a
        sampler that excludes the top choices wants just that.
    """,
)
def top_k_misbuilt(use: Use) -> Iterator[Finding]:
    """The likeliest tokens were removed, and the rest kept."""
    for weights, logits in _rows_drawn_from(use):
        kept, many = _kept(weights)
        if not _FEW <= len(kept) - many <= len(kept) // 2:
            continue
        if float(logits[kept].max()) < float(logits[~kept].min()):
            yield seen(
                "top-k-misbuilt",
                WARNING,
                LIKELY,
                what=(
                    f"The filter removes the {len(kept) - many} likeliest tokens and leaves "
                    "all others to draw from."
                ),
                why="It is to keep the likeliest: a comparison is the other way round.",
                fix='logits = logits.masked_fill(logits < lowest, float("-inf"))',
            )
            return


@in_a_run(
    "top-p-misbuilt",
    severities=(ERROR, WARNING),
    how_sure="""
        In a run it is certain what was added up, in which order, and to what sum, and how much of
        it is left to draw from.
    """,
)
def top_p_misbuilt(use: Use) -> Iterator[Finding]:
    """Sums of logits, of probabilities in no order, or of ones that do not sum to 1."""
    about, given = use.about, use.given
    if use.name == "multinomial":
        yield from _without_the_one_that_reaches_it(use)
        return
    if use.name == "cumsum" and about.kind in (Kind.LOGITS, Kind.LOGPROBS):
        if about.along(use.arguments.get("dim") or -1) != "token":
            return
        what = f"The sum goes over {about.kind}, not over probabilities"
        why = "They have any size and sign: their sum says nothing of the nucleus."
    elif use.name == "compared" and about.kind == Kind.CUMULATED and about.token is not None:
        steps = given.detach().float().diff(dim=-1)
        total = float(given[..., -1].detach().float().reshape(-1)[0])
        ascending = bool((steps.diff(dim=-1) > -1e-6).all())
        if about.in_token_order and not ascending:
            what = "Probabilities are added up in the vocabulary's order"
            why = "The nucleus begins with the likeliest: sort them first."
        elif ascending and abs(total - 1) > 0.01 and given.shape[-1] > 2:
            what = f"The probabilities that are added up sum to {total:.2f}, not to 1"
            why = "Counted from the smallest on, too much or too little is left of them."
        else:
            return
    else:
        return
    yield seen(
        "top-p-misbuilt",
        ERROR if use.name == "cumsum" else WARNING,
        CERTAIN,
        what=f"{what}, for a top-p.",
        why=why,
        fix="probabilities, order = logits.softmax(-1).sort(descending=True)",
    )


def _without_the_one_that_reaches_it(use: Use) -> Iterator[Finding]:
    """The nucleus that is drawn from lacks its last token, with which it would reach top-p."""
    sums, limit = use.about.source.nucleus or (use.given, 0.0)
    sums = sums.reshape(-1, sums.shape[-1])
    rows = list(_rows_drawn_from(use))
    if len(sums) != len(rows) or not 0 < limit < 1 or bool((sums.diff(n=2) > 1e-6).any()):
        return  # another sum, or one from the least likely on
    for (weights, logits), summed in zip(rows, sums, strict=True):
        wanted = int((summed < limit).sum()) + 1
        kept, many = _kept(weights)
        if not 0 < many == wanted - 1 or not bool(kept[logits.topk(many).indices].all()):
            continue
        yield seen(
            "top-p-misbuilt",
            WARNING,
            CERTAIN,
            what=(
                f"The nucleus for top-p {limit:g} has {many} tokens, which reach "
                f"{float(summed[many - 1]):.2f}: the one that reaches it was dropped."
            ),
            why="It is the smallest set that reaches top-p: a likely token cannot be drawn.",
            fix="drop = probabilities.cumsum(-1) - probabilities > top_p  # the sum before each",
        )
        return


@in_a_run(
    "min-p-misbuilt",
    severities=(ERROR, WARNING),
    how_sure="In a run it is certain that logits are compared; what for is inferred.",
)
def min_p_misbuilt(use: Use) -> Iterator[Finding]:
    """Logits are compared with a share, or with a share of the largest."""
    by = use.arguments.get("by")
    if use.name != "compared" or use.about.kind != Kind.LOGITS or use.about.token is None:
        return
    other = use.arguments.get("other")
    of_the_largest = other is not None and other.kind == Kind.LOGITS
    of_the_largest = of_the_largest and other.scaled > use.about.scaled
    a_share = isinstance(by, float) and 0 < by < 1
    if not (a_share or of_the_largest):
        return
    with_what = "a share of the largest logit" if of_the_largest else f"{by:g}"
    yield seen(
        "min-p-misbuilt",
        ERROR,
        LIKELY,
        what=f"Logits are compared with {with_what}, as if they were probabilities.",
        why="A min-p is a share of the largest probability; logits have any size and sign.",
        fix="drop = probabilities < min_p * probabilities.amax(-1, keepdim=True)",
    )


@in_a_run(
    "penalty-divides-negative",
    severities=(ERROR,),
    how_sure="""
        Certain in a run: of the text's tokens, those with a negative logit became likelier, and the
        others less likely.
    """,
)
def penalty_divides_negative(use: Use) -> Iterator[Finding]:
    """A penalty that goes by the logit's sign, and the wrong way for one of them."""
    raised, lowered = _moved_by_penalty(use)
    if raised is None or not len(raised) or not len(lowered):
        return
    if not (bool((raised < 0).all()) and bool((lowered > 0).all())):
        return
    yield seen(
        "penalty-divides-negative",
        ERROR,
        CERTAIN,
        what=(
            f"The penalty makes {len(raised)} tokens of the text likelier, all with negative "
            f"logits, and {len(lowered)} less likely, all with positive ones."
        ),
        why="A negative logit that is divided comes closer to 0, so it is multiplied instead.",
        fix="torch.where(logits > 0, logits / penalty, logits * penalty)",
    )


@in_a_run(
    "penalty-rewards",
    severities=(WARNING,),
    how_sure="In a run it is certain that the text's tokens became likelier, not why.",
)
def penalty_rewards(use: Use) -> Iterator[Finding]:
    """Each token of the text that was moved became likelier."""
    raised, lowered = _moved_by_penalty(use)
    if raised is None or len(lowered) or len(raised) < 3:
        return
    yield seen(
        "penalty-rewards",
        WARNING,
        LIKELY,
        what=f"The logits of {len(raised)} tokens of the text were raised, of none lowered.",
        why="Repetitions become likelier; a penalty lowers what was there.",
        fix="logits[row, ids] -= penalty  # or: logits > 0 divided, the others multiplied",
    )


def _moved_by_penalty(use: Use) -> tuple[torch.Tensor | None, torch.Tensor]:
    """Return the model's logits of the text's tokens that were raised since, and lowered."""
    none = (None, torch.empty(0))
    about, last, ids = use.about, use.about.source.last, use.about.source.ids
    if use.name not in (*_NORMALIZES, "argmax", "topk", "sort") or about.kind != Kind.LOGITS:
        return none
    if last is None or ids is None or not about.located or not about.in_token_order:
        return none
    if use.given.shape[-1] != last.shape[-1] or int(about.place.flatten()[0]) != ids.shape[1] - 1:
        return none
    row = int(about.row.flatten()[0])
    now = use.given.detach().float().cpu().reshape(-1, last.shape[-1])[0]
    before = last[row].cpu()
    usable = now.isfinite() & (before.abs() > 1e-3)
    if int(usable.sum()) < 8:
        return none
    scale = float((now[usable] / before[usable]).median())
    moved = now - before * scale
    there = (moved.abs() > 1e-3 * (1 + before.abs())) & now.isfinite()
    of_the_text = torch.zeros_like(there)
    of_the_text[ids[row][ids[row] < len(there)]] = True
    if scale <= 0 or not 0 < int(there.sum()) <= len(there) // _MANY:
        return none
    if not bool(of_the_text[there].all()):
        return none
    return before[there & (moved > 0)], before[there & (moved < 0)]
