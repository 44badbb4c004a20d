//! From a document whose keys are known to typed settings: types, then ranges, then rules over several keys.

use super::{Endpoint, Settings, StoreKind, acme, value::Addresses};
use crossway_sdk::{expr::Template, schema::Schema};
use serde_json::Value;
use std::collections::HashSet;

/// A key and what is wrong with it.
type Fault = (String, String);

pub(super) fn typed(schema: &Value, document: &Value) -> Result<Settings, Fault> {
    let settings: Settings = serde_path_to_error::deserialize(document)
        .map_err(|error| (error.path().to_string(), error.inner().to_string()))?;
    ranges(schema, document)?;
    rules(&settings)?;
    Ok(settings)
}

/// What the schema demands beyond the types.
fn ranges(schema: &Value, document: &Value) -> Result<(), Fault> {
    let Err(error) = Schema::new(schema.clone()).check(document) else {
        return Ok(());
    };
    let mut key = String::new();
    let mut message = error.message.as_str();
    for part in error.path.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        let is_index = part.bytes().all(|b| b.is_ascii_digit());
        // The frame that plugins' messages have; here the key is named in front.
        let frame = if is_index {
            format!("failed to validate item {part}: ")
        } else {
            format!("property \"{part}\" validation failed: ")
        };
        message = message.strip_prefix(&frame).unwrap_or(message);
        match (is_index, key.is_empty()) {
            (true, _) => key.push_str(&format!("[{part}]")),
            (false, true) => key.push_str(&part),
            (false, false) => key.push_str(&format!(".{part}")),
        }
    }
    Err((key, message.to_owned()))
}

fn rules(settings: &Settings) -> Result<(), Fault> {
    let fault = |key: &str, message: String| Err((key.to_owned(), message));
    proxy_protocol(settings)?;
    acme::rules(settings)?;
    let mut proxied = settings.stream.tcp.iter().filter(|l| l.proxy_protocol);
    if let (Some(listener), true) = (
        proxied.next(),
        settings.listen.proxy_protocol.trusted.set().is_empty(),
    ) {
        let message = format!("is needed for {} of stream.tcp", listener.address);
        return fault("listen.proxy_protocol.trusted", message);
    }
    if settings.store.kind() == StoreKind::File && settings.store.file.is_none() {
        return fault("store.file", "is needed when store.kind is file".to_owned());
    }
    if let Some((one, other, address)) = clash(settings) {
        return fault(one, format!("{address} is the address of {other} too"));
    }
    let mut seen = HashSet::new();
    for (index, key) in settings.admin.keys.iter().enumerate() {
        let place = format!("admin.keys[{index}].key");
        let is_main = settings.admin.key.as_ref() == Some(&key.key);
        if is_main || !seen.insert(key.key.expose()) {
            return fault(&place, "this key is listed twice".to_owned());
        }
    }
    let encryption = &settings.data_encryption;
    if encryption.enabled && encryption.keyring.is_empty() {
        let message = "is needed when data_encryption.enabled is true".to_owned();
        return fault("data_encryption.keyring", message);
    }
    for (index, key) in encryption.keyring.iter().enumerate() {
        if !matches!(key.expose().len(), 16 | 32) {
            let message = "expected a key of 16 or 32 bytes".to_owned();
            return fault(&format!("data_encryption.keyring[{index}]"), message);
        }
    }
    if let Err(error) = Template::parse(&settings.access_log.template) {
        return fault("access_log.template", error.to_string());
    }
    for (name, template) in &settings.access_log.fields {
        if let Err(error) = Template::parse(template) {
            return fault(&format!("access_log.fields.{name}"), error.to_string());
        }
    }
    Ok(())
}

/// The PROXY protocol is for listeners that there are, and somebody has to be believed.
fn proxy_protocol(settings: &Settings) -> Result<(), Fault> {
    let listen = &settings.listen;
    let protocol = &listen.proxy_protocol;
    for (index, endpoint) in protocol.on.iter().enumerate() {
        let known = match endpoint {
            Endpoint::Tcp(address) => {
                let https = listen.https.iter().flat_map(Addresses::iter);
                listen.http.iter().chain(https).any(|one| one == *address)
            }
            Endpoint::Unix(path) => listen.unix.contains(path),
        };
        let key = format!("listen.proxy_protocol.on[{index}]");
        if !known {
            return Err((
                key,
                format!("{endpoint} is none of the listeners of listen"),
            ));
        }
        if matches!(endpoint, Endpoint::Tcp(_)) && protocol.trusted.set().is_empty() {
            let key = "listen.proxy_protocol.trusted".to_owned();
            return Err((key, format!("is needed for {endpoint}")));
        }
    }
    Ok(())
}

/// Two listeners at one address. Port 0 is a free one each time.
fn clash(settings: &Settings) -> Option<(&'static str, &'static str, std::net::SocketAddr)> {
    let http: Vec<_> = Addresses::iter(&settings.listen.http)
        .map(|a| ("listen.http", a))
        .collect();
    let mut taken = http;
    let https = settings.listen.https.iter().flat_map(Addresses::iter);
    let https = https.map(|a| ("listen.https", a));
    let streams = settings.stream.tcp.iter();
    let streams = streams.map(|listener| ("stream.tcp", listener.address));
    let admin = settings
        .admin
        .enabled
        .then_some(("admin.listen", settings.admin.listen.0));
    let others = [
        ("control.listen", settings.control.listen.0),
        ("metrics.listen", settings.metrics.listen.0),
    ];
    for (key, address) in https.chain(streams).chain(admin).chain(others) {
        let other = taken
            .iter()
            .find(|(_, one)| *one == address && address.port() != 0);
        if let Some((other, _)) = other {
            return Some((key, other, address));
        }
        taken.push((key, address));
    }
    None
}
