"""An engine with a generation config of its own, and answers as long as ever."""

from transformers import GenerationConfig

import llmcourse

model, tok = llmcourse.load()


class Engine:
    def __init__(self, model, tok, session_len=512, **kwargs):
        self.model, self.tok = model, tok
        self.session_len = session_len

    def __call__(self, prompts, gen_config=None):
        if gen_config is None:
            gen_config = GenerationConfig(max_new_tokens=40, do_sample=False)
        for prompt in prompts:
            inputs = self.tok.apply_chat_template(
                [{"role": "user", "content": prompt}],
                add_generation_prompt=True,
                return_tensors="pt",
                return_dict=True,
            )
            made = self.model.generate(**inputs, generation_config=gen_config)
            new = made[0, inputs["input_ids"].shape[1] :]
            yield len(new), self.tok.decode(new, skip_special_tokens=True)


gen_config = GenerationConfig(max_new_tokens=10, do_sample=False)
pipe = Engine(model, tok, gen_config=gen_config)
for length, text in pipe(["Introduce yourself.", "What is Shanghai?"]):
    print(length, text)
