//! Automatic certificates: from settings to what orders them, answers for them and tells of them.

use super::Failure;
use crate::{
    acme::{
        Binding, Challenge, Directory, Keeper, Ledger, Orders, Outcome, Pending, Report, Wanted,
    },
    observe::{
        Metrics,
        metrics::{Family, Kind},
    },
    secret::Sealer,
    settings::{AcmeChallenge, Settings, StoreKind},
    store::Store,
};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use std::sync::Arc;
use tokio::runtime::Handle;

/// What is there when certificates are ordered.
pub(super) struct Acme {
    pub(super) pending: Arc<Pending>,
    pub(super) report: Arc<Report>,
    ledger: Arc<Ledger>,
    keeper: Keeper,
}

impl Acme {
    /// `None` when the settings name no directory. `documents` is where `ssls` live; `own`, where all else is kept.
    pub(super) fn new(
        settings: &Settings,
        documents: &Arc<dyn Store>,
        own: Arc<dyn Store>,
        sealer: &Arc<Sealer>,
    ) -> Result<Option<Self>, Failure> {
        let Some(directory) = directory(settings)? else {
            return Ok(None);
        };
        if settings.store.kind() == StoreKind::Memory {
            tracing::warn!(
                "ACME certificates are kept in memory: each start orders all of them, and authorities allow few a week"
            );
        }
        let acme = &settings.acme;
        let wanted = acme.certificates.iter().map(|certificate| {
            let challenge = match acme.challenge_of(certificate) {
                AcmeChallenge::Http01 => Challenge::Http01,
                AcmeChallenge::TlsAlpn01 => Challenge::TlsAlpn01,
            };
            Wanted::new(&directory.url, certificate.names(), challenge)
        });
        let wanted = wanted.collect();
        let renew_before = acme
            .renew_before
            .map(|s| i64::try_from(s).unwrap_or(i64::MAX));
        let pending = Arc::new(Pending::default());
        let ledger = Arc::new(Ledger::new(own, sealer.clone()));
        let url = directory.url.clone();
        let orders = Orders::new(directory, ledger.clone(), pending.clone());
        let documents = documents.clone();
        let keeper = Keeper::new(
            &url,
            wanted,
            renew_before,
            orders,
            ledger.clone(),
            documents,
        );
        Ok(Some(Self {
            pending,
            report: keeper.report(),
            ledger,
            keeper,
        }))
    }

    /// Has it known what is asked for at each scrape.
    pub(super) fn export(&self, metrics: &Metrics) -> Result<(), prometheus::Error> {
        let orders = Family {
            name: "acme_orders_total",
            help: "Orders of certificates from the ACME directory, by what became of them",
            kind: Kind::Counter,
            labels: &["result"],
        };
        let report = self.report.clone();
        metrics.export(orders, move |samples| {
            for outcome in Outcome::ALL {
                samples.push(&[outcome.as_str()], report.orders(outcome) as f64);
            }
        })?;
        let expiry = Family {
            name: "acme_certificate_expiry_timestamp_seconds",
            help: "When a certificate that was ordered ends, in seconds since 1970; 0 when there is none",
            kind: Kind::Gauge,
            labels: &["ssl", "domain"],
        };
        let report = self.report.clone();
        metrics.export(expiry, move |samples| {
            for certificate in report.certificates() {
                let domain = certificate.domains.first().map_or("", String::as_str);
                let expires = certificate.expires.unwrap_or(0) as f64;
                samples.push(&[&certificate.ssl, domain], expires);
            }
        })
    }

    /// Begins to follow what other gateways prove. To be called before connections are accepted.
    pub(super) fn answer(&self, runtime: &Handle) {
        let pending = self.pending.clone();
        runtime.spawn(pending.follow(self.ledger.clone(), self.keeper.changed()));
    }

    /// Begins to order. To be called when connections are accepted: the authority may ask at once.
    pub(super) fn order(self, runtime: &Handle) {
        runtime.spawn(self.keeper.run());
    }
}

/// Who issues; `None` when the settings name nobody.
pub(super) fn directory(settings: &Settings) -> Result<Option<Directory>, Failure> {
    let acme = &settings.acme;
    let Some(url) = acme.directory.clone() else {
        return Ok(None);
    };
    let account = &acme.external_account;
    let binding = account.key_id.clone().zip(account.key_bytes());
    Ok(Some(Directory {
        url,
        contacts: acme.contacts(),
        terms_of_service_agreed: acme.terms_of_service_agreed,
        binding: binding.map(|(key_id, key)| Binding { key_id, key }),
        ca: authorities(settings)?,
    }))
}

/// The text of the file with the authorities of the directory, which must be there and hold some.
fn authorities(settings: &Settings) -> Result<Option<Arc<str>>, Failure> {
    let Some(path) = &settings.acme.ca_file else {
        return Ok(None);
    };
    let failure = |error: &dyn std::fmt::Display| {
        Failure(format!(
            "settings: acme.ca_file: {}: {error}",
            path.display()
        ))
    };
    let text = std::fs::read_to_string(path).map_err(|e| failure(&e))?;
    let mut found = 0;
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
        certificate.map_err(|e| failure(&e))?;
        found += 1;
    }
    match found {
        0 => Err(failure(&"no CERTIFICATE section found")),
        _ => Ok(Some(text.into())),
    }
}
