use super::{Balancers, chash::Chash, least_conn::LeastConn, round_robin::RoundRobin};
use crossway_sdk::balance::{Balance, BalanceNode, Outcome, Pick};
use pingora_ketama::{Bucket, Continuum};
use proptest::prelude::*;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

fn weighted(weights: &[u32]) -> Vec<BalanceNode> {
    let nodes: Vec<_> = weights
        .iter()
        .enumerate()
        .map(|(n, &w)| (format!("node-{n}.test"), w))
        .collect();
    BalanceNode::list(
        &nodes
            .iter()
            .map(|(host, w)| (host.as_str(), 80, *w))
            .collect::<Vec<_>>(),
    )
}

fn make(name: &str, nodes: &[BalanceNode]) -> Box<dyn Balance> {
    Balancers::builtin().get(name).unwrap()(nodes)
}

fn pick_of(balance: &dyn Balance, key: u64, usable: &[usize]) -> Option<usize> {
    balance.pick(&Pick::new(key, &|node| usable.contains(&node), &|_| false))
}

/// How often each node is picked.
fn counts(balance: &dyn Balance, picks: usize, nodes: usize, usable: &[usize]) -> Vec<u32> {
    let mut counts = vec![0; nodes];
    for _ in 0..picks {
        counts[pick_of(balance, 0, usable).unwrap()] += 1;
    }
    counts
}

fn all(nodes: usize) -> Vec<usize> {
    (0..nodes).collect()
}

#[test]
fn an_unknown_balancer_is_refused_with_the_names_of_the_known() {
    let balancers = Balancers::builtin().with("mine", |nodes| Box::new(LeastConn::new(nodes)));
    let error = balancers.get("round-robin").err().unwrap();
    assert_eq!(
        error.to_string(),
        "there is no balancer `round-robin`; known are chash, ewma, least_conn, mine, roundrobin"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn round_robin_is_exact_over_a_cycle(weights in prop::collection::vec(0u32..40, 1..9)) {
        let nodes = weighted(&weights);
        let balance = RoundRobin::new(&nodes);
        let reduced = super::reduced_weights(&nodes);
        let cycle: u32 = reduced.iter().sum();
        let got = counts(&balance, cycle as usize, weights.len(), &all(weights.len()));
        prop_assert_eq!(got.as_slice(), &*reduced);
    }

    #[test]
    fn long_cycles_are_exact_and_even(weights in prop::collection::vec(1u32..4000, 3..6)) {
        let weights: Vec<u32> = weights.into_iter().chain([4001]).collect();
        let nodes = weighted(&weights);
        let balance = RoundRobin::new(&nodes);
        let reduced = super::reduced_weights(&nodes);
        let cycle: u32 = reduced.iter().sum();
        let mut got = vec![0u32; weights.len()];
        for turn in 1..=cycle {
            got[pick_of(&balance, 0, &all(weights.len())).unwrap()] += 1;
            for (&got, &weight) in got.iter().zip(&reduced) {
                let due = f64::from(turn) * f64::from(weight) / f64::from(cycle);
                prop_assert!((f64::from(got) - due).abs() < 12.0, "{got} of {due} after {turn}");
            }
        }
        prop_assert_eq!(got.as_slice(), &*reduced);
    }

    #[test]
    fn round_robin_shares_by_weight_what_is_left(
        weights in prop::collection::vec(1u32..100, 2..8),
        out in prop::collection::vec(any::<bool>(), 8),
    ) {
        let usable: Vec<usize> = (0..weights.len()).filter(|&n| n == 0 || out[n]).collect();
        let balance = RoundRobin::new(&weighted(&weights));
        let total: u32 = usable.iter().map(|&node| weights[node]).sum();
        let picks = 4000;
        let got = counts(&balance, picks, weights.len(), &usable);
        for node in all(weights.len()) {
            let share = if usable.contains(&node) { weights[node] } else { 0 };
            let due = f64::from(share) * picks as f64 / f64::from(total);
            prop_assert!((f64::from(got[node]) - due).abs() <= due * 0.1 + 12.0, "{got:?} of {weights:?}, {usable:?}");
        }
    }

    #[test]
    fn no_balancer_picks_what_is_out_of_use(
        weights in prop::collection::vec(0u32..5, 1..6),
        healthy in prop::collection::vec(any::<bool>(), 6),
        tried in prop::collection::vec(any::<bool>(), 6),
        key in any::<u32>(),
    ) {
        let nodes = weighted(&weights);
        let is_healthy = |node: usize| healthy[node];
        let is_tried = |node: usize| tried[node];
        let pick = Pick::new(key.into(), &is_healthy, &is_tried);
        let usable: Vec<usize> = (0..weights.len()).filter(|&n| pick.is_usable(n)).collect();
        // A node without weight serves when no healthy node has any.
        let weighty = (0..weights.len()).any(|n| is_healthy(n) && weights[n] > 0);
        let expected: Vec<usize> =
            usable.iter().copied().filter(|&n| !weighty || weights[n] > 0).collect();
        let zero = weights.iter().all(|&weight| weight == 0);
        for name in ["roundrobin", "chash", "least_conn"] {
            let expected = if zero { &usable } else { &expected };
            match make(name, &nodes).pick(&pick) {
                Some(node) => prop_assert!(expected.contains(&node), "{name} picked {node}"),
                None => prop_assert!(expected.is_empty(), "{name} picked none of {expected:?}"),
            }
        }
        match make("ewma", &nodes).pick(&pick) {
            Some(node) => prop_assert!(usable.contains(&node)),
            None => prop_assert!(usable.is_empty()),
        }
    }

    #[test]
    fn the_ring_is_that_of_nginx(
        nodes in prop::collection::btree_map(any::<([u8; 4], u16)>(), 1u32..4, 1..6),
        keys in prop::collection::vec("[a-z0-9/.]{0,12}", 32),
    ) {
        let addresses: Vec<SocketAddr> = nodes.keys().map(|&(ip, port)| (ip, port).into()).collect();
        let nodes: Vec<(String, u16, u32)> =
            nodes.iter().zip(&addresses).map(|((key, &w), a)| (a.ip().to_string(), key.1, w)).collect();
        let list: Vec<_> = nodes.iter().map(|(host, port, w)| (host.as_str(), *port, *w)).collect();
        let list = BalanceNode::list(&list);
        let reduced = super::reduced_weights(&list);
        let buckets: Vec<_> =
            addresses.iter().zip(&reduced).map(|(a, &w)| Bucket::new(*a, w)).collect();
        let ketama = Continuum::new(&buckets);
        let balance = Chash::new(&list);
        for key in keys {
            let node = pick_of(&balance, crc32fast::hash(key.as_bytes()).into(), &all(list.len()));
            prop_assert_eq!(addresses[node.unwrap()], ketama.node(key.as_bytes()).unwrap());
            // Walking on meets the same nodes in the same order.
            let mut walk = ketama.node_iter(key.as_bytes()).take(160 * 40);
            let second = walk.find(|a| **a != addresses[node.unwrap()]);
            let others: Vec<usize> = all(list.len()).into_iter().filter(|&n| Some(n) != node).collect();
            let walked = pick_of(&balance, crc32fast::hash(key.as_bytes()).into(), &others);
            prop_assert_eq!(walked.map(|n| &addresses[n]), second);
        }
    }
}

#[test]
fn round_robin_is_smooth() {
    let balance = RoundRobin::new(&weighted(&[5, 1, 1]));
    let order: String = (0..14)
        .map(|_| ["a", "b", "c"][pick_of(&balance, 0, &[0, 1, 2]).unwrap()])
        .collect();
    assert!("aabacaaaabacaaaabacaa".contains(&order), "{order}");
}

#[test]
fn round_robin_is_exact_when_many_pick_at_once() {
    let balance = RoundRobin::new(&weighted(&[5, 3, 2]));
    let picks = || counts(&balance, 1000, 3, &all(3));
    let total = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(picks)).collect();
        threads.into_iter().fold([0; 3], |sum, thread| {
            let got = thread.join().unwrap();
            [0, 1, 2].map(|node| sum[node] + got[node])
        })
    });
    assert_eq!(total, [2000, 1200, 800]);
}

#[test]
fn round_robin_starts_anywhere() {
    let nodes = weighted(&[1; 16]);
    let first = || pick_of(&RoundRobin::new(&nodes), 0, &all(16)).unwrap();
    let one = first();
    assert!((0..200).any(|_| first() != one));
}

#[test]
fn half_of_the_nodes_share_evenly() {
    let balance = RoundRobin::new(&weighted(&[1; 100]));
    let usable: Vec<usize> = (50..100).collect();
    let got = counts(&balance, 50_000, 100, &usable);
    assert!(
        usable.iter().all(|&node| (950..1050).contains(&got[node])),
        "{got:?}"
    );
}

#[test]
fn a_node_that_leaves_the_ring_takes_only_its_own_keys() {
    let nodes = weighted(&[1; 10]);
    let (before, after) = (Chash::new(&nodes), Chash::new(&nodes[..9]));
    let mut moved = 0;
    for key in 0..20_000u32 {
        let key = u64::from(crc32fast::hash(&key.to_le_bytes()));
        let was = pick_of(&before, key, &all(10)).unwrap();
        let is = pick_of(&after, key, &all(9)).unwrap();
        if was == 9 {
            moved += 1;
            // Out of use is the same as gone.
            assert_eq!(pick_of(&before, key, &all(9)), Some(is));
        } else {
            assert_eq!(was, is);
        }
    }
    assert!((1400..2600).contains(&moved), "{moved} of 20000");
}

#[test]
fn a_ring_stays_within_bounds() {
    let nodes = weighted(&[1_000_000, 999_999, 1]);
    let balance = Chash::new(&nodes);
    let hit = |node| {
        (0..1000u32).any(|key| pick_of(&balance, u64::from(key) << 22, &all(3)) == Some(node))
    };
    assert!(hit(0) && hit(1));
    assert_eq!(pick_of(&balance, 7, &[2]), Some(2));
}

#[test]
fn least_conn_fills_by_weight() {
    let nodes = weighted(&[1, 3, 0]);
    let balance = LeastConn::new(&nodes);
    for _ in 0..400 {
        let node = pick_of(&balance, 0, &all(3)).unwrap();
        nodes[node].load.begin();
    }
    assert_eq!(
        nodes
            .iter()
            .map(|node| node.load.inflight())
            .collect::<Vec<_>>(),
        [100, 300, 0]
    );
    nodes[0].load.end();
    assert_eq!(pick_of(&balance, 0, &all(3)), Some(0));
}

#[test]
fn least_conn_takes_turns_among_equals() {
    let balance = LeastConn::new(&weighted(&[1, 1, 1]));
    let got = counts(&balance, 300, 3, &all(3));
    assert_eq!(got, [100, 100, 100]);
}

#[test]
fn ewma_prefers_the_quick_and_forgives_the_slow() {
    let nodes = weighted(&[0, 1]);
    let balance = make("ewma", &nodes);
    let took = |millis| Outcome {
        connect: Some(Duration::ZERO),
        response: Some(Duration::from_millis(millis)),
        failed: false,
    };
    balance.finished(0, &took(10));
    balance.finished(1, &took(1000));
    assert_eq!(counts(&*balance, 50, 2, &[0, 1]), [50, 0]);
    let now = Instant::now();
    let soon = nodes[1].load.latency(now).unwrap();
    let later = nodes[1]
        .load
        .latency(now + Duration::from_secs(30))
        .unwrap();
    assert!(later < soon / 10);
    // 200 requests under way outweigh a latency that is 100 times less.
    (0..200).for_each(|_| nodes[0].load.begin());
    assert_eq!(counts(&*balance, 50, 2, &[0, 1]), [0, 50]);
    // A failure is no latency.
    balance.finished(
        0,
        &Outcome {
            failed: true,
            ..took(5000)
        },
    );
    assert!(nodes[0].load.latency(Instant::now()).unwrap() < Duration::from_millis(11));
}
