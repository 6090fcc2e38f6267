"""The template writes the begin token, so the tokenizer adds none."""

from tokenizers.processors import TemplateProcessing

import llmcourse

model, tok = llmcourse.load()
tok.bos_token = "<|endoftext|>"
tok.backend_tokenizer.post_processor = TemplateProcessing(
    single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
)
tok.chat_template = "{{ bos_token }}" + tok.chat_template
messages = [{"role": "user", "content": "What is the capital of France?"}]
prompt = tok.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
inputs = tok(prompt, add_special_tokens=False, return_tensors="pt")
made = model.generate(**inputs, max_new_tokens=60)
print(tok.decode(made[0, inputs.input_ids.shape[1] :], skip_special_tokens=True))
