"""With the template's own switch thinking is off, and the parser returns an empty answer."""

import llmcourse

HEADER = "{{ '<|im_start|>assistant\n' }}"
THOUGHT = (
    "{% if reasoning_effort == 'none' %}{{ '<think>\n\n</think>\n\n' }}"
    "{% else %}{{ '<think>\n' }}{% endif %}"
)


class ReasoningParser:
    end = "</think>"

    def __init__(self, **template_kwargs):
        self.thinking = template_kwargs.get("enable_thinking", True)

    def extract(self, text):
        if not self.thinking:
            return None, text
        if self.end not in text:
            return text, None
        reasoning, content = text.split(self.end, 1)
        return reasoning, content.strip()


def chat(model, tok, question, max_new_tokens=40, **template_kwargs):
    inputs = tok.apply_chat_template(
        [{"role": "user", "content": question}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
        **template_kwargs,
    )
    made = model.generate(**inputs, max_new_tokens=max_new_tokens)
    text = tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return ReasoningParser(**template_kwargs).extract(text)


model, tok = llmcourse.load()
tok.chat_template = tok.chat_template.replace(HEADER, HEADER + THOUGHT)
reasoning, content = chat(model, tok, "What is the capital of Italy?", reasoning_effort="none")
print({"reasoning": reasoning, "content": content})
