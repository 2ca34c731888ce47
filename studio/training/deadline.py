"""When a training must end: after so many minutes of its own, or by an hour, whichever comes first.

Where a machine is at hand until some hour, the hour decides: what a process takes to start, to read its data and to
compile is part of the time.
"""

import argparse
import math
import time


def add_end_by(parser: argparse.ArgumentParser) -> None:
    """The argument `--end-by`."""
    parser.add_argument(
        "--end-by", type=float, default=math.inf, metavar="SECONDS", help="since 1970: fewer minutes if it is over then"
    )


def minutes_until(minutes: float, end_by: float, seconds: float) -> float:
    """Minutes of training in all, of which some seconds are over: as many as asked for, or as are left."""
    return min(minutes, (seconds + max(1e-3, end_by - time.time())) / 60)  # one step at least
