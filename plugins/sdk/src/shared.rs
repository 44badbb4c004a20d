//! State by identity: what must survive a changed configuration, reference-counted.

use crate::finish::Finishers;
use std::{
    any::{Any, TypeId},
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

/// A table of values by type and key. Only configuration changes look into it, never a request.
#[derive(Default)]
pub struct SharedStates {
    finishers: Finishers,
    by_key: Mutex<HashMap<(TypeId, String), Weak<dyn Any + Send + Sync>>>,
}

impl SharedStates {
    /// What is brought to an end before the process ends.
    pub fn finishers(&self) -> &Finishers {
        &self.finishers
    }

    /// The value under this type and key, made when nobody holds one.
    pub fn get<T: Send + Sync + 'static>(&self, key: &str, make: impl FnOnce() -> T) -> Arc<T> {
        let mut table = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = (TypeId::of::<T>(), key.to_owned());
        if let Some(held) = table
            .get(&slot)
            .and_then(Weak::upgrade)
            .and_then(|a| a.downcast::<T>().ok())
        {
            return held;
        }
        table.retain(|_, held| held.strong_count() > 0);
        let made = Arc::new(make());
        let erased: Arc<dyn Any + Send + Sync> = made.clone();
        table.insert(slot, Arc::downgrade(&erased));
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lives_as_long_as_somebody_holds_it() {
        let states = SharedStates::default();
        let a = states.get("k", || 1u32);
        assert!(Arc::ptr_eq(&a, &states.get("k", || 2u32)));
        assert_eq!(*states.get("other", || 3u32), 3);
        drop(a);
        assert_eq!(*states.get("k", || 4u32), 4);
    }
}
