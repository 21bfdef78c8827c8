//! What the Actions API keeps, in SQL.

mod devices;
mod transactions;

use std::sync::Arc;

use nexo::{PoiId, ServiceId};
use relay::actions::TransactionId;
use relay::ledger::{Boarded, Lane};
use relay::{JournalId, WallMs};

use super::{SqliteStore, ledger};
use crate::store::actions::{
    ActionsDeviceId, ActionsStore, Begun, Completed, Completion, DeviceFound, Edition, Group, KnownDelivery,
    Progress, RegisteredTerminal, RequestFilter, Transaction, TransactionFacts, TransactionSeq, Void,
};
use crate::store::{CompanyCode, CredentialId, Pending, TokenHash};

pub(super) use devices::{actions_terminal, facts_of, keep_facts};

impl ActionsStore for SqliteStore {
    fn begin_transaction(&self, facts: TransactionFacts) -> Pending<Begun> {
        let bytes = facts.payment_request.bytes().len() + facts.request.bytes().len();
        let begin = move |connection: &_| transactions::begin(connection, &facts);
        self.writer.write_repeatable(Lane::Money, bytes, begin)
    }

    fn transaction(&self, credential: &CredentialId, id: &TransactionId) -> Pending<Option<Transaction>> {
        let (credential, id) = (credential.clone(), id.clone());
        self.readers.read(move |connection| transactions::latest(connection, &credential, &id))
    }

    fn transaction_of_service(
        &self,
        company: &CompanyCode,
        poi: &PoiId,
        service: &ServiceId,
    ) -> Pending<Option<Transaction>> {
        let (company, poi, service) = (company.clone(), poi.clone(), service.clone());
        self.readers.read(move |connection| transactions::of_service(connection, &company, &poi, &service))
    }

    fn note_progress(
        &self,
        transaction: TransactionSeq,
        progress: Progress,
        at: WallMs,
    ) -> Pending<Option<Edition>> {
        let bytes = match &progress {
            Progress::GivenUp(response) => response.bytes().len(),
            Progress::Runs | Progress::AwaitsReconnect => 0,
        };
        let note = move |connection: &_| transactions::note_progress(connection, transaction, &progress, at);
        self.writer.write_repeatable(Lane::Money, bytes, note)
    }

    fn complete_transaction(
        &self,
        transaction: TransactionSeq,
        completion: Completion,
        at: WallMs,
    ) -> Pending<Option<Completed>> {
        let bytes = completion.response().bytes().len();
        let complete = move |connection: &_| transactions::complete(connection, transaction, &completion, at);
        self.writer.write_repeatable(Lane::Money, bytes, complete)
    }

    fn note_transaction_told(
        &self,
        transaction: TransactionSeq,
        edition: Edition,
        at: WallMs,
    ) -> Pending<()> {
        let note = move |connection: &_| transactions::note_told(connection, transaction, edition, at);
        self.writer.write_repeatable(Lane::Rest, 0, note)
    }

    fn note_transaction_read(&self, transaction: TransactionSeq, at: WallMs) -> Pending<bool> {
        let note = move |connection: &_| transactions::note_read(connection, transaction, at);
        self.writer.write_repeatable(Lane::Money, 0, note)
    }

    fn note_payment_read(&self, transaction: TransactionSeq, at: WallMs) -> Pending<Void> {
        let note = move |connection: &_| transactions::note_payment_read(connection, transaction, at);
        self.writer.write_repeatable(Lane::Money, 0, note)
    }

    fn set_void(&self, transaction: TransactionSeq, void: Void, at: WallMs) -> Pending<Option<Edition>> {
        let set = move |connection: &_| transactions::set_void(connection, transaction, void, at);
        self.writer.write_repeatable(Lane::Money, 0, set)
    }

    fn untold_transactions(
        &self,
        credential: &CredentialId,
        device: &ActionsDeviceId,
    ) -> Pending<Vec<Transaction>> {
        let (credential, device) = (credential.clone(), device.clone());
        self.readers.read(move |connection| transactions::untold(connection, &credential, &device))
    }

    fn unfinished_transactions(&self, after: Option<TransactionSeq>) -> Pending<Vec<Transaction>> {
        self.readers.read(move |connection| transactions::unfinished(connection, after))
    }

    fn actions_terminals(&self, group: &Group, after: Option<&PoiId>) -> Pending<Vec<RegisteredTerminal>> {
        let (group, after) = (group.clone(), after.cloned());
        self.readers.read(move |connection| devices::actions_terminals(connection, &group, after.as_ref()))
    }

    fn actions_terminal(&self, poi: &PoiId) -> Pending<Option<RegisteredTerminal>> {
        let poi = poi.clone();
        self.readers.read(move |connection| devices::actions_terminal(connection, &poi))
    }

    fn find_actions_device(
        &self,
        company: &CompanyCode,
        groups: &[Group],
        device: &ActionsDeviceId,
    ) -> Pending<DeviceFound> {
        let (company, groups, device) = (company.clone(), groups.to_vec(), device.clone());
        self.readers.read(move |connection| devices::find_device(connection, &company, &groups, &device))
    }

    fn groups_called(&self, company: &CompanyCode, id: &str) -> Pending<Vec<Group>> {
        let (company, id): (_, Arc<str>) = (company.clone(), id.into());
        self.readers.read(move |connection| devices::groups_called(connection, &company, &id))
    }

    fn deliveries(
        &self,
        poi: &PoiId,
        since: WallMs,
        wanted: Option<RequestFilter>,
    ) -> Pending<Vec<KnownDelivery>> {
        let poi = poi.clone();
        self.readers.read(move |connection| devices::deliveries(connection, &poi, since, wanted.as_deref()))
    }

    fn boarded(&self, poi: &PoiId) -> Pending<Option<Boarded>> {
        let poi = poi.clone();
        self.readers.read(move |connection| ledger::boarded(connection, &poi))
    }

    fn board_actions(
        &self,
        poi: &PoiId,
        read: Option<JournalId>,
        journal: JournalId,
        token: TokenHash,
        at: WallMs,
    ) -> Pending<Option<Boarded>> {
        let poi = poi.clone();
        self.writer
            .write(move |connection| devices::board(connection, &poi, read.as_ref(), &journal, token, at))
    }
}
