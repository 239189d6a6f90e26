"""Write the harbour's tide table, one line per hour."""

import math

import humanize


def table(hours):
    for hour in range(hours):
        height = 2 + 1.5 * math.sin(hour * math.pi / 6.2)
        yield f"{humanize.ordinal(hour + 1)} hour: {height:.2f} m"


if __name__ == "__main__":
    print("\n".join(table(24)))
