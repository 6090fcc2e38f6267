"""What becomes of logits in a script, followed in a run, and what is found on the way."""

import inspect
import re
from textwrap import dedent

import pytest
import torch
import torch.nn.functional as F

import llmcourse
from llmcourse.doctor.explain import every_code
from llmcourse.doctor.finding import SEVERITIES
from llmcourse.doctor.followed import IN_A_RUN

# A code, and snippets that have its mistake, in several spellings; `model`, `tok`, `ids` (1, n) and
# `batch` (padded on the right) are there.
FAULTY = {
    "over-the-wrong-axis": [
        "model(ids).logits.softmax(1)",
        "F.softmax(model(ids).logits[0], dim=0)",
        "model(ids).logits[0].argmax()",
        """
        class Sampler:
            def chances(self, logits):
                return torch.log_softmax(logits, 1)
        Sampler().chances(model(**batch).logits.float())
        """,
    ],
    "softmax-twice": [
        "model(ids).logits[:, -1].softmax(-1).softmax(-1)",
        """
        def loss(chances, labels):
            return F.cross_entropy(chances.view(-1, chances.shape[-1]), labels.view(-1))
        loss(F.softmax(model(ids).logits[:, :-1], dim=-1), ids[:, 1:])
        """,
        """
        best, order = model(ids).logits[0, -1].softmax(-1).topk(20)
        torch.multinomial(best.softmax(0), 1)
        """,
    ],
    "draw-from-logits": [
        "torch.multinomial(model(ids).logits[:, -1] + 100, 1)",
        "torch.multinomial(model(ids).logits[0, -1].clamp(min=0.0) + 1, 1)",
    ],
    "temperature-misapplied": [
        "torch.multinomial(model(ids).logits[:, -1].softmax(-1) / 0.7, 1)",
        """
        def sample(chances, temperature):
            return torch.multinomial(chances.div(temperature), num_samples=1)
        sample(torch.softmax(model(ids).logits[0, -1], 0), 1.3)
        """,
    ],
    "place-taken-for-id": [
        """
        chances, order = model(ids).logits[:, -1].softmax(-1).sort(descending=True)
        torch.cat([ids, torch.multinomial(chances, 1)], dim=1)
        """,
        """
        room = torch.cat([ids, torch.zeros_like(ids)], dim=1)
        chances, _ = model(ids).logits[:, -1].softmax(-1).sort()
        room[:, ids.shape[1]] = torch.multinomial(chances, 1)[:, 0]
        """,
        """
        best = torch.topk(model(ids).logits[0, -1], 5).values
        chosen = torch.multinomial(best.softmax(-1), 1)
        tok.decode(chosen)
        """,
        """
        def draw(logits):
            best, order = logits.topk(8)
            return best.softmax(-1).multinomial(1)
        made = model(ids, use_cache=True)
        model(draw(made.logits[:, -1]), past_key_values=made.past_key_values)
        """,
    ],
    "removed-by-zero": [
        """
        logits = model(ids).logits[:, -1].clone()
        logits[logits < logits.topk(5).values[:, [-1]]] = 0
        torch.multinomial(logits.softmax(-1), 1)
        """,
        """
        logits = model(ids).logits[0, -1]
        keep = logits >= logits.topk(5).values[-1]
        torch.distributions.Categorical(logits=logits * keep).sample()
        """,
        """
        class Filter:
            empty = 1e-10
            def __call__(self, logits):
                return torch.where(logits < logits.max() - 2, self.empty, logits)
        torch.multinomial(F.softmax(Filter()(model(ids).logits[0, -1]), -1), 1)
        """,
    ],
    "filter-left-sorted": [
        """
        logits = model(ids).logits[0, -1].clone()
        ordered, _ = logits.softmax(-1).sort(descending=True)
        drop = ordered.cumsum(-1) > 0.5
        drop[:4] = False
        logits[drop] = float("-inf")
        torch.multinomial(logits.softmax(-1), 1)
        """,
    ],
    "top-k-misbuilt": [
        """
        logits = model(ids).logits[0, -1]
        lowest = logits.topk(5).values[-1]
        torch.multinomial(logits.masked_fill(logits >= lowest, -torch.inf).softmax(-1), 1)
        """,
    ],
    "top-p-misbuilt": [
        "model(ids).logits[0, -1].sort(descending=True).values.cumsum(-1) > 0.9",
        "model(ids).logits[0, -1].softmax(-1).cumsum(-1) > 0.9",
        """
        def keep_top_k(chances, k):
            values, places = chances.topk(k, dim=-1)
            return torch.zeros_like(chances).scatter(-1, places, values)
        chances = keep_top_k(model(ids).logits[:, -1].softmax(-1), 3)
        values, places = chances.sort(dim=-1)
        torch.where(values.cumsum(-1) > 1 - 0.7, values, 0.0)
        """,
        """
        def nucleus(chances, p):
            ordered, order = chances.sort(descending=True)
            keep = ordered.cumsum(-1) <= p
            keep[..., 0] = True
            return torch.zeros_like(chances).scatter(-1, order, ordered * keep)
        kept = nucleus(model(ids).logits[:, -1].softmax(-1), 0.95)
        torch.multinomial(kept / kept.sum(-1, keepdim=True), 1)
        """,
        """
        logits = model(ids).logits[:, -1]
        ordered, order = logits.sort(descending=True)
        drop = ordered.softmax(-1).cumsum(-1) > torch.tensor(0.9)
        drop[:, 0] = False
        logits = logits.masked_fill(drop.scatter(1, order, drop), -torch.inf)
        torch.distributions.Categorical(logits=logits).sample()
        """,
        """
        logits = model(ids).logits[:, -1] / 0.9
        values, places = logits.sort(descending=True)
        keep = values.softmax(-1).cumsum(-1) <= 0.8
        keep[..., 0] = True
        keep = keep.gather(-1, places.argsort(-1))
        torch.multinomial(logits.where(keep, -torch.inf).softmax(-1), 1)
        """,
        """
        class Nucleus:
            def __init__(self, p):
                self.p = torch.tensor(p)
            def draw(self, chances):
                chances, order = torch.sort(chances, descending=True)
                chances[torch.cumsum(chances, dim=-1) > self.p] = 0
                return order[torch.multinomial(chances, 1)]
        Nucleus(0.7).draw(model(ids).logits[0, -1].softmax(-1))
        """,
    ],
    "min-p-misbuilt": [
        """
        logits = model(ids).logits[0, -1].clone()
        logits.masked_fill_(logits < 0.1, float("-inf"))
        """,
        """
        logits = model(ids).logits[:, -1]
        logits[logits < 0.05 * logits.amax(-1, keepdim=True)]
        """,
    ],
    "penalty-divides-negative": [
        """
        ids = torch.cat([torch.arange(20)[None], ids], dim=1)
        logits = model(ids).logits[0, -1].clone()
        for token in set(ids[0].tolist()):
            logits[token] /= 1.5
        logits.argmax()
        """,
    ],
    "penalty-rewards": [
        """
        logits = model(ids).logits[0, -1].clone()
        logits[ids[0]] += 0.7
        logits.softmax(-1)
        """,
    ],
    "logits-not-shifted": [
        "model(ids).logits.log_softmax(-1).gather(2, ids[..., None])",
        "F.cross_entropy(model(ids).logits[0], ids[0])",
        """
        class Scorer:
            def __init__(self):
                self.logps = model(ids).logits[0].log_softmax(-1)
            def total(self):
                return sum(self.logps[at, token] for at, token in enumerate(ids[0]))
        Scorer().total()
        """,
        """
        question, answer = ids[:, :3], ids[:, 3:]
        logps = model(ids).logits[0, 3:].log_softmax(-1)
        logps[range(len(logps)), answer[0]].sum()
        """,
    ],
    "labels-shifted-twice": [
        """
        labels = ids[:, 1:]
        logits = model(ids).logits[:, :-1]
        F.cross_entropy(logits[:, :-1].reshape(-1, logits.shape[-1]), labels[:, 1:].reshape(-1))
        """,
    ],
    "padding-in-the-loss": [
        """
        logits = model(**batch).logits[:, :-1]
        F.cross_entropy(logits.transpose(1, 2), batch["input_ids"][:, 1:])
        """,
    ],
    "mean-over-padding": [
        """
        logps, mask = rows_of_generate.logps, torch.ones_like(rows_of_generate.ids)[:, 1:]
        (logps * mask).sum(-1) / mask.sum(-1)
        """,
        """
        logps = model(**batch).logits[:, :-1].log_softmax(-1)
        logps.gather(2, batch["input_ids"][:, 1:, None]).squeeze(-1).mean(1)
        """,
        """
        def embed(texts):
            return model(**texts, output_hidden_states=True).hidden_states[-1].mean(dim=1)
        embed(batch)
        """,
        """
        class Reward(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.value_head = torch.nn.Linear(model.config.hidden_size, 1)
            def forward(self, inputs):
                states = model(**inputs, output_hidden_states=True).hidden_states[-1]
                return self.value_head(states)[:, :-1].mean(dim=1).squeeze(1)
        Reward()(batch)
        """,
    ],
    "distributions-misaligned": [
        """
        student, teacher = model(ids).logits[:, :-1], model(ids).logits[:, 1:]
        F.kl_div(student.log_softmax(-1), teacher.softmax(-1), reduction="batchmean")
        """,
        """
        def log_probs(logits, to):
            return logits.log_softmax(-1).gather(2, to[..., None]).squeeze(-1)
        new = log_probs(model(ids).logits[:, :-1], ids[:, 1:])
        old = log_probs(model(ids).logits[:, :-1], ids[:, 1:])
        (new[:, 1:] - old[:, :-1]).exp()
        """,
        """
        chances = torch.softmax(model(ids).logits / 2.0, dim=-1)
        model(ids)
        torch.nn.KLDivLoss(reduction="batchmean")(chances.log(), chances)
        """,
    ],
    "mask-not-shifted": [
        """
        logps = model(**batch).logits[:, :-1].log_softmax(-1)
        logps = logps.gather(2, batch["input_ids"][:, 1:, None])[..., 0]
        (logps * batch["attention_mask"][:, :-1]).sum(-1)
        """,
    ],
    "mean-counts-masked": [
        """
        logps = model(**batch).logits[:, :-1].log_softmax(-1)
        logps = logps.gather(2, batch["input_ids"][:, 1:, None])[..., 0]
        (logps * batch["attention_mask"][:, 1:]).mean(-1)
        """,
    ],
    "logits-not-normalized": [
        "model(ids).logits[:, :-1].gather(2, ids[:, 1:, None]).sum()",
        """
        logits = model(ids).logits[0]
        torch.exp(logits[torch.arange(len(logits) - 1), ids[0, 1:]])
        """,
        "model(ids).logits[0, -1].log()",
    ],
    "loss-wants-log-probabilities": [
        "F.nll_loss(model(ids).logits[0, :-1], ids[0, 1:])",
        """
        p, q = model(ids).logits[0].softmax(-1), model(ids).logits[0].softmax(-1)
        F.kl_div(q, p)
        """,
        """
        class Distil:
            def loss(self, a, b):
                return F.kl_div(a.log_softmax(-1), b.log_softmax(-1), reduction="batchmean")
        Distil().loss(model(ids).logits[0], model(ids).logits[0])
        """,
    ],
    "entropy-is-nan": [
        """
        logits = model(ids).logits[0, -1].clone()
        logits[10:] = -torch.inf
        (logits.softmax(-1) * logits.log_softmax(-1)).sum()
        """,
    ],
    "logits-of-padding": [
        "model(**batch).logits[:, -1].argmax(-1)",
        """
        def next_tokens(model, inputs):
            made = model(**inputs)
            return torch.multinomial(made.logits[:, -1, :].softmax(-1), 1)
        next_tokens(model, batch)
        """,
        "model(**batch, output_hidden_states=True).hidden_states[-1][:, -1]",
        """
        score = torch.nn.Linear(model.config.hidden_size, 1, bias=False)
        values = score(model(**batch, output_hidden_states=True).hidden_states[-1]).squeeze(-1)
        ends = batch["attention_mask"].sum(1)
        values[torch.arange(2), ends.clamp(max=values.shape[1] - 1)]
        """,
        """
        head = torch.nn.Linear(model.config.hidden_size, 1)
        states = model(**batch, output_hidden_states=True).hidden_states[-1]
        rewards = head(states).squeeze(-1)[0]
        rewards[batch["input_ids"].shape[1] - 1]
        """,
    ],
    "log-probabilities-in-half": [
        "model(ids).logits.to(torch.bfloat16)[0, -1].log_softmax(-1)",
    ],
    "end-masked-in-training": [
        """
        logps = rows_of_generate.logps
        (logps * (rows_of_generate.ids != tok.eos_token_id)[:, 1:]).sum(-1)
        """,
    ],
    "logits-of-another-place": [
        """
        answer = ids[:, 6:]
        chances = model(ids).logits[:, :-1].softmax(-1)[:, : answer.shape[1]]
        chances.gather(-1, answer[..., None]).squeeze(-1).log()
        """,
        """
        token = model(ids).logits[:, 0].argmax(-1)
        model(torch.cat([ids, token[:, None]], dim=1))
        """,
        """
        def next_token(made):
            return made.logits[0, -2].softmax(-1).multinomial(1)
        made = model(ids)
        made = model(next_token(made)[None], past_key_values=made.past_key_values)
        """,
        "-model(ids).logits.softmax(-1).log2()[0, 0, ids[0, 1:]]",
        "model(ids).logits[:, 0].log_softmax(-1).gather(1, ids[:, 1:]).mean()",
    ],
    "argmax-of-every-place": ["tok.decode(model(ids).logits.argmax(-1)[0])"],
    "scores-are-processed": [
        """
        made = model.generate(ids, max_new_tokens=3, do_sample=True, top_k=5, output_scores=True,
                              return_dict_in_generate=True)
        made.scores[0].softmax(-1)
        """,
        """
        made = model.generate(ids, max_new_tokens=3, do_sample=True, top_k=0, temperature=0.6,
                              output_scores=True, return_dict_in_generate=True)
        old = model.compute_transition_scores(made.sequences, made.scores, normalize_logits=True)
        """,
    ],
    "scores-begin-after-prompt": [
        """
        made = model.generate(ids, max_new_tokens=5, min_new_tokens=5, output_logits=True,
                              return_dict_in_generate=True)
        for step, logits in enumerate(made.logits):
            logits.log_softmax(-1)[0, made.sequences[0, step]]
        """,
    ],
}  # fmt: skip
_SAMPLED = """
def of_a_pass(sequences, start, temperature):
    logits = model(sequences).logits[:, start - 1 : -1] / temperature
    return logits.log_softmax(-1).gather(-1, sequences[:, start:, None])[..., 0]
made = model.generate(ids, max_new_tokens=4, do_sample=True, top_k=0, temperature=0.6,
                      output_scores=True, return_dict_in_generate=True)
old = model.compute_transition_scores(made.sequences, made.scores, normalize_logits=True)
(of_a_pass(made.sequences, ids.shape[1], {}) - old).exp()
"""
SOUND = [
    """
    chances, order = model(ids).logits[:, -1].softmax(-1).sort(descending=True)
    sums = chances.cumsum(-1)
    drop = sums > 0.9
    drop[:, 1:] = drop[:, :-1].clone()
    drop[:, 0] = False
    order.gather(1, torch.multinomial(chances.masked_fill(drop, 0), 1))
    """,
    """
    logits = model(ids).logits[:, -1]
    ordered, order = logits.sort(descending=False)
    drop = ordered.softmax(-1).cumsum(-1) <= 1 - 0.9
    torch.multinomial(logits.masked_fill(drop.scatter(1, order, drop), -torch.inf).softmax(-1), 1)
    """,
    """
    head = torch.nn.Linear(model.config.hidden_size, 1)
    mask = batch["attention_mask"]
    states = model(**batch, output_hidden_states=True).hidden_states[-1]
    values = head(states).squeeze(-1)
    values[torch.arange(2), mask.sum(1) - 1]
    (values * mask).sum(1) / mask.sum(1)
    states.view(-1, states.shape[-1])
    head(states.flatten(0, 1)).view(2, -1)
    states[mask.bool()].mean(0)
    values[0, 0] + values[1, -1]
    """,
    """
    student, teacher = model(ids).logits[:, :-1], model(ids).logits[:, :-1]
    F.kl_div(student.log_softmax(-1), teacher.softmax(-1), reduction="batchmean")
    longer = torch.cat([tok("Hint: no.", return_tensors="pt").input_ids, ids], dim=1)
    teacher = model(longer).logits[:, longer.shape[1] - ids.shape[1] : -1]
    F.kl_div(student.log_softmax(-1), teacher.softmax(-1), reduction="batchmean")
    expert, amateur = model(ids).logits[:, -1], model(ids[:, 4:]).logits[:, -1]
    expert.log_softmax(-1) - amateur.log_softmax(-1)
    logits = model(ids).logits
    logits[:, 1:] - logits[:, :-1]
    """,
    """
    ended = rows_of_generate.ids == tok.eos_token_id
    ended[:, : rows_of_generate.prompt_length] = False
    mask = (ended.cumsum(-1) <= ended.long())[:, 1:]
    (rows_of_generate.logps * mask).sum(-1) / mask.sum(-1)
    """,
    """
    def sample(logits, temperature=0.8, k=20, p=0.9):
        logits = logits / temperature
        logits = logits.masked_fill(logits < logits.topk(k).values[..., -1:], -torch.inf)
        chances, order = logits.softmax(-1).sort(descending=True)
        drop = chances.cumsum(-1) - chances > p
        logits = logits.masked_fill(drop.scatter(-1, order, drop), -torch.inf)
        return torch.multinomial(logits.softmax(-1), 1)
    for _ in range(3):
        ids = torch.cat([ids, sample(model(ids).logits[:, -1])], dim=1)
    tok.decode(ids[0])
    """,
    """
    values, places = model(ids).logits[:, -1].softmax(-1).sort()
    values = values.masked_fill(values.cumsum(-1) <= 1 - 0.8, 0)
    chosen = places.gather(-1, torch.multinomial(values, 1))
    torch.cat([ids, chosen], dim=1)
    """,
    """
    best, order = model(ids).logits[:, -1].topk(5)
    torch.cat([ids, order.gather(-1, best.softmax(-1).multinomial(1))], dim=1)
    """,
    """
    chances = model(ids).logits[0, -1].softmax(-1)
    torch.searchsorted(chances.cumsum(-1), torch.rand(1))
    """,
    """
    logits = model(ids).logits[0, -1]
    logits = torch.where(logits < logits.max() - 2, -torch.inf, logits)
    weights = (logits - logits.max()).exp()
    torch.multinomial(weights / weights.sum(), 1)
    """,
    """
    logits = model(ids).logits[0, -1]
    seen = logits[ids[0]]
    logits = logits.scatter(0, ids[0], torch.where(seen > 0, seen / 1.3, seen * 1.3))
    (logits / 0.7).softmax(-1)
    """,
    """
    logits = model(ids).logits[0, -1].clone()
    allowed = torch.tensor([5, 6, 7, 90, 91])
    mask = torch.full_like(logits, -torch.inf)
    mask[allowed] = 0
    torch.multinomial((logits + mask).softmax(-1), 1)
    """,
    "model(ids).logits[:, :-1].log_softmax(-1).gather(2, ids[:, 1:, None]).sum()",
    "F.cross_entropy(model(ids).logits[0, :-1], ids[0, 1:])",
    """
    logits = model(ids).logits[0, :-1]
    picked = logits[torch.arange(len(logits)), ids[0, 1:]] - logits.logsumexp(-1)
    picked.exp().mean(), picked.mean().exp()
    """,
    """
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    F.cross_entropy(model(**batch).logits[:, :-1].transpose(1, 2), labels[:, 1:])
    """,
    """
    logps = model(**batch).logits[:, :-1].log_softmax(-1)
    logps = logps.gather(2, batch["input_ids"][:, 1:, None])[..., 0]
    mask = batch["attention_mask"][:, 1:]
    (logps * mask).sum(-1) / mask.sum(-1), logps[mask.bool()].mean()
    """,
    """
    last = batch["attention_mask"].sum(1) - 1
    made = model(**batch, output_hidden_states=True)
    made.logits[torch.arange(len(last)), last].argmax(-1)
    made.hidden_states[-1][torch.arange(len(last)), last]
    mask = batch["attention_mask"][..., None]
    (made.hidden_states[-1] * mask).sum(1) / mask.sum(1)
    """,
    """
    q, p = model(ids).logits[0].log_softmax(-1), model(ids).logits[0].softmax(-1)
    F.kl_div(q, p, reduction="batchmean"), F.nll_loss(q[:-1], ids[0, 1:])
    torch.special.entr(p).sum(-1), -(p * q).sum(-1)
    """,
    """
    yes, no = 40, 50
    logits = model(ids).logits[0, -1]
    logits[[yes, no]].softmax(-1), logits[yes].exp() / (logits[yes].exp() + logits[no].exp())
    """,
    """
    made = model.generate(ids, max_new_tokens=5, min_new_tokens=5, output_logits=True,
                          return_dict_in_generate=True)
    new = made.sequences[:, ids.shape[1]:]
    for step, logits in enumerate(made.logits):
        logits.log_softmax(-1)[0, new[0, step]]
    """,
    """
    made = model(torch.cat([ids, torch.tensor([[5, 6, 7]])], dim=1))  # guesses, two rejected
    token = made.logits[:, -3].argmax(-1)
    made.past_key_values.crop(-2)
    model(token[:, None], past_key_values=made.past_key_values)
    torch.zeros(49152).scatter(0, model(ids).logits[0, -1].topk(5).indices[:0],
                               model(ids).logits[0, -1].topk(5).values[:0])
    """,
    """
    best, order = model(ids).logits[0, -1].softmax(-1).topk(12)
    drawn = torch.multinomial(best, 1)[0]
    torch.stack([drawn, (order == order[3]).nonzero()[0, 0]])
    """,
    """
    made = model(ids)
    for _ in range(2):
        token = made.logits.argmax(-1)[:, -1:]
        made = model(token, past_key_values=made.past_key_values)
    """,
    """
    logits = model(ids).logits[0, -1]
    chances, order = logits.softmax(-1).sort(descending=True)
    drop = chances.cumsum(-1) > 0.8
    drop[1:] = drop[:-1].clone()
    drop[0] = False
    logits = logits.masked_fill(torch.zeros_like(drop).scatter(0, order, drop), -torch.inf)
    torch.multinomial(logits.softmax(-1), 1)
    """,
    """
    chances, order = model(ids).logits[0, -1].softmax(-1).sort(descending=True)
    many = int((chances.cumsum(-1) < 0.6).sum()) + 1
    order[torch.multinomial(chances[: min(many, 50)], 1)]
    """,
    """
    scores = model(ids).logits[:, -1].log_softmax(-1)
    scores.gather(1, ids), scores[0, ids[0]]
    """,
    """
    right = (model(ids).logits[:, :-1].argmax(-1) == ids[:, 1:]).float().mean()
    model(ids).logits.max(dim=1).values
    """,
]  # fmt: skip


def test_each_check_has_a_snippet_with_its_mistake():
    assert FAULTY.keys() == IN_A_RUN.keys()


@pytest.mark.parametrize("code", IN_A_RUN)
def test_a_check_says_its_code_and_severities_and_how_sure_it_is(code):
    known = IN_A_RUN[code]
    source = inspect.getsource(known.check)
    assert set(re.findall(r'seen\(\s*"([a-z-]+)"', source)) == {known.code}
    assert set(known.severities) <= set(SEVERITIES)
    assert every_code()[code].symptom  # the words stand here, or with the check of the same code


@pytest.fixture(scope="module")
def course():
    model, tokenizer = llmcourse.load()
    return model, tokenizer


class RowsOfGenerate:
    """Two rows that `generate` wrote, of which one ends before the other, and their log-probs."""

    def __init__(self, model, tok):
        text = "<|im_start|>user\nSay {}.<|im_end|>\n<|im_start|>assistant\n"
        texts = [text.format(what) for what in ("yes", "a long poem")]
        inputs = tok(texts, padding=True, return_tensors="pt")
        self.prompt_length = inputs.input_ids.shape[1]
        self.ids = model.generate(**inputs, do_sample=False, max_new_tokens=40)
        logps = model(self.ids).logits[:, :-1].log_softmax(-1)
        self.logps = logps.gather(2, self.ids[:, 1:, None])[..., 0]


@pytest.mark.needs_model
@pytest.mark.parametrize(("temperature", "severity"), [(1.0, "warning"), (0.6, "note")])
def test_scores_are_compared_with_a_pass_at_the_same_temperature(temperature, severity, course):
    found = [one for one in run(_SAMPLED.format(temperature), course)
             if one.code == "scores-are-processed"]  # fmt: skip
    assert found[0].severity == severity and "temperature=0.6" in found[0].what


def run(snippet: str, course):
    """Run a snippet as the doctor runs a script; return what is found."""
    model, tok = course
    text = tok("The cat sat on the mat, and the dog sat on the rug.", return_tensors="pt")
    sides = tok.padding_side
    tok.padding_side = "right"
    batch = tok(["A cat", "The dog ran after the ball in the sun"], padding=True,
                return_tensors="pt")  # fmt: skip
    tok.padding_side = sides
    names = {"model": model, "tok": tok, "ids": text.input_ids, "batch": batch, "torch": torch}
    with llmcourse.watch(model, tok) as watched, torch.no_grad():
        watched.follow_logits()
        if "rows_of_generate" in snippet:
            names["rows_of_generate"] = RowsOfGenerate(model, tok)
        exec(compile(dedent(snippet), "script.py", "exec"), {**names, "F": F})
    assert watched.failures == []
    return watched.findings


@pytest.mark.needs_model
@pytest.mark.parametrize(
    ("code", "snippet"), [(code, each) for code, several in FAULTY.items() for each in several]
)
def test_a_mistake_is_named_at_its_line(code, snippet, course):
    found = [one for one in run(snippet, course) if one.code == code]
    assert found, [one.code for one in run(snippet, course)]
    assert found[0].file == "script.py" and not found[0].source_only


@pytest.mark.needs_model
@pytest.mark.parametrize("snippet", SOUND)
def test_what_is_right_stays_without_a_word(snippet, course):
    found = [one for one in run(snippet, course) if one.code in IN_A_RUN]
    assert [one.code for one in found if one.severity != "note"] == []


@pytest.mark.needs_model
@pytest.mark.parametrize("code", ["softmax-twice", "top-k-misbuilt", "logits-of-padding"])
def test_a_script_may_make_its_tensors_elsewhere(code, course):
    """What `set_default_device("cuda")` does; "meta" stands for a card."""
    for snippet in FAULTY[code]:
        if "class" in snippet or "Linear" in snippet:
            continue  # it makes tensors of its own
        try:
            found = run('torch.set_default_device("meta")\n' + dedent(snippet), course)
        finally:
            torch.set_default_device(None)
        assert code in [one.code for one in found]
