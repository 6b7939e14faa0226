"""Running mean of the trained parameters (Polyak averaging).

Each step sees few frames and views and moves the parameters for their sake, so that they jump about
the optimum of all frames and views. A running mean over the last steps lies nearer to it than any
of them, and costs no steps.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from .gaussians import Gaussians
from .model import Model

INTERVAL = 10  # steps between two updates


class RunningMean:
    """Exponential mean of a model's parameters over about `steps` >= INTERVAL steps, which begins
    as the model is."""

    def __init__(self, model: Model, steps: int):
        update = get_ema_multi_avg_fn(1 - INTERVAL / steps)
        self.averaged = AveragedModel(_as_module(model), multi_avg_fn=update)
        self.update(model)  # the first update copies

    def update(self, model: Model) -> None:
        """Take in the parameters as they are now."""
        self.averaged.update_parameters(_as_module(model))

    @property
    def model(self) -> Model:
        """The mean."""
        parts = self.averaged.module
        return Model(Gaussians(*parts["gaussians"]), parts["network"])

    def state_dict(self) -> dict[str, Tensor]:
        return {str(index): mean for index, mean in enumerate(self.averaged.module.parameters())}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        for index, mean in enumerate(self.averaged.module.parameters()):
            mean.detach().copy_(state[str(index)])


def _as_module(model: Model) -> nn.ModuleDict:
    """The model's own parameters, not copies, as one module."""
    gaussians = nn.ParameterList(model.gaussians.tensors().values())
    return nn.ModuleDict({"gaussians": gaussians, "network": model.network})
