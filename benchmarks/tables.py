"""Writes the tables of README.md from the records in docs/results/: `tables.py [--check]`."""

import argparse
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"


def trained() -> str:
    """Every network that was trained by `petseg train`, the best first."""
    records = [read(path) for path in sorted(RESULTS.glob("*/result.json"))]
    records.sort(key=lambda record: -record["test"]["mean_iou"])
    heading = "network, backbone, size, parameters, mean IoU, pet, background, border, "
    rows = []
    for record in records:
        settings, test = record["settings"], record["test"]
        rows.append(
            [
                f"`{settings['model']}`",
                f"`{settings['backbone']}`",
                "x".join(map(str, settings["image_size"])),
                f"{record['parameters'] / 1e6:.1f} M",
                f"**{test['mean_iou']:.3f}**",
                *(f"{test['class_iou'][name]:.3f}" for name in ("pet", "background", "border")),
                f"{test['pixel_accuracy']:.3f}",
                f"{test['boundary_f1']:.3f}",
                f"{record['training_seconds'] / 60:.0f} min",
            ]
        )
    return table(heading + "pixel accuracy, boundary F1, training", rows)


def table(heading: str, rows: list[list[str]]) -> str:
    """A table in Markdown, words to the left and numbers to the right."""
    names = heading.split(", ")
    rule = [":---" if rows[0][k].startswith("`") else "---:" for k in range(len(names))]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (names, rule, *rows))


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def with_tables(text: str) -> str:
    """The text with each block between `<!-- table: NAME -->` and `<!-- end -->` made anew."""
    makers = {"trained": trained}
    return re.sub(
        r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)",
        lambda match: match[1] + "\n" + makers[match[2]]() + "\n" + match[3],
        text,
        flags=re.DOTALL,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if it would")
    args = parser.parse_args()
    readme = ROOT / "README.md"
    before = readme.read_text(encoding="utf-8")
    after = with_tables(before)
    if args.check and after != before:
        sys.exit("README.md does not agree with docs/results: run benchmarks/tables.py")
    readme.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
