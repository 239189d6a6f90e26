"""Lengths at sea."""

METRES_PER_FATHOM = 1.8288


def fathoms(metres):
    return metres / METRES_PER_FATHOM
