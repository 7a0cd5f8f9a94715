"""How much of a file from a stranger is looked at before it is refused. Every limit stands here, with its default.

Each can be set for a process by an environment variable: ``PARROT_LIMIT_JSON_BYTES=100000000`` for ``json_bytes``.
Pictures have the limit of Pillow, ``PIL.Image.MAX_IMAGE_PIXELS``.

    json_bytes       bytes of a JSON file that describes a model or an adapter (default 64 MiB)
    json_depth       lists and objects within each other in such a file (default 100)
    json_digits      digits of one whole number in it (default 400)
    yaml_bytes       bytes of a YAML file (default 4 MiB)
    yaml_depth       levels of it (default 50)
    yaml_values      values it has once its references are followed (default 100,000)
    pattern_letters  letters of a regular expression in LoRA settings (default 1,000,000: a list of names is one)
    pattern_seconds  seconds that the regular expressions of one LoRA may take on all names of a host (default 5)
    lora_rank        rank of a LoRA layer (default 65,536)
    save_seconds     seconds that a reader waits for a save of the same adapter that is under way (default 10)
"""

from __future__ import annotations

import os
from types import MappingProxyType

from parrot_adapters.errors import ConfigError, explain, suggest

__all__ = ["DEFAULT_LIMITS", "limit"]

PREFIX = "PARROT_LIMIT_"
DEFAULT_LIMITS = MappingProxyType(
    {
        "json_bytes": 2**26,
        "json_depth": 100,
        "json_digits": 400,
        "yaml_bytes": 2**22,
        "yaml_depth": 50,
        "yaml_values": 100_000,
        "pattern_letters": 1_000_000,
        "pattern_seconds": 5,
        "lora_rank": 65_536,
        "save_seconds": 10,
    }
)


def limit(name: str) -> int:
    """A limit: its environment variable's value, or the default.

    Args:
        name: One of :data:`DEFAULT_LIMITS`.

    Raises:
        ConfigError: There is no such limit, or the variable holds no whole number of at least 0.
    """
    if name not in DEFAULT_LIMITS:
        raise ConfigError(explain(f"no limit named {name!r}.{suggest(name, DEFAULT_LIMITS)}"))
    variable = f"{PREFIX}{name.upper()}"
    given = os.environ.get(variable)
    if given is None:
        return DEFAULT_LIMITS[name]
    if not (given.isascii() and given.isdigit() and len(given) < 19):
        raise ConfigError(explain(f"{variable} must be a whole number of at least 0.", given=repr(given[:40])))
    return int(given)
