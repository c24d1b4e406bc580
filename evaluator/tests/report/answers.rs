//! Answers that are no report.

use crate::reports::fixture;
use crate::{NOW, report, time};
use evaluator::AnswerError::{
    self, BadKey, ConcurrencyRefused, InvalidAddress, Malformed, NoCredit, RateLimited, ServerError, Unknown,
};
use evaluator::{examine, read_answer};

fn error(http_status: u16, body: &[u8]) -> Option<AnswerError> {
    let short = read_answer(http_status, body, time(NOW)).map(|_| ()).err();
    assert_eq!(examine(http_status, body, time(NOW)).map(|_| ()).err(), short);
    short
}

#[test]
fn an_error_body_is_told_by_its_message_and_status() {
    for (body, expected) in [
        (r#"{"status":401,"message":"invalid api key"}"#, BadKey),
        (r#"{"status":403,"message":"Invalid API Key"}"#, BadKey),
        (r#"{"status":"401"}"#, BadKey),
        (r#"{"message":"check access failed","status":500}"#, BadKey),
        (r#"{"status":400,"message":"Invalid IP Address."}"#, InvalidAddress),
        (r#"{"status":400,"message":"We are still scanning for your previous request. Please wait."}"#, Unknown),
        (r#"{"status":403,"message":"limit exceeded"}"#, NoCredit),
        (r#"{"status":200,"message":"Limit Exceeded"}"#, NoCredit),
        (r#"{"message":"limit exceeded"}"#, NoCredit),
        (r#"{"status":402}"#, NoCredit),
        (r#"{"status":403,"message":"Upgrade your plan to use this API"}"#, NoCredit),
        (r#"{"status":403,"message":"Free Membership users can view a total of 100 data queries"}"#, NoCredit),
        (r#"{"status":403}"#, BadKey),
        (r#"{"status":403,"message":"unable to call api at the same time"}"#, ConcurrencyRefused),
        (r#"{"status":500,"message":"Unable to call API at the same time"}"#, ConcurrencyRefused),
        (r#"{"status":429,"message":"slow down"}"#, RateLimited),
        (r#"{"status":400,"message":"Rate limit exceeded"}"#, RateLimited),
        (r#"{"status":500,"message":"An unexpected error occured"}"#, ServerError),
        (r#"{"status":413,"message":"Database error"}"#, ServerError),
        (r#"{"status":414}"#, ServerError),
        (r#"{"status":599}"#, ServerError),
        (r#"{"status":404,"message":"no data"}"#, Unknown),
        (r#"{"status":412,"message":"Missing Parameter"}"#, Unknown),
        (r#"{"status":420,"message":["failed"]}"#, Unknown),
        (r#"{"status":201}"#, Unknown),
        (r#"{"status":70000}"#, Malformed),
        (r#"{"status":null}"#, Malformed),
        (r#"{"status":200}"#, Malformed),
        (r#"{"status":200,"score":null,"issues":{"is_tor":true}}"#, Malformed),
        (r#"{"status":200,"score":{"inbound":"High","outbound":7}}"#, Malformed),
        (r#"{"status":200,"score":{"inbound":null,"outbound":0}}"#, Malformed),
        (r#"{"detail":"Not Found"}"#, Malformed),
        ("{}", Malformed),
    ] {
        assert_eq!(error(200, body.as_bytes()), Some(expected), "{body}");
    }
}

#[test]
fn saved_error_bodies_are_told_apart() {
    for expected in [BadKey, InvalidAddress, ServerError, NoCredit, ConcurrencyRefused] {
        let body = fixture(&format!("error_{}.json", expected.code()));
        assert_eq!(error(200, &body), Some(expected), "{expected:?}");
    }
    assert_eq!(error(502, &fixture("bad_gateway.html")), Some(ServerError));
}

#[test]
fn where_the_body_says_nothing_http_does() {
    for (http_status, body, expected) in [
        (200, "", Malformed),
        (200, "<html>welcome</html>", Malformed),
        (204, "", Malformed),
        (301, "", Unknown),
        (0, "", Unknown),
        (400, "", Unknown),
        (401, "", BadKey),
        (403, "<html>forbidden</html>", BadKey),
        (403, "no explanation", BadKey),
        (403, "You have used all of your Credits.", NoCredit),
        (402, "", NoCredit),
        (404, "not found", Unknown),
        (413, "", ServerError),
        (429, "", RateLimited),
        (429, r#"{"retry":true}"#, RateLimited),
        (500, r#"{"status":200}"#, ServerError),
        (502, "<html>bad gateway</html>", ServerError),
        (503, r#"{"status":401,"message":"invalid api key"}"#, BadKey),
        (504, "\u{0}\u{1}", ServerError),
    ] {
        assert_eq!(error(http_status, body.as_bytes()), Some(expected), "{http_status} {body}");
    }
    assert_eq!(error(503, b"\xff\xfe"), Some(ServerError));
    assert_eq!(error(200, b"\xff\xfe"), Some(Malformed));
}

#[test]
fn a_whole_report_with_another_status_of_http_is_no_report() {
    let body = report("");
    assert_eq!(error(200, body.as_bytes()), None);
    for (http_status, expected) in
        [(0, Unknown), (201, Malformed), (304, Unknown), (403, BadKey), (429, RateLimited), (500, ServerError)]
    {
        assert_eq!(error(http_status, body.as_bytes()), Some(expected), "{http_status}");
    }
}

#[test]
fn broken_json_is_malformed() {
    let body = report(r#""port":{"count":1,"data":[{"open_port_no":22,"banner":"x","tags":["a"]}]}"#);
    assert_eq!(error(200, body.as_bytes()), None);
    assert_eq!(error(200, format!(" \r\n{body}\n ").as_bytes()), None);
    let nested = |depth: usize| report(&format!(r#""port":{}"#, "[".repeat(depth)));
    for broken in [
        format!("{body}x"),
        format!("{body}{body}"),
        format!("\u{feff}{body}"),
        format!("[{body}]"),
        "null".into(),
        "200".into(),
        "\"Safe\"".into(),
        body.replace("22", "022"),
        body.replace("22", "NaN"),
        body.replace("\"x\"", "\"\n\""),
        body.replace("\"x\"", "\"\\x41\""),
        body.replace("\"x\"", "'x'"),
        body.replace("[\"a\"]", "[\"a\",]"),
        body.replace("\"status\"", "status"),
        nested(100_000),
        "[".repeat(100_000),
        "{\"port\":".repeat(100_000),
    ] {
        assert_eq!(error(200, broken.as_bytes()), Some(Malformed), "{:.300}", broken);
    }
    let position = body.find("\"x\"").expect("the banner") + 1;
    let mut not_utf8 = body.into_bytes();
    not_utf8[position] = 0xff;
    assert_eq!(error(200, &not_utf8), Some(Malformed));
}
