"""Adds where a closer look pays to the records of the pretrained models.

`benchmarks.accuracy.closer_look` found it. It is added to the card of the model and to the record
in its graph.

    python -m benchmarks.release.add_closer_looks
"""

import json

import petseg
from benchmarks.common import RESULTS, bare_parser
from benchmarks.release.pretrained_graphs import write_graph
from petseg_runtime.atomic_files import write_json
from petseg_runtime.pretrained import FOLDER, read_card


def main() -> None:
    """Updates the models that were measured."""
    bare_parser(__doc__).parse_args()
    rows = json.loads((RESULTS / "closer_look.json").read_text(encoding="utf-8"))["rows"]
    for name, row in rows.items():
        card = {**read_card(name), "closer_look_below": row["chosen"]}
        write_json(FOLDER / f"{name}.json", card)
        model = petseg.MODELS[card["architecture"]](backbone=card["backbone"], weights="pets")
        write_graph(model, FOLDER / f"{name}.onnx")
        print(f"{name}: {row['chosen']}")


if __name__ == "__main__":
    main()
