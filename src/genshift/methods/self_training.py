"""Self-training of a linear head on the frozen features of a pretrained backbone: a first answer in seconds.

Each domain's features are standardised by that domain's own mean and deviation (as AdaBN does in every layer, Li et al.
2017, arXiv 1603.04779). Then the head and the target's labels make each other, in rounds: class-balanced self-training
(Zou et al. 2018, arXiv 1810.07911, section 3.3) on answers that are propagated over the graph of nearest neighbours
(Iscen et al. 2019, arXiv 1904.04717, section 3.2).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genshift.data.feed import Batch, TrainingSet
from genshift.errors import Refusal
from genshift.methods.base import CROSS_FITS, ClassifierMethod, Domain, at_least_float32
from genshift.methods.schedules import Progress
from genshift.metrics.classification import accuracy
from genshift.nets.pretrained import PretrainedBackbone
from genshift.presets import BenchmarkPreset

BATCH = 100  # pictures at a time through the backbone: 128 pixels of SqueezeNet 1.0 take 150 MB
DOMAINS: tuple[Domain, Domain] = ("source", "target")
ROWS = 2_000  # whose neighbours are sought at a time
FLOOR = 1e-3  # so that a feature which is dead in one domain is not blown up where another picture has it (ours)
SHARPNESS = 0.1  # cosine by which a neighbour's weight falls by e (ours)
WALKS = 30  # of the propagation: at a share of 0.8 what is left after them is 0.1%
ITERATIONS = 30  # of L-BFGS a round, from the head of the round before


class SelfTraining(ClassifierMethod):
    """`extractor` rests; `predictor` is learnt by L-BFGS, from all pictures at once.

    A step is a round over all pictures; the first one learns from the source alone. Features are computed once, and
    kept by each picture's content (`kept`), so that checks, choices and evaluations of the same pictures cost nothing.

    Normalisation: the backbone's own layers answer as their weights have them; the features' layer has each domain's
    mean and variance over all of its pictures.
    """

    draws = DOMAINS
    cross_fits = True
    preset: BenchmarkPreset

    def set_up(self) -> None:
        self.optimizers = {}
        self.networks["extractor"].requires_grad_(False)
        self.parts: Mapping[str, TrainingSet] = {}
        self.moments: dict[str, Tensor] = {}  # of both domains' features
        self.known: dict[bytes, Tensor] = {}  # features by a picture's content
        self.known_by = ""  # which weights they were computed by

    def start_from_pretrained(self) -> None:
        """Refuses a backbone without weights: of random features little is to be learnt."""
        if not isinstance(self.networks["extractor"], PretrainedBackbone) or self.preset.weights == "none":
            raise Refusal(
                f"{self.preset.name} rests on what a backbone has learnt: give --weights FILE (or download), and "
                "--backbone where it is not SqueezeNet."
            )
        super().start_from_pretrained()

    def begin(self, parts: Mapping[str, TrainingSet]) -> None:
        """Takes the sets; their features are computed at the first step, by the weights that stand then."""
        self.parts = parts

    def train_mode(self, on: bool) -> None:
        """Nothing here computes otherwise while it learns."""
        super().train_mode(False)

    def step(self, batch: Mapping[str, Batch], progress: Progress) -> dict[str, Tensor]:
        """One round: the target's labels by the head as it is, then the head by source and target labels together."""
        if not self.moments:
            self._prepare()
        self._norm.load_state_dict(self.moments, strict=False)  # which the probe undoes
        size = self.preset.batch_source
        number, last = progress.images // size, max(1, -(-progress.total // size) - 2)
        labelled = torch.zeros(len(self.target), dtype=torch.bool, device=self.target.device)
        labels = self.labels.new_zeros(len(self.target))
        if number:
            share = self.preset.share_first + (number - 1) / last * (self.preset.share_last - self.preset.share_first)
            answers = self._answers()
            labels = answers.argmax(1)
            labelled = surest(answers, min(share, 1.0))
        x = torch.cat([self.source, self.target[labelled]])
        y = torch.cat([self.labels, labels[labelled]])
        loss = self._learn(x, y)
        value, _ = accuracy(self._logits(self.source).argmax(1), self.labels)
        return {
            "loss_label": loss,
            "accuracy": loss.new_tensor(value),
            "labelled": labelled.to(loss.dtype).mean(),
        }

    @torch.no_grad()
    def _prepare(self) -> None:
        """Features of both domains, standardised by their own statistics, and the graph of the target's."""
        drawn: dict[str, Tensor] = {}
        for name, part in self.parts.items():
            rows = torch.arange(len(part.images)) if part.rows is None else part.rows
            drawn[name] = self._raw(part.images.images)[rows]
            if name == "source":
                assert part.images.labels is not None
                self.labels = part.images.labels[rows].to(drawn[name].device)
        if self.kept is not None:
            self.kept.write(self.known_by, self.known)
        self.moments = {
            f"{prefix}_{kind}": value
            for name, prefix in (("source", "source"), ("target", "running"))
            for kind, value in moments(drawn[name]).items()
        }
        self._norm.load_state_dict(self.moments, strict=False)
        self.source, self.target = (self._standardised(drawn[name], name) for name in DOMAINS)
        self.graph = neighbourhood(self.target, self.preset.neighbours) if self.preset.propagation else None

    @torch.no_grad()
    def _answers(self) -> Tensor:
        """Class probabilities of the target `[N_t, K]`, propagated among neighbours, and class frequencies drawn toward
        even ones: p_k (1/K / mean p_k)^a, normalised."""
        p = self._logits(self.target).softmax(1)
        if self.graph is not None:
            p = propagated(p, self.graph, self.preset.propagation)
        p = p * (1 / self.classes / p.mean(0).clamp_min(1e-6)) ** self.preset.alignment
        return p / p.sum(1, keepdim=True)

    def _learn(self, x: Tensor, y: Tensor) -> Tensor:
        """The head that minimises the mean cross-entropy of features `[N, D]` with labels `[N]` and half the ridge
        times its squared weights, from where it is; the loss."""
        head = self.networks["predictor"]
        weight, bias = (getattr(head, name) for name in ("weight", "bias"))
        optimizer = torch.optim.LBFGS(
            [weight, bias], max_iter=ITERATIONS, history_size=10, line_search_fn="strong_wolfe"
        )

        def loss() -> Tensor:
            optimizer.zero_grad()
            value = F.cross_entropy(F.linear(x, weight, bias), y) + self.preset.ridge / 2 * weight.square().sum()
            value.backward()
            return value

        with torch.enable_grad():
            optimizer.step(loss)
            value = loss().detach()
        optimizer.zero_grad()
        return value

    def cross_fitted(self, images: Tensor, labels: Tensor) -> Tensor:
        """By the first round's head, learnt from the source alone on features standardised as the run's are."""
        x, y = self._standardised(self._raw(images), "source"), labels.to(self.arithmetic.device)
        part = torch.empty_like(y)
        part[y.argsort(stable=True)] = torch.arange(len(y), device=y.device) % CROSS_FITS  # every class in each
        right, own = torch.zeros_like(y, dtype=torch.bool), self.networks["predictor"]
        try:
            for number in range(CROSS_FITS):
                held = part == number
                head = nn.Linear(x.shape[1], self.classes).to(x)
                nn.init.zeros_(head.weight)
                nn.init.zeros_(head.bias)
                self.networks["predictor"] = head
                self._learn(x[~held], y[~held])
                right[held] = self._logits(x[held]).argmax(1) == y[held]
        finally:
            self.networks["predictor"] = own
        return right

    # --- features -----------------------------------------------------------------------------------------------------

    @property
    def _backbone(self) -> PretrainedBackbone:
        backbone = self.networks["extractor"]
        assert isinstance(backbone, PretrainedBackbone)
        return backbone

    @property
    def _norm(self) -> nn.Module:
        norm = self._backbone.norm
        assert norm is not None
        return norm

    def _features(self, images: Tensor, domain: Domain = "target") -> Tensor:
        return self._standardised(self._raw(images), domain)

    def _standardised(self, raw: Tensor, domain: Domain) -> Tensor:
        self.train_mode(False)
        self.extractor_of(domain)
        return self._backbone.normalised(raw)

    @torch.no_grad()
    def _raw(self, images: Tensor) -> Tensor:
        """The backbone's features float `[N, D]` of uint8 `[N, C, H, W]`, computed once for each picture."""
        weights = self._weights()
        if weights != self.known_by:
            self.known_by, self.known = weights, self.kept.read(weights) if self.kept is not None else {}
        contents = [content(image) for image in images.cpu()]
        missing = list({key: row for row, key in enumerate(contents) if key not in self.known}.values())
        self.train_mode(False)
        for rows in torch.tensor(missing, dtype=torch.int64).split(BATCH) if missing else ():
            with self.arithmetic.autocast():
                features = self._backbone.raw(self.rule(images[rows.to(images.device)], self.arithmetic))
            keys = [contents[row] for row in rows.tolist()]
            self.known.update(zip(keys, at_least_float32(features).cpu(), strict=True))
        return torch.stack([self.known[key] for key in contents]).to(self.arithmetic.device)

    def _weights(self) -> str:
        """A digest of what features are a function of, beside the picture."""
        found = hashlib.blake2b(self.arithmetic.precision.encode(), digest_size=16)
        for tensor in self._backbone.net.state_dict().values():
            found.update(tensor.cpu().contiguous().numpy().tobytes())
        return found.hexdigest()


def moments(features: Tensor) -> dict[str, Tensor]:
    """`mean` and `var` `[D]` of features `[N, D]`; no variance is below FLOOR of the mean one."""
    variance = features.var(0, unbiased=False)
    return {"mean": features.mean(0), "var": variance.clamp_min(FLOOR * float(variance.mean()))}


def content(image: Tensor) -> bytes:
    """16 bytes that tell a picture, uint8 `[C, H, W]` on the CPU, from others by its pixels."""
    return hashlib.blake2b(image.contiguous().numpy().tobytes(), digest_size=16).digest()


def surest(answers: Tensor, share: float) -> Tensor:
    """bool `[N]`: of the rows of class probabilities `[N, K]` that one class is the likeliest of, the surest `share`,
    one at least; class by class, so that an easy one does not crowd a hard one out (arXiv 1810.07911, section 3.3)."""
    confidence, label = answers.max(1)
    chosen = torch.zeros(len(answers), dtype=torch.bool, device=answers.device)
    for k in label.unique().tolist():
        rows = (label == k).nonzero().flatten()
        chosen[rows[confidence[rows].topk(max(1, int(share * len(rows)))).indices]] = True
    return chosen


def neighbourhood(features: Tensor, count: int) -> Tensor:
    """D^-1/2 W D^-1/2 `[N, N]`, sparse, of the graph in which each of features `[N, D]` is joined to its `count`
    nearest by cosine, by weights e^(cosine/SHARPNESS), symmetrised (arXiv 1904.04717, section 3.2)."""
    n, count = len(features), min(count, len(features) - 1)
    unit = F.normalize(features, dim=1)
    places, weights = [], []
    for start in range(0, n, ROWS):
        cosine = unit[start : start + ROWS] @ unit.t()
        own = torch.arange(len(cosine), device=unit.device)
        cosine[own, own + start] = -torch.inf
        value, place = cosine.topk(count, 1)
        places.append(place)
        weights.append(((value - 1) / SHARPNESS).exp())
    rows, columns = torch.arange(n, device=unit.device).repeat_interleave(count), torch.cat(places).flatten()
    half = torch.cat(weights).flatten() / 2
    ends = torch.stack([torch.cat([rows, columns]), torch.cat([columns, rows])])
    degree = half.new_zeros(n).index_add(0, ends[0], half.repeat(2)).rsqrt()
    value = half.repeat(2) * degree[ends[0]] * degree[ends[1]]
    return torch.sparse_coo_tensor(ends, value, (n, n), check_invariants=True).coalesce()


def propagated(answers: Tensor, graph: Tensor, share: float) -> Tensor:
    """Z of Z = α S Z + (1 - α) Y (arXiv 1904.04717, equation 8, by iteration), rows summing to 1; Y class probabilities
    `[N, K]`, S the graph of `neighbourhood`, α the `share`."""
    z = answers
    for _ in range(WALKS):
        z = share * torch.sparse.mm(graph.to(z.dtype), z) + (1 - share) * answers
    return z / z.sum(1, keepdim=True)
