"""The ``parrot`` command. Each subcommand is imported only when it is asked for: ``--help`` never waits for torch.

A subcommand is a function ``command(argv: list[str]) -> int``. The library's own are listed below; others (the
recipes') are found through the entry-point group ``parrot_adapters.commands``.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import EntryPoint, entry_points

BUILT_IN = {
    "plugins": ("parrot_adapters.cli.plugins:command", "list routers, experts, hosts and where they come from"),
    "import-reference": (
        "parrot_adapters.cli.import_reference:command",
        "turn an original PARROT checkpoint into a host and an adapter",
    ),
    "freeze-routing": (
        "parrot_adapters.cli.freeze_routing:command",
        "fold an adapter under one language's routing into one plain expert",
    ),
    "measure-routing": (
        "parrot_adapters.cli.measure_routing:command",
        "store how an adapter routes each language on average",
    ),
    "grow": ("parrot_adapters.cli.grow:command", "add experts for new languages; answers unchanged until trained"),
    "new": ("parrot_adapters.cli.new:command", "write an installable router, expert or host plugin to start from"),
    "check": ("parrot_adapters.cli.check:command", "hold a router, an expert bank or a host to every promise"),
    "explain": ("parrot_adapters.cli.explain:command", "how an adapter routes some prompts, and what would have been"),
    "diagnose": ("parrot_adapters.cli.diagnose:command", "languages told apart, pictures kept, experts used, faults"),
    "evaluate": ("parrot_adapters.cli.evaluate:command", "ask a model a multilingual benchmark (MMMB, MMBench, emoji)"),
    "compare": ("parrot_adapters.cli.compare:command", "do two runs differ, and on which questions?"),
    "plan": ("parrot_adapters.cli.plan:command", "what a training run would do: steps, data, memory; loads no weights"),
    "data": ("parrot_adapters.cli.data:command", "check training data before a GPU is rented; fetch PARROT's"),
    "score": ("parrot_adapters.cli.score:command", "score predictions made elsewhere (MMMB, Multilingual MMBench)"),
}
PLUGIN_FILE = "--plugin-file"
FROM_RECIPES = {
    "train": "train an adapter on a host, in one or two stages; the same command resumes",
    "quickstart": "the whole life cycle on real multilingual pictures, in minutes",
    "emoji": "build and export the emoji benchmark",
    "compare-routers": "train routers on the same data, several seeds, one table",
    "reproduce": "does it work? ten arms, several text models, a metric fixed beforehand",
}


def main(argv: list[str] | None = None) -> int:
    """Run ``parrot ARGV`` and return its exit status: 0 done, 1 failed, 2 bad usage."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv and argv[0].split("=")[0] == PLUGIN_FILE:
        argv = _with_plugin_file(argv)
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_help())
        return 0
    if argv[0] in ("-V", "--version"):
        from importlib.metadata import version

        print(f"parrot_adapters {version('parrot_adapters')}")
        return 0
    name, *rest = argv
    target = _targets().get(name)
    if target is None:
        from parrot_adapters.errors import suggest

        print(f"parrot: no command {name!r}.{suggest(name, _targets())}\n\n{_help()}", file=sys.stderr)
        return 2
    return _run(target, rest)


def _with_plugin_file(argv: list[str]) -> list[str]:
    """Note the plugin file that the command line asks for, and return what follows it.

    The variable also reaches the processes that a command starts.
    """
    if "=" in argv[0]:
        argv = [*argv[0].split("=", 1), *argv[1:]]
    _, *rest = argv
    if not rest or not rest[0]:
        print(f"parrot: {PLUGIN_FILE} needs the path of a Python file", file=sys.stderr)
        raise SystemExit(2)
    os.environ["PARROT_PLUGIN_FILE"] = os.path.abspath(rest[0])
    return rest[1:]


def _run(target: EntryPoint, argv: list[str]) -> int:
    from parrot_adapters.errors import ConfigError, ParrotError

    try:
        return int(target.load()(argv) or 0)
    except ParrotError as error:
        print(f"parrot: {type(error).__name__}: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    except BrokenPipeError:  # whoever read our output has had enough: `parrot plugins | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        print("parrot: interrupted", file=sys.stderr)
        return 130


def _targets() -> dict[str, EntryPoint]:
    group = "parrot_adapters.commands"
    found = {e.name: e for e in entry_points(group=group)}
    return found | {name: EntryPoint(name, value, group) for name, (value, _) in BUILT_IN.items()}


def _help() -> str:
    described = {name: text for name, (_, text) in BUILT_IN.items()} | FROM_RECIPES
    commands = "\n".join(f"  {name:<18} {described.get(name, '')}" for name in sorted(_targets()))
    return (
        f"usage: parrot [{PLUGIN_FILE} FILE] COMMAND [options]\n\n{commands}\n\n"
        f"parrot COMMAND --help explains one of them. {PLUGIN_FILE} runs a Python file and uses its plugin hooks."
    )
