"""AutoModel loads the checkpoint, and generate fails."""

from transformers import AutoModel

import llmcourse

course, tok = llmcourse.load()
model = AutoModel.from_pretrained(course.name_or_path)
inputs = tok("hey there", return_tensors="pt")
made = model.generate(
    input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], max_new_tokens=12
)
print(tok.decode(made[0]))
