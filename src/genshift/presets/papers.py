"""The publications behind methods and label-free scores; a data set states its own. Imports no torch."""

from __future__ import annotations

from genshift.papers import DANN_PAPER as DANN_PAPER
from genshift.papers import Paper as Paper

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
DAN_PAPER = Paper(
    "long2015dan",
    "Long, Mingsheng and Cao, Yue and Wang, Jianmin and Jordan, Michael I.",
    "Learning Transferable Features with Deep Adaptation Networks",
    "ICML",
    2015,
    "1502.02791",
    short="DAN",
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
SQUEEZENET_PAPER = Paper(
    "iandola2016squeezenet",
    "Iandola, Forrest N. and Han, Song and Moskewicz, Matthew W. and Ashraf, Khalid and Dally, William J. and "
    "Keutzer, Kurt",
    "{SqueezeNet}: {AlexNet}-level accuracy with 50x fewer parameters and <0.5{MB} model size",
    "preprint",
    2016,
    "1602.07360",
    "misc",
    short="SqueezeNet",
)
CBST_PAPER = Paper(
    "zou2018cbst",
    "Zou, Yang and Yu, Zhiding and Kumar, B. V. K. Vijaya and Wang, Jinsong",
    "Unsupervised Domain Adaptation for Semantic Segmentation via Class-Balanced Self-Training",
    "ECCV",
    2018,
    "1810.07911",
    short="CBST",
)
PROPAGATION_PAPER = Paper(
    "iscen2019propagation",
    "Iscen, Ahmet and Tolias, Giorgos and Avrithis, Yannis and Chum, Ond{\\v{r}}ej",
    "Label Propagation for Deep Semi-supervised Learning",
    "CVPR",
    2019,
    "1904.04717",
    short="label propagation",
)
