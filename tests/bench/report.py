"""Aligned tables, goals, and the JSON file."""

import json


def say(text=""):
    print(text, flush=True)


def table(headers, rows):
    """Columns as wide as they need to be: the first to the left, the others to the right."""
    cells = [[str(cell) for cell in row] for row in [headers, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headers))]
    for number, row in enumerate(cells):
        line = [row[0].ljust(widths[0])] + [
            cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)
        ]
        say("  ".join(line).rstrip())
        if number == 0:
            say("  ".join("-" * width for width in widths))
    say()


def goal(value, limit):
    """A goal beside its figure; missing one is a finding, never a failure."""
    return f"≤ {limit:g}: {'met' if value <= limit else 'MISSED'}"


def print_machine(facts):
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        say(f"{name.ljust(width)}  {value}")
    say()


def write_json(path, results):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(results, file, indent=2)
        file.write("\n")
