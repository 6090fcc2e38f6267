"""Questions about passages: for the long passage the model says something, but not what was asked."""

import llmcourse

model, tok = llmcourse.load()
SHORT = "Ada lives in Oslo. She has a red bicycle. "
LONG = SHORT + "The streets of the town are narrow, and the trams go late at night. " * 12


class WindowService:
    def __init__(self, max_request_length=120):
        self.max_request_length = max_request_length

    def truncate(self, text):
        return tok(text, truncation=True, max_length=self.max_request_length, return_tensors="pt")


def run_scenario(passage, question, window_service):
    prompt = f"Passage: {passage}\nQuestion: {question}\nAnswer:"
    inputs = window_service.truncate(prompt)
    made = model.generate(**inputs, max_new_tokens=16, do_sample=False)
    return tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


for passage in (SHORT, LONG):
    print(repr(run_scenario(passage, "Which colour is Ada's bicycle?", WindowService())))
