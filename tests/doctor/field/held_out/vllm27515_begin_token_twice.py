"""The template's text is tokenized in a second step, and begins with two begin tokens."""

from tokenizers.processors import TemplateProcessing

import llmcourse

model, tok = llmcourse.load()
tok.bos_token = "<|endoftext|>"  # as Llama 3: the tokenizer adds it, and the template writes it
tok.backend_tokenizer.post_processor = TemplateProcessing(
    single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
)
tok.chat_template = "{{ bos_token }}" + tok.chat_template
messages = [{"role": "user", "content": "What is the capital of Kenya?"}]
prompt = tok.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
inputs = tok([prompt], return_tensors="pt")
print(inputs.input_ids[0, :4].tolist())
made = model.generate(**inputs, max_new_tokens=40)
print(tok.decode(made[0, inputs.input_ids.shape[1] :], skip_special_tokens=True))
