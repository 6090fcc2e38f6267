"""Greedy, then beams, then greedy again: the third text is not the first."""

import llmcourse

DEFAULT_SETTINGS = {"max_new_tokens": 20, "do_sample": False, "num_beams": 1, "length_penalty": 1.0}


def get_settings(method, **changed):
    settings = DEFAULT_SETTINGS
    if method == "beam-search":
        settings["num_beams"] = 4
        settings["early_stopping"] = True
    elif method != "greedy":
        raise ValueError(f"unknown method: {method}")
    settings.update(changed)
    return settings


class ChattingGPT2:
    def __init__(self):
        self.model, self.tok = llmcourse.load()

    def generate_text(self, text, method="greedy", **changed):
        inputs = self.tok(text, return_tensors="pt")
        made = self.model.generate(**inputs, **get_settings(method, **changed))
        return self.tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


writer = ChattingGPT2()
text = "The old man went down to the harbour and"
first = writer.generate_text(text, method="greedy")
beams = writer.generate_text(text, method="beam-search")
again = writer.generate_text(text, method="greedy")
print(first, beams, again, sep="\n")
print("the same:", first == again)
