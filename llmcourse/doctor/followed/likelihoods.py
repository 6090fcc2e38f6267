"""Pitfalls of reading likelihoods by hand, seen in a run: which place, which token, which mean."""

from collections.abc import Iterator

import torch

from llmcourse.doctor.finding import CERTAIN, ERROR, LIKELY, NOTE, WARNING, Finding
from llmcourse.doctor.followed.logits import About, Kind, Pass, Use
from llmcourse.doctor.followed.registry import in_a_run, seen
from llmcourse.doctor.subject import Subject

_ENOUGH = 4  # tokens that show at which places they are read
_AWAY = (-1, 1, -2, 2)  # places by which one of two distributions is shifted too far
_NOTHING = 1e-5  # a divergence below it is 0
_MEANS = ("mean", "nanmean")
_SUMS = ("sum", "nansum", *_MEANS)
_NORMALIZES = ("softmax", "log_softmax")
_CHOOSES = ("argmax", "multinomial", "topk", "max")


def _read_at(use: Use) -> Iterator[tuple[Pass, torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Yield passes with the rows, places and tokens whose numbers are read there, flat."""
    if use.name == "pick":
        yield from use.picked
    elif use.name in ("cross_entropy", "nll_loss") and use.about.located:
        about, target = use.about, use.arguments.get("target")
        if about.token is None or not isinstance(target, torch.Tensor) or about.source.ids is None:
            return
        if target.is_floating_point():
            return
        classes = 1 if use.given.dim() > 1 else 0
        row, place = (each.select(classes, 0).flatten() for each in (about.row, about.place))
        target = target.detach().cpu().flatten()
        counted = target != use.arguments.get("ignore_index", -100)
        if target.shape == row.shape:
            yield about.source, row[counted], place[counted], target[counted]


def _offset(use: Use) -> tuple[int, int] | None:
    """Return how far behind its place each token stands that is read there, and how many are.

    None where they do not all stand equally far; 1 is right.
    """
    reads = [each for each in _read_at(use) if each[0].ids is not None]
    many = sum(len(token) for *_, token in reads)
    if many < _ENOUGH:
        return None
    longest = max(made.ids.shape[1] for made, *_ in reads)
    if len(reads) > 1 or len(reads[0][3].unique()) < _ENOUGH:
        longest = 2  # a chance of many places, for few tokens or one after another
    for offset in (1, 0, 2, -1, *range(3, longest), *range(-2, -longest, -1)):
        hits = known = 0
        for made, row, place, token in reads:
            there = made.id_at(row, place + offset)
            hits += int((there == token).sum())
            known += int((there >= 0).sum())
        if known >= _ENOUGH and hits == known and known >= many // 2:
            return offset, many
    return None


@in_a_run(
    "logits-not-shifted",
    severities=(ERROR, WARNING),
    how_sure="""
        Certain in a run: each number that is read at a place is that of the token at the same
        place, and that of the next one is not.
    """,
)
def logits_not_shifted(use: Use) -> Iterator[Finding]:
    """Numbers of the token that the place itself has, or of one before it."""
    offset = _offset(use)
    if offset is None or offset[0] not in (0, -1) or use.about.source.generated:
        return
    where = "at the same place" if offset[0] == 0 else "one place before it"
    yield seen(
        "logits-not-shifted",
        ERROR,
        CERTAIN,
        what=f"The logits at {offset[1]} places are read for the token {where}.",
        why="What a model gives at a place is about the token after it: nothing is shifted.",
        fix="logits[:, :-1], ids[:, 1:]  # the place before each token",
    )


@in_a_run(
    "labels-shifted-twice",
    severities=(ERROR,),
    how_sure="Certain in a run: each number that is read at a place is of the token two places on.",
)
def labels_shifted_twice(use: Use) -> Iterator[Finding]:
    """Numbers of the token after the next."""
    offset = _offset(use)
    if offset is None or offset[0] != 2 or use.about.source.generated:
        return
    yield seen(
        "labels-shifted-twice",
        ERROR,
        CERTAIN,
        what=f"The logits at {offset[1]} places are read for the token two places on.",
        why="They are about the next token: labels, or logits, were shifted once too often.",
        fix="logits[:, :-1], ids[:, 1:]  # shifted once",
    )


@in_a_run(
    "scores-begin-after-prompt",
    severities=(ERROR,),
    how_sure="""
        Certain in a run: each step's numbers are read for a token that the step did not write, and
        the tokens stand where the steps begin to be counted from the prompt's first.
    """,
)
def scores_begin_after_prompt(use: Use) -> Iterator[Finding]:
    """Steps of `generate` are paired with the row from its beginning on."""
    made = use.about.source
    if use.name != "pick" or not made.generated or len(use.picked) < _ENOUGH:
        return
    right = paired = 0
    first = min(int(place.min()) for _, _, place, _ in use.picked)
    for source, row, place, token in use.picked:
        right += int((source.id_at(row, place + 1) == token).sum())
        paired += int((source.id_at(row, place - first) == token).sum())
    many = sum(len(token) for *_, token in use.picked)
    if paired != many or right > many // 2 or first < 1:
        return
    yield seen(
        "scores-begin-after-prompt",
        ERROR,
        CERTAIN,
        what=(
            f"The {made.generated} of the first step are read for the first token of the whole "
            "row, which is the prompt's, those of the second for its second ..."
        ),
        why="There is one entry for each new token, and `sequences` begin with the prompt.",
        fix="new = made.sequences[:, prompt_length:]  # step i wrote new[:, i]",
    )


@in_a_run(
    "padding-in-the-loss",
    severities=(ERROR, WARNING),
    how_sure="In a run: the loss's labels were compared with the mask of the pass.",
)
def padding_in_the_loss(use: Use) -> Iterator[Finding]:
    """A loss by hand counts labels that are padding."""
    if use.name not in ("cross_entropy", "nll_loss"):
        return
    for made, row, place, token in _read_at(use):
        padding = made.is_padding(row, place + 1)
        if not bool(padding.any()) or use.arguments.get("reduction", "mean") == "none":
            continue
        yield seen(
            "padding-in-the-loss",
            ERROR,
            CERTAIN,
            what=f"{int(padding.sum())} of {len(token)} labels of `{use.name}` are padding.",
            why="The loss is also about how likely padding is after a text's end.",
            fix="labels = ids.masked_fill(attention_mask == 0, -100)",
        )


@in_a_run(
    "mean-over-padding",
    severities=(ERROR, WARNING),
    how_sure="Certain in a run: numbers at places that the pass's mask hides are not 0 in the sum.",
)
def mean_over_padding(use: Use) -> Iterator[Finding]:
    """A mean or sum counts what was read at padding."""
    about = use.about
    if use.name not in _SUMS or not about.located or about.source.mask is None:
        return
    if about.picked and about.kind in (Kind.LOGPROBS, Kind.PROBS, Kind.LOGITS):
        of, shift = "log-probabilities of tokens", 1
    elif about.kind == Kind.HIDDEN and about.along(_dim(use)) == "place":
        of, shift = "hidden states", 0
    else:
        return
    at = about.source.is_padding(about.row, about.place + shift)
    counted = at & (use.given.detach().cpu() != 0)
    if not bool(counted.any()):
        return
    if shift and _misses_the_mask_by_one(use):  # has a name of its own
        return
    places = torch.stack([about.row[counted], about.place[counted]]).unique(dim=1).shape[1]
    yield seen(
        "mean-over-padding",
        ERROR,
        CERTAIN,
        what=f"The {use.name} of {of} counts {places} places that are padding.",
        why="A text's value then depends on how long the other texts of its batch are.",
        fix="(values * mask).sum(1) / mask.sum(1)  # mask: attention_mask of the same tokens",
    )


def _dim(use: Use) -> int:
    dim = use.arguments.get("dim")
    dim = dim[0] if isinstance(dim, list | tuple) and dim else dim
    return dim if isinstance(dim, int) else 0


def _zero(use: Use) -> torch.Tensor:
    """Tell of the numbers that were multiplied by 0."""
    return use.given.detach().cpu() == 0


def _misses_the_mask_by_one(use: Use) -> bool:
    """Tell whether what is 0 are the tokens whose place, not they themselves, is padding."""
    about = use.about
    own = about.source.is_padding(about.row, about.place)
    token = about.source.is_padding(about.row, about.place + 1)
    return bool(token.any()) and not torch.equal(own, token) and torch.equal(_zero(use), own)


@in_a_run(
    "mask-not-shifted",
    severities=(ERROR, WARNING),
    how_sure="Certain in a run: what became 0 is of the token after each masked place.",
)
def mask_not_shifted(use: Use) -> Iterator[Finding]:
    """Log-probabilities of tokens were multiplied by the mask of the places before them."""
    about = use.about
    if use.name not in _SUMS or not about.picked or not about.located:
        return
    if about.source.mask is None or not _misses_the_mask_by_one(use):
        return
    yield seen(
        "mask-not-shifted",
        ERROR,
        CERTAIN,
        what="The mask is of the places, the log-probabilities are of the next tokens.",
        why="In each padded row one padding token counts, or one token of the text is missing.",
        fix="log_probs * attention_mask[:, 1:]  # of the same tokens as ids[:, 1:]",
    )


@in_a_run(
    "mean-counts-masked",
    severities=(ERROR, WARNING),
    how_sure="Certain in a run: the numbers of padding are 0, and the mean divides by all.",
)
def mean_counts_masked(use: Use) -> Iterator[Finding]:
    """A plain mean of log-probabilities of which padding's were made 0."""
    about = use.about
    if use.name != "mean" or not about.picked or not about.located:
        return
    token = about.source.is_padding(about.row, about.place + 1)
    if bool(token.any()) and torch.equal(_zero(use), token):
        yield seen(
            "mean-counts-masked",
            ERROR,
            CERTAIN,
            what=f"The mean divides by {token.numel()} places, {int(token.sum())} of them masked.",
            why="Masked log-probabilities are 0 and still count: padded rows come closer to 0.",
            fix="(log_probs * mask).sum(-1) / mask.sum(-1)",
        )


@in_a_run(
    "logits-not-normalized",
    severities=(ERROR, WARNING),
    how_sure="Certain in a run: followed from the logits, and no softmax came between.",
)
def logits_not_normalized(use: Use) -> Iterator[Finding]:
    """Tokens' raw logits are added up, or their exponentials or logarithms taken."""
    about = use.about
    if about.kind != Kind.LOGITS:
        return
    picked = about.picked and use.given.numel() > 1
    if use.name in _SUMS and picked:
        what, severity = f"The {use.name} is of tokens' raw logits", WARNING
    elif use.name == "exp" and picked:
        what, severity = "The exponential is of tokens' raw logits", ERROR
    elif use.name == "log":
        what, severity = "The logarithm is of raw logits, many of them negative", ERROR
    else:
        return
    yield seen(
        "logits-not-normalized",
        severity,
        CERTAIN,
        what=f"{what}: neither probabilities nor log-probabilities.",
        why="Only a softmax over the vocabulary makes probabilities of logits.",
        fix="log_probs = logits.log_softmax(-1)  # then the tokens' entries",
    )


@in_a_run(
    "log-probabilities-in-half",
    severities=(NOTE,),
    how_sure="Certain in a run: the type of the logits that the log_softmax gets was seen.",
)
def log_probabilities_in_half(use: Use) -> Iterator[Finding]:
    """A log_softmax of logits in 16 bits."""
    half = use.given.dtype in (torch.bfloat16, torch.float16)
    if use.name == "log_softmax" and use.about.kind == Kind.LOGITS and half:
        kind = str(use.given.dtype).removeprefix("torch.")
        yield seen(
            "log-probabilities-in-half",
            NOTE,
            CERTAIN,
            what=f"`log_softmax` gets logits in {kind}: log-probabilities of few bits.",
            why="Near 20 such numbers are 0.125 apart (bfloat16): different tokens get the same.",
            fix="logits.float().log_softmax(-1)",
        )


@in_a_run(
    "end-masked-in-training",
    severities=(WARNING,),
    how_sure="""
        Certain in a run: the ids are rows of `generate`, and the number of the token that ended
        each was multiplied by 0.
    """,
)
def end_masked(use: Use) -> Iterator[Finding]:
    """The log-probability of each answer's own end is left out of a sum."""
    about, ends = use.about, use.about.source.ends
    if use.name not in _SUMS or not about.picked or not about.located or ends is None:
        return
    at_end = (about.place + 1 == ends[about.row]) & (ends[about.row] >= 0)
    if bool(at_end.any()) and bool(_zero(use)[at_end].all()) and not bool(_zero(use).all()):
        yield seen(
            "end-masked-in-training",
            WARNING,
            CERTAIN,
            what=f"The token that ended {int(at_end.sum())} answers is masked, as padding is.",
            why="Pad and end (eos) are one id here: a mask made of the ids hides the end too.",
            fix="ended = ids == eos_id; mask = ended.cumsum(-1) <= ended.long()  # the first end",
        )


@in_a_run(
    "loss-wants-log-probabilities",
    severities=(ERROR,),
    how_sure="Certain in a run: the numbers were followed from the logits.",
)
def loss_wants_log_probabilities(use: Use) -> Iterator[Finding]:
    """`nll_loss` or `kl_div` gets logits or probabilities where it wants log-probabilities."""
    kind, wants = use.about.kind, Kind.LOGPROBS
    if use.name == "kl_div's target":
        wants = Kind.LOGPROBS if use.arguments.get("log_target") else Kind.PROBS
    elif use.name not in ("nll_loss", "kl_div"):
        return
    if kind == wants or kind not in (Kind.LOGITS, Kind.PROBS, Kind.LOGPROBS):
        return
    yield seen(
        "loss-wants-log-probabilities",
        ERROR,
        CERTAIN,
        what=f"`{use.name}` gets {kind}, where it wants {wants}.",
        why="It takes no softmax and no logarithm itself: the number means nothing.",
        fix="F.nll_loss(logits.log_softmax(-1), ids)  # kl_div: q.log_softmax(-1), p.softmax(-1)",
    )


@in_a_run(
    "entropy-is-nan",
    severities=(ERROR,),
    how_sure="Certain in a run: the product has nan where the probability is 0.",
)
def entropy_is_nan(use: Use) -> Iterator[Finding]:
    """Probabilities times log-probabilities, of which some are 0 times -inf."""
    other = use.arguments.get("other")
    kinds = {use.about.kind, getattr(other, "kind", None)}
    if use.name != "product" or kinds != {Kind.PROBS, Kind.LOGPROBS}:
        return
    if bool(use.made.isnan().any()) and not bool(use.given.isnan().any()):
        yield seen(
            "entropy-is-nan",
            ERROR,
            CERTAIN,
            what="Probabilities of 0 are multiplied by log-probabilities, which are -inf.",
            why="0 times -inf is nan, and the entropy that sums it up is nan.",
            fix="entropy = torch.special.entr(probabilities).sum(-1)",
        )


@in_a_run(
    "logits-of-padding",
    severities=(ERROR, WARNING),
    how_sure="Certain in a run where the mask was passed: it hides the place that is read.",
)
def logits_of_padding(use: Use) -> Iterator[Finding]:
    """A token is chosen, or a state read, at a place of padding."""
    about = use.about
    hidden = use.name == "state"
    if not hidden and (use.name not in _CHOOSES or about.kind not in (Kind.LOGITS, Kind.PROBS)):
        return
    if not about.located or about.source.mask is None or about.source.mask.shape[1] < 2:
        return
    if use.given.dim() > 2 and not hidden:  # of all places: which are used is seen later
        return
    row, place = about.row, about.place
    if use.given.dim() > 1:
        row, place = (each.reshape(-1, each.shape[-1])[:, 0] for each in (row, place))
    row, place = row.flatten(), place.flatten()
    several = len(row.unique()) < len(row) if hidden else place.unique().numel() > 1
    if len(row) == 0 or several:
        return
    padding = about.source.is_padding(row, place)
    if not bool(padding.any()):
        return
    read = "hidden states are read" if hidden else "logits are read"
    of_a_head = hidden and use.given.dim() == 1  # some value what comes behind the end
    yield seen(
        "logits-of-padding",
        WARNING if of_a_head else ERROR,
        CERTAIN,
        what=f"In {int(padding.sum())} of {len(padding)} rows {read} at a place of padding.",
        why="With padding on the right the last place is not that of the text's last token.",
        fix="last = attention_mask.sum(1) - 1; logits[torch.arange(len(last)), last]",
    )


@in_a_run(
    "logits-of-another-place",
    severities=(ERROR, WARNING),
    how_sure="Certain in a run: the token was followed from where it was read to the ids.",
)
def logits_of_another_place(use: Use) -> Iterator[Finding]:
    """A token is appended that was read before the last place; tokens read at far places."""
    about, made = use.about, use.about.source
    if use.name == "several at one place" and not made.generated:
        yield from _all_at_one_place(use)
        return
    offset = None if made.generated or use.name == "fed" else _offset(use)
    if offset is not None and offset[0] not in (-1, 0, 1, 2):
        way = "before" if offset[0] > 0 else "behind"
        yield seen(
            "logits-of-another-place",
            ERROR,
            CERTAIN,
            what=f"{offset[1]} tokens are read at places {abs(offset[0])} tokens {way} their own.",
            why="The logits at a place are about the token after it; the prompt's come first.",
            fix="logits[:, prompt_length - 1 : -1]  # the places that predict the answer's tokens",
        )
        return
    if use.name != "fed" or about.kind != Kind.IDS or not about.located or made.ids is None:
        return
    places, last = about.place.flatten().unique(), made.ids.shape[1] - 1
    if len(places) != 1 or int(places[0]) == last:
        return
    if made.mask is not None and bool(made.is_padding(about.row, about.place + 1).any()):
        return  # the last one that is no padding
    yield seen(
        "logits-of-another-place",
        ERROR,
        CERTAIN,
        what=f"The appended token was read at place {int(places[0])} of 0 to {last}.",
        why="The logits at a place are about the token after it: the next is at the last place.",
        fix="logits[:, -1].argmax(-1)  # the last place's",
    )


def _all_at_one_place(use: Use) -> Iterator[Finding]:
    """The tokens that follow one another behind a place are all read there."""
    made, token = use.about.source, use.about.token.flatten()
    row, place = int(use.about.row.flatten()[0]), int(use.about.place.flatten()[0])
    if len(token) < _ENOUGH or not torch.equal(made.ids[row, place + 1 :][: len(token)], token):
        return
    yield seen(
        "logits-of-another-place",
        ERROR,
        CERTAIN,
        what=f"{len(token)} tokens that follow one another are all read at place {place}.",
        why="The logits there are about the next token alone: each has a place of its own.",
        fix="log_probs[0, :-1].gather(-1, ids[0, 1:, None])  # each token at the place before it",
    )


@in_a_run(
    "distributions-misaligned",
    subject=Subject.READING,
    severities=(ERROR, WARNING),
    symptom="A distillation or a KL term that stays high, or is not 0 between equal models.",
    cause="""
        Two models' numbers are compared place by place: a divergence, a difference of
        log-probabilities. One of the two was shifted or cut otherwise, so that the numbers beside
        each other are about other tokens. Or both sides are the same model's, and it is always 0.
    """,
    fix="Shift and cut both alike; a divergence over all places needs no shift at all.",
    example="""
        student, teacher = student_logits[:, :-1], teacher_logits[:, :-1]
        F.kl_div(student.log_softmax(-1), teacher.softmax(-1), reduction="batchmean")
    """,
    how_sure="""
        Certain in a run: both were followed from passes over the same tokens, and every number of
        one is about the token that stands as far behind the other's. A warning where both sides
        are one pass's and the divergence was 0.
    """,
)
def distributions_misaligned(use: Use) -> Iterator[Finding]:
    """Numbers of two passes are compared that are about different places of the same text."""
    one, other = use.about, use.arguments.get("other")
    if use.name not in ("kl_div's target", "difference", "product") or other is None:
        return
    if use.name == "kl_div's target" and _is_of_itself(use, other):
        yield seen(
            "distributions-misaligned",
            WARNING,
            CERTAIN,
            what=f"kl_div compares the numbers of one pass (line {one.source.site.line}) with "
            "themselves.",
            why="It is 0, whatever the other model says: nothing is learned from it.",
            fix="F.kl_div(student_logits.log_softmax(-1), teacher_logits.softmax(-1))",
        )
        return
    if one.source is other.source or Kind.HIDDEN in (one.kind, other.kind):
        return
    if one.source.generated or other.source.generated:
        return
    first, second = _places(one), _places(other)
    if first is None or second is None or first[0].shape != second[0].shape:
        return
    about = one.source.id_at(first[0], first[1] + 1)
    if len(about.unique()) < _ENOUGH:
        return
    for offset in (0, *_AWAY):
        there = other.source.id_at(second[0], second[1] + 1 + offset)
        known = (about >= 0) & (there >= 0)
        if int(known.sum()) < _ENOUGH or not bool((about == there)[known].all()):
            continue
        if offset:
            yield seen(
                "distributions-misaligned",
                ERROR,
                CERTAIN,
                what=(
                    f"Numbers of two passes are compared at {len(about)} places: one is about a "
                    f"token, the other about that {abs(offset)} "
                    f"{'after' if offset < 0 else 'before'} it."
                ),
                why="One of the two was shifted once more: equal models would differ, too.",
                fix="teacher[:, :-1], student[:, :-1]  # the same places of both, shifted once",
            )
        return


def _is_of_itself(use: Use, other: About) -> bool:
    """Tell whether both sides of a divergence are the same numbers of one pass."""
    same = use.about.source is other.source and isinstance(use.made, torch.Tensor)
    return same and bool((use.made.detach().abs() < _NOTHING).all())


def _places(about: About) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return the rows and places that numbers are about, each once; None where that is lost."""
    if not about.located or about.source.ids is None:
        return None
    whole = about.token is not None and not about.picked and about.row.dim() > 1
    indices = (each.select(-1, 0) if whole else each for each in (about.row, about.place))
    row, place = (each.flatten() for each in indices)
    return row, place


@in_a_run(
    "argmax-of-every-place",
    severities=(WARNING,),
    how_sure="Certain in a run: what is decoded was followed from one pass's argmax.",
)
def argmax_of_every_place(use: Use) -> Iterator[Finding]:
    """The predictions of all places of one pass are decoded as a text."""
    about = use.about
    if use.name != "decoded" or about.kind != Kind.IDS or not about.located:
        return
    places = about.place.flatten().unique()
    if len(places) < _ENOUGH or about.source.ids is None:
        return
    if not torch.equal(places, torch.arange(int(places[0]), int(places[0]) + len(places))):
        return
    yield seen(
        "argmax-of-every-place",
        WARNING,
        LIKELY,
        what=f"The argmax at {len(places)} places of one forward pass is decoded as a text.",
        why="Each is a guess for the token after its place; only the last one is new.",
        fix="model.generate(**inputs)  # or a loop that appends the last place's token",
    )


@in_a_run(
    "scores-are-processed",
    severities=(WARNING, NOTE),
    how_sure="""
        Certain in a run that scores of -inf are among them, or what settings changed them; a
        warning where their log-probabilities are compared with those of a pass, which nothing
        changed.
    """,
)
def scores_are_processed(use: Use) -> Iterator[Finding]:
    """Probabilities are made of scores that were changed, or compared with the model's own."""
    made, other = use.about.source, use.arguments.get("other")
    if use.name == "difference" and use.about.kind == Kind.LOGPROBS:
        about, plain = sorted((use.about, other), key=lambda one: not one.source.processed)
        if not about.source.processed or plain.source.generated or plain.tempered:
            return
        what = (
            f"Log-probabilities of `scores`, after {about.source.processed}, are compared with "
            "those of a forward pass, which are of the raw logits"
        )
    elif made.generated == "scores" and use.about.kind == Kind.LOGITS and use.name in _NORMALIZES:
        removed = int(use.given.isinf().sum())
        if not removed and not made.processed:
            return
        what = f"{removed} of {use.given.numel()} `scores` are -inf: tokens were removed"
        if not removed:
            what = f"`scores` are what is left after {made.processed}"
    else:
        return
    yield seen(
        "scores-are-processed",
        WARNING if use.name == "difference" else NOTE,
        CERTAIN,
        what=f"{what}.",
        why="The probabilities are those of the draw, not the model's own.",
        fix="model.generate(..., output_logits=True, return_dict_in_generate=True).logits",
    )
