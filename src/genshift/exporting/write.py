"""A part of a run as one file: ONNX, PyTorch's exported program, or its weights alone."""

from __future__ import annotations

import importlib
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from genshift.errors import Refusal, of_exhaustion
from genshift.exporting.parts import Inputs, Part
from genshift.runs.files import write_whole

OPSET = 18
BOUND = 1e-4  # of an answer, or of its size where that is above 1; of a denoiser's, what its network answered
NEEDED = {"onnx": ("onnx", "onnxscript", "onnxruntime")}


@dataclass(frozen=True)
class Exported:
    """The file that was written, which part it holds, its size in bytes, and the largest difference between its answers
    and PyTorch's, as a share of the answer where that is above 1."""

    file: Path
    part: str
    bytes: int
    difference: float


def write(part: Part, metadata: Mapping[str, str], form: str, file: Path) -> Exported:
    """Writes the file whole, once it was read again and answered the part's examples as PyTorch does.

    Raises Refusal where the part cannot be made a graph, its answers differ by more than BOUND, or
    the file cannot be written.
    """
    with torch.inference_mode():
        answers = [part.module(*example.values()) for example in part.examples]
    found: list[float] = [] if part.own is None else [_difference(part.own, answers[0]) / part.gains[0]]

    def write_and_check(temporary: Path) -> None:
        answer = FORMATS[form](part, metadata, temporary)
        found.extend(
            _difference(answer(example), expected) / gain
            for example, expected, gain in zip(part.examples, answers, part.gains, strict=False)  # latents: one example
        )
        if not max(found) <= BOUND:
            raise Refusal(
                f"The exported {part.name} differs from PyTorch's answers by {max(found):.1e}, more than {BOUND:g}: "
                "it is not written; give another --format, and please report it."
            )

    write_whole(file, write_and_check)
    return Exported(file, part.name, file.stat().st_size, max(found))


def _difference(given: Tensor, expected: Tensor) -> float:
    """The largest of |given - expected| / max(1, |expected|); infinite where shapes differ."""
    if given.shape != expected.shape:
        return float("inf")
    return float(((given - expected).abs() / expected.abs().clamp(min=1)).max())


def check_extra(form: str) -> None:
    """Refuses a format that needs what is not installed."""
    for name in NEEDED.get(form, ()):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise Refusal(
                f"--format {form} needs {name}, which does not import ({error}): `pip install 'genshift[export]'` "
                "installs it; pt2 and safetensors need nothing more."
            ) from error


@contextmanager
def _unheard() -> Iterator[None]:
    """What the exporters tell their own developers: deprecations within them, and constants that they fold."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


# --- formats: each writes, and returns what the written file answers ------------------------------------------------


Answer = Callable[[Inputs], Tensor]


def _program(part: Part) -> torch.export.ExportedProgram:
    """The part as a graph, for any length of its free axes."""
    dynamic = tuple({axis: torch.export.Dim.DYNAMIC for axis in part.free[name]} for name in part.examples[0])
    example = part.examples[1 if "height" in part.free[next(iter(part.free))].values() else 0]
    try:
        with torch.no_grad():
            return torch.export.export(part.module.eval(), tuple(example.values()), dynamic_shapes=dynamic)
    except RuntimeError as error:  # of a plugin's network, such as one that asks for the values of its input
        if isinstance(ended := of_exhaustion(error), Refusal):
            raise ended from error
        raise Refusal(
            f"The {part.name} cannot be made a graph ({str(error).splitlines()[0]}): give --format safetensors, or "
            "write its network without what depends on values or fixes the batch."
        ) from error


def _onnx(part: Part, metadata: Mapping[str, str], path: Path) -> Answer:
    import onnx
    import onnxruntime

    with _unheard():
        program = torch.onnx.export(
            _program(part), input_names=list(part.examples[0]), output_names=[part.output], opset_version=OPSET,
            dynamo=True, verbose=False,
        )  # fmt: skip
        assert program is not None
        model = program.model_proto
    onnx.helper.set_model_props(model, dict(metadata))
    _name_axes(model, part)
    path.write_bytes(model.SerializeToString())
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda example: torch.from_numpy(
        session.run([part.output], {name: tensor.numpy() for name, tensor in example.items()})[0]
    )


def _name_axes(model: Any, part: Part) -> None:
    """Free axes bear the names that the guide gives them."""
    for value in model.graph.input:
        for axis, name in part.free[value.name].items():
            value.type.tensor_type.shape.dim[axis].dim_param = name
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "batch"


def _pt2(part: Part, metadata: Mapping[str, str], path: Path) -> Answer:
    with _unheard():
        with path.open("wb") as file:
            torch.export.save(_program(part), file, extra_files={"genshift.json": json.dumps(dict(metadata))})
        with path.open("rb") as file:
            module = torch.export.load(file).module()
    return lambda example: module(*example.values()).detach()


def _safetensors(part: Part, metadata: Mapping[str, str], path: Path) -> Answer:
    tensors = {
        f"{name}/{key}": tensor.detach().contiguous()
        for name, net in part.networks.items()
        for key, tensor in net.state_dict().items()
    }
    save_file(tensors, path, metadata=dict(metadata))
    read = load_file(path)
    if not all(torch.equal(read[name], tensor) for name, tensor in tensors.items()):
        raise Refusal(f"{path} does not hold what was written: the disk may be damaged; write elsewhere.")
    return lambda example: part.module(*example.values()).detach()


FORMATS: dict[str, Callable[[Part, Mapping[str, str], Path], Answer]] = {
    "onnx": _onnx,
    "pt2": _pt2,
    "safetensors": _safetensors,
}
