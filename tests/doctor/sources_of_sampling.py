"""Tokens chosen by hand, for test_static.py: faulty lines and sound ones."""

IDS = "ids = inputs.input_ids\n"
_FILTER = """\
def top_p(logits, p):
    ordered, where = torch.sort(logits, descending=True)
    drop = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1) > p
    {then}
"""
_IDS = "ids = inputs.input_ids\nwith torch.no_grad():\n    logits = model(ids).logits\n"
_KEEPS = """\
out = model.generate(**inputs, max_new_tokens=9, return_dict_in_generate=True{more})
n = inputs.input_ids.shape[1]
"""
_SCORES = _KEEPS.format(more=", output_scores=True")
_PROCESSOR = """\
class Only(transformers.LogitsProcessor):
    def __init__(self, ids):
        self.ids = ids
    def __call__(self, {takes}):
        {does}
"""


def _processor(does: str, takes: str = "input_ids, scores") -> str:
    return _PROCESSOR.format(does=does.replace("\n", "\n        "), takes=takes)


_TOP_K = """\
def top_k(x, k):
    best, _ = torch.topk(x, k)
    out = x.clone()
    out[out < best[:, [-1]]] = {value}
    return out
chances = {then}
"""
_BEAMS = """\
beams = [(0.0, inputs.input_ids)]
for _ in range(5):
    found = []
    for score, ids in beams:
        steps = model(ids).logits[0, -1].log_softmax(-1)
        found += [(score + p.item(), torch.cat([ids, t.view(1, 1)], 1)) for p, t in best(steps)]
    beams = sorted(found, key=lambda beam: beam[0], reverse=True)[:3]
{then}
"""
_PENALTY = """\
class Frequency(transformers.LogitsProcessor):
    def __init__(self, penalty):
        self.penalty = penalty
    def __call__(self, input_ids, scores):
        {does}
"""
_MIN_P = """\
def drop(logits, floor):
    {does}
    return logits
logits = model(inputs.input_ids).logits[:, -1]
{then}
"""

# What is wrong, in a line or a few: the code, by what somebody wrote.
FAULTY = {
    "chances over the batch": (
        "over-the-wrong-axis",
        IDS + "p = model(ids).logits[:, -1].softmax(0)",
    ),
    "chances over the places": (
        "over-the-wrong-axis",
        IDS + "logits = model(ids).logits\np = torch.softmax(logits, dim=1)",
    ),
    "one argmax of all places": (
        "over-the-wrong-axis",
        IDS + "logits = model(ids).logits\nt = logits.argmax()",
    ),
    "an argmax over the batch": (
        "over-the-wrong-axis",
        IDS + "out = model(**inputs)\n"
        "logits = out.logits[:, -1, :]\n"
        "t = torch.argmax(logits, dim=0)",
    ),
    "a draw by logits": (
        "draw-from-logits",
        IDS + "logits = model(ids).logits[:, -1] / 0.7\nt = torch.multinomial(logits, 1)",
    ),
    "a draw by log-chances": (
        "draw-from-logits",
        IDS + "lp = F.log_softmax(model(ids).logits[:, -1], -1)\nt = torch.multinomial(lp, 1)",
    ),
    "a softmax of a softmax": (
        "softmax-twice",
        IDS + "p = F.softmax(model(ids).logits[:, -1], -1)\nq = F.softmax(p, dim=-1)",
    ),
    "a temperature that multiplies": (
        "temperature-misapplied",
        IDS + "temperature=.7\n"
        "logits = model(ids).logits[:, -1] * temperature\n"
        "t=torch.multinomial(logits.softmax(-1),1)",
    ),
    "a temperature after the softmax": (
        "temperature-misapplied",
        IDS + "temperature=.7\n"
        "p = model(ids).logits[:, -1].softmax(-1) / temperature\n"
        "t=torch.multinomial(p,1)",
    ),
    "a temperature before an argmax": (
        "temperature-misapplied",
        IDS + "def f(logits, temperature):\n"
        "    logits = logits / temperature\n"
        "    probs = F.softmax(logits, dim=-1)\n"
        "    return torch.argmax(probs, dim=-1)",
    ),
    "a place among the top k": (
        "place-taken-for-id",
        IDS + "logits = model(ids).logits[:, -1]\n"
        "v, i = torch.topk(logits, 50)\n"
        "p = F.softmax(v, -1)\n"
        "t = torch.multinomial(p, 1)\n"
        "ids = torch.cat([ids, t], 1)",
    ),
    "a nucleus that is looked for with argmax, and top-p 1": (
        "top-p-misbuilt",
        IDS + "def draw(probs, top_p=0.9):\n"
        "    ordered = np.sort(probs)[::-1]\n    sums = np.cumsum(ordered)\n"
        "    cutoff = float(ordered[np.argmax(sums > top_p)])\n"
        "    probs[probs < cutoff] = 0\n    return np.random.choice(len(probs), p=probs)\n"
        "draw(model(ids).logits[0, -1].softmax(-1).numpy(), top_p=1.0)",
    ),
    "a nucleus from the smallest on": (
        "top-p-misbuilt",
        IDS + "def f(logits, top_p):\n"
        "    s, i = torch.sort(logits)\n"
        "    c = torch.cumsum(F.softmax(s, dim=-1), dim=-1)\n"
        "    r = c > top_p\n"
        "    r[..., 1:] = r[..., :-1].clone()\n"
        "    r[..., 0] = 0\n"
        "    m = r.scatter(1, i, r)\n"
        "    logits[m] = -float('inf')\n"
        "    return logits",
    ),
    "a nucleus in the sorted order": (
        "top-p-misbuilt",
        IDS + "def f(logits, top_p):\n"
        "    s, i = torch.sort(logits, descending=True)\n"
        "    c = torch.cumsum(F.softmax(s, dim=-1), dim=-1)\n"
        "    r = c > top_p\n"
        "    r[..., 1:] = r[..., :-1].clone()\n"
        "    r[..., 0] = 0\n"
        "    logits[r] = -float('inf')\n"
        "    return logits",
    ),
    "a nucleus without its last token": (
        "top-p-misbuilt",
        IDS + "def f(logits, top_p):\n"
        "    s, i = torch.sort(logits, descending=True)\n"
        "    c = torch.cumsum(F.softmax(s, dim=-1), dim=-1)\n"
        "    s[c > top_p] = -float('inf')\n"
        "    return s.softmax(-1), i",
    ),
    "the top k removed": (
        "top-k-misbuilt",
        IDS + "def f(logits, k):\n"
        "    v, _ = torch.topk(logits, k)\n"
        "    logits[logits > v[:, [-1]]] = -float('Inf')\n"
        "    return logits",
    ),
    "a logit of 0": (
        "removed-by-zero",
        IDS + "logits = model(ids).logits[:, -1]\nlogits[:, 5] = 0\np=logits.softmax(-1)",
    ),
    "a penalty that divides all logits": (
        "penalty-divides-negative",
        IDS + "logits = model(ids).logits[0, -1]\n"
        "for t in set(ids[0].tolist()):\n"
        "    logits[t] /= repetition_penalty",
    ),
    "a temperature called T after the softmax": (
        "temperature-misapplied",
        IDS + "T = 0.7\n"
        "probs = F.softmax(model(ids).logits[0, -1], dim=-1)\n"
        "probs = probs / T\n"
        "probs = probs / probs.sum()\n"
        "next_id = torch.multinomial(probs, 1)",
    ),
    "a temperature before the largest chance": (
        "temperature-misapplied",
        IDS + "temperature = 1.5\n"
        "logits = model(ids).logits[:, -1, :] / temperature\n"
        "probs = logits.softmax(-1)\n"
        "value, token = probs.max(dim=-1)",
    ),
    "a temperature before a top-k of 1": (
        "temperature-misapplied",
        IDS + "temperature = 1.5\n"
        "logits = model(ids).logits[:, -1, :] / temperature\n"
        "token = logits.softmax(-1).topk(1).indices",
    ),
    "a draw of numpy by logits": (
        "draw-from-logits",
        IDS + "import numpy as np\n"
        "logits = model(ids).logits[0, -1].detach().numpy()\n"
        "t = np.random.choice(len(logits), p=logits)",
    ),
    "a draw of Python by logits": (
        "draw-from-logits",
        IDS + "import random\n"
        "logits = model(ids).logits[0, -1].tolist()\n"
        "t = random.choices(range(len(logits)), weights=logits)[0]",
    ),
    "a place among the top values, by item": (
        "place-taken-for-id",
        IDS + "import numpy as np\n"
        "logits = model(ids).logits[0, -1]\n"
        "probs = logits.softmax(-1)\n"
        "top = torch.topk(probs, 5)\n"
        "choice = torch.multinomial(top.values, 1).item()\n"
        "ids = torch.cat([ids, torch.tensor([[choice]])], dim=1)",
    ),
    "what is kept of a nucleus from the smallest on": (
        "top-p-misbuilt",
        IDS + "probs = model(ids).logits[0, -1].softmax(-1)\n"
        "sorted_p, idx = torch.sort(probs)\n"
        "cum = torch.cumsum(sorted_p, 0)\n"
        "keep = cum <= 0.9",
    ),
    "what is kept without the last token": (
        "top-p-misbuilt",
        IDS + "def nucleus(probs, p):\n"
        "    sorted_p, idx = torch.sort(probs, descending=True)\n"
        "    cum = torch.cumsum(sorted_p, dim=-1)\n"
        "    keep = cum <= p\n"
        "    sorted_p[~keep] = 0\n"
        "    return idx[torch.multinomial(sorted_p / sorted_p.sum(), 1)]",
    ),
    "ids that are kept without the last one": (
        "top-p-misbuilt",
        IDS + "def nucleus(probs, p):\n"
        "    sorted_p, idx = torch.sort(probs, descending=True)\n"
        "    cum = torch.cumsum(sorted_p, dim=-1)\n"
        "    cand = idx[cum <= p]\n"
        "    return cand[torch.multinomial(probs[cand], 1)]",
    ),
    "a penalty on all that was written": (
        "penalty-divides-negative",
        IDS + "rep_pen = 1.3\nlogits = model(ids).logits[:, -1]\nlogits[0, ids[0]] /= rep_pen",
    ),
    "a penalty that is a number": (
        "penalty-divides-negative",
        IDS + "logits = model(ids).logits[0, -1]\nfor t in ids[0].tolist():\n    logits[t] /= 1.2",
    ),
    "a draw among sorted chances, returned": (
        "place-taken-for-id",
        IDS + "def pick(chances):\n"
        "    ranked, order = torch.sort(chances, descending=True)\n"
        "    return torch.multinomial(ranked, 1)",
    ),
    "a softmax without its axis": ("over-the-wrong-axis", IDS + "F.softmax(model(ids).logits)"),
    "the top k of the places": ("over-the-wrong-axis", IDS + "model(ids).logits.topk(5, dim=1)"),
    "a nucleus left sorted": (
        "filter-left-sorted",
        _FILTER.format(then="ordered[drop] = float('-inf')\n    return ordered.softmax(-1)"),
    ),
    "a nucleus left sorted, masked by a call": (
        "filter-left-sorted",
        "def pick(logits, p):\n"
        "    ordered = torch.sort(logits, descending=True).values\n"
        "    ordered = ordered.masked_fill(ordered < ordered[:, 40:41], float('-inf'))\n"
        "    return torch.multinomial(ordered.softmax(-1), 1)",
    ),
    "a cross entropy over the places": (
        "over-the-wrong-axis",
        _IDS + "torch.nn.functional.cross_entropy(logits[:, :-1], ids[:, 1:])",
    ),
    "a softmax of a step over the rows": (
        "over-the-wrong-axis",
        _SCORES + "print(torch.softmax(out.scores[0], dim=0))",
    ),
    "a processor that zeroes logits": (
        "removed-by-zero",
        _processor("scores[:, self.ids] = 0\nreturn scores"),
    ),
    "a processor that multiplies by its mask": (
        "removed-by-zero",
        _processor("mask = torch.zeros_like(scores)\nmask[:, self.ids] = 1\nreturn scores * mask"),
    ),
    "a processor's softmax over the rows": (
        "over-the-wrong-axis",
        _processor("return torch.log(torch.softmax(scores, dim=0))"),
    ),
    "a nucleus multiplied without its last": (
        "top-p-misbuilt",
        """\
def top_p(logits, p):
    probs = F.softmax(logits, dim=-1)
    sp, si = torch.sort(probs, descending=True, dim=-1)
    cum = torch.cumsum(sp, dim=-1)
    keep = cum <= p
    sp = sp * keep
    sp = sp / sp.sum(-1, keepdim=True)
    return si.gather(-1, torch.multinomial(sp, 1))
""",
    ),
    "a nucleus of logits": (
        "top-p-misbuilt",
        """\
def top_p(logits, p):
    sl, si = torch.sort(logits, descending=True)
    cum = torch.cumsum(sl, dim=-1)
    remove = cum > p
    remove[..., 1:] = remove[..., :-1].clone()
    remove[..., 0] = 0
    logits[si[remove]] = -float("inf")
    return logits
""",
    ),
    "a nucleus of numpy from the smallest on": (
        "top-p-misbuilt",
        """\
import numpy as np
def top_p(probs, p):
    order = np.argsort(probs)
    cum = np.cumsum(probs[order])
    cutoff = np.searchsorted(cum, p)
    keep = order[:cutoff]
    return keep
""",
    ),
    "a threshold at the likeliest": (
        "top-k-misbuilt",
        """\
def top_k(logits, k):
    v, _ = torch.topk(logits, k)
    logits[logits < v[:, [0]]] = -float("inf")
    return logits
""",
    ),
    "the top k removed by where": (
        "top-k-misbuilt",
        """\
def top_k(logits, k):
    v, _ = torch.topk(logits, k)
    return torch.where(logits >= v[:, -1:], torch.full_like(logits, float("-inf")), logits)
""",
    ),
    "the top k scattered into zeros": (
        "removed-by-zero",
        """\
def top_k(logits, k):
    v, i = torch.topk(logits, k)
    filtered = torch.zeros_like(logits).scatter(-1, i, v)
    return F.softmax(filtered, dim=-1)
""",
    ),
    "zeros where a mask is not": (
        "removed-by-zero",
        """\
def top_k(logits, mask):
    filtered = torch.where(mask, logits, torch.tensor(0.0))
    return F.softmax(filtered, dim=-1)
""",
    ),
    "logits times a mask": (
        "removed-by-zero",
        """\
def ban(logits, mask):
    logits = logits * mask
    return F.softmax(logits, dim=-1)
""",
    ),
    "a ratio upside down": (
        "speculation-misbuilt",
        """\
def speculate(target_model, draft_model, ids, k):
    for _ in range(k):
        q = draft_model(ids).logits[:, -1].softmax(-1)
        tok = torch.multinomial(q, 1)
        p = target_model(ids).logits[:, -1].softmax(-1)
        if torch.rand(1) < q[0, tok] / p[0, tok]:
            ids = torch.cat([ids, tok], 1)
        else:
            r = (p - q).clamp(min=0)
            ids = torch.cat([ids, torch.multinomial(r / r.sum(), 1)], 1)
    return ids
""",
    ),
    "a residual below zero": (
        "speculation-misbuilt",
        """\
def speculate(target_model, draft_model, ids, k):
    for _ in range(k):
        q = draft_model(ids).logits[:, -1].softmax(-1)
        tok = torch.multinomial(q, 1)
        p = target_model(ids).logits[:, -1].softmax(-1)
        if torch.rand(1) < torch.clamp(p[0, tok] / q[0, tok], max=1):
            ids = torch.cat([ids, tok], 1)
        else:
            r = p - q
            r = r / r.sum()
            ids = torch.cat([ids, torch.multinomial(r, 1)], 1)
    return ids
""",
    ),
    "no residual after a rejection": (
        "speculation-misbuilt",
        """\
def speculate(target_model, draft_model, ids, k):
    for _ in range(k):
        q = draft_model(ids).logits[:, -1].softmax(-1)
        tok = torch.multinomial(q, 1)
        p = target_model(ids).logits[:, -1].softmax(-1)
        ratio = p[0, tok] / q[0, tok]
        if torch.rand(1).item() < min(1, ratio.item()):
            ids = torch.cat([ids, tok], 1)
        else:
            ids = torch.cat([ids, torch.multinomial(p, 1)], 1)
    return ids
""",
    ),
    "a ratio upside down, by names alone": (
        "speculation-misbuilt",
        """\
def verify(draft_probs, target_probs, token):
    accept = min(1.0, draft_probs[token] / target_probs[token])
    if random.random() < accept:
        return token
    residual = torch.relu(target_probs - draft_probs)
    return torch.multinomial(residual / residual.sum(), 1)
""",
    ),
    "guidance away from the prompt": (
        "guidance-misbuilt",
        """\
def guided(model, ids, neg_ids, scale):
    cond_logits = model(ids).logits[:, -1]
    uncond_logits = model(neg_ids).logits[:, -1]
    logits = cond_logits + scale * (uncond_logits - cond_logits)
    return logits.argmax(-1)
""",
    ),
    "guidance away from the prompt, taken away": (
        "guidance-misbuilt",
        """\
def guided(model, ids, neg_ids, scale):
    cond_logits = model(ids).logits[:, -1]
    uncond_logits = model(neg_ids).logits[:, -1]
    c, u = cond_logits.log_softmax(-1), uncond_logits.log_softmax(-1)
    out = uncond_logits - scale * (cond_logits - uncond_logits)
    return torch.multinomial(out.softmax(-1), 1)
""",
    ),
    "the expert taken away from the amateur": (
        "guidance-misbuilt",
        """\
def cd(expert, amateur, ids, beta=0.5):
    expert_logits = expert_model(ids).logits[:, -1].log_softmax(-1)
    amateur_logits = amateur_model(ids).logits[:, -1].log_softmax(-1)
    scores = amateur_logits - beta * expert_logits
    return scores.argmax(-1)
""",
    ),
    "a contrast of probabilities": (
        "guidance-misbuilt",
        """\
def cd(ids, beta=0.5):
    expert_p = expert_model(ids).logits[:, -1].softmax(-1)
    amateur_p = amateur_model(ids).logits[:, -1].softmax(-1)
    scores = expert_p - beta * amateur_p
    return scores.argmax(-1)
""",
    ),
    "beams that add probabilities": (
        "beam-scores-misbuilt",
        """\
def beam_search(model, ids, k, n):
    beams = [(ids, 0.0)]
    for _ in range(n):
        candidates = []
        for seq, score in beams:
            logits = model(seq).logits[0, -1]
            pr = F.softmax(logits, dim=-1)
            top, idx = pr.topk(k)
            for v, i in zip(top, idx):
                candidates.append((torch.cat([seq, i.view(1, 1)], 1), score + v.item()))
        beams = sorted(candidates, key=lambda x: x[1], reverse=True)[:k]
    return beams[0][0]
""",
    ),
    "beams that multiply log-probabilities": (
        "beam-scores-misbuilt",
        """\
def beam_search(model, ids, k, n):
    beams = [(ids, 0.0)]
    for _ in range(n):
        candidates = []
        for seq, score in beams:
            logits = model(seq).logits[0, -1]
            lp = logits.log_softmax(-1)
            top, idx = lp.topk(k)
            for v, i in zip(top, idx):
                candidates.append((torch.cat([seq, i.view(1, 1)], 1), score * v.item()))
        beams = sorted(candidates, key=lambda x: x[1], reverse=True)[:k]
    return beams[0][0]
""",
    ),
    "beams that add logits": (
        "beam-scores-misbuilt",
        """\
def beam_search(model, ids, k, n):
    beams = [(ids, 0.0)]
    for _ in range(n):
        candidates = []
        for seq, score in beams:
            logits = model(seq).logits[0, -1]
            pass
            top, idx = logits.topk(k)
            for v, i in zip(top, idx):
                candidates.append((torch.cat([seq, i.view(1, 1)], 1), score + v.item()))
        beams = sorted(candidates, key=lambda x: x[1], reverse=True)[:k]
    return beams[0][0]
""",
    ),
    "the worst beams kept": (
        "beam-scores-misbuilt",
        """\
def beam_search(model, ids, k, n):
    beams = [(ids, 0.0)]
    for _ in range(n):
        candidates = []
        for seq, score in beams:
            logits = model(seq).logits[0, -1]
            lp = logits.log_softmax(-1)
            top, idx = lp.topk(k)
            for v, i in zip(top, idx):
                candidates.append((torch.cat([seq, i.view(1, 1)], 1), score + v.item()))
        beams = sorted(candidates, key=lambda x: x[1])[:k]
    return beams[0][0]
""",
    ),
    "the worst beams kept, sorted in place": (
        "beam-scores-misbuilt",
        """\
def beam_search(model, ids, k, n):
    beams = [(ids, 0.0)]
    for _ in range(n):
        candidates = []
        for seq, score in beams:
            logits = model(seq).logits[0, -1]
            lp = logits.log_softmax(-1)
            top, idx = lp.topk(k)
            for v, i in zip(top, idx):
                candidates.append((torch.cat([seq, i.view(1, 1)], 1), score + v.item()))
        candidates.sort(key=lambda x: x[1]); beams = candidates[:k]
    return beams[0][0]
""",
    ),
    "a tensor of beams that adds probabilities": (
        "beam-scores-misbuilt",
        """\
def beam(model, ids, num_beams):
    beam_scores = torch.zeros(num_beams)
    for _ in range(5):
        probs = model(ids).logits[:, -1].softmax(-1)
        total = beam_scores[:, None] + probs
        beam_scores, best = total.flatten().topk(num_beams)
        ids = ids[best // probs.shape[1]]
    return ids
""",
    ),
    "numpy draws from the top k": (
        "draw-not-renormalized",
        """\
import numpy as np
probs = model(ids).logits[0, -1].softmax(-1)
top, idx = probs.topk(5)
t = np.random.choice(idx.numpy(), p=top.numpy())
""",
    ),
    "numpy draws from a slice": (
        "draw-not-renormalized",
        """\
import numpy as np
def f(logits, k):
    p = F.softmax(logits, dim=-1)
    sp, si = torch.sort(p, descending=True)
    sp = sp[:k].numpy()
    return si[np.random.choice(k, p=sp)]
""",
    ),
    "a temperature in each turn": (
        "temperature-misapplied",
        """\
logits = model(ids).logits[:, -1]
for _ in range(5):
    logits = logits / temperature
    tokens.append(torch.multinomial(logits.softmax(-1), 1))
""",
    ),
    "a temperature of zero by a call": (
        "temperature-misapplied",
        """\
def sample(logits, temperature=1.0):
    logits = logits / temperature
    return torch.multinomial(logits.softmax(-1), 1)
sample(model(ids).logits[:, -1], temperature=0)
""",
    ),
    "a temperature of zero": (
        "temperature-misapplied",
        """\
temperature = 0.0
logits = model(ids).logits[:, -1] / temperature
token = torch.multinomial(logits.softmax(-1), 1)
""",
    ),
    "min-p by itself": (
        "min-p-misbuilt",
        """\
def f(logits, min_p=0.1):
    p = logits.softmax(-1)
    logits[p < min_p] = -float("inf")
    return torch.multinomial(logits.softmax(-1), 1)
""",
    ),
    "the likeliest place of the top k": (
        "place-taken-for-id",
        """\
logits = model(ids).logits[:, -1]
values, idx = torch.topk(logits, 5)
token = values.argmax(-1, keepdim=True)
ids = torch.cat([ids, token], dim=1)
""",
    ),
    "a place drawn by numpy": (
        "place-taken-for-id",
        """\
import numpy as np
logits = model(ids).logits[0, -1]
probs, idx = torch.topk(logits.softmax(-1), 5)
probs = probs / probs.sum()
token = np.random.choice(5, p=probs.numpy())
ids = torch.cat([ids, torch.tensor([[token]])], dim=1)
""",
    ),
    "an unconditional side that is left behind": (
        "guidance-misbuilt",
        """\
def guided(ids, neg, scale):
    for _ in range(5):
        cond = model(ids).logits[:, -1]
        uncond = model(neg).logits[:, -1]
        token = (uncond + scale * (cond - uncond)).argmax(-1, keepdim=True)
        ids = torch.cat([ids, token], dim=1)
    return ids
""",
    ),
    "a processor that guides away from the prompt": (
        "guidance-misbuilt",
        """\
from transformers import LogitsProcessor
class Guide(LogitsProcessor):
    def __call__(self, input_ids, scores):
        uncond_scores = self.model(self.neg).logits[:, -1]
        return scores + self.scale * (uncond_scores - scores)
""",
    ),
    "drafted tokens beside logits one place too late": (
        "speculation-misbuilt",
        """\
def verify(ids, draft_tokens):
    logits = model(torch.cat([ids, draft_tokens], dim=1)).logits
    n = ids.shape[1]
    chosen = logits[:, n:].argmax(-1)
    return (chosen == draft_tokens).sum()
""",
    ),
    "chances to the power of a temperature": (
        "temperature-misapplied",
        """\
def pick(ids, temperature):
    chances = model(ids).logits[:, -1].softmax(-1)
    chances = chances.pow(temperature)
    return torch.multinomial(chances / chances.sum(-1, keepdim=True), 1)
""",
    ),
    "a nucleus of ids without its last": (
        "top-p-misbuilt",
        """\
def pick(logits, p=0.9):
    ranked, order = logits.softmax(-1).sort(descending=True)
    keep = ranked.cumsum(-1) < p
    kept = order[keep]
    out = torch.full_like(logits, float("-inf"))
    out[..., kept] = logits[..., kept]
    return torch.multinomial(out.softmax(-1), 1)
""",
    ),
    "a penalty on what was gathered": (
        "penalty-divides-negative",
        """\
def penalize(scores, ids, repetition_penalty):
    picked = torch.gather(scores, 1, ids)
    picked = picked / repetition_penalty
    return scores.scatter(1, ids, picked)
""",
    ),
    "a loss module of probabilities": (
        "softmax-twice",
        """\
loss_fn = torch.nn.CrossEntropyLoss()
chances = torch.softmax(model(ids).logits, dim=-1)
loss = loss_fn(chances[:, :-1].reshape(-1, 9), ids[:, 1:].reshape(-1))
""",
    ),
    "beams in entries that add probabilities": (
        "beam-scores-misbuilt",
        """\
for beam in beams:
    chances = torch.softmax(model(beam["ids"]).logits[:, -1], dim=-1)
    top = torch.topk(chances, width)
    for k in range(width):
        new.append({"ids": 0, "score": beam["score"] + top.values[0, k].item()})
""",
    ),
    "a ratio upside down, of a list of drafts": (
        "speculation-misbuilt",
        """\
@torch.no_grad()
def step(draft, target, ids, k=3):
    drafted = []
    for _ in range(k):
        chances = draft_model(ids).logits[:, -1].softmax(-1)
        drafted.append(chances)
    wanted = target_model(ids).logits.softmax(-1)
    for i in range(k):
        if torch.rand(1) > drafted[i][0, 7] / wanted[0, i, 7]:
            return i
    residual = (wanted - chances).clamp(min=0)
""",
    ),
    "zeros in a filter whose result goes into a softmax": (
        "removed-by-zero",
        """\
def top(logits, k):
    values, places = torch.topk(logits, k, dim=-1)
    kept = torch.zeros_like(logits)
    kept.scatter_(-1, places, values)
    return kept
chances = F.softmax(top(model(ids).logits[:, -1], 5), dim=-1)
""",
    ),
    "a small number below the top k, softened later": (
        "removed-by-zero",
        _TOP_K.format(
            value="1e-10", then="top_k(model(inputs.input_ids).logits[:, -1], 40).softmax(-1)"
        ),
    ),
    "a small number in logits": (
        "removed-by-zero",
        "logits = model(inputs.input_ids).logits[:, -1]\n"
        "logits = logits.masked_fill(logits < 3, 1e-8)\nchances = logits.softmax(-1)",
    ),
    "a small tensor where logits are low": (
        "removed-by-zero",
        "logits = model(inputs.input_ids).logits[:, -1]\n"
        "logits = torch.where(logits < 3, torch.full_like(logits, 1e-10), logits)\n"
        "chances = logits.softmax(-1)",
    ),
    "the last of a list's first beams": (
        "beam-scores-misbuilt",
        _BEAMS.format(
            then="found.sort(key=lambda beam: beam[0], reverse=True)\nkept = found[:3]\n"
            "beams = kept\nprint(tokenizer.decode(beams[-1][1][0]))"
        ),
    ),
    "the last of sorted beams": (
        "beam-scores-misbuilt",
        _BEAMS.format(then="score, ids = beams[-1]"),
    ),
    "the last of sorted beams, decoded": (
        "beam-scores-misbuilt",
        _BEAMS.format(then="print(tokenizer.decode(beams[-1][1][0]))"),
    ),
    "the beam with the lowest score": (
        "beam-scores-misbuilt",
        _BEAMS.format(then="best = min(beams, key=lambda beam: beam[0])"),
    ),
    "a penalty with the logit's sign": (
        "penalty-divides-negative",
        _PENALTY.format(
            does="seen = torch.gather(scores, 1, input_ids)\n"
            "        by = torch.where(seen < 0, seen * self.penalty, seen / self.penalty)\n"
            "        return scores.scatter_add(1, input_ids, -by)"
        ),
    ),
    "a penalty that is a share of the logit": (
        "penalty-divides-negative",
        _PENALTY.format(
            does="seen = scores.gather(1, input_ids)\n"
            "        return scores.scatter_add(1, input_ids, -self.penalty * seen)"
        ),
    ),
    "a penalty that multiplies the logit and is taken off": (
        "penalty-divides-negative",
        _PENALTY.format(
            does="for row, ids in enumerate(input_ids):\n"
            "            scores[row, ids] -= self.penalty * scores[row, ids]\n"
            "        return scores"
        ),
    ),
    "logits below min_p": (
        "min-p-misbuilt",
        "min_p = 0.1\nlogits = model(inputs.input_ids).logits[:, -1]\n"
        "logits = logits.masked_fill(logits < min_p, -float('inf'))",
    ),
    "logits below min_p, in a function": (
        "min-p-misbuilt",
        _MIN_P.format(
            does="logits.masked_fill_(logits < floor, -float('inf'))",
            then="def choose(min_p):\n    return drop(logits, min_p)",
        ),
    ),
}

# What only looks like it.
SOUND = {
    "one place of one row": IDS + "logits = model(ids).logits[0, -1]\n"
    "t = logits.argmax()\n"
    "p=logits.softmax(0)\n"
    "q=F.softmax(logits, dim=-1)",
    "an argmax of one row": IDS + "logits = model(ids).logits[:, -1]\nt = logits.argmax()\n",
    "places by a row of its own": IDS + "logits = model(ids).logits\n"
    "logits = logits[0]\n"
    "p = logits.softmax(1); m=logits.max(0)",
    "a draw by the exponent of log-chances": IDS
    + "lp = F.log_softmax(model(ids).logits[:, -1], -1)\n"
    "t = torch.multinomial(lp.exp(), 1)",
    "a temperature, and greedy decoding at 0": IDS + "def f(logits, temperature):\n"
    "    if temperature == 0:\n"
    "        return logits.argmax(-1)\n"
    "    logits = logits / temperature\n"
    "    probs = F.softmax(logits, dim=-1)\n"
    "    return torch.multinomial(probs, 1)",
    "a place that is looked up": IDS + "logits = model(ids).logits[:, -1]\n"
    "v, i = torch.topk(logits, 50)\n"
    "p = F.softmax(v, -1)\n"
    "t = torch.multinomial(p, 1)\n"
    "ids = torch.cat([ids, i.gather(-1, t)], 1)",
    "a place that is an index": IDS + "logits = model(ids).logits[0, -1]\n"
    "v, i = torch.topk(logits, 50)\n"
    "t = i[torch.multinomial(v.softmax(-1), 1)]",
    "a nucleus as it should be": IDS + "def f(logits, top_p):\n"
    "    s, i = torch.sort(logits, descending=True)\n"
    "    c = torch.cumsum(F.softmax(s, dim=-1), dim=-1)\n"
    "    r = c > top_p\n"
    "    r[..., 1:] = r[..., :-1].clone()\n"
    "    r[..., 0] = 0\n"
    "    m = r.scatter(1, i, r)\n"
    "    logits[m] = -float('inf')\n"
    "    return logits",
    "a nucleus with the sum before each token": IDS + "def f(probs, top_p):\n"
    "    s, i = torch.sort(probs, dim=-1, descending=True)\n"
    "    c = torch.cumsum(s, dim=-1)\n"
    "    mask = c - s > top_p\n"
    "    s[mask] = 0.0\n"
    "    s.div_(s.sum(dim=-1, keepdim=True))\n"
    "    t = torch.multinomial(s, 1)\n"
    "    return torch.gather(i, -1, t)",
    "all but the top k removed": IDS + "def f(logits, k):\n"
    "    v, _ = torch.topk(logits, k)\n"
    "    logits[logits < v[:, [-1]]] = -float('Inf')\n"
    "    return logits",
    "a penalty by the logit's sign": IDS + "logits = model(ids).logits[0, -1]\n"
    "for t in set(ids[0].tolist()):\n"
    "    if logits[t] > 0:\n"
    "        logits[t] /= repetition_penalty\n"
    "    else:\n"
    "        logits[t] *= repetition_penalty",
    "an end by its text, decoded": IDS
    + "text = tokenizer.decode(model(ids).logits[0, -1].argmax())\n"
    "print(text == tokenizer.eos_token)",
    "a nucleus that keeps its first": IDS + "def nucleus(probs, p):\n"
    "    chances, order = torch.sort(probs, descending=True)\n"
    "    keep = torch.cumsum(chances, dim=-1) <= p\n"
    "    keep[..., 0] = True\n"
    "    return order[keep]",
    "a number of tokens for a nucleus": IDS + "def nucleus(probs, p):\n"
    "    chances, order = torch.sort(probs, descending=True)\n"
    "    k = (torch.cumsum(chances, dim=-1) < p).sum() + 1\n"
    "    return order[:k]",
    "a draw of numpy by chances": IDS + "import numpy as np\n"
    "chances = model(ids).logits[0, -1].softmax(-1).numpy()\n"
    "t = np.random.choice(len(chances), p=chances)",
    "a temperature that divides logits in place": IDS + "logits = model(ids).logits[0, -1]\n"
    "logits /= 1.2\n"
    "logits[:] /= 1.2",
    "labels of classes": IDS
    + "classifier = AutoModelForSequenceClassification.from_pretrained('x')\n"
    "model = classifier\n"
    "logits = model(ids).logits\n"
    "label = logits.argmax(dim=1)",
    "a draw among sorted chances, returned with their order": IDS + "def pick(chances):\n"
    "    ranked, order = torch.sort(chances, descending=True)\n"
    "    return torch.multinomial(ranked, 1), order",
    "a softmax of two axes": IDS + "F.softmax(model(ids).logits[:, -1])",
    "the top k of the vocabulary": IDS + "model(ids).logits.topk(5)",
    "a nucleus put back": _FILTER.format(
        then="ordered[drop] = float('-inf')\n"
        "    return torch.empty_like(logits).scatter(1, where, ordered)"
    ),
    "a rank's id looked up": _FILTER.format(
        then="ordered[drop] = float('-inf')\n"
        "    return where.gather(1, torch.multinomial(ordered.softmax(-1), 1))"
    ),
    "a sorted bound": _FILTER.format(
        then="ordered[drop] = float('inf')\n"
        "    return logits.masked_fill(logits < ordered.min(-1, keepdim=True).values, -1e9)"
    ),
    "a cross entropy with classes second": _IDS + "torch.nn.functional.cross_entropy("
    "logits[:, :-1].transpose(1, 2), ids[:, 1:])",
    "a processor of log-probabilities": _processor(
        "return torch.log(torch.softmax(scores, dim=-1) + 1e-9)"
    ),
    "ignored labels set to zero": """\
def f(logps, labels):
    logps[labels == -100] = 0
    x = (labels == -100).sum()
    return logps.masked_fill(labels == -100, 0).sum()
""",
    "a mask of padding turned round": """\
def f(scores, pad_mask, logps):
    return (logps * ~pad_mask).sum(-1)
""",
    "weights in a mean": """\
def f(loss, weights):
    return (loss * weights).mean()
""",
    "a speculation as it should be": """\
def speculate(target_model, draft_model, ids, k):
    for _ in range(k):
        q = draft_model(ids).logits[:, -1].softmax(-1)
        tok = torch.multinomial(q, 1)
        p = target_model(ids).logits[:, -1].softmax(-1)
        if torch.rand(1) < p[0, tok] / q[0, tok]:
            ids = torch.cat([ids, tok], 1)
        else:
            r = torch.clamp(p - q, min=0)
            r = r / r.sum()
            ids = torch.cat([ids, torch.multinomial(r, 1)], 1)
    return ids
""",
    "guidance towards the prompt": """\
def guided(model, ids, neg_ids, scale):
    cond_logits = model(ids).logits[:, -1]
    uncond_logits = model(neg_ids).logits[:, -1]
    logits = uncond_logits + scale * (cond_logits - uncond_logits)
    return logits.argmax(-1)
""",
    "guidance towards the prompt, taken away": """\
def guided(model, ids, neg_ids, scale):
    cond_logits = model(ids).logits[:, -1]
    uncond_logits = model(neg_ids).logits[:, -1]
    logits = cond_logits - scale * (uncond_logits - cond_logits)
    return logits.argmax(-1)
""",
    "an expert without its amateur": """\
def cd(ids, beta=0.5):
    e = expert_model(ids).logits[:, -1].log_softmax(-1)
    a = amateur_model(ids).logits[:, -1].log_softmax(-1)
    scores = (1 + beta) * e - beta * a
    scores[e < e.max() - 2] = -float("inf")
    kl = (a.exp() * (a - e)).sum()
    return scores.argmax(-1)
""",
    "beams that add log-probabilities": """\
def beam_search(model, ids, k, n):
    beams = [(ids, 0.0)]
    for _ in range(n):
        candidates = []
        for seq, score in beams:
            logits = model(seq).logits[0, -1]
            lp = logits.log_softmax(-1)
            top, idx = lp.topk(k)
            for v, i in zip(top, idx):
                candidates.append((torch.cat([seq, i.view(1, 1)], 1), score + v.item()))
        beams = sorted(candidates, key=lambda x: x[1], reverse=True)[:k]
    return beams[0][0]
""",
    "beams that multiply probabilities": """\
def beam_search(model, ids, k, n):
    beams = [(ids, 0.0)]
    for _ in range(n):
        candidates = []
        for seq, score in beams:
            logits = model(seq).logits[0, -1]
            pr = F.softmax(logits, dim=-1)
            top, idx = pr.topk(k)
            for v, i in zip(top, idx):
                candidates.append((torch.cat([seq, i.view(1, 1)], 1), score * v.item()))
        beams = sorted(candidates, key=lambda x: x[1], reverse=True)[:k]
    return beams[0][0]
""",
    "beams of costs": """\
def beam_search(model, ids, k, n):
    beams = [(ids, 0.0)]
    for _ in range(n):
        candidates = []
        for seq, score in beams:
            logits = model(seq).logits[0, -1]
            lp = logits.log_softmax(-1)
            top, idx = lp.topk(k)
            for v, i in zip(top, idx):
                candidates.append((torch.cat([seq, i.view(1, 1)], 1), score - v.item()))
        beams = sorted(candidates, key=lambda x: x[1])[:k]  # neg log
    return beams[0][0]
""",
    "beams that add logs of probabilities": """\
def beam_search(model, ids, k, n):
    beams = [(ids, 0.0)]
    for _ in range(n):
        candidates = []
        for seq, score in beams:
            logits = model(seq).logits[0, -1]
            pr = F.softmax(logits, dim=-1)
            top, idx = pr.topk(k)
            for v, i in zip(top, idx):
                candidates.append((torch.cat([seq, i.view(1, 1)], 1), score + torch.log(v).item()))
        beams = sorted(candidates, key=lambda x: x[1], reverse=True)[:k]
    return beams[0][0]
""",
    "beams sorted by their negative": """\
def beam_search(model, ids, k, n):
    beams = [(ids, 0.0)]
    for _ in range(n):
        candidates = []
        for seq, score in beams:
            logits = model(seq).logits[0, -1]
            lp = logits.log_softmax(-1)
            top, idx = lp.topk(k)
            for v, i in zip(top, idx):
                candidates.append((torch.cat([seq, i.view(1, 1)], 1), score + v.item()))
        beams = sorted(candidates, key=lambda x: -x[1])[:k]
    return beams[0][0]
""",
    "one token and its logits": """\
def step(tok, cache):
    out = model(tok, past_key_values=cache)
    return out.logits[:, 0].argmax(-1)
""",
    "draws of what sums to one": """\
import numpy as np
probs = model(ids).logits[0, -1].softmax(-1)
top, idx = probs.topk(5)
top = top / top.sum()
t = np.random.choice(idx.numpy(), p=top.numpy())
v, i = model(ids).logits[0, -1].topk(5)
u = np.random.choice(i.numpy(), p=v.softmax(-1).numpy())
w = np.random.choice(len(probs), p=probs.numpy())
""",
    "a temperature of zero that is asked for": """\
def sample(logits, temperature=1.0):
    if temperature == 0:
        return logits.argmax(-1)
    logits = logits / temperature
    return torch.multinomial(logits.softmax(-1), 1)
sample(model(ids).logits[:, -1], temperature=0)
""",
    "a temperature in each step": """\
for _ in range(5):
    logits = model(ids).logits[:, -1]
    logits = logits / temperature
    tokens.append(torch.multinomial(logits.softmax(-1), 1))
for logits in rows:
    logits = logits / temperature
    tokens.append(torch.multinomial(logits.softmax(-1), 1))
""",
    "min-p of the likeliest": """\
def f(logits, min_p=0.1):
    p = logits.softmax(-1)
    logits[p < min_p * p.max()] = -float("inf")
    q = logits.softmax(-1)
    q = q / q.max()
    keep = q >= min_p
    return torch.multinomial(logits.softmax(-1), 1)
""",
    "places that are looked up": """\
import numpy as np
logits = model(ids).logits[0, -1]
probs, idx = torch.topk(logits.softmax(-1), 5)
probs = probs / probs.sum()
token = idx[np.random.choice(5, p=probs.numpy())]
best = idx[probs.argmax()]
other = np.random.choice(idx.numpy(), p=probs.numpy())
""",
    "both sides of a guidance that grow": """\
def guided(ids, neg, scale):
    for _ in range(5):
        cond = model(ids).logits[:, -1]
        uncond = model(neg).logits[:, -1]
        token = (uncond + scale * (cond - uncond)).argmax(-1, keepdim=True)
        ids = torch.cat([ids, token], dim=1)
        neg = torch.cat([neg, token], dim=1)
    return ids
""",
    "drafted tokens beside their logits": """\
def verify(ids, draft_tokens):
    logits = model(torch.cat([ids, draft_tokens], dim=1)).logits
    n = ids.shape[1]
    chosen = logits[:, n - 1 : -1].argmax(-1)
    return (chosen == draft_tokens).sum()
""",
    "a threshold at the k-th": """\
logits = model(**inputs).logits[:, -1]
values, _ = torch.topk(logits, 5)
logits = torch.where(logits < values[:, -1:], float("-inf"), logits)
""",
    "a nucleus of numpy": """\
import numpy as np
chances = model(**inputs).logits[0, -1].softmax(-1).numpy()
order = np.argsort(-chances)
kept = order[: np.searchsorted(np.cumsum(chances[order]), 0.9) + 1]
""",
    "chances times a mask": """\
chances = model(**inputs).logits[:, -1].softmax(-1)
chances = chances * (chances > 0.01)
token = torch.multinomial(chances / chances.sum(), 1)
""",
    "the gathered scattered into a new tensor": """\
logits = model(**inputs).logits[:, -1]
values, ids = logits.topk(5)
filtered = torch.full_like(logits, float("-inf")).scatter(-1, ids, values)
chances = filtered.softmax(-1)
""",
    "chances to the power of one over a temperature": """\
chances = model(**inputs).logits[:, -1].softmax(-1) ** (1 / temperature)
token = torch.multinomial(chances / chances.sum(), 1)
""",
    "a filter that gives back chances": """\
def top(chances, k):
    values, places = torch.topk(chances, k, dim=-1)
    return torch.zeros_like(chances).scatter(-1, places, values)
chances = top(model(ids).logits[:, -1].softmax(-1), 5)
""",
    "minus infinity below the top k": _TOP_K.format(
        value="-float('inf')", then="top_k(model(inputs.input_ids).logits[:, -1], 40).softmax(-1)"
    ),
    "a small number below the top k of chances": _TOP_K.format(
        value="1e-10", then="top_k(model(inputs.input_ids).logits[:, -1].softmax(-1), 40)"
    ),
    "a small number in chances": "chances = model(inputs.input_ids).logits[:, -1].softmax(-1)\n"
    "chances[chances < 0.1] = 1e-10",
    "the first of sorted beams": _BEAMS.format(then="score, ids = beams[0]"),
    "the worst of the beams as a threshold": _BEAMS.format(then="worst, _ = beams[-1]"),
    "the last of beams sorted upwards": _BEAMS.format(
        then="beams.sort(key=lambda beam: beam[0])\nscore, ids = beams[-1]"
    ),
    "a penalty by counts": _PENALTY.format(
        does="ones = torch.ones_like(input_ids, dtype=scores.dtype)\n"
        "        return scores.scatter_add(1, input_ids, -self.penalty * ones)"
    ),
    "a penalty by the logit's size": _PENALTY.format(
        does="seen = scores.gather(1, input_ids).abs()\n"
        "        return scores.scatter_add(1, input_ids, -self.penalty * seen)"
    ),
    "logits below the best by min_p": "import math\nmin_p = 0.1\n"
    "logits = model(inputs.input_ids).logits[:, -1]\n"
    "floor = logits.max(-1, keepdim=True).values + math.log(min_p)\n"
    "logits = logits.masked_fill(logits < floor, -float('inf'))",
    "logits below a threshold of their own": _MIN_P.format(
        does="logits.masked_fill_(logits < floor, -float('inf'))",
        then="logits = drop(logits, logits.topk(5).values[:, -1:])",
    ),
}
