"""A new adapter that is the weighted sum of others on the same host, as peft's ``add_weighted_adapter``."""

from __future__ import annotations

from collections.abc import Sequence

from parrot_adapters.adapter.handle_files import HandleFiles
from parrot_adapters.adapter.weighted_sum import Term, known_factors, require_summable, sum_adapters

__all__ = ["HandleWeightedSums"]


class HandleWeightedSums(HandleFiles):
    """The part of a handle that sums adapters."""

    def add_weighted_adapter(self, names: Sequence[str], weights: Sequence[float], name: str) -> None:
        """Add an adapter that adds the weighted sum of what others add; the active one stays active.

        Of the same visual tokens and prompts, ``added = sum_k weights[k] * added_k``, up to rounding: at the projector
        to the visual tokens, inside the layers and by LoRA to the output of each linear layer for the same input. The
        hidden units of all adapters stand side by side, so the sum is as large as they are together; equal ones are
        added up, so that equal adapters with weights that sum to one give that adapter. It is a copy, an adapter of its
        own from then on: trained, saved, switched and deleted like any. Settings that concern training alone
        (``seed``, dropout, ``recompute``) are the first's.

        There is such a sum where adapters have the same placement, kind and number of experts, at the same layers; the
        same routing, bit for bit (routers without weights, such as ``"uniform"``, are the same where their settings
        are; with ``num_experts=1`` routers may differ unless they abstain or experts read their context); the host's
        projector, or one of their own with the same weights, where factors must sum to one; and LoRA on the same
        layers, where they have any. Hidden sizes, ranks and scales may differ. Anything else is refused. Add before
        wrappers that look at a model's parameters once, as with :meth:`add_adapter`.

        Args:
            names: Names of adapters on this host, at least one, each once.
            weights: Factor of each, any finite numbers; they need not sum to one.
            name: Name of the new adapter.

        Raises:
            UnknownNameError: There is no adapter of one of the names.
            ConfigError: The name is taken, not one finite weight for each name, or adapters that have no such sum.
            HostError: The handle was detached, or a block of :meth:`adapter_names` is open.
        """
        self.require_no_rows()
        self.require_free(name)
        factors = known_factors(names, weights)
        chosen = {one: self.named(one) for one in factors}
        terms = []
        for one, factor in factors.items():
            with self.switched_to(one):
                terms.append(Term(one, factor, self.snapshot(), self.module))
        require_summable(terms)
        seam = chosen[terms[0].name].seam
        detector = None if seam is None else seam.detector
        self.bring(name, terms[0].config, lambda parts: sum_adapters(parts, terms, detector))
