//! Facts about addresses: from the cache on this machine, else from Criminal IP, within a credit limit.

mod cache;
mod client;
mod key;

pub(crate) use client::{BaseUrl, Refusal, Report};

use crate::exit::{Exit, Failure};
use cache::Cache;
use client::Client;
use evaluator::{AnswerError, Timestamp};
use gate::{LookupError, Ttl};
use ipnet::IpNet;
use key::ApiKey;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How Criminal IP is asked.
#[derive(clap::Args)]
#[command(next_help_heading = "Asking Criminal IP")]
#[group(skip)]
pub(crate) struct Args {
    /// A JSON file with the API key, {"api_key": "..."}; without it the key is in CRIMINALIP_API_KEY
    #[arg(long, value_name = "FILE")]
    keyfile: Option<PathBuf>,
    /// Where to ask: Criminal IP, or a gateway that speaks the same API
    #[arg(
        long,
        value_name = "URL",
        env = "CRIMINALIP_API_URL",
        hide_env_values = true,
        default_value = "https://api.criminalip.io"
    )]
    #[arg(value_parser = BaseUrl::parse)]
    api: BaseUrl,
    /// How long one answer may take
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = crate::check::parse_duration)]
    timeout: Duration,
    /// Where reports are kept for as long as their class lets them count [default: portcullis in the user's cache folder]
    #[arg(long, value_name = "FOLDER")]
    cache: Option<PathBuf>,
    /// Neither read nor keep reports on this machine
    #[arg(long, conflicts_with = "cache")]
    no_cache: bool,
    /// Ask about addresses in this network although it is not public; may be repeated
    #[arg(long, value_name = "NETWORK", value_parser = crate::check::parse_network)]
    pub(crate) treat_as_public: Vec<IpNet>,
}

/// Whoever wants facts asks here. Threads share it.
pub(crate) struct Desk {
    /// `None` where only facts at hand count.
    client: Option<Client>,
    cache: Option<Cache>,
    /// Calls that may still be made.
    credits: AtomicU32,
    spent: AtomicU32,
    /// Why nobody asks any more.
    halted: Mutex<Option<LookupError>>,
    /// Failures one after the other.
    failures: AtomicU32,
}

/// Facts, and whether they cost a call.
pub(crate) struct Facts {
    pub(crate) report: Report,
    pub(crate) from: Origin,
}

/// Where facts are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// From a saved report.
    File,
    /// From the cache on this machine.
    Cache,
    /// From a call.
    Api,
}

impl Origin {
    /// `file`, `cache` or `api`.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Origin::File => "file",
            Origin::Cache => "cache",
            Origin::Api => "api",
        }
    }
}

/// Why there are no facts.
#[derive(Debug)]
pub(crate) enum NoFacts {
    /// A call was made and failed.
    Refused(Refusal),
    /// No call was made: an earlier failure would repeat itself.
    Halted(LookupError),
    /// No call was made: the credit limit is reached.
    CreditLimit,
    /// No call was to be made.
    Offline,
}

impl NoFacts {
    /// The stable code.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            NoFacts::Refused(refusal) => refusal.error.code(),
            NoFacts::Halted(_) => "not_asked",
            NoFacts::CreditLimit => "credit_limit",
            NoFacts::Offline => "offline",
        }
    }

    /// The exit code that goes with it.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            NoFacts::Refused(refusal) => Exit::Lookup(refusal.error),
            NoFacts::Halted(error) => Exit::Lookup(*error),
            NoFacts::CreditLimit => Exit::CreditLimit,
            NoFacts::Offline => Exit::Done,
        }
    }
}

impl fmt::Display for NoFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoFacts::Refused(refusal) => refusal.fmt(f),
            NoFacts::Halted(error) => write!(f, "not asked after: {}", crate::exit::describe(*error)),
            NoFacts::CreditLimit => f.write_str("not asked: the credit limit is reached"),
            NoFacts::Offline => f.write_str("no facts at hand"),
        }
    }
}

/// Failures in a row after which nobody asks any more.
const ENOUGH: u32 = 5;

/// The longest wait that `Retry-After` can ask for; beyond it the call has failed.
const PATIENCE: Duration = Duration::from_secs(60);

impl Desk {
    /// A desk that makes `credits` calls at most.
    ///
    /// # Errors
    /// [`Exit::NoKey`] where there is no key.
    pub(crate) fn new(args: &Args, ttl: Ttl, credits: u32, now: Timestamp) -> Result<Desk, Failure> {
        let key = ApiKey::find(args.keyfile.as_deref())?;
        if args.api.shows_the_key() {
            crate::term::say!(
                "portcullis: warning: {} is not encrypted: the key can be read on the way",
                args.api.host()
            );
        }
        let client = Client::new(args.api.clone(), key, args.timeout);
        Ok(Desk { client: Some(client), ..Desk::offline(args, ttl, credits, now) })
    }

    /// A desk that knows what is at hand only.
    pub(crate) fn offline(args: &Args, ttl: Ttl, credits: u32, now: Timestamp) -> Desk {
        let place = args.cache.clone().or_else(cache::usual_place).filter(|_| !args.no_cache);
        Desk {
            client: None,
            cache: place.map(|place| Cache::open(&place, args.api.host(), ttl, now)),
            credits: AtomicU32::new(credits),
            spent: AtomicU32::new(0),
            halted: Mutex::new(None),
            failures: AtomicU32::new(0),
        }
    }

    /// Facts about a public address.
    ///
    /// # Errors
    /// Why there are none; none of them says anything about the address.
    pub(crate) fn look_up(&self, ip: IpAddr, now: Timestamp) -> Result<Facts, NoFacts> {
        if let Some(report) = self.cache.as_ref().and_then(|cache| cache.get(ip, now)) {
            return Ok(Facts { report, from: Origin::Cache });
        }
        let client = self.client.as_ref().ok_or(NoFacts::Offline)?;
        if let Some(error) = *self.halted() {
            return Err(NoFacts::Halted(error));
        }
        let one_less = |left: u32| left.checked_sub(1);
        if self.credits.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_err() {
            return Err(NoFacts::CreditLimit);
        }
        match self.ask_patiently(client, ip, now) {
            Ok(report) => {
                self.spent.fetch_add(1, Ordering::Relaxed);
                self.failures.store(0, Ordering::Relaxed);
                if let Some(cache) = &self.cache {
                    cache.put(ip, &report);
                }
                Ok(Facts { report, from: Origin::Api })
            }
            Err(refusal) => {
                if costs_nothing(refusal.error) {
                    self.credits.fetch_add(1, Ordering::Relaxed);
                } else {
                    self.spent.fetch_add(1, Ordering::Relaxed);
                }
                self.note(refusal.error);
                Err(NoFacts::Refused(refusal))
            }
        }
    }

    /// Calls that were made and may have cost a credit.
    pub(crate) fn spent(&self) -> u32 {
        self.spent.load(Ordering::Relaxed)
    }

    /// Asks again where Criminal IP only wants a little patience.
    fn ask_patiently(&self, client: &Client, ip: IpAddr, now: Timestamp) -> Result<Report, Refusal> {
        let mut pause = Duration::from_millis(250);
        for _ in 0..5 {
            match client.ask(ip, now) {
                Err(refusal) if refusal.error == LookupError::Answer(AnswerError::ConcurrencyRefused) => {
                    std::thread::sleep(pause);
                    pause *= 2;
                }
                Err(Refusal { retry_after: Some(wait), .. }) if wait <= PATIENCE => std::thread::sleep(wait),
                result => return result,
            }
        }
        client.ask(ip, now)
    }

    /// Stops all asking where the next call would fail as well.
    fn note(&self, error: LookupError) {
        let all_alike = matches!(
            error,
            LookupError::Answer(AnswerError::NoCredit | AnswerError::BadKey | AnswerError::RateLimited)
        );
        let about_the_address =
            matches!(error, LookupError::Answer(AnswerError::InvalidAddress) | LookupError::TooLarge);
        if about_the_address {
            return;
        }
        if all_alike || self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= ENOUGH {
            *self.halted() = Some(error);
        }
    }

    fn halted(&self) -> std::sync::MutexGuard<'_, Option<LookupError>> {
        self.halted.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Whether a failed call was surely not paid for: it never arrived, or was turned away at the door.
fn costs_nothing(error: LookupError) -> bool {
    use AnswerError::{BadKey, ConcurrencyRefused, InvalidAddress, NoCredit, RateLimited};
    match error {
        LookupError::Answer(error) => {
            matches!(error, BadKey | ConcurrencyRefused | InvalidAddress | NoCredit | RateLimited)
        }
        LookupError::Connection | LookupError::NotSent => true,
        LookupError::OtherAddress | LookupError::TimedOut | LookupError::Reset | LookupError::TooLarge => false,
    }
}
