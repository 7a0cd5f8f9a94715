"""What a command is made of: click, each command imported only when it is asked for.

::

    from parrot_adapters.cli.commands import argument, option, parrot_command

    @parrot_command("grow")
    @argument("adapter", metavar="ADAPTER", help="an adapter directory")
    @option("--experts", type=int, metavar="N", help="how many to add")
    def command(adapter: str, experts: int | None) -> int:
        \"\"\"Add experts to an adapter. (This line is what ``parrot --help`` shows.)\"\"\"

The result is a function of its words, ``command(["my-adapter", "--experts", "2"]) -> exit code``, as is the command of
a stranger who knows nothing of click.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import click
from click import argument, option

from parrot_adapters.errors import UnknownNameError, suggest

__all__ = [
    "EXAMPLES",
    "SETTINGS",
    "Command",
    "CommandGroup",
    "FunctionCommand",
    "LazyGroup",
    "argument",
    "device_option",
    "exit_codes",
    "json_option",
    "option",
    "parrot_command",
    "plugin_file_option",
]

EXAMPLES = "Examples, as they are (runs/mixture: see parrot train --help)"
SETTINGS = {"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 80}


class _FunctionOfWords(click.Command):
    """Called like a function, it does not end the process but returns its exit code."""

    def __call__(self, argv: Sequence[str] = (), /) -> int:
        """Run with these words.

        Returns:
            the exit code.

        Raises:
            SystemExit: after help was shown (0), or for bad usage (2), which is explained on standard error.
            ParrotError: it failed.
        """
        with exit_codes(), self.make_context(f"parrot {self.name}", list(argv)) as context:
            return int(self.invoke(context) or 0)


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn click's ways to end into ``SystemExit``, bad usage being explained on standard error."""
    try:
        yield
    except click.exceptions.Exit as done:
        raise SystemExit(done.exit_code) from None
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from None


class Command(_FunctionOfWords):
    """One command; each takes ``--plugin-file``.

    Args:
        examples: command lines that run as they are written, with nothing to download, shown below the help; what
            they look into is made by the examples of other commands.
    """

    def __init__(self, *args: Any, examples: Sequence[str] = (), **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.examples = tuple(examples)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """As click does, and the examples."""
        super().format_epilog(ctx, formatter)
        if self.examples:
            with formatter.section(EXAMPLES):
                for example in self.examples:
                    formatter.write(_wrapped(example, formatter.current_indent, formatter.width))

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Those declared, and the one that all have; help stays the last."""
        *declared, help_option = super().get_params(ctx)
        return [*declared, plugin_file_option(), help_option]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does; a file or directory is not called nothing."""
        rest = super().parse_args(ctx, args)
        for param in self.params:
            named = {"DIR", "FILE"} & set(re.findall("[A-Z]+", str(param.metavar).replace("_", " ")))
            if named and ctx.params.get(str(param.name)) == "":
                raise click.BadParameter("it is empty; the working directory is '.'", ctx, param)
        return rest


class CommandGroup(_FunctionOfWords, click.Group):
    """A command with commands of its own: ``parrot data check``."""

    command_class = Command


def parrot_command(name: str, **settings: Any) -> Callable[[Callable[..., int | None]], Command]:
    """Make a command of a function whose arguments are its options; the function's docstring is its help."""
    return click.command(name, cls=Command, context_settings=SETTINGS, **settings)


def device_option(of: str = "the model", default: str = "auto") -> Callable[[Any], Any]:
    """``--device``, alike wherever a model is run."""
    return option("--device", default=default, metavar="D", help=f"where {of} runs: auto, cpu, cuda, cuda:1, ...")


def json_option(**settings: Any) -> Callable[[Any], Any]:
    """``--json [FILE]`` of the commands that could always write their numbers to a file."""
    help = "every number as JSON: in FILE; without one on standard output, and nothing else there"
    return option("--json", "json_file", is_flag=False, flag_value="-", metavar="[FILE]", help=help, **settings)


def plugin_file_option() -> click.Option:
    """``--plugin-file``, which every command takes: a file of one's own, run as a plugin."""

    def use(context: click.Context, param: click.Parameter, value: str | None) -> None:
        if value is None:
            return
        if not Path(value).exists():
            raise click.BadParameter(f"there is no file {value!r}", context, param)
        before = os.environ.get("PARROT_PLUGIN_FILE")
        os.environ["PARROT_PLUGIN_FILE"] = str(Path(value).absolute())  # worker processes read it too
        context.call_on_close(lambda: _set_or_remove("PARROT_PLUGIN_FILE", before))

    return click.Option(
        ["--plugin-file"],
        metavar="FILE",
        help="a Python file of yours, run as a plugin",
        expose_value=False,
        callback=use,
    )


def _wrapped(command: str, indent: int, width: int) -> str:
    """A command line on as many lines as it needs, as a shell reads them."""
    words = re.findall(r"\S*'[^']*'|\S+", command)
    lines = [" " * indent + words[0]]
    for word in words[1:]:
        if len(lines[-1]) + len(word) + 3 > width:
            lines[-1] += " \\"
            lines.append(" " * (indent + 4) + word)
        else:
            lines[-1] += f" {word}"
    return "\n".join(lines) + "\n"


def _set_or_remove(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


class UnknownCommandError(UnknownNameError):
    """There is no such command."""


class FunctionCommand(click.Command):
    """A stranger's ``command(argv) -> int``: gets every word as it is, help included."""

    def __init__(self, name: str, function: Callable[[list[str]], int | None]) -> None:
        super().__init__(name, add_help_option=False)
        self.function = function

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.args = list(args)
        return []

    def invoke(self, ctx: click.Context) -> int:
        return int(self.function(ctx.args) or 0)


class LazyGroup(click.Group):
    """Commands known by name and place alone, until one is asked for.

    Args:
        targets: gives the entry point of each by name.
    """

    def __init__(self, *args: Any, targets: Callable[[], Mapping[str, EntryPoint]], **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.targets = targets

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does; an unknown name brings the nearest one."""
        if args[0] not in self.targets():
            raise UnknownCommandError(f"no command {args[0]!r}.{suggest(args[0], self.targets())}")
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self.targets())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        target = self.targets().get(cmd_name)
        if target is None:
            return None
        found = target.load()
        return found if isinstance(found, click.Command) else FunctionCommand(cmd_name, found)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        lines = [(name, help_line(target)) for name, target in sorted(self.targets().items())]
        with formatter.section("Commands"):
            formatter.write_dl(lines, col_max=20)


def help_line(target: EntryPoint) -> str:
    """What ``parrot --help`` says of a command: the first line of its function's docstring, else of its module's.

    Both are read from the source file; nothing is imported.
    """
    source = _source_file(target.module)
    if source is None:
        return ""
    try:
        tree = ast.parse(source.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return ""
    kinds = (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)
    named = [node for node in tree.body if isinstance(node, kinds) and node.name == target.attr]
    for node in (*named, tree):
        if text := ast.get_docstring(node):
            return text.split("\n", 1)[0].removesuffix(".")
    return ""


def _source_file(module: str) -> Path | None:
    """Where a module's source is, found without importing the packages it is in."""
    top, *below = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not below:
        return Path(spec.origin) if spec.origin else None
    for folder in spec.submodule_search_locations or ():
        place = Path(folder, *below)
        for file in (place.with_name(f"{place.name}.py"), place / "__init__.py"):
            if file.is_file():
                return file
    return None
