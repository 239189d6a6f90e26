"""Depth readings as text lines: a time and a depth in metres."""

from dataclasses import dataclass

from units import fathoms


@dataclass
class Reading:
    time: str
    metres: float

    @classmethod
    def parse(cls, line):
        time, metres = line.split()
        return cls(time, float(metres))

    def __str__(self):
        return f"{self.time} {fathoms(self.metres):.1f} fathoms"
