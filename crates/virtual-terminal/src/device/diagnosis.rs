//! How the device is, in the words of terminals.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nexo::{
    DiagnosisRequest, DiagnosisResponse, GlobalStatus, HostStatus, PoiStatus, Request, ResponseOutcome,
};
use relay::DeliveryId;
use relay::terminal::Outcome;
use serde::Serialize;

use super::{ACQUIRER_ID, Device, Finish, pairs};

impl Device {
    pub(super) fn diagnose(
        &self,
        delivery: DeliveryId,
        request: &Request,
        asked: &DiagnosisRequest,
    ) -> Finish {
        #[derive(Serialize)]
        struct Profile<'a> {
            ip: String,
            mac: &'a str,
            dhcp: bool,
        }
        let network = &self.facts.network;
        let profile = Profile { ip: network.ip.to_string(), mac: &network.mac, dhcp: network.dhcp };
        let profile = STANDARD.encode(serde_json::to_vec(&profile).unwrap_or_default());
        let battery = self.facts.battery_level.map(|level| format!("{level}%"));
        let unconfirmed = self.facts.unconfirmed_payments.to_string();
        let mut additional = Vec::new();
        additional.extend(battery.as_deref().map(|battery| ("batteryLevel", battery)));
        additional.extend([
            ("unconfirmedBatchCount", unconfirmed.as_str()),
            ("firmwareVersion", &self.firmware_version),
            ("networkProfile", &profile),
            ("merchantAccount", &self.merchant_account),
        ]);
        additional.extend(self.store.as_deref().map(|store| ("storeId", store)));
        additional.push(("terminalId", request.header().poi_id.as_str()));
        let wanted = asked.acquirer_id.is_empty() || asked.acquirer_id.contains(&ACQUIRER_ID);
        let hosts = (asked.host_diagnosis_flag && wanted)
            .then_some(HostStatus { acquirer_id: ACQUIRER_ID, is_reachable_flag: Some(true) });
        let body = DiagnosisResponse {
            response: ResponseOutcome::success().with_additional(pairs(&additional)),
            poi_status: Some(PoiStatus {
                global_status: GlobalStatus::OK,
                security_ok_flag: None,
                ped_ok_flag: None,
                card_reader_ok_flag: None,
                printer_status: self.facts.printer.clone(),
                communication_ok_flag: Some(true),
                fraud_prevention_flag: None,
            }),
            host_status: hosts.into_iter().collect(),
        };
        Finish {
            delivery,
            outcome: Outcome::Message(nexo::response(request.header(), &body)),
            execution: None,
        }
    }
}
