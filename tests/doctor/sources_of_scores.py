"""Scores, likelihoods, processors, allowed tokens and answers for test_static.py."""

_KEEPS = """\
out = model.generate(**inputs, max_new_tokens=9, return_dict_in_generate=True{more})
n = inputs.input_ids.shape[1]
"""
_SCORES = _KEEPS.format(more=", output_scores=True")
_HIDDEN = _KEEPS.format(more=", output_hidden_states=True")
_BEAMS = _KEEPS.format(more=", output_scores=True, num_beams=4")
_DRAWN = _KEEPS.format(more=", output_scores=True, do_sample=True, temperature=0.7, top_k={k}")
_SEVERAL = _KEEPS.format(more=", output_scores=True, do_sample=True, num_return_sequences=3")
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
_BATCH = """\
prompts = ["one", "two three"]
batch = tokenizer(prompts, padding=True, return_tensors="pt")
"""
_TOKENS = (
    _BATCH
    + """\
with torch.no_grad():
    logits = model(**batch).logits[:, :-1]
chosen = batch.input_ids[:, 1:, None]
log_probs = logits.log_softmax(-1).gather(2, chosen).squeeze(-1)
"""
)
_PROCESSOR = """\
class Only(transformers.LogitsProcessor):
    def __init__(self, ids):
        self.ids = ids
    def __call__(self, {takes}):
        {does}
"""
_CRITERION = """\
class Sure(transformers.StoppingCriteria):
    def __call__(self, input_ids, scores, **kwargs):
        {does}
"""
_ALLOWED = """\
choices = [[1], [2], [tokenizer.eos_token_id]]
def allowed({takes}):
    {does}
model.generate(**inputs, max_new_tokens=5, prefix_allowed_tokens_fn={given})
"""
_ANSWER = "asked = f'{prompt}\\nAnswer:'\n"
_LAST = _IDS + "last = logits[0, -1]\n"
_TRANSITIONS = """\
out = model.generate(**batch, max_new_tokens=9, return_dict_in_generate=True, output_scores=True)
steps = model.compute_transition_scores(out.sequences, out.scores, normalize_logits=True)
"""


def _processor(does: str, takes: str = "input_ids, scores") -> str:
    return _PROCESSOR.format(does=does.replace("\n", "\n        "), takes=takes)


def _allowed(does: str, takes: str = "row, ids", given: str = "allowed") -> str:
    return _ALLOWED.format(does=does, takes=takes, given=given)


FAULTY = {
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
    "a cross entropy over the places": (
        "over-the-wrong-axis",
        _IDS + "torch.nn.functional.cross_entropy(logits[:, :-1], ids[:, 1:])",
    ),
    "a softmax of a step over the rows": (
        "over-the-wrong-axis",
        _SCORES + "print(torch.softmax(out.scores[0], dim=0))",
    ),
    "only the first row's scores": (
        "processor-of-one-row",
        _processor("scores[0, self.ids] = -float('inf')\nreturn scores"),
    ),
    "only the first row's last token": (
        "processor-of-one-row",
        _processor("if input_ids[0, -1] == 5:\n    scores[:, self.ids] -= 9\nreturn scores"),
    ),
    "token ids as rows": (
        "processor-picks-rows",
        _processor("scores[self.ids] = -float('inf')\nreturn scores"),
    ),
    "the last row as the last token": (
        "processor-picks-rows",
        _processor("if input_ids[-1] == 5:\n    scores[:, self.ids] -= 9\nreturn scores"),
    ),
    "the last row in a criterion": (
        "processor-picks-rows",
        _CRITERION.format(does="return input_ids[-1] == 5"),
    ),
    "a processor of probabilities": (
        "processor-returns-no-scores",
        _processor("probs = torch.softmax(scores, dim=-1)\nprobs[:, self.ids] = 0\nreturn probs"),
    ),
    "a processor's mask alone": (
        "processor-returns-no-scores",
        _processor(
            "mask = torch.full_like(scores, -float('inf'))\nmask[:, self.ids] = 0\nreturn mask"
        ),
    ),
    "a processor that returns on some ways": (
        "processor-returns-none",
        _processor("if input_ids.shape[1] > 5:\n    scores[:, self.ids] -= 5\n    return scores"),
    ),
    "a processor that zeroes logits": (
        "removed-by-zero",
        _processor("scores[:, self.ids] = 0\nreturn scores"),
    ),
    "a processor that multiplies by its mask": (
        "removed-by-zero",
        _processor("mask = torch.zeros_like(scores)\nmask[:, self.ids] = 1\nreturn scores * mask"),
    ),
    "a processor that forces by infinity": (
        "forced-by-infinity",
        _processor("scores[:, self.ids] = float('inf')\nreturn scores"),
    ),
    "logits at infinity": (
        "forced-by-infinity",
        _IDS + "logits = logits[:, -1]\nlogits[:, 5] = torch.inf\nprint(logits.softmax(-1))",
    ),
    "a processor with its arguments swapped": (
        "processor-not-called",
        _processor("return scores - 1", takes="scores, input_ids"),
    ),
    "a processor of one argument": (
        "processor-not-called",
        _processor("return scores - 1", takes="scores"),
    ),
    "a processor of another method": (
        "processor-not-called",
        _processor("return scores - 1").replace("__call__", "process"),
    ),
    "a criterion that reads scores": (
        "criterion-reads-scores",
        _CRITERION.format(does="return torch.softmax(scores, dim=-1).max(-1).values > 0.9"),
    ),
    "an allowed row read as a batch": (
        "allowed-reads-a-batch",
        _allowed("return choices[2] if ids[0, -1] == 5 else choices[0]"),
    ),
    "an allowed row's second axis": (
        "allowed-reads-a-batch",
        _allowed("return choices[min(ids.shape[1] - 4, 2)]"),
    ),
    "allowed by the number of ids": (
        "allowed-counts-prompt",
        _allowed("step = len(ids)\n    return choices[step] if step < 3 else choices[2]"),
    ),
    "allowed tokens as texts": (
        "allowed-returns-no-ids",
        _allowed("return ['Yes', 'No', tokenizer.eos_token]"),
    ),
    "allowed tokens in lists": (
        "allowed-returns-no-ids",
        _allowed("return tokenizer(['Yes', 'No']).input_ids"),
    ),
    "an allowing function of one argument": (
        "allowed-returns-no-ids",
        _allowed("return choices[0]", takes="ids"),
    ),
    "an allowing function that is called": (
        "allowed-returns-no-ids",
        _allowed("return [1, 2]", given="allowed(0, inputs.input_ids)"),
    ),
    "a bare word after a colon": (
        "answer-without-its-space",
        _ANSWER + "yes = tokenizer.convert_tokens_to_ids('Yes')",
    ),
    "bare letters after a colon": (
        "answer-without-its-space",
        _ANSWER + "ids = [tokenizer.encode(c, add_special_tokens=False)[0] for c in 'ABCD']",
    ),
    "a chosen token compared": (
        "compared-with-its-space",
        _LAST + "said = tokenizer.decode(last.argmax())\nprint(said == 'Paris')",
    ),
    "a new text compared with letters": (
        "answer-compared-whole",
        "out = model.generate(**inputs, max_new_tokens=1)\n"
        "said = tokenizer.decode(out[0, inputs.input_ids.shape[1]:])\n"
        "if said in ['A', 'B']:\n    print(said)",
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
    "a list of one processor": (
        "list-of-no-list",
        _processor("return scores") + "transformers.LogitsProcessorList(Only([5]))",
    ),
    "a list of one criterion": (
        "list-of-no-list",
        "end = transformers.EosTokenCriteria(2)\ntransformers.StoppingCriteriaList(end)",
    ),
    "a minimum that counts the prompt": (
        "processor-counts-prompt",
        _processor("if input_ids.shape[1] < 20:\n    scores[:, 2] -= 9\nreturn scores"),
    ),
    "a limit that counts the prompt": (
        "processor-counts-prompt",
        _CRITERION.format(
            does="length = input_ids.shape[-1]\n        return length > self.max_new_tokens"
        ),
    ),
    "a word looked for in the whole row": (
        "found-in-the-prompt",
        "out = model.generate(**inputs)\ntext = tokenizer.decode(out[0]).lower()\n"
        "hit = 'blue' in text",
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
    "a copy that is changed": (
        "processor-changes-a-copy",
        _processor("new = scores.clone()\nnew[:, self.ids] = -9\nreturn scores"),
    ),
    "a processor's softmax over the rows": (
        "over-the-wrong-axis",
        _processor("return torch.log(torch.softmax(scores, dim=0))"),
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
    "a method that looks up the whole row": (
        "allowed-counts-prompt",
        "class Allowed:\n    def ask(self, row, ids):\n"
        "        return self.trie.get(tuple(ids.tolist()), [0])\n"
        "rule = Allowed()\n"
        "model.generate(**inputs, max_new_tokens=5, prefix_allowed_tokens_fn=rule.ask)",
    ),
    "a label looked up by a new text": (
        "compared-with-its-space",
        _LAST + "numbers = {'Yes': 1, 'No': 0}\nsaid = tokenizer.decode(last.argmax())\n"
        "number = numbers[said]",
    ),
    "one of three samples": (
        "rows-left-unread",
        "out = model.generate(**inputs, do_sample=True, num_return_sequences=3)\n"
        "print(tokenizer.decode(out[0]))",
    ),
    "one of four beams": (
        "rows-left-unread",
        "out = model.generate(**inputs, num_beams=4, num_return_sequences=4)[0]",
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
    "a trie asked for the whole row": (
        "allowed-counts-prompt",
        "model.generate(**inputs, max_new_tokens=5,\n"
        "    prefix_allowed_tokens_fn=lambda row, ids: trie.get(ids.tolist()))",
    ),
}

SOUND = {
    "scores that were kept": _SCORES + "print(out.scores[0].argmax(-1))",
    "scores that may be there": _KEEPS.format(more="")
    + "if out.scores is not None:\n    print(out.scores[0])",
    "hidden states asked for at loading": "m = AutoModelForCausalLM.from_pretrained('x', "
    "output_hidden_states=True)\nprint(m(**inputs).hidden_states[-1].shape)",
    "hidden states asked for in the pass": "out = model(**inputs, output_hidden_states=True)\n"
    "print(out.hidden_states[-1].shape)",
    "hidden states of one's own model": "class Model(torch.nn.Module):\n"
    "    def forward(self, ids):\n        return self.inner(ids)\n"
    "print(model(ids).hidden_states[0])",
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
    "a softmax by hand": _IDS + "last = logits[:, -1]\n"
    "parts = torch.exp(last)\nprint(parts / parts.sum(-1, keepdim=True))",
    "odds of two tokens": _IDS + "print(torch.exp(logits[0, -1, 5] - logits[0, -1, 7]))",
    "exp of beams' scores": _BEAMS + "print(out.scores[0].exp().max())",
    "logits called logits": _IDS + "picked_logits = logits[:, :-1].gather(2, ids[:, 1:, None])",
    "probabilities of picked logits": _IDS + "probs = logits[0, -1, [5, 7]]\n"
    "probs = torch.softmax(probs, dim=-1)",
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
    "a cross entropy with classes second": _IDS + "torch.nn.functional.cross_entropy("
    "logits[:, :-1].transpose(1, 2), ids[:, 1:])",
    "a processor that goes through rows": _processor(
        "for row, ids in enumerate(input_ids):\n    if ids[-1] == 5:\n"
        "        scores[row, self.ids] = -float('inf')\nreturn scores"
    ),
    "a processor of all rows": _processor(
        "scores[:, self.ids] = -float('inf')\nscores[scores < -9] = -float('inf')\n"
        "last = input_ids[:, -1]\nreturn scores"
    ),
    "a processor with a mask of rows and tokens": _processor(
        "mask = torch.isin(torch.arange(scores.shape[1]), self.ids)[None]\n"
        "banned_mask = mask.expand_as(scores)\nscores[banned_mask] = -9\nreturn scores"
    ),
    "a row's last token": _processor(
        "for row in range(len(input_ids)):\n    print(input_ids[row][-1])\nreturn scores"
    ),
    "a processor that adds its mask": _processor(
        "mask = torch.full_like(scores, -float('inf'))\nmask[:, self.ids] = 0\nreturn scores + mask"
    ),
    "a processor that keeps some scores": _processor(
        "kept = torch.full_like(scores, -float('inf'))\n"
        "kept[:, self.ids] = scores[:, self.ids]\nreturn kept"
    ),
    "a processor that forces one token": _processor(
        "forced = torch.full_like(scores, -float('inf'))\nforced[:, self.first] = 0\nreturn forced"
    ),
    "a processor of log-probabilities": _processor(
        "return torch.log(torch.softmax(scores, dim=-1) + 1e-9)"
    ),
    "a processor that returns on each way": _processor(
        "if input_ids.shape[1] > 5:\n    return scores - 1\nelse:\n    return scores"
    ),
    "a processor that returns in a try": _processor(
        "try:\n    return scores - 1\nexcept ValueError:\n    return scores"
    ),
    "a processor with more arguments": _processor(
        "return scores", takes="input_ids, scores, cur_len=None"
    ),
    "a base of processors": "class Base(transformers.LogitsProcessor):\n"
    "    def rule(self, ids):\n        return ids\n"
    "class Mine(Base):\n    def __call__(self, input_ids, scores):\n        return scores",
    "a product with a mask of places": _IDS
    + "mask = inputs.attention_mask[..., None]\nprint((logits * mask).shape)",
    "a criterion that asks for scores": _CRITERION.format(
        does="return scores[-1].max(-1).values > 9"
    )
    + "model.generate(**inputs, output_scores=True, return_dict_in_generate=True, "
    "stopping_criteria=[Sure()])",
    "a criterion without scores": _CRITERION.format(does="return input_ids[:, -1] == 5"),
    "allowed by a row's last token": _allowed("return choices[2] if ids[-1] == 5 else choices[0]"),
    "allowed by the number of new ids": _allowed(
        "step = len(ids) - 6\n    return choices[min(step, 2)]"
    ),
    "allowed after the prompt": _allowed(
        "done = ids.tolist()[6:]\n    return choices[min(len(done), 2)]"
    ),
    "a maker of allowing functions": "def make(ids):\n    def allowed(row, sent):\n"
    "        return ids\n    return allowed\n"
    "model.generate(**inputs, max_new_tokens=5, prefix_allowed_tokens_fn=make([1, 2]))",
    "an allowing function with a default": _allowed(
        "return choices[0]", takes="row, ids, more=None"
    ),
    "a word with its space": _ANSWER
    + "(yes,) = tokenizer(' Yes', add_special_tokens=False).input_ids",
    "a bare word after a space": "asked = 'Answer: '\nyes = tokenizer.convert_tokens_to_ids('Yes')",
    "a bare word in a chat": "asked = 'Answer:'\n"
    "text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)\n"
    "yes = tokenizer.convert_tokens_to_ids('Yes')",
    "a special token after a colon": _ANSWER
    + "end = tokenizer.convert_tokens_to_ids('<|im_end|>')",
    "a chosen token stripped": _LAST
    + "said = tokenizer.decode(last.argmax()).strip()\nprint(said == 'Paris')",
    "a chosen token with its space": _LAST
    + "said = tokenizer.decode(last.argmax())\nprint(said == ' Paris')",
    "a typed word": "said = input()\nprint(said == 'quit')",
    "logits of generate, by step": _KEEPS.format(more=", output_logits=True")
    + "print(out.logits[0][:, 5], out.logits[-1].argmax(-1), len(out.logits))\n"
    "for step in out.logits:\n    print(step.shape, step[:, -1])",
    "a tuple that was stacked": _SCORES + "scores = torch.stack(out.scores, dim=1)\n"
    "print(scores.shape, scores[:, -1].argmax(-1))",
    "logits of a pass": _IDS + "print(logits.shape, logits[:, -1, :].argmax(-1))",
    "a share of two probabilities": _LAST
    + "probs = last.softmax(-1)\nyes, no = probs[5], probs[7]\nprint(yes / (yes + no))",
    "lists of processors": _processor("return scores")
    + "both = [Only([5])]\ntransformers.LogitsProcessorList(both)\n"
    "transformers.LogitsProcessorList([Only([5])])\ntransformers.StoppingCriteriaList()",
    "a minimum of new tokens": _processor(
        "new = input_ids.shape[1] - self.prompt_length\nif new < 20:\n    scores[:, 2] -= 9\n"
        "return scores"
    ),
    "a row too short to look at": _processor(
        "if input_ids.shape[1] < 3:\n    return scores\nreturn scores - 1"
    ),
    "an answer looked for in the new text": "import re\nout = model.generate(**inputs)\n"
    "text = tokenizer.decode(out[0, inputs.input_ids.shape[1]:])\n"
    "match = re.search(r'color: (\\w+)', text)",
    "the prompt looked for in the whole row": "out = model.generate(**inputs)\n"
    "text = tokenizer.decode(out[0])\nassert prompt in text\nended = stop_word in text",
    "the last match in the whole row": "import re\nout = model.generate(**inputs)\n"
    "text = tokenizer.decode(out[0])\nlast = re.findall(r'color: (\\w+)', text)[-1]\n"
    "whole = tokenizer.eos_token in text",
    "a layer below through the norm": "out = model(**inputs, output_hidden_states=True)\n"
    "logits = model.lm_head(model.model.norm(out.hidden_states[5]))\n"
    "for hidden in out.hidden_states[:-1]:\n    print(model.model.norm(hidden))",
    "log-probabilities in 32 bits": "lm = AutoModelForCausalLM.from_pretrained('x', "
    "dtype=torch.bfloat16)\n"
    + _IDS.replace("model(", "lm(")
    + "log_probs = logits.float().log_softmax(-1)\n"
    "more = logits.log_softmax(-1, dtype=torch.float32)",
    "a copy that is returned": _processor(
        "new = scores.clone()\nnew[:, self.ids] = -9\nreturn new"
    ),
    "a copy that is kept": _processor(
        "self.seen = scores.clone()\nbefore = scores.clone()\nscores[:, self.ids] -= 9\n"
        "self.moved = scores - before\nreturn scores"
    ),
    "the smaller loss kept": "best_loss = 99\nfor option in [' Paris', ' Rome']:\n"
    "    ids = tokenizer(prompt + option, return_tensors='pt').input_ids\n"
    "    loss = model(ids, labels=ids).loss.item()\n"
    "    if loss < best_loss:\n        best, best_loss = option, loss",
    "the largest probability as a confidence": _SCORES
    + "confidence = out.scores[0].softmax(-1).max().item()",
    "steps by the number of new tokens": _SCORES
    + "for i in range(len(out.scores)):\n    print(out.scores[i].argmax(-1))",
    "a stripped text and the right answer": "out = model.generate(**inputs, max_new_tokens=5)\n"
    "said = tokenizer.decode(out[0, inputs.input_ids.shape[1]:]).strip()\n"
    "right = said == row['answer']",
    "all of three samples": "out = model.generate(**inputs, do_sample=True, "
    "num_return_sequences=3)\nprint(tokenizer.batch_decode(out))",
    "each of three samples": "out = model.generate(**inputs, do_sample=True, "
    "num_return_sequences=3)\nprint(out[0])\nfor row in out:\n    print(row)",
    "the number of samples and the first": "out = model.generate(**inputs, do_sample=True, "
    "num_return_sequences=3)\nprint(out.shape, out[0], out[1])",
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
    "a trie asked for the new ids": "n = inputs.input_ids.shape[1]\n"
    "model.generate(**inputs, max_new_tokens=5,\n"
    "    prefix_allowed_tokens_fn=lambda row, ids: trie.get(ids[n:].tolist()))",
    "a processor of another engine": "from vllm.v1.sample.logits_processor import LogitsProcessor\n"
    "class Mine(LogitsProcessor):\n    def apply(self, logits):\n        return logits",
    "a base of one's own": "class LogitsProcessor:\n    def __call__(self, ids, logits):\n"
    "        raise NotImplementedError\n"
    "class Mine(LogitsProcessor):\n    def __call__(self, ids, logits):\n        logits[0] = 1",
}
