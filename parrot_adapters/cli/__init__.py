"""The ``parrot`` command. Each subcommand is imported only when it is asked for: ``--help`` never waits for torch.

A subcommand is a function ``command(argv: list[str]) -> int``. The library's own are listed below; others (the
recipes', strangers') are found through the entry-point group ``parrot_adapters.commands``. ``parrot --help`` shows the
first line of the function's docstring, read from its source.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points

import click

from parrot_adapters.cli.commands import SETTINGS, LazyGroup, UnknownCommandError, exit_codes, plugin_file_option

__all__ = ["BUILT_IN", "main"]

BUILT_IN = {
    name: f"parrot_adapters.cli.{name.replace('-', '_')}:command"
    for name in (
        *("check", "compare", "data", "diagnose", "env", "evaluate", "explain", "freeze-routing", "grow"),
        *("import-reference", "measure-routing", "new", "plan", "plugins", "score"),
    )
}
CLOSED = 141  # what a shell reports of a program that was stopped by a closed pipe


def main(argv: list[str] | None = None) -> int:
    """Run ``parrot ARGV`` and return its exit status: 0 done, 1 failed, 2 bad usage."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    try:
        try:
            with _any_character():
                return _run(words)
        finally:
            sys.stdout.flush()  # here, where a closed pipe is expected, not when the interpreter ends
    except BrokenPipeError:  # whoever read our output has had enough: `parrot plugins | head`
        _write_to_nowhere()
        return CLOSED


@contextmanager
def _any_character() -> Iterator[None]:
    """Inside the block, what a terminal cannot show (another code page, half a character) is shown as an escape."""
    streams = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, io.TextIOWrapper)]
    before = [stream.errors for stream in streams]
    for stream in streams:
        stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        for stream, errors in zip(streams, before, strict=True):
            stream.reconfigure(errors=errors)


def _run(words: list[str]) -> int:
    from parrot_adapters.errors import ConfigError, ParrotError

    try:
        context = PARROT.make_context("parrot", words or ["--help"])
    except click.exceptions.Exit as done:  # --help and --version have been shown
        return done.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    try:
        with exit_codes(), context:
            return int(PARROT.invoke(context) or 0)
    except UnknownCommandError as error:
        print(f"parrot: {error}\n\n{PARROT.get_help(context)}", file=sys.stderr)
        return 2
    except ParrotError as error:
        print(f"parrot: {type(error).__name__}: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    except BrokenPipeError:
        raise
    except OSError as error:  # a full disk, no permission: the message names the file
        print(f"parrot: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("parrot: interrupted", file=sys.stderr)
        return 130


def _write_to_nowhere() -> None:
    """Point the closed standard streams at nothing, so that the interpreter's own last flush is quiet too."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _targets() -> dict[str, EntryPoint]:
    group = "parrot_adapters.commands"
    found = {e.name: e for e in entry_points(group=group)}
    return found | {name: EntryPoint(name, value, group) for name, value in BUILT_IN.items()}


PARROT = click.version_option(
    None, "-V", "--version", package_name="parrot_adapters", message="parrot_adapters %(version)s"
)(
    LazyGroup(
        "parrot",
        targets=_targets,
        params=[plugin_file_option()],
        context_settings=SETTINGS,
        epilog="parrot COMMAND --help explains one of them, and so does parrot help COMMAND.",
    )
)
