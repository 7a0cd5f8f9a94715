"""What ``parrot new`` writes: a small working distribution with an entry point, tests and a README."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template

from parrot_adapters.errors import ConfigError, explain, suggest, writing

__all__ = ["KINDS", "write_plugin"]

KINDS = ("router", "expert", "layer-expert", "host")


def write_plugin(kind: str, name: str, out: Path | None = None) -> Path:
    """Write a distribution ``parrot-KIND-NAME`` that can be installed and passes its own tests as it is.

    Args:
        kind: ``"router"``, ``"expert"``, ``"layer-expert"`` or ``"host"``.
        name: name that users will write in a configuration, in lower case with hyphens: ``"my-router"``.
        out: directory to make, which must not exist or be empty; by default ``parrot-KIND-NAME`` in the working
            directory.

    Returns:
        The directory.

    Raises:
        ConfigError: unknown kind, impossible or taken name, or a directory with something in it.
    """
    if kind not in KINDS:
        raise ConfigError(explain(f"no kind {kind!r}.{suggest(kind, KINDS)}", known=", ".join(KINDS)))
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise ConfigError(f"{name!r} must be lower-case words with hyphens between them, such as 'my-router'")
    _check_free(kind, name)
    directory = Path(f"parrot-{kind}-{name}") if out is None else out
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ConfigError(f"{directory} exists already and is not empty")
    class_name = "".join(word.capitalize() for word in name.split("-"))
    type_name = f"{class_name}{'Host' if kind == 'host' else 'Router' if kind == 'router' else 'Experts'}"
    words = {
        "kind": kind,
        "name": name,
        "distribution": f"parrot-{kind}-{name}",
        "module": f"parrot_{kind}_{name}".replace("-", "_"),
        "type": type_name,
        "target": "SPEC" if kind == "host" else type_name,
        "group": f"{kind}s".replace("-", "_"),
        "kinds": {"expert": "expert banks", "layer-expert": "experts inside layers"}.get(kind, f"{kind}s"),
        "setting": 'placement="layers", layer_expert' if kind == "layer-expert" else kind,
        "model_type": name.replace("-", "_"),
    }
    words["entry_point_test"] = Template(ENTRY_POINT_TEST).substitute(words)
    files = {
        "pyproject.toml": PYPROJECT,
        "README.md": READMES[kind],
        f"{words['module']}.py": MODULES[kind],
        f"tests/test_{words['model_type']}.py": TESTS[kind],
    }
    for path, template in files.items():
        with writing(directory / path, ConfigError):
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            (directory / path).write_text(Template(template).substitute(words), encoding="utf-8")
    return directory


def _check_free(kind: str, name: str) -> None:
    from parrot_adapters.plugins import manager

    for component in manager.components(kind):
        if component.name == name:
            raise ConfigError(f"there is a {kind} {name!r} already, from {component.plugin}; choose another name")


PYPROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "$distribution"
version = "0.1.0"
description = "The $kind $name for parrot_adapters."
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["parrot_adapters>=0.1"]

[project.optional-dependencies]
test = ["pytest>=8", "hypothesis>=6.100"]

# How parrot_adapters finds it: by this line, and the module is imported once somebody asks for the name.
[project.entry-points."parrot_adapters.$group"]
$name = "$module:$target"

[tool.setuptools]
py-modules = ["$module"]

[tool.pytest.ini_options]
pythonpath = ["."]
"""

ROUTER = '''\
"""A router: from what a prompt says, choose experts for each image.

N visual tokens    I items (images)    R rows (prompts)    S text tokens    D width    E experts
"""

from __future__ import annotations

import torch
from parrot_adapters import Routing, RoutingInputs
from torch import nn


class $type(nn.Module):
    """Routes on the mean of the prompt's words. Replace this with your idea.

    Args:
        width: D.
        num_experts: E.
        temperature: above one evens the weights out.
    """

    # Its traits, for `parrot check router:$name`; see parrot_adapters.testing.RouterTraits.
    conformance = {"uses_text": True, "sparse": False, "stochastic": False}

    def __init__(self, width: int, num_experts: int, *, temperature: float = 1.0) -> None:
        super().__init__()
        self.temperature = temperature
        self.gate = nn.Parameter(torch.randn(num_experts, width) * width**-0.5)  # (E, D)

    def forward(self, inputs: RoutingInputs) -> Routing:
        counts = inputs.text_mask[..., None]  # (R, S, 1), False for padding, placeholders, special tokens
        words = inputs.text.float().masked_fill(~counts, 0.0)  # whatever stands elsewhere must not count
        prompt = words.sum(1) / counts.sum(1).clamp(min=1)  # (R, D)
        context = prompt[inputs.rows]  # (I, D), each image reads its own prompt
        logits = context @ self.gate.float().T / self.temperature  # (I, E), float32 whatever the host's dtype
        return Routing(logits.softmax(-1), logits, context)
'''

EXPERT = '''\
"""A bank of experts: E feed-forward networks and their weighted sum.

N visual tokens    I items (images)    D width    E experts    F hidden width of one expert
"""

from __future__ import annotations

import torch
from einops import einsum
from parrot_adapters.core import ExpertBank
from torch import Tensor, nn


class $type(ExpertBank):
    """``down(relu(up x)^2)`` per expert. Replace ``hidden`` with your idea.

    The base class weighs, sums and dispatches (dense and top-k). For experts that are no such weighted sum, write an
    ``nn.Module`` with ``forward(tokens (N, D), offsets (I + 1,), routing) -> (N, D)`` instead.

    Args:
        width: D.
        hidden_size: F.
        num_experts: E.
    """

    per_expert = ("up", "down")  # parameters whose first axis is the expert: lets `parrot grow` add experts

    def __init__(self, width: int, hidden_size: int, num_experts: int) -> None:
        super().__init__(width, hidden_size, num_experts)
        self.up = nn.Parameter(torch.randn(num_experts, hidden_size, width) * width**-0.5)  # (E, F, D)
        self.down = nn.Parameter(torch.zeros(num_experts, hidden_size, width))  # zero: attaching changes nothing

    def hidden(self, tokens: Tensor, experts: slice, context: Tensor | None) -> Tensor:
        """(n, D) tokens -> (n, e, F) hidden units of the experts in the slice."""
        return einsum(tokens, self.up[experts], "n d, e f d -> n e f").relu().square()
'''

LAYER_EXPERT = '''\
"""Experts inside a linear layer of the language model: what they add to its output at visual tokens.

N visual tokens    E experts    r rank of one expert    D width of the language model
"""

from __future__ import annotations

import torch
from einops import einsum
from torch import Tensor, nn


class $type(nn.Module):
    """``B_e tanh(A_e x)``, weighted and summed. Replace this with your idea; it must start at zero.

    Args:
        in_features: Width of the layer's input.
        out_features: Width of its output.
        num_experts: E.
        rank: r.
        width: D, of the context that a class with ``needs_context = True`` is handed.
    """

    per_expert = ("inside", "out")  # parameters whose first axis is the expert: lets `parrot grow` add experts

    def __init__(self, in_features: int, out_features: int, num_experts: int, rank: int, width: int) -> None:
        super().__init__()
        self.inside = nn.Parameter(torch.randn(num_experts, in_features, rank) * in_features**-0.5)  # (E, in, r)
        self.out = nn.Parameter(torch.zeros(num_experts, rank, out_features))  # zero: attaching changes nothing

    def forward(self, tokens: Tensor, weights: Tensor, context: Tensor | None) -> Tensor:
        """(N, in) tokens, (N, E) weights -> (N, out)."""
        hidden = einsum(tokens, self.inside, "n i, e i r -> n e r").tanh()
        return einsum(weights, hidden, self.out, "n e, n e r, e r o -> n o")
'''

HOST = '''\
"""A host: how to reach the parts of a family of models. State only what differs from the defaults of HostSpec."""

from __future__ import annotations

from parrot_adapters import HostSpec

SPEC = HostSpec(
    model_types=("$model_type",),  # config.model_type of the models this is for
    unit="item",  # what is routed as one: each image ("item"), each run of placeholders ("run"), each prompt ("row")
    projector=("multi_modal_projector",),  # candidate paths below the base model; the first that exists counts
    vision_tower=("vision_tower",),
    language_model=("language_model",),
)
'''

ROUTER_TEST = '''\
"""The router passes every conformance check of the library, and the entry point names it."""

from __future__ import annotations

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import torch
from parrot_adapters import AdapterConfig, build_layer
from parrot_adapters.testing import RouterTraits, router_checks
from $module import $type


@router_checks(RouterTraits(**$type.conformance))
def test_conformance(check):
    check($type)


$entry_point_test


def test_the_gate_learns():
    layer = build_layer(AdapterConfig(num_experts=3, expert_hidden_size=4), 8)
    layer.router = $type(8, 3)
    torch.nn.init.normal_(layer.experts.down)
    tokens, offsets, rows = torch.randn(5, 8), torch.tensor([0, 2, 5]), torch.tensor([0, 1])
    aligned = layer(tokens, offsets, rows, torch.randn(2, 4, 8), torch.ones(2, 4, dtype=torch.bool))
    aligned.tokens.square().sum().backward()
    assert layer.router.gate.grad.any()
'''

ENTRY_POINT_TEST = """\
def test_the_entry_point_names_it():
    declared = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text("utf-8"))
    target = declared["project"]["entry-points"]["parrot_adapters.$group"]["$name"]
    assert EntryPoint("$name", target, "parrot_adapters.$group").load() is $target"""

EXPERT_TEST = '''\
"""The experts pass every conformance check of the library, and the entry point names them."""

from __future__ import annotations

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

from parrot_adapters.testing import expert_checks
from $module import $type


@expert_checks()
def test_conformance(check):
    check($type)


$entry_point_test
'''

LAYER_EXPERT_TEST = EXPERT_TEST.replace("expert_checks", "layer_expert_checks")

HOST_TEST = '''\
"""The entry point names the declaration, and it says what it is for.

The test that counts needs a model: build one with random weights from its config, attach with the inputs its processor
would make, and let the self-test say whether the adapter acts on it, in forward and in generate:

    handle = parrot_adapters.attach(model, config, self_test=inputs)
"""

from __future__ import annotations

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

from $module import SPEC


$entry_point_test


def test_it_says_what_it_is_for():
    assert SPEC.model_types == ("$model_type",)
    assert SPEC.unit in ("item", "run", "row")
'''

README = """\
# $distribution

The $kind `$name` for parrot_adapters. Say here what it does, where it comes from, and what it was measured to gain.

    pip install -e '.[test]'
    parrot plugins
    python -m pytest
"""

USE = """
```python
import parrot_adapters as pa

config = pa.AdapterConfig($setting="$name")
```

`parrot check $kind:$name` runs every conformance check that the library has for $kinds.
"""

HOST_USE = """
Once installed, `parrot_adapters.attach` uses it for every model whose `config.model_type` is `$model_type`.
"""

MODULES = {"router": ROUTER, "expert": EXPERT, "layer-expert": LAYER_EXPERT, "host": HOST}
TESTS = {"router": ROUTER_TEST, "expert": EXPERT_TEST, "layer-expert": LAYER_EXPERT_TEST, "host": HOST_TEST}
READMES = {"router": README + USE, "expert": README + USE, "layer-expert": README + USE, "host": README + HOST_USE}
