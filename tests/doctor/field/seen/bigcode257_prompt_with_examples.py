"""Programs from a prompt with examples: fine for the short problem, an error for the one with a long text."""

import warnings

import llmcourse

model, tok = llmcourse.load()
SHORT = 'def double(x):\n    """Return x times two."""\n'
LONG = "# " + "The words of a text are counted, and each word once. " * 6 + "\ndef count(text):\n"


class Arguments:
    max_length_generation = 64
    do_sample = False


def complete_code(prompts, args):
    gen_kwargs = {"do_sample": args.do_sample, "max_length": args.max_length_generation}
    programs = []
    for prompt in prompts:
        inputs = tok(prompt, return_tensors="pt")
        print("tokens of the prompt:", inputs.input_ids.shape[1])
        made = model.generate(**inputs, **gen_kwargs)
        programs.append(tok.decode(made[0, inputs.input_ids.shape[1] :]))
    return programs


warnings.simplefilter("ignore")
for program in complete_code([SHORT, LONG], Arguments()):
    print(repr(program))
