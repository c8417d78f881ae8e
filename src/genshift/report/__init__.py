"""From run folders to tables, figures and one page. Nothing here imports torch."""
