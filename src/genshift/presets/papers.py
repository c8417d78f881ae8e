"""The publications behind methods, data sets and label-free scores. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass


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
    short: str = ""  # what the method is called, where a setting names the paper that it comes from

    @property
    def origin(self) -> str:
        """The origin of a setting that comes from this paper."""
        return f"cited source ({self.short}, arXiv {self.arxiv})"

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


DANN_PAPER = Paper(
    "ganin2016dann",
    "Ganin, Yaroslav and Ustinova, Evgeniya and Ajakan, Hana and Germain, Pascal and Larochelle, Hugo and "
    "Laviolette, François and Marchand, Mario and Lempitsky, Victor",
    "Domain-Adversarial Training of Neural Networks",
    "Journal of Machine Learning Research",
    2016,
    "1505.07818",
    "article",
    (("volume", "17"), ("number", "59"), ("pages", "1--35")),
    short="DANN",
)
ADDA_PAPER = Paper(
    "tzeng2017adda",
    "Tzeng, Eric and Hoffman, Judy and Saenko, Kate and Darrell, Trevor",
    "Adversarial Discriminative Domain Adaptation",
    "CVPR",
    2017,
    "1702.05464",
    short="ADDA",
)
ADABN_PAPER = Paper(
    "li2016adabn",
    "Li, Yanghao and Wang, Naiyan and Shi, Jianping and Liu, Jiaying and Hou, Xiaodi",
    "Revisiting Batch Normalization for Practical Domain Adaptation",
    "preprint",
    2016,
    "1603.04779",
    "misc",
    short="AdaBN",
)
CORAL_PAPER = Paper(
    "sun2016coral",
    "Sun, Baochen and Saenko, Kate",
    "Deep {CORAL}: Correlation Alignment for Deep Domain Adaptation",
    "ECCV Workshops",
    2016,
    "1607.01719",
    short="deep CORAL",
)
CDAN_PAPER = Paper(
    "long2018cdan",
    "Long, Mingsheng and Cao, Zhangjie and Wang, Jianmin and Jordan, Michael I.",
    "Conditional Adversarial Domain Adaptation",
    "NeurIPS",
    2018,
    "1705.10667",
    short="CDAN",
)
MCC_PAPER = Paper(
    "jin2020mcc",
    "Jin, Ying and Wang, Ximei and Long, Mingsheng and Wang, Jianmin",
    "Minimum Class Confusion for Versatile Domain Adaptation",
    "ECCV",
    2020,
    "1912.03699",
    short="MCC",
)
ENSEMBLING_PAPER = Paper(
    "french2018selfensembling",
    "French, Geoffrey and Mackiewicz, Michal and Fisher, Mark",
    "Self-Ensembling for Visual Domain Adaptation",
    "ICLR",
    2018,
    "1706.05208",
    short="self-ensembling",
)
ADAMATCH_PAPER = Paper(
    "berthelot2022adamatch",
    "Berthelot, David and Roelofs, Rebecca and Sohn, Kihyuk and Carlini, Nicholas and Kurakin, Alexey",
    "{AdaMatch}: A Unified Approach to Semi-Supervised Learning and Domain Adaptation",
    "ICLR",
    2022,
    "2106.04732",
    short="AdaMatch",
)
SHOT_PAPER = Paper(
    "liang2020shot",
    "Liang, Jian and Hu, Dapeng and Feng, Jiashi",
    "Do We Really Need to Access the Source Data? {S}ource Hypothesis Transfer for Unsupervised Domain Adaptation",
    "ICML",
    2020,
    "2002.08546",
    short="SHOT",
)
SND_PAPER = Paper(
    "saito2021snd",
    "Saito, Kuniaki and Kim, Donghyun and Teterwak, Piotr and Sclaroff, Stan and Darrell, Trevor and Saenko, Kate",
    "Tune It the Right Way: Unsupervised Validation of Domain Adaptation via Soft Neighborhood Density",
    "ICCV",
    2021,
    "2108.10860",
)
DEV_PAPER = Paper(
    "you2019dev",
    "You, Kaichao and Wang, Ximei and Long, Mingsheng and Jordan, Michael I.",
    "Towards Accurate Model Selection in Deep Unsupervised Domain Adaptation",
    "ICML",
    2019,
)
ENSV_PAPER = Paper(
    "hu2024ensv",
    "Hu, Dapeng and Luo, Mi and Liang, Jian and Foo, Chuan-Sheng",
    "Towards Reliable Model Selection for Unsupervised Domain Adaptation: An Empirical Study and a Certified Baseline",
    "NeurIPS Datasets and Benchmarks",
    2024,
)
MNIST_PAPER = Paper(
    "lecun1998mnist",
    "LeCun, Yann and Bottou, Léon and Bengio, Yoshua and Haffner, Patrick",
    "Gradient-Based Learning Applied to Document Recognition",
    "Proceedings of the IEEE",
    1998,
    kind="article",
    more=(("volume", "86"), ("number", "11"), ("pages", "2278--2324")),
)
BSDS_PAPER = Paper(
    "arbelaez2011bsds",
    "Arbeláez, Pablo and Maire, Michael and Fowlkes, Charless and Malik, Jitendra",
    "Contour Detection and Hierarchical Image Segmentation",
    "IEEE Transactions on Pattern Analysis and Machine Intelligence",
    2011,
    kind="article",
    more=(("volume", "33"), ("number", "5"), ("pages", "898--916")),
)
USPS_PAPER = Paper(
    "hull1994usps",
    "Hull, Jonathan J.",
    "A Database for Handwritten Text Recognition Research",
    "IEEE Transactions on Pattern Analysis and Machine Intelligence",
    1994,
    kind="article",
    more=(("volume", "16"), ("number", "5"), ("pages", "550--554")),
)
SVHN_PAPER = Paper(
    "netzer2011svhn",
    "Netzer, Yuval and Wang, Tao and Coates, Adam and Bissacco, Alessandro and Wu, Bo and Ng, Andrew Y.",
    "Reading Digits in Natural Images with Unsupervised Feature Learning",
    "NIPS Workshop on Deep Learning and Unsupervised Feature Learning",
    2011,
)
UCI_PAPER = Paper(
    "alpaydin1998digits",
    "Alpaydin, Ethem and Kaynak, Cenk",
    "Optical Recognition of Handwritten Digits",
    "UCI Machine Learning Repository",
    1998,
    kind="misc",
)
