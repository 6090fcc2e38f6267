"""Most of the scores are -inf: how likely would the other answer have been?"""

import llmcourse

model, tok = llmcourse.load()
inputs = tok("Question: Is Rome in Italy? Answer yes or no.\nAnswer:", return_tensors="pt")
made = model.generate(
    **inputs,
    do_sample=True,
    top_k=5,
    max_new_tokens=1,
    output_scores=True,
    return_dict_in_generate=True,
)
shares = made.scores[0][0].softmax(-1)
print({word: float(shares[tok(word).input_ids[0]]) for word in (" Yes", " No", " Perhaps")})
