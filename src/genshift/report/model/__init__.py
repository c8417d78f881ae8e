"""What a page says, computed once and free of how it looks.

`run_records.py` has the runs in the order of tables; `grouping.py` joins those that differ in their seed alone and
names them; `summary.py` makes a `Row` of each group and metric, and says what fell short; `measures.py` knows the
metrics and `formatting.py` how a `Row` is written. `comparison.py` (metrics side by side), `method_comparison.py`
(methods and settings by task) and `label_free.py` (choices and estimates held against the oracle) are what larger
tables are made of, and `page_model.py` puts all of it together: `page_model(runs)` is the one entry.

A figure of merit is computed here and nowhere else, so that the page, results.md and the console cannot disagree.
"""
