//! The tags of a repository (end-8a, end-8b).

use http::header;
use serde_json::json;

use crate::{
    answer::Answer,
    error::OciError,
    keys::TAGS,
    name::Repository,
    oci::Oci,
    page::{self, Page},
};

impl Oci {
    /// All tags behind `last`, or the first `n` of these with a link to the rest.
    pub(crate) async fn list_tags(
        &self,
        repository: &Repository,
        page: &Page,
    ) -> Result<Answer, OciError> {
        let namespace = repository.namespace();
        let any = self.refs().list(&namespace, "", None, 1).await?;
        if any.is_empty() {
            return Err(OciError::NameUnknown);
        }
        let wanted = page.n.unwrap_or(usize::MAX);
        // One more than asked for tells whether there are more.
        let behind = page.last.as_deref();
        let mut tags = self
            .tags(repository, behind, wanted.saturating_add(1))
            .await?;
        let more = tags.len() > wanted;
        tags.truncate(wanted);
        let body = json!({ "name": repository.as_str(), "tags": tags });
        let mut answer = Answer::json(body.to_string());
        if let (true, Some(n), Some(last)) = (more, page.n, tags.last()) {
            let path = format!("/v2/{repository}/tags/list");
            let link = page::next(&path, last, &[("n", &n.to_string())]);
            answer.headers_mut().insert(header::LINK, link);
        }
        Ok(answer)
    }

    /// Up to `wanted` tags, in byte order.
    async fn tags(
        &self,
        repository: &Repository,
        last: Option<&str>,
        wanted: usize,
    ) -> Result<Vec<String>, OciError> {
        let namespace = repository.namespace();
        let mut after = last.map(|last| format!("{TAGS}{last}"));
        let mut tags = Vec::new();
        while tags.len() < wanted {
            let limit = (wanted - tags.len()).min(page::LONGEST);
            let refs = self.refs();
            let step = refs.list(&namespace, TAGS, after.as_deref(), limit).await?;
            let Some((newest, _)) = step.last() else {
                break;
            };
            after = Some(newest.clone());
            let names = step.iter().filter_map(|(name, _)| name.strip_prefix(TAGS));
            tags.extend(names.map(str::to_owned));
        }
        Ok(tags)
    }
}
