"""The end of a turn has been made the tokenizer's end token, and still the model talks on."""

from transformers import GenerationConfig

import llmcourse

model, tok = llmcourse.load()
# as in the checkpoint of the base model that the chat tokens were added to
model.generation_config = GenerationConfig(eos_token_id=0, pad_token_id=0)

tok.eos_token = "<|im_end|>"
model.config.eos_token_id = [0, tok.eos_token_id]


def chat(question):
    messages = [{"role": "user", "content": question}]
    inputs = tok.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    made = model.generate(**inputs, max_new_tokens=40, do_sample=False)
    return tok.decode(made[0, inputs["input_ids"].shape[1] :])


print("the turn ends with:", tok.eos_token, tok.eos_token_id)
print(chat("What is the capital of France? Answer with one word."))
