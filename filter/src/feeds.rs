//! Feeds: the root's callouts for them, and what comes back.

use crate::callout::{self, Broken};
use crate::host::{self, Buffer, Headers};
use crate::worker::Worker;
use alloc::vec::Vec;
use core::time::Duration;
use gate::{Effects, FEED_MAX_BODY, Feed, FeedError, FeedFormat, Fetch, FetchId, Page, Proxy, RootId, Sorted};

/// How long a feed may take to come.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The fetches of one root, by the proxy's callout tokens.
#[derive(Default)]
pub(crate) struct Fetches(Sorted<u32, FetchId>);

impl Fetches {
    /// The fetch whose answer this is.
    pub(crate) fn answered(&mut self, token: u32) -> Option<FetchId> {
        self.0.remove(&token)
    }

    /// Does what is to be done about feeds on a tick of this root.
    pub(crate) fn tend(&mut self, root: RootId, worker: &mut Worker, proxy: Proxy<'_>, effects: &mut Effects) {
        if let Some(fetch) = worker.gate.tend_feeds(root, proxy, effects) {
            match send(&fetch) {
                Some(token) => {
                    self.0.insert(token, fetch.id);
                }
                None => worker.gate.fetched(fetch.id, Err(FeedError::NotSent), proxy, effects),
            }
        }
    }
}

fn send(fetch: &Fetch) -> Option<u32> {
    let Feed { cluster, authority, path, format, .. } = &*fetch.feed;
    let accept = match format {
        FeedFormat::Stix => "application/taxii+json;version=2.1, application/stix+json;version=2.1, application/json",
        FeedFormat::Csv { .. } => "text/csv, text/plain, */*;q=0.1",
        FeedFormat::Plain => "text/plain, */*;q=0.1",
    };
    let mut headers = vec![(":method", "GET"), (":path", path), (":authority", authority), ("accept", accept)];
    if let Some(etag) = &fetch.etag {
        headers.push(("if-none-match", etag));
    }
    callout::send(cluster, headers, None, TIMEOUT)
}

/// Reads the answer to a fetch.
pub(crate) fn read(headers: usize, body_size: usize) -> Result<Page, FeedError> {
    let status = callout::status(headers).map_err(|broken| match broken {
        Broken::Reset => FeedError::Reset,
        Broken::TimedOut => FeedError::TimedOut,
        Broken::Connection => FeedError::Connection,
    })?;
    match status {
        304 => Ok(Page::NotModified),
        200 if body_size > FEED_MAX_BODY => Err(FeedError::TooLarge),
        200 => {
            let etag = host::header(Headers::CalloutResponse, "etag");
            let bytes = match body_size {
                0 => Vec::new(),
                size => host::buffer(Buffer::CalloutResponseBody, size).map_err(|_| FeedError::Reset)?,
            };
            Ok(Page::Body { bytes, etag })
        }
        _ => Err(FeedError::Status),
    }
}
