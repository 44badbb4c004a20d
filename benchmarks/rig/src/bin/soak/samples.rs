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

/// A line through points, and how far off its slope may be.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Line {
    pub(crate) slope: f64,
    /// The standard error of the slope.
    pub(crate) error: f64,
}

/// Large bodies come and go, and with them memory: samples that are close to each other say the same thing. Of so many
/// neighbours the median counts as one.
const NEIGHBOURS: usize = 20;

/// How a figure grows by the minute.
pub(crate) fn growth(samples: &[Sample], figure: impl Fn(&Sample) -> f64) -> Line {
    let Some(first) = samples.first() else {
        return Line::default();
    };
    let minutes = |sample: &Sample| (sample.at - first.at).as_secs_f64() / 60.0;
    let blocks = samples.chunks(NEIGHBOURS).map(|block| {
        let of_block = |figure: &dyn Fn(&Sample) -> f64| {
            let figures: Vec<f64> = block.iter().map(figure).collect();
            quantile(&figures, 0.5)
        };
        (of_block(&minutes), of_block(&figure))
    });
    line(&blocks.collect::<Vec<_>>())
}

/// The line that least squares put through points.
pub(crate) fn line(points: &[(f64, f64)]) -> Line {
    let count = points.len() as f64;
    let mean_place = points.iter().map(|(place, _)| place).sum::<f64>() / count;
    let mean = points.iter().map(|(_, figure)| figure).sum::<f64>() / count;
    let (mut above, mut below) = (0.0, 0.0);
    for (place, figure) in points {
        let off = place - mean_place;
        above += off * (figure - mean);
        below += off * off;
    }
    if below <= 0.0 || count <= 2.0 {
        return Line::default();
    }
    let slope = above / below;
    let missed = points
        .iter()
        .map(|(place, figure)| figure - mean - slope * (place - mean_place));
    let variance = missed.map(|off| off * off).sum::<f64>() / (count - 2.0);
    let error = (variance / below).sqrt();
    Line { slope, error }
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

    use super::{NEIGHBOURS, Sample, growth, line, take};

    #[test]
    fn a_line_has_its_own_slope() {
        let start = Instant::now();
        let samples: Vec<Sample> = (0..10 * NEIGHBOURS as u64)
            .map(|minute| Sample {
                at: start + Duration::from_secs(60 * minute),
                resident: 1000.0 + 12.0 * minute as f64,
                descriptors: 7.0,
            })
            .collect();
        let resident = growth(&samples, |s| s.resident);
        assert!((resident.slope - 12.0).abs() < 1e-6 && resident.error < 1e-6);
        assert!(growth(&samples, |s| s.descriptors).slope.abs() < 1e-6);
        assert_eq!(growth(&[], |s| s.resident).slope, 0.0);
    }

    #[test]
    fn what_goes_up_and_down_has_an_uncertain_slope() {
        let points: Vec<_> = (0..20)
            .map(|place| (f64::from(place), f64::from(place % 2) * 100.0))
            .collect();
        let line = line(&points);
        assert!(line.slope.abs() < 2.0 * line.error, "{line:?}");
    }

    #[test]
    fn our_own_figures_can_be_read() {
        let own = take(std::process::id());
        assert!(own.is_some_and(|own| own.resident > 100.0 && own.descriptors > 2.0));
        assert!(take(u32::MAX).is_none());
    }
}
