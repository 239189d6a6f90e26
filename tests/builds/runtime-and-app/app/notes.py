"""A page of notes, newest first."""

import sqlite3
import time

import bottle
import humanize

DATABASE = "notes.db"


def lines(database, now):
    rows = database.execute("SELECT text, written FROM note ORDER BY written DESC")
    return [f"{text} ({humanize.naturaldelta(now - written)} ago)" for text, written in rows]


@bottle.get("/")
def page():
    bottle.response.content_type = "text/plain"
    with sqlite3.connect(DATABASE) as database:
        return "\n".join(lines(database, time.time())) + "\n"


if __name__ == "__main__":
    bottle.run(host="0.0.0.0", port=8080, server="waitress")
