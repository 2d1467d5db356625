"""Writes the tables of README.md from the records in docs/results/: `tables.py [--check]`."""

import argparse
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
BLOCK = re.compile(r"(<!-- results: [^>]*-->\n).*?(<!-- end of results -->)", re.DOTALL)


def trained_table() -> str:
    """Every network that was trained by `petseg train`, the best first."""
    records = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*/result.json"))]
    records.sort(key=lambda record: -record["test"]["mean_iou"])
    lines = [
        "| network | backbone | size | parameters | mean IoU | pet | background | border | "
        "pixel accuracy | boundary F1 | training |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for record in records:
        settings, test = record["settings"], record["test"]
        cells = [
            f"`{settings['model']}`",
            f"`{settings['backbone']}`",
            "x".join(map(str, settings["image_size"])),
            f"{record['parameters'] / 1e6:.1f} M",
            f"**{test['mean_iou']:.3f}**",
            *(f"{test['class_iou'][name]:.3f}" for name in ("pet", "background", "border")),
            f"{test['pixel_accuracy']:.3f}",
            f"{test['boundary_f1']:.3f}",
            f"{record['training_seconds'] / 60:.0f} min, {record['environment']['cores']} cores",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if it would")
    args = parser.parse_args()
    readme = ROOT / "README.md"
    before = readme.read_text(encoding="utf-8")
    after = BLOCK.sub(lambda match: match[1] + trained_table() + match[2], before)
    if args.check:
        sys.exit(after != before)
    readme.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
