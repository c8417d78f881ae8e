"""A student that draws in 8, 4, 2 or 1 passes what a diffusion model draws in many: progressive distillation (Salimans
and Ho 2022, arXiv 2202.00512), with guidance folded in (Meng et al. 2022, arXiv 2210.03142).

The papers halve the passes stage by stage, and each student teaches the next. Here all stages are learnt at once by one
network, which is told the number of passes (as by arXiv 2410.12557, section 3): in 8 passes it learns from the guided
teacher, and in k from itself, as it is at that step, in 2k.
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

MOST = PASSES[-1]


class StudentMethod(DiffusionMethod):
    """`unet` is told in how many passes it draws by its label: it has as many of each class as there are PASSES.

    A pass is DDIM's step (arXiv 2202.00512, equation 8) from one level to another. The levels are those of MOST passes,
    of which fewer passes take every second, fourth or eighth.
    """

    preset: Student
    teacher: DiffusionMethod

    @property
    def ladder(self) -> Levels:
        """The levels of the passes in which it draws."""
        return part(self._solved, every=len(self._solved) // self.sampling.steps)

    @property
    def drawing_network(self) -> nn.Module:
        """The network, told the passes in which it draws."""
        return Told(self.networks["unet"], PASSES.index(self.sampling.steps), self.classes)

    def _guidance(self) -> Guidance:
        return Guidance()  # it is folded in

    @property
    def _solved(self) -> Levels:
        """The levels at which the teacher's flow is solved, of which a pass is one part in MOST or more."""
        return levels(self.process, self.preset.solver_steps, self.preset.spacing)

    # --- learning ---------------------------------------------------------------------------------------------------

    def learn_by(self, teacher: DiffusionMethod) -> None:
        """Takes the diffusion model that it learns by, drawing as it is to be imitated, into this one's arithmetic."""
        for net in (teacher.networks["unet"], teacher.weak):
            if net is not None:
                net.to(self.arithmetic.device, self.arithmetic.dtype).eval().requires_grad_(False)
        teacher.arithmetic, self.teacher = self.arithmetic, teacher

    def start_from_pretrained(self) -> None:
        """From the teacher's weights; a class has the same ones whatever the passes."""
        own, other = self.networks["unet"].state_dict(), self.teacher.networks["unet"].state_dict()
        begun = {name: taken_over(tensor, other.get(name), self.classes) for name, tensor in own.items()}
        self.networks["unet"].load_state_dict(begun)

    def step(self, batch: Mapping[str, Batch], progress: Progress) -> dict[str, Tensor]:
        """One step on the images "data" (Algorithm 2): |F - target|², where `target` makes the pass that begins at an
        image's noisy state end where two finer ones do. The passes are PASSES in even shares, and any of them."""
        data = batch["data"]
        x_0, labels = at_least_float32(data.x), data.y if self.classes else None
        place = (data.draws.spread("passes") * len(PASSES)).long()
        k = torch.tensor(PASSES)[place]
        # The teacher is asked for one pass of MOST a step: at one level all images go through it together.
        u = torch.where(k == MOST, data.draws.shared("pass"), data.draws.uniform("pass"))
        span = len(self._solved) // k
        start = (u * k).long() * span
        alpha, sigma = self._solved.alpha[start], self._solved.sigma[start]
        eps = data.draws.normal("eps", *x_0.shape[1:]).to(x_0)
        x = _times(alpha, x_0) + _times(sigma, eps)
        there = self._finer(x, start, place, labels)
        seen = picture_between(x, there, self._solved, start, start + span)
        a, b, c = self.parametrisation.coefficients(alpha, sigma)
        told = labels_in_passes(labels, place.to(x.device), self.classes)
        answer = self._answer(self.nets["unet"], _times(c, x), self._solved.time[start], told)
        errors = (answer - _times(1 / b, seen - _times(a, x))).square().mean((1, 2, 3))
        self.optimizers["unet"].zero_grad(set_to_none=True)
        errors.mean().backward()
        with self.arithmetic.autocast():
            self.optimizers["unet"].step()
        scalars = {"loss": errors, "loss_image": b.to(errors).square() * errors}
        return {name: values.detach().mean() for name, values in scalars.items()}

    @torch.no_grad()
    def _finer(self, x: Tensor, start: Tensor, place: Tensor, labels: Tensor | None) -> Tensor:
        """Where the passes of number `place` end that begin in x at level `start`: of MOST passes by the teacher, of
        fewer by two passes of this network's own, twice as fine. All of a row each."""
        there = torch.empty_like(x)
        for rows, ends in ((place == len(PASSES) - 1, self._by_teacher), (place < len(PASSES) - 1, self._by_itself)):
            if rows.any():
                on_device = rows.to(x.device)
                own = None if labels is None else labels[on_device]
                there[on_device] = ends(x[on_device], start[rows], place[rows], own)
        return there

    def _by_teacher(self, x: Tensor, start: Tensor, place: Tensor, labels: Tensor | None) -> Tensor:
        """The end of the teacher's guided flow over one of MOST passes, all from the same level."""
        first, span = int(start[0]), len(self._solved) // MOST
        guided = self.teacher.guided(labels, torch.Generator(), part(self._solved, first, first + span))
        *_, last = self.teacher.sampler(guided, x, guided.levels, lambda: torch.zeros_like(x))
        return last.x

    def _by_itself(self, x: Tensor, start: Tensor, place: Tensor, labels: Tensor | None) -> Tensor:
        """The end of two passes, as many as PASSES[place + 1] would take."""
        told = labels_in_passes(labels, (place + 1).to(x.device), self.classes)
        span = len(self._solved) // torch.tensor(PASSES)[place + 1]
        for level in (start, start + span):
            x = jumped(x, self._seen(x, level, told), self._solved, level, level + span)
        return x

    def _seen(self, x: Tensor, level: Tensor, told: Tensor) -> Tensor:
        """The picture that the network sees in x, each row at a level of its own."""
        a, b, c = self.parametrisation.coefficients(self._solved.alpha[level], self._solved.sigma[level])
        return _times(a, x) + _times(
            b, self._answer(self.networks["unet"], _times(c, x), self._solved.time[level], told)
        )


class Told(nn.Module):
    """A student's network that draws in PASSES[place] passes, as a network of the classes alone: `(x, t, y)`."""

    def __init__(self, net: nn.Module, place: int, classes: int) -> None:
        super().__init__()
        self.net, self.place, self.classes = net, place, classes

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        answer: Tensor = self.net(x, t, labels_in_passes(y, torch.full_like(t, self.place).long(), self.classes))
        return answer


def labels_in_passes(labels: Tensor | None, place: Tensor, classes: int) -> Tensor:
    """int64 `[N]`: the student's label of each class (None: of pictures without classes) in PASSES[place] passes."""
    return place if labels is None else labels + classes * place


def taken_over(own: Tensor, other: Tensor | None, classes: int) -> Tensor:
    """The teacher's tensor in the form of the student's `own`: its rows of classes for each of PASSES, after those that
    are of none; zeros where the teacher was told no label."""
    if other is None:
        return torch.zeros_like(own)
    if own.shape == other.shape:
        return other
    shared = len(other) - classes
    rows = torch.cat([other[:shared], *[other[shared:]] * len(PASSES)])
    return torch.cat([rows, own.new_zeros(len(own) - len(rows), *own.shape[1:])])


def part(ladder: Levels, first: int = 0, last: int | None = None, every: int = 1) -> Levels:
    """Every so many levels of a ladder, from number `first` to `last`."""
    chosen = slice(first, None if last is None else last + 1, every)
    return Levels(ladder.time[chosen], ladder.alpha[chosen], ladder.sigma[chosen])


def jumped(x: Tensor, x_0: Tensor, ladder: Levels, start: Tensor, end: Tensor) -> Tensor:
    """DDIM's step from x at level `start` to level `end`, int64 `[N]`: (σ'/σ) x + (α' - α σ'/σ) x_0."""
    kept = ladder.sigma[end] / ladder.sigma[start]
    return _times(kept, x) + _times(ladder.alpha[end] - kept * ladder.alpha[start], x_0)


def picture_between(x: Tensor, there: Tensor, ladder: Levels, start: Tensor, end: Tensor) -> Tensor:
    """The x_0 with which that step from x ends in `there` (arXiv 2202.00512, Algorithm 2)."""
    kept = ladder.sigma[end] / ladder.sigma[start]
    return _times(1 / (ladder.alpha[end] - kept * ladder.alpha[start]), there - _times(kept, x))
