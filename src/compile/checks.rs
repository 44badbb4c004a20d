//! Health checks: from the model to what the upstream room takes.

use super::upstream::Wrong;
use crate::{
    model::{health as model, timeout::seconds},
    upstream::health::{
        Active, ActiveHealthy, ActiveUnhealthy, Checks, Passive, ProbeKind, Statuses,
    },
};
use http::{HeaderName, HeaderValue, Method};
use std::time::Duration;

pub(super) fn lower(checks: &model::Checks) -> Result<Checks, Wrong> {
    Ok(Checks {
        active: Some(active(&checks.active)?),
        passive: checks.passive.as_ref().map(passive),
    })
}

fn active(active: &model::Active) -> Result<Active, Wrong> {
    let method = Method::from_bytes(active.http_method.as_bytes())
        .map_err(|e| ("/checks/active/http_method", e.to_string()))?;
    let (healthy, unhealthy) = (&active.healthy, &active.unhealthy);
    Ok(Active {
        kind: match active.r#type {
            model::Protocol::Http => ProbeKind::Http,
            model::Protocol::Https => ProbeKind::Https,
            model::Protocol::Tcp => ProbeKind::Tcp,
        },
        timeout: seconds(active.timeout),
        concurrency: active.concurrency as usize,
        host: active.host.as_deref().map(Into::into),
        port: active.port,
        method,
        path: active.http_path.as_str().into(),
        body: active.http_req_body.clone().into(),
        verify: active.https_verify_certificate,
        headers: active
            .req_headers
            .iter()
            .map(|line| header(line))
            .collect::<Result<_, _>>()?,
        healthy: ActiveHealthy {
            interval: Duration::from_secs(healthy.interval.into()),
            statuses: Statuses::new(healthy.http_statuses.iter().copied()),
            successes: healthy.successes,
        },
        unhealthy: ActiveUnhealthy {
            interval: Duration::from_secs(unhealthy.interval.into()),
            statuses: Statuses::new(unhealthy.http_statuses.iter().copied()),
            http_failures: unhealthy.http_failures,
            tcp_failures: unhealthy.tcp_failures,
            timeouts: unhealthy.timeouts,
        },
    })
}

fn passive(passive: &model::Passive) -> Passive {
    Passive {
        healthy_statuses: Statuses::new(passive.healthy.http_statuses.iter().copied()),
        successes: passive.healthy.successes,
        unhealthy_statuses: Statuses::new(passive.unhealthy.http_statuses.iter().copied()),
        http_failures: passive.unhealthy.http_failures,
        tcp_failures: passive.unhealthy.tcp_failures,
        timeouts: passive.unhealthy.timeouts,
    }
}

/// `Name: value`.
fn header(line: &str) -> Result<(HeaderName, HeaderValue), Wrong> {
    let wrong = || {
        (
            "/checks/active/req_headers",
            format!("expected \"Name: value\", got {line:?}"),
        )
    };
    let (name, value) = line.split_once(':').ok_or_else(wrong)?;
    let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| wrong())?;
    let value = HeaderValue::from_str(value.trim()).map_err(|_| wrong())?;
    Ok((name, value))
}
