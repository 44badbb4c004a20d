//! The keeper over a store in memory, with an authority that does as it is told.
#![allow(clippy::unwrap_used)]

use super::{
    Challenge, Keeper, Ledger, Time, Trouble, Wanted,
    lease::Lease,
    ledger::{LEASES, key, put},
    order::{Issue, Issued},
    report::{Standing, State},
    schedule::MOST_ORDERS,
};
use crate::{
    secret::{Keyring, Sealer},
    store::{Entry, HistoryLimit, Key, Memory, MemoryStore, Store, Transaction},
};
use async_trait::async_trait;
use parking_lot::Mutex;
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

const NOW: Time = 1_800_000_000;
const DAY: Time = 86_400;
const DIRECTORY: &str = "https://ca.test/dir";

/// Issues certificates for 90 days from the time that it has, unless it is in trouble.
struct Fake {
    now: Mutex<Time>,
    trouble: Mutex<Option<Trouble>>,
    away: Mutex<Option<Trouble>>,
    /// What it panics at.
    breaks: Mutex<&'static str>,
    orders: AtomicUsize,
    takes: Duration,
}

impl Fake {
    fn new() -> Arc<Self> {
        Self::slow(Duration::ZERO)
    }

    fn slow(takes: Duration) -> Arc<Self> {
        Arc::new(Self {
            now: Mutex::new(NOW),
            trouble: Mutex::default(),
            away: Mutex::default(),
            breaks: Mutex::default(),
            orders: AtomicUsize::new(0),
            takes,
        })
    }

    fn orders(&self) -> usize {
        self.orders.load(SeqCst)
    }
}

#[async_trait]
impl Issue for Fake {
    async fn ready(&self) -> Result<(), Trouble> {
        assert_ne!(*self.breaks.lock(), "ready");
        self.away.lock().clone().map_or(Ok(()), Err)
    }

    async fn order(&self, wanted: &Wanted) -> Result<Issued, Trouble> {
        self.orders.fetch_add(1, SeqCst);
        assert_ne!(*self.breaks.lock(), "order");
        tokio::time::sleep(self.takes).await;
        if let Some(trouble) = self.trouble.lock().clone() {
            return Err(trouble);
        }
        Ok(issued(&wanted.names, *self.now.lock()))
    }
}

fn issued(names: &[String], from: Time) -> Issued {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(names).unwrap();
    let at = |time| std::time::UNIX_EPOCH + Duration::from_secs(u64::try_from(time).unwrap());
    params.not_before = at(from).into();
    params.not_after = at(from + 90 * DAY).into();
    Issued {
        chain: params.self_signed(&key).unwrap().pem(),
        key: key.serialize_pem(),
    }
}

/// A store that gateways share.
struct House {
    memory: Memory,
    documents: MemoryStore,
}

impl House {
    fn new() -> Self {
        let memory = Memory::new(HistoryLimit::default());
        Self {
            documents: memory.group("/apisix"),
            memory,
        }
    }

    fn ledger(&self, sealer: Sealer) -> Arc<Ledger> {
        let own = self.memory.group(super::GROUP);
        Arc::new(Ledger::new(Arc::new(own), Arc::new(sealer)))
    }

    /// A gateway that wants these certificates.
    fn keeper(&self, issue: &Arc<Fake>, certificates: &[&[&str]]) -> Keeper {
        self.keeper_of(DIRECTORY, issue, certificates)
    }

    fn keeper_of(&self, directory: &str, issue: &Arc<Fake>, certificates: &[&[&str]]) -> Keeper {
        let wanted = certificates.iter().map(|names| wanted(directory, names));
        Keeper::with(
            directory,
            wanted.collect(),
            None,
            issue.clone(),
            self.ledger(Sealer::default()),
            Arc::new(self.documents.clone()),
        )
    }

    async fn write(&self, id: &str, document: Value) {
        let key = Key::new(&format!("ssls/{id}")).unwrap();
        let put = Transaction::put(key, document.to_string());
        self.documents.commit(put).await.unwrap();
    }

    async fn ssls(&self) -> Vec<(String, Value)> {
        let entries = self.documents.list("ssls/").await.unwrap().entries;
        let read = |entry: Entry| {
            let document = serde_json::from_slice(&entry.value).unwrap();
            (entry.key.to_string(), document)
        };
        entries.into_iter().map(read).collect()
    }

    async fn keys(&self) -> Vec<String> {
        self.ssls().await.into_iter().map(|(key, _)| key).collect()
    }
}

fn wanted(directory: &str, names: &[&str]) -> Wanted {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    Wanted::new(directory, names, Challenge::Http01)
}

fn only(keeper: &Keeper) -> Standing {
    let mut all = keeper.report().certificates();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn by_hand(names: &[&str]) -> Value {
    let owned: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let pair = issued(&owned, NOW);
    json!({"snis": names, "cert": pair.chain, "key": pair.key})
}

fn refused() -> Trouble {
    Trouble::Refused {
        what: "no".to_owned(),
        again: None,
    }
}

#[test]
fn the_id_is_that_of_the_names_and_of_nothing_else() {
    let id = |directory, names: &[&str]| wanted(directory, names).id;
    let long = "a".repeat(63);
    assert_eq!(
        id(DIRECTORY, &["a.test", "b.test"]).len(),
        "acme-a.test-".len() + 16
    );
    assert_eq!(
        id(DIRECTORY, &["a.test", "b.test", "c.test"]),
        id(DIRECTORY, &["a.test", "c.test", "b.test"])
    );
    assert_ne!(
        id(DIRECTORY, &["a.test"]),
        id("https://other.test", &["a.test"])
    );
    assert_ne!(
        id(DIRECTORY, &["a.test"]),
        id(DIRECTORY, &["a.test", "b.test"])
    );
    assert!(id(DIRECTORY, &[&format!("{long}.{long}")]).len() <= crate::model::id::MAX_PLAIN);
}

#[tokio::test]
async fn what_is_missing_is_ordered_and_then_left_alone_until_it_is_due() {
    let (house, fake) = (House::new(), Fake::new());
    let keeper = house.keeper(&fake, &[&["a.test", "b.test"]]);
    keeper.step(NOW).await.unwrap();
    let [(key, document)] = house.ssls().await.try_into().unwrap();
    assert_eq!(
        key,
        format!("ssls/{}", wanted(DIRECTORY, &["a.test", "b.test"]).id)
    );
    assert_eq!(document["snis"], json!(["a.test", "b.test"]));
    assert_eq!(document["labels"]["managed-by"], "acme");
    assert_eq!(
        crate::model::check(crate::model::Kind::Ssl, &document),
        Ok(())
    );
    assert_eq!(only(&keeper).state, State::Valid);
    assert_eq!(only(&keeper).renews, Some(NOW + 60 * DAY));
    for later in [1, DAY, 60 * DAY - 1] {
        keeper.step(NOW + later).await.unwrap();
    }
    assert_eq!(fake.orders(), 1);
    // Neither does a gateway that starts anew.
    house
        .keeper(&fake, &[&["b.test", "a.test"]])
        .step(NOW + DAY)
        .await
        .unwrap();
    assert_eq!(fake.orders(), 1);
    *fake.now.lock() = NOW + 60 * DAY;
    keeper.step(NOW + 60 * DAY).await.unwrap();
    let [(_, renewed)] = house.ssls().await.try_into().unwrap();
    assert_eq!(fake.orders(), 2);
    assert_ne!(renewed["cert"], document["cert"]);
    assert_eq!(renewed["create_time"], NOW);
    assert_eq!(only(&keeper).expires, Some(NOW + 150 * DAY));
}

#[tokio::test]
async fn what_an_operator_added_stays() {
    let (house, fake) = (House::new(), Fake::new());
    let keeper = house.keeper(&fake, &[&["a.test"]]);
    keeper.step(NOW).await.unwrap();
    let [(_, mut document)] = house.ssls().await.try_into().unwrap();
    document["ssl_protocols"] = json!(["TLSv1.3"]);
    house.write(&only(&keeper).ssl, document).await;
    *fake.now.lock() = NOW + 70 * DAY;
    keeper.step(NOW + 70 * DAY).await.unwrap();
    let [(_, document)] = house.ssls().await.try_into().unwrap();
    assert_eq!(fake.orders(), 2);
    assert_eq!(document["ssl_protocols"], json!(["TLSv1.3"]));
}

#[tokio::test]
async fn what_an_operator_wrote_is_never_overwritten() {
    let id = wanted(DIRECTORY, &["a.test"]).id;
    for (place, names) in [("mine", "A.test"), (&*id, "a.test"), (&*id, "other.test")] {
        let (house, fake) = (House::new(), Fake::new());
        let mine = by_hand(&[names]);
        house.write(place, mine.clone()).await;
        let keeper = house.keeper(&fake, &[&["a.test"]]);
        keeper.step(NOW).await.unwrap();
        keeper.step(NOW + 365 * DAY).await.unwrap();
        assert_eq!(house.ssls().await, [(format!("ssls/{place}"), mine)]);
        assert_eq!(fake.orders(), 0);
        assert_eq!(only(&keeper).state, State::Held);
        assert_eq!(only(&keeper).held_by, Some(format!("ssls/{place}")));
    }
}

#[tokio::test]
async fn documents_that_serve_nobody_hold_nothing() {
    let (house, fake) = (House::new(), Fake::new());
    let mut off = by_hand(&["a.test"]);
    off["status"] = json!(0);
    let mut client = by_hand(&["a.test"]);
    client["type"] = json!("client");
    house.write("off", off).await;
    house.write("client", client).await;
    house.write("wild", by_hand(&["*.test"])).await;
    let keeper = house.keeper(&fake, &[&["a.test"]]);
    keeper.step(NOW).await.unwrap();
    assert_eq!(only(&keeper).state, State::Valid);
    assert_eq!(house.ssls().await.len(), 4);
}

#[tokio::test]
async fn a_document_that_is_taken_in_hand_is_the_operators_from_then_on() {
    let (house, fake) = (House::new(), Fake::new());
    let keeper = house.keeper(&fake, &[&["a.test"]]);
    keeper.step(NOW).await.unwrap();
    let [(_, mut document)] = house.ssls().await.try_into().unwrap();
    document["labels"] = json!({});
    house.write(&only(&keeper).ssl, document.clone()).await;
    keeper.step(NOW + 89 * DAY).await.unwrap();
    assert_eq!(fake.orders(), 1);
    let [(_, kept)] = house.ssls().await.try_into().unwrap();
    assert_eq!(kept, document);
}

#[tokio::test]
async fn a_dialogue_that_panics_is_one_failure_and_the_next_order_comes() {
    for at in ["ready", "order"] {
        let (house, fake) = (House::new(), Fake::new());
        let keeper = house.keeper(&fake, &[&["a.test"]]);
        *fake.breaks.lock() = at;
        let next = keeper.step(NOW).await.unwrap();
        assert!(next > NOW, "{at}");
        assert_ne!(only(&keeper).state, State::Valid, "{at}");
        *fake.breaks.lock() = "";
        keeper.step(NOW + DAY).await.unwrap();
        assert_eq!(only(&keeper).state, State::Valid, "{at}");
    }
}

#[tokio::test]
async fn two_gateways_place_one_order() {
    let (house, fake) = (House::new(), Fake::slow(Duration::from_millis(50)));
    let keepers: Vec<Keeper> = (0..4)
        .map(|_| house.keeper(&fake, &[&["a.test"]]))
        .collect();
    let steps = keepers.iter().map(|keeper| keeper.step(NOW));
    for next in futures::future::join_all(steps).await {
        assert!(next.unwrap() <= NOW + 600);
    }
    assert_eq!(fake.orders(), 1);
    let elsewhere = keepers
        .iter()
        .filter(|keeper| only(keeper).state == State::OrderedElsewhere);
    assert_eq!(elsewhere.count(), 3);
    for keeper in &keepers {
        keeper.step(NOW + 15).await.unwrap();
        assert_eq!(only(keeper).state, State::Valid);
    }
    assert_eq!(fake.orders(), 1);
}

#[tokio::test]
async fn a_gateway_that_is_gone_holds_nobody_up_for_long() {
    let (house, fake) = (House::new(), Fake::new());
    let own = house.memory.group(super::GROUP);
    let id = wanted(DIRECTORY, &["a.test"]).id;
    let write = put(
        key(LEASES, &id).unwrap(),
        &json!({}),
        Some(Duration::from_millis(200)),
    );
    own.commit(Transaction::of(vec![write.unwrap()]))
        .await
        .unwrap();
    let keeper = house.keeper(&fake, &[&["a.test"]]);
    assert_eq!(keeper.step(NOW).await, Ok(NOW + 15));
    assert_eq!(fake.orders(), 0);
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while own.get(&key(LEASES, &id).unwrap()).await.unwrap().is_some() {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    keeper.step(NOW + 15).await.unwrap();
    assert_eq!(fake.orders(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_and_work_without_one_is_given_up() {
    let house = House::new();
    let own: Arc<dyn Store> = Arc::new(house.memory.group(super::GROUP));
    let mut lease = Lease::take(&own, "a").await.unwrap().unwrap();
    let key = key(LEASES, "a").unwrap();
    let first = own.get(&key).await.unwrap().unwrap().modified;
    let done = lease.hold(async {
        tokio::time::sleep(Duration::from_secs(50)).await;
        Ok(own.get(&key).await.unwrap().unwrap().modified)
    });
    assert!(done.await.unwrap() > first);
    assert!(Lease::take(&own, "a").await.unwrap().is_none());
    own.commit(Transaction::delete(key.clone())).await.unwrap();
    let never = lease.hold(futures::future::pending::<Result<(), _>>());
    assert!(matches!(never.await, Err(Trouble::Own(_))));
    lease.release().await;
    assert!(Lease::take(&own, "a").await.unwrap().is_some());
}

#[tokio::test]
async fn failures_wait_over_restarts_and_the_last_certificate_serves_on() {
    let (house, fake) = (House::new(), Fake::new());
    let keeper = house.keeper(&fake, &[&["a.test"]]);
    keeper.step(NOW).await.unwrap();
    let before = house.ssls().await;
    *fake.trouble.lock() = Some(refused());
    let due = NOW + 61 * DAY;
    keeper.step(due).await.unwrap();
    assert_eq!(fake.orders(), 2);
    let standing = only(&keeper);
    assert_eq!((standing.state, standing.failures), (State::Waiting, 1));
    assert_eq!(standing.expires, Some(NOW + 90 * DAY));
    assert!(standing.error.unwrap().contains("refused: no"));
    let again = standing.next_attempt.unwrap();
    assert!((due + 45..=due + 75).contains(&again), "{}", again - due);
    for keeper in [&keeper, &house.keeper(&fake, &[&["a.test"]])] {
        assert_eq!(keeper.step(again - 1).await, Ok(again));
        assert_eq!(only(keeper).failures, 1);
    }
    assert_eq!(fake.orders(), 2);
    assert_eq!(house.ssls().await, before);
    *fake.trouble.lock() = None;
    *fake.now.lock() = again;
    keeper.step(again).await.unwrap();
    assert_eq!(only(&keeper).state, State::Valid);
    assert_ne!(house.ssls().await, before);
}

#[tokio::test]
async fn an_authority_is_never_asked_for_more_than_a_few_orders_an_hour() {
    let (house, fake) = (House::new(), Fake::new());
    *fake.trouble.lock() = Some(refused());
    let keeper = house.keeper(&fake, &[&["a.test"]]);
    for second in 0..3600 {
        keeper.step(NOW + second).await.unwrap();
    }
    assert!(fake.orders() <= MOST_ORDERS, "{}", fake.orders());
    // Certificates that somebody deletes over and over are orders, too.
    let (house, fake) = (House::new(), Fake::new());
    let keeper = house.keeper(&fake, &[&["a.test"]]);
    for second in 0..3600 {
        keeper.step(NOW + second).await.unwrap();
        for key in house.keys().await {
            let delete = Transaction::delete(Key::new(&key).unwrap());
            house.documents.commit(delete).await.unwrap();
        }
    }
    assert_eq!(fake.orders(), MOST_ORDERS);
}

#[tokio::test]
async fn what_never_reached_the_authority_is_no_order() {
    let (house, fake) = (House::new(), Fake::new());
    let away = |again| Trouble::Unreachable {
        what: "nobody listens".to_owned(),
        again,
    };
    *fake.away.lock() = Some(away(None));
    let keeper = house.keeper(&fake, &[&["a.test"]]);
    let mut now = NOW;
    for _ in 0..20 {
        keeper.step(now).await.unwrap();
        now = only(&keeper).next_attempt.unwrap();
    }
    assert_eq!(fake.orders(), 0);
    *fake.away.lock() = Some(away(Some(now + 5000)));
    keeper.step(now).await.unwrap();
    assert!(only(&keeper).next_attempt.unwrap() >= now + 5000);
    *fake.away.lock() = None;
    keeper.step(now + 6000).await.unwrap();
    assert_eq!(fake.orders(), 1);
}

#[tokio::test]
async fn other_names_have_a_certificate_of_their_own_and_the_old_one_goes() {
    let (house, fake) = (House::new(), Fake::new());
    house.keeper(&fake, &[&["a.test"]]).step(NOW).await.unwrap();
    house.write("mine", by_hand(&["mine.test"])).await;
    let keeper = house.keeper(&fake, &[&["a.test", "b.test"]]);
    keeper.step(NOW).await.unwrap();
    keeper.step(NOW + 1).await.unwrap();
    let both = format!("ssls/{}", wanted(DIRECTORY, &["a.test", "b.test"]).id);
    assert_eq!(house.keys().await, [both.clone(), "ssls/mine".to_owned()]);
    // A gateway that has not learned of it yet does not order the old one again.
    let old = house.keeper(&fake, &[&["a.test"]]);
    old.step(NOW + 2).await.unwrap();
    assert_eq!(only(&old).state, State::Valid);
    assert_eq!(fake.orders(), 2);
    // Nor does it delete the new one, which has a name that nothing else has.
    assert_eq!(house.keys().await, [both, "ssls/mine".to_owned()]);
}

#[tokio::test]
async fn another_authority_issues_anew() {
    let (house, fake) = (House::new(), Fake::new());
    house.keeper(&fake, &[&["a.test"]]).step(NOW).await.unwrap();
    let other = "https://other.test/dir";
    let keeper = house.keeper_of(other, &fake, &[&["a.test"]]);
    keeper.step(NOW).await.unwrap();
    keeper.step(NOW + 1).await.unwrap();
    assert_eq!(fake.orders(), 2);
    let [(key, document)] = house.ssls().await.try_into().unwrap();
    assert_eq!(key, format!("ssls/{}", wanted(other, &["a.test"]).id));
    assert_eq!(document["labels"]["acme-directory"], other);
}

#[tokio::test]
async fn the_account_is_kept_once_and_encrypted_where_it_lies() {
    let house = House::new();
    let sealer = || {
        let keyring = Keyring::new(["edd1c9f0985e76a2"]).ok();
        Sealer::new(&crossway_sdk::definition::Registry::default(), keyring)
    };
    let ledger = house.ledger(sealer());
    assert_eq!(ledger.keep_account(DIRECTORY, "hush", NOW).await, Ok(true));
    assert_eq!(ledger.keep_account(DIRECTORY, "late", NOW).await, Ok(false));
    let (credentials, seen) = ledger.account(DIRECTORY).await.unwrap().unwrap();
    assert_eq!(credentials, "hush");
    assert_eq!(ledger.account("https://other.test").await.unwrap(), None);
    let lies = ledger.store.list("").await.unwrap().entries;
    assert!(
        lies.iter()
            .all(|entry| !entry.value.windows(4).any(|w| w == b"hush"))
    );
    // Without the key nothing is taken for it, and no other account is made.
    let without = house.ledger(Sealer::default());
    assert!(matches!(
        without.account(DIRECTORY).await,
        Err(Trouble::Own(_))
    ));
    ledger.forget_account(DIRECTORY, seen).await.unwrap();
    assert_eq!(ledger.account(DIRECTORY).await.unwrap(), None);
    // Nothing of it is among the documents of the configuration.
    assert!(house.documents.load().await.unwrap().entries.is_empty());
}
