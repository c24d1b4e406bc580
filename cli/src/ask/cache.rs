//! Reports on disk, each as long as its class lets it count.
//!
//! One file a report, compressed, named after the address in a folder named after the API's host, with the time at which
//! it was learned as its time of change. Whatever cannot be read counts as not there.

use super::client::Report;
use evaluator::Timestamp;
use gate::Ttl;
use std::fs::{self, FileTimes};
use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Reports that were learned before.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    ttl: Ttl,
}

impl Cache {
    /// The cache of this API in `parent`. What is older than any lifetime is deleted now, so that it does not grow
    /// beyond what was learned within one.
    pub(super) fn open(parent: &Path, host: &str, ttl: Ttl, now: Timestamp) -> Cache {
        let name: String = host.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' }).collect();
        let cache = Cache { folder: parent.join(name), ttl };
        let longest = [ttl.clean, ttl.suspicious, ttl.malicious].into_iter().max().unwrap_or_default();
        for file in fs::read_dir(&cache.folder).into_iter().flatten().flatten() {
            let learned = file.metadata().and_then(|metadata| metadata.modified()).map(timestamp);
            if learned.is_ok_and(|learned| Duration::from_secs(now.seconds_since(learned).into()) >= longest) {
                let _ = fs::remove_file(file.path());
            }
        }
        cache
    }

    /// The report about this address, if there is one that still counts.
    pub(super) fn get(&self, ip: IpAddr, now: Timestamp) -> Option<Report> {
        let path = self.path(ip);
        let learned = timestamp(fs::metadata(&path).ok()?.modified().ok()?);
        let body = zstd::decode_all(fs::File::open(&path).ok()?).ok()?;
        let class = evaluator::read_answer(200, &body, learned).ok()?.assessment.class();
        // A clock that was set back makes facts of the future; they count for nothing.
        let age = now.unix().checked_sub(learned.unix())?;
        if Duration::from_secs(age.into()) >= self.ttl.for_class(class) {
            return None;
        }
        let examination = evaluator::examine(200, &body, now).ok()?;
        let about = examination.reading.subject.is_none_or(|subject| subject == ip);
        about.then_some(Report { body, learned, examination })
    }

    /// Keeps a report. A disk that is full costs a credit later, but no verdict now.
    pub(super) fn put(&self, ip: IpAddr, report: &Report) {
        let _ = self.try_put(ip, report);
    }

    fn try_put(&self, ip: IpAddr, report: &Report) -> std::io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(&zstd::encode_all(&report.body[..], 3)?)?;
        let learned = UNIX_EPOCH + Duration::from_secs(report.learned.unix().into());
        file.as_file().set_times(FileTimes::new().set_modified(learned))?;
        file.persist(self.path(ip)).map(drop).map_err(|error| error.error)
    }

    fn path(&self, ip: IpAddr) -> PathBuf {
        self.folder.join(ip.to_string().replace(':', "_")).with_added_extension("json.zst")
    }
}

/// Where caches are: `$XDG_CACHE_HOME/portcullis`, else `~/.cache/portcullis`.
pub(super) fn usual_place() -> Option<PathBuf> {
    let given = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = given.or_else(|| std::env::home_dir().map(|home| home.join(".cache")))?;
    Some(cache.join("portcullis"))
}

fn timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEARNED: i64 = 1_790_000_000;
    const CLEAN: &str = r#"{"ip":"192.0.2.10","score":{"inbound":"Safe","outbound":"Safe"},"status":200}"#;
    const BAD: &str = r#"{"ip":"192.0.2.10","score":{"inbound":"Critical","outbound":"Safe"},"status":200}"#;

    fn hours(hours: u64) -> Duration {
        Duration::from_secs(hours * 3600)
    }

    fn open(parent: &Path, hour: i64) -> (Cache, Timestamp) {
        let ttl = Ttl { clean: hours(1), suspicious: hours(2), malicious: hours(3), error: hours(0) };
        let now = Timestamp::from_unix(LEARNED + hour * 3600);
        (Cache::open(parent, "api.example:8080", ttl, now), now)
    }

    fn report(body: &str) -> Report {
        let learned = Timestamp::from_unix(LEARNED);
        let examination = evaluator::examine(200, body.as_bytes(), learned).unwrap();
        Report { body: body.into(), learned, examination }
    }

    #[test]
    fn a_report_counts_as_long_as_its_class_lets_it() {
        let ip: IpAddr = "192.0.2.10".parse().unwrap();
        for (body, lives) in [(CLEAN, 1), (BAD, 3)] {
            let parent = tempfile::tempdir().unwrap();
            let (cache, _) = open(parent.path(), 0);
            cache.put(ip, &report(body));
            for hour in -1..4 {
                let (_, now) = open(parent.path(), 0);
                let at = Timestamp::from_unix(i64::from(now.unix()) + hour * 3600);
                assert_eq!(cache.get(ip, at).is_some(), (0..lives).contains(&hour), "{body} after {hour} h");
            }
            assert!(cache.get("192.0.2.11".parse().unwrap(), Timestamp::from_unix(LEARNED)).is_none());
        }
    }

    #[test]
    fn what_no_lifetime_reaches_is_deleted_and_what_is_broken_counts_as_not_there() {
        let parent = tempfile::tempdir().unwrap();
        let ip: IpAddr = "2001:db8::1".parse().unwrap();
        let (cache, now) = open(parent.path(), 0);
        cache.put(ip, &report(CLEAN));
        assert!(cache.path(ip).exists());
        // The report names another address.
        assert!(cache.get(ip, now).is_none());
        fs::write(cache.path(ip), b"torn").unwrap();
        assert!(cache.get(ip, now).is_none());
        cache.put(ip, &report(CLEAN));
        open(parent.path(), 3);
        assert!(!cache.path(ip).exists());
    }
}
