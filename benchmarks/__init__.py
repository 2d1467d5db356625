"""Scripts that measure petseg and write the records in `docs/results`.

Run them from the root of the repository as modules: `python -m benchmarks.accuracy.recipe --help`.
"""
