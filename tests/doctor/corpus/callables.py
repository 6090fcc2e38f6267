"""Processors, criteria and functions of allowed tokens: what they return, call after call."""

from dataclasses import replace

import torch

from llmcourse.doctor.followed.callables import Callables
from tests.doctor.corpus.calls import Call, byte_level, faulty, model_for, sound, tensors

_GONE = -float("inf")  # 257 is the end token, and the last


def ran(text="a b c", times: int = 1, writes: str = "", model=None, **call) -> Call:
    """Return the last of so many calls, which ran; writes: what is forced, as far as it goes."""
    tokenizer = byte_level(pad_token="</s>", padding_side="left")
    model = model or model_for(tokenizer)
    inputs = tensors(tokenizer, text, padding=isinstance(text, list))
    length, wanted = inputs["input_ids"].shape[1], tokenizer(writes)["input_ids"] if writes else []

    class Forced(torch.nn.Module):
        """Not the user's: it stands for what the model would have said."""

        __module__ = "torch.forced"

        def __call__(self, ids, scores):
            place = ids.shape[1] - length
            if place >= len(wanted):
                return scores
            return torch.full_like(scores, -50.0).index_fill(1, torch.tensor(wanted[place]), 50.0)

    call = {"max_new_tokens": 6, "do_sample": False} | call
    forced = {"logits_processor": [Forced(), *call.get("logits_processor", [])]} if wanted else {}
    follows = Callables()
    follows.follow()
    try:
        for _ in range(times):
            made = Call(model, tokenizer, inputs, {**call, **forced}, {})
            case = _Begun(made)
            recorder = follows.begin(case, _raise)
            try:
                made.facts["output"] = model.generate(**inputs, **made.call)
            except Exception as error:
                made.facts["refusal"] = error
            made.facts["called"] = follows.end(recorder)
    finally:
        follows.leave()
    return made


class _Begun:
    """What `Callables.begin` asks of a case."""

    def __init__(self, made: Call) -> None:
        self.call, self.eos_ids = made.call, (made.tokenizer.eos_token_id,)

    def asked(self, name: str):
        return self.call.get(name)


def _raise(error: Exception) -> None:
    raise error


def processed(function, text="a b c", **call) -> Call:
    return ran(text, logits_processor=[function], **call)


class Format:
    """One token after another, counted in itself."""

    def __init__(self, ids):
        self.ids, self.place = ids, 0

    def __call__(self, input_ids, scores):
        if self.place < len(self.ids):
            scores = torch.full_like(scores, _GONE).index_fill(
                1, torch.tensor(self.ids[self.place]), 0.0
            )
            self.place += 1
        return scores


class ByLength(Format):
    """The same by the length of the ids, with a count that nothing reads."""

    def __call__(self, input_ids, scores):
        self.place += 1
        step = input_ids.shape[1] - 5
        return scores.index_fill(1, torch.tensor(self.ids[:step]), _GONE) if step else scores


faulty("stateful-processor", "a format, and a second text")(
    lambda: processed(Format([9, 10]), times=2)
)

sound("a format that goes by the length, twice")(lambda: processed(ByLength([9, 10]), times=2))

sound("a format that is used once")(lambda: processed(Format([9, 10])))


def _returns_none(ids, scores):
    scores[:, 9] = _GONE


faulty("processor-returns-none", "no return")(lambda: processed(_returns_none))

faulty("processor-returns-no-scores", "probabilities to draw from")(
    lambda: processed(lambda ids, scores: scores.softmax(-1), do_sample=True, top_k=0)
)

faulty("processor-returns-no-scores", "the mask alone")(
    lambda: processed(
        lambda ids, scores: torch.full_like(scores, _GONE).index_fill(
            1, torch.tensor([7, 8, 9]), 0.0
        )
    )
)

sound("log-probabilities")(lambda: processed(lambda ids, scores: scores.log_softmax(-1)))

sound("one token is forced")(
    lambda: processed(
        lambda ids, scores: torch.full_like(scores, _GONE).index_fill(1, torch.tensor(9), 0.0)
    )
)


def _infinite(ids, scores):
    return scores.index_fill(1, torch.tensor([9]), float("inf"))


faulty("forced-by-infinity", "drawn from scores with an infinity")(
    lambda: processed(_infinite, do_sample=True)
)

faulty("all-tokens-banned", "every token is taken away")(
    lambda: processed(lambda ids, scores: torch.full_like(scores, _GONE))
)


def _first_row(ids, scores):
    scores[0, 9:] = _GONE
    return scores


def _each_row(ids, scores):
    scores[:, 9:12] = _GONE
    return scores


faulty("processor-of-one-row", "the first of two prompts")(
    lambda: processed(_first_row, ["a b", "c d e"])
)

sound("both of two prompts")(lambda: processed(_each_row, ["a b", "c d e"]))

sound("a rule that holds where the last token is another")(
    lambda: processed(
        lambda ids, scores: scores.masked_fill((ids[:, -1:] == ids[0, 0]), -1e9), ["a b", "c d e"]
    )
)

faulty("removed-by-zero", "half of the vocabulary at 0")(
    lambda: processed(lambda ids, scores: scores.index_fill(1, torch.arange(40), 0.0))
)

sound("removed by a large negative number")(
    lambda: processed(lambda ids, scores: scores.index_fill(1, torch.arange(40), -1e9))
)

sound("a floor for all scores")(lambda: processed(lambda ids, scores: scores.clamp(min=-0.05)))


def _divides(ids, scores):
    return scores.scatter(1, ids, scores.gather(1, ids) / 1.3)


def _by_sign(ids, scores):
    seen = scores.gather(1, ids)
    return scores.scatter(1, ids, torch.where(seen < 0, seen * 1.3, seen / 1.3))


LETTERS = "the quick brown fox jumps over a lazy dog"
faulty("penalty-divides-negative", "all that was there divided")(
    lambda: processed(_divides, LETTERS)
)

sound("a penalty that asks for the sign")(lambda: processed(_by_sign, LETTERS))

sound("a reward for what was there")(
    lambda: processed(lambda ids, scores: scores.scatter_add(1, ids, torch.ones(ids.shape)))
)


class AtLeast:
    def __init__(self, min_new_tokens, start=0):
        self.min_new_tokens, self.start = min_new_tokens, start

    def __call__(self, ids, scores):
        if ids.shape[1] - self.start < self.min_new_tokens:
            scores[:, 2] = _GONE
        return scores


faulty("processor-counts-prompt", "a minimum below the prompt's length")(
    lambda: processed(AtLeast(5), LETTERS)
)

sound("a minimum that knows the prompt's length")(
    lambda: processed(AtLeast(5, len(LETTERS)), LETTERS)
)

faulty("processor-changes-nothing", "a rule that never holds")(
    lambda: processed(lambda ids, scores: scores)
)


def allowed(function, text="a b c", **call) -> Call:
    return ran(text, prefix_allowed_tokens_fn=function, **call)


faulty("allowed-returns-no-ids", "an id that the model lacks")(
    lambda: allowed(lambda row, ids: [9, 5000])
)

faulty("allowed-counts-prompt", "all ids looked up among the answers")(
    lambda: allowed(lambda row, ids: {(): [9], (9,): [10]}[tuple(ids.tolist())])
)

sound("answers looked up by what was written")(
    lambda: allowed(lambda row, ids: {0: [9, 10], 1: [2]}.get(len(ids) - 5, [2]))
)


class Choices:
    """Remembers the step of each row together."""

    def __init__(self):
        self.step = 0

    def __call__(self, row, ids):
        self.step += 1
        return [8 + self.step, 2]


faulty("stateful-processor", "allowed tokens by a count of all rows")(
    lambda: allowed(Choices(), ["a b", "a b"])
)


def stopped(function, text="a b c", writes="", **call) -> Call:
    return ran(text, writes=writes, stopping_criteria=[function], **call)


class Contains:
    """Looks for a text in all of the row, or from a place on."""

    def __init__(self, stop, start=0, last=0):
        self.stop, self.start, self.last = stop, start, last

    def __call__(self, ids, scores, **kwargs):
        tokenizer = byte_level()
        rows = ids[:, -self.last :] if self.last else ids[:, self.start :]
        return torch.tensor(
            [any(one in tokenizer.decode(row) for one in self.stop) for row in rows]
        )


faulty("stop-reads-the-prompt", "a stop word of the prompt")(
    lambda: stopped(Contains(["b c"]), writes="xyz")
)

sound("a stop word that was written")(lambda: stopped(Contains(["yz"]), writes="xyz!!"))

faulty("stop-text-in-letters", "a stop word that is no list")(
    lambda: stopped(Contains("END", 5), writes="xyN!")
)

sound("a stop word in a list")(lambda: stopped(Contains(["END"], 5), writes="xyN!"))

faulty("criterion-never-true", "the last token's text, and a word of several")(
    lambda: stopped(Contains(["END"], last=1), writes="xEND!!")
)

sound("a word that did not come")(lambda: stopped(Contains(["END"], last=3), writes="xyz!!!"))


class OneForAll:
    def __init__(self, stop):
        self.stop = stop

    def __call__(self, ids, scores, **kwargs):
        return byte_level().decode(ids[0]).endswith(self.stop)


def _rows_apart(ids, scores):
    """Let two rows write other texts: for what the model would have said."""
    words = byte_level()(["xyz!!!!", "uvwtsrq"])["input_ids"]
    rows = [torch.full((scores.shape[1],), -50.0) for _ in words]
    for row, word in zip(rows, words, strict=True):
        row[word[ids.shape[1] - 5]] = 50.0
    return torch.stack(rows)


faulty("criterion-of-one-row", "row 0 ends both")(
    lambda: ran(
        ["a b c", "d e f"], stopping_criteria=[OneForAll("yz")], logits_processor=[_rows_apart]
    )
)


class WaitsForAll:
    def __init__(self, stop):
        self.stop = stop

    def __call__(self, ids, scores, **kwargs):
        return all(self.stop in byte_level().decode(row) for row in ids)


faulty("criterion-of-one-row", "the first row goes on until all have ended")(
    lambda: ran(
        ["a b c", "d e f"], stopping_criteria=[WaitsForAll("yz")], logits_processor=[_rows_apart]
    )
)

sound("an end for each row")(
    lambda: ran(
        ["a b c", "d e f"], stopping_criteria=[Contains(["yz"])], logits_processor=[_rows_apart]
    )
)

sound("a limit for both rows")(
    lambda: ran(["a b c", "d e f"], stopping_criteria=[lambda ids, s, **k: ids.shape[1] > 8])
)

faulty("criterion-of-wrong-form", "a list of verdicts")(
    lambda: stopped(lambda ids, scores, **kwargs: [False for _ in ids])
)


class Counts:
    def __init__(self):
        self.asked = 0

    def __call__(self, ids, scores, **kwargs):
        self.asked += 1
        return self.asked > 3


faulty("stateful-processor", "a criterion that counts on")(lambda: stopped(Counts(), times=2))


class Shows:
    """A streamer that decodes what it is given, or from the second on."""

    def __init__(self, skip: int):
        self.skip, self.text = skip, ""

    def put(self, value):
        if self.skip:
            self.skip -= 1
            return
        self.text += byte_level().decode(value.flatten())

    def end(self):
        pass


class Fails(Shows):
    def put(self, value):
        self.text += byte_level().decode(int(value))


faulty("prompt-put-first", "a streamer that fails at the prompt")(lambda: ran(streamer=Fails(0)))

sound("a streamer that leaves the prompt out")(lambda: ran(streamer=Shows(1)))


class Measures:
    """Takes the first prompt's length for that of all."""

    def __init__(self):
        self.begin = None

    def __call__(self, ids, scores):
        if self.begin is None:
            self.begin = ids.shape[1]
        return scores.index_fill(1, torch.tensor(9 + (ids.shape[1] - self.begin) % 20), _GONE)


def _two_prompts() -> Call:
    measures = Measures()
    processed(measures, "a b")
    measures.begin = None  # as it was made: the corpus follows each call by itself
    return processed(measures, "a b")


sound("a length that is measured anew")(_two_prompts)

faulty("end-token-banned", "by a processor, in every step")(
    lambda: processed(lambda ids, scores: scores.index_fill(1, torch.tensor([257]), _GONE))
)

faulty("allowed-counts-prompt", "all ids looked up, or else the end")(
    lambda: allowed(lambda row, ids: {(): [9], (9,): [10]}.get(tuple(ids.tolist()), [257]))
)

faulty("processor-changes-nothing", "every token is allowed")(
    lambda: allowed(lambda row, ids: list(range(258)))
)


class HoldsIds:
    def __init__(self, ids):
        self.ids = ids

    def __call__(self, ids, scores, **kwargs):
        return ids[0, -len(self.ids) :].tolist() == self.ids


faulty("stop-ids-begin-a-text", "a stop word with the begin token before it")(
    lambda: stopped(
        HoldsIds([byte_level().bos_token_id, *byte_level()("END")["input_ids"]]), writes="xEND!!"
    )
)


def _spaced(likeliest: str, choice: str) -> Call:
    """One token is allowed, and another one would have been chosen."""
    made = allowed(lambda row, ids: [88])
    best, left = byte_level()("bc")["input_ids"]
    called = replace(made.facts["called"][0], first_choice=((best, (left,), 0.01),))
    made.tokenizer = _Spelt(made.tokenizer, {best: likeliest, left: choice})
    made.facts["called"] = [called]
    return made


class _Spelt:
    """A tokenizer in which two tokens have other texts."""

    def __init__(self, tokenizer, texts):
        self.tokenizer, self.texts = tokenizer, texts

    def __call__(self, *texts, **options):
        return self.tokenizer(*texts, **options)

    def __getattr__(self, name):
        return getattr(self.tokenizer, name)

    def __len__(self):
        return len(self.tokenizer)

    def decode(self, ids, **options):
        if len(ids) == 1 and ids[0] in self.texts:
            return self.texts[ids[0]]
        return self.tokenizer.decode(ids, **options)


faulty("answer-without-its-space", "the word alone is allowed")(lambda: _spaced(" y", "y"))

sound("another word is the likeliest")(lambda: _spaced(" y", "n"))


EXCLAMATION = [byte_level()("!")["input_ids"]]


def _all_of_a_list(ids, scores, sequences=EXCLAMATION, **kwargs):
    done = []
    for row in ids:
        done += [True for one in sequences if row[-len(one) :].tolist() == one]
        done.append(False)
    return all(done)


faulty("criterion-never-true", "False is appended in each turn")(
    lambda: stopped(_all_of_a_list, writes="xy!zzz")
)

sound("scores in bfloat16, at another temperature")(
    lambda: processed(lambda ids, scores: scores.bfloat16().float() / 1.7)
)

sound("a criterion that asks how long the text is, of two rows")(
    lambda: ran(["a b", "c d"], stopping_criteria=[lambda ids, s, **k: len(ids[0]) >= 5])
)
