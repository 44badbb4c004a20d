//! `first_available`: every request goes to the first node that works, in the order of the configuration. The nodes
//! behind it stand by.

use crossway_sdk::balance::{Balance, BalanceNode, Pick};

struct FirstAvailable {
    /// Indexes of nodes, the preferred one first.
    order: Vec<usize>,
}

/// Nodes of weight 0 come last: they ask for no requests as long as another node takes them.
pub(crate) fn first_available(nodes: &[BalanceNode]) -> Box<dyn Balance> {
    let (serving, spare): (Vec<_>, Vec<_>) = nodes
        .iter()
        .enumerate()
        .partition(|(_, node)| node.weight > 0);
    let order = serving
        .into_iter()
        .chain(spare)
        .map(|(index, _)| index)
        .collect();
    Box::new(FirstAvailable { order })
}

impl Balance for FirstAvailable {
    fn pick(&self, pick: &Pick<'_>) -> Option<usize> {
        self.order
            .iter()
            .copied()
            .find(|&node| pick.is_usable(node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(weights: &[u32], healthy: &[usize], tried: &[usize]) -> Option<usize> {
        let nodes: Vec<_> = weights.iter().map(|&weight| ("node", 80, weight)).collect();
        let (healthy, tried) = (|n| healthy.contains(&n), |n| tried.contains(&n));
        first_available(&BalanceNode::list(&nodes)).pick(&Pick::new(0, &healthy, &tried))
    }

    #[test]
    fn the_first_node_gets_every_request() {
        assert_eq!(picked(&[1, 1, 9], &[0, 1, 2], &[]), Some(0));
    }

    #[test]
    fn the_next_one_takes_over_when_it_is_unhealthy_or_was_tried() {
        assert_eq!(picked(&[1, 1, 1], &[1, 2], &[]), Some(1));
        assert_eq!(picked(&[1, 1, 1], &[1, 2], &[1]), Some(2));
        assert_eq!(picked(&[1, 1, 1], &[1, 2], &[1, 2]), None);
    }

    #[test]
    fn a_node_of_weight_0_is_the_last_resort() {
        assert_eq!(picked(&[0, 1, 1], &[0, 1, 2], &[]), Some(1));
        assert_eq!(picked(&[0, 1, 1], &[0], &[]), Some(0));
    }
}
