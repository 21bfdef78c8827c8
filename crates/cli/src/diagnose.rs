//! `tillgate diagnose`: a Diagnosis request, and its answer for people.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use nexo::{
    AdditionalResponse, DiagnosisRequest, DiagnosisResponse, MessageCategory, PoiId, PoiStatus, ResultCode,
    SaleId,
};

use crate::connection::Connection;
use crate::paint;
use crate::sale::{self, Answer};

/// Longer than the 150 s after which the gateway answers in any case.
const WAIT: Duration = Duration::from_secs(160);

/// Ask a terminal about its health.
///
/// Shows the state of the terminal and its parts, whether it reaches its host, and everything in AdditionalResponse, decoded.
///
/// Exit status: 0 it answered and is well, 3 it answered otherwise, 4 it did not answer, 1 anything else.
#[derive(Debug, Args)]
pub(crate) struct Diagnose {
    #[command(flatten)]
    connection: Connection,
    /// The terminal [default: the demo's first one]
    #[arg(long, value_name = "POIID")]
    poi_id: Option<PoiId>,
    /// Don't let the terminal try its host, which takes a moment
    #[arg(long)]
    skip_host: bool,
    /// What this till is called
    #[arg(long, value_name = "NAME", default_value = "tillgate-diagnose")]
    sale_id: SaleId,
    /// Print the answer itself
    #[arg(long)]
    json: bool,
}

impl Diagnose {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let gateway = self.connection.open()?;
        let poi = gateway.terminal(self.poi_id)?;
        let header = sale::header(MessageCategory::DIAGNOSIS, &self.sale_id, &poi)?;
        let request =
            DiagnosisRequest { host_diagnosis_flag: !self.skip_host, ..DiagnosisRequest::default() };
        let body = gateway.post("/sync", nexo::request(&header, &request).to_vec(), WAIT).await?;
        let answer = sale::read(body.clone())?;
        if self.json {
            println!("{}", String::from_utf8_lossy(&body));
        }
        let response = match answer {
            Answer::Rejected(text) => {
                if !self.json {
                    println!("{} {poi}", paint::stdout("No answer", paint::RED));
                    println!("  {text}");
                    println!("  See which terminals are connected: tillgate terminals");
                }
                return Ok(ExitCode::from(4));
            }
            Answer::Response(response) => response,
        };
        let diagnosis = response.payload::<DiagnosisResponse>()?;
        if !self.json {
            print!("{}", shown(&poi, &diagnosis));
        }
        let is_well = diagnosis.response.result == ResultCode::Success;
        Ok(ExitCode::from(if is_well { 0 } else { 3 }))
    }
}

fn shown(poi: &PoiId, diagnosis: &DiagnosisResponse) -> String {
    let mut out = String::new();
    let status = diagnosis.poi_status.as_ref();
    let state = match (diagnosis.response.result, status) {
        (ResultCode::Failure, _) => {
            let condition = diagnosis.response.error_condition.as_ref().map(ToString::to_string);
            paint::stdout(condition.as_deref().unwrap_or("Failure"), paint::RED).into_owned()
        }
        (_, Some(status)) => paint::stdout(status.global_status.as_str(), paint::GREEN).into_owned(),
        (_, None) => paint::stdout("OK", paint::GREEN).into_owned(),
    };
    out += &format!("{} {state}\n", paint::stdout(poi.as_str(), paint::BOLD));
    let mut row = |name: &str, value: &str| out += &format!("  {name:<28} {value}\n");
    for (name, value) in status.map(parts).unwrap_or_default() {
        row(name, &value);
    }
    for host in &diagnosis.host_status {
        let reachable = if host.is_reachable_flag.unwrap_or(true) { "reachable" } else { "not reachable" };
        row(&format!("host {}", host.acquirer_id), reachable);
    }
    match diagnosis.response.additional_response.as_deref().map(AdditionalResponse::decode) {
        Some(AdditionalResponse::Pairs(pairs)) => {
            for (key, value) in &pairs {
                match nested(value) {
                    Some(inner) => {
                        inner.iter().for_each(|(name, value)| row(&format!("{key}.{name}"), value))
                    }
                    None => row(key, value),
                }
            }
        }
        Some(AdditionalResponse::Text(text)) => row("message", &text),
        None => {}
    }
    out
}

/// The members of a value that is the Base64 of a JSON object, as `networkProfile` is.
fn nested(value: &str) -> Option<Vec<(String, String)>> {
    let is_object = value.starts_with("ey"); // Base64 of `{"`.
    match AdditionalResponse::decode(value) {
        AdditionalResponse::Pairs(pairs) if is_object => Some(pairs),
        _ => None,
    }
}

fn parts(status: &PoiStatus) -> Vec<(&'static str, String)> {
    let flag = |name, flag: Option<bool>| Some((name, if flag? { "OK" } else { "not OK" }.to_owned()));
    [
        flag("security module", status.security_ok_flag),
        flag("PIN pad", status.ped_ok_flag),
        flag("card reader", status.card_reader_ok_flag),
        status.printer_status.as_ref().map(|printer| ("printer", printer.to_string())),
        flag("communication", status.communication_ok_flag),
        status
            .fraud_prevention_flag
            .map(|suspects| ("fraud suspected", if suspects { "yes" } else { "no" }.to_owned())),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnosis_is_shown_line_by_line() {
        let json = r#"{"Response":{"Result":"Success","AdditionalResponse":"batteryLevel=87%25&networkProfile=eyJpcCI6IjE5Mi4wLjIuNDkiLCJkaGNwIjp0cnVlfQ%3d%3d"},"POIStatus":{"GlobalStatus":"OK","CardReaderOKFlag":false,"PrinterStatus":"NoPaper"},"HostStatus":[{"AcquirerID":1,"IsReachableFlag":true}]}"#;
        let shown = shown(&PoiId::parse("V400m-1").unwrap(), &serde_json::from_str(json).unwrap());
        assert_eq!(
            shown,
            "V400m-1 OK\n\
             \x20 card reader                  not OK\n\
             \x20 printer                      NoPaper\n\
             \x20 host 1                       reachable\n\
             \x20 batteryLevel                 87%\n\
             \x20 networkProfile.ip            192.0.2.49\n\
             \x20 networkProfile.dhcp          true\n"
        );
    }
}
