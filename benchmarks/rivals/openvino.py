"""A rung of the ladder: OpenVINO GenAI with a GGUF file, in an environment with openvino-genai.

python -m benchmarks.rivals.openvino model.gguf
"""

import importlib.metadata
import time

import numpy
import openvino
import openvino_genai

from benchmarks.protocol import rung_arguments, serve_timed


class Model:
    """A model that OpenVINO made from a GGUF file, whose weights keep their bits."""

    def __init__(self, file: str, threads: int):
        asked = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
        self.pipeline = openvino_genai.LLMPipeline(file, "CPU", **asked)

    def answer(self, prompt: list[int], new_tokens: int) -> dict:
        """Return the new tokens, greedily, and the seconds to the first and to the last."""
        config = openvino_genai.GenerationConfig()
        config.max_new_tokens, config.ignore_eos, config.do_sample = new_tokens, True, False
        config.apply_chat_template = False
        times = Times()
        started = time.perf_counter()
        ids = openvino.Tensor(numpy.array([prompt], dtype=numpy.int64))
        tokens = self.pipeline.generate(ids, config, times).tokens[0]
        first = times.first - started
        return {"tokens": list(map(int, tokens)), "first": first, "rest": times.last - times.first}


class Times(openvino_genai.StreamerBase):
    """When the first and the last token came."""

    def __init__(self):
        super().__init__()
        self.first = self.last = None

    def write(self, token) -> openvino_genai.StreamingStatus:
        self.last = time.perf_counter()
        self.first = self.first or self.last
        return openvino_genai.StreamingStatus.RUNNING

    def end(self) -> None:
        """Nothing is left to do."""


def main() -> None:
    parser = rung_arguments(__doc__, "OpenVINO GenAI")
    parser.add_argument("file", help="a model as GGUF")
    parser.add_argument("--weight-bytes", type=int, required=True, help="of the file's weights")
    args = parser.parse_args()
    serve_timed(
        Model(args.file, args.threads).answer,
        name=args.name,
        weight_bytes=args.weight_bytes,
        version=f"openvino-genai {importlib.metadata.version('openvino-genai')}",
        threads=args.threads,
    )


if __name__ == "__main__":
    main()
