//! Docker's `daemon.json`: one element of one list, every other byte as it is.

use jsonc_parser::{
    ParseOptions,
    cst::{CstInputValue, CstNode, CstRootNode},
};

use super::{Applied, Refused, Undo};

const KEY: &str = "registry-mirrors";

/// Makes `url` the first mirror.
pub(super) fn add(text: &str, url: &str) -> Result<Applied, Refused> {
    let element = || CstInputValue::String(url.to_owned());
    if text.trim().is_empty() {
        return Ok(Applied {
            text: format!("{{\n  \"{KEY}\": [\"{url}\"]\n}}\n"),
            undo: mirror(url, true),
        });
    }
    let root = parse(text)?;
    let object = root.object_value().ok_or("it is no JSON object")?;
    let made = object.get(KEY).is_none();
    if made {
        object.append(KEY, CstInputValue::Array(vec![element()]));
    } else {
        let list = object.array_value(KEY);
        let list = list.ok_or_else(|| format!("{KEY} is no list"))?;
        if !list.elements().iter().any(|it| is(it, url)) {
            list.insert(0, element());
        }
    }
    Ok(Applied {
        text: root.to_string(),
        undo: mirror(url, made),
    })
}

/// Takes `url` out, and the list if it was made for it and nobody else uses it.
pub(super) fn remove(text: &str, url: &str, made: bool) -> Result<String, Refused> {
    if text.trim().is_empty() {
        return Ok(text.to_owned());
    }
    let root = parse(text)?;
    let Some(object) = root.object_value() else {
        return Ok(text.to_owned());
    };
    let Some(list) = object.array_value(KEY) else {
        return Ok(text.to_owned());
    };
    let Some(ours) = list.elements().into_iter().find(|it| is(it, url)) else {
        return Ok(text.to_owned());
    };
    ours.remove();
    if made
        && list.elements().is_empty()
        && let Some(property) = object.get(KEY)
    {
        property.remove();
    }
    Ok(root.to_string())
}

fn mirror(url: &str, made: bool) -> Undo {
    Undo::Mirror {
        url: url.to_owned(),
        made,
    }
}

fn parse(text: &str) -> Result<CstRootNode, Refused> {
    CstRootNode::parse(text, &ParseOptions::default())
        .map_err(|error| format!("it is no JSON: {error}"))
}

fn is(node: &CstNode, url: &str) -> bool {
    let text = node.as_string_lit().and_then(|it| it.decoded_value().ok());
    text.is_some_and(|it| it == url)
}
