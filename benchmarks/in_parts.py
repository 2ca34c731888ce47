"""A benchmark in parts: on a machine that is lent, each must leave its figures behind before the next begins."""

import gc
import json
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Part = Callable[[], Mapping[str, Any] | None]


def measured_in_parts(
    parts: Mapping[str, Part], report: dict[str, Any], out: Path | None, *, begun: float, limit: float
) -> None:
    """Run one part after another; what each gives is added to the report. What fails is noted there.

    Args:
        parts: by name, the most telling first.
        report: may be added to by a part itself. The seconds of each part come under `seconds`.
        out: a file that is written anew after each part, if any.
        begun: by `time.perf_counter`.
        limit: seconds since then after which no further part is begun; such parts stand under `left out`.
    """
    took = report.setdefault("seconds", {})
    for name, part in parts.items():
        start = time.perf_counter()
        if start - begun > limit:
            report.setdefault("left out", []).append(name)
        else:
            try:
                report |= part() or {}
            except Exception as problem:
                traceback.print_exc()
                report.setdefault("failed", {})[name] = repr(problem)[:1000]
            gc.collect()  # recorded steps hold their memory until then
            took[name] = round(time.perf_counter() - start, 1)
            print(f"{name}: {took[name]} s", file=sys.stderr, flush=True)
        if out:
            out.write_text(json.dumps(report, indent=2) + "\n")
