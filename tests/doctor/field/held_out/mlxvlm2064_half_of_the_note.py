"""Calls in Python's spelling: the tool gets half of what the model wrote."""

import re

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
CALL = re.compile(r"(\w+)\((.*)\)", re.DOTALL)
ARGUMENT = re.compile(r"(\w+)=(?:\"([^\"]*)\"|([^,]+))(?:,\s*|$)", re.DOTALL)
PROMPT = """User: Tell Ann that the train is late.
Call: send(to='Ann', text='The train is late.')
User: Tell Tom that we need bread, milk and eggs.
Call: send(to='Tom', text='We need bread, milk and eggs.')
User: Tell {name} that we need {things}.
Call:"""


def parse_tool_call(text):
    name, arguments = CALL.search(text).groups()
    values = {}
    for key, quoted, bare in ARGUMENT.findall(arguments):
        values[key] = (quoted or bare).strip().strip("'")
    return {"name": name, "arguments": values}


def call(**fields):
    inputs = tok(PROMPT.format(**fields), return_tensors="pt")
    made = model.generate(**inputs, max_new_tokens=32, do_sample=False)
    text = tok.decode(made[0, inputs.input_ids.shape[1] :], skip_special_tokens=True)
    return text.split("\n")[0]


text = call(name="Lisa", things="apples, pears and plums")
print(text)
print(parse_tool_call(text))
