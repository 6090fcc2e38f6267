"""How long does each view take to draw, and how much does it put into a notebook?

    python -m benchmarks.views

Each view gets the longest input that it should be comfortable with: 2,000 tokens, a vocabulary of
150,000, 32 rows, 16 beams. The model's own time is not counted: the steps are made before. The
least of three draws is printed, with all its forms (text and page), in milliseconds of the
processor, which others on the machine do not lengthen. It measures and prints; it never fails on a
number.
"""

import time
from dataclasses import replace

import torch

import llmcourse
from llmcourse import rules, views
from llmcourse.chat import templates
from llmcourse.decoding.schedule import Turn
from tests.support.toy_models import wide_llama

VOCABULARY, LENGTH, ROWS, BEAMS = 150_000, 2_000, 32, 16
REDRAWN = ("stepper", "explore", "replay", "conversation")  # live views: what a click costs


def cases(tokenizer) -> dict:
    """Return for each view what draws it from steps that are made already."""
    model = wide_llama(VOCABULARY, positions=3 * LENGTH)
    ids = torch.randint(VOCABULARY, (ROWS, LENGTH))
    prompt = ids[:1, :8]
    step = next(llmcourse.steps(model, input_ids=prompt, max_new_tokens=1))

    def long_run():  # one step's tensors again and again: 2,000 of them would not fit in memory
        for index in range(LENGTH):
            last = index == LENGTH - 1
            reasons = ("length",) if last else (None,)
            yield replace(
                step,
                index=index,
                fed=prompt if index == 0 else ids[:1, index : index + 1],
                chosen=ids[0, index : index + 1],
                cache_length=8 + index,
                finished=torch.tensor([last]),
                stop_reasons=reasons,
            )

    search = list(llmcourse.steps(model, input_ids=prompt, num_beams=BEAMS, max_new_tokens=24))
    again = prompt.repeat(1, 8)
    rounds = list(
        llmcourse.steps(model, input_ids=again, prompt_lookup_num_tokens=8, max_new_tokens=60)
    )
    raced = llmcourse.race(
        model, tokenizer, {"input_ids": ids[:, :16]}, max_new_tokens=40, do_sample=True
    )
    made = [lambda ids, scores: rules.keep_top_k(ids, scores, 50)] * 6
    words = [" ".join(["red"] * (60 * (row + 1))) for row in range(ROWS)]
    messages = [
        {"role": role, "content": "red, blue and green. " * 40}
        for _ in range(16)
        for role in ("user", "assistant")
    ]
    qwen = templates()["qwen 2.5 with tools"].text
    tools = [
        {"name": f"colour_{number}", "description": "red, blue and green. " * 10}
        for number in range(16)
    ]
    asking = {"function": {"name": "colour_1", "arguments": {"of": "red, blue and green. " * 10}}}
    calling = [
        {"role": role, "content": words, **more}
        for _ in range(8)
        for role, words, more in (
            ("user", "red, blue and green. " * 30, {}),
            ("assistant", "", {"tool_calls": [asking, asking]}),
            ("tool", "red, blue and green. " * 30, {"name": "colour_1"}),
            ("assistant", "red, blue and green. " * 40, {}),
        )
    ]
    runs = dict.fromkeys("abcdefgh")
    stepper = views.stepper(model, tokenizer, ids[:1], max_new_tokens=50)
    explorer = views.explore(model, tokenizer, ids[:1])
    kept = list(long_run())[-300:]
    kept = [replace(one, index=index) for index, one in enumerate(kept)]
    replayer = views.replay(tokenizer, kept)
    bits = torch.rand(LENGTH) * 15
    looks = torch.rand(LENGTH, LENGTH).softmax(-1)
    guesses = step.logits.repeat(48, 1)
    taken = tuple(range(ROWS))
    turns = [  # a batch whose seats are all taken, with 16 tokens more in each cache every step
        Turn(index, taken, (1,) * ROWS, (16 * index + 16,) * ROWS, dict.fromkeys(taken, 5), ())
        for index in range(48)
    ]
    talk = views.conversation(model, tokenizer, messages)
    return {
        "tokens": lambda: views.tokens(tokenizer, ids[0]),
        "likely": lambda: views.likely(tokenizer, step.logits),
        "surprise": lambda: views.surprise(tokenizer, ids[0], bits),
        "next_token": lambda: views.next_token(tokenizer, prompt, step.logits, made),
        "text_trace": lambda: views.text_trace(tokenizer, prompt, long_run()),
        "trace": lambda: views.trace(tokenizer, kept),
        "strategies": lambda: views.strategies(tokenizer, {name: kept for name in runs}),
        "beams": lambda: views.beams(tokenizer, search, most=24),
        "batch": lambda: views.batch(tokenizer, ids, torch.ones_like(ids)),
        "padding": lambda: views.padding(tokenizer, words),
        "cache": lambda: views.cache(kept, model=model),
        "reading": lambda: views.reading(LENGTH, LENGTH),
        "drafts": lambda: views.drafts(tokenizer, rounds),
        "attention": lambda: views.attention(tokenizer, ids[0], looks),
        "layers": lambda: views.layers(tokenizer, guesses),
        "chat": lambda: views.chat(tokenizer, messages),
        "tool_call": lambda: views.tool_call(tokenizer, calling, tools=tools, chat_template=qwen),
        "race": lambda: views.race(raced),
        "schedule": lambda: views.schedule(turns, page=16),
        "stepper": lambda: redrawn(stepper),
        "explore": lambda: redrawn(explorer),
        "replay": lambda: redrawn(replayer),
        "conversation": lambda: redrawn(talk),
    }


def redrawn(view):
    """Return a live view after it has drawn again what its controls say."""
    view.redraw()
    return view


def main() -> None:
    torch.set_num_threads(1)
    _, tokenizer = llmcourse.load()
    print("| view | ms | kB |\n|---|---|---|")
    for name, draw in cases(tokenizer).items():
        seconds, size = min(timed(draw) for _ in range(3))
        again = ", a redraw" if name in REDRAWN else ""
        print(f"| {name}{again} | {1000 * seconds:.0f} | {size / 1000:.0f} |", flush=True)


def timed(draw) -> tuple[float, int]:
    started = time.process_time()
    view = draw()
    page, text = view._repr_html_(), repr(view)
    return time.process_time() - started, len(page) + len(text)


if __name__ == "__main__":
    main()
