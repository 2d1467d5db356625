"""Writes the tables of README.md and docs/*.md from docs/results: `tables.py [--check]`."""

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
    heading = "network, backbone, size, parameters, multiply-adds, before fine-tuning, mean IoU, "
    rows = []
    for record in records:
        settings, test = record["settings"], record["test"]
        rows.append(
            [
                f"`{settings['model']}`",
                f"`{settings['backbone']}`",
                "x".join(map(str, settings["image_size"])),
                f"{record['parameters'] / 1e6:.1f} M",
                f"{record['multiply_adds'] / 1e6:.0f} M",
                f"{record['before_fine_tuning']['test']['mean_iou']:.3f}",
                f"**{test['mean_iou']:.3f}**",
                *(f"{test['class_iou'][name]:.3f}" for name in ("pet", "background", "border")),
                f"{test['pixel_accuracy']:.3f}",
                f"{test['boundary_f1']:.3f}",
                f"{record['training_seconds'] / 60:.0f} min",
            ]
        )
    heading += "pet, background, border, pixel accuracy, boundary F1, training"
    return table(heading, rows, words=2)


def variants() -> str:
    """What the choices inside each architecture give and cost, the default of each first."""
    record = read(RESULTS / "variants.json")
    rows = []
    for call, row in record["rows"].items():
        model, _, arguments = call.removesuffix(")").partition("(")
        rows.append(
            [
                f"`{model}`",
                f"`{arguments}`" if arguments else "default",
                f"{row['parameters'] / 1e6:.1f} M",
                f"{row['mean_iou']:.3f}",
                *(f"{row['class_iou'][name]:.3f}" for name in ("pet", "background", "border")),
                f"{row['frozen_step_speed']:.2f}",
            ]
        )
    order = list(dict.fromkeys(row[0] for row in rows))
    rows.sort(key=lambda row: (order.index(row[0]), row[1] != "default"))
    return table(
        "network, arguments, parameters, mean IoU, pet, background, border, speed", rows, words=2
    )


def speed() -> str:
    """Images a second of petseg and its peers, and the ratio."""
    record = read(RESULTS / "speed.json")
    cases: list[str] = []
    rows = []
    for model, result in record["results"].items():
        for name, row in result["rows"].items():
            cases = cases or [case for case in row if isinstance(row[case], dict)]
            cells = []
            for case in cases:
                cell = f"{row[case]['images_per_second']:.0f}"
                if "petseg_is_faster_by" in row[case]:
                    cell += f" (**{row[case]['petseg_is_faster_by']:.1f}x**)"
                cells.append(cell)
            ours = name == "petseg"
            label = f"`petseg.{model}`" if ours else name
            rows.append([label, f"{row['parameters'] / 1e6:.1f} M", *cells])
    cases = [
        f"{task} {size.split('x')[0]}" + (" (1)" if batch == "batch 1" else "")
        for task, size, batch in (case.split(", ") for case in cases)
    ]
    return table(", ".join(["network", "parameters", *cases]), rows)


def table(heading: str, rows: list[list[str]], words: int = 1) -> str:
    """A table in Markdown, the first `words` columns to the left and the numbers to the right."""
    names = heading.split(", ")
    rule = [":---" if k < words else "---:" for k in range(len(names))]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (names, rule, *rows))


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


MAKERS = {"trained": trained, "variants": variants, "speed": speed}


def with_tables(text: str) -> str:
    """The text with each block between `<!-- table: NAME -->` and `<!-- end -->` made anew."""
    return re.sub(
        r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)",
        lambda match: match[1] + "\n" + MAKERS[match[2]]() + "\n" + match[3],
        text,
        flags=re.DOTALL,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if it would")
    args = parser.parse_args()
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        before = page.read_text(encoding="utf-8")
        after = with_tables(before)
        if args.check and after != before:
            sys.exit(f"{page.name} does not agree with docs/results: run benchmarks/tables.py")
        page.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
