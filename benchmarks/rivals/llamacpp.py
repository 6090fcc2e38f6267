"""A rung of the ladder: llama.cpp with a GGUF file, in an environment with llama-cpp-python.

    python -m benchmarks.rivals.llamacpp model.gguf
    python -m benchmarks.rivals.llamacpp model.gguf --make-q8 other.gguf    # 8 bits, and ends

It calls llama.cpp's own functions, not the package's loop around them, which copies all logits in
each step: llama.cpp's own greedy sampler picks the token.
"""

from collections.abc import Iterator

import llama_cpp

from benchmarks.protocol import rung_arguments, serve

ROOM = 2048  # tokens, of prompt and answer
quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)


class Model:
    """A model and its context, both freed when the process ends."""

    def __init__(self, file: str, threads: int, one_by_one: bool):
        self.one_by_one = one_by_one
        asked = llama_cpp.llama_model_default_params()
        self.model = llama_cpp.llama_model_load_from_file(file.encode(), asked)
        if not self.model:
            raise OSError(f"llama.cpp cannot read {file}.")
        asked = llama_cpp.llama_context_default_params()
        asked.n_ctx = asked.n_batch = ROOM
        asked.n_threads = asked.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(self.model, asked)
        self.greedy = llama_cpp.llama_sampler_init_greedy()
        self.weight_bytes = llama_cpp.llama_model_size(self.model)

    def stream(self, prompt: list[int], new_tokens: int) -> Iterator[int]:
        """Yield the new tokens, greedily; raises RuntimeError where llama.cpp fails."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)
        for part in [[number] for number in prompt] if self.one_by_one else [prompt]:
            self._read(part)
        for left in reversed(range(new_tokens)):
            token = llama_cpp.llama_sampler_sample(self.greedy, self.context, -1)
            yield token
            if left:
                self._read([token])

    def _read(self, ids: list[int]) -> None:
        tokens = (llama_cpp.llama_token * len(ids))(*ids)
        batch = llama_cpp.llama_batch_get_one(tokens, len(ids))
        if status := llama_cpp.llama_decode(self.context, batch):
            raise RuntimeError(f"llama_decode returned {status}.")


def make_q8(file: str, made: str) -> None:
    """Write the model with 8 bits for each weight (Q8_0)."""
    asked = llama_cpp.llama_model_quantize_default_params()
    asked.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0
    asked.allow_requantize = True
    if llama_cpp.llama_model_quantize(file.encode(), made.encode(), asked):
        raise OSError(f"llama.cpp cannot write {file} with 8 bits.")


def main() -> None:
    parser = rung_arguments(__doc__, "llama.cpp")
    parser.add_argument("file", help="a model as GGUF")
    parser.add_argument("--one-by-one", action="store_true", help="so read the prompt's tokens")
    parser.add_argument("--make-q8", metavar="FILE", help="write the model with 8 bits, and end")
    args = parser.parse_args()
    llama_cpp.llama_log_set(quiet, None)
    llama_cpp.llama_backend_init()
    if args.make_q8:
        make_q8(args.file, args.make_q8)
        return
    model = Model(args.file, args.threads, args.one_by_one)
    serve(
        model.stream,
        name=args.name,
        weight_bytes=model.weight_bytes,
        version=f"llama-cpp-python {llama_cpp.__version__}",
        threads=args.threads,
    )


if __name__ == "__main__":
    main()
