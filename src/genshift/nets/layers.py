"""Layers that compute what PyTorch's do, faster where PyTorch's CPU kernels are far from the machine's limit."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

# Above this many output positions oneDNN's convolution wins; below it its weight gradient is 5 to 20 times slower
# than one matrix product (measured on a CPU with AMX: 256→512 channels, 4×4 to 2×2: 104 ms against 9 ms a step).
MATMUL_POSITIONS = 25


class Conv2d(nn.Conv2d):
    """`nn.Conv2d`, as one matrix product where the output is small and in bfloat16 on a CPU (it prints as Conv2d).

    `[N, C_in, H, W]` to `[N, C_out, H_out, W_out]`. Parameters, initialisation and state are `nn.Conv2d`'s. The
    matrix form cannot be differentiated twice; a gradient penalty runs in float32 and never takes it.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self._as_matmul(x):
            return super().forward(x)
        k, s, p = int(self.kernel_size[0]), int(self.stride[0]), int(self.padding[0])
        y = _MatmulConv.apply(x.bfloat16(), self.weight.bfloat16(), k, s, p)
        return y if self.bias is None else y + self.bias.bfloat16()[:, None, None]

    def _as_matmul(self, x: Tensor) -> bool:
        square = len({*self.kernel_size}) == len({*self.stride}) == len({*self.padding}) == 1
        plain = square and self.groups == 1 and self.dilation == (1, 1) and not isinstance(self.padding, str)
        if not plain or x.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return False
        height, width = _out_side(self, x.shape[2]), _out_side(self, x.shape[3])
        return 0 < height * width <= MATMUL_POSITIONS


def _out_side(conv: nn.Conv2d, side: int) -> int:
    return (side + 2 * int(conv.padding[0]) - int(conv.kernel_size[0])) // int(conv.stride[0]) + 1


class _MatmulConv(torch.autograd.Function):
    """Convolution as im2col and a matrix product; its gradient as two products and col2im."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, k: int, s: int, p: int) -> Tensor:
        xp = nn.functional.pad(x, (p, p, p, p)) if p else x
        windows = xp.permute(0, 2, 3, 1).unfold(1, k, s).unfold(2, k, s)  # [N, H', W', C, k, k]
        n, height, width = windows.shape[:3]
        columns = windows.permute(0, 1, 2, 4, 5, 3).reshape(n * height * width, -1)
        matrix = weight.permute(0, 2, 3, 1).reshape(len(weight), -1)  # [C_out, k·k·C_in]
        ctx.save_for_backward(columns, matrix)
        ctx.geometry = (xp.shape, weight.shape, k, s, p)
        y = columns @ matrix.t()
        return y.view(n, height, width, -1).permute(0, 3, 1, 2)  # channels_last without a copy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor, None, None, None]:
        columns, matrix = ctx.saved_tensors
        padded, shape, k, s, p = ctx.geometry
        n, c_out, height, width = grads[0].shape
        grad = grads[0].permute(0, 2, 3, 1).reshape(-1, c_out)
        grad_weight = (grad.t() @ columns).view(c_out, k, k, -1).permute(0, 3, 1, 2)
        assert grad_weight.shape == shape
        grad_x = None
        if ctx.needs_input_grad[0]:
            pieces = (grad @ matrix).view(n, height, width, k, k, -1)
            grad_x = _col2im(pieces, padded, k, s, p)
        return grad_x, grad_weight, None, None, None


def _col2im(pieces: Tensor, padded: torch.Size, k: int, s: int, p: int) -> Tensor:
    """Adds up the windows' gradients `[N, H', W', k, k, C]` into `[N, C, H, W]` (padding cut off)."""
    n, c, height_in, width_in = padded
    height, width = pieces.shape[1:3]
    if (height, width) == (1, 1) and (height_in, width_in) == (k, k):
        return pieces.reshape(n, k, k, c).permute(0, 3, 1, 2)[:, :, p : k - p, p : k - p]
    total = pieces.new_zeros(n, height_in, width_in, c)
    for i in range(k):
        for j in range(k):
            total[:, i : i + s * height : s, j : j + s * width : s] += pieces[:, :, :, i, j]
    return total[:, p : height_in - p, p : width_in - p].permute(0, 3, 1, 2)


class _SumOverProcesses(torch.autograd.Function):
    """The sum of a tensor over all processes; its gradient is summed over them too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].clone()
        torch.distributed.all_reduce(total)
        return total


class _FromAllProcesses(torch.autograd.Function):
    """The rows of all processes, in their order; the gradient of a process's own rows is summed over all."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x) for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather(parts, x)
        ctx.rows = len(x)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].clone()
        torch.distributed.all_reduce(total)
        first = torch.distributed.get_rank() * ctx.rows
        return total[first : first + ctx.rows]


def all_gather_rows(x: Tensor) -> Tensor:
    """The whole batch's rows of `x`, `[N, …]` on each process to `[processes · N, …]`: what a loss needs that is no
    mean over rows. Averaged over processes afterwards, the gradient is that of one process with the whole batch."""
    return _FromAllProcesses.apply(x.contiguous()) if many_processes() else x


def many_processes() -> bool:
    """Whether this process shares its batches with others."""
    return torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1


class _GlobalBatchNorm(nn.modules.batchnorm._BatchNorm):
    """BatchNorm whose training statistics are those of the whole batch, over all processes that share it.

    So N processes train as one would. PyTorch's SyncBatchNorm does this on GPUs alone.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and many_processes()):
            return self._of_this_process(x)
        self._check_input_dim(x)
        dims = [d for d in range(x.dim()) if d != 1]
        shape = [-1 if d == 1 else 1 for d in range(x.dim())]
        values = x.double() if x.dtype == torch.float64 else x.float()
        count = values.numel() // values.shape[1] * torch.distributed.get_world_size()
        mean = _SumOverProcesses.apply(values.sum(dims)) / count
        centred = values - mean.view(shape)
        variance = _SumOverProcesses.apply(centred.square().sum(dims)) / count
        # The running statistics, whose variance is the unbiased one.
        assert self.num_batches_tracked is not None and self.momentum is not None
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            now = (mean, variance * count / (count - 1))
            for running, value in zip(self._running(), now, strict=True):
                running.lerp_(value.to(running.dtype), self.momentum)
        y = centred * (variance + self.eps).rsqrt().view(shape)
        return (y * self.weight.view(shape) + self.bias.view(shape)).to(x.dtype)

    def extra_repr(self) -> str:
        """As the reports print it; PyTorch 2.13 adds the bias, which is there whenever `affine` is."""
        options = {n: getattr(self, n) for n in ("eps", "momentum", "affine", "track_running_stats")}
        return ", ".join([str(self.num_features), *(f"{name}={value}" for name, value in options.items())])

    def _of_this_process(self, x: Tensor) -> Tensor:
        return super().forward(x)

    def _running(self) -> tuple[Tensor, Tensor]:
        """The running mean and variance that a pass uses and moves."""
        assert self.running_mean is not None and self.running_var is not None
        return self.running_mean, self.running_var


class BatchNorm1d(_GlobalBatchNorm, nn.BatchNorm1d):
    """`nn.BatchNorm1d` with the statistics of the global batch."""


class BatchNorm2d(_GlobalBatchNorm, nn.BatchNorm2d):
    """`nn.BatchNorm2d` with the statistics of the global batch."""


class _ByDomain(_GlobalBatchNorm):
    """BatchNorm with running statistics for each of two domains, and one scale and shift (arXiv 1603.04779).

    `running_mean` and `running_var` are the target's, `source_mean` and `source_var` the source's; `domain` says whose
    images pass, and `in_domain` sets it.
    """

    source_mean: Tensor
    source_var: Tensor

    def __init__(self, num_features: int, **options: Any) -> None:
        super().__init__(num_features, **options)
        self.domain: Literal["source", "target"] = "target"
        self.register_buffer("source_mean", torch.zeros(num_features))
        self.register_buffer("source_var", torch.ones(num_features))

    def _of_this_process(self, x: Tensor) -> Tensor:
        assert self.momentum is not None and self.num_batches_tracked is not None
        mean, variance = self._running()
        if self.training:
            self.num_batches_tracked.add_(1)
        return nn.functional.batch_norm(
            x, mean, variance, self.weight, self.bias, self.training, self.momentum, self.eps
        )

    def _running(self) -> tuple[Tensor, Tensor]:
        return super()._running() if self.domain == "target" else (self.source_mean, self.source_var)


class DomainBatchNorm1d(_ByDomain, BatchNorm1d):
    """BatchNorm1d with running statistics for each of two domains."""


class DomainBatchNorm2d(_ByDomain, BatchNorm2d):
    """BatchNorm2d with running statistics for each of two domains."""


def in_domain(net: nn.Module, domain: Literal["source", "target"]) -> nn.Module:
    """The network, set to normalise images of a domain by that domain's statistics, where it keeps them apart."""
    for module in net.modules():
        if isinstance(module, _ByDomain):
            module.domain = domain
    return net


class ConvTranspose2d(nn.ConvTranspose2d):
    """`nn.ConvTranspose2d` (it prints as that), as one matrix product and col2im where the input is small and in
    bfloat16 on a CPU, as in `Conv2d` above."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        positions = input.shape[2] * input.shape[3]
        if input.device.type != "cpu" or not torch.is_autocast_enabled("cpu") or positions > MATMUL_POSITIONS:
            return super().forward(input, output_size)
        k, s, p = int(self.kernel_size[0]), int(self.stride[0]), int(self.padding[0])
        y = _MatmulConvTranspose.apply(input.bfloat16(), self.weight.bfloat16(), k, s, p, int(self.output_padding[0]))
        return y if self.bias is None else y + self.bias.bfloat16()[:, None, None]


class _MatmulConvTranspose(torch.autograd.Function):
    """The adjoint of `_MatmulConv`: a matrix product, and col2im."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, k: int, s: int, p: int, extra: int) -> Tensor:
        n, c_in, height, width = x.shape
        c_out = weight.shape[1]
        rows = x.permute(0, 2, 3, 1).reshape(-1, c_in)
        matrix = weight.permute(0, 2, 3, 1).reshape(c_in, -1)  # [C_in, k·k·C_out]
        ctx.save_for_backward(rows, matrix)
        ctx.geometry = (x.shape, weight.shape, k, s, p)
        pieces = (rows @ matrix).view(n, height, width, k, k, c_out)
        sides = [(side - 1) * s + k + extra for side in (height, width)]
        return _col2im(pieces, torch.Size((n, c_out, *sides)), k, s, p)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor, None, None, None, None]:
        rows, matrix = ctx.saved_tensors
        (n, c_in, height, width), shape, k, s, p = ctx.geometry
        grad = nn.functional.pad(grads[0], (p, p, p, p)) if p else grads[0]
        windows = grad.permute(0, 2, 3, 1).unfold(1, k, s).unfold(2, k, s)[:, :height, :width]
        columns = windows.permute(0, 1, 2, 4, 5, 3).reshape(n * height * width, -1)  # [.., k·k·C_out]
        grad_weight = (rows.t() @ columns).view(c_in, k, k, -1).permute(0, 3, 1, 2)
        assert grad_weight.shape == shape
        grad_x = (columns @ matrix.t()).view(n, height, width, c_in).permute(0, 3, 1, 2)
        return grad_x, grad_weight, None, None, None, None


class LayerNorm(nn.LayerNorm):
    """`nn.LayerNorm` that prints as in the reports; PyTorch 2.13 adds the bias."""

    def extra_repr(self) -> str:
        """As PyTorch before 2.13."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class Sigmoid(nn.Sigmoid):
    """`nn.Sigmoid` that never computes in bfloat16, where every probability above 0.998 is 1."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.float() if input.dtype == torch.bfloat16 else input)


class LogSoftmax(nn.LogSoftmax):
    """`nn.LogSoftmax` that never computes in bfloat16, where a log-probability keeps two digits."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.float() if x.dtype == torch.bfloat16 else x)


@torch.no_grad()
def start_smooth(conv: nn.Conv2d) -> None:
    """Lets the four pixels that a pixel shuffle makes of a convolution's channels begin alike: otherwise a chequerboard
    shows for long (ICNR, arXiv 1707.02937)."""
    conv.weight.copy_(conv.weight[::4].repeat_interleave(4, 0))
    if conv.bias is not None:
        conv.bias.copy_(conv.bias[::4].repeat_interleave(4, 0))


# --- spectral normalisation -------------------------------------------------------------------------------------------


def spectral(layer: nn.Module) -> None:
    """Divides a layer's weight by its largest singular value in every forward pass (SNGAN, arXiv 1802.05957).

    The value is estimated by one power iteration (algorithm 1) a forward pass; in training the iteration's vector `u`,
    float `[C_out]`, is kept for the next. The layer prints as before; its parameter is called `weight_free`.
    """
    weight = layer._parameters.pop("weight")
    assert weight is not None
    layer.register_parameter("weight_free", weight)
    layer.register_buffer("u", nn.functional.normalize(torch.randn(len(weight)), dim=0).to(weight))
    layer.register_forward_pre_hook(_normalise)


def _normalise(layer: Any, inputs: Any) -> None:
    free: Tensor = layer.weight_free
    # Columns in memory's order: no order of them changes a singular value, and this one needs no copy.
    flat = (free.permute(0, 2, 3, 1) if free.dim() == 4 else free).flatten(1)
    with torch.autocast(free.device.type, enabled=False):
        with torch.no_grad():
            v = nn.functional.normalize(flat.t() @ layer.u, dim=0)
            u = nn.functional.normalize(flat @ v, dim=0)
            if layer.training:
                layer.u.copy_(u)
        layer.weight = free * (u @ (flat @ v)).reciprocal()
