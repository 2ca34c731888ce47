"""How the cost of decoding grows: frames per second over prompt length and batch, as a table and a picture."""

import math
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

LENGTHS = (100, 500, 1000, 2000, 4000)  # positions of the prompt
ROWS = (1, 4, 16, 64)
COLOURS = ("#440154", "#443983", "#31688e", "#21918c", "#35b779", "#90d743", "#c8b100")  # of viridis, the last darker
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 640, 400, 70, 24, 96, 56


def growth_table(
    decoder: Any,
    prompt_of: Callable[[int], Any],
    requests: Callable[..., list],
    clock: Callable[[], float],
    lengths: Sequence[int],
    batches: Sequence[int],
    frames: int,
) -> list[dict[str, float]]:
    """Frames per second of all rows together; the median over the reports of one run, without prefill."""
    table = []
    for length in lengths:
        prompt = prompt_of(length)
        for rows in (rows for rows in batches if rows <= decoder.slots):
            frame_seconds = _frame_seconds(decoder, requests(prompt, frames, rows), clock)
            table.append({"prompt_positions": length, "batch": rows, "frames_per_second": rows / frame_seconds})
            print(table[-1], file=sys.stderr)
    return table


def _frame_seconds(decoder: Any, asked: list, clock: Callable[[], float]) -> float:
    decoding = decoder.decode(asked)
    times, frames = [], []
    for progress in decoding:
        if progress.finished:
            break
        times.append(clock())
        frames.append(progress.frames[0])
    decoding.close()
    # While the delay fills, steps complete no frame; from then on each does.
    pairs = zip(range(len(times) - 1), range(1, len(times)), strict=True)
    return statistics.median(
        (times[b] - times[a]) / (frames[b] - frames[a]) for a, b in pairs if frames[a] and frames[b] > frames[a]
    )


def markdown(table: list[dict[str, float]]) -> str:
    """The table as the documentation shows it: a row for each length, a column for each batch."""
    batches = sorted({int(item["batch"]) for item in table})
    lines = ["| prompt positions | " + " | ".join(f"batch {rows}" for rows in batches) + " |"]
    lines.append("|---" * (len(batches) + 1) + "|")
    for length in sorted({int(item["prompt_positions"]) for item in table}):
        rates = {int(item["batch"]): item["frames_per_second"] for item in table if item["prompt_positions"] == length}
        lines.append(f"| {length} | " + " | ".join(f"{rates[rows]:.0f}" for rows in batches) + " |")
    return "\n".join(lines)


def draw(table: list[dict[str, float]], title: str, path: Path) -> None:
    """Write the picture as SVG: batch to the right, frames per second upwards, both by powers; a line a length."""
    rates = [item["frames_per_second"] for item in table]
    low, high = 10 ** math.floor(math.log10(min(rates))), 10 ** math.ceil(math.log10(max(rates)))
    most = max(item["batch"] for item in table)

    def x(batch: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(batch) / math.log(max(most, 2))

    def y(rate: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * math.log(rate / low) / math.log(high / low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="14" font-weight="bold">{title}</text>',
    ]
    decade = low
    while decade <= high:
        parts.append(f'<path d="M{LEFT} {y(decade):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(decade) + 4:.1f}" text-anchor="end">{decade:g}</text>')
        decade *= 10
    for batch in sorted({item["batch"] for item in table}):
        parts.append(f'<text x="{x(batch):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{batch:g}</text>')
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 16}" text-anchor="middle">rows of the batch</text>'
    )
    parts.append(
        f'<text transform="translate(16 {HEIGHT / 2}) rotate(-90)" text-anchor="middle">frames per second</text>'
    )
    for colour, length in zip(COLOURS, sorted({item["prompt_positions"] for item in table}), strict=False):
        line = [
            (x(item["batch"]), y(item["frames_per_second"])) for item in table if item["prompt_positions"] == length
        ]
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in line)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.extend(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}"/>' for a, b in line)
        parts.append(
            f'<text x="{line[-1][0] + 8:.1f}" y="{line[-1][1] + 4:.1f}" fill="{colour}">{length} positions</text>'
        )
    path.write_text("\n".join([*parts, "</svg>", ""]))
