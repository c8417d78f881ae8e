"""What the JSON files of a run folder hold, file by file: the types that they are held against when they are read.

What a later version adds is kept and not looked at; what an earlier one did not write is not required. Imports no
torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Required, TypedDict

from msgspec import Meta

from genshift.typed_json import Count, Number, Scalar, Whole

if TYPE_CHECKING:  # an empty dict stands for a file that is not there: to a type checker no key is certain
    from typing import NotRequired as Present
else:
    Present = Required

CONFIG, RESULTS, EVALUATION = "config.json", "results.json", "evaluation.json"
SCORES, CHOICE = "scores.json", "selection.json"  # of an adapted run: its checkpoints' scores, and which one to use
AUDIT = "audit.json"  # what a few labels of an adapted run's target say of it
TRACKING = "tracking.json"  # how far a tracker of experiments was told of a run
SWEEP, SAMPLING = "sweep.json", "sampling.json"  # of a diffusion model: what was measured, and what was best
GAP = 2  # pixels between two pictures of a sheet, and around all of them
Share = Annotated[float, Meta(ge=-0.01, le=1.01)]  # a mean of float32 may lie just above 1
Entropy = Annotated[float, Meta(ge=-0.01, le=50)]  # in nats: the exponential of it is a number of classes
Place = Annotated[str, Meta(pattern=r"^[0-9]{1,6}$")]  # of a picture in its sheet
FileName = Annotated[str, Meta(pattern=r"^[^/\\]+$")]  # within its folder
LogRow = dict[str, Any]  # of metrics.jsonl and oracle.jsonl: images seen, and whatever was logged then


# --- config.json ------------------------------------------------------------------------------------------------------


class PresetEntry(TypedDict, total=False):
    """The preset as it was trained; `fields` are its options, `role` is its method."""

    family: str | None
    name: str
    study: str | None
    task: str | None
    role: str | None
    summary: str
    networks: str
    fields: dict[str, Scalar]
    origins: dict[str, str]
    published: dict[str, Number]


class Joined(TypedDict):
    """Images that came to a set from elsewhere."""

    name: str
    n: Count
    fingerprint: str


class DataEntry(TypedDict, total=False):
    """A set that the run learnt from, and what was noted when it was read; older runs wrote one note."""

    name: str
    n: Count
    held_out: Count
    fingerprint: str
    manifest: str
    extra: Joined
    notes: list[str]
    note: str | list[str]


class BundleEntry(TypedDict):
    """Of a bundle: the run's checkpoint that it holds, and how many images the run had seen in all."""

    checkpoint: FileName
    seen: Count


class Trial(TypedDict):
    """What an augmentation costs a short training on the source: shares of `n` held-out pictures that are right, by
    the head for plain ones, and by the augmentation's of plain and of augmented ones; what is lost of each with its
    standard error; whether it is used, and a sentence."""

    augmentation: str
    n: Count
    without: Share
    plain: Share
    augmented: Share
    plain_error: Number
    augmented_error: Number
    used: bool
    why: str


class InformationTrial(TypedDict):
    """Two trials of `images` each, with and without information maximisation: on how many of `n` target pictures they
    differ, how many of these go to either by their neighbours, whether it is used, and a sentence."""

    used: bool
    images: Count
    n: Count
    differ: Count
    votes_with: Count
    votes_without: Count
    why: str


class Config(TypedDict, total=False):
    """config.json: the description of a run, or of a bundle."""

    genshift: Annotated[str, Meta(max_length=40)]
    preset: Present[PresetEntry]
    seed: Present[Whole]
    images: Present[Count]
    minutes: Number | None
    skip_broken: bool
    classes: list[str]
    precision: str
    precision_reason: str
    device: str
    machine: str
    threads: Count
    world: Count
    gflop_per_image: Number
    command: str
    augmentation: list[Trial]  # what was measured on the source when the run began
    information: InformationTrial
    data: dict[str, DataEntry]
    networks: dict[str, str]
    parameters: dict[str, Count]
    environment: dict[str, Scalar]
    bundle: BundleEntry


class NeededPreset(TypedDict):
    """Of a preset that is made again."""

    name: str
    fields: dict[str, Scalar]


class NeededData(TypedDict):
    """Of a set that is looked at again."""

    name: str
    n: Count
    held_out: Count
    fingerprint: str


class Needed(TypedDict):
    """What config.json must hold of a run that is opened, measured or continued; a page can do without."""

    preset: NeededPreset
    classes: list[str]
    precision: str
    device: str
    machine: str
    threads: Count
    world: Count
    command: str
    data: dict[str, NeededData]


# --- metrics.jsonl, oracle.jsonl --------------------------------------------------------------------------------------


class Logged(TypedDict, total=False):
    """What a row holds beside numbers under names of a method's own."""

    images: Present[Count]
    alarms: list[str]


# --- tracking.json ---------------------------------------------------------------------------------------------------


class TrackedEntry(TypedDict):
    """A tracker's own name of the run, and after how many images each of its curves was told last."""

    id: str
    sent: dict[str, Count]


# --- results.json -----------------------------------------------------------------------------------------------------


class MeasureEntry(TypedDict, total=False):
    """A measure; one whose value is null was not taken."""

    value: Present[Number | None]
    std: Number | None
    n: Count | None
    protocol: str | None
    interval: list[Share]  # of 95%, of a share that was counted over few images
    floor: Number | None


# --- evaluation.json --------------------------------------------------------------------------------------------------


class Tsne(TypedDict, total=False):
    """Columns of equal length, one entry a point; `domain` is 0 of the source and 1 of the target."""

    x: Present[list[Number]]
    y: Present[list[Number]]
    label: Present[list[Whole | None]]
    domain: Present[list[Annotated[int, Meta(ge=0, le=1)]]]
    n: Count
    split: str


class Stage(TypedDict, total=False):
    """A VAE's latent space after so many images, as columns of equal length."""

    images: Present[Count]
    x: Present[list[Number]]
    y: Present[list[Number]]
    label: Present[list[Whole]]


class PictureEntry(TypedDict, total=False):
    """A picture of the run folder, what it shows, and texts below equal parts of its width; of a grid over training
    also the images seen.

    real: of a sheet of many pictures, the numbers of those that are real ones, row by row, by the option that names
    their set (data, source or target). hidden: of a record, which of these are painted over, each with its digest.
    """

    file: Present[str]
    title: str
    caption: str
    under: list[str]
    images: Count
    real: dict[str, list[Count]]
    hidden: dict[str, dict[Place, str]]


# "class" is no name in Python.
ClassRow = TypedDict(
    "ClassRow",
    {
        "class": Present[str],
        "n": Count,
        "accuracy": Number | None,
        "real_accuracy": Number | None,
        "frechet": Number | None,
        "floor": Number | None,
    },
    total=False,
)
ClassRow.__doc__ = "A conditional generator's pictures of one class, beside real ones."


class AttributeChange(TypedDict, total=False):
    """How many of n held-out pictures a classifier sees with another answer after reconstruction, as a share with its
    standard error, and on how many it errs as they are; None where their own attributes are unknown."""

    attribute: Present[str]
    n: Present[Count]
    flipped: Present[Share]
    error: Share
    judge_errs: Share | None


class CheckRow(TypedDict, total=False):
    """What n pictures of a GAN were like at a check of its training."""

    images: Present[Count]
    n: Count
    face_rate: Share
    face_error: Share
    kernel_distance: Number


class DifficultyRow(TypedDict, total=False):
    """How often a third of a target's images, hard or easy in a way, is classified right."""

    third: Present[str]
    n: Count
    accuracy: Present[Share]
    error: Share


class CoverageRow(TypedDict, total=False):
    """Of the surest pictures, so large a share of all, how many are right, and the least confidence among them."""

    least: Present[Share]
    coverage: Present[Share]
    accuracy: Present[Share]


class Evaluation(TypedDict, total=False):
    """evaluation.json: what reports show of a run beside its measures, and of which checkpoint these are. A family has
    what it writes of it."""

    # Of every family.
    images: Count  # that the evaluated checkpoint had seen
    selected: str | None  # the checkpoint that `genshift select` chose
    classes: list[str]
    warnings: list[str]
    drawn: bool  # whether all is there that an evaluation draws when it is asked to
    kept_without: str  # of a record: what it leaves out of this run, in a sentence
    most: Count  # pictures of a series or a map at most, where fewer were asked for than are usual
    # Of classifiers and adapted models.
    confusion: list[list[Count]]  # true class by predicted class
    attributes: dict[str, Number]  # accuracy by attribute
    difficulty: list[DifficultyRow]  # of house numbers
    coverage: list[CoverageRow]
    tsne: Tsne | None  # None where a domain has no images
    source_only_accuracy: Share | None  # of the run beside it that was not adapted, on held-out source images
    # Of generators.
    features: str  # the classifier's run in whose features distances were measured
    by_class: list[ClassRow]
    sampling: dict[str, Scalar]  # how a diffusion model drew what was measured
    shown_sampling: dict[str, Scalar]  # and what is shown of each class, where that is otherwise
    attribute_changes: list[AttributeChange]  # by a VAE's reconstructions
    over_training: list[CheckRow]  # of a GAN
    panel_mse: list[Number]  # of the pictures of the panel of reconstructions
    pictures: list[PictureEntry]
    snapshots: list[PictureEntry]  # grids of samples over training
    attribute: str  # what colours `stages`
    stages: list[Stage]  # a VAE's latent space over training


# --- scores.json, selection.json --------------------------------------------------------------------------------------


class EvidenceEntry(TypedDict):
    """What a verdict is made of (`selection.verdict.Evidence`)."""

    classes: Count
    source: Share
    held_out: Count
    images: Count
    temperature: Number
    confidence: Share
    thresholded: Share
    difference: Share
    transport: Share
    bound_logits: Share
    bound_features: Share
    neighbours: Share
    neighbours_source: Share
    steady: Share
    steady_source: Share
    near: Share
    mixed: Share
    shares: Share


class Scores(TypedDict, total=False):
    """The scores of a checkpoint; earlier versions took no estimates (`atc`, `doc`)."""

    images: Present[Count]
    checkpoint: Present[FileName]
    source_accuracy: Present[Share]
    source_error: Present[Share]
    entropy: Present[Entropy]
    diversity: Present[Entropy]
    information: Present[Number]
    snd: Present[Number]
    dev_risk: Present[Number]
    agreement: Present[Share]
    atc: Share
    doc: Share
    class_entropy: Present[Entropy]
    commonest: Share
    evidence: EvidenceEntry


class ImagesScored(TypedDict, total=False):
    """How many images the scores are of."""

    held_out: Count
    source: Count
    target: Count


class ScoresFile(TypedDict, total=False):
    """scores.json: a row for each checkpoint that can be chosen."""

    n: Present[ImagesScored]
    protocol: str
    source_only_accuracy: Share | None
    checkpoints: Present[list[Scores]]


class VerdictEntry(TypedDict, total=False):
    """How many of a target's pictures are named rightly, without a label of theirs, and what to make of it."""

    word: Present[str]
    value: Present[Share]
    low: Present[Share]
    high: Present[Share]
    n: Present[Count]
    source: Present[Share]
    reasons: Present[list[str]]
    temperature: Present[Number]


class Choice(TypedDict, total=False):
    """selection.json: which checkpoint a rule took, and after how many images; earlier versions wrote no verdict."""

    rule: Present[str]
    why: str
    checkpoint: Present[FileName]
    images: Present[Count]
    candidates: Count
    verdict: VerdictEntry
    among: list[str]
    warnings: list[str]
    source_only_accuracy: Share | None


# --- audit.json -------------------------------------------------------------------------------------------------------


class Interval(TypedDict):
    """A share with its 95% interval."""

    value: Share
    low: Share
    high: Share


class Audit(TypedDict, total=False):
    """What `n` labels of `of` target pictures say of a checkpoint.

    plan: the plan by which `drawn` of them were drawn; None where that is not known. foreign: labelled pictures that
    show no class of the run, beside the n; `accuracy_of_all` counts them as wrong. plain: the accuracy without the
    predictions of the rest, which count for `weight`. more_to_halve: further labels that would halve the interval.
    """

    images: Present[Count]
    checkpoint: Present[str]
    plan: Present[str | None]
    target: str
    files: list[str]
    n: Present[Count]
    of: Present[Count]
    drawn: Present[Count]
    foreign: Present[Count]
    accuracy: Present[Interval]
    plain: Share
    weight: Share
    balanced_accuracy: Present[Interval]
    accuracy_of_all: Interval
    unseen_classes: list[str]
    more_to_halve: Count
    warnings: list[str]


# --- sweep.json, sampling.json ----------------------------------------------------------------------------------------


class Options(TypedDict, total=False):
    """How the pictures of a row were drawn: the options of `genshift.presets.Sampling`."""

    sampler: Present[str]
    steps: Present[Count]
    spacing: str
    eta: Number
    guide: Present[str]
    guidance: Present[Number]
    guidance_from: Present[Number]
    guidance_to: Present[Number]
    skip: Number
    clip: str


if TYPE_CHECKING:
    Drawn = dict[str, Any]
else:
    Drawn = Options


class SweepMeasures(TypedDict, total=False):
    """What a sweep measures of a setting, over n pictures; `accuracy` is None without classes."""

    accuracy: Present[Share | None]
    accuracy_error: Present[Share | None]
    frechet: Present[Number]
    frechet_error: Number | None
    floor: Present[Number]
    evaluations: Present[Number]
    seconds_per_image: Present[Number]
    n: Present[Count]


class SweepRow(SweepMeasures, total=False):
    """One setting of a sweep: `sampling` is how pictures were drawn."""

    axis: Present[str]
    setting: Present[str]
    sampling: Present[Drawn]


class SkipRow(TypedDict, total=False):
    """Guidance left out in a share of the steps: right class over n pictures, passes and seconds by the run's own
    sampler; the distance, and right class again, over `frechet_n` pictures in `frechet_steps`."""

    skip: Present[Share]
    sampling: Present[Drawn]
    accuracy: Present[Share | None]
    accuracy_error: Present[Share | None]
    n: Present[Count]
    evaluations: Present[Number]
    seconds_per_image: Present[Number]
    frechet: Present[Number]
    floor: Present[Number]
    frechet_accuracy: Share | None
    frechet_n: Present[Count]
    frechet_steps: Present[Count]


class SkipTable(TypedDict, total=False):
    """The conditions that its rows were measured under, and the rows."""

    images: Present[Count]
    features: Present[str]
    features_images: Count
    reference: str
    n: Count
    count: Count
    seed: Whole
    machine: str
    protocol: str
    rows: Present[list[SkipRow]]


class Best(TypedDict, total=False):
    """The setting that a finished sweep chose, of which checkpoint, and why; sampling.json holds it too."""

    sampling: Present[dict[str, Scalar]]
    images: Present[Count]
    why: str


class Sweep(TypedDict, total=False):
    """sweep.json: the conditions that all rows were measured under, the rows, and the best of them."""

    images: Present[Count]
    features: Present[str]
    features_images: Count
    reference: Present[str]
    n: Present[Count]
    seed: Whole
    machine: str
    rule: str
    rows: list[SweepRow]
    best: Best | None
    skips: SkipTable  # measured by itself: it shares no condition with the rows, and chooses nothing


# --- all of them ------------------------------------------------------------------------------------------------------

# A type each, and what to do where it is not that.
FORMS: dict[str, tuple[Any, str]] = {
    CONFIG: (Config, "restore it, or train into another folder"),
    RESULTS: (dict[str, MeasureEntry], "restore it, or move it away and evaluate again"),
    EVALUATION: (Evaluation, "restore it, or move it away and evaluate again"),
    SCORES: (ScoresFile, "restore it, or move it away and select again"),
    CHOICE: (Choice, "restore it, or move it away and select again"),
    AUDIT: (Audit, "restore it, or move it away and evaluate with the labels again"),
    TRACKING: (dict[str, TrackedEntry], "restore it, or move it out of the folder, and the tracker begins a new run"),
    SWEEP: (Sweep, "restore it, or move it away and sweep again"),
    SAMPLING: (Best, "restore it, or move it away and sweep again"),
}
