//! The examples and tables at the end of `--help`.

/// For the command as a whole.
pub(crate) const MAIN: &str = "\
Examples:
  portcullis check --ip 203.0.113.10 --port 22
  portcullis backtrack --log conn.log --format zeek --at 2026-03-30T09:00:00Z --source 10.1.2.3
  portcullis replay --log access.json --format envoy-json --config portcullis.json
  portcullis lint envoy.yaml

The key is in CRIMINALIP_API_KEY, or in a file that --keyfile names.
`portcullis help COMMAND` has more examples and the exit codes.";

/// For `check`.
pub(crate) const CHECK: &str = "\
Examples:
  portcullis check --ip 203.0.113.10
      Ask Criminal IP, and say what the published pipeline would
  portcullis check --ip 203.0.113.10 --port 2022 --product OpenSSH --profile egress --json
      One object for a program
  portcullis check --ip 203.0.113.10 --report saved.json
      Judge a saved report; no call is made
  portcullis check --batch hosts.csv --column address --credits 50 --resume done.jsonl
      Many addresses, for 50 credits at most; the same line again goes on where this one ended
";

/// For `backtrack`.
pub(crate) const BACKTRACK: &str = "\
Examples:
  portcullis backtrack --log conn.log --format zeek --at 2026-03-30T09:00:00Z --source 10.1.2.3
      Whom 10.1.2.3 talked to in the five minutes before the alert
  portcullis backtrack --log traffic.log.gz --format fortinet --at 2026-03-30T09:00:00Z --window 15m \\
      --export nftables=block.nft --export stix=alert.json
      Block what is found, and tell others
  zcat access.json.gz | portcullis backtrack --log - --format envoy-json --at 2026-03-30T09:00:00Z \\
      --profile ingress --credits 20
      Clients instead of destinations, for 20 credits at most
";

/// For `replay`.
pub(crate) const REPLAY: &str = "\
Examples:
  portcullis replay --log access.json --format envoy-json --config portcullis.json --credits 500
      What the configuration would have done
  portcullis replay --log access.json.gz --format envoy-json --config envoy.yaml --against stricter.json --offline
      Two configurations side by side, by what is in the cache only
";

/// For `lint`.
pub(crate) const LINT: &str = "\
Examples:
  portcullis lint portcullis.json
  portcullis lint envoy.yaml wasmplugin.yaml
  kubectl get wasmplugin -A -o yaml | portcullis lint -
";

/// For `explain`.
pub(crate) const EXPLAIN: &str = "\
Examples:
  portcullis explain portcullis.json
  kubectl get wasmplugin portcullis -o yaml | portcullis explain -
";

/// For `schema`.
pub(crate) const SCHEMA: &str = "\
Examples:
  portcullis schema > portcullis.schema.json
";

/// For `completions`.
pub(crate) const COMPLETIONS: &str = "\
Examples:
  portcullis completions bash > /etc/bash_completion.d/portcullis
  portcullis completions zsh > \"${fpath[1]}/_portcullis\"
";

/// For `man`.
pub(crate) const MAN: &str = "\
Examples:
  portcullis man | man -l -
  portcullis man backtrack > /usr/local/share/man/man1/portcullis-backtrack.1
";

/// The examples of a command, and the exit codes.
pub(crate) fn with_exit_codes(examples: &str) -> String {
    format!("{examples}\n{}", crate::exit::table())
}
