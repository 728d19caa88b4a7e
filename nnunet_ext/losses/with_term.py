"""A loss with a further term, which may be left out for the first part of a training."""

from __future__ import annotations

from torch import Tensor, nn


class LossWithTerm(nn.Module):
    """``base_weight · base(logits, target) + weight · term(logits, target, *maps)``.

    Parameters
    ----------
    term : nn.Module
        Called with all that this loss is called with, such as maps of the loader.
    base : nn.Module, optional
        Called with logits and target alone.
    weight, base_weight : float
        What each is multiplied with.

    Attributes
    ----------
    begun : bool
        Whether the term counts; False is base alone. Set from outside, as a training goes on.
    """

    def __init__(
        self, term: nn.Module, base: nn.Module | None = None, weight: float = 1.0, base_weight: float = 1.0
    ) -> None:
        super().__init__()
        self.term = term
        self.base = base
        self.weight = weight
        self.base_weight = base_weight
        self.begun = True

    def forward(self, logits: Tensor, target: Tensor, *maps: Tensor) -> Tensor:
        """Scalar loss of `logits` (B, C, *spatial), nnU-Net's `target` for them, and what the term takes."""
        if self.base is None:
            return self.weight * self.term(logits, target, *maps)
        loss: Tensor = self.base_weight * self.base(logits, target)
        return loss + self.weight * self.term(logits, target, *maps) if self.begun else loss

    def extra_repr(self) -> str:
        """What is shown in nnU-Net's debug.json."""
        return f"weight={self.weight}, base_weight={self.base_weight}"
