"""Own searches, numbers of an output, configs and criteria for test_static.py."""

_BEAMS = """\
ids = inputs.input_ids.repeat(4, 1)
out = model(ids, use_cache=True)
scores = torch.zeros(4)
with torch.no_grad():
    for _ in range(9):
        out = model(ids[:, -1:], past_key_values=out.past_key_values, use_cache=True)
        steps = out.logits[:, -1].log_softmax(-1) + scores[:, None]
        scores, best = steps.flatten().topk(4)
        parent, token = best // steps.shape[1], best % steps.shape[1]
        {cache}
        ids = torch.cat([ids[parent], token[:, None]], dim=1)
"""
_FILTER = """\
def top_p(logits, p):
    ordered, where = torch.sort(logits, descending=True)
    drop = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1) > p
    {then}
"""
_GAP = """\
{before}out = model(**inputs, past_key_values=cache)
for layer in cache.layers:
    layer.keys = torch.cat([layer.keys[:, :, :{first}], layer.keys[:, :, {last}]], dim=2)
"""
_SEARCH = """\
made = model.generate(**inputs, num_beams=3, max_new_tokens=9{more}, output_scores=True,
    return_dict_in_generate=True)
steps = model.compute_transition_scores(made.sequences, made.scores, made.beam_indices)
"""
_HIDDEN = """\
made = model.generate(**inputs, max_new_tokens=9, output_hidden_states=True,
    return_dict_in_generate=True)
new = made.sequences[0, inputs.input_ids.shape[1] :]
"""
_LOSS = "ids = inputs.input_ids\nwith torch.no_grad():\n    out = model(ids, labels=ids)\n"
_CONFIG = """\
config = transformers.AutoConfig.from_pretrained("some/model")
{more}made = AutoModelForCausalLM.from_config(config)
made.generate(**inputs, max_new_tokens=5)
"""
_ASKS = "model.generate(**inputs, max_new_tokens=5)\n"
_ENDS = """\
class Ends(transformers.StoppingCriteria):
    def __call__(self, input_ids, scores, **kwargs):
        done = []
        for row in input_ids:
            {turn}
        return all(done)
"""
_INNER = """for stop in self.stops:
                if row[-len(stop):].tolist() == stop:
                    done.append(True)
                    {leaves}
            """

FAULTY = {
    "beams without their caches": ("cache-not-reordered", _BEAMS.format(cache="pass")),
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
    "the middle of a cache": (
        "cache-with-a-gap",
        _GAP.format(before="", first="4", last="-8:"),
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
        _LOSS + "total = -out.loss.item() * ids.shape[1]",
    ),
    "all tokens times the loss": (
        "loss-times-all-tokens",
        _LOSS + "n = ids.size(1)\nloss = out.loss\ntotal = n * loss",
    ),
    "new tokens with the steps' states": (
        "hidden-states-misaligned",
        _HIDDEN + "steps = [step[-1][0] for step in made.hidden_states]\n"
        "for token, state in zip(new, steps):\n    print(token, state.norm())",
    ),
    "a config's model": ("config-without-weights", _CONFIG.format(more="")),
    "a setting misspelt in the config": (
        "misspelt-setting",
        "model.config.update({'num_beans': 4})\n" + _ASKS,
    ),
    "a setting misspelt as an attribute": (
        "misspelt-setting",
        "model.generation_config.eos_token_ids = [1, 2]\n" + _ASKS,
    ),
    "a setting misspelt in a config of its own": (
        "misspelt-setting",
        "config = transformers.GenerationConfig(max_new_token=5)\n"
        "model.generate(**inputs, generation_config=config, max_new_tokens=5)",
    ),
    "a criterion that finds False": (
        "criterion-never-true",
        _ENDS.format(turn=_INNER.format(leaves="break") + "done.append(False)"),
    ),
}

SOUND = {
    "beams with their caches": _BEAMS.format(cache="out.past_key_values.reorder_cache(parent)"),
    "beams with caches by hand": _BEAMS.format(
        cache="past = [(k[parent], v[parent]) for k, v in out.past_key_values]"
    ),
    "beams without a cache": _BEAMS.format(cache="pass").replace(
        "ids[:, -1:], past_key_values=out.past_key_values, use_cache=True", "ids"
    ),
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
    "the end of a cache": _GAP.format(before="", first="4", last="4:").replace(
        "layer.keys[:, :, :4], layer.keys[:, :, 4:]", "layer.keys[:, :, 4:]"
    ),
    "a cache that is turned": _GAP.format(before="rotate = 1\n", first="4", last="-8:"),
    "two caches after one another": _GAP.format(before="", first="4", last="-8:").replace(
        "layer.keys[:, :, -8:]", "other.keys[:, :, -8:]"
    ),
    "a beam's score that is the sum": _SEARCH.format(more=", length_penalty=0.0")
    + "print(made.sequences_scores, steps.sum(1))",
    "a beam's score and the mean": _SEARCH.format(more="")
    + "print(made.sequences_scores, steps.sum(1) / 9)",
    "a beam's score alone": _SEARCH.format(more="") + "print(made.sequences_scores, steps)",
    "the loss times those predicted": _LOSS + "total = -out.loss.item() * (ids.shape[1] - 1)",
    "the loss times the texts": _LOSS + "total = out.loss * ids.shape[0]",
    "losses weighted by length": _LOSS
    + "total = 0\nfor one in [1, 2]:\n    total += out.loss.item() * ids.shape[1]",
    "the last place of each step": _HIDDEN
    + "steps = [step[-1][0, -1] for step in made.hidden_states]\n"
    "for token, state in zip(new, steps):\n    print(token, state.norm())",
    "all states after one another": _HIDDEN
    + "states = torch.cat([step[-1] for step in made.hidden_states], dim=1)\n",
    "steps and their numbers": _HIDDEN + "steps = [step[-1] for step in made.hidden_states]\n"
    "for n, state in zip(range(9), steps):\n    print(n, state.shape)",
    "a config's model that is filled": _CONFIG.format(more="")
    + "made.load_state_dict(torch.load('x', weights_only=True))",
    "a small model of a config": _CONFIG.format(more="config.num_hidden_layers = 2\n"),
    "a model of no checkpoint's config": "made = AutoModelForCausalLM.from_config(small)\n"
    "made.generate(**inputs, max_new_tokens=5)",
    "names of a config's own": "model.config.use_cache = True\nmodel.config.num_heads = 4\n"
    "model.config.sep_token_id = 1\nmodel.config.pad_token_id = 0\n"
    "model.generation_config.cls_token_id = 1\nother.eos_token_ids = 1\n" + _ASKS,
    "a criterion that goes on": _ENDS.format(
        turn="if row[-1] == 2:\n                done.append(True)\n                continue\n"
        "            done.append(False)"
    ),
    "a criterion with an else": _ENDS.format(
        turn=_INNER.format(leaves="break") + "else:\n                done.append(False)"
    ),
}
