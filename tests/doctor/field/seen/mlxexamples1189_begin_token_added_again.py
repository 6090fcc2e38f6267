"""A helper that encodes any text: where it is a chat's, the first token is there twice."""

from tokenizers.processors import TemplateProcessing

import llmcourse

model, tok = llmcourse.load()
tok.bos_token = "<|endoftext|>"
tok.backend_tokenizer.post_processor = TemplateProcessing(
    single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
)
tok.chat_template = "{{ bos_token }}" + tok.chat_template


def generate(prompt):
    inputs = tok(prompt, return_tensors="pt")
    made = model.generate(**inputs, max_new_tokens=100)
    return tok.decode(made[0, inputs.input_ids.shape[1] :], skip_special_tokens=True)


messages = [{"role": "user", "content": "What is the capital of Norway?"}]
print(generate(tok.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)))
