//! Where plugin instances keep what they remember of one request or session.

use std::any::Any;

/// Where a plugin instance keeps its state for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Slot {
    /// Which chain it stands in.
    pub chain: ChainOf,
    /// Its position there.
    pub index: u16,
    /// 0, or the number of a plugin that runs inside of that instance.
    pub part: u16,
}

/// The chains that take part in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChainOf {
    /// That of the route, with its service, plugin config and consumer.
    #[default]
    Route,
    /// That of the global rules.
    Global,
}

type State = Option<Box<dyn Any + Send + Sync>>;

/// The states of all plugin instances of a request; empty until one is used.
#[derive(Default)]
pub struct Slots {
    route: Vec<State>,
    global: Vec<State>,
    /// Of plugins inside of others: a few, in the order of first use.
    nested: Vec<(Slot, State)>,
}

impl Slots {
    fn of(&mut self, slot: Slot) -> &mut State {
        if slot.part != 0 {
            return self.of_nested(slot);
        }
        let states = match slot.chain {
            ChainOf::Route => &mut self.route,
            ChainOf::Global => &mut self.global,
        };
        let index = usize::from(slot.index);
        if states.len() <= index {
            states.resize_with(index + 1, || None);
        }
        match states.get_mut(index) {
            Some(state) => state,
            None => unreachable!("resized above"),
        }
    }

    fn of_nested(&mut self, slot: Slot) -> &mut State {
        let held = self.nested.iter().position(|(of, _)| *of == slot);
        let index = held.unwrap_or_else(|| {
            self.nested.push((slot, None));
            self.nested.len() - 1
        });
        match self.nested.get_mut(index) {
            Some((_, state)) => state,
            None => unreachable!("found or pushed above"),
        }
    }

    /// The state in a slot; made when there is none of this type.
    pub fn state<T: Default + Send + Sync + 'static>(&mut self, slot: Slot) -> &mut T {
        let state = self.of(slot);
        if !state.as_ref().is_some_and(|s| s.is::<T>()) {
            *state = Some(Box::<T>::default());
        }
        match state.as_mut().and_then(|s| s.downcast_mut()) {
            Some(state) => state,
            None => unreachable!("of this type since the line above"),
        }
    }

    /// The state in a slot, if there is one of this type.
    pub fn existing<T: 'static>(&self, slot: Slot) -> Option<&T> {
        if slot.part != 0 {
            let held = self.nested.iter().find(|(of, _)| *of == slot);
            return held?.1.as_ref()?.downcast_ref();
        }
        let states = match slot.chain {
            ChainOf::Route => &self.route,
            ChainOf::Global => &self.global,
        };
        states
            .get(usize::from(slot.index))?
            .as_ref()?
            .downcast_ref()
    }
}
