//! What the kernel says about a process: CPU time and resident memory.

use std::fs;

use rustix::param::clock_ticks_per_second;

use crate::failure::{During, Failure};

/// User and kernel time of all threads so far, in microseconds.
pub(crate) fn cpu_micros(id: u32) -> Result<u64, Failure> {
    let path = format!("/proc/{id}/stat");
    let text = fs::read_to_string(&path).during(format!("read {path}"))?;
    // proc_pid_stat(5): the name in parentheses may hold anything; after it, utime is the 12th
    // field and stime the 13th.
    let after_name = text.rsplit_once(')').map_or("", |(_, after)| after);
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let mut next = || fields.next().and_then(|ticks| ticks.parse::<u64>().ok());
    let (Some(user), Some(kernel)) = (next(), next()) else {
        return Err(Failure::said(format!("{path} is not as expected: {text}")));
    };
    Ok((user + kernel) * 1_000_000 / clock_ticks_per_second().max(1))
}

/// Resident memory in KiB.
pub(crate) fn resident_kib(id: u32) -> Result<u64, Failure> {
    let path = format!("/proc/{id}/status");
    let text = fs::read_to_string(&path).during(format!("read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok())
        .ok_or_else(|| Failure::said(format!("{path} names no VmRSS")))
}

/// The middle of some figures; 0 when there are none.
pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle), sorted.len() % 2) {
        (Some(upper), 1) => *upper,
        (Some(upper), _) => f64::midpoint(
            *upper,
            sorted
                .get(middle.wrapping_sub(1))
                .copied()
                .unwrap_or(*upper),
        ),
        (None, _) => 0.0,
    }
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
    use super::{cpu_micros, median, quantile, resident_kib};

    #[test]
    fn our_own_figures_can_be_read() {
        let own = std::process::id();
        assert!(resident_kib(own).is_ok_and(|kib| kib > 100));
        assert!(cpu_micros(own).is_ok());
    }

    #[test]
    fn medians_and_quantiles() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[]), 0.0);
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 0.5), 2.0);
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 0.99), 4.0);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }
}
