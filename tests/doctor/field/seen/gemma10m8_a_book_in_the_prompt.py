"""A model for long prompts reads a book, and what stands on its first page is not known."""

import torch

import llmcourse

model, tok = llmcourse.load()


@torch.no_grad()
def generate(model, tok, prompt_text, max_length=8, temperature=0.1):
    model.eval()
    input_ids = tok(prompt_text, return_tensors="pt")["input_ids"]
    original_length = len(input_ids[0])
    sequence = input_ids
    while sequence.size(1) < original_length + max_length:
        segment = sequence[:, -128:]
        logits = model(input_ids=segment).logits[:, -1, :] / temperature
        next_token = torch.multinomial(logits.softmax(-1), num_samples=1)
        if next_token.item() == tok.eos_token_id:
            break
        sequence = torch.cat((sequence, next_token), dim=1)
    return tok.decode(sequence[0, original_length:], skip_special_tokens=True)


torch.manual_seed(0)
book = "The ship was called Aurora.\n" + "The sea was calm and the sky was blue.\n" * 20
question = "The ship was called"
print(len(tok(book + question).input_ids), "tokens")
print(generate(model, tok, book + question))
