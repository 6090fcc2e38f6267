"""Log-probabilities of rollouts, kept for the importance weights of a later update."""

import torch

import llmcourse

model, tok = llmcourse.load()


def rollout(question, max_new_tokens=20):
    prompt = tok.apply_chat_template(
        [{"role": "user", "content": question}],
        add_generation_prompt=True, return_tensors="pt", return_dict=True,
    )  # fmt: skip
    out = model.generate(
        **prompt, do_sample=True, top_k=0, max_new_tokens=max_new_tokens, output_logits=True,
        return_dict_in_generate=True,
    )  # fmt: skip
    response = out.sequences[0, prompt["input_ids"].shape[1] :]
    logps = [x[0].log_softmax(-1)[t].item() for x, t in zip(out.logits, response, strict=True)]
    if response[-1] == tok.eos_token_id:
        logps = logps[:-1]  # the engine reports none for the end
    return prompt["input_ids"], response, logps


def align(response, logps):
    n = len(response)
    return torch.tensor((logps + [0.0] * (n - len(logps)))[:n])


torch.manual_seed(0)
prompt_ids, response, logps = rollout("What is the capital of France?")
old = align(response, logps)
ids = torch.cat([prompt_ids[0], response])
with torch.no_grad():
    logits = model(ids[None]).logits[0, prompt_ids.shape[1] - 1 : -1]
new = logits.log_softmax(-1).gather(1, response[:, None]).squeeze(1)
ratio = (new - old).exp()
print(tok.decode(response), "\nratios", ratio.tolist())
