"""`%%doctor`: a notebook's cell, run as it is, with what the doctor sees in it shown beneath.

%load_ext llmcourse

%%doctor
model.generate(**inputs)
"""

from collections.abc import Iterator
from contextlib import contextmanager


def load_ipython_extension(shell) -> None:
    """Give an IPython the cell magic: `%load_ext llmcourse`."""
    shell.register_magic_function(
        lambda line, cell: doctor(shell, line, cell), magic_kind="cell", magic_name="doctor"
    )


def unload_ipython_extension(shell) -> None:
    """Take it away again: `%unload_ext llmcourse`."""
    shell.magics_manager.magics["cell"].pop("doctor", None)


def doctor(shell, line: str, cell: str) -> None:
    """Run a cell under `watch`, show what was found, and then raise what the cell raised.

    Lines are counted as the reader sees them, `%%doctor` being the first.
    """
    from IPython.core.error import UsageError
    from IPython.display import display

    from llmcourse.doctor.watch import watch

    if line.strip():
        raise UsageError("%%doctor takes no words after it.")
    with watch() as watched, _named_by_number(shell), _shown_once(shell):
        ran = shell.run_cell(cell if cell.startswith("%%") else f"# %%doctor\n{cell}")
    display(watched)
    ran.raise_error()


@contextmanager
def _named_by_number(shell) -> Iterator[None]:
    """Name the code that runs `cell 5`, not a file that nobody has, unless it has a name."""
    if "get_code_name" in vars(shell.compile):  # `python -m llmcourse doctor` names the notebook
        yield
        return
    name = f"cell {shell.execution_count}"
    shell.compile.get_code_name = lambda *_: name
    try:
        yield
    finally:
        del shell.compile.get_code_name


@contextmanager
def _shown_once(shell) -> Iterator[None]:
    """Leave it to the cell around this one to show an error."""
    names = ("showtraceback", "showsyntaxerror")
    before = {name: vars(shell)[name] for name in names if name in vars(shell)}
    shell.showtraceback = shell.showsyntaxerror = lambda *_, **__: None
    try:
        yield
    finally:
        for name in names:
            delattr(shell, name)
        for name, own in before.items():
            setattr(shell, name, own)
