"""Work that other processes import by its name."""

import os
import time


def halves(number):
    """Late items are quick: their results are there first."""
    time.sleep(0.002 if number < 40 else 0)
    return [number, number + 0.5][: 1 + number % 2]


def where(number):
    return [os.getpid()]
