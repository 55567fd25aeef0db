//! Idempotency keys: the first answer under a key is returned for all repeats of its request.

use std::sync::Arc;

use super::guards;
use crate::domain::machine::envelope::IdempotencyKey;
use crate::domain::machine::limits::KEYS_MAX;
use crate::domain::machine::response::{Refusal, Response};
use crate::domain::machine::state::State;
use crate::domain::machine::task::editor::EntryContext;
use crate::domain::machine::task::record::KeyRecord;
use crate::domain::time::Timestamp;

impl State {
    /// The record of a key. None: the key is free, which includes keys older than
    /// [`KEY_AGE`](crate::domain::machine::limits::KEY_AGE).
    ///
    /// # Errors
    /// [`Refusal::KeyReused`] if the key was used for another request.
    pub fn first(&self, key: IdempotencyKey<'_>) -> Result<Option<&KeyRecord>, Refusal> {
        let stands = |known: &&Arc<KeyRecord>| guards::key_stands(known, self.cluster.stamp);
        match self.registers.keys.get(key.text).filter(stands) {
            Some(known) if known.request != key.request => Err(Refusal::KeyReused),
            known => Ok(known.map(|known| &**known)),
        }
    }

    /// The keys that begin with `prefix`, each with the part after it, in order.
    pub fn keys_under<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a KeyRecord)> {
        let from = self.registers.keys.range(Arc::<str>::from(prefix)..);
        from.map_while(move |(key, known)| Some((key.strip_prefix(prefix)?, &**known)))
    }

    /// Records an answer under a key, and removes keys that are too old or exceed the limit.
    pub(in crate::domain::machine) fn remember(
        &mut self,
        cx: &EntryContext<'_>,
        key: IdempotencyKey<'_>,
        number: u64,
        response: &Response,
    ) {
        let (at, request, response) = (cx.stamp, key.request, response.clone());
        let key: Arc<str> = key.text.into();
        self.key_order.insert(number, Arc::clone(&key));
        self.registers.keys.set(key, KeyRecord { number, at, request, response });
        self.forget_old_keys(cx.stamp);
    }

    fn forget_old_keys(&mut self, stamp: Timestamp) {
        while let Some((_, key)) = self.key_order.get_min() {
            let young = |kept: &Arc<KeyRecord>| !kept.older(stamp);
            let keys = &self.registers.keys;
            if keys.len() <= KEYS_MAX && keys.get(key).is_some_and(young) {
                return;
            }
            let key = Arc::clone(key);
            self.forget_key(&key);
        }
    }

    /// Removes a key, if it exists.
    pub(in crate::domain::machine) fn forget_key(&mut self, key: &Arc<str>) {
        if let Some(kept) = self.registers.keys.remove(key) {
            self.key_order.remove(&kept.number);
        }
    }
}
