//! Progress as `--progress=plain` looks.

use std::{collections::HashMap, fmt::Write as _};

use super::{
    rawjson::{Status, Vertex, Vertices},
    whole,
};

/// What has been shown of it.
#[derive(Debug, Default)]
pub(crate) struct Rendered {
    /// The vertex that the last line was about.
    last: usize,
    /// How each was shown to have ended, by number.
    ended: HashMap<usize, String>,
}

impl Rendered {
    /// The lines of what is new.
    pub(crate) fn status(&mut self, status: &Status, vertices: &Vertices) -> String {
        let mut text = String::new();
        for told in &status.vertexes {
            if let Some((number, vertex)) = vertices.find(&told.digest) {
                self.vertex(&mut text, number, vertex);
            }
        }
        for part in &status.statuses {
            let (Some((number, vertex)), Some(end)) = (vertices.find(&part.vertex), part.completed)
            else {
                continue;
            };
            let taken = part
                .started
                .and_then(|start| end.duration_since(start).ok());
            let taken = whole(taken.unwrap_or_default());
            let size = match (part.current, part.total) {
                (0, 0) => String::new(),
                (current, 0) => format!(" {current} B"),
                (current, total) => format!(" {current} B / {total} B"),
            };
            let said = format!("{}{size} {taken} done", part.id);
            self.say(&mut text, number, vertex, &said);
        }
        for log in &status.logs {
            let Some((number, vertex)) = vertices.find(&log.vertex) else {
                continue;
            };
            let since = vertex.started().zip(log.timestamp);
            let since = since.and_then(|(start, at)| at.duration_since(start).ok());
            let since = since.unwrap_or_default().as_secs_f64();
            for line in String::from_utf8_lossy(&log.data).lines() {
                self.say(&mut text, number, vertex, &format!("{since:.3} {line}"));
            }
        }
        for warning in &status.warnings {
            if let Some((number, vertex)) = vertices.find(&warning.vertex) {
                let short = String::from_utf8_lossy(&warning.short);
                self.say(&mut text, number, vertex, &format!("WARNING: {short}"));
            }
        }
        text
    }

    /// Says how a vertex ended, each time that it did.
    fn vertex(&mut self, text: &mut String, number: usize, vertex: &Vertex) {
        let end = match () {
            () if !vertex.error.is_empty() => format!("ERROR: {}", vertex.error),
            () if vertex.cached && !vertex.was_loaded() => "CACHED".to_owned(),
            () if vertex.ended => format!("DONE {}", whole(vertex.duration())),
            () => return self.begin(text, number, vertex),
        };
        // The end is told again with every further event.
        if self.ended.get(&number) != Some(&end) {
            self.say(text, number, vertex, &end);
            self.ended.insert(number, end);
        }
    }

    fn begin(&mut self, text: &mut String, number: usize, vertex: &Vertex) {
        if vertex.started().is_some() {
            self.turn_to(text, number, vertex);
        }
    }

    fn say(&mut self, text: &mut String, number: usize, vertex: &Vertex, said: &str) {
        self.turn_to(text, number, vertex);
        // Writing to a string does not fail.
        let _ = writeln!(text, "#{number} {said}");
    }

    fn turn_to(&mut self, text: &mut String, number: usize, vertex: &Vertex) {
        if self.last == number {
            return;
        }
        if self.last != 0 {
            text.push('\n');
        }
        self.last = number;
        let _ = writeln!(text, "#{number} {}", vertex.name);
    }
}
