//! How a trace is told from one service to the next: `traceparent` (<https://www.w3.org/TR/trace-context/>).

use super::config::{Sampler, SamplerName};
use http::{HeaderMap, HeaderValue};

/// The header.
pub(super) const TRACEPARENT: &str = "traceparent";

/// A trace, a span in it, and whether it is traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Context {
    pub(super) trace: u128,
    pub(super) span: u64,
    pub(super) sampled: bool,
}

impl Context {
    /// What the client says; nothing when that is not valid, or said twice.
    pub(super) fn read(headers: &HeaderMap) -> Option<Self> {
        let mut all = headers.get_all(TRACEPARENT).iter();
        let text = all.next()?.to_str().ok()?;
        if all.next().is_some() {
            return None;
        }
        let mut parts = text.split('-');
        let (version, trace) = (parts.next()?, parts.next()?);
        let (span, flags) = (parts.next()?, parts.next()?);
        // Versions to come may have more parts; the first one has not (§3.2.4).
        let known = hex(version, 2)? == 0;
        if version == "ff" || (known && parts.next().is_some()) {
            return None;
        }
        let context = Self {
            trace: hex(trace, 32)?,
            span: u64::try_from(hex(span, 16)?).ok()?,
            sampled: hex(flags, 2)? & 1 == 1,
        };
        (context.trace != 0 && context.span != 0).then_some(context)
    }

    /// As the next service is told.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        let flags = u8::from(self.sampled);
        let text = format!("00-{:032x}-{:016x}-{flags:02x}", self.trace, self.span);
        HeaderValue::try_from(text).ok()
    }
}

/// A number in lower case hexadecimal digits, exactly so many.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let fits = text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    fits.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

/// The id of a request as that of a trace: 32 hexadecimal digits, or a UUID.
pub(super) fn trace_of(id: &[u8]) -> Option<u128> {
    let digits: Vec<u8> = id.iter().copied().filter(|b| *b != b'-').collect();
    let text = std::str::from_utf8(&digits).ok()?.to_ascii_lowercase();
    hex(&text, 32).filter(|trace| *trace != 0)
}

impl Sampler {
    /// Whether a request is traced. `parent` is what the client says.
    pub(super) fn samples(&self, parent: Option<Context>, trace: u128) -> bool {
        let options = &self.options;
        match (self.name, parent) {
            (SamplerName::ParentBase, Some(parent)) => parent.sampled,
            (SamplerName::ParentBase, None) => {
                chosen(options.root.name, options.root.options.fraction, trace)
            }
            (name, _) => chosen(name, options.fraction, trace),
        }
    }
}

fn chosen(name: SamplerName, fraction: f64, trace: u128) -> bool {
    match name {
        SamplerName::AlwaysOn => true,
        SamplerName::AlwaysOff | SamplerName::ParentBase => false,
        // The last 56 bits of an id are chance, whatever the rest is (trace-context §2.2.4, level 2).
        SamplerName::TraceIdRatio => {
            const BITS: u128 = 1 << 56;
            #[expect(clippy::cast_precision_loss, reason = "a part need not be exact")]
            let place = (trace % BITS) as f64 / BITS as f64;
            // The largest places round to 1.
            fraction >= 1.0 || place < fraction
        }
    }
}
