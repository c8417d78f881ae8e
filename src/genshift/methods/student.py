"""A student that draws in a few passes what a diffusion model draws in many: the target of progressive distillation
(Salimans and Ho 2022, arXiv 2202.00512), with guidance folded in (Meng et al. 2022, arXiv 2210.03142).

Progressive distillation halves the steps stage by stage, each student the next one's teacher. Here there is one stage:
the teacher's guided flow is solved once for each noise, and its states are the targets of all passes at once, from 8 to
1, so that no student's error is learnt by another.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from genshift.data.feed import Batch
from genshift.diffusion.guidance import Guidance
from genshift.diffusion.process import Levels, levels
from genshift.methods.base import at_least_float32
from genshift.methods.diffusion import DiffusionMethod, _times
from genshift.methods.schedules import Progress
from genshift.presets import Student
from genshift.presets.diffusion import PASSES

# What a student learns of one trajectory: pass number i of k, for each k.
TASKS = tuple((k, i) for k in PASSES for i in range(k))


class StudentMethod(DiffusionMethod):
    """`unet` is told in how many passes a picture is drawn by its label: there are as many of each class as PASSES.

    Drawing in k passes takes every (n/k)-th of the n + 1 levels at which the teacher's flow was solved, and jumps from
    one to the next by DDIM's step (arXiv 2202.00512, equation 8).
    """

    preset: Student
    teacher: DiffusionMethod

    @property
    def ladder(self) -> Levels:
        """The levels of the passes that are asked for, among the teacher's."""
        return thinned(self._solved, self.sampling.steps)

    @property
    def drawing_network(self) -> nn.Module:
        """The network as it draws in the passes that are asked for."""
        return Told(self.networks["unet"], PASSES.index(self.sampling.steps), self.classes)

    def _guidance(self) -> Guidance:
        return Guidance()  # it is folded in

    # --- learning ---------------------------------------------------------------------------------------------------

    def learn_by(self, teacher: DiffusionMethod) -> None:
        """Takes the diffusion model that it learns by, drawing as it is to be imitated; it computes in its arithmetic."""
        for net in (teacher.networks["unet"], teacher.weak):
            if net is not None:
                net.to(self.arithmetic.device, self.arithmetic.dtype).eval().requires_grad_(False)
        teacher.arithmetic, self.teacher = self.arithmetic, teacher

    def start_from_pretrained(self) -> None:
        """From the teacher's weights; a class has the same ones for all passes."""
        own, other = self.networks["unet"].state_dict(), self.teacher.networks["unet"].state_dict()
        begun = {name: taken_over(tensor, other.get(name), self.classes) for name, tensor in own.items()}
        self.networks["unet"].load_state_dict(begun)

    def step(self, batch: Mapping[str, Batch], progress: Progress) -> dict[str, Tensor]:
        """As many optimisation steps as there are TASKS, on as many trajectories of the teacher as there are images in
        "data", whose labels alone are looked at. Each step takes another task of each trajectory, in an order of its own.
        """
        data = batch["data"]
        labels = data.y if self.classes else None
        states = self.trajectories(data.draws.normal("noise", *data.x.shape[1:]).to(data.x), labels)
        order = data.draws.uniform("order", len(TASKS)).argsort(1)
        losses = [self._learn(states, labels, tasks) for tasks in order.t()]
        return {name: torch.stack([loss[name] for loss in losses]).mean() for name in losses[0]}

    @torch.no_grad()
    def trajectories(self, noise: Tensor, labels: Tensor | None) -> Tensor:
        """The states `[n + 1, N, C, H, W]` of the teacher's guided flow from N(0, I) `[N, C, H, W]` to pictures."""
        teacher = self.teacher
        guided = teacher.guided(labels, torch.Generator())
        x = at_least_float32(noise) * guided.levels.sigma[0].item()
        solved = teacher.sampler(guided, x, guided.levels, lambda: torch.zeros_like(x))
        return torch.stack([x, *(state.x for state in solved)])

    def _learn(self, states: Tensor, labels: Tensor | None, tasks: Tensor) -> dict[str, Tensor]:
        """One step on task number `tasks[n]` of trajectory n: |F - target|², where the predicted picture of `target`
        is the one whose DDIM step ends where the teacher does."""
        k, i = torch.tensor(TASKS)[tasks].unbind(1)
        span, rows = (len(states) - 1) // k, torch.arange(len(k))
        start, end = i * span, (i + 1) * span
        x, ladder = states[start, rows], self._solved
        x_0 = picture_between(x, states[end, rows], ladder, start, end)
        t, rates = ladder.time[start], (ladder.alpha[start], ladder.sigma[start])
        a, b, c = self.parametrisation.coefficients(*rates)
        told = labels_in_passes(labels, torch.tensor(list(map(PASSES.index, k.tolist()))).to(x.device), self.classes)
        answer = self._answer(self.nets["unet"], _times(c, x), t, told)
        errors = (answer - (x_0 - _times(a, x)) / _times(b, torch.ones_like(x))).square().mean((1, 2, 3))
        self.optimizers["unet"].zero_grad(set_to_none=True)
        errors.mean().backward()
        with self.arithmetic.autocast():
            self.optimizers["unet"].step()
        return {"loss": errors.detach().mean(), "loss_image": (b.to(errors).square() * errors.detach()).mean()}

    @property
    def _solved(self) -> Levels:
        """The levels at which the teacher's flow is solved."""
        return levels(self.process, self.preset.solver_steps, self.preset.spacing)


class Told(nn.Module):
    """A student's network that draws in PASSES[place] passes, as a network of the classes alone: `(x, t, y)`."""

    def __init__(self, net: nn.Module, place: int, classes: int) -> None:
        super().__init__()
        self.net, self.place, self.classes = net, place, classes

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        answer: Tensor = self.net(x, t, labels_in_passes(y, torch.full_like(t, self.place).long(), self.classes))
        return answer


def labels_in_passes(labels: Tensor | None, places: Tensor, classes: int) -> Tensor:
    """int64 `[N]`: the student's label of each class (None: of pictures without classes) in PASSES[places] passes."""
    return places if labels is None else labels + classes * places


def taken_over(own: Tensor, other: Tensor | None, classes: int) -> Tensor:
    """The teacher's tensor in the form of the student's `own`: rows of classes for each number of passes, after those
    that are of none; zeros where the teacher was told no label."""
    if other is None:
        return torch.zeros_like(own)
    if own.shape == other.shape:
        return other
    shared = len(other) - classes
    rows = torch.cat([other[:shared], *[other[shared:]] * len(PASSES)])
    return torch.cat([rows, own.new_zeros(len(own) - len(rows), *own.shape[1:])])


def thinned(ladder: Levels, passes: int) -> Levels:
    """Every so many levels of a ladder, so that `passes` steps are left."""
    every = slice(None, None, len(ladder) // passes)
    return Levels(ladder.time[every], ladder.alpha[every], ladder.sigma[every])


def picture_between(x: Tensor, there: Tensor, ladder: Levels, start: Tensor, end: Tensor) -> Tensor:
    """The x_0 with which DDIM's step leads from x at level `start` to `there` at level `end`, both int64 `[N]`
    (arXiv 2202.00512, Algorithm 2): (x'' - (σ''/σ) x)/(α'' - (σ''/σ) α)."""
    kept = ladder.sigma[end] / ladder.sigma[start]
    return _times(1 / (ladder.alpha[end] - kept * ladder.alpha[start]), there - _times(kept, x))
