"""How likely is each answer, token by token? Some of the numbers belong to none of its words."""

import llmcourse

EXAMPLES = """Question: Who wrote Faust?
Answer: Goethe
Question: What is the capital of Italy?
Answer: Rome
"""
model, tok = llmcourse.load()


def likelihood(question):
    inputs = tok(f"{EXAMPLES}Question: {question}\nAnswer:", return_tensors="pt")
    made = model.generate(
        **inputs,
        max_new_tokens=10,
        do_sample=False,
        output_scores=True,
        return_dict_in_generate=True,
    )
    new = made.sequences[0, inputs["input_ids"].shape[1] :]
    answer = tok.decode(new, skip_special_tokens=True).strip().split("\n")[0]
    length = len(tok(answer).input_ids)
    logps = model.compute_transition_scores(made.sequences, made.scores, normalize_logits=True)[0]
    return answer, logps[:length].tolist()


for question in ("Who composed The Magic Flute?", "What is the capital of Kazakhstan?"):
    print(*likelihood(question))
