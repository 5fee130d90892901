"""ReBNN: latent weights held back from oscillating, as an attachment to any torch optimizer.

Objective (Eq. 3.143): L = L_S + L_R, L_R = ½·Σ_i γ_i·‖w_i − α_i·b_i‖². Notation as in `rebnn_search.method.binarize`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from rebnn_search.method.binarize import channel_dims
from rebnn_search.method.gamma import GAMMA, GammaStrategy
from rebnn_search.method.layers import binary_layers
from rebnn_search.method.loss_scaling import overflowed, pending_scale
from rebnn_search.method.oscillation import OscillationTracker
from rebnn_search.method.scaling import SCALE_FLOOR, SCALE_INIT, ScaleInit
from rebnn_search.method.weights import Resilient


class _LayerState(nn.Module):
    """γ of one layer's channels, and what is collected of it: all (C_out,)."""

    gamma: Tensor
    gamma_sum: Tensor
    gamma_low: Tensor
    gamma_high: Tensor
    max_grad: Tensor
    scale_before: Tensor
    memory: Tensor | None

    def __init__(self, gamma: Tensor, memory: Tensor | None) -> None:
        super().__init__()
        self.register_buffer("gamma", gamma)
        self.register_buffer("gamma_sum", torch.zeros_like(gamma))
        self.register_buffer("gamma_low", torch.full_like(gamma, float("inf")))
        self.register_buffer("gamma_high", torch.zeros_like(gamma))
        # Where there is none it is in no checkpoint either, as in those of earlier versions.
        self.register_buffer("memory", memory)
        # Live from a step's pre-hook to its post-hook only.
        self.register_buffer("max_grad", torch.zeros_like(gamma), persistent=False)
        self.register_buffer("scale_before", torch.zeros_like(gamma), persistent=False)
        self.has_gradient = True

    def note(self) -> None:
        """Collect the γ that a step used."""
        self.gamma_sum += self.gamma
        torch.minimum(self.gamma_low, self.gamma, out=self.gamma_low)
        torch.maximum(self.gamma_high, self.gamma, out=self.gamma_high)

    def reset(self) -> None:
        """Begin collecting anew."""
        self.gamma_sum.zero_()
        self.gamma_low.fill_(float("inf"))
        self.gamma_high.zero_()


class ReBNN(nn.Module):
    """The method's state and step for the resilient layers of a model.

    Before each optimizer step the raw gradients G become (γ, w, α, b of iteration t)

    - δw = α·G·1[|w| ≤ 1] + γ·(w − α·b) in ``weight.grad`` (Eq. 3.144), and
    - δα_i = Σ_j G_ij·b_ij − γ_i·Σ_j (w_ij − α_i·b_ij)·b_ij in ``scale.grad`` (Eq. 3.151 with the derivative of L_R, whose sign the
      book's Eq. 3.152 misprints);

    after it, flipped signs are counted and the γ-strategy gives γ^{t+1}. So γ sees gradients after DDP's all-reduce, accumulation
    and a loss scaler's unscaling, and every rank computes the same γ. α is kept in R+ by projection: after each step what is
    below `SCALE_FLOOR` (1e-6) is raised to it.

    An optimizer that unscales inside its step (``fused=True`` under `torch.amp.GradScaler`) is given δw and δα times the scale that
    it will divide by; a step that it skips for an overflow leaves γ and all counts as they were.

    What follows a course over training (strategies with a schedule, other binarizers beside resilient ones) stays where it began
    unless `set_progress` is called, as at each epoch's start.

    γ, what its strategy remembers, previous signs and counters are buffers of this module, in its ``state_dict``; the model's
    parameters are not. A layer whose weight has no gradient at a step (unused, or frozen) is left alone at that step: it,
    its γ and what the strategy remembers stay as they are.

    Args:
        model: Has layers with ``weights="rebnn"``.
        gamma: γ-strategy, a name or an instance.
        scale_init: Scaling-factor init, a name or an instance; applied now, to the weights as they are.
        generator: Randomness for inits that draw, on the CPU.

    Raises:
        ValueError: If a name is unknown (the message lists the valid ones) or the model has no resilient layer.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        gamma: str | GammaStrategy = "flip_ratio",
        scale_init: str | ScaleInit = "mean_abs",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.strategy = GAMMA.get_class(gamma)() if isinstance(gamma, str) else gamma
        init = SCALE_INIT.get_class(scale_init)() if isinstance(scale_init, str) else scale_init
        # In a plain list of tuples: the model's parameters are the model's, not this module's.
        self._layers = [(n, layer, b) for n, layer in binary_layers(model) if isinstance(b := layer.binarizer, Resilient)]
        if not self._layers:
            raise ValueError('the model has no resilient layer: none of its binary layers has weights="rebnn"')
        for _, layer, binarizer in self._layers:
            scale = init.scale(layer.weight.detach(), generator).clamp_(min=SCALE_FLOOR)
            binarizer.scale.data.copy_(scale.view_as(binarizer.scale))
        self.oscillation = OscillationTracker(model)
        channels = [binarizer.scale.detach().flatten() for _, _, binarizer in self._layers]
        self._states = nn.ModuleList(_LayerState(self.strategy.initial(one), self.strategy.memory(one)) for one in channels)
        # On the host: it is a plain count, and a strategy may branch on it.
        self._iteration = 0
        self._skipping = False
        self._handles: list[RemovableHandle] = []

    @property
    def states(self) -> list[_LayerState]:
        """The layers' states, in the order of the resilient layers."""
        return [state for state in self._states if isinstance(state, _LayerState)]

    @property
    def gammas(self) -> dict[str, Tensor]:
        """γ (C_out,) that the next step will use, by layer name."""
        return {name: state.gamma for (name, _, _), state in zip(self._layers, self.states, strict=True)}

    def get_extra_state(self) -> dict[str, int]:
        """What ``state_dict`` holds beside the buffers."""
        return {"iteration": self._iteration}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Restore what `get_extra_state` gave."""
        self._iteration = int(state["iteration"])

    def attach(self, optimizer: torch.optim.Optimizer) -> ReBNN:
        """Do the method's part at every step of an optimizer.

        Raises:
            RuntimeError: If attached already.
            ValueError: If a resilient layer's weight or scale is not among the optimizer's parameters, or the optimizer evaluates
                the loss itself (LBFGS).
        """
        if self._handles:
            raise RuntimeError("this ReBNN is attached to an optimizer already; detach it first")
        if isinstance(optimizer, torch.optim.LBFGS):
            raise ValueError("LBFGS evaluates the loss inside its step, where ReBNN cannot reach the gradients")
        held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        for name, layer, binarizer in self._layers:
            for what, parameter in (("weight", layer.weight), ("scale", binarizer.scale)):
                if id(parameter) not in held and layer.weight.requires_grad:
                    raise ValueError(f"the {what} of layer {name!r} is not among the optimizer's parameters")
        self._handles = [
            optimizer.register_step_pre_hook(self._before_step),
            optimizer.register_step_post_hook(self._after_step),
        ]
        return self

    def set_progress(self, fraction: float) -> None:
        """Tell the γ-strategy and the weight binarizers how much of training is done, from 0 to 1.

        Raises:
            ValueError: If that is not within [0, 1].
        """
        self.oscillation.set_progress(fraction)
        self.strategy.set_progress(fraction)

    def detach(self) -> None:
        """Leave the optimizer alone again."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    @torch.no_grad()
    def _before_step(self, optimizer: torch.optim.Optimizer, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        if any(callable(value) for value in (*args[1:], *kwargs.values())):
            raise RuntimeError("ReBNN needs the gradients before the step: call backward(), then step() without a closure")
        if "grad_scaler" in kwargs:
            raise RuntimeError(
                "the optimizer unscales the gradients itself, by the grad_scaler that its step is given, where ReBNN cannot see it: "
                "call scaler.unscale_(optimizer) and optimizer.step() yourself"
            )
        self._skipping = overflowed(optimizer)
        if self._skipping:
            return
        pending = pending_scale(optimizer)
        unit = self.strategy.scale_unit
        for (_, layer, binarizer), state in zip(self._layers, self.states, strict=True):
            weight, scale, grad = layer.weight, binarizer.scale, layer.weight.grad
            if unit != 1:
                state.scale_before.copy_(scale.flatten())
            state.has_gradient = grad is not None
            if grad is None:
                continue
            if pending is not None:
                grad.div_(pending.to(grad))
            dims = channel_dims(weight)  # of both ends, not of the magnitudes, which would be a copy of a large tensor
            torch.maximum(grad.amax(dims), grad.amin(dims).neg_(), out=state.max_grad).abs_()
            scale.grad = self.strategy.gradients(grad, weight, scale, state.gamma.view_as(scale))
            if pending is not None:
                grad.mul_(pending.to(grad))
                scale.grad.mul_(pending.to(grad))

    @torch.no_grad()
    def _after_step(self, optimizer: torch.optim.Optimizer, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        if self._skipping:
            return
        unit = self.strategy.scale_unit
        for (_, _, binarizer), state in zip(self._layers, self.states, strict=True):
            if unit != 1:
                before = state.scale_before.view_as(binarizer.scale)
                binarizer.scale.sub_(before).mul_(unit).add_(before)
            binarizer.scale.clamp_(min=SCALE_FLOOR)
        for fractions, state in zip(self._resilient_flips(), self.states, strict=True):
            state.note()
            if not state.has_gradient:
                continue
            flips = fractions.to(state.gamma)
            state.gamma.copy_(self.strategy.update(flips, state.max_grad, self._iteration, state.memory))
        self._iteration += 1

    def _resilient_flips(self) -> list[Tensor]:
        resilient = {id(layer) for _, layer, _ in self._layers}
        observed = zip(self.oscillation.layers, self.oscillation.observe(), strict=True)
        return [fractions for layer, fractions in observed if id(layer) in resilient]

    def collect(self, reset: bool = True) -> dict[str, float]:
        """Return oscillation statistics and effective γ since the last reset, with one device synchronisation.

        Beside the keys of `OscillationTracker.collect`: ``layer_00/gamma_min``, ``/gamma_mean``, ``/gamma_max`` over the layer's
        channels and the steps, NaN for layers that are not resilient, and before a step.
        """
        by_layer = {id(layer): state for (_, layer, _), state in zip(self._layers, self.states, strict=True)}
        steps = self.oscillation.steps
        rows: dict[str, list[Tensor]] = {"gamma_min": [], "gamma_mean": [], "gamma_max": []}
        for layer in self.oscillation.layers:
            state = by_layer.get(id(layer))
            absent = torch.full((), float("nan"), device=layer.weight.device)
            taken = steps.to(absent.device)
            rows["gamma_min"].append(absent if state is None else torch.where(taken > 0, state.gamma_low.min(), absent))
            rows["gamma_mean"].append(absent if state is None else state.gamma_sum.mean() / taken)
            rows["gamma_max"].append(absent if state is None else torch.where(taken > 0, state.gamma_high.max(), absent))
        found = self.oscillation.collect(reset, rows)
        if reset:
            for state in self.states:
                state.reset()
        return found
