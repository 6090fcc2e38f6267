"""Calls, their settings and lengths, for test_static.py: faulty lines and sound ones."""

_ASKS = "model.generate(**inputs, max_new_tokens=5)\n"
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


_HI = "messages = [{'role': 'user', 'content': 'Hello'}]\n"
_CUT = "new = out[0][inputs['input_ids'].shape[1]:]\n"
_ASKED = "out = model.generate(**inputs, max_new_tokens=5)\n" + _CUT
_SETTINGS = """\
class Writer:
    def __init__(self, temperature=0.7, seed=1):
        self.temperature, self.seed = temperature, seed
    def ask(self, temperature=None, seed=None, **options):
        {does}
        return model.generate(**inputs, do_sample=True, max_new_tokens=5, **settings)
"""
_OUT = "out = model.generate(**inputs, max_new_tokens=5)\n"

# What is wrong, in a line or a few: the code, by what somebody wrote.
FAULTY = {
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
    "a criterion that is no list": (
        "argument-of-wrong-kind",
        _stops("return input_ids[:, -1] == 13")
        + "model.generate(**inputs, stopping_criteria=stop)",
    ),
    "an end by its text, once more": (
        "argument-of-wrong-kind",
        "model.generate(**inputs, eos_token_id='</s>')",
    ),
    # Lengths
    "a length in characters": (
        "length-in-other-units",
        "model.generate(**inputs, max_length=len(prompt) + 50)",
    ),
    "a length in words": (
        "length-in-other-units",
        "model.generate(**inputs, max_new_tokens=2 * len(prompt.split()))",
    ),
    "a length in characters of the longest": (
        "length-in-other-units",
        "texts = ['one', 'two']\nbatch = tokenizer(texts, padding=True, return_tensors='pt')\n"
        "longest = max(len(text) for text in texts)\n"
        "model.generate(**batch, max_new_tokens=512 - longest)",
    ),
    "a length in rows": (
        "length-in-other-units",
        "model.generate(**inputs, max_length=len(inputs['input_ids']) + 50)",
    ),
    "a length in fields": (
        "length-in-other-units",
        "model.generate(**inputs, max_length=len(inputs) + 50)",
    ),
    "new tokens and the prompt": (
        "prompt-counted-as-new",
        "model.generate(**inputs, max_new_tokens=inputs.input_ids.shape[1] + 50)",
    ),
    "fields are counted": ("length-of-another-thing", "n_tokens = len(inputs)"),
    "rows are counted": (
        "length-of-another-thing",
        "n_tokens = len(tokenizer.encode(prompt, return_tensors='pt'))",
    ),
    "rows of ids are counted": (
        "length-of-another-thing",
        "room = 2048 - max_tokens - len(inputs['input_ids'])",
    ),
    "characters at a limit of tokens": (
        "characters-cut-as-tokens",
        "def ask(text):\n    text = text[: tokenizer.model_max_length]\n"
        "    return model.generate(**tokenizer(text, return_tensors='pt'))",
    ),
    "the last characters in a message": (
        "characters-cut-as-tokens",
        "messages = [{'role': 'user', 'content': document[-MAX_TOKENS:]}]",
    ),
    "the fields of a chat are counted": (
        "length-of-another-thing",
        _HI + "used = len(tokenizer.apply_chat_template(messages))",
    ),
    "characters compared with tokens": (
        "characters-cut-as-tokens",
        "if len(prompt) > tokenizer.model_max_length:\n    raise ValueError",
    ),
    "characters at a tokenizer's limit": (
        "characters-cut-as-tokens",
        "def ask(text, most):\n    return tokenizer(text[:most], max_length=most)",
    ),
    "a list of processors for nobody": (
        "config-never-used",
        "bans = transformers.LogitsProcessorList([ban])\n" + _ASKED,
    ),
    "a criterion of one's own for nobody": (
        "config-never-used",
        "class Stop(transformers.StoppingCriteria):\n"
        "    def __call__(self, input_ids, scores, **kwargs):\n"
        "        return input_ids[:, -1] == self.end\nstop = Stop()\n" + _ASKED,
    ),
    "a seed in a function that draws": (
        "same-seed-each-call",
        """\
def sample(prompt):
    torch.manual_seed(0)
    inputs = tokenizer(prompt, return_tensors="pt")
    out = model.generate(**inputs, do_sample=True, max_new_tokens=8)
    return tokenizer.decode(out[0, inputs["input_ids"].shape[1]:])
print([sample("Once upon a time") for _ in range(3)])
""",
    ),
    "a misspelt setting in a dictionary": (
        "misspelt-setting",
        """\
from transformers import GenerationConfig
config = GenerationConfig.from_dict({"max_new_tokens": 20, "temprature": 0.7, "do_sample": True})
model.generate(**tokenizer("a", return_tensors="pt"), generation_config=config)
""",
    ),
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
}

# What only looks like it.
SOUND = {
    "names of a config's own": "model.config.use_cache = True\nmodel.config.num_heads = 4\n"
    "model.config.sep_token_id = 1\nmodel.config.pad_token_id = 0\n"
    "model.generation_config.cls_token_id = 1\nother.eos_token_ids = 1\n" + _ASKS,
    "a fence in a file": "found = re.search(r'```(.*?)```', open('a.md').read())",
    "a sum evaluated": "total = eval('1 + 1')",
    "a number of the command line": "count = int(input())",
    "a version's pattern on a file": "found = re.search('[0-9.]+', open('a.txt').read())",
    "a user's text in one case": "ends = input().lower() == 'Quit'",
    "a single row's length": _OUT + "count = len(out[0]) - inputs.input_ids.shape[1]",
    "a criterion in a list": _stops("return input_ids[:, -1] == 13")
    + "model.generate(**inputs, stopping_criteria=[stop])",
    # Lengths
    "a length in tokens": "model.generate(**inputs, max_length=inputs.input_ids.shape[1] + 50)",
    "a length of a row": "model.generate(**inputs, max_length=len(inputs.input_ids[0]) + 50)",
    "a length of encoded ids": "ids = tokenizer.encode(prompt)\n"
    "model.generate(torch.tensor([ids]), max_length=len(ids) + 50)",
    "what is left of the room": "model.generate(**inputs, "
    "max_new_tokens=512 - inputs.input_ids.shape[1])",
    "a template in Jinja": (
        "tokenizer.chat_template = '{% for m in messages %}<|im_start|>user {{ m }}{% endfor %}'\n"
        + _ASKED
    ),
    "pairs as pairs": "chats = [('user', 'Hello')]\nfor role, said in chats:\n    print(said)",
    "messages by number": (
        _HI + "messages.append({'role': 'user', 'content': 'And?'})\n"
        "for i, one in enumerate(messages):\n    print(one['role'])"
    ),
    "a tokenizer of one's own": "tok = OurTokenizer('a.json', add_generation_prompt=True)",
    "an entry of an encoding": "row = inputs['input_ids'][0]\nmore = inputs.input_ids[:, :-1]",
    "rows are counted as rows": "rows = len(inputs['input_ids'])",
    "ids are counted": "n_tokens = len(tokenizer(prompt)['input_ids'])",
    "the vocabulary is counted": "model.resize_token_embeddings(len(tokenizer))",
    "ids are cut": "ids = ids[: tokenizer.model_max_length]\ntokens = tokens[-max_tokens:]",
    "characters by a limit of characters": (
        "def ask(text):\n    text = text[: 4 * max_tokens]\n    short = text[:MAX_CHARACTERS]\n"
        "    return tokenizer(text), tokenizer(short)"
    ),
    "processors for a call": (
        "bans = transformers.LogitsProcessorList([ban])\nmodel.generate(logits_processor=bans)"
    ),
    "a pattern of a template": "re.findall(r'\\{.*?\\}', TEMPLATE)\n" + _ASKED,
    "a number of another text": r"re.search(r'\d+', filename)" + "\n" + _ASKED,
    "a seed for each prompt, once more": """\
def sample(prompt):
    torch.manual_seed(0)
    inputs = tokenizer(prompt, return_tensors="pt")
    out = model.generate(**inputs, do_sample=True, max_new_tokens=8)
    return tokenizer.decode(out[0, inputs["input_ids"].shape[1]:])
print([sample(p) for p in prompts])
""",
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
}
