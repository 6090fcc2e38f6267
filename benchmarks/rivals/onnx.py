"""A rung of the ladder: ONNX Runtime GenAI with a converted model, in an environment of its own.

    python -m benchmarks.rivals.onnx FOLDER
    python -m benchmarks.rivals.onnx FOLDER --make int4 --of MODEL_FOLDER    # convert, and end

The package's own converter rounds the model's float32 weights anew, in groups of 32.
"""

import json
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import onnxruntime_genai

from benchmarks.protocol import rung_arguments, serve

RARE = 7  # <gh_stars>, in place of the end of a text: nothing stops early


class Model:
    """A converted model, with so many threads."""

    def __init__(self, folder: Path, threads: int):
        config = onnxruntime_genai.Config(str(folder))
        options = {"intra_op_num_threads": threads}
        overlay = {"model": {"eos_token_id": RARE, "decoder": {"session_options": options}}}
        config.overlay(json.dumps(overlay))
        self.model = onnxruntime_genai.Model(config)

    def stream(self, prompt: list[int], new_tokens: int) -> Iterator[int]:
        """Yield the new tokens, greedily."""
        asked = onnxruntime_genai.GeneratorParams(self.model)
        asked.set_search_options(max_length=len(prompt) + new_tokens, do_sample=False)
        generator = onnxruntime_genai.Generator(self.model, asked)
        generator.append_tokens(prompt)
        for _ in range(new_tokens):
            generator.generate_next_token()
            yield int(generator.get_next_tokens()[0])


def convert(model_folder: str, precision: str, made: Path) -> None:
    """Write the model as ONNX: "int4" or "int8" weights in groups of 32, "fp32" as they are."""
    sys.argv = ["builder", "-i", model_folder, "-o", str(made), "-p", precision, "-e", "cpu"]
    sys.argv += ["--extra_options", "int4_block_size=32"]
    runpy.run_module("onnxruntime_genai.models.builder", run_name="__main__")


def weight_bytes(folder: Path) -> int:
    """Return the bytes of the weights, without tables of which a step reads one row."""
    import onnx

    read = onnx.load(folder / "model.onnx", load_external_data=False).graph.initializer
    sizes = {one.name: size_of(one) for one in read}
    tables = ("cos_cache", "sin_cache", "model.embed_tokens.weight")
    return sum(size for name, size in sizes.items() if name not in tables)


def size_of(tensor) -> int:
    """Return the bytes of a tensor, in the model's file or beside it."""
    beside = {entry.key: entry.value for entry in tensor.external_data}
    return int(beside["length"]) if "length" in beside else len(tensor.raw_data)


def main() -> None:
    parser = rung_arguments(__doc__, "ONNX Runtime")
    parser.add_argument("folder", type=Path, help="of a converted model")
    parser.add_argument("--make", metavar="PRECISION", help="convert into the folder, and end")
    parser.add_argument("--of", metavar="MODEL_FOLDER", help="what to convert")
    args = parser.parse_args()
    if args.make:
        convert(args.of, args.make, args.folder)
        return
    serve(
        Model(args.folder, args.threads).stream,
        name=args.name,
        weight_bytes=weight_bytes(args.folder),
        version=f"onnxruntime-genai {onnxruntime_genai.__version__}",
        threads=args.threads,
    )


if __name__ == "__main__":
    main()
