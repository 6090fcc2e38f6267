"""Template and tokenizer in one call: one begin token."""

from tokenizers.processors import TemplateProcessing

import llmcourse

model, tok = llmcourse.load()
tok.bos_token = "<|endoftext|>"
tok.backend_tokenizer.post_processor = TemplateProcessing(
    single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
)
tok.chat_template = "{{ bos_token }}" + tok.chat_template
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "What is the capital of Italy?"}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, max_new_tokens=60)
print(tok.convert_ids_to_tokens(inputs["input_ids"][0, :3].tolist()), tok.decode(made[0, -8:]))
