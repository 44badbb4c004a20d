//! Client and server addresses in match conditions: one address, or a network in CIDR form.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::{Value, json};

use super::problem::Problem;

/// A single address is the network that holds nothing else.
fn parse(text: &str) -> Option<IpNet> {
    text.parse()
        .ok()
        .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

struct Source(IpNet);

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse(&text).map(Source).ok_or_else(|| {
            D::Error::custom(format_args!(
                "expected an IP address or a CIDR network, got {text:?}"
            ))
        })
    }
}

pub(super) fn optional<'de, D: Deserializer<'de>>(from: D) -> Result<Option<IpNet>, D::Error> {
    Ok(Option::<Source>::deserialize(from)?.map(|Source(net)| net))
}

pub(super) fn optional_list<'de, D>(from: D) -> Result<Option<Vec<IpNet>>, D::Error>
where
    D: Deserializer<'de>,
{
    let list = Option::<Vec<Source>>::deserialize(from)?;
    Ok(list.map(|list| list.into_iter().map(|Source(net)| net).collect()))
}

pub(super) fn schema(description: &str) -> Value {
    let byte = "([0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])";
    json!({
        "type": "string",
        "description": description,
        "anyOf": [
            {"title": "IPv4", "format": "ipv4"},
            {"title": "IPv4/CIDR", "pattern": format!(r"^({byte}\.){{3}}{byte}/([12]?[0-9]|3[0-2])$")},
            {"title": "IPv6", "format": "ipv6"},
            {"title": "IPv6/CIDR", "pattern": "^[0-9a-fA-F:.]*:[0-9a-fA-F:.]*/[0-9]{1,3}$"}
        ]
    })
}

/// Refuses what the schema's patterns let through but is no address, such as `:/8`.
pub(super) fn rules(value: Option<&Value>, at: &str, problems: &mut Vec<Problem>) {
    match value {
        Some(Value::String(text)) if parse(text).is_none() => {
            let message = format!("expected an IP address or a CIDR network, got {text:?}");
            problems.push(Problem::in_property(at, &message));
        }
        Some(Value::Array(list)) => {
            for (index, item) in list.iter().enumerate() {
                rules(Some(item), &format!("{at}/{index}"), problems);
            }
        }
        _ => {}
    }
}
