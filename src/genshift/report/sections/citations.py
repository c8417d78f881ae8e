"""What to cite: the papers behind the methods, the data and the choices of a page's adaptation runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from genshift.report.blocks import Block, Printed, Section, Terms
from genshift.report.model.grouping import method_title
from genshift.report.model.run_records import METHOD_TITLES, Run

TITLE = "What to cite"


@dataclass(frozen=True)
class Paper:
    """A publication; `kind` is BibTeX's and tells what `venue` is, `more` are further fields."""

    key: str
    authors: str
    title: str
    venue: str
    year: int
    arxiv: str = ""
    kind: str = "inproceedings"
    more: tuple[tuple[str, str], ...] = ()

    @property
    def line(self) -> str:
        """As a reference list has it."""
        names = [name.partition(",")[0] for name in self.authors.split(" and ")]
        who = f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
        where = f"{self.venue} {self.year}{f', arXiv {self.arxiv}' if self.arxiv else ''}"
        return f"{who}, {self.title.replace('{', '').replace('}', '')}, {where}"

    @property
    def bibtex(self) -> str:
        """The entry."""
        holder = {"article": "journal", "inproceedings": "booktitle", "misc": "howpublished"}[self.kind]
        fields = [("author", self.authors), ("title", self.title), (holder, self.venue), ("year", str(self.year))]
        fields += [*self.more, *([("eprint", self.arxiv), ("archivePrefix", "arXiv")] if self.arxiv else [])]
        return "\n".join([f"@{self.kind}{{{self.key},", *(f"  {name} = {{{value}}}," for name, value in fields), "}"])


_ALL = (
    Paper(
        "ganin2016dann",
        "Ganin, Yaroslav and Ustinova, Evgeniya and Ajakan, Hana and Germain, Pascal and Larochelle, Hugo and "
        "Laviolette, François and Marchand, Mario and Lempitsky, Victor",
        "Domain-Adversarial Training of Neural Networks",
        "Journal of Machine Learning Research",
        2016,
        "1505.07818",
        "article",
        (("volume", "17"), ("number", "59"), ("pages", "1--35")),
    ),
    Paper(
        "tzeng2017adda",
        "Tzeng, Eric and Hoffman, Judy and Saenko, Kate and Darrell, Trevor",
        "Adversarial Discriminative Domain Adaptation",
        "CVPR",
        2017,
        "1702.05464",
    ),
    Paper(
        "li2016adabn",
        "Li, Yanghao and Wang, Naiyan and Shi, Jianping and Liu, Jiaying and Hou, Xiaodi",
        "Revisiting Batch Normalization for Practical Domain Adaptation",
        "preprint",
        2016,
        "1603.04779",
        "misc",
    ),
    Paper(
        "sun2016coral",
        "Sun, Baochen and Saenko, Kate",
        "Deep {CORAL}: Correlation Alignment for Deep Domain Adaptation",
        "ECCV Workshops",
        2016,
        "1607.01719",
    ),
    Paper(
        "long2018cdan",
        "Long, Mingsheng and Cao, Zhangjie and Wang, Jianmin and Jordan, Michael I.",
        "Conditional Adversarial Domain Adaptation",
        "NeurIPS",
        2018,
        "1705.10667",
    ),
    Paper(
        "jin2020mcc",
        "Jin, Ying and Wang, Ximei and Long, Mingsheng and Wang, Jianmin",
        "Minimum Class Confusion for Versatile Domain Adaptation",
        "ECCV",
        2020,
        "1912.03699",
    ),
    Paper(
        "french2018selfensembling",
        "French, Geoffrey and Mackiewicz, Michal and Fisher, Mark",
        "Self-Ensembling for Visual Domain Adaptation",
        "ICLR",
        2018,
        "1706.05208",
    ),
    Paper(
        "berthelot2022adamatch",
        "Berthelot, David and Roelofs, Rebecca and Sohn, Kihyuk and Carlini, Nicholas and Kurakin, Alexey",
        "{AdaMatch}: A Unified Approach to Semi-Supervised Learning and Domain Adaptation",
        "ICLR",
        2022,
        "2106.04732",
    ),
    Paper(
        "liang2020shot",
        "Liang, Jian and Hu, Dapeng and Feng, Jiashi",
        "Do We Really Need to Access the Source Data? {S}ource Hypothesis Transfer for Unsupervised Domain Adaptation",
        "ICML",
        2020,
        "2002.08546",
    ),
    Paper(
        "saito2021snd",
        "Saito, Kuniaki and Kim, Donghyun and Teterwak, Piotr and Sclaroff, Stan and Darrell, Trevor and Saenko, Kate",
        "Tune It the Right Way: Unsupervised Validation of Domain Adaptation via Soft Neighborhood Density",
        "ICCV",
        2021,
        "2108.10860",
    ),
    Paper(
        "you2019dev",
        "You, Kaichao and Wang, Ximei and Long, Mingsheng and Jordan, Michael I.",
        "Towards Accurate Model Selection in Deep Unsupervised Domain Adaptation",
        "ICML",
        2019,
    ),
    Paper(
        "hu2024ensv",
        "Hu, Dapeng and Luo, Mi and Liang, Jian and Foo, Chuan-Sheng",
        "Towards Reliable Model Selection for Unsupervised Domain Adaptation: An Empirical Study and a Certified "
        "Baseline",
        "NeurIPS Datasets and Benchmarks",
        2024,
    ),
    Paper(
        "lecun1998mnist",
        "LeCun, Yann and Bottou, Léon and Bengio, Yoshua and Haffner, Patrick",
        "Gradient-Based Learning Applied to Document Recognition",
        "Proceedings of the IEEE",
        1998,
        kind="article",
        more=(("volume", "86"), ("number", "11"), ("pages", "2278--2324")),
    ),
    Paper(
        "arbelaez2011bsds",
        "Arbeláez, Pablo and Maire, Michael and Fowlkes, Charless and Malik, Jitendra",
        "Contour Detection and Hierarchical Image Segmentation",
        "IEEE Transactions on Pattern Analysis and Machine Intelligence",
        2011,
        kind="article",
        more=(("volume", "33"), ("number", "5"), ("pages", "898--916")),
    ),
    Paper(
        "hull1994usps",
        "Hull, Jonathan J.",
        "A Database for Handwritten Text Recognition Research",
        "IEEE Transactions on Pattern Analysis and Machine Intelligence",
        1994,
        kind="article",
        more=(("volume", "16"), ("number", "5"), ("pages", "550--554")),
    ),
    Paper(
        "netzer2011svhn",
        "Netzer, Yuval and Wang, Tao and Coates, Adam and Bissacco, Alessandro and Wu, Bo and Ng, Andrew Y.",
        "Reading Digits in Natural Images with Unsupervised Feature Learning",
        "NIPS Workshop on Deep Learning and Unsupervised Feature Learning",
        2011,
    ),
    Paper(
        "alpaydin1998digits",
        "Alpaydin, Ethem and Kaynak, Cenk",
        "Optical Recognition of Handwritten Digits",
        "UCI Machine Learning Repository",
        1998,
        kind="misc",
    ),
)
PAPERS = {paper.key: paper for paper in _ALL}
METHODS = {
    "dann": ("ganin2016dann",),
    "adda": ("tzeng2017adda",),
    "adabn": ("li2016adabn",),
    "coral": ("sun2016coral",),
    "cdan": ("long2018cdan",),
    "mcc": ("jin2020mcc",),
    "dann-mcc": ("ganin2016dann", "jin2020mcc"),
    "mean-teacher": ("french2018selfensembling",),
    "adamatch": ("berthelot2022adamatch",),
    "adamatch-im": ("berthelot2022adamatch", "liang2020shot"),
    "shot": ("liang2020shot",),
}
DATA = {
    "mnist": ("lecun1998mnist",),
    "mnistm": ("ganin2016dann", "lecun1998mnist", "arbelaez2011bsds"),
    "usps": ("hull1994usps",),
    "svhn": ("netzer2011svhn",),
    "uci": ("alpaydin1998digits",),
    "uci-m": ("alpaydin1998digits",),
}
SCORES = {
    "soft neighbourhood density": ("saito2021snd",),
    "deep embedded validation": ("you2019dev",),
    "agreement with the ensemble": ("hu2024ensv",),
}


def what_to_cite(runs: Sequence[Run]) -> list[Section]:
    """The papers of the runs that adapt, by what each is cited for, and one BibTeX block; none without such runs."""
    subjects = cited_for([run for run in runs if run.adapts])
    if not subjects:
        return []
    terms = [(subject, f"{'; '.join(PAPERS[key].line for key in keys)}.") for subject, keys in subjects]
    entries = dict.fromkeys(key for _, keys in subjects for key in keys)
    blocks: list[Block] = [Terms(tuple(terms)), Printed("\n\n".join(PAPERS[key].bibtex for key in entries), "BibTeX")]
    return [Section(TITLE, blocks)]


def cited_for(adapting: Sequence[Run]) -> list[tuple[str, tuple[str, ...]]]:
    """(method, data set or score, keys of PAPERS): methods in the order of tables, then data, then scores."""
    roles = {run.method for run in adapting}
    used = {str(entry.get("name")) for run in adapting for entry in (run.config.get("data") or {}).values()}
    found = [(method_title(role), METHODS[role]) for role in METHOD_TITLES if role in roles and role in METHODS]
    found += [(name, DATA[name]) for name in DATA if name in {set_name.partition(":")[0] for set_name in used}]
    return found + (list(SCORES.items()) if any(run.scores for run in adapting) else [])
