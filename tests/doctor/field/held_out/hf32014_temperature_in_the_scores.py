"""Two ways to the probability of a token, and two numbers."""

import torch

import llmcourse

model, tok = llmcourse.load()
torch.manual_seed(0)
inputs = tok("Hello 1+1=", return_tensors="pt")
outputs = model.generate(
    **inputs,
    max_new_tokens=4,
    do_sample=True,
    temperature=0.6,
    top_p=0.9,
    top_k=0,
    output_scores=True,
    output_logits=True,
    return_dict_in_generate=True,
)
confidence = torch.stack(outputs.scores, dim=1).softmax(-1).max(-1).values
print("the model is this sure:", confidence.tolist())
print(torch.stack(outputs.logits, dim=1).softmax(-1).max(-1).values.tolist())
