"""Loss and errors of a potential on labelled structures."""

from __future__ import annotations

import torch

from mlip.model.evaluate import evaluate
from mlip.model.potential import Potential
from mlip.training.distributed import ALONE, Ranks
from mlip.training.examples import Examples
from mlip.training.loss import Loss
from mlip.training.metrics import Errors


def evaluate_examples(
    potential: Potential, examples: Examples, loss: Loss | None = None, ranks: Ranks = ALONE
) -> tuple[float, Errors]:
    """Loss and errors of a potential on structures with labels less its repulsion, whatever the chunks they come in.

    Each term of the loss is its mean over all components that have a label; the loss is zero if none is given. The
    `ranks` share the structures and have the same result.
    """
    errors = Errors()
    sums, counts = [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]
    for chunk in examples.chunks(ranks.share(range(len(examples)), examples.costs)):
        batch, labels, features = examples.take(chunk)
        predicted = evaluate(
            potential,
            batch,
            forces=examples.has_forces or examples.has_stress,
            stress=examples.has_stress,
            features=features,
            pair_terms=False,
        )
        errors.add(predicted, labels, batch)
        if loss:
            terms = loss(predicted, labels, batch)[1:]
            for n, (term, label) in enumerate(zip(terms, labels[:3], strict=True)):
                known = 0 if label is None else int(torch.isfinite(label).sum())
                sums[n] += float(term) * known
                counts[n] += known
    errors.add_up(ranks.total)
    found = ranks.total(*sums, *counts)
    sums, counts = found[:3], found[3:]
    weights = (loss.energy.weight, loss.forces.weight, loss.stress.weight) if loss else (0.0, 0.0, 0.0)
    total = sum(w * s / max(1, count) for w, s, count in zip(weights, sums, counts, strict=True))
    return total, errors
