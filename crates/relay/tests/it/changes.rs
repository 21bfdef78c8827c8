//! What the fleet wants of a link: settings, the removal of the configuration, a new token, and that it is closed down.

use std::time::Duration;

use relay::exchange::{Answer, StatusAnswer};
use relay::ledger::Outcome;
use relay::{
    ChangeId, ChangedSettings, CloseReason, ConnectionId, LinkToken, Placement, Settings, Status, ToGateway,
    ToTerminal,
};

use crate::message::{abort, diagnosis, payment, status};
use crate::pair::{Pair, Turn, poi};

const SECOND: Duration = Duration::from_secs(1);

fn change(text: &str) -> ChangeId {
    ChangeId::parse(text).expect("an ID")
}

fn settings(revision: u64) -> ChangedSettings {
    ChangedSettings {
        settings: Settings { revision, display_label: Some("Till 5".into()), ..Settings::default() },
        terminal: Some(Placement { poi_id: poi(), merchant_account: "M2".into(), store: None }),
    }
}

impl Pair {
    fn newest(&self) -> ConnectionId {
        self.sockets.last().expect("a socket").id.clone()
    }

    /// How often the terminal was asked to remove its configuration.
    fn removals(&self) -> usize {
        self.asked.iter().filter(|frame| matches!(frame, ToTerminal::RemoveConfig(_))).count()
    }
}

#[test]
fn a_link_with_nothing_open_is_closed_down_at_once() {
    let mut pair = Pair::connected();
    pair.close_down(&CloseReason::WebSocketsDisabled);
    assert_eq!(pair.sockets[0].closed, None, "its socket has not looked yet");
    pair.drive();
    assert_eq!(pair.sockets[0].closed, Some(CloseReason::WebSocketsDisabled));
    assert_eq!(pair.gateway.presence().status(pair.now), Status::Offline, "nobody expects it back");
    assert_eq!(pair.ask(&payment("42")), Some(Answer::NotDelivered));
    assert!(pair.gateway.is_idle());
}

#[test]
fn a_payment_that_runs_ends_and_is_recorded_before_its_link_is_closed_and_nothing_new_begins() {
    let (mut pair, sent) = Pair::paying("42");
    pair.close_down(&CloseReason::WebSocketsDisabled);
    assert_eq!(
        (pair.gateway.presence().route(), pair.gateway.presence().status(pair.now)),
        (None, Status::Offline)
    );
    pair.check();
    assert_eq!(pair.checked.last().map(|(_, alive)| *alive), Some(false));
    let before = pair.now.mono;
    assert_eq!(pair.ask(&payment("43")), Some(Answer::NotDelivered));
    assert_eq!(pair.ask(&diagnosis("7")), Some(Answer::NotDelivered));
    assert_eq!(pair.ask(&status("8", "42")), Some(Answer::Status(StatusAnswer::InProgress)));
    assert_eq!((pair.now.mono, pair.sockets[0].closed.clone()), (before, None));

    pair.works = true;
    pair.live(SECOND);
    assert!(pair.heard_response(sent, Turn::First));
    assert_eq!(pair.sockets[0].closed, Some(CloseReason::WebSocketsDisabled));
    assert_eq!(pair.terminal.resume(), [], "the terminal knows that its result is recorded");
    assert_eq!((pair.charged("42"), pair.written.len()), (1, 1));
    assert!(pair.gateway.is_idle());
}

#[test]
fn what_runs_can_still_be_aborted_while_its_link_is_closed_down() {
    let mut pair = Pair::connected();
    pair.works = false;
    let sent = pair.send(&payment("42"));
    pair.drive();
    pair.close_down(&CloseReason::WebSocketsDisabled);
    let aborted = pair.send(&abort("9", "42"));
    pair.works = true;
    pair.live(SECOND);
    assert_eq!(pair.answer(aborted), Some(Answer::Ok));
    assert!(matches!(pair.answer(sent), Some(Answer::Response(_))));
    assert_eq!(pair.sockets[0].closed, Some(CloseReason::WebSocketsDisabled));
}

#[test]
fn a_link_that_is_closed_down_goes_after_150_seconds_whatever_runs() {
    let (mut pair, sent) = Pair::paying("42");
    pair.live(30 * SECOND);
    pair.close_down(&CloseReason::NotInStore);
    pair.live(149 * SECOND);
    // Nobody waits for the payment any more, and the ledger has it: but its result is still to come.
    assert_eq!(pair.answer(sent), Some(Answer::NoResponse));
    assert_eq!(pair.sockets[0].closed, None);
    pair.close_down(&CloseReason::WebSocketsDisabled);
    pair.live(SECOND);
    assert_eq!(
        pair.sockets[0].closed,
        Some(CloseReason::WebSocketsDisabled),
        "saying it again gives no more time"
    );
}

#[test]
fn a_link_stands_until_what_the_hello_named_is_recorded() {
    let (mut pair, _) = Pair::paying("42");
    pair.cut_link();
    pair.arrive();
    pair.live(200 * SECOND);
    pair.close_down(&CloseReason::WebSocketsDisabled);
    pair.live(10 * SECOND);
    assert_eq!(pair.sockets[1].closed, None);
    pair.works = true;
    pair.live(SECOND);
    assert_eq!(pair.sockets[1].closed, Some(CloseReason::WebSocketsDisabled));
    assert_eq!(pair.terminal.resume(), []);
    assert!(matches!(pair.outcome("42"), Some(Outcome::Answered(_))));
}

#[test]
fn a_link_that_may_stay_after_all_goes_on_as_if_nothing_had_been() {
    let (mut pair, sent) = Pair::paying("42");
    pair.close_down(&CloseReason::WebSocketsDisabled);
    pair.live(100 * SECOND);
    pair.gateway.handle_reopened(pair.now);
    pair.settle_effects();
    assert_eq!(pair.gateway.presence().status(pair.now), Status::Online);
    pair.works = true;
    pair.live(100 * SECOND);
    assert!(pair.heard_response(sent, Turn::First));
    assert!(pair.hears_response(&payment("43"), Turn::First));
    assert_eq!((pair.sockets.len(), pair.sockets[0].closed.clone()), (1, None));
}

#[test]
fn a_socket_that_is_not_welcomed_yet_ends_at_once_and_a_later_one_is_none_of_those() {
    let mut pair = Pair::connected();
    pair.mode = crate::pair::Mode::Stalled;
    pair.notices = false;
    let newer = pair.connect();
    pair.hear(newer);
    pair.close_down(&CloseReason::WebSocketsDisabled);
    pair.mode = crate::pair::Mode::Prompt;
    pair.live(SECOND);
    assert_eq!(pair.sockets[0].closed, Some(CloseReason::WebSocketsDisabled));
    assert_eq!(pair.sockets[newer].closed, Some(CloseReason::WebSocketsDisabled));
    pair.notices = true;
    pair.arrive();
    assert_eq!(pair.gateway.presence().status(pair.now), Status::Online);
    assert!(pair.hears_response(&payment("42"), Turn::First));
}

#[test]
fn the_present_link_is_told_settings_and_a_welcome_composed_before_does_not_undo_them() {
    let mut pair = Pair::connected();
    pair.gateway.handle_settings(pair.now, settings(8));
    pair.settle_effects();
    pair.drive();
    assert_eq!(pair.asked, [ToTerminal::Settings(Box::new(settings(8)))]);
    pair.say(ToGateway::Applied(8));
    pair.drive();
    assert_eq!(pair.reported, ["applied 8"]);

    // Its hello is on its way while the settings change once more.
    pair.hears = false;
    let newer = pair.connect();
    pair.gateway.handle_settings(pair.now, settings(9));
    pair.settle_effects();
    pair.hears = true;
    pair.drive();
    assert_eq!(pair.sockets[newer].settings, Some(settings(9).settings));
    assert_eq!(pair.asked.len(), 1, "the older link is gone");
}

#[test]
fn a_terminal_is_asked_once_on_each_link_to_remove_its_configuration_and_gets_no_request_meanwhile() {
    let mut pair = Pair::connected();
    pair.remove_config("as_1");
    pair.drive();
    pair.remove_config("as_1");
    pair.drive();
    assert_eq!(pair.removals(), 1);
    assert_eq!(pair.gateway.presence().status(pair.now), Status::Online, "it is connected all the same");
    assert_eq!(pair.ask(&payment("42")), Some(Answer::NotDelivered));

    pair.cut_link();
    pair.arrive();
    assert_eq!(pair.removals(), 2);
    assert_eq!(pair.ask(&payment("43")), Some(Answer::NotDelivered));
    pair.say(ToGateway::ConfigRemoved(change("as_1")));
    pair.drive();
    assert_eq!(pair.reported, ["removed as_1"]);
    assert_eq!(pair.ask(&payment("44")), Some(Answer::NotDelivered), "it has not been moved yet");

    pair.gateway.handle_removal_over();
    pair.gateway.handle_settings(pair.now, settings(9));
    pair.settle_effects();
    assert!(pair.hears_response(&payment("45"), Turn::First), "on the same link");
    pair.cut_link();
    pair.arrive();
    assert_eq!(pair.removals(), 2);
}

#[test]
fn a_payment_that_runs_is_not_disturbed_by_the_removal_of_the_configuration() {
    let (mut pair, sent) = Pair::paying("42");
    pair.remove_config("as_1");
    pair.drive();
    assert_eq!(pair.ask(&payment("43")), Some(Answer::NotDelivered));
    pair.works = true;
    pair.live(SECOND);
    assert!(pair.heard_response(sent, Turn::First));
    assert_eq!(pair.sockets[0].closed, None);
}

#[test]
fn a_new_token_is_told_to_the_present_link_and_an_older_link_confirms_nothing() {
    let mut pair = Pair::connected();
    pair.gateway.handle_new_token(pair.now, LinkToken::parse("tg_term_2").expect("a token"));
    pair.settle_effects();
    pair.drive();
    assert_eq!(pair.asked, [ToTerminal::NewToken(LinkToken::parse("tg_term_2").expect("a token"))]);
    pair.say(ToGateway::TokenStored);
    pair.drive();
    assert_eq!(pair.reported, ["token stored"]);

    let old = pair.newest();
    pair.cut_link();
    pair.arrive();
    pair.gateway.handle_token_stored(&old);
    pair.gateway.handle_applied(&old, 8);
    pair.gateway.handle_config_removed(&old, change("as_1"));
    pair.settle_effects();
    assert_eq!(pair.reported, ["token stored"]);
}
