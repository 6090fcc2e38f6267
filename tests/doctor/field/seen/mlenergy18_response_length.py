"""A benchmark of a small model: thirty tokens at most, and its answers are longer than that."""

import time

import llmcourse

SYSTEM = "Answer in one or two sentences."


class Benchmark:
    def __init__(self, model, tok, max_new_tokens=30):
        self.model, self.tok = model, tok
        self.max_new_tokens = max_new_tokens
        self.results = []

    def run(self, question):
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]
        inputs = self.tok.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        start = time.perf_counter()
        made = self.model.generate(**inputs, max_new_tokens=self.max_new_tokens)
        latency = time.perf_counter() - start
        new = made[0, inputs["input_ids"].shape[1] :]
        response = self.tok.decode(new, skip_special_tokens=True)
        response_length = len(response)
        self.results.append(
            {
                "response_length": response_length,
                "latency": latency,
                "tokens_per_second": response_length / latency,
            }
        )


benchmark = Benchmark(*llmcourse.load())
for question in ("Why is the sky blue?", "What is a fjord?"):
    benchmark.run(question)
for result in benchmark.results:
    print(result)
