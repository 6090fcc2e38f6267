"""Scores, probabilities, losses and masks, for test_static.py: faulty lines and sound ones."""

IDS = "ids = inputs.input_ids\n"
_SEARCH = """\
made = model.generate(**inputs, num_beams=3, max_new_tokens=9{more}, output_scores=True,
    return_dict_in_generate=True)
steps = model.compute_transition_scores(made.sequences, made.scores, made.beam_indices)
"""
_PASS = "ids = inputs.input_ids\nwith torch.no_grad():\n    out = model(ids, labels=ids)\n"
_STATES = """\
made = model.generate(**inputs, max_new_tokens=9, output_hidden_states=True,
    return_dict_in_generate=True)
new = made.sequences[0, inputs.input_ids.shape[1] :]
"""
_KEEPS = """\
out = model.generate(**inputs, max_new_tokens=9, return_dict_in_generate=True{more})
n = inputs.input_ids.shape[1]
"""
_SCORES = _KEEPS.format(more=", output_scores=True")
_SEVERAL = _KEEPS.format(more=", output_scores=True, do_sample=True, num_return_sequences=3")
_BEAMS = _KEEPS.format(more=", output_scores=True, num_beams=4")
_HIDDEN = _KEEPS.format(more=", output_hidden_states=True")
_DRAWN = _KEEPS.format(more=", output_scores=True, do_sample=True, temperature=0.7, top_k={k}")
_BATCH = """\
prompts = ["one", "two three"]
batch = tokenizer(prompts, padding=True, return_tensors="pt")
"""
_TRANSITIONS = """\
out = model.generate(**batch, max_new_tokens=9, return_dict_in_generate=True, output_scores=True)
steps = model.compute_transition_scores(out.sequences, out.scores, normalize_logits=True)
"""
_IDS = "ids = inputs.input_ids\nwith torch.no_grad():\n    logits = model(ids).logits\n"
_LOSS = "ids = inputs.input_ids\nwith torch.no_grad():\n    loss = model(ids, labels=ids).loss\n"
_OPTIONS = """\
losses = []
for option in [" Paris", " Rome"]:
    ids = tokenizer(prompt + option, return_tensors="pt").input_ids
    with torch.no_grad():
        losses.append({loss})
"""
_LOSS_OF = "model(ids, labels=ids).loss.item()"
_TOKENS = (
    _BATCH
    + """\
with torch.no_grad():
    logits = model(**batch).logits[:, :-1]
chosen = batch.input_ids[:, 1:, None]
log_probs = logits.log_softmax(-1).gather(2, chosen).squeeze(-1)
"""
)
_LAST = _IDS + "last = logits[0, -1]\n"

# What is wrong, in a line or a few: the code, by what somebody wrote.
FAULTY = {
    "padding among the labels": (
        "padding-in-the-loss",
        IDS + "b = tokenizer(['a','b c'], padding=True, return_tensors='pt')\n"
        "loss = model(**b, labels=b['input_ids']).loss",
    ),
    "labels moved by one": (
        "labels-shifted-twice",
        IDS + "loss = model(ids[:, :-1], labels=ids[:, 1:]).loss",
    ),
    "labels moved by one, by name": (
        "labels-shifted-twice",
        IDS + "x = ids[:, :-1].contiguous()\n"
        "y = ids[:, 1:].contiguous()\n"
        "loss = model(input_ids=x, labels=y).loss",
    ),
    "scores cut by the prompt": (
        "scores-begin-after-prompt",
        IDS + "made = model.generate(**inputs, output_scores=True, return_dict_in_generate=True)\n"
        "s = made.scores[inputs.input_ids.shape[1]:]",
    ),
    "scores beside the whole row": (
        "scores-begin-after-prompt",
        IDS + "made = model.generate(**inputs, output_scores=True, return_dict_in_generate=True)\n"
        "for t, s in zip(made.sequences[0], made.scores):\n"
        "    print(t, s)",
    ),
    "scores by the whole row's places": (
        "scores-begin-after-prompt",
        IDS + "made = model.generate(**inputs, output_scores=True, return_dict_in_generate=True)\n"
        "for i, t in enumerate(made.sequences[0]):\n"
        "    print(made.scores[i][0, t])",
    ),
    "raw transition scores": (
        "transition-scores-raw",
        IDS + "made = model.generate(**inputs, output_scores=True, return_dict_in_generate=True)\n"
        "s = model.compute_transition_scores(made.sequences, made.scores)\n"
        "print(torch.exp(s))",
    ),
    "transition scores of other beams": (
        "transition-scores-raw",
        IDS + "made = model.generate(\n"
        "    **inputs, num_beams=4, output_scores=True, return_dict_in_generate=True\n"
        ")\n"
        "s = model.compute_transition_scores(made.sequences, made.scores)",
    ),
    "windows with a stride": (
        "windows-overlap",
        IDS + "for b in range(0, n, stride):\n"
        "    x = ids[:, b:b+max_length]\n"
        "    l = model(x, labels=x).loss",
    ),
    "a loss over padding": (
        "padding-in-the-loss",
        IDS + "batch = tokenizer(['a', 'a b c'], padding=True)\n"
        "logits = model(**batch).logits[:, :-1]\n"
        "labels = batch.input_ids[:, 1:]\n"
        "loss = F.cross_entropy(logits.reshape(-1, logits.size(-1)), labels.reshape(-1))\n"
        "print(loss.exp())",
    ),
    "chances summed over padding": (
        "padding-in-the-loss",
        IDS + "batch = tokenizer(['a', 'a b c'], padding=True)\n"
        "logp = model(**batch).logits[:, :-1].log_softmax(-1)\n"
        "labels = batch.input_ids[:, 1:]\n"
        "scores = logp.gather(2, labels.unsqueeze(-1)).squeeze(-1).sum(1)\n"
        "print(scores)",
    ),
    "chances at their own places": (
        "logits-not-shifted",
        IDS + "logits = model(ids).logits\n"
        "lp = logits.log_softmax(-1)\n"
        "out = []\n"
        "for i, t in enumerate(ids[0]):\n"
        "    out.append(lp[0, i, t].item())",
    ),
    "chances of a range at their own places": (
        "logits-not-shifted",
        IDS + "lp = model(ids).logits.log_softmax(-1)\n"
        "score = lp[0, torch.arange(ids.shape[1]), ids[0]].sum()",
    ),
    "layers without their norm": (
        "lens-without-norm",
        IDS + "out = model(ids, output_hidden_states=True)\n"
        "for h in out.hidden_states:\n"
        "    print(tokenizer.decode(model.lm_head(h[0, -1]).argmax()))",
    ),
    "labels that are rolled": (
        "labels-shifted-twice",
        IDS + "loss = model(ids, labels=torch.roll(ids, -1, dims=1)).loss",
    ),
    "a mean of hidden states over padding": (
        "mean-over-padding",
        IDS + "batch = tokenizer(texts, padding=True)\n"
        "h = model(**batch, output_hidden_states=True).hidden_states[-1]\n"
        "vectors = h.mean(dim=1)",
    ),
    "a beam's score and the sum": (
        "sequence-scores-averaged",
        _SEARCH.format(more="") + "print(made.sequences_scores, steps.sum(1))",
    ),
    "a beam's score as a chance": (
        "sequence-scores-averaged",
        _SEARCH.format(more="") + "print(torch.exp(made.sequences_scores))",
    ),
    "the loss times all tokens": (
        "loss-times-all-tokens",
        _PASS + "total = -out.loss.item() * ids.shape[1]",
    ),
    "all tokens times the loss": (
        "loss-times-all-tokens",
        _PASS + "n = ids.size(1)\nloss = out.loss\ntotal = n * loss",
    ),
    "the loss times the pieces that the labels are made of": (
        "loss-times-all-tokens",
        "def score(sentence):\n    pieces = tok.tokenize(sentence)\n"
        "    ids = torch.tensor([tok.convert_tokens_to_ids(pieces)])\n"
        "    made = model(ids, labels=ids)\n    return -made[0] * len(pieces)",
    ),
    "new tokens with the steps' states": (
        "hidden-states-misaligned",
        _STATES + "steps = [step[-1][0] for step in made.hidden_states]\n"
        "for token, state in zip(new, steps):\n    print(token, state.norm())",
    ),
    "scores that were not kept": (
        "output-not-asked-for",
        _KEEPS.format(more="") + "print(out.scores[0])",
    ),
    "logits that were not kept": (
        "output-not-asked-for",
        _SCORES + "print(out['logits'][0].softmax(-1))",
    ),
    "hidden states of a plain pass": (
        "output-not-asked-for",
        "out = model(**inputs)\nprint(out.hidden_states[-1].shape)",
    ),
    "attentions of a pass at once": (
        "output-not-asked-for",
        "weights = model(input_ids=inputs.input_ids).attentions[0]",
    ),
    "beams' scores without beams": (
        "output-not-asked-for",
        _SCORES + "print(out.sequences_scores)",
    ),
    "steps beside rows": (
        "steps-taken-for-rows",
        _SEVERAL + "for row, scores in zip(out.sequences, out.scores):\n"
        "    print(row, scores.argmax(-1))",
    ),
    "steps by the number of a row": (
        "steps-taken-for-rows",
        _SEVERAL
        + "for i, row in enumerate(out.sequences):\n    print(row, out.scores[i].argmax())",
    ),
    "steps stacked first": (
        "steps-taken-for-rows",
        _SCORES + "probs = torch.stack(out.scores).softmax(-1)\n"
        "new = out.sequences[:, n:]\nprint(probs.gather(2, new.unsqueeze(-1)))",
    ),
    "beams' scores of row 0": (
        "beam-scores-by-row",
        _BEAMS + "for i, token in enumerate(out.sequences[0, n:]):\n"
        "    print(out.scores[i][0, token])",
    ),
    "beams' scores, gathered": (
        "beam-scores-by-row",
        _BEAMS + "new = out.sequences[:, n:]\n"
        "print(torch.stack(out.scores, dim=1).gather(2, new.unsqueeze(-1)))",
    ),
    "a step as a layer": (
        "step-taken-for-layer",
        _HIDDEN + "last = out.hidden_states[-1]\nprint(last.mean(dim=1))",
    ),
    "a step indexed as a layer": (
        "step-taken-for-layer",
        _HIDDEN + "print(out.hidden_states[-1][:, -1, :])",
    ),
    "all steps stacked": (
        "step-taken-for-layer",
        _HIDDEN + "print(torch.stack(out.hidden_states))",
    ),
    "the entropy of what was drawn from": (
        "entropy-is-nan",
        _DRAWN.format(k=20) + "for scores in out.scores:\n"
        "    log_probs = torch.log_softmax(scores, dim=-1)\n"
        "    print(-(log_probs.exp() * log_probs).sum())",
    ),
    "the mean of a padded batch's scores": (
        "scores-of-padding",
        _BATCH + _TRANSITIONS + "print(steps.mean(dim=1))",
    ),
    "exp of a score": ("logits-not-normalized", _SCORES + "print(torch.exp(out.scores[0]).max())"),
    "exp of logits in a function": (
        "logits-not-normalized",
        "def probs_of(ids):\n    logits = model(ids).logits[0, -1]\n    return torch.exp(logits)",
    ),
    "a sum of logits": (
        "logits-not-normalized",
        _IDS + "score = 0\nfor i in range(1, ids.shape[1]):\n"
        "    score += logits[0, i - 1, ids[0, i]].item()",
    ),
    "logits called log-probabilities": (
        "logits-not-normalized",
        _IDS + "log_probs = logits[:, :-1].gather(2, ids[:, 1:, None])",
    ),
    "a sum of scores": (
        "logits-not-normalized",
        _SCORES + "logprob = sum(out.scores[i][0, t] for i, t in enumerate(out.sequences[0, n:]))",
    ),
    "a divergence of probabilities": (
        "loss-wants-log-probabilities",
        "import torch.nn.functional as F\n"
        + _IDS
        + "F.kl_div(logits.softmax(-1), teacher_logits.softmax(-1))",
    ),
    "a divergence of two logarithms": (
        "loss-wants-log-probabilities",
        "from torch import nn\n" + _IDS + "kl = nn.KLDivLoss(reduction='batchmean')\n"
        "kl(logits.log_softmax(-1), teacher_logits.log_softmax(-1))",
    ),
    "a loss of logits": (
        "loss-wants-log-probabilities",
        _IDS + "torch.nn.functional.nll_loss(logits[0, :-1], ids[0, 1:])",
    ),
    "a perplexity to the base of 2": (
        "perplexity-misbuilt",
        _LOSS + "print(2 ** loss.item())",
    ),
    "a perplexity by pow": ("perplexity-misbuilt", _LOSS + "print(torch.pow(2, loss))"),
    "a mean of perplexities": (
        "perplexity-misbuilt",
        "import numpy as np\n"
        + _OPTIONS.format(loss="torch.exp(model(ids, labels=ids).loss).item()")
        + "print(np.mean(losses))",
    ),
    "the option with the largest loss": (
        "largest-loss-chosen",
        "import numpy as np\n" + _OPTIONS.format(loss=_LOSS_OF) + "best = int(np.argmax(losses))",
    ),
    "the largest loss by a function": (
        "largest-loss-chosen",
        "def loss_of(text):\n    ids = tokenizer(text, return_tensors='pt').input_ids\n"
        "    with torch.no_grad():\n        return model(ids, labels=ids).loss.item()\n"
        "best = max([' Paris', ' Rome'], key=loss_of)",
    ),
    "the first entry beside labels": (
        "loss-taken-for-logits",
        "ids = inputs.input_ids\nlogits = model(ids, labels=ids)[0]\nprint(logits.shape)",
    ),
    "a mask of the places that predict": (
        "mask-not-shifted",
        _TOKENS + "print((log_probs * batch.attention_mask[:, :-1]).sum(-1))",
    ),
    "logits moved the wrong way": (
        "logits-not-shifted",
        _IDS + "log_probs = logits[:, 1:].log_softmax(-1)\n"
        "print(log_probs.gather(2, ids[:, :-1].unsqueeze(-1)).sum())",
    ),
    "logits and ids moved alike": (
        "logits-not-shifted",
        _IDS + "log_probs = logits.log_softmax(-1)[:, 1:]\n"
        "print(log_probs.gather(2, ids[:, 1:].unsqueeze(-1)).sum())",
    ),
    "each token at its own place, in a loop": (
        "logits-not-shifted",
        _IDS + "log_probs = logits.log_softmax(-1)\ntotal = 0\n"
        "for i in range(4, ids.shape[1]):\n    total += log_probs[0, i, ids[0, i]]",
    ),
    "each token at its own place, in NumPy": (
        "logits-not-shifted",
        "import numpy as np\nrow = inputs.input_ids[0].numpy()\n"
        "probs = model(**inputs).logits[0].softmax(-1).detach().numpy()\n"
        "print(np.log(probs[np.arange(len(row)), row]).sum())",
    ),
    "a loss object, unshifted": (
        "logits-not-shifted",
        _IDS + "loss_of = torch.nn.CrossEntropyLoss()\n"
        "print(loss_of(logits.view(-1, logits.size(-1)), ids.view(-1)))",
    ),
    "logits of generate as of a pass": (
        "steps-are-no-tensor",
        _KEEPS.format(more=", output_logits=True") + "print(out.logits[:, -1, :].argmax(-1))",
    ),
    "a softmax of a tuple": (
        "steps-are-no-tensor",
        _SCORES + "scores = out.scores\nprint(torch.softmax(scores, dim=-1))",
    ),
    "the shape of a tuple": ("steps-are-no-tensor", _SCORES + "print(out['scores'].shape)"),
    "a share of two logits": (
        "logits-not-normalized",
        _LAST + "yes, no = last[5].item(), last[7].item()\nprint(yes / (yes + no))",
    ),
    "the last states through the norm again": (
        "norm-twice",
        "out = model(**inputs, output_hidden_states=True)\n"
        "logits = model.lm_head(model.model.norm(out.hidden_states[-1]))",
    ),
    "all states through the norm": (
        "norm-twice",
        "out = model(**inputs, output_hidden_states=True)\n"
        "for hidden in out.hidden_states:\n"
        "    print(model.lm_head(model.transformer.ln_f(hidden[:, -1])).argmax(-1))",
    ),
    "log-probabilities in 16 bits": (
        "log-probabilities-in-half",
        "import torch.nn.functional as F\n"
        "lm = AutoModelForCausalLM.from_pretrained('x', dtype=torch.bfloat16)\n"
        + _IDS.replace("model(", "lm(")
        + "log_probs = F.log_softmax(logits[:, :-1], dim=-1)",
    ),
    "the largest score as a confidence": (
        "logits-not-normalized",
        _SCORES + "confidence = out.scores[0].max().item()",
    ),
    "a mean of logits as a likelihood": (
        "logits-not-normalized",
        _IDS + "nll = -logits[0, :-1].gather(1, ids[0, 1:, None]).mean()",
    ),
    "perplexities added up": (
        "perplexity-misbuilt",
        _LOSS + "total = 0\nfor _ in range(3):\n    total += torch.exp(loss).item()",
    ),
    "the larger loss kept": (
        "largest-loss-chosen",
        "best_loss = -1\nfor option in [' Paris', ' Rome']:\n"
        "    ids = tokenizer(prompt + option, return_tensors='pt').input_ids\n"
        "    loss = model(ids, labels=ids).loss.item()\n"
        "    if loss > best_loss:\n        best, best_loss = option, loss",
    ),
    "options sorted by falling loss": (
        "largest-loss-chosen",
        "def loss_of(text):\n    ids = tokenizer(text, return_tensors='pt').input_ids\n"
        "    return model(ids, labels=ids).loss.item()\n"
        "ranked = sorted([' Paris', ' Rome'], key=loss_of, reverse=True)",
    ),
    "steps by the number of a prompt": (
        "steps-taken-for-rows",
        _BATCH + "out = model.generate(**batch, return_dict_in_generate=True, output_scores=True)\n"
        "for i, asked in enumerate(prompts):\n    print(asked, out.scores[i].argmax(-1))",
    ),
    "the first of an ascending order": ("least-likely-first", _LAST + "print(last.argsort()[:5])"),
    "the first of an ascending sort": (
        "least-likely-first",
        _LAST + "values, places = torch.sort(last.softmax(-1))\nprint(places[:5])",
    ),
    "the first of NumPy's order": (
        "least-likely-first",
        "import numpy as np\n" + _LAST + "probs = last.softmax(-1).numpy()\n"
        "print(np.argsort(probs)[:5])",
    ),
    "beams' scores of row 0, through a softmax": (
        "beam-scores-by-row",
        _BEAMS + "for i, token in enumerate(out.sequences[0, n:]):\n"
        "    scores = out.scores[i][0]\n    probs = torch.softmax(scores, dim=-1)\n"
        "    print(probs[token].item())",
    ),
    "beams' scores beside tokens": (
        "beam-scores-by-row",
        _BEAMS + "for token, scores in zip(out.sequences[0, n:], out.scores):\n"
        "    print(scores[0, token])",
    ),
    "a loss module at each token's own place": (
        "logits-not-shifted",
        """\
loss_fn = torch.nn.CrossEntropyLoss()
def score(model, ids):
    logits = model(input_ids=ids).logits
    return loss_fn(logits.view(-1, logits.size(-1)), ids.view(-1))
""",
    ),
    "a softmax for each place, at its own token": (
        "logits-not-shifted",
        """\
def score(model, ids):
    logits = model(ids).logits
    total = 0
    for i, t in enumerate(ids[0]):
        total += torch.log_softmax(logits[0, i], -1)[t].item()
    return total
""",
    ),
    "padding among a batch's labels": (
        "padding-in-the-loss",
        """\
tokenizer.pad_token = tokenizer.eos_token
def collate(texts):
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    batch["labels"] = batch["input_ids"].clone()
    return batch
for texts in [["a", "bb"]]:
    loss = model(**collate(texts)).loss
""",
    ),
    "a mask of the ignored labels": (
        "mask-inverted",
        """\
def f(ids, attention_mask, labels):
    logits = model(ids, attention_mask=attention_mask).logits[:, :-1]
    logps = logits.log_softmax(-1).gather(2, ids[:, 1:].unsqueeze(-1)).squeeze(-1)
    mask = labels[:, 1:] == -100
    return (logps * mask).sum(-1)
""",
    ),
    "a mask of the ignored targets, gathered": (
        "mask-inverted",
        """\
def f(chosen_logits, target):
    m = target == IGNORE_ID
    log_probs = chosen_logits.log_softmax(dim=-1)
    index = target.masked_fill(m, 0).unsqueeze(dim=-1)
    chosen_logps = torch.gather(log_probs, dim=2, index=index).squeeze(dim=-1)
    return (chosen_logps * m).sum(dim=-1)
""",
    ),
    "one minus the attention mask": (
        "mask-inverted",
        """\
def f(ids, attention_mask):
    logits = model(ids, attention_mask=attention_mask).logits[:, :-1]
    logps = logits.log_softmax(-1).gather(2, ids[:, 1:].unsqueeze(-1)).squeeze(-1)
    return (logps * (1 - attention_mask[:, 1:])).sum(-1)
""",
    ),
    "labels ignored where the text is": (
        "mask-inverted",
        """\
batch = tokenizer(["a"], padding=True, return_tensors="pt")
labels = batch["input_ids"].clone()
labels[batch["attention_mask"] == 1] = -100
loss = model(**batch, labels=labels).loss
""",
    ),
    "labels filled by the attention mask": (
        "mask-inverted",
        """\
batch = tokenizer(["a"], padding=True, return_tensors="pt")
labels = batch.input_ids.masked_fill(batch.attention_mask.bool(), -100)
""",
    ),
    "a mean after a mask": (
        "mean-counts-masked",
        """\
def f(ids, attention_mask):
    logits = model(ids, attention_mask=attention_mask).logits[:, :-1]
    logps = logits.log_softmax(-1).gather(2, ids[:, 1:].unsqueeze(-1)).squeeze(-1)
    mask = attention_mask[:, 1:]
    return (logps * mask).mean(dim=-1)
""",
    ),
    "a mean of losses after a mask": (
        "mean-counts-masked",
        """\
def f(logits, labels, mask):
    loss = F.cross_entropy(logits.view(-1, 5), labels.view(-1), reduction='none')
    loss = loss * mask.view(-1)
    return loss.mean()
""",
    ),
    "a mean of a masked name": (
        "mean-counts-masked",
        """\
def f(per_token_logps, completion_mask):
    masked = per_token_logps * completion_mask
    return -masked.mean()
""",
    ),
    "a mean of a loss module's numbers": (
        "mean-counts-masked",
        """\
loss_fn = torch.nn.CrossEntropyLoss(reduction='none')
def f(logits, labels, loss_mask):
    loss = loss_fn(logits.view(-1, 5), labels.view(-1))
    return torch.mean(loss * loss_mask.view(-1))
""",
    ),
    "an attention mask without its last": (
        "mask-not-shifted",
        """\
def f(ids, attention_mask):
    logits = model(ids, attention_mask=attention_mask).logits[:, :-1]
    logps = logits.log_softmax(-1).gather(2, ids[:, 1:].unsqueeze(-1)).squeeze(-1)
    return (logps * attention_mask[:, :-1]).sum(-1)
""",
    ),
    "a mask of the answer without its last": (
        "mask-not-shifted",
        """\
def f(ids, attention_mask, n):
    logits = model(ids, attention_mask=attention_mask).logits[:, :-1]
    logps = logits.log_softmax(-1).gather(2, ids[:, 1:].unsqueeze(-1)).squeeze(-1)
    mask = attention_mask.clone()
    mask[:, :n] = 0
    mask = mask[:, :-1]
    return (logps * mask).sum(-1) / mask.sum(-1)
""",
    ),
    "a divergence of probabilities, once more": (
        "loss-wants-log-probabilities",
        """\
p = model(ids).logits.softmax(-1)
q = model(ids).logits.softmax(-1)
k = F.kl_div(p, q, reduction='batchmean')
""",
    ),
    "a divergence of logits": (
        "loss-wants-log-probabilities",
        """\
k = torch.nn.KLDivLoss(reduction='batchmean')
def f(student_logits, teacher_logits):
    return k(student_logits, teacher_logits.softmax(-1))
""",
    ),
    "a divergence of logs without saying so": (
        "loss-wants-log-probabilities",
        """\
def f(a_logits, b_logits):
    return F.kl_div(a_logits.log_softmax(-1), b_logits.log_softmax(-1), reduction='sum')
""",
    ),
    "an entropy of sampled scores": (
        "entropy-is-nan",
        """\
inputs = tokenizer("a", return_tensors="pt")
asks = dict(do_sample=True, output_scores=True, return_dict_in_generate=True)
out = model.generate(**inputs, max_new_tokens=5, **asks)
for s in out.scores:
    p = F.softmax(s, dim=-1)
    e = -(p * torch.log(p)).sum(-1)
""",
    ),
    "an entropy of filtered logits": (
        "entropy-is-nan",
        """\
def f(logits, k):
    v = logits.topk(k).values[..., -1:]
    logits[logits < v] = float("-inf")
    lp = logits.log_softmax(-1)
    return -(lp.exp() * lp).sum(-1)
""",
    ),
    "a perplexity of means": (
        "mean-of-mean-losses",
        """\
import math
losses = []
for text in texts:
    ids = tokenizer(text, return_tensors="pt").input_ids
    with torch.no_grad():
        losses.append(model(ids, labels=ids).loss.item())
print("ppl", math.exp(sum(losses) / len(losses)))
""",
    ),
    "a perplexity of stacked means": (
        "mean-of-mean-losses",
        """\
losses = []
for text in texts:
    ids = tokenizer(text, return_tensors="pt").input_ids
    with torch.no_grad():
        out = model(ids, labels=ids)
    losses.append(out.loss)
ppl = torch.exp(torch.stack(losses).mean())
""",
    ),
    "each token at its own place in a range": (
        "logits-not-shifted",
        """\
def score(prompt, answer):
    p = tokenizer(prompt, return_tensors="pt").input_ids
    full = tokenizer(prompt + answer, return_tensors="pt").input_ids
    lp = model(full).logits.log_softmax(-1)
    total = 0.0
    for i in range(p.shape[1], full.shape[1]):
        total += lp[0, i, full[0, i]].item()
    return total
""",
    ),
    "two to the power of a loss": (
        "perplexity-misbuilt",
        """\
loss = model(ids, labels=ids).loss
print(2 ** loss.item())
""",
    ),
    "a gather by keyword at each token's own place": (
        "logits-not-shifted",
        """\
def score(text):
    batch = tokenizer(text, return_tensors="pt")
    ids = batch.input_ids
    log_probs = model(**batch).logits.log_softmax(dim=-1)
    return torch.gather(log_probs, dim=-1, index=ids.unsqueeze(-1)).sum()
""",
    ),
    "an entropy in a function of sampled scores": (
        "entropy-is-nan",
        """\
out = model.generate(
    **inputs,
    do_sample=True,
    max_new_tokens=5,
    output_scores=True,
    return_dict_in_generate=True,
)
def entropy(scores):
    chances = torch.softmax(scores, dim=-1)
    return -(chances * torch.log(chances)).sum(dim=-1)
print([entropy(step) for step in out.scores])
""",
    ),
}

# What only looks like it.
SOUND = {
    "modules of names that functions have": _IDS
    + "kl_div = torch.nn.KLDivLoss(log_target=True)\nsoftmax = torch.nn.LogSoftmax(dim=-1)\n"
    "loss = kl_div(softmax(logits / 5.0), softmax(teacher(ids).logits / 5.0))",
    "a config that asks for the object": "config = GenerationConfig(max_new_tokens=9, "
    "return_dict_in_generate=True, output_scores=True)\n"
    "out = model.generate(**inputs, generation_config=config)\nprint(out['scores'])",
    "padding left out of the labels": IDS
    + "b = tokenizer(['a','b c'], padding=True, return_tensors='pt')\n"
    "l = b.input_ids.masked_fill(b.attention_mask==0, -100)\n"
    "loss = model(**b, labels=l).loss",
    "labels of one text": IDS + "loss = model(ids, labels=ids).loss",
    "scores beside the new tokens": IDS
    + "made = model.generate(**inputs, output_scores=True, return_dict_in_generate=True)\n"
    "n=inputs.input_ids.shape[1]\n"
    "for i, t in enumerate(made.sequences[0][n:]):\n"
    "    print(made.scores[i][0, t])\n"
    "for j in range(n, 9): print(made.scores[j - n])\n"
    "for t,s in zip(made.sequences[0, n:], made.scores): pass",
    "normalized transition scores": IDS
    + "made = model.generate(**inputs, output_scores=True, return_dict_in_generate=True)\n"
    "s = model.compute_transition_scores(\n"
    "    made.sequences, made.scores, normalize_logits=True\n"
    ")\n"
    "print(torch.exp(s))",
    "windows one after another": IDS + "for b in range(0, n, max_length):\n"
    "    x = ids[:, b:b+max_length]\n"
    "    l = model(x, labels=x).loss",
    "chances of what comes next": IDS + "lp = model(ids).logits.log_softmax(-1)\n"
    "out = []\n"
    "for i, t in enumerate(ids[0][1:]):\n"
    "    out.append(lp[0, i, t].item())",
    "layers through the norm": IDS + "out = model(ids, output_hidden_states=True)\n"
    "for h in out.hidden_states[:-1]:\n"
    "    print(model.lm_head(model.model.norm(h))[0, -1].argmax())",
    "the last hidden states": IDS + "h = model(ids, output_hidden_states=True).hidden_states[-1]\n"
    "print(model.lm_head(h)[0, -1].argmax())",
    "padding left out of a sum": IDS + "batch = tokenizer(texts, padding=True)\n"
    "logp = model(**batch).logits[:, :-1].log_softmax(-1)\n"
    "labels = batch.input_ids[:, 1:]\n"
    "per_token = logp.gather(2, labels.unsqueeze(-1)).squeeze(-1)\n"
    "print((per_token * batch.attention_mask[:, 1:]).sum(1))",
    "a mean of one text's hidden states": IDS
    + "h = model(ids, output_hidden_states=True).hidden_states[-1]\n"
    "vector = h.mean(dim=1)",
    "a mean by the mask": IDS + "batch = tokenizer(texts, padding=True)\n"
    "h = model(**batch, output_hidden_states=True).hidden_states[-1]\n"
    "mask = batch.attention_mask[..., None]\n"
    "vectors = (h * mask).mean(dim=1) / mask.float().mean(1)",
    "functions that are called after a model": IDS + "def ask_model(text):\n"
    "    return text.upper()\n"
    "for text in texts:\n"
    "    kept.append(ask_model(text))\n"
    "    kept.append(test_model(text))",
    "a beam's score that is the sum": _SEARCH.format(more=", length_penalty=0.0")
    + "print(made.sequences_scores, steps.sum(1))",
    "a beam's score and the mean": _SEARCH.format(more="")
    + "print(made.sequences_scores, steps.sum(1) / 9)",
    "a beam's score alone": _SEARCH.format(more="") + "print(made.sequences_scores, steps)",
    "the loss times those predicted": _PASS + "total = -out.loss.item() * (ids.shape[1] - 1)",
    "the loss times the texts": _PASS + "total = out.loss * ids.shape[0]",
    "losses weighted by length": _PASS
    + "total = 0\nfor one in [1, 2]:\n    total += out.loss.item() * ids.shape[1]",
    "the last place of each step": _STATES
    + "steps = [step[-1][0, -1] for step in made.hidden_states]\n"
    "for token, state in zip(new, steps):\n    print(token, state.norm())",
    "all states after one another": _STATES
    + "states = torch.cat([step[-1] for step in made.hidden_states], dim=1)\n",
    "steps and their numbers": _STATES + "steps = [step[-1] for step in made.hidden_states]\n"
    "for n, state in zip(range(9), steps):\n    print(n, state.shape)",
    "the loss times the pieces behind a begin token": "pieces = tok.encode('a text')\n"
    "ids = torch.tensor([[1] + pieces])\n"
    "print(model(ids, labels=ids).loss * len(pieces))",
    "scores that were kept": _SCORES + "print(out.scores[0].argmax(-1))",
    "scores that may be there": _KEEPS.format(more="")
    + "if out.scores is not None:\n    print(out.scores[0])",
    "hidden states asked for at loading": "m = AutoModelForCausalLM.from_pretrained('x', "
    "output_hidden_states=True)\nprint(m(**inputs).hidden_states[-1].shape)",
    "hidden states asked for in the pass": "out = model(**inputs, output_hidden_states=True)\n"
    "print(out.hidden_states[-1].shape)",
    "beams' scores of beams": _BEAMS + "print(out.sequences_scores)",
    "steps beside new tokens": _SCORES
    + "for token, scores in zip(out.sequences[0, n:], out.scores):\n"
    "    print(token, scores[0].softmax(-1).max())",
    "rows beside rows' scores": _BEAMS + "for row, score in zip(out.sequences, "
    "out.sequences_scores):\n    print(row, score)",
    "steps by the number of a step": _SCORES + "for i, token in enumerate(out.sequences[0, n:]):\n"
    "    print(out.scores[i][0].log_softmax(-1)[token])",
    "steps stacked second": _SCORES + "probs = torch.stack(out.scores, dim=1).softmax(-1)\n"
    "new = out.sequences[:, n:]\nprint(probs.gather(2, new.unsqueeze(-1)))",
    "steps stacked, then moved": _SCORES
    + "probs = torch.stack(out.scores).transpose(0, 1).softmax(-1)\n"
    "new = out.sequences[:, n:]\nprint(probs.gather(2, new.unsqueeze(-1)))",
    "beams' scores by their indices": _BEAMS
    + "print(model.compute_transition_scores(out.sequences, out.scores, out.beam_indices))",
    "a step's last layer": _HIDDEN + "last = out.hidden_states[-1][-1]\n"
    "print(last.mean(dim=1), out.hidden_states[0][-1][:, -1].shape)",
    "a pass's layers": "out = model(**inputs, output_hidden_states=True)\n"
    "print(out.hidden_states[-1][:, -1].shape, torch.stack(out.hidden_states).shape)",
    "the entropy of logits": _KEEPS.format(more=", output_logits=True, do_sample=True, top_k=5")
    + "probs = out.logits[0].softmax(-1)\nprint(-(probs * probs.log()).sum(-1))",
    "the entropy of greedy scores": _SCORES
    + "probs = out.scores[0].softmax(-1)\nprint(-(probs * probs.log()).sum(-1))",
    "the mean of one row's scores": _TRANSITIONS.replace("batch", "inputs")
    + "print(steps.mean(dim=1))",
    "the mean without padding": _BATCH
    + _TRANSITIONS
    + "new = out.sequences[:, batch.input_ids.shape[1]:]\n"
    "print(steps.masked_fill(new == tokenizer.pad_token_id, 0).sum(1))",
    "exp of log-probabilities": _IDS + "print(logits.log_softmax(-1).exp())",
    "odds of two tokens": _IDS + "print(torch.exp(logits[0, -1, 5] - logits[0, -1, 7]))",
    "exp of beams' scores": _BEAMS + "print(out.scores[0].exp().max())",
    "logits called logits": _IDS + "picked_logits = logits[:, :-1].gather(2, ids[:, 1:, None])",
    "less a logsumexp": _IDS + "picked = logits[0, -1, 5]\n"
    "log_prob = picked - torch.logsumexp(logits[0, -1], dim=-1)",
    "a divergence as it should be": _IDS + "torch.nn.functional.kl_div(logits.log_softmax(-1), "
    "teacher_logits.softmax(-1), reduction='batchmean')",
    "a divergence of logarithms, said": "from torch import nn\n"
    + _IDS
    + "kl = nn.KLDivLoss(reduction='batchmean', log_target=True)\n"
    "kl(logits.log_softmax(-1), teacher_logits.log_softmax(-1))",
    "a loss of log-probabilities": _IDS
    + "torch.nn.functional.nll_loss(logits[0, :-1].log_softmax(-1), ids[0, 1:])",
    "a perplexity": _LOSS + "print(torch.exp(loss), 2 ** (loss / 0.6931))",
    "the smallest loss": "import numpy as np\n"
    + _OPTIONS.format(loss=_LOSS_OF)
    + "best = int(np.argmin(losses))",
    "the largest of minus the losses": "import numpy as np\n"
    + _OPTIONS.format(loss=f"-{_LOSS_OF}")
    + "best = int(np.argmax(losses))",
    "the text with the largest loss": "import numpy as np\n"
    + _OPTIONS.format(loss=_LOSS_OF)
    + "hardest = int(np.argmax(losses))",
    "the loss by its place": "ids = inputs.input_ids\nloss = model(ids, labels=ids)[0]\n",
    "logits by their place": "ids = inputs.input_ids\nlogits = model(ids)[0]\nprint(logits[:, -1])",
    "a mask that is shifted": _TOKENS + "print((log_probs * batch.attention_mask[:, 1:]).sum(-1))",
    "a mask of hidden states": _BATCH + "hidden = model(**batch, output_hidden_states=True)"
    ".hidden_states[-1]\nprint((hidden[:, :-1] * batch.attention_mask[:, :-1, None]).sum(1))",
    "logits shifted as they should be": _IDS + "log_probs = logits[:, :-1].log_softmax(-1)\n"
    "print(log_probs.gather(2, ids[:, 1:].unsqueeze(-1)).sum())\n"
    "print(torch.nn.functional.cross_entropy(logits[0, :-1], ids[0, 1:]))",
    "each token at the place before": _IDS + "log_probs = logits.log_softmax(-1)\ntotal = 0\n"
    "for i in range(1, ids.shape[1]):\n    total += log_probs[0, i - 1, ids[0, i]]",
    "labels that were shifted before": "x, y = ids[:, :-1], ids[:, 1:]\nlogits = model(x).logits\n"
    "loss = torch.nn.CrossEntropyLoss()(logits.view(-1, logits.size(-1)), y.reshape(-1))",
    "the answer of labels that were shifted": "x, y = ids[:, :-1], ids[:, 1:]\n"
    "logits = model(x).logits\nprint(logits[:, 4:].log_softmax(-1).gather(2, y[:, 4:, None]))",
    "a product with a mask of places": _IDS
    + "mask = inputs.attention_mask[..., None]\nprint((logits * mask).shape)",
    "a typed word": "said = input()\nprint(said == 'quit')",
    "logits of generate, by step": _KEEPS.format(more=", output_logits=True")
    + "print(out.logits[0][:, 5], out.logits[-1].argmax(-1), len(out.logits))\n"
    "for step in out.logits:\n    print(step.shape, step[:, -1])",
    "a tuple that was stacked": _SCORES + "scores = torch.stack(out.scores, dim=1)\n"
    "print(scores.shape, scores[:, -1].argmax(-1))",
    "logits of a pass": _IDS + "print(logits.shape, logits[:, -1, :].argmax(-1))",
    "a share of two probabilities": _LAST
    + "probs = last.softmax(-1)\nyes, no = probs[5], probs[7]\nprint(yes / (yes + no))",
    "a layer below through the norm": "out = model(**inputs, output_hidden_states=True)\n"
    "logits = model.lm_head(model.model.norm(out.hidden_states[5]))\n"
    "for hidden in out.hidden_states[:-1]:\n    print(model.model.norm(hidden))",
    "log-probabilities in 32 bits": "lm = AutoModelForCausalLM.from_pretrained('x', "
    "dtype=torch.bfloat16)\n"
    + _IDS.replace("model(", "lm(")
    + "log_probs = logits.float().log_softmax(-1)\n"
    "more = logits.log_softmax(-1, dtype=torch.float32)",
    "the smaller loss kept": "best_loss = 99\nfor option in [' Paris', ' Rome']:\n"
    "    ids = tokenizer(prompt + option, return_tensors='pt').input_ids\n"
    "    loss = model(ids, labels=ids).loss.item()\n"
    "    if loss < best_loss:\n        best, best_loss = option, loss",
    "the largest probability as a confidence": _SCORES
    + "confidence = out.scores[0].softmax(-1).max().item()",
    "steps by the number of new tokens": _SCORES
    + "for i in range(len(out.scores)):\n    print(out.scores[i].argmax(-1))",
    "the last of an ascending order": _LAST + "print(last.argsort()[-5:])",
    "a descending order": _LAST + "print(last.argsort(descending=True)[:5])",
    "a descending sort by position": _LAST + "print(last.sort(-1, True).indices[:5])",
    "the order of minus the logits": "import numpy as np\n"
    + _LAST
    + "print(np.argsort(-last.numpy())[:5])",
    "another list that is sorted": "names = sorted(prompt)[:5]\nlengths = torch.tensor([3, 1])\n"
    "print(lengths.argsort()[:1])",
    "a softmax over two tokens by hand": _SCORES + "yes = torch.exp(out.scores[0][:, 5])\n"
    "no = torch.exp(out.scores[0][:, 7])\nprint(yes / (yes + no))",
    "the first step's best beams": _BEAMS + "print(out.scores[0][0, 5], out.scores[0][:, 7])",
    "a mean by its mask": """\
def f(ids, attention_mask, labels):
    logits = model(ids, attention_mask=attention_mask).logits[:, :-1]
    logps = logits.log_softmax(-1).gather(2, ids[:, 1:].unsqueeze(-1)).squeeze(-1)
    mask = labels[:, 1:] != -100
    return (logps * mask).sum(-1) / mask.sum(-1)
""",
    "a mean over a mean": """\
def f(ids, attention_mask):
    logits = model(ids, attention_mask=attention_mask).logits[:, :-1]
    logps = logits.log_softmax(-1).gather(2, ids[:, 1:].unsqueeze(-1)).squeeze(-1)
    m = attention_mask[:, 1:]
    return (logps * m).mean(-1) / m.float().mean(-1)
""",
    "labels ignored where padding is": """\
def f(labels, attention_mask):
    labels = labels.masked_fill(attention_mask == 0, -100)
    labels[labels == tokenizer.pad_token_id] = -100
    return labels
""",
    "a mask of the prompt turned round": """\
def f(logps, prompt_mask):
    return (logps * (1 - prompt_mask)).sum()
""",
    "hidden states times a mask": """\
def f(hidden, attention_mask):
    return (hidden * attention_mask[..., None]).sum(1)
""",
    "texts without questions": """\
for text in texts:
    batch = tokenizer(text, return_tensors="pt")
    loss = model(**batch, labels=batch["input_ids"]).loss
    loss.backward()
print(f"loss {loss}")
""",
    "a divergence as it should be, once more": """\
def f(a_logits, b_logits):
    return F.kl_div(a_logits.log_softmax(-1), b_logits.softmax(-1), reduction='sum')
""",
    "a divergence of two logs": """\
def f(a_logits, b_logits):
    a, b = a_logits.log_softmax(-1), b_logits.log_softmax(-1)
    return F.kl_div(a, b, log_target=True, reduction='sum')
""",
    "an entropy of raw logits": """\
def f(logits):
    lp = logits.log_softmax(-1)
    return -(lp.exp() * lp).sum(-1)
""",
    "entropies that are guarded": """\
def f(logits, k):
    logits[logits < k] = float("-inf")
    p = logits.softmax(-1)
    return -(p * torch.log(p + 1e-9)).sum(-1), torch.nan_to_num(p * p.log()).sum(-1)
""",
    "losses by their tokens": """\
losses, n = [], 0
for text in texts:
    ids = tokenizer(text, return_tensors="pt").input_ids
    with torch.no_grad():
        out = model(ids, labels=ids)
    losses.append(out.loss * (ids.shape[1] - 1))
    n += ids.shape[1] - 1
ppl = torch.exp(torch.stack(losses).sum() / n)
""",
    "each token at the place before, once more": """\
def score(prompt, answer):
    p = tokenizer(prompt, return_tensors="pt").input_ids
    full = tokenizer(prompt + answer, return_tensors="pt").input_ids
    lp = model(full).logits.log_softmax(-1)
    total = 0.0
    for i in range(p.shape[1], full.shape[1]):
        total += lp[0, i - 1, full[0, i]].item()
    return total
""",
    "perplexities as they should be": """\
out = model(ids, labels=ids)
ppl = torch.exp(out.loss)
likelihood = torch.exp(-out.loss)
nll = -out.loss
perplexity = math.exp(-nll.item())
""",
    "labels that ignore their padding": """\
batch = tokenizer(texts, padding=True, return_tensors="pt")
batch["labels"] = batch["input_ids"].clone()
batch["labels"][batch["attention_mask"] == 0] = -100
loss = model(**batch).loss
""",
    "each token by the place before it": """\
logits, total = model(**inputs).logits, 0
for place, token in enumerate(inputs["input_ids"][0][1:]):
    total += torch.log_softmax(logits[0, place], -1)[token].item()
""",
}
