//! What the server counted.

use anyhow::Result;
use cache_client::{Client, RequestCount, Summary};

use crate::{Connection, setup::Tool};

/// A server's counters.
#[derive(Clone, Debug)]
pub(crate) struct Counters {
    client: Client,
}

impl Counters {
    pub(crate) fn of(connection: &Connection) -> Result<Self> {
        let client = connection.builder()?.connect_lazy()?;
        Ok(Self { client })
    }

    /// All figures.
    pub(crate) async fn summary(&self) -> cache_client::Result<Summary> {
        self.client.statistics().summary().await
    }

    /// How many requests a tool's kinds of client have made by its protocol.
    pub(crate) async fn requests(&self, tool: Tool) -> Result<u64> {
        Ok(sum(&self.summary().await?.requests, tool))
    }
}

fn sum(counts: &[RequestCount], tool: Tool) -> u64 {
    let (protocol, clients) = tool.counted_as();
    let is_mine =
        |it: &&RequestCount| it.protocol == protocol && clients.contains(&it.client.as_str());
    counts.iter().filter(is_mine).map(|it| it.requests).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(protocol: &str, client: &str, outcome: &str, requests: u64) -> RequestCount {
        let mut count = RequestCount::default();
        protocol.clone_into(&mut count.protocol);
        client.clone_into(&mut count.client);
        outcome.clone_into(&mut count.outcome);
        count.requests = requests;
        count
    }

    #[test]
    fn a_tools_requests_are_those_of_all_outcomes_and_of_one_protocol() {
        let counts = [
            count("pypi", "pip", "hit", 3),
            count("pypi", "pip", "miss", 4),
            count("pypi", "uv", "miss", 5),
            count("npm", "pip", "miss", 6),
            count("npm", "yarn", "hit", 7),
            count("npm", "other", "hit", 8),
        ];
        assert_eq!(sum(&counts, Tool::Pip), 7);
        assert_eq!(sum(&counts, Tool::Yarn), 15);
        assert_eq!(sum(&counts, Tool::Apt), 0);
    }
}
