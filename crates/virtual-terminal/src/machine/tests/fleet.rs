//! What the fleet changes: settings, switches, the configuration, the token.

use relay::{ChangeId, Settings};

use super::*;

fn change(name: &str) -> ChangeId {
    ChangeId::parse(name).unwrap()
}

fn settings(revision: u64, on: bool) -> Settings {
    Settings {
        revision,
        web_sockets_enabled: on,
        display_label: Some("Till 5".into()),
        ..Settings::default()
    }
}

/// What maintenance says of settings.
fn told(revision: u64, on: bool) -> MaintenanceAnswer {
    MaintenanceAnswer { settings: Some(settings(revision, on)), ..MaintenanceAnswer::default() }
}

fn placed(merchant: &str) -> relay::Placement {
    relay::Placement {
        poi_id: PoiId::parse(POI).unwrap(),
        merchant_account: merchant.into(),
        store: Some("S".into()),
    }
}

impl Owner {
    fn tell_settings(&mut self, revision: u64, on: bool) {
        self.text(format!(
            r#"{{"action":"settings","revision":{revision},"webSocketsEnabled":{on},"displayLabel":"Till 5","terminal":{{"poiId":"{POI}","merchantAccount":"M2","store":"S"}}}}"#
        ));
    }

    fn tell_to_remove(&mut self, name: &str) {
        self.text(format!(r#"{{"action":"removeConfig","changeId":"{name}"}}"#));
    }

    /// The link is refused, or closed, with this word.
    fn refuse(&mut self, code: &str) {
        let Some(Action::Dial { attempt, .. }) = self.next() else { panic!("no dial") };
        self.with(|machine, now| machine.handle_opened(now, attempt, Err(refused(403, Some(code)))));
    }

    fn place(&self) -> (&str, Option<&str>) {
        (&self.machine.device.merchant_account, self.machine.device.store.as_deref())
    }

    /// When it calls maintenance next.
    fn calls_in(&self) -> Duration {
        self.machine.poll_timeout().expect("it calls again") - self.now.mono
    }

    /// Reads the disk again, as after a power cut.
    fn power_cut(self) -> Owner {
        Owner::restart(self.disk, None)
    }
}

#[test]
fn settings_are_stored_before_they_are_confirmed_and_outlive_a_restart() {
    let mut owner = Owner::online(kept([]));
    owner.slow_disk = true;
    owner.tell_settings(8, true);
    assert_eq!(owner.next(), None, "they are not stored");
    owner.store();
    assert_eq!(owner.sent(), ToGateway::Applied(8));
    assert_eq!(owner.place(), ("M2", Some("S")));
    let moved = Notice::Moved { merchant_account: "M2".into(), store: Some("S".into()) };
    assert_eq!(owner.notices, [moved, Notice::Settings(settings(8, true))]);

    // Told again it says so again, and nothing is written.
    let written = owner.disk.len();
    owner.slow_disk = false;
    owner.tell_settings(8, true);
    assert_eq!((owner.sent(), owner.disk.len()), (ToGateway::Applied(8), written));

    let mut owner = owner.power_cut();
    owner.run_until(start().mono);
    let report = owner.maintained(Ok(MaintenanceAnswer::default()));
    assert_eq!(report.applied_revision, Some(8));
    assert_eq!(owner.machine.settings, settings(8, true));
}

#[test]
fn what_maintenance_says_while_a_link_stands_counts_only_when_it_is_newer() {
    let mut owner = Owner::online(kept([]));
    owner.tell_settings(8, true);
    owner.sent();
    let due = owner.machine.poll_timeout().expect("the next ping");
    owner.machine.upkeep = Upkeep::due(owner.now);
    owner.run_for(Duration::ZERO);
    owner.maintained(Ok(told(7, false)));
    assert_eq!((owner.machine.settings.revision, owner.next()), (8, None));
    owner.machine.upkeep = Upkeep::due(owner.now);
    owner.run_for(Duration::ZERO);
    owner.maintained(Ok(told(9, true)));
    assert_eq!(owner.sent(), ToGateway::Applied(9));
    assert!(due > owner.now.mono);
}

#[test]
fn a_terminal_whose_web_sockets_are_switched_off_calls_maintenance_and_connects_at_once_when_they_are_on() {
    let mut owner = Owner::online(kept([]));
    owner.tell_settings(8, false);
    assert_eq!(owner.sent(), ToGateway::Applied(8));
    assert_eq!(*owner.machine.state(), State::Online, "it is for the gateway to close the link");
    owner.with(|machine, now| machine.handle_ended(now, Some(CloseReason::WebSocketsDisabled)));
    assert_eq!(*owner.machine.state(), State::SwitchedOff);

    // A fleet that was switched off together doesn't call together.
    let first = owner.calls_in();
    assert!(first <= Duration::from_secs(10), "{first:?}");
    owner.run_for(first);
    owner.maintained(Ok(told(8, false)));
    let next = owner.calls_in();
    assert!(next <= Backoff::MAINTENANCE && next >= Backoff::MAINTENANCE * 9 / 10, "{next:?}");
    owner.run_for(next);
    owner.maintained(Ok(MaintenanceAnswer { next_call_seconds: Some(10), ..told(8, false) }));
    let next = owner.calls_in();
    assert!(next <= Duration::from_secs(10), "the gateway wants to be asked sooner: {next:?}");
    owner.run_for(next);
    owner.maintained(Err(CallError::Failed("no network".into())));
    assert_eq!(owner.next(), None, "it does not dial meanwhile");
    owner.run_for(owner.calls_in());
    owner.maintained(Ok(told(9, true)));
    owner.open();
    owner.text(format!(
        r#"{{"action":"welcome","connectionId":"c_1","serverTime":"2026-11-20T09:15:00.000Z","heartbeat":{{"intervalSeconds":30,"timeoutSeconds":10}},"terminal":{{"poiId":"{POI}","merchantAccount":"M2","store":"S"}},"settings":{{"revision":9,"displayLabel":"Till 5"}},"bodyLimit":65536}}"#
    ));
    assert_eq!(*owner.machine.state(), State::Online);
}

#[test]
fn a_restart_while_web_sockets_are_off_dials_only_once_maintenance_says_that_they_are_on() {
    let mut owner = Owner::online(kept([]));
    owner.tell_settings(8, false);
    owner.with(|machine, now| machine.handle_ended(now, None));
    let mut owner = owner.power_cut();
    owner.run_until(start().mono);
    assert_eq!(*owner.machine.state(), State::SwitchedOff);
    owner.maintained(Ok(told(9, true)));
    owner.open();
}

#[test]
fn a_terminal_that_is_refused_asks_at_once_and_one_that_is_refused_again_does_not_ask_for_ever() {
    let mut owner = Owner::restart(kept([waiting("d_1")]), None);
    owner.run_until(start().mono);
    owner.maintained(Ok(MaintenanceAnswer::default()));
    owner.refuse("websockets-disabled");
    assert_eq!(*owner.machine.state(), State::SwitchedOff);
    assert_eq!(owner.calls_in(), Duration::ZERO);
    owner.run_for(Duration::ZERO);
    owner.maintained(Ok(MaintenanceAnswer {
        settings: Some(settings(2, true)),
        ..recorded([&delivery("d_1")])
    }));
    owner.refuse("websockets-disabled");
    assert!(owner.calls_in() >= Backoff::MAINTENANCE * 9 / 10, "{:?}", owner.calls_in());
    owner.run_for(owner.calls_in());
    owner.maintained(Ok(told(2, true)));
    assert_eq!(owner.open().resume, []);
}

#[test]
fn a_configuration_is_removed_when_what_runs_is_finished_and_that_is_said_behind_its_result() {
    let mut owner = Owner::online(kept([]));
    owner.pay("d_1");
    assert_eq!(owner.sent(), ToGateway::Received(delivery("d_1")));
    owner.tell_to_remove("as_1");
    assert_eq!(owner.next(), None);
    assert_eq!(owner.notices, [Notice::RemovesConfig { waits: true }]);
    assert_eq!(owner.place().0, "DEMO_MERCHANT_EU");
    owner.run_for(CARD);
    assert_eq!(owner.response("d_1").outcome().unwrap().result, ResultCode::Success);
    assert_eq!(owner.sent(), ToGateway::ConfigRemoved(change("as_1")));
    assert_eq!(owner.next(), None);
    assert_eq!(owner.place(), ("", None));
    assert_eq!(owner.machine.settings.revision, 0);
    assert_eq!(owner.machine.terminal().resume(), [delivery("d_1")], "results are kept");

    // Nothing runs under a merchant that it doesn't know.
    owner.pay("d_2");
    assert_eq!(owner.sent(), ToGateway::Received(delivery("d_2")));
    let outcome = owner.response("d_2").outcome().unwrap();
    assert_eq!(outcome.error_condition, Some(nexo::ErrorCondition::NOT_ALLOWED));

    owner.tell_settings(9, true);
    assert_eq!(owner.sent(), ToGateway::Applied(9));
    assert_eq!(owner.place(), ("M2", Some("S")));
    owner.pay("d_3");
    assert_eq!(owner.sent(), ToGateway::Received(delivery("d_3")));
    owner.run_for(CARD);
    assert_eq!(owner.response("d_3").outcome().unwrap().result, ResultCode::Success);
    let again = owner.power_cut();
    assert_eq!((again.place(), again.machine.fleet.removed()), (("M2", Some("S")), None));
}

#[test]
fn a_removal_is_said_again_on_each_link_until_settings_answer_it() {
    let mut owner = Owner::online(kept([]));
    owner.tell_to_remove("as_1");
    assert_eq!(owner.sent(), ToGateway::ConfigRemoved(change("as_1")));
    owner.tell_to_remove("as_1");
    assert_eq!(owner.sent(), ToGateway::ConfigRemoved(change("as_1")), "asked again");
    owner.with(|machine, now| machine.handle_ended(now, None));

    // The gateway has not heard of it: what its welcome says is the old configuration.
    let mut owner = owner.power_cut();
    owner.run_until(start().mono);
    let report = owner.maintained(Err(CallError::Failed("no network".into())));
    assert_eq!(report.config_removed, Some(change("as_1")));
    owner.open();
    owner.welcome();
    assert_eq!(owner.sent(), ToGateway::ConfigRemoved(change("as_1")));
    assert_eq!(owner.next(), None);
    assert_eq!(owner.place(), ("", None));
    owner.tell_settings(9, true);
    assert_eq!(owner.sent(), ToGateway::Applied(9));
    owner.with(|machine, now| machine.handle_ended(now, None));
    assert!(
        !owner.disk.iter().any(|record| matches!(record, Record::RemovalOver)) || owner.place().0 == "M2"
    );
}

#[test]
fn a_power_cut_between_the_question_and_the_removal_or_before_the_answer_changes_nothing() {
    let mut owner = Owner::online(kept([]));
    owner.pay("d_1");
    owner.tell_to_remove("as_1");
    assert!(owner.disk.contains(&Record::RemoveConfig { change_id: change("as_1") }));

    // What ran is ended as unknown, and then the configuration goes.
    let mut owner = owner.power_cut();
    owner.run_until(start().mono);
    assert!(owner.disk.contains(&Record::ConfigRemoved { change_id: change("as_1") }));
    let report = owner.maintained(Err(CallError::Failed("no network".into())));
    assert_eq!(report.resume, [delivery("d_1")]);
    let mut owner = owner.power_cut();
    assert_eq!(owner.place(), ("", None));
    owner.run_until(start().mono);
    owner.maintained(Err(CallError::Failed("no network".into())));
    owner.open();
    owner.welcome();
    assert!(matches!(owner.sent(), ToGateway::Indeterminate(of, _) if of == delivery("d_1")));
    assert_eq!(owner.sent(), ToGateway::ConfigRemoved(change("as_1")));
}

#[test]
fn a_terminal_without_a_link_is_moved_by_maintenance_alone() {
    let mut owner = Owner::restart(kept([]), None);
    owner.run_until(start().mono);
    owner.maintained(Ok(MaintenanceAnswer {
        remove_config: Some(RemoveConfig { change_id: change("as_1") }),
        ..told(8, false)
    }));
    owner.refuse("websockets-disabled");
    owner.run_for(owner.calls_in());
    let moved = MaintenanceAnswer { terminal: Some(placed("M2")), ..told(9, false) };
    let report = owner.maintained(Ok(moved));
    assert_eq!((report.config_removed, report.applied_revision), (Some(change("as_1")), None));
    assert_eq!(owner.place(), ("M2", Some("S")));
    owner.run_for(owner.calls_in());
    let report = owner.maintained(Ok(told(9, false)));
    assert_eq!((report.config_removed, report.applied_revision), (None, Some(9)));
}

#[test]
fn a_gateway_that_asks_for_what_was_just_said_is_told_again_with_the_next_call_and_no_sooner() {
    let mut owner = Owner::restart(kept([]), None);
    owner.run_until(start().mono);
    let asks = || {
        Ok(MaintenanceAnswer {
            remove_config: Some(RemoveConfig { change_id: change("as_1") }),
            ..MaintenanceAnswer::default()
        })
    };
    owner.maintained(asks());
    owner.refuse("websockets-disabled");
    owner.run_for(owner.calls_in());
    assert_eq!(owner.maintained(asks()).config_removed, Some(change("as_1")));
    let Some(Action::Dial { attempt, .. }) = owner.next() else { panic!("no settings were told: it tries") };
    owner.with(|machine, now| {
        machine.handle_opened(now, attempt, Err(refused(403, Some("websockets-disabled"))))
    });
    assert!(owner.calls_in() >= Backoff::MAINTENANCE * 9 / 10, "{:?}", owner.calls_in());
}

#[test]
fn a_newer_assignment_takes_the_place_of_the_one_that_was_carried_out() {
    let mut owner = Owner::online(kept([]));
    owner.tell_to_remove("as_1");
    assert_eq!(owner.sent(), ToGateway::ConfigRemoved(change("as_1")));
    owner.tell_to_remove("as_2");
    assert_eq!(owner.sent(), ToGateway::ConfigRemoved(change("as_2")));
    assert_eq!(owner.machine.fleet.removed(), Some(&change("as_2")));
}

#[test]
fn a_terminal_in_inventory_hands_its_results_in_and_then_says_what_to_do() {
    let mut owner = Owner::online(kept([waiting("d_1")]));
    owner.sent();
    owner.with(|machine, now| machine.handle_ended(now, Some(CloseReason::NotInStore)));
    assert!(matches!(owner.machine.state(), State::Waiting { .. }), "its results come first");
    owner.run_for(Duration::ZERO);
    owner.maintained(Err(CallError::Failed("the network is down".into())));
    assert!(owner.calls_in() <= Backoff::MAINTENANCE);
    owner.run_for(owner.calls_in());
    let report = owner.maintained(Ok(recorded([&delivery("d_1")])));
    assert_eq!(report.results.len(), 1);
    let State::Stopped { why } = owner.machine.state() else { panic!("{:?}", owner.machine.state()) };
    assert!(why.contains("assign it to a store, then board it"), "{why}");
    assert_eq!((owner.machine.poll_timeout(), owner.next()), (None, None));
}

#[test]
fn a_token_that_ended_with_results_left_is_used_for_48_hours_and_no_longer() {
    let mut owner = Owner::restart(kept([waiting("d_1")]), None);
    owner.run_until(start().mono);
    owner.maintained(Ok(MaintenanceAnswer::default()));
    owner.refuse("not-in-store");
    let ended = owner.now.mono;
    let mut calls = 0;
    while let Some(due) = owner.machine.poll_timeout() {
        owner.run_until(due);
        owner.maintained(Err(refused(503, None)));
        calls += 1;
    }
    let whole = Duration::from_secs(48 * 60 * 60);
    let took = owner.now.mono - ended;
    assert!(took >= whole && took <= whole + Backoff::MAINTENANCE, "{took:?}");
    assert!(calls >= 48 * 12, "{calls}");
    assert!(matches!(owner.machine.state(), State::Stopped { .. }));
}

#[test]
fn a_terminal_in_inventory_that_has_a_new_code_boards_with_it() {
    let mut owner = Owner::restart(kept([]), Some("code"));
    owner.run_until(start().mono);
    owner.maintained(Ok(MaintenanceAnswer::default()));
    owner.refuse("not-in-store");
    owner.run_for(Duration::ZERO);
    owner.maintained(Ok(MaintenanceAnswer::default()));
    assert!(matches!(owner.next(), Some(Action::Board { .. })));
}

#[test]
fn a_new_token_is_stored_before_it_is_confirmed_or_used_and_the_old_one_is_forgotten() {
    let mut owner = Owner::online(kept([]));
    owner.slow_disk = true;
    owner.text(r#"{"action":"newToken","token":"second"}"#.into());
    assert_eq!(owner.next(), None, "it is not stored");
    assert_eq!(owner.machine.identity.token, Some(Secret::new("token")), "nor used");
    assert!(owner.machine.whole().contains(&Record::Boarded { token: Secret::new("second") }));
    owner.store();
    assert_eq!(owner.sent(), ToGateway::TokenStored);
    assert_eq!(owner.notices, [Notice::NewToken]);
    owner.slow_disk = false;
    owner.text(r#"{"action":"newToken","token":"second"}"#.into());
    assert_eq!(owner.sent(), ToGateway::TokenStored, "told again it says so again");

    for mut owner in [Owner::restart(owner.machine.whole(), None), owner.power_cut()] {
        assert!(!owner.machine.whole().contains(&Record::Boarded { token: Secret::new("token") }));
        owner.run_until(start().mono);
        let Some(Action::Maintain { token, .. }) = owner.next() else { panic!("no maintenance") };
        assert_eq!(token, Secret::new("second"));
    }
}

#[test]
fn a_power_cut_before_the_new_token_is_stored_leaves_the_old_one() {
    let mut owner = Owner::online(kept([]));
    let disk = owner.disk.clone();
    owner.slow_disk = true;
    owner.text(r#"{"action":"newToken","token":"second"}"#.into());
    let mut owner = Owner::restart(disk, None);
    owner.run_until(start().mono);
    owner.maintained(Ok(MaintenanceAnswer::default()));
    owner.open(); // With the token that the gateway still takes.
}
