"""Defaults for 0, templates passed on, states kept, and own filters, for test_static.py."""

_SETTINGS = """\
class Writer:
    def __init__(self, temperature=0.7, seed=1):
        self.temperature, self.seed = temperature, seed
    def ask(self, temperature=None, seed=None, **options):
        {does}
        return model.generate(**inputs, do_sample=True, max_new_tokens=5, **settings)
"""
_TEMPLATE = """\
PROMPT = 'As JSON: {{example}}. Text: {{text}}'
class Writer:
    def __init__(self, template):
        self.template = template
    def prompt(self, text):
        return self.template.{fills}
writer = Writer({given})
"""
_TOP_K = """\
def top_k(x, k):
    best, _ = torch.topk(x, k)
    out = x.clone()
    out[out < best[:, [-1]]] = {value}
    return out
chances = {then}
"""
_ALLOWED = """\
class Allowed:
    def __init__(self, ids):
        self.ids, self.at = ids, 0
    def __call__(self, batch_id, sent):
        {does}
"""
_STEPS = "self.at = self.at + 1\n        return [self.ids[self.at]]"
_ASK = """\
def ask(inputs):
    return model.generate(**inputs, max_new_tokens=5, do_sample=False,
        prefix_allowed_tokens_fn={allowed})
for each in rows:
    ask(each)
"""
_AGAIN = """\
out = model.generate(**inputs, max_new_tokens=5, do_sample=False, output_scores=True,
    return_dict_in_generate=True)
new = out.sequences[0, inputs["input_ids"].shape[1] :]
answer = tokenizer.decode(new, skip_special_tokens=True).strip()
{then}
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

FAULTY = {
    "a default where temperature is 0": (
        "zero-taken-for-unset",
        _SETTINGS.format(does='settings = {"temperature": temperature or self.temperature}'),
    ),
    "a default where an option is 0": (
        "zero-taken-for-unset",
        _SETTINGS.format(does='settings = {"temperature": options.get("temperature") or 0.7}'),
    ),
    "a default if not temperature": (
        "zero-taken-for-unset",
        _SETTINGS.format(
            does="if not temperature:\n            temperature = self.temperature\n"
            "        settings = dict(temperature=temperature)"
        ),
    ),
    "a seed of 0 that is another": (
        "zero-taken-for-unset",
        _SETTINGS.format(does="set_seed(seed if seed else self.seed)\n        settings = {}"),
    ),
    "a template with JSON in an attribute": (
        "braces-in-template",
        _TEMPLATE.format(fills="format(text=text)", given="'As JSON: {\"name\": 1}. {text}'"),
    ),
    "a template with JSON by name": (
        "braces-in-template",
        "SHAPE = 'Like {\"name\": 1}. {text}'\n"
        "def fill(template, text):\n    return template.format(text=text)\n"
        "print(fill(template=SHAPE, text=prompt))",
    ),
    "a template with JSON among several": (
        "braces-in-template",
        "PROMPTS = {'a': 'Say {text}', 'b': 'As {\"a\": 1}: {text}'}\n"
        "def fill(kind, text):\n    return PROMPTS[kind].format(text=text)",
    ),
    "a template with JSON in a class": (
        "braces-in-template",
        "class Writer:\n    TEMPLATE = 'As {\"a\": 1}: {text}'\n"
        "    def fill(self, text):\n        return self.TEMPLATE.format(text=text)",
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
    "a slice by a text's tokens": (
        "tokens-counted-anew",
        _AGAIN.format(then="count = len(tokenizer(answer).input_ids)\nkept = out.scores[:count]"),
    ),
    "a slice by a text that is encoded": (
        "tokens-counted-anew",
        _AGAIN.format(then="kept = new[: len(tokenizer.encode(answer))]"),
    ),
    "a slice by the shape of a text's ids": (
        "tokens-counted-anew",
        _AGAIN.format(
            then="count = tokenizer(answer, return_tensors='pt').input_ids.shape[1]\n"
            "kept = new[-count:]"
        ),
    ),
    "new tokens counted in a text": (
        "tokens-counted-anew",
        _AGAIN.format(then="completion_tokens = len(tokenizer.tokenize(answer))"),
    ),
    "an object with a state, asked again": (
        "stateful-processor",
        _ALLOWED.format(does=_STEPS)
        + "allowed = Allowed([1, 2])\n"
        + _ASK.format(allowed="allowed"),
    ),
    "a function with a global state": (
        "stateful-processor",
        "at = 0\ndef allowed(batch_id, sent):\n    global at\n    at += 1\n"
        "    return [words[at]]\n" + _ASK.format(allowed="allowed"),
    ),
    "a function with a state of its maker's": (
        "stateful-processor",
        "def make(words):\n    at = 0\n    def allowed(batch_id, sent):\n        nonlocal at\n"
        "        at = at + 1\n        return words[at]\n    return allowed\n"
        "allowed = make([[1], [2]])\n" + _ASK.format(allowed="allowed"),
    ),
    "a method with a state, in a lambda": (
        "stateful-processor",
        _ALLOWED.format(does=_STEPS).replace("__call__", "allowed")
        + "words = Allowed([1, 2])\n"
        + _ASK.format(allowed="lambda row, sent: words.allowed(row, sent)"),
    ),
    "a function that counts in a list": (
        "stateful-processor",
        "at = [0]\ndef allowed(batch_id, sent):\n    at[0] += 1\n"
        "    return [words[at[0]]]\n" + _ASK.format(allowed="allowed"),
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
SOUND = {
    "a default where temperature is None": _SETTINGS.format(
        does="settings = {'temperature': self.temperature if temperature is None else temperature}"
    ),
    "a default of 0 for temperature": _SETTINGS.format(
        does="settings = {'temperature': temperature or 0.0}"
    ),
    "a temperature that is no 0 where it divides": _SETTINGS.format(
        does="settings = {'temperature': temperature or 1e-5}"
    ),
    "a temperature of 0 that is asked for first": _SETTINGS.format(
        does="if temperature == 0:\n            return model.generate(**inputs, do_sample=False, "
        "max_new_tokens=5)\n        settings = {'temperature': temperature or self.temperature}"
    ),
    "a model's name or a default": _SETTINGS.format(
        does="name = options.get('name') or 'writer'\n        settings = {}"
    ),
    "a template with doubled braces in an attribute": _TEMPLATE.format(
        fills="format(text=text)", given="'As JSON: {{\"name\": 1}}. {text}'"
    ),
    "a template with JSON that is replaced": _TEMPLATE.format(
        fills="replace('{text}', text)", given="'As JSON: {\"name\": 1}. {text}'"
    ),
    "a template with JSON beside another's format": _TEMPLATE.format(
        fills="format(text=text)", given="'Say: {text}'"
    )
    + "EXAMPLE = '{\"name\": 1}'\nprint(EXAMPLE)",
    "minus infinity below the top k": _TOP_K.format(
        value="-float('inf')", then="top_k(model(inputs.input_ids).logits[:, -1], 40).softmax(-1)"
    ),
    "a small number below the top k of chances": _TOP_K.format(
        value="1e-10", then="top_k(model(inputs.input_ids).logits[:, -1].softmax(-1), 40)"
    ),
    "a small number in chances": "chances = model(inputs.input_ids).logits[:, -1].softmax(-1)\n"
    "chances[chances < 0.1] = 1e-10",
    "a slice by ids": _AGAIN.format(then="count = len(new)\nkept = out.scores[:count]"),
    "a history's tokens counted": _AGAIN.format(
        then="history = [answer]\nused = len(tokenizer(answer).input_ids)\nroom = 100 - used"
    ),
    "a prompt's tokens counted": _AGAIN.format(
        then="kept = out.sequences[:, len(tokenizer.encode(prompt)) :]"
    ),
    "an object that works from the ids": _ALLOWED.format(
        does="self.at = len(sent) - 3\n        return [self.ids[self.at]]"
    )
    + "allowed = Allowed([1, 2])\n"
    + _ASK.format(allowed="allowed"),
    "an object with a state, made for each call": _ALLOWED.format(does=_STEPS)
    + _ASK.format(allowed="Allowed([1, 2])"),
    "an object that counts its calls": _ALLOWED.format(
        does="self.calls += 1\n        return self.ids"
    )
    + "allowed = Allowed([1, 2])\n"
    + _ASK.format(allowed="allowed"),
    "an object with a state, asked once": _ALLOWED.format(does=_STEPS)
    + "allowed = Allowed([1, 2])\nout = model.generate(**inputs, max_new_tokens=5, "
    "do_sample=False, prefix_allowed_tokens_fn=allowed)",
    "an object that is set back": _ALLOWED.format(does=_STEPS)
    + "allowed = Allowed([1, 2])\n"
    + _ASK.format(allowed="allowed").replace("    ask(each)", "    allowed.at = 0\n    ask(each)"),
    "a method without a state, beside one with": _ALLOWED.format(does=_STEPS)
    + "    def plain(self, batch_id, sent):\n        return self.ids\n"
    + "allowed = Allowed([1, 2])\n"
    + _ASK.format(allowed="allowed.plain"),
    "an object that keeps what it looked up": _ALLOWED.format(
        does="key = tuple(sent.tolist())\n        if key not in self.ids:\n"
        "            self.ids[key] = look(key)\n        return self.ids[key]"
    )
    + "allowed = Allowed({})\n"
    + _ASK.format(allowed="allowed"),
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
