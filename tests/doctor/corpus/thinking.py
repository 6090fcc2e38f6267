"""Thoughts, open and closed."""

import torch

from llmcourse.doctor.case import Decoded
from tests.doctor.corpus.calls import USER, Call, chat, faulty, rendered, sound, tensors


def _thinking(text: str, length: int, decodes: bool = False, opened: bool = True) -> Call:
    model, tokenizer = chat("chatml")
    prompt = rendered(tokenizer, [USER], add_generation_prompt=True) + "<think>\n" * opened
    inputs = tensors(tokenizer, prompt, add_special_tokens=False)
    new = tokenizer(text, add_special_tokens=False).input_ids
    output = torch.cat([inputs["input_ids"], torch.tensor([new])], dim=1)
    facts = {"output": output, "decoded": [Decoded(new, {}, text)] if decodes else []}
    call = {"max_new_tokens": length, "do_sample": True, "top_k": 0}
    return Call(model, tokenizer, inputs, call, facts)


faulty("thinking-cut-off", "a thought without its end")(lambda: _thinking("hm, so", 6))

faulty("thinking-cut-off", "a thought that the answer opens")(
    lambda: _thinking("<think>hm, so", 13, opened=False)
)

sound("a thought that ended")(lambda: _thinking("hm</think>Lima.</s>", 40))

faulty("thinking-half-marked", "a closing mark alone")(
    lambda: _thinking("hm</think>Lima.</s>", 40, decodes=True)
)

sound("both marks in the answer")(
    lambda: _thinking("<think>hm</think>Lima.</s>", 40, decodes=True, opened=False)
)
