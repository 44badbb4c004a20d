//! What was seen of the gateway's processes, one after the other. A new one is smaller than one that has served for a while, so
//! only figures of the same age are compared with each other.

use std::time::{Duration, Instant};

use crate::samples::{Line, Sample, growth, line, quantile};

/// Figures of a process are taken around an age, so long before and after it.
const AROUND: Duration = Duration::from_secs(5);

/// One process.
pub(crate) struct Generation {
    began: Instant,
    samples: Vec<Sample>,
}

/// All of them, the last one still there.
#[derive(Default)]
pub(crate) struct Generations {
    all: Vec<Generation>,
}

/// How a figure behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Growth {
    pub(crate) first: f64,
    pub(crate) last: f64,
    pub(crate) most: f64,
    pub(crate) line: Line,
}

impl Generations {
    /// Another process serves from now on.
    pub(crate) fn begin(&mut self) {
        self.all.push(Generation {
            began: Instant::now(),
            samples: Vec::new(),
        });
    }

    /// What was seen of the one that serves.
    pub(crate) fn add(&mut self, sample: Option<Sample>) {
        if let Some(generation) = self.all.last_mut() {
            generation.samples.extend(sample);
        }
    }

    /// The last one's samples without the first third, in which caches and pools fill.
    pub(crate) fn settled(&self) -> &[Sample] {
        let samples = self.all.last().map_or(&[][..], |last| &last.samples);
        samples.get(samples.len() / 3..).unwrap_or_default()
    }

    /// How a figure grows in the last process, by the minute.
    pub(crate) fn within(&self, figure: impl Fn(&Sample) -> f64) -> Growth {
        let settled = self.settled();
        let figures: Vec<f64> = settled.iter().map(&figure).collect();
        summary(&figures, growth(settled, figure))
    }

    /// How a figure at this age grows from process to process, and how many processes became so old.
    pub(crate) fn over(&self, age: Duration, figure: impl Fn(&Sample) -> f64) -> (Growth, usize) {
        let at_age: Vec<f64> = self
            .all
            .iter()
            .filter_map(|generation| generation.at(age, &figure))
            .collect();
        let places = at_age.iter().enumerate();
        let points: Vec<_> = places.map(|(place, f)| (place as f64, *f)).collect();
        (summary(&at_age, line(&points)), at_age.len())
    }
}

impl Generation {
    /// The median around an age.
    fn at(&self, age: Duration, figure: impl Fn(&Sample) -> f64) -> Option<f64> {
        let (from, to) = (age.saturating_sub(AROUND), age + AROUND);
        let aged = |sample: &&Sample| (from..=to).contains(&(sample.at - self.began));
        let figures: Vec<f64> = self.samples.iter().filter(aged).map(figure).collect();
        let reached = self.samples.last()?.at - self.began >= age;
        (reached && !figures.is_empty()).then(|| quantile(&figures, 0.5))
    }
}

fn summary(figures: &[f64], line: Line) -> Growth {
    Growth {
        first: figures.first().copied().unwrap_or_default(),
        last: figures.last().copied().unwrap_or_default(),
        most: figures.iter().copied().fold(0.0, f64::max),
        line,
    }
}

#[cfg(test)]
mod tests {
    use super::{Generation, Generations};
    use crate::samples::Sample;
    use std::time::{Duration, Instant};

    #[test]
    fn processes_are_compared_at_the_same_age() {
        let start = Instant::now();
        let mut generations = Generations::default();
        // Each grows while it lives, and is as large as the one before at the same age; the last one is still young.
        for (number, length) in [60, 90, 60, 30].into_iter().enumerate() {
            let began = start + Duration::from_secs(100 * number as u64);
            let samples = (0..length).map(|second| Sample {
                at: began + Duration::from_secs(second),
                resident: 1000.0 + second as f64,
                descriptors: 10.0 * number as f64,
            });
            generations.all.push(Generation {
                began,
                samples: samples.collect(),
            });
        }
        let age = Duration::from_secs(40);
        let (memory, reached) = generations.over(age, |sample| sample.resident);
        assert_eq!((memory.first, memory.line.slope, reached), (1040.0, 0.0, 3));
        let (descriptors, _) = generations.over(age, |sample| sample.descriptors);
        assert_eq!(descriptors.line.slope, 10.0);
        let within = generations.within(|sample| sample.resident);
        assert_eq!((within.first, within.last), (1010.0, 1029.0));
    }
}
