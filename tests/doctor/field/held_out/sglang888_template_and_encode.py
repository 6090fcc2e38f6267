"""The adapter of a chat server renders the template to a text, and the engine encodes the text."""

from tokenizers.processors import TemplateProcessing

import llmcourse


def llama_like():
    model, tok = llmcourse.load()  # with a begin token, as some models have it
    tok.bos_token = "<|endoftext|>"
    tok.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
    )
    tok.chat_template = "{{ bos_token }}" + tok.chat_template
    return model, tok


class Engine:
    def __init__(self, model, tok):
        self.model, self.tok = model, tok

    def generate(self, text, max_new_tokens=24):
        inputs = self.tok(text, return_tensors="pt")
        made = self.model.generate(**inputs, max_new_tokens=max_new_tokens)
        return inputs["input_ids"], made[0, inputs["input_ids"].shape[1] :]


class ChatAdapter:
    def __init__(self, engine):
        self.engine = engine

    def v1_chat_completions(self, messages):
        tok = self.engine.tok
        prompt = tok.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        ids, new = self.engine.generate(prompt)
        print(tok.convert_ids_to_tokens(ids[0])[:5])
        return tok.decode(new, skip_special_tokens=True)


adapter = ChatAdapter(Engine(*llama_like()))
print(adapter.v1_chat_completions([{"role": "user", "content": "What is the capital of Peru?"}]))
