//! An origin with an index of Python's and a registry of npm's, behind a server.

use cache_tests::TestServer;
use cache_upstream::testing::FakeOrigin;

pub(crate) struct Sea {
    pub(crate) origin: FakeOrigin,
    pub(crate) server: TestServer,
}

impl Sea {
    /// The index lies below `simple/`, the registry below `npm`.
    pub(crate) async fn start(npm: &str) -> Self {
        let origin = FakeOrigin::start().await;
        let url = origin.url();
        let index = format!("[{{name=\"main\", simple={{url=\"{url}simple/\", private=true}}}}]");
        let registry = format!("[{{name=\"main\", origin={{url=\"{url}{npm}\", private=true}}}}]");
        let mut server = TestServer::fresh(&["--quota", "4GiB"])
            .with_setting("pypi.indexes", &index)
            .with_setting("npm.registries", &registry);
        server.restart();
        Self { origin, server }
    }
}
