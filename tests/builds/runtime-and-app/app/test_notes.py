import sqlite3
import unittest

import notes


class Lines(unittest.TestCase):
    def test_newest_note_is_first(self):
        database = sqlite3.connect(":memory:")
        with open("schema.sql") as schema:
            database.executescript(schema.read())
        database.execute("INSERT INTO note (text, written) VALUES ('later', 60)")
        self.assertEqual(
            notes.lines(database, 120),
            ["later (a minute ago)", "the first note (2 minutes ago)"],
        )
