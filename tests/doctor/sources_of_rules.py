"""Processors and functions of allowed tokens, for test_static.py: faulty lines and sound ones."""

_PROCESSOR = """\
class Only(transformers.LogitsProcessor):
    def __init__(self, ids):
        self.ids = ids
    def __call__(self, {takes}):
        {does}
"""


def _processor(does: str, takes: str = "input_ids, scores") -> str:
    return _PROCESSOR.format(does=does.replace("\n", "\n        "), takes=takes)


_CRITERION = """\
class Sure(transformers.StoppingCriteria):
    def __call__(self, input_ids, scores, **kwargs):
        {does}
"""
_IDS = "ids = inputs.input_ids\nwith torch.no_grad():\n    logits = model(ids).logits\n"
_ALLOWED = """\
choices = [[1], [2], [tokenizer.eos_token_id]]
def allowed({takes}):
    {does}
model.generate(**inputs, max_new_tokens=5, prefix_allowed_tokens_fn={given})
"""


def _allowed(does: str, takes: str = "row, ids", given: str = "allowed") -> str:
    return _ALLOWED.format(does=does, takes=takes, given=given)


_ENDS = "input_ids, scores, **kwargs"
_STOP = """\
class Stop(transformers.StoppingCriteria):
    def __init__(self, words):
        self.words = words
    def __call__(self, {takes}):
        {does}
stop = Stop({given})
"""


def _stops(does: str, takes: str = _ENDS, given: str = "['User:', '###']") -> str:
    return _STOP.format(takes=takes, does=does, given=given)


_ASK = """\
def ask(inputs):
    return model.generate(**inputs, max_new_tokens=5, do_sample=False,
        prefix_allowed_tokens_fn={allowed})
for each in rows:
    ask(each)
"""
_REMEMBERS = """\
class Allowed:
    def __init__(self, ids):
        self.ids, self.at = ids, 0
    def __call__(self, batch_id, sent):
        {does}
"""
_STEPS = "self.at = self.at + 1\n        return [self.ids[self.at]]"

# What is wrong, in a line or a few: the code, by what somebody wrote.
FAULTY = {
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
    "a copy that is changed": (
        "processor-changes-a-copy",
        _processor("new = scores.clone()\nnew[:, self.ids] = -9\nreturn scores"),
    ),
    "a method that looks up the whole row": (
        "allowed-counts-prompt",
        "class Allowed:\n    def ask(self, row, ids):\n"
        "        return self.trie.get(tuple(ids.tolist()), [0])\n"
        "rule = Allowed()\n"
        "model.generate(**inputs, max_new_tokens=5, prefix_allowed_tokens_fn=rule.ask)",
    ),
    "a trie asked for the whole row": (
        "allowed-counts-prompt",
        "model.generate(**inputs, max_new_tokens=5,\n"
        "    prefix_allowed_tokens_fn=lambda row, ids: trie.get(ids.tolist()))",
    ),
    "a criterion with one way out": (
        "processor-returns-none",
        _stops("if input_ids[0, -1] == 13:\n            return True"),
    ),
    "a criterion that returns a list": (
        "criterion-of-wrong-form",
        _stops("return [bool(row[-1] == 13) for row in input_ids]"),
    ),
    "a criterion without scores": (
        "criterion-of-wrong-form",
        _stops("return input_ids[:, -1] == 13", takes="input_ids"),
    ),
    "a criterion in a list without brackets": (
        "list-of-no-list",
        _stops("return input_ids[:, -1] == 13")
        + "ends = transformers.StoppingCriteriaList(stop)\n"
        + "model.generate(**inputs, stopping_criteria=ends)",
    ),
    "an object with a state, asked again": (
        "stateful-processor",
        _REMEMBERS.format(does=_STEPS)
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
        _REMEMBERS.format(does=_STEPS).replace("__call__", "allowed")
        + "words = Allowed([1, 2])\n"
        + _ASK.format(allowed="lambda row, sent: words.allowed(row, sent)"),
    ),
    "a function that counts in a list": (
        "stateful-processor",
        "at = [0]\ndef allowed(batch_id, sent):\n    at[0] += 1\n"
        "    return [words[at[0]]]\n" + _ASK.format(allowed="allowed"),
    ),
}

# What only looks like it.
SOUND = {
    "hidden states of one's own model": "class Model(torch.nn.Module):\n"
    "    def forward(self, ids):\n        return self.inner(ids)\n"
    "print(model(ids).hidden_states[0])",
    "a softmax by hand": _IDS + "last = logits[:, -1]\n"
    "parts = torch.exp(last)\nprint(parts / parts.sum(-1, keepdim=True))",
    "probabilities of picked logits": _IDS + "probs = logits[0, -1, [5, 7]]\n"
    "probs = torch.softmax(probs, dim=-1)",
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
    "a copy that is returned": _processor(
        "new = scores.clone()\nnew[:, self.ids] = -9\nreturn new"
    ),
    "a copy that is kept": _processor(
        "self.seen = scores.clone()\nbefore = scores.clone()\nscores[:, self.ids] -= 9\n"
        "self.moved = scores - before\nreturn scores"
    ),
    "a trie asked for the new ids": "n = inputs.input_ids.shape[1]\n"
    "model.generate(**inputs, max_new_tokens=5,\n"
    "    prefix_allowed_tokens_fn=lambda row, ids: trie.get(ids[n:].tolist()))",
    "a processor of another engine": "from vllm.v1.sample.logits_processor import LogitsProcessor\n"
    "class Mine(LogitsProcessor):\n    def apply(self, logits):\n        return logits",
    "a base of one's own": "class LogitsProcessor:\n    def __call__(self, ids, logits):\n"
    "        raise NotImplementedError\n"
    "class Mine(LogitsProcessor):\n    def __call__(self, ids, logits):\n        logits[0] = 1",
    "a criterion with two ways out": _stops(
        "if input_ids[0, -1] == 13:\n            return True\n"
        "        else:\n            return False"
    ),
    "a criterion that returns a tensor": _stops(
        "ends = [bool(row[-1] == 13) for row in input_ids]\n        return torch.tensor(ends)"
    ),
    "a criterion with any arguments": _stops("return False", takes="*args"),
    "an object that works from the ids": _REMEMBERS.format(
        does="self.at = len(sent) - 3\n        return [self.ids[self.at]]"
    )
    + "allowed = Allowed([1, 2])\n"
    + _ASK.format(allowed="allowed"),
    "an object with a state, made for each call": _REMEMBERS.format(does=_STEPS)
    + _ASK.format(allowed="Allowed([1, 2])"),
    "an object that counts its calls": _REMEMBERS.format(
        does="self.calls += 1\n        return self.ids"
    )
    + "allowed = Allowed([1, 2])\n"
    + _ASK.format(allowed="allowed"),
    "an object with a state, asked once": _REMEMBERS.format(does=_STEPS)
    + "allowed = Allowed([1, 2])\nout = model.generate(**inputs, max_new_tokens=5, "
    "do_sample=False, prefix_allowed_tokens_fn=allowed)",
    "an object that is set back": _REMEMBERS.format(does=_STEPS)
    + "allowed = Allowed([1, 2])\n"
    + _ASK.format(allowed="allowed").replace("    ask(each)", "    allowed.at = 0\n    ask(each)"),
    "a method without a state, beside one with": _REMEMBERS.format(does=_STEPS)
    + "    def plain(self, batch_id, sent):\n        return self.ids\n"
    + "allowed = Allowed([1, 2])\n"
    + _ASK.format(allowed="allowed.plain"),
    "an object that keeps what it looked up": _REMEMBERS.format(
        does="key = tuple(sent.tolist())\n        if key not in self.ids:\n"
        "            self.ids[key] = look(key)\n        return self.ids[key]"
    )
    + "allowed = Allowed({})\n"
    + _ASK.format(allowed="allowed"),
}
