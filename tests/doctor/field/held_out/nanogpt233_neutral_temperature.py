"""With a temperature that changes nothing the samples should be all the same."""

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None

num_samples = 4
max_new_tokens = 15
temperature = 1.0  # 1.0 = no change, < 1.0 = less random, > 1.0 = more random
top_k = 200

prompt = tok("Tomorrow", return_tensors="pt")
samples = []
for _ in range(num_samples):
    made = model.generate(
        **prompt,
        max_new_tokens=max_new_tokens,
        do_sample=True,
        temperature=temperature,
        top_k=top_k,
    )
    samples.append(tok.decode(made[0], skip_special_tokens=True))
    print(samples[-1])
    print("---------------")
assert len(set(samples)) == 1, "expected the same text each time"
