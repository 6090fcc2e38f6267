"""A rung of the ladder: a model that optimum exported, run by OpenVINO or by ONNX Runtime.

    python -m benchmarks.rivals.exported openvino FOLDER --precision f32
    python -m benchmarks.rivals.exported onnx FOLDER
    python -m benchmarks.rivals.exported onnx FOLDER --make int8 --of MODEL_FOLDER    # and ends

Both are called as a model of transformers is, by `generate`: what optimum is for. Each needs a
transformers of its own, and so an environment of its own.
"""

import logging
import time
import warnings
from importlib import metadata
from pathlib import Path

from benchmarks.protocol import rung_arguments, serve_timed

PACKAGES = {
    "openvino": ("optimum-intel", "openvino"),
    "onnx": ("optimum-onnx", "onnxruntime"),
}


class Model:
    """A model with `generate`, and the clock that looks at its tokens."""

    def __init__(self, model):
        self.model = model

    def answer(self, prompt: list[int], new_tokens: int) -> dict:
        """Return the new tokens, greedily, and the seconds to the first and from there on."""
        import torch

        times = Times()
        ids = torch.tensor([prompt])
        asked = {"max_new_tokens": new_tokens, "do_sample": False, "eos_token_id": None}
        started = time.perf_counter()
        ids = self.model.generate(
            ids, attention_mask=torch.ones_like(ids), streamer=times, pad_token_id=0, **asked
        )
        first, last = times.seen[1], times.seen[-1]  # the prompt comes before them
        tokens = ids[0, len(prompt) :].tolist()
        return {"tokens": tokens, "first": first - started, "rest": last - first}


class Times:
    """A streamer: when the prompt and each new token came."""

    def __init__(self):
        self.seen = []

    def put(self, value) -> None:
        self.seen.append(time.perf_counter())

    def end(self) -> None:
        """Nothing is left to do."""


def openvino(folder: Path, threads: int, precision: str):
    """Return the model of a folder. precision: in which OpenVINO computes, "" for its choice."""
    from optimum.intel import OVModelForCausalLM

    config = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    config |= {"INFERENCE_PRECISION_HINT": precision} if precision else {}
    return OVModelForCausalLM.from_pretrained(folder, device="CPU", ov_config=config)


def onnx(folder: Path, threads: int, precision: str):
    """Return the model of a folder; ONNX Runtime computes as the file says."""
    import onnxruntime
    from optimum.onnxruntime import ORTModelForCausalLM

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return ORTModelForCausalLM.from_pretrained(folder, session_options=options)


def make_openvino(model_folder: str, precision: str, made: Path) -> None:
    """Export a model: "float32" as it is, "int8" with its weights rounded, activations not."""
    from optimum.intel import OVModelForCausalLM

    OVModelForCausalLM.from_pretrained(
        model_folder, export=True, load_in_8bit=precision == "int8", compile=False
    ).save_pretrained(made)


def make_onnx(model_folder: str, precision: str, made: Path) -> None:
    """Export a model as "float32", or round an export to "int8", activations as they come."""
    from optimum.onnxruntime import ORTModelForCausalLM, ORTQuantizer
    from optimum.onnxruntime.configuration import AutoQuantizationConfig

    if precision == "float32":
        ORTModelForCausalLM.from_pretrained(model_folder, export=True).save_pretrained(made)
        return
    rounding = AutoQuantizationConfig.avx512_vnni(is_static=False, per_channel=True)
    quantizer = ORTQuantizer.from_pretrained(model_folder, file_name="model.onnx")
    quantizer.quantize(save_dir=made, quantization_config=rounding, file_suffix="")


LOAD = {"openvino": openvino, "onnx": onnx}
MAKE = {"openvino": make_openvino, "onnx": make_onnx}


def main() -> None:
    parser = rung_arguments(__doc__, "an exported model")
    parser.add_argument("runtime", choices=LOAD)
    parser.add_argument("folder", type=Path, help="of an exported model")
    parser.add_argument("--precision", default="", help="in which OpenVINO computes, such as f32")
    parser.add_argument("--make", choices=("float32", "int8"), help="export, and end")
    parser.add_argument("--of", metavar="MODEL_FOLDER", help="what to export")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    if args.make:
        MAKE[args.runtime](args.of, args.make, args.folder)
        return
    serve_timed(
        Model(LOAD[args.runtime](args.folder, args.threads, args.precision)).answer,
        name=args.name,
        weight_bytes=sum(file.stat().st_size for file in weight_files(args.folder)),
        version=", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES[args.runtime]),
        threads=args.threads,
    )


def weight_files(folder: Path) -> list[Path]:
    """Return the files of an exported model that hold its weights."""
    return [file for file in folder.iterdir() if file.suffix in (".bin", ".onnx", ".onnx_data")]


if __name__ == "__main__":
    main()
