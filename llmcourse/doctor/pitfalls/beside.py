"""Pitfalls in what stands beside the model: the assistant that drafts, the streamer that shows."""

from collections.abc import Iterator
from typing import Any

from llmcourse.doctor.case import Case
from llmcourse.doctor.finding import CERTAIN, ERROR, NOTE, WARNING, Finding
from llmcourse.doctor.pitfalls.registry import Needs, Subject, pitfall
from llmcourse.show import plural, printable

# What is read from the assistant's own generation_config, not from the call.
_OF_THE_ASSISTANT = (
    *("num_assistant_tokens", "num_assistant_tokens_schedule", "assistant_confidence_threshold"),
)
_DRAFTS = ("prompt_lookup_num_tokens", "use_mtp", "assistant_early_exit")
_FEW = 4  # tokens; of fewer it is not to be seen whether somebody read them as they came
# What the pipeline for text sets where nobody does, and what shows that somebody chose.
_SHOWN = 60  # characters of tokens that a finding repeats


@pitfall(
    "assistant-without-gain",
    subject=Subject.CALL,
    severities=(WARNING,),
    symptom="Assisted decoding is slower than plain decoding.",
    cause="""
        Each round costs some steps of the assistant and one of the model. It pays where the
        assistant is several times smaller, and guesses well; in train mode its dropout makes
        guesses worse.
    """,
    fix="Take a much smaller model of the same family, in eval mode.",
    example="model.generate(**inputs, assistant_model=small.eval())",
    how_sure="Certain: it is the model itself, it has no fewer weights, or it is in train mode.",
)
def assistant_without_gain(case: Case) -> Iterator[Finding]:
    """The assistant is as large as the model, or guesses at random."""
    assistant = case.call.get("assistant_model")
    if assistant is None or not hasattr(assistant, "parameters"):
        return
    if assistant is case.model:
        said = "The assistant is the model itself."
    elif (sizes := [_size(one) for one in (assistant, case.model)])[0] >= sizes[1] > 0:
        said = f"The assistant has {sizes[0]:,} weights, and the model {sizes[1]:,}."
    elif assistant.training:
        said = "The assistant is in train mode: dropout changes its guesses at random."
    else:
        return
    yield Finding(
        code="assistant-without-gain",
        severity=WARNING,
        confidence=CERTAIN,
        what=said,
        why="Its guesses cost as much as they save, or more: this is slower than without it.",
        fix="model.generate(..., assistant_model=small.eval())  # several times smaller",
    )


def _size(model) -> int:
    """Return how many weights a model has."""
    return sum(one.numel() for one in model.parameters())


@pitfall(
    "assistant-settings-ignored",
    subject=Subject.CALL,
    severities=(WARNING,),
    symptom="`num_assistant_tokens` changes nothing.",
    cause="""
        How far an assistant guesses is read from its own `generation_config`. In the call to the
        large model these settings change nothing, and without an assistant there is nobody to
        guess.
    """,
    fix="Set them on the assistant.",
    example="assistant.generation_config.num_assistant_tokens = 8",
    how_sure="Certain: the settings are in the call, and the library reads the assistant's.",
)
def assistant_settings_ignored(case: Case) -> Iterator[Finding]:
    """Settings of the assistant stand where nobody reads them."""
    given = [name for name in _OF_THE_ASSISTANT if case.asked_here(name)]
    assistant = case.call.get("assistant_model")
    if not given or any(case.asked(name) for name in _DRAFTS):
        return
    own = getattr(assistant, "generation_config", None)
    given = [name for name in given if getattr(own, name, None) != case.asked(name)]
    if not given:
        return
    yield Finding(
        code="assistant-settings-ignored",
        severity=WARNING,
        confidence=CERTAIN,
        what=f"{', '.join(given)} in the call: "
        + (
            "no assistant was given."
            if assistant is None
            else "the assistant's own generation_config is read, not this."
        ),
        why="The setting changes nothing here.",
        fix=f"assistant.generation_config.{given[0]} = {case.asked(given[0])!r}",
    )


@pitfall(
    "stream-left-waiting",
    subject=Subject.READING,
    severities=(ERROR,),
    symptom="The program hangs, without a word or after the first ones.",
    cause="""
        The reader of a `TextIteratorStreamer` waits for the next piece. When `generate` fails in
        its thread nobody writes one any more, and without a `timeout` the wait has no end.
    """,
    fix="Mend what fails; give a timeout, and end the stream where `generate` may fail.",
    example="""
        def run():
            try:
                model.generate(**inputs, streamer=streamer)
            finally:
                streamer.end()
    """,
    how_sure="Certain: the call failed, and its streamer has no timeout.",
)
def stream_left_waiting(case: Case) -> Iterator[Finding]:
    """The call failed, and whoever reads its streamer waits for ever."""
    streamer = case.call.get("streamer")
    if case.refusal is None or _queue(streamer) is None:
        return
    if getattr(streamer, "timeout", None) is not None:
        return
    yield Finding(
        code="stream-left-waiting",
        severity=ERROR,
        confidence=CERTAIN,
        what=(
            f"generate fails ({type(case.refusal).__name__}), and its {type(streamer).__name__} "
            "has no timeout."
        ),
        why="Nothing ends the stream: in another thread its reader waits for ever, and hangs.",
        fix=f"{type(streamer).__name__}(tokenizer, skip_prompt=True, timeout=60)",
    )


def _queue(streamer: Any):
    """Return what the reader of a streamer waits at; None for a streamer that prints."""
    queue = getattr(streamer, "text_queue", None)
    return queue if hasattr(queue, "qsize") else None


@pitfall(
    "stream-read-late",
    subject=Subject.READING,
    severities=(WARNING,),
    needs=(Needs.OUTPUT,),
    symptom="The whole answer appears at once, after a long wait.",
    cause="""
        `generate` returns when the text is complete. Called in the thread that then reads the
        streamer, or with a `join()` before the reading, it leaves the whole text in the queue.
    """,
    fix="Run `generate` in a thread, and read while it runs.",
    example="""
        worker = Thread(target=model.generate, kwargs={**inputs, "streamer": streamer})
        worker.start()
        for piece in streamer:
            print(piece, end="", flush=True)
        worker.join()
    """,
    how_sure="Certain: all pieces were still in the queue when `generate` had ended.",
)
def stream_read_late(case: Case) -> Iterator[Finding]:
    """Nobody read the stream while it was written."""
    streamer = case.call.get("streamer")
    queue, new = _queue(streamer), case.new_rows
    if queue is None or len(new) != 1 or len(new[0]) < _FEW or queue.qsize() < len(new[0]):
        return
    yield Finding(
        code="stream-read-late",
        severity=WARNING,
        confidence=CERTAIN,
        what=(
            f"All {len(new[0])} pieces were still in the {type(streamer).__name__} when generate "
            "had ended."
        ),
        why="Nobody read them as they came: the text appears at once, as without a streamer.",
        fix='Thread(target=model.generate, kwargs={**inputs, "streamer": streamer}).start()',
    )


@pitfall(
    "prompt-put-first",
    subject=Subject.READING,
    severities=(ERROR, WARNING),
    needs=(Needs.CALLED,),
    explains_refusal=True,
    symptom="A streamer of one's own shows the prompt, or fails at its shape.",
    cause="""
        The first `put` gets the prompt's ids, of shape (1, length); each later one gets one token,
        of shape (1,).
    """,
    fix="Leave the first one out.",
    example="""
        def put(self, value):
            if self.is_prompt:
                self.is_prompt = False
                return
            self.ids += value.tolist()
    """,
    how_sure="""
        Certain that the prompt was decoded in the first `put`, or that this one failed; whether it
        was to be shown is not known.
    """,
)
def prompt_put_first(case: Case) -> Iterator[Finding]:
    """A streamer of the user's decoded the prompt, or failed at it."""
    for called in case.called:
        if called.kind != "streamer" or not called.steps:
            continue
        fails = called.error is not None and len(called.steps) == 1
        fails = fails and case.refusal is called.error
        if not fails and not (called.steps[0].said[0] and called.steps[0].length > 1):
            continue
        did = f"raised {type(called.error).__name__}" if fails else "decoded them"
        yield Finding(
            code="prompt-put-first",
            severity=ERROR if fails else WARNING,
            confidence=CERTAIN,
            what=(
                f"The first put of {printable(called.name, _SHOWN)} got the prompt's "
                f"{called.steps[0].length} tokens, and {did}."
            ),
            why="generate hands the prompt to a streamer before the first new token.",
            fix="# leave out the first put: it is the prompt, of shape (1, length)",
        )


@pitfall(
    "marks-in-the-stream",
    subject=Subject.READING,
    severities=(NOTE,),
    needs=(Needs.OUTPUT,),
    symptom="`<|im_end|>` stands at the end of what is streamed.",
    cause="A streamer hands its further arguments to `decode`, which keeps special tokens.",
    fix="Skip them there.",
    example="TextStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)",
    how_sure="Certain: the new text has such tokens, and the streamer was not told to skip them.",
)
def marks_in_the_stream(case: Case) -> Iterator[Finding]:
    """A streamer shows special tokens."""
    options = getattr(case.call.get("streamer"), "decode_kwargs", None)
    if (
        not isinstance(options, dict)
        or options.get("skip_special_tokens")
        or case.tokenizer is None
    ):
        return
    special = set(getattr(case.tokenizer, "all_special_ids", ()))
    marks = [token for row in case.new_rows for token in row if token in special]
    if not marks:
        return
    name = printable(str(case.tokenizer.convert_ids_to_tokens(marks[-1])), _SHOWN)
    yield Finding(
        code="marks-in-the-stream",
        severity=NOTE,
        confidence=CERTAIN,
        what=f"The streamed text has {plural(len(marks), 'special token')}, such as {name!r}.",
        why="Without skip_special_tokens the streamer shows them.",
        fix=f"{type(case.call['streamer']).__name__}(tokenizer, skip_special_tokens=True)",
    )
