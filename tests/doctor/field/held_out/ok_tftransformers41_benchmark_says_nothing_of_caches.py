"""A benchmark of generate: nothing in it asks for a cache of keys and values."""

import time

import llmcourse

model, tokenizer = llmcourse.load()
tokenizer.chat_template = None


class Benchmark:
    def __init__(self, texts, new_tokens):
        self.texts, self.new_tokens = texts, new_tokens

    def run(self, batch_size):
        tokens, start = 0, time.perf_counter()
        for i in range(0, len(self.texts), batch_size):
            batch = tokenizer(self.texts[i : i + batch_size], padding=True, return_tensors="pt")
            made = model.generate(
                **batch,
                do_sample=False,
                max_new_tokens=self.new_tokens,
                min_new_tokens=self.new_tokens,
            )
            tokens += made[:, batch["input_ids"].shape[1] :].numel()
        return tokens / (time.perf_counter() - start)


texts = ["The train to the north leaves", "In the garden there are", "She opened the letter and"]
print(f"{Benchmark(texts, new_tokens=12).run(batch_size=3):.1f} tokens a second")
