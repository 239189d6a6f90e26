//! The repositories that someone may read: Docker's `_catalog`.

use cache_core::{Action, Principal};
use http::header;
use serde_json::json;

use crate::{
    answer::Answer,
    error::OciError,
    keys::REPOSITORIES,
    oci::Oci,
    page::{self, Page},
};

impl Oci {
    pub(crate) async fn catalog(&self, who: &Principal, page: &Page) -> Result<Answer, OciError> {
        let wanted = page.n.unwrap_or(page::LONGEST);
        let behind = page.last.as_deref();
        // One more than asked for tells whether there are more.
        let mut names = self.readable(who, behind, wanted + 1).await?;
        let more = names.len() > wanted;
        names.truncate(wanted);
        let mut answer = Answer::json(json!({ "repositories": names }).to_string());
        if let (true, Some(last)) = (more, names.last()) {
            let link = page::next("/v2/_catalog", last, &[("n", &wanted.to_string())]);
            answer.headers_mut().insert(header::LINK, link);
        }
        Ok(answer)
    }

    /// Up to `wanted` repositories that `who` may read, in byte order.
    async fn readable(
        &self,
        who: &Principal,
        last: Option<&str>,
        wanted: usize,
    ) -> Result<Vec<String>, OciError> {
        let mut after = last.map(|last| format!("{REPOSITORIES}{last}"));
        let mut names = Vec::new();
        while names.len() < wanted {
            let refs = self.refs();
            let step = refs.namespaces(REPOSITORIES, after.as_deref(), page::LONGEST);
            let step = step.await?;
            let Some(newest) = step.last() else {
                break;
            };
            after = Some(newest.as_str().to_owned());
            let found = step
                .iter()
                .filter_map(|namespace| namespace.as_str().strip_prefix(REPOSITORIES))
                .filter(|name| who.may(Action::Read, name))
                .take(wanted - names.len());
            names.extend(found.map(str::to_owned));
        }
        Ok(names)
    }
}
