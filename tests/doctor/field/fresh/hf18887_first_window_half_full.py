"""The perplexity of a text that is longer than the window, in strides."""

import torch

import llmcourse

model, tok = llmcourse.load()
text = (
    "The river rises in the hills above the town and runs for forty miles to the sea. In spring it "
    "is high and brown, and the farmers watch the banks at night. In summer children swim below "
    "the mill, where the water is slow and clear. An old man keeps the mill and sells flour at the "
    "market on Fridays. He says that the river was wider when he was young, and that there were "
    "so many fish that nobody had to be patient. In autumn the leaves float down to the bridge, "
    "and the first ships of the season wait for the tide in the harbour."
)
ids = tok(text, return_tensors="pt").input_ids
max_length, stride = 64, 32  # a model of short memory
n = ids.size(1)
nlls, counts = [], []
for i in range(0, n, stride):
    first, last = max(i + stride - max_length, 0), min(i + stride, n)
    window = ids[:, first:last]
    labels = window.clone()
    labels[:, : i - first] = -100
    with torch.no_grad():
        loss = model(window, labels=labels).loss
    scored = (labels[:, 1:] != -100).sum()
    nlls.append(loss * scored)
    counts.append(scored)
    print(f"window {first}-{last}: {window.size(1)} tokens, {scored} scored, {loss:.2f}")
print("perplexity", torch.exp(torch.stack(nlls).sum() / sum(counts)).item())
