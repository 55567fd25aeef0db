//! Follows the members for those parts that must know where the cluster listens.

use std::convert::Infallible;
use std::net::SocketAddr;

use tokio::sync::watch;

use crate::config::{Config, ExecutorSettings};

/// The settings for executors, with the URL under which they reach this node where the settings do
/// not tell its port.
pub(super) fn executors(config: &Config, http: Option<SocketAddr>) -> ExecutorSettings {
    let mut settings = config.executors.clone();
    if settings.callback_base.is_none() && config.http.listen.port() == 0 {
        settings.callback_base = http.map(|addr| format!("http://{addr}"));
    }
    settings
}

/// Hands a list on, and each that takes its place.
pub(super) async fn hand_on<T>(
    mut lists: watch::Receiver<T>,
    mut take: impl FnMut(&T),
) -> Infallible {
    loop {
        take(&lists.borrow_and_update());
        if lists.changed().await.is_err() {
            // No more changes come from a consensus that has ended, which others notice.
            return std::future::pending().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_list_is_handed_on_and_the_last_one_stays() {
        let (lists, listed) = watch::channel(1);
        let (taken, mut seen) = watch::channel(0);
        let handing = tokio::spawn(hand_on(listed, move |list| {
            taken.send_replace(*list);
        }));
        seen.wait_for(|list| *list == 1).await.unwrap();
        lists.send_replace(2);
        seen.wait_for(|list| *list == 2).await.unwrap();
        drop(lists);
        tokio::task::yield_now().await;
        assert!(!handing.is_finished());
        handing.abort();
    }
}
