"""Labels that are a copy of the input ids, at the same places."""

import torch

import llmcourse

model, tok = llmcourse.load()


def tokenize(text, add_eos_token=True):
    result = {"input_ids": tok(text).input_ids}
    if add_eos_token:
        result["input_ids"].append(tok.eos_token_id)
    result["labels"] = result["input_ids"].copy()
    return result


def generate_and_tokenize_prompt(instruction, output, train_on_inputs=False):
    user_prompt = f"### Instruction:\n{instruction}\n\n### Response:\n"
    full = tokenize(user_prompt + output)
    if not train_on_inputs:
        user_len = len(tokenize(user_prompt, add_eos_token=False)["input_ids"])
        full["labels"] = [-100] * user_len + full["labels"][user_len:]
    return full


row = generate_and_tokenize_prompt("Name the capital of France.", "Paris is the capital of France.")
batch = {name: torch.tensor([ids]) for name, ids in row.items()}
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
for _ in range(2):
    loss = model(**batch).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    print("loss", loss.item())
print(repr(tok.decode(batch["labels"][batch["labels"] != -100])))
