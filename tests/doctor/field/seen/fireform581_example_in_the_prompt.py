"""Fields of a form out of a transcript: since the prompt shows what to write, each call raises."""

import llmcourse

model, tok = llmcourse.load()
PROMPT = "Give the {field} ({type}) that the text names.\nText: {text}"
PROMPT_WITH_EXAMPLE = (
    "Give the {field} ({type}) that the text names, as JSON.\n"
    'Text: Mr. Lee came at noon.\n{"value": "Lee"}\n'
    "Text: {text}"
)


class LLM:
    def __init__(self, template, transcript):
        self.template, self.transcript = template, transcript

    def build_prompt(self, field, kind):
        return self.template.format(field=field, type=kind, text=self.transcript)

    def ask(self, field, kind="string"):
        inputs = tok.apply_chat_template(
            [{"role": "user", "content": self.build_prompt(field, kind)}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        made = model.generate(**inputs, max_new_tokens=16, do_sample=False)
        return tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


transcript = "Officer Smith called in at ten."
print(LLM(PROMPT, transcript).ask("name"))
print(LLM(PROMPT_WITH_EXAMPLE, transcript).ask("name"))
