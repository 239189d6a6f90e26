CREATE TABLE note (
    id INTEGER PRIMARY KEY,
    text TEXT NOT NULL,
    written REAL NOT NULL
);
INSERT INTO note (text, written) VALUES ('the first note', 0);
