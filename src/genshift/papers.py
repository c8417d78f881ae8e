"""What a publication is. Each stands beside what it is cited for: a method, a data set, a score. Imports no torch."""

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


# It brought a method and a data set, MNIST-M; so it stands here, where both rooms can cite it.
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
