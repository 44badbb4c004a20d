//! Memory and open descriptors of the gateway over time.

use std::fs;
use std::time::Instant;

/// What the kernel said at one moment.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) at: Instant,
    /// Resident memory in kB.
    pub(crate) resident: f64,
    pub(crate) descriptors: f64,
}

/// Looks at a process; nothing when it has ended.
pub(crate) fn take(id: u32) -> Option<Sample> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let resident = line.split_ascii_whitespace().next()?.parse().ok()?;
    let descriptors = fs::read_dir(format!("/proc/{id}/fd")).ok()?.count() as f64;
    Some(Sample {
        at: Instant::now(),
        resident,
        descriptors,
    })
}

/// By how much a figure grows in a minute.
pub(crate) fn slope(samples: &[Sample], figure: impl Fn(&Sample) -> f64) -> f64 {
    let Some(first) = samples.first() else {
        return 0.0;
    };
    let minutes = |sample: &Sample| (sample.at - first.at).as_secs_f64() / 60.0;
    let points: Vec<_> = samples.iter().map(|s| (minutes(s), figure(s))).collect();
    steepness(&points)
}

/// Of the line that least squares put through points.
pub(crate) fn steepness(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean_place = points.iter().map(|(place, _)| place).sum::<f64>() / count;
    let mean = points.iter().map(|(_, figure)| figure).sum::<f64>() / count;
    let (mut above, mut below) = (0.0, 0.0);
    for (place, figure) in points {
        let off = place - mean_place;
        above += off * (figure - mean);
        below += off * off;
    }
    if below > 0.0 { above / below } else { 0.0 }
}

/// The figure that `share` (0 to 1) of all figures do not exceed; 0 when there are none.
pub(crate) fn quantile(figures: &[f64], share: f64) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(place.max(1) - 1).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Sample, slope, take};

    #[test]
    fn a_line_has_its_own_slope() {
        let start = Instant::now();
        let samples: Vec<Sample> = (0..10)
            .map(|minute| Sample {
                at: start + Duration::from_secs(60 * minute),
                resident: 1000.0 + 12.0 * minute as f64,
                descriptors: 7.0,
            })
            .collect();
        assert!((slope(&samples, |s| s.resident) - 12.0).abs() < 1e-6);
        assert!(slope(&samples, |s| s.descriptors).abs() < 1e-6);
        assert_eq!(slope(&[], |s| s.resident), 0.0);
    }

    #[test]
    fn our_own_figures_can_be_read() {
        let own = take(std::process::id());
        assert!(own.is_some_and(|own| own.resident > 100.0 && own.descriptors > 2.0));
        assert!(take(u32::MAX).is_none());
    }
}
