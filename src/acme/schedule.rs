//! When to order: ahead of the end of a certificate, and after failures less and less often. Pure: the clock and chance come in
//! as parameters.

use super::{Time, Trouble, client::LONGEST};
use serde::{Deserialize, Serialize};

/// So many orders at most are placed for a certificate within [`WINDOW`], whatever became of them. Authorities bound failures
/// for a name to about as many.
pub(super) const MOST_ORDERS: usize = 5;
/// What [`MOST_ORDERS`] counts over.
const WINDOW: Time = 3600;

/// Waits after the first failure and after many, by kind. What the authority never saw costs nothing there.
const UNREACHABLE: (Time, Time) = (5, 900);
const REFUSED: (Time, Time) = (60, 6 * 3600);

/// When a certificate is to be renewed.
pub(super) fn renewal(not_before: Time, not_after: Time, renew_before: Option<Time>) -> Time {
    let life = not_after.saturating_sub(not_before).max(0);
    let lead = renew_before.map_or(life / 3, |wanted| {
        // Else a certificate with a short life would be renewed as soon as it is there.
        wanted.min(life / 3 * 2)
    });
    not_after.saturating_sub(lead)
}

/// What was tried for a certificate. It is kept in the store: neither a restart nor another gateway begins anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Attempts {
    /// When orders were placed, the last ones.
    orders: Vec<Time>,
    /// How many failed in a row.
    pub(super) failures: u32,
    /// Nothing is tried before.
    not_before: Time,
    /// Why the last one failed.
    pub(super) error: Option<String>,
}

impl Attempts {
    /// From when on an order may be placed.
    pub(super) fn next(&self, now: Time) -> Time {
        let mut recent: Vec<Time> = self.recent(now).collect();
        recent.sort_unstable();
        let full = recent
            .len()
            .checked_sub(MOST_ORDERS)
            .and_then(|at| recent.get(at));
        let room = full.map_or(now, |oldest| oldest.saturating_add(WINDOW));
        // No wait is as long as that: the clock was set back.
        let is_past_belief = self.not_before > now.saturating_add(LONGEST);
        match is_past_belief {
            true => room,
            false => room.max(self.not_before),
        }
    }

    /// Orders that count. A clock that was set back must not make them count for ever.
    fn recent(&self, now: Time) -> impl Iterator<Item = Time> {
        let orders = self.orders.iter().copied();
        orders.filter(move |at| (now.saturating_sub(WINDOW)..=now.saturating_add(60)).contains(at))
    }

    /// An order is about to be placed.
    pub(super) fn began(&mut self, now: Time) {
        self.orders = self.recent(now).collect();
        self.orders.push(now);
    }

    /// It came to nothing. `chance` is between 0 and 1, and keeps gateways from coming back all at once.
    pub(super) fn failed(&mut self, now: Time, trouble: &Trouble, chance: f64) {
        self.failures = self.failures.saturating_add(1);
        let (first, most) = match trouble {
            Trouble::Unreachable { .. } => UNREACHABLE,
            Trouble::Refused { .. } | Trouble::Own(_) => REFUSED,
        };
        let doublings = self.failures.saturating_sub(1).min(20);
        let plain = first.saturating_mul(1 << doublings).min(most);
        let jittered = plain as f64 * (0.75 + chance.clamp(0.0, 1.0) / 2.0);
        let wait = (jittered.round() as Time).max(1);
        let asked = trouble.again().unwrap_or(now);
        self.not_before = now.saturating_add(wait).max(asked);
        self.error = Some(trouble.to_string());
    }

    /// A certificate came of it. The orders still count.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
        self.not_before = 0;
        self.error = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = 1_800_000_000;
    const DAY: Time = 86_400;

    fn refused() -> Trouble {
        Trouble::Refused {
            what: "no".to_owned(),
            again: None,
        }
    }

    #[test]
    fn a_clock_that_was_set_back_is_not_waited_for() {
        let mut attempts = Attempts::default();
        attempts.failed(NOW + 365 * DAY, &refused(), 0.5);
        assert_eq!(attempts.next(NOW), NOW);
        attempts.failed(NOW, &refused(), 0.5);
        assert!(attempts.next(NOW) > NOW);
    }

    #[test]
    fn a_certificate_is_renewed_when_a_third_of_its_life_is_left() {
        assert_eq!(renewal(NOW, NOW + 90 * DAY, None), NOW + 60 * DAY);
        assert_eq!(renewal(NOW, NOW + 6 * DAY, None), NOW + 4 * DAY);
    }

    #[test]
    fn the_settings_may_want_it_at_another_time_but_not_at_once() {
        let of = |life, before| renewal(NOW, NOW + life * DAY, Some(before * DAY)) - NOW;
        assert_eq!(of(90, 20), 70 * DAY);
        assert_eq!(of(90, 60), 30 * DAY);
        assert_eq!(of(90, 89), 30 * DAY);
        assert_eq!(of(6, 30), 2 * DAY);
    }

    #[test]
    fn a_certificate_without_a_life_is_due_and_harms_nobody() {
        assert_eq!(renewal(NOW, NOW - 1, None), NOW - 1);
        assert_eq!(renewal(Time::MAX, Time::MIN, Some(Time::MAX)), Time::MIN);
    }

    #[test]
    fn failures_are_followed_by_longer_and_longer_waits() {
        let mut attempts = Attempts::default();
        let mut waits = Vec::new();
        for _ in 0..12 {
            attempts.failed(NOW, &refused(), 0.5);
            waits.push(attempts.next(NOW) - NOW);
        }
        assert_eq!(waits.get(..4), Some(&[60, 120, 240, 480][..]));
        assert_eq!(waits.last(), Some(&(6 * 3600)));
        assert_eq!(attempts.failures, 12);
        attempts.succeeded();
        assert_eq!(attempts.next(NOW), NOW);
        assert_eq!(attempts.error, None);
    }

    #[test]
    fn an_authority_that_is_away_is_asked_again_sooner_and_for_ever() {
        let away = Trouble::Unreachable {
            what: "nobody".to_owned(),
            again: None,
        };
        let mut attempts = Attempts::default();
        attempts.failed(NOW, &away, 0.5);
        assert_eq!(attempts.next(NOW), NOW + 5);
        attempts.failures = u32::MAX;
        attempts.failed(NOW, &away, 0.5);
        assert_eq!(attempts.next(NOW), NOW + 900);
    }

    #[test]
    fn chance_spreads_the_waits() {
        let wait = |chance| {
            let mut attempts = Attempts::default();
            attempts.failed(NOW, &refused(), chance);
            attempts.next(NOW) - NOW
        };
        assert_eq!((wait(0.0), wait(1.0)), (45, 75));
        assert_eq!((wait(f64::NAN).max(1), wait(9.0)), (1, 75));
    }

    #[test]
    fn what_the_authority_asks_for_is_heeded_and_never_shortens_a_wait() {
        let asking = |seconds| Trouble::Refused {
            what: "slow down".to_owned(),
            again: Some(NOW + seconds),
        };
        let mut attempts = Attempts::default();
        attempts.failed(NOW, &asking(7200), 0.5);
        assert_eq!(attempts.next(NOW), NOW + 7200);
        let mut attempts = Attempts::default();
        attempts.failed(NOW, &asking(1), 0.5);
        assert_eq!(attempts.next(NOW), NOW + 60);
    }

    #[test]
    fn no_more_than_five_orders_are_placed_in_an_hour_even_if_they_succeed() {
        let mut attempts = Attempts::default();
        for minute in 0..5 {
            let now = NOW + minute * 60;
            assert_eq!(attempts.next(now), now, "{minute}");
            attempts.began(now);
            attempts.succeeded();
        }
        assert_eq!(attempts.next(NOW + 300), NOW + 3600);
        assert_eq!(attempts.next(NOW + 3601), NOW + 3601);
        attempts.began(NOW + 3601);
        assert_eq!(attempts.orders.len(), 5);
    }

    #[test]
    fn orders_of_a_future_that_did_not_come_do_not_count() {
        let mut attempts = Attempts::default();
        for _ in 0..5 {
            attempts.began(NOW);
        }
        assert_eq!(attempts.next(NOW - 10 * DAY), NOW - 10 * DAY);
    }
}
