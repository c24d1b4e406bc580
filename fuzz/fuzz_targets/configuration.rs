//! Any bytes as the filter's configuration.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|document: &[u8]| match gate::Config::parse(document) {
    Ok(config) => assert!(!config.api.timeout.is_zero(), "the proxy takes zero for no time-out"),
    Err(mistakes) => {
        assert!(!mistakes.is_empty());
        assert!(mistakes.iter().all(|mistake| !mistake.to_string().contains('\n')), "each is one line of the log");
    }
});
