"""Translate depth readings on standard input to log entries."""

import sys

from readings import Reading


def entries(lines):
    return [str(Reading.parse(line)) for line in lines if line.strip()]


def main():
    print("\n".join(entries(sys.stdin)))
