"""Times one photo in every published row, all in one run, so that the times can be compared.

Rows that are trained later are timed on another day or machine. The time does not depend on the
weights, so the models here have random ones.

    python -m benchmarks.accuracy.latency
"""

import petseg
from benchmarks.accuracy.benchmark import latencies
from benchmarks.accuracy.benchmark_figures import draw_figures
from benchmarks.accuracy.collect import LATENCY
from benchmarks.accuracy.result_rows import result_rows
from benchmarks.common import RESULTS, bare_parser
from petseg_runtime.atomic_files import write_json


def main() -> None:
    """Times the rows in turns, and draws the figures again."""
    bare_parser(__doc__).parse_args()
    rows = result_rows(RESULTS)
    models = {
        row.name: petseg.MODELS[row.architecture](backbone=row.backbone, weights=None)
        for row in rows
    }
    milliseconds = latencies(models, {row.name: row.image_size for row in rows})
    comparison = RESULTS / "comparison"
    write_json(comparison / LATENCY, milliseconds)
    draw_figures(rows, milliseconds, comparison)


if __name__ == "__main__":
    main()
