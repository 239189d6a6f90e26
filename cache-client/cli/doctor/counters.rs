//! What the server counted.

use anyhow::{Result, ensure};

use super::plain;

/// A server's counters.
pub(crate) trait Counters {
    /// How many requests these kinds of client have made by a protocol.
    async fn requests(&self, protocol: &str, clients: &[&str]) -> Result<u64>;

    /// The server's version.
    async fn version(&self) -> Result<Option<String>>;
}

/// The metrics page of the admin listener.
#[derive(Clone, Debug)]
pub(crate) struct MetricsPage {
    admin: String,
    token: Option<String>,
}

impl MetricsPage {
    pub(crate) fn new(admin: impl Into<String>, token: Option<String>) -> Self {
        Self {
            admin: admin.into(),
            token,
        }
    }

    async fn page(&self) -> Result<String> {
        let answer = plain::get(&self.admin, "/metrics", self.token.as_deref()).await?;
        let status = answer.status;
        ensure!(
            status == 200,
            "{}: /metrics is answered with {status}",
            self.admin
        );
        Ok(answer.body)
    }
}

impl Counters for MetricsPage {
    async fn requests(&self, protocol: &str, clients: &[&str]) -> Result<u64> {
        Ok(sum(&self.page().await?, protocol, clients))
    }

    async fn version(&self) -> Result<Option<String>> {
        let page = self.page().await?;
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix("cachalot_build_info{"));
        Ok(line
            .and_then(|line| label(line, "version"))
            .map(str::to_owned))
    }
}

fn sum(page: &str, protocol: &str, clients: &[&str]) -> u64 {
    let lines = page
        .lines()
        .filter_map(|line| line.strip_prefix("cachalot_requests_total{"));
    let mine = lines.filter(|line| {
        label(line, "protocol") == Some(protocol)
            && label(line, "client").is_some_and(|client| clients.contains(&client))
    });
    let values = mine.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum::<f64>() as u64
}

fn label<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let start = line.find(&format!("{name}=\""))? + name.len() + 2;
    line[start..].split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# HELP cachalot_requests_total requests\n\
        cachalot_requests_total{class=\"index\",client=\"pip\",outcome=\"hit\",protocol=\"pypi\"} 3\n\
        cachalot_requests_total{class=\"index\",client=\"pip\",outcome=\"miss\",protocol=\"pypi\"} 4\n\
        cachalot_requests_total{class=\"index\",client=\"uv\",outcome=\"miss\",protocol=\"pypi\"} 5\n\
        cachalot_requests_total{class=\"index\",client=\"pip\",outcome=\"miss\",protocol=\"npm\"} 6\n\
        cachalot_requests_totals{client=\"pip\",protocol=\"pypi\"} 7\n";

    #[test]
    fn a_clients_requests_are_those_of_all_outcomes_and_of_one_protocol() {
        assert_eq!(sum(PAGE, "pypi", &["pip"]), 7);
        assert_eq!(sum(PAGE, "pypi", &["pip", "uv"]), 12);
        assert_eq!(sum(PAGE, "apt", &["apt"]), 0);
    }
}
