"""First the template, then the tokenizer, as for the model before this one; what goes in looks odd."""

from tokenizers.processors import TemplateProcessing

import llmcourse

model, tok = llmcourse.load()
tok.bos_token = "<|endoftext|>"  # this model's texts begin with a token of its own
tok.backend_tokenizer.post_processor = TemplateProcessing(
    single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
)
tok.chat_template = "{{ bos_token }}" + tok.chat_template


def prepare(messages):
    prompt = tok.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return tok(
        prompt, max_length=100, truncation=True, add_special_tokens=True, return_tensors="pt"
    )


inputs = prepare([{"role": "user", "content": "Name three animals."}])
print(tok.convert_ids_to_tokens(inputs["input_ids"][0])[:4])
made = model.generate(**inputs, max_new_tokens=24, do_sample=False)
print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
