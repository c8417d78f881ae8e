"""The data sets, one file each: a new file here is a new set.

A file declares a `DataSet` and registers it: title, counts, files with addresses and checksums, licence, terms,
papers, and the function that reads it. Nothing else knows a set: `load`, `genshift ls`, `genshift data`, flags and the
page find it by its name. Readers of formats that sets share (idx, MATLAB, LIBSVM, class folders, packed arrays) lie one
floor up, in `genshift.data`; a set whose pictures lie in class folders needs none. `docs/adding.md` shows a whole file.

The declarations are read where nothing but names and counts is wanted, so no file here imports torch or numpy at its
top: what a reader needs, it imports in its body.
"""

from __future__ import annotations

import importlib
import pkgutil

for _file in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_file.name}")
