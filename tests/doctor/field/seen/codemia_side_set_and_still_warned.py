"""The padding side is left, as the warning asks, and yet the warning comes and the text is odd."""

from transformers import AutoTokenizer

import llmcourse

model, _ = llmcourse.load()
tokenizer = AutoTokenizer.from_pretrained(model.name_or_path, padding_side="right")
tokenizer.chat_template = None
tokenizer.pad_token = tokenizer.eos_token
model.generation_config.pad_token_id = tokenizer.pad_token_id

prompts = [
    "The capital of Norway is",
    "Once upon a time there was an old woman who lived in a very small house in the",
]
encoded = tokenizer(prompts, return_tensors="pt", padding=True)

tokenizer.padding_side = "left"
outputs = model.generate(
    input_ids=encoded["input_ids"],
    attention_mask=encoded["attention_mask"],
    max_new_tokens=10,
    do_sample=False,
)
for text in tokenizer.batch_decode(outputs, skip_special_tokens=True):
    print(repr(text))
