//! Assessments as JSON, with what each finding rests on.

use crate::object;
use alloc::string::String;
use evaluator::{AnswerError, Detail, Examination, Levels, Reading, ip_text};
use gate::Writer;

/// The JSON of what was read.
pub(crate) fn write(examined: &Result<Examination, AnswerError>) -> String {
    object(|json| {
        let examination = match examined {
            Ok(examination) => examination,
            Err(error) => {
                json.text("outcome", error.code());
                return json.text("error", error.message());
            }
        };
        let Reading { assessment, subject, anomalies } = examination.reading;
        let score = Levels::from(assessment.score);
        json.text("outcome", "assessed");
        json.text_or_null("ip", subject.map(ip_text).as_deref());
        json.number("learned", assessment.learned.unix().into());
        json.text("class", assessment.class().name());
        json.object("score");
        json.number_or_null("inbound", score.inbound.map(u64::from));
        json.number_or_null("outbound", score.outbound.map(u64::from));
        json.close('}');
        write_details(json, "findings", &examination.current);
        write_details(json, "published", &examination.published);
        json.number_or_null("asn", assessment.asn.map(|asn| asn.get().into()));
        let country: Option<String> = assessment.country.map(|country| country.letters().iter().collect());
        json.text_or_null("country", country.as_deref());
        json.number("anomalies", anomalies.into());
    })
}

fn write_details(json: &mut Writer, name: &str, details: &[Detail]) {
    json.list(name);
    for Detail { finding, detail } in details {
        write_found(json, finding.code(), detail.as_deref());
    }
    json.close(']');
}

/// Writes a finding with what it rests on.
pub(crate) fn write_found(json: &mut Writer, code: &str, detail: Option<&str>) {
    json.open('{');
    json.text("code", code);
    json.text_or_null("detail", detail);
    json.close('}');
}
