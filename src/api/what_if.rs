//! `/cluster/what-if`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::extract::{HandlerResult, ReadRequest};
use super::lists::page;
use super::params::Params;
use super::reply::ok;
use crate::domain::assign::WEIGHT_MAX;
use crate::domain::machine::record::AUTOMATIC_LABELS;
use crate::domain::spec::{self, check_label};
use crate::ops::OpError;
use crate::ops::what_if::{Newcomer, Supposed, WhatIf};

/// `GET /cluster/what-if`: what would move.
pub(super) async fn what_if(read: ReadRequest) -> HandlerResult {
    let (supposed, page) = (supposed(&read.params)?, page(&read.params)?);
    let view = read.view().await?;
    let own = read.context.settings.strategy.clone();
    let scan = move || {
        let what_if = WhatIf::of(view.clone(), &supposed, own.as_ref())?;
        Ok(ok(&view, what_if.answer(&page)))
    };
    read.context.scans.run(scan).await?
}

fn supposed(params: &Params) -> Result<Supposed, OpError> {
    let names = |key: &'static str| params.all(key).map(str::to_owned).collect();
    let strategy = params.get("strategy").map(|word| spec::strategy(&Value::from(word)));
    Ok(Supposed {
        leave: names("leave"),
        join: params.all("join").map(newcomer).collect::<Result<_, _>>()?,
        drain: names("drain"),
        weights: params.all("weight").map(weight_of).collect::<Result<_, _>>()?,
        strategy: strategy
            .transpose()
            .map_err(|problem| OpError::parameter("strategy", problem.message))?,
    })
}

fn weight(parameter: &str, text: &str) -> Result<u32, OpError> {
    let weight = text.parse::<u32>().ok().filter(|weight| *weight <= WEIGHT_MAX);
    let rule = || format!("`{text}` is no weight: a whole number from 0 to {WEIGHT_MAX}");
    weight.ok_or_else(|| OpError::parameter(parameter, rule()))
}

/// `n3=4`
fn weight_of(text: &str) -> Result<(String, u32), OpError> {
    match text.split_once('=') {
        Some((name, number)) => Ok((name.to_owned(), weight("weight", number)?)),
        None => Err(OpError::parameter("weight", "must be NODE=WEIGHT, such as n3=4")),
    }
}

/// `n4`, `n4:2`, `n4:2:zone=a`, `n4:zone=a`
fn newcomer(text: &str) -> Result<Newcomer, OpError> {
    let mut parts = text.split(':');
    let name = parts.next().unwrap_or_default().to_owned();
    let mut newcomer = Newcomer { name, weight: None, labels: BTreeMap::new() };
    for part in parts {
        let Some((key, value)) = part.split_once('=') else {
            if newcomer.weight.replace(weight("join", part)?).is_some() {
                return Err(OpError::parameter("join", format!("`{text}` has two weights")));
            }
            continue;
        };
        if AUTOMATIC_LABELS.contains(&key) {
            let rule = format!("the label {key} is the node's own, and cannot be set");
            return Err(OpError::parameter("join", rule));
        }
        check_label(key, value)
            .map_err(|rule| OpError::parameter("join", format!("the label `{part}`: {rule}")))?;
        newcomer.labels.insert(key.to_owned(), value.to_owned());
    }
    Ok(newcomer)
}
